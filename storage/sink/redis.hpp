// The Redis sink: last state of each device as a hash, a geo index of them, a bounded stream of
// events. SINKS.md names the keys and fields.
//
// A hash is changed only by news: a script on the server compares the time of the record, so that a
// node that lags does not overwrite what another one knows better.
#pragma once

#include <memory>
#include <string>

#include "engine/config/settings.hpp"
#include "storage/sink/redis_servers.hpp"
#include "storage/sink/redis_state.hpp"
#include "storage/sink/target.hpp"

namespace ringgate::sink {

struct RedisOptions {
  RedisUrl url;
  RedisLinkOptions link;
  std::string prefix = "ringgate:";
  std::uint64_t expire_s = 7 * 86'400;  // of a device that is not heard of; 0: never
  std::uint64_t events_max = 100'000;   // in the stream, about; 0: no stream
  RedisEvents events;
};

Result<void> check_redis_url(std::string_view text);
Result<void> check_redis_event(std::string_view text);

inline constexpr config::KeySpec redis_keys[] = {
    {.name = "sink.redis.prefix",
     .type = config::KeyType::text,
     .default_text = "ringgate:",
     .doc = "What the names of all keys begin with.",
     .max = 128},
    {.name = "sink.redis.expire",
     .type = config::KeyType::duration,
     .default_text = "168h",
     .doc = "A device that was not heard of for this long is forgotten; 0s keeps it for good.",
     .max = 3650LL * 86'400 * ns_per_s},
    {.name = "sink.redis.events",
     .type = config::KeyType::text_list,
     .default_text = "alarm,session,media",
     .doc = "What goes to the stream of events: alarm, session, media, position.",
     .max = 4,
     .check = &check_redis_event},
    {.name = "sink.redis.events_max",
     .type = config::KeyType::integer,
     .default_text = "100000",
     .doc = "Events that the stream keeps, about; 0 keeps no stream.",
     .max = 1'000'000'000,
     .unit = "events"},
    {.name = "sink.redis.ca_file",
     .type = config::KeyType::text,
     .doc = "Certificates (PEM) that rediss:// trusts; empty: the system's.",
     .max = 3000},
    {.name = "sink.redis.certificate_file",
     .type = config::KeyType::text,
     .doc = "Our own certificate (PEM), for servers that ask for one; empty: none.",
     .max = 3000},
    {.name = "sink.redis.key_file",
     .type = config::KeyType::text,
     .doc = "The private key (PEM) of sink.redis.certificate_file.",
     .max = 3000},
};
// `url`: as the check has passed it.
RedisOptions redis_options(const config::Settings& settings, const std::string& url);

std::unique_ptr<Target> make_redis_target(const RedisOptions& options);

}  // namespace ringgate::sink
