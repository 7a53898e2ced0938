#include "tools/chaos/plan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "engine/config/listen_address.hpp"
#include "engine/config/schema.hpp"
#include "tools/chaos/fields.hpp"
#include "tools/chaos/json_entry.hpp"
#include "tools/chaos/limits.hpp"

namespace ringgate::chaos {

namespace {

using config::TomlEntry;

constexpr Range delays{0, limits::delay_max_ns};
constexpr Range real_delays{1, limits::delay_max_ns};
constexpr Range schedules{0, limits::schedule_max_ns};
constexpr Range sizes{1, std::int64_t{1} << 50};

// What belongs to a kind. The one list of fields, for reading and for writing.
template <class Visitor, class SomeRule>
void visit_kind(Visitor& visitor, SomeRule& rule) {
  switch (rule.kind) {
    case Kind::latency:
      if (visitor.need("latency", "latency = \"100ms\"")) {
        visitor.duration("latency", rule.delay_ns, delays);
      }
      visitor.duration("jitter", rule.jitter_ns, delays);
      return visitor.choice("distribution", rule.distribution, distribution_names);
    case Kind::bandwidth:
      if (visitor.need("rate", "rate = \"64KiB/s\"")) {
        visitor.size("rate", rule.rate, sizes, "/s");
      }
      return;
    case Kind::loss: return visitor.duration("stall", rule.delay_ns, real_delays);
    case Kind::duplicate: {
      std::int64_t copies = rule.copies;
      visitor.integer("copies", copies, {1, 100});
      if constexpr (!std::is_const_v<SomeRule>) rule.copies = static_cast<std::uint32_t>(copies);
      return;
    }
    case Kind::reorder: {
      std::int64_t gap = rule.gap;
      visitor.integer("gap", gap, {1, 1000});
      if constexpr (!std::is_const_v<SomeRule>) rule.gap = static_cast<std::uint32_t>(gap);
      return visitor.duration("hold", rule.hold_ns, real_delays);
    }
    case Kind::corrupt: {
      std::int64_t bits = rule.bits;
      visitor.integer("bits", bits, {0, 255});
      if constexpr (!std::is_const_v<SomeRule>) rule.bits = static_cast<std::uint8_t>(bits);
      return;
    }
    case Kind::slice:
      if (visitor.need("size", "size = 16")) visitor.size("size", rule.size, sizes);
      return visitor.duration("pause", rule.delay_ns, delays);
    case Kind::reset:
    case Kind::half_open:
      visitor.optional("after_bytes", rule.after_bytes,
                       [&](auto& value) { visitor.size("after_bytes", value, {0, sizes.max}); });
      visitor.optional("after", rule.after_ns,
                       [&](auto& value) { visitor.duration("after", value, schedules); });
      return visitor.choice(rule.kind == Kind::reset ? "to" : "gone", rule.peer,
                            std::span(peer_names).first(rule.kind == Kind::reset ? 3 : 2));
    case Kind::slow_close:
      if (visitor.need("delay", "delay = \"5s\"")) {
        visitor.duration("delay", rule.delay_ns, delays);
      }
      return;
    case Kind::blackhole: return visitor.choice("mode", rule.mode, blackhole_names);
    case Kind::limit:
      if (visitor.need("bytes", "bytes = \"4KiB\"")) visitor.size("bytes", rule.size, sizes);
      return;
    case Kind::partition:
    case Kind::refuse:
    case Kind::count: return;
  }
}

// What a kind's probability may be drawn for; the first is what it is without a word.
std::span<const Per> per_of(Kind kind) {
  static constexpr Per chunk_first[] = {Per::chunk, Per::connection};
  static constexpr Per chunks[] = {Per::chunk};
  static constexpr Per bytes_first[] = {Per::byte, Per::chunk};
  static constexpr Per connections[] = {Per::connection};
  switch (kind) {
    case Kind::latency: return chunk_first;
    case Kind::loss:
    case Kind::duplicate:
    case Kind::reorder: return chunks;
    case Kind::corrupt: return bytes_first;
    default: return connections;
  }
}

// What is not said.
void set_defaults(Rule& rule) {
  rule.per = per_of(rule.kind).front();
  if (rule.kind == Kind::half_open) rule.peer = Peer::client;
  if (rule.kind == Kind::loss) rule.delay_ns = 200 * ns_per_ms;  // Linux's least retransmission
  if (rule.kind == Kind::reorder) rule.hold_ns = 100 * ns_per_ms;
}

template <class Visitor, class SomeRule>
void visit_rule(Visitor& visitor, SomeRule& rule) {
  visitor.choice("direction", rule.direction, direction_names);
  visitor.share("probability", rule.probability);
  visitor.choice("per", rule.per, per_names);
  visitor.boolean("enabled", rule.enabled);
  visitor.duration("from", rule.schedule.from_ns, schedules);
  visitor.duration("for", rule.schedule.for_ns, schedules);
  visitor.duration("every", rule.schedule.every_ns, schedules);
  visitor.choice("since", rule.schedule.since, since_names);
  visit_kind(visitor, rule);
}

void check_rule(Reader& reader, const Rule& rule, Transport transport) {
  const std::string_view kind = name_of(rule.kind);
  if (!has_tcp(transport) && !acts_on_udp(rule.kind)) {
    reader.problem("kind", fmt::format("{} needs TCP, and this proxy has transport \"udp\"", kind));
  }
  if (!has_udp(transport) && !acts_on_tcp(rule.kind)) {
    reader.problem("kind", fmt::format("{} needs datagrams: a byte stream has none; set the "
                                       "proxy's transport to \"udp\" or \"both\"", kind));
  }
  if (std::ranges::find(per_of(rule.kind), rule.per) == per_of(rule.kind).end()) {
    std::string may;
    for (const Per per : per_of(rule.kind)) {
      fmt::format_to(std::back_inserter(may), "{}\"{}\"", may.empty() ? "" : " or ",
                     per_names[static_cast<std::size_t>(per)]);
    }
    reader.problem("per", fmt::format("of {} must be {}", kind, may));
  }
  const Schedule& schedule = rule.schedule;
  if (schedule.every_ns > 0 && schedule.for_ns == 0) {
    reader.problem("every", "every needs for: how long each time");
  }
  if (schedule.every_ns > 0 && schedule.for_ns > schedule.every_ns) {
    reader.problem("for", "for is longer than every: the rule would never rest");
  }
  const bool silent = rule.kind == Kind::blackhole && rule.mode == BlackholeMode::connect;
  if (silent && rule.probability < 1) {
    reader.problem("probability", "connects are unanswered for everybody or for nobody; "
                                  "mode \"swallow\" can take a share");
  }
  if (silent && !has_tcp(transport)) {
    reader.problem("mode", "only TCP connects; a datagram is swallowed");
  }
}

Rule rule_of(const TomlEntry& table, Transport transport, Problems& problems) {
  Rule rule;
  if (table.kind != TomlEntry::Kind::table) {
    problems.push_back(problem_at(table, true, "a rule must be a table"));
    return rule;
  }
  Reader reader(table, problems);
  const std::size_t before = problems.size();
  if (!reader.need("kind", "kind = \"latency\"")) return rule;
  reader.choice("kind", rule.kind, kind_names);
  if (problems.size() != before) return rule;  // its other fields depend on it
  set_defaults(rule);
  visit_rule(reader, rule);
  reader.optional("seed", rule.seed, [&](std::uint64_t& seed) {
    std::int64_t value = 0;
    reader.integer("seed", value, {});
    seed = static_cast<std::uint64_t>(value);
  });
  if (problems.size() == before) check_rule(reader, rule, transport);
  reader.finish(fmt::format("a rule of kind \"{}\"", name_of(rule.kind)));
  return rule;
}

// "HOST:PORT" of a target is a number too: names would have to be asked for while packets wait.
void check_target(Reader& reader, const std::string& target) {
  const auto address = config::parse_listen_address(target);
  if (!address || address->all_addresses || address->port() == 0) {
    reader.problem("target", fmt::format("target must be an address and a port, such as "
                                         "\"127.0.0.1:7808\" or \"[::1]:7808\", not {}",
                                         config::toml_quoted(target)));
  }
}

void rules_of(const TomlEntry& table, ProxyPlan& proxy, Problems& problems) {
  if (table.kind != TomlEntry::Kind::table) {
    problems.push_back(problem_at(table, true, "rules must be tables: [proxies.NAME.rules.RULE]"));
    return;
  }
  if (table.children.size() > limits::rules_max) {
    problems.push_back(problem_at(
        table, false, fmt::format("{} rules; a proxy has at most {}", table.children.size(),
                                  limits::rules_max)));
    return;
  }
  for (const TomlEntry& child : table.children) {
    const std::string name(config::name_in(child, table.path));
    if (const auto fine = check_name(name); !fine) {
      problems.push_back(problem_at(child, false, fine.error().message));
    }
    proxy.rules.push_back({name, rule_of(child, proxy.transport, problems)});
  }
}

ProxyPlan proxy_of(const TomlEntry& table, std::string name, Problems& problems) {
  ProxyPlan proxy;
  proxy.name = std::move(name);
  proxy.buffer_bytes = limits::buffer_bytes_default;
  proxy.connections_max = limits::connections_default;
  proxy.udp_idle_ns = 60 * ns_per_s;
  if (table.kind != TomlEntry::Kind::table) {
    problems.push_back(problem_at(table, true, "a proxy must be a table: [proxies.NAME]"));
    return proxy;
  }
  Reader reader(table, problems);
  if (reader.need("listen", "listen = \"127.0.0.1:7908\"")) {
    reader.text("listen", proxy.listen);
    const auto address = config::parse_listen_address(proxy.listen);
    if (!proxy.listen.empty() && !address) {
      reader.problem("listen", fmt::format("listen: {}", address.error().message));
    }
  }
  if (reader.need("target", "target = \"127.0.0.1:7808\"")) {
    reader.text("target", proxy.target);
    check_target(reader, proxy.target);
  }
  reader.choice("transport", proxy.transport, transport_names);
  reader.size("buffer", proxy.buffer_bytes, {limits::buffer_bytes_min, limits::buffer_bytes_most});
  reader.integer("connections", proxy.connections_max, {1, limits::connections_most});
  reader.duration("udp_idle", proxy.udp_idle_ns, {ns_per_s, limits::schedule_max_ns});
  if (const TomlEntry* const rules = reader.find("rules")) rules_of(*rules, proxy, problems);
  reader.finish("a proxy");
  return proxy;
}

void control_of(const TomlEntry& table, ControlPlan& control, Problems& problems) {
  if (table.kind != TomlEntry::Kind::table) {
    problems.push_back(problem_at(table, true, "control must be a table: [control]"));
    return;
  }
  Reader reader(table, problems);
  reader.text("listen", control.listen);
  if (!control.listen.empty()) {
    if (const auto fine = config::check_listen_address(control.listen); !fine) {
      reader.problem("listen", fmt::format("listen: {}", fine.error().message));
    }
  }
  if (const TomlEntry* const hosts = reader.find("hosts")) {
    for (const TomlEntry& host : hosts->children) control.hosts.push_back(host.text);
    const auto is_text = [](const TomlEntry& entry) {
      return entry.kind == TomlEntry::Kind::text && !entry.text.empty();
    };
    if (hosts->kind != TomlEntry::Kind::list || !std::ranges::all_of(hosts->children, is_text)) {
      reader.problem("hosts", "hosts must be a list of names, such as [\"test.example:8474\"]");
    }
  }
  reader.finish("control");
}

void proxies_of(const TomlEntry& table, Plan& plan, Problems& problems) {
  if (table.kind != TomlEntry::Kind::table) {
    problems.push_back(problem_at(table, true, "proxies must be tables: [proxies.NAME]"));
    return;
  }
  if (table.children.size() > limits::proxies_max) {
    problems.push_back(problem_at(table, false, fmt::format("more than {} proxies",
                                                            limits::proxies_max)));
    return;
  }
  for (const TomlEntry& child : table.children) {
    const std::string name(config::name_in(child, table.path));
    if (const auto fine = check_name(name); !fine) {
      problems.push_back(problem_at(child, false, fine.error().message));
    }
    ProxyPlan proxy = proxy_of(child, name, problems);
    const auto same = [&](const ProxyPlan& other) {
      return other.listen == proxy.listen && !proxy.listen.ends_with(":0");
    };
    if (!proxy.listen.empty() && std::ranges::any_of(plan.proxies, same)) {
      problems.push_back(problem_at(child, false,
                                    fmt::format("another proxy listens on {}", proxy.listen)));
    }
    plan.proxies.push_back(std::move(proxy));
  }
}

// In the order of the text, and not without end.
Problems sorted(Problems problems) {
  const auto earlier = [](const Problem& a, const Problem& b) {
    return a.line != b.line ? a.line < b.line : a.column < b.column;
  };
  Problems out;  // one by one behind its equals: JSON has no places, its order stays
  for (Problem& one : problems) {
    out.insert(std::ranges::upper_bound(out, one, earlier), std::move(one));
    if (out.size() > limits::problems_max) out.pop_back();
  }
  return out;
}

// "chaos.toml:3:7" or "3:7": the last two numbers.
Problem from_place(const config::ConfigError& error) {
  Problem problem;
  problem.message = error.message;
  const std::string_view place = error.where;
  const std::size_t last = place.rfind(':');
  if (last == std::string_view::npos || last == 0) return problem;
  const std::size_t first = place.rfind(':', last - 1);
  const std::size_t begin = first == std::string_view::npos ? 0 : first + 1;
  std::from_chars(place.data() + begin, place.data() + last, problem.line);
  std::from_chars(place.data() + last + 1, place.data() + place.size(), problem.column);
  return problem;
}

template <class Value, class Read>
Result<Value, Problems> from_json(std::string_view json, Read&& read) {
  const auto top = parse_json(json);
  if (!top) return Problems{from_place(top.error())};
  Problems problems;
  Value value = read(*top, problems);
  if (!problems.empty()) return sorted(std::move(problems));
  return value;
}

}  // namespace

Result<void> check_name(std::string_view name) {
  const auto fine = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '-' || c == '_';
  };
  if (!name.empty() && name.size() <= limits::name_bytes_max && std::ranges::all_of(name, fine)) {
    return {};
  }
  return Error{0, fmt::format("the name {} must be 1 to {} letters, digits, \"-\" and \"_\"",
                              config::toml_quoted(name), limits::name_bytes_max)};
}

