// Advice names keys that the gateway has, with values that it takes.
#include "tools/analyze/advice.hpp"

#include <doctest/doctest.h>

#include <algorithm>

#include "protocols/api/keys.hpp"
#include "protocols/fabric/keys.hpp"
#include "protocols/jt808/keys.hpp"
#include "storage/log/keys.hpp"
#include "tools/ringgate/keys.hpp"
#include "tools/ringgate/sinks.hpp"

using namespace ringgate;
using namespace ringgate::analyze;

namespace {

// The gateway's own tables.
const config::Schema& schema() {
  static const config::Schema all = [] {
    config::Schema out;
    out.add(server::keys);
    out.add(log::keys);
    out.add(jt808::keys);
    out.add(api::keys);
    server::add_sink_keys(out);
#ifdef RINGGATE_NATS
    out.add(server::fabric_keys);
    out.add(sink::nats_keys);
#endif
    return out;
  }();
  return all;
}

const config::KeySpec* find_key(std::string_view name) {
  const std::size_t index = schema().find(name);
  return index == config::Schema::none ? nullptr : &schema().key(index);
}

std::string unquoted(std::string text) {
  if (text.size() >= 2 && text.front() == '"') text = text.substr(1, text.size() - 2);
  return text;
}

Case subject_with(std::vector<std::pair<std::string, std::string>> settings, unsigned cpus = 8) {
  Case out;
  out.config = std::move(settings);
  out.usable_cpus = cpus;
  return out;
}

Signal signal_of(std::string_view id, double value, std::string where = {}) {
  const SignalSpec* spec = find_signal(id);
  return {spec, spec->threshold, std::vector<double>(10, value), std::move(where)};
}

const Advice* about(const std::vector<Advice>& all, std::string_view key) {
  const auto found = std::find_if(all.begin(), all.end(),
                                  [&](const Advice& one) { return one.key == key; });
  return found == all.end() ? nullptr : &*found;
}

}  // namespace

TEST_CASE("advice: every key is one of the gateway's") {
  for (const std::string_view key : advised_keys()) {
    INFO(key);
    CHECK(find_key(key) != nullptr);
  }
}

TEST_CASE("advice: every proposed value is one that its key takes") {
  const std::vector<std::vector<std::pair<std::string, std::string>>> configs = {
      {},
      {{"server.shards", "2"}, {"server.pin", "false"}, {"memory.limit", "64MiB"},
       {"log.compress", "zstd"}, {"jt808.backlog", "60000"}, {"jt808.send_buffer", "100KiB"},
       {"jt808.log_heartbeats", "true"}, {"http.query_threads", "16"}, {"server.max_links", "100"},
       {"http.send_buffer", "2MiB"}, {"sink.redis.batch", "90000"}},
      {{"server.shards", "16"}, {"log.retention_bytes", "0B"}, {"memory.limit", "1TiB"}}};
  std::size_t proposed = 0;
  for (const auto& settings : configs) {
    for (const SignalSpec& spec : all_signals()) {
      for (const char* where : {"", "redis", "nats", "postgres", "other"}) {
        const Signal signal = signal_of(spec.id, spec.threshold * 3, where);
        for (const Advice& one : advice_on(subject_with(settings), spec.cause, signal)) {
          CHECK_FALSE(one.why.empty());
          if (one.key.empty()) continue;
          INFO(one.key, " = ", one.proposed);
          const config::KeySpec* key = find_key(one.key);
          REQUIRE(key != nullptr);
          ++proposed;
          if (one.proposed.find('(') != std::string::npos) continue;  // words for a person
          const auto value = config::parse_value(*key, unquoted(one.proposed));
          REQUIRE(value.ok());
          CHECK(config::check_value(*key, *value).ok());
          CHECK(one.proposed == config::toml_value(*key, *value));
        }
      }
    }
  }
  CHECK(proposed > 100);
}

TEST_CASE("advice: what it says follows from what is") {
  const auto busy = [](unsigned cpus, const char* shards) {
    return advice_on(subject_with({{"server.shards", shards}}, cpus), Cause::cpu,
                     signal_of("cpu.busy", 0.9));
  };
  REQUIRE(about(busy(8, "2"), "server.shards") != nullptr);
  CHECK(about(busy(8, "2"), "server.shards")->present == "2");
  CHECK(about(busy(8, "2"), "server.shards")->proposed == "0");
  CHECK(about(busy(8, "0"), "server.shards") == nullptr);
  CHECK(about(busy(8, "8"), "server.shards") == nullptr);
  CHECK(about(busy(0, "2"), "server.shards") == nullptr);  // CPUs not known
  // Of 64 MiB 90 % were used: twice that.
  const auto memory = advice_on(subject_with({{"memory.limit", "64MiB"}}), Cause::memory,
                                signal_of("memory.share", 0.9));
  CHECK(about(memory, "memory.limit")->proposed == "\"128MiB\"");
  CHECK(about(advice_on(subject_with({}), Cause::memory, signal_of("memory.share", 0.9)),
              "memory.limit") == nullptr);
  Case away = subject_with({{"sink.redis.batch", "4096"}});
  const Signal lag = signal_of("sink.lag", 60, "redis");
  CHECK(about(advice_on(away, Cause::sink, lag), "sink.redis.batch")->proposed == "8192");
  away.signals.push_back(signal_of("sink.down", 1, "redis"));
  CHECK(about(advice_on(away, Cause::sink, lag), "sink.redis.url") != nullptr);
  CHECK(about(advice_on(away, Cause::sink, lag), "sink.redis.batch") == nullptr);
}
