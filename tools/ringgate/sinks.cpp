#include "tools/ringgate/sinks.hpp"

#include <fmt/format.h>

#include <initializer_list>
#include <string>

#include "protocols/fabric/keys.hpp"
#ifdef RINGGATE_REDIS
#include "storage/sink/redis.hpp"
#endif
#ifdef RINGGATE_POSTGRES
#include "storage/sink/postgres.hpp"
#endif

namespace ringgate::server {

namespace {

constexpr std::string_view from_choices[] = {"beginning", "end"};

// The keys that every sink has.
#define RG_SINK_KEYS(name_, batch_default, delay_default)                                       \
  config::KeySpec{.name = "sink." name_ ".batch",                                               \
                  .type = config::KeyType::integer,                                             \
                  .default_text = batch_default,                                                \
                  .doc = "Records that go out together, at most.",                              \
                  .min = 1,                                                                     \
                  .max = 100'000,                                                               \
                  .unit = "records"},                                                           \
      config::KeySpec{.name = "sink." name_ ".batch_delay",                                     \
                      .type = config::KeyType::duration,                                        \
                      .default_text = delay_default,                                            \
                      .doc = "How long a record waits for others to go out with.",              \
                      .max = 60 * ns_per_s},                                                    \
      config::KeySpec {                                                                         \
    .name = "sink." name_ ".from", .type = config::KeyType::choice, .default_text = "beginning", \
    .doc = "Where the sink begins that has never run: with all that the log has, or its end.",  \
    .choices = from_choices                                                                     \
  }

constexpr config::KeySpec redis_common[] = {RG_SINK_KEYS("redis", "4096", "50ms")};
constexpr config::KeySpec nats_common[] = {RG_SINK_KEYS("nats", "16384", "20ms")};
constexpr config::KeySpec postgres_common[] = {RG_SINK_KEYS("postgres", "10000", "200ms")};

// The url of a sink that was not built in is refused; a secret is refused with its key's text.
#define RG_NOT_BUILT_IN(library, package)                                                   \
  "this ringgate was built without " library ", which this sink needs: install " package    \
  " and build again, or leave the url empty"
#if !defined(RINGGATE_REDIS) || !defined(RINGGATE_NATS) || !defined(RINGGATE_POSTGRES)
Result<void> not_built_in(std::string_view url) {
  if (url.empty()) return {};
  return Error{0, "not built in"};
}
#endif

#ifdef RINGGATE_REDIS
constexpr auto check_redis = &sink::check_redis_url;
constexpr std::string_view redis_doc =
    "Redis: redis://user:password@host:6379,other:6379/0 (some nodes of a cluster, or master and "
    "replicas), rediss://...; empty: off.";
#else
constexpr auto check_redis = &not_built_in;
constexpr std::string_view redis_doc = RG_NOT_BUILT_IN("hiredis", "libhiredis-dev");
#endif
#ifdef RINGGATE_POSTGRES
constexpr auto check_postgres = &sink::check_postgres_url;
constexpr std::string_view postgres_doc =
    "PostgreSQL: postgresql://user:password@host:5432/database; empty: off.";
#else
constexpr auto check_postgres = &not_built_in;
constexpr std::string_view postgres_doc = RG_NOT_BUILT_IN("libpq", "libpq-dev");
#endif

constexpr config::KeySpec urls[] = {
    {.name = "sink.redis.url",
     .type = config::KeyType::text,
     .doc = redis_doc,
     .max = 4096,
     .check = check_redis,
     .secret = true},
    {.name = "sink.postgres.url",
     .type = config::KeyType::text,
     .doc = postgres_doc,
     .max = 4096,
     .check = check_postgres,
     .secret = true},
#ifndef RINGGATE_NATS
    {.name = "sink.nats.url",
     .type = config::KeyType::text,
     .doc = RG_NOT_BUILT_IN("libnats", "libnats-dev"),
     .max = 4096,
     .check = &not_built_in,
     .secret = true},
#endif
};

struct TargetParts {
  const config::Settings& settings;
  const std::string& url;
  const std::string& node_name;
  const log::NodeId& node;
  observe::LogSource& logs;
};

using Make = sink::Worker::MakeTarget (*)(const TargetParts& parts);
struct Kind {
  std::string_view name;
  Make make;
  bool repeats;  // wants retransmitted records and the parts of messages, too
};

// In the order in which they are started. There may be none (and so it is no array).
const std::initializer_list<Kind> kinds = {
#ifdef RINGGATE_REDIS
    {"redis",
     [](const TargetParts& p) -> sink::Worker::MakeTarget {
       return [options = sink::redis_options(p.settings, p.url)] {
         return sink::make_redis_target(options);
       };
     },
     false},
#endif
#ifdef RINGGATE_NATS
    {"nats",
     [](const TargetParts& p) -> sink::Worker::MakeTarget {
       return [options = sink::nats_options(p.settings, p.url, p.node_name)] {
         return sink::make_nats_target(options);
       };
     },
     true},
#endif
#ifdef RINGGATE_POSTGRES
    {"postgres",
     [](const TargetParts& p) -> sink::Worker::MakeTarget {
       return [options = sink::postgres_options(p.settings, p.url, p.node), &logs = p.logs] {
         return sink::make_postgres_target(options, logs);
       };
     },
     false},
#endif
};

sink::WorkerOptions worker_options(const config::Settings& settings, const std::string& name) {
  const std::string section = "sink." + name;
  sink::WorkerOptions options;
  options.name = name;
  options.node_name = node_name(settings);
  options.batch_records = static_cast<std::uint32_t>(settings.integer(section + ".batch"));
  if (name == "postgres") {
    // A batch for each connection.
    const auto connections = static_cast<std::uint32_t>(settings.integer(section + ".connections"));
    options.batch_records *= connections;
    options.batch_bytes *= connections;
  }
  options.batch_delay_ns = settings.duration_ns(section + ".batch_delay");
  options.start.where = settings.text(section + ".from") == "end"
                            ? query::TailStart::Where::end
                            : query::TailStart::Where::beginning;
  return options;
}

}  // namespace

void add_sink_keys(config::Schema& schema) {
  schema.add(urls);
  schema.add(redis_common);
#ifdef RINGGATE_REDIS
  schema.add(sink::redis_keys);
#endif
  schema.add(nats_common);
  schema.add(postgres_common);
#ifdef RINGGATE_POSTGRES
  schema.add(sink::postgres_keys);
#endif
}

Result<std::unique_ptr<Sinks>> Sinks::start(const SinkParts& parts) {
  std::unique_ptr<Sinks> sinks(new Sinks(parts));
  for (const Kind& kind : kinds) {
    const std::string name(kind.name);
    const std::string& url = parts.settings.text(fmt::format("sink.{}.url", name));
    if (url.empty()) continue;
    const sink::WorkerOptions options = worker_options(parts.settings, name);
    observe::LogSource& logs = parts.logger.add_source(fmt::format("sink-{}", name));
    query::Selection selection;
    selection.duplicates = selection.parts = kind.repeats;
    auto worker = sink::Worker::start(
        {.sys = parts.scan.sys,
         .data_dir = parts.scan.data_dir,
         .node = parts.node,
         .catalogs = parts.scan.catalogs,
         .open_tail = [scan = parts.scan, selection](const query::TailStart& start) {
           return query::Tail::open(scan, selection, start);
         },
         .holds = parts.holds,
         .counters = parts.registry.add_group("sink", name),
         .logs = logs},
        options, kind.make({parts.settings, url, options.node_name, parts.node, logs}));
    if (!worker) return worker.error();
    sinks->workers_.push_back(std::move(*worker));
  }
  return sinks;
}

sink::Worker* Sinks::find(std::string_view name) const {
  for (const auto& worker : workers_) {
    if (worker->name() == name) return worker.get();
  }
  return nullptr;
}

std::string Sinks::troubles() const {
  std::string text;
  for (const auto& worker : workers_) {
    const sink::Status status = worker->status();
    if (!in_trouble(status)) continue;
    const std::string_view state = sink::state_names[static_cast<std::size_t>(status.state)];
    text += fmt::format("{}{} {}, {:.0f} s behind", text.empty() ? "" : "; ", worker->name(), state,
                        status.lag_s);
  }
  return text;
}

void Sinks::stop() {
  for (const auto& worker : workers_) worker->stop();
}

}  // namespace ringgate::server