Result<Plan, Problems> read_plan(std::string_view toml) {
  const auto top = config::parse_toml(toml, "plan");
  if (!top) return Problems{from_place(top.error())};
  Problems problems;
  Plan plan;
  Reader reader(*top, problems);
  std::int64_t seed = 1;
  reader.integer("seed", seed, {});
  plan.seed = static_cast<std::uint64_t>(seed);
  if (const TomlEntry* const control = reader.find("control")) {
    control_of(*control, plan.control, problems);
  }
  if (const TomlEntry* const proxies = reader.find("proxies")) {
    proxies_of(*proxies, plan, problems);
  }
  reader.finish("a plan");
  if (!problems.empty()) return sorted(std::move(problems));
  return plan;
}

Result<ProxyPlan, Problems> read_proxy(std::string_view json, std::string_view name) {
  return from_json<ProxyPlan>(json, [&](const TomlEntry& top, Problems& problems) {
    return proxy_of(top, std::string(name), problems);
  });
}

Result<Rule, Problems> read_rule(std::string_view json, Transport transport) {
  return from_json<Rule>(json, [&](const TomlEntry& top, Problems& problems) {
    return rule_of(top, transport, problems);
  });
}

void write(JsonWriter& json, const Rule& rule) {
  Writer writer(json);
  json.begin_object();
  writer.choice("kind", rule.kind, kind_names);
  visit_rule(writer, rule);
  if (rule.seed) writer.integer("seed", static_cast<std::int64_t>(*rule.seed), {});
  json.end_object();
}

void write(JsonWriter& json, const ProxyPlan& proxy) {
  Writer writer(json);
  json.begin_object();
  writer.text("listen", proxy.listen);
  writer.text("target", proxy.target);
  writer.choice("transport", proxy.transport, transport_names);
  writer.size("buffer", proxy.buffer_bytes, {});
  writer.integer("connections", proxy.connections_max, {});
  writer.duration("udp_idle", proxy.udp_idle_ns, {});
  json.key("rules").begin_object();
  for (const NamedRule& named : proxy.rules) write(json.key(named.name), named.rule);
  json.end_object().end_object();
}

}  // namespace ringgate::chaos
