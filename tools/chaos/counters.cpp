#include "tools/chaos/counters.hpp"

#include <fmt/format.h>

#include <functional>
#include <iterator>
#include <string_view>

namespace ringgate::chaos {

namespace {

void write_lane(JsonWriter& json, std::string_view name, const Traffic::Lane& lane) {
  json.key(name).begin_object();
  json.key("bytes").unsigned_integer(lane.bytes);
  json.key("chunks").unsigned_integer(lane.chunks);
  json.key("dropped").unsigned_integer(lane.dropped);
  json.key("waiting_bytes").unsigned_integer(lane.waiting_bytes);
  json.end_object();
}

void write_rule(JsonWriter& json, const ArmedRule& rule, MonoNs now) {
  json.key(rule.name).begin_object();
  json.key("kind").text(name_of(rule.rule.kind));
  json.key("active").boolean(rule.acts(now));
  json.key("connections").unsigned_integer(rule.counters.connections);
  json.key("seen").unsigned_integer(rule.counters.seen);
  json.key("hits").unsigned_integer(rule.counters.hits);
  json.key("bytes").unsigned_integer(rule.counters.bytes);
  json.end_object();
}

void write_address(JsonWriter& json, std::string_view name, const std::string* address) {
  json.key(name);
  if (address == nullptr) {
    json.null();
  } else {
    json.text(*address);
  }
}

void write_proxy(JsonWriter& json, const Proxy& proxy, MonoNs now) {
  const ProxyState& state = proxy.state;
  json.begin_object();
  write_address(json, "tcp", proxy.tcp ? &proxy.tcp->address() : nullptr);
  write_address(json, "udp", proxy.udp ? &proxy.udp->address() : nullptr);
  json.key("connections").unsigned_integer(proxy.connections());
  json.key("connections_total").unsigned_integer(state.connections_total);
  json.key("refused").unsigned_integer(state.refused);
  json.key("target_failed").unsigned_integer(state.target_failed);
  write_lane(json, "up", state.traffic.lane[0]);
  write_lane(json, "down", state.traffic.lane[1]);
  json.key("rules").begin_object();
  for (const auto& rule : state.rules) write_rule(json, *rule, now);
  json.end_object().end_object();
}

// One metric of all proxies: names need no escapes, as check_name() has it.
class Metrics {
 public:
  explicit Metrics(const Proxies& proxies) : proxies_(proxies) {}

  void proxy(std::string_view name, std::string_view type, std::string_view help,
             const std::function<std::uint64_t(const Proxy&)>& value) {
    head(name, type, help);
    for (const auto& [key, one] : proxies_.all()) {
      fmt::format_to(std::back_inserter(out_), "ringgate_chaos_{}{{proxy=\"{}\"}} {}\n", name, key,
                     value(*one));
    }
  }
  void lane(std::string_view name, std::string_view type, std::string_view help,
            std::uint64_t Traffic::Lane::* field) {
    head(name, type, help);
    for (const auto& [key, one] : proxies_.all()) {
      for (const Direction direction : {Direction::up, Direction::down}) {
        fmt::format_to(std::back_inserter(out_),
                       "ringgate_chaos_{}{{proxy=\"{}\",direction=\"{}\"}} {}\n", name, key,
                       direction_names[static_cast<std::size_t>(direction)],
                       one->state.traffic.lane[index_of(direction)].*field);
      }
    }
  }
  void rule(std::string_view name, std::string_view type, std::string_view help,
            const std::function<std::uint64_t(const ArmedRule&)>& value) {
    head(name, type, help);
    for (const auto& [key, one] : proxies_.all()) {
      for (const auto& armed : one->state.rules) {
        fmt::format_to(std::back_inserter(out_),
                       "ringgate_chaos_{}{{proxy=\"{}\",rule=\"{}\",kind=\"{}\"}} {}\n", name, key,
                       armed->name, name_of(armed->rule.kind), value(*armed));
      }
    }
  }
  std::string take() { return std::move(out_); }

 private:
  void head(std::string_view name, std::string_view type, std::string_view help) {
    fmt::format_to(std::back_inserter(out_),
                   "# HELP ringgate_chaos_{} {}\n# TYPE ringgate_chaos_{} {}\n", name, help, name,
                   type);
  }

  const Proxies& proxies_;
  std::string out_;
};

}  // namespace

std::string status_json(const Proxies& proxies) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  json.key("uptime_s").number(
      static_cast<double>(proxies.uptime_ns()) / static_cast<double>(ns_per_s), 3);
  json.key("proxies").begin_object();
  for (const auto& [name, proxy] : proxies.all()) {
    json.key(name);
    write_proxy(json, *proxy, proxies.now());
  }
  json.end_object().end_object();
  return out;
}

std::string metrics_text(const Proxies& proxies) {
  Metrics metrics(proxies);
  const MonoNs now = proxies.now();
  metrics.proxy("connections", "gauge", "Connections, and senders of datagrams.",
                [](const Proxy& proxy) { return proxy.connections(); });
  metrics.proxy("connections_total", "counter", "Connections and senders so far.",
                [](const Proxy& proxy) { return proxy.state.connections_total; });
  metrics.proxy("refused_total", "counter", "Connections that were accepted and reset at once.",
                [](const Proxy& proxy) { return proxy.state.refused; });
  metrics.proxy("target_failed_total", "counter", "Times that the server was not reached.",
                [](const Proxy& proxy) { return proxy.state.target_failed; });
  using Lane = Traffic::Lane;
  metrics.lane("bytes_total", "counter", "Bytes delivered.", &Lane::bytes);
  metrics.lane("chunks_total", "counter", "Reads, and datagrams received.", &Lane::chunks);
  metrics.lane("dropped_total", "counter", "Datagrams that went no further.", &Lane::dropped);
  metrics.lane("waiting_bytes", "gauge", "Bytes that are held back.", &Lane::waiting_bytes);
  metrics.rule("rule_active", "gauge", "Whether the rule acts now.",
               [now](const ArmedRule& rule) { return std::uint64_t{rule.acts(now)}; });
  metrics.rule("rule_seen_total", "counter", "Draws of the rule's probability.",
               [](const ArmedRule& rule) { return rule.counters.seen; });
  metrics.rule("rule_hits_total", "counter", "Times that the rule did what it does.",
               [](const ArmedRule& rule) { return rule.counters.hits; });
  metrics.rule("rule_bytes_total", "counter", "Bytes that the rule met.",
               [](const ArmedRule& rule) { return rule.counters.bytes; });
  return metrics.take();
}

}  // namespace ringgate::chaos
