// A plan: proxies and their rules, read from TOML (a file) or JSON (a request), which have the same
// shape; and written as JSON. All mistakes of a text are found at once. Pure; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/base/json_writer.hpp"
#include "engine/base/result.hpp"
#include "tools/chaos/rule.hpp"

namespace ringgate::chaos {

struct NamedRule {
  std::string name;
  Rule rule;
};

enum class Transport : std::uint8_t { tcp, udp, both };
inline constexpr std::string_view transport_names[] = {"tcp", "udp", "both"};
constexpr bool has_tcp(Transport transport) { return transport != Transport::udp; }
constexpr bool has_udp(Transport transport) { return transport != Transport::tcp; }

struct ProxyPlan {
  std::string name;
  std::string listen;  // "127.0.0.1:7908"; port 0 takes a free one
  std::string target;  // "127.0.0.1:7808"
  Transport transport = Transport::tcp;
  std::int64_t buffer_bytes = 0;  // of each direction of a connection
  std::int64_t connections_max = 0;
  MonoNs udp_idle_ns = 0;  // a sender of datagrams that is silent so long is forgotten
  std::vector<NamedRule> rules;
};

struct ControlPlan {
  std::string listen = "127.0.0.1:8474";  // empty: no HTTP
  std::vector<std::string> hosts;         // further names in Host
};

struct Plan {
  std::uint64_t seed = 1;
  ControlPlan control;
  std::vector<ProxyPlan> proxies;
};

// A mistake and where it is: in TOML a line and a column from 1, in JSON a pointer (RFC 6901).
struct Problem {
  unsigned line = 0;
  unsigned column = 0;
  std::string pointer;
  std::string message;
};
using Problems = std::vector<Problem>;

Result<Plan, Problems> read_plan(std::string_view toml);
// Bodies of PUT /proxies/NAME and of PUT /proxies/NAME/rules/RULE.
Result<ProxyPlan, Problems> read_proxy(std::string_view json, std::string_view name);
Result<Rule, Problems> read_rule(std::string_view json, Transport transport);

// Of a proxy or a rule: letters, digits, "-" and "_"; the error says so.
Result<void> check_name(std::string_view name);

// What the readers above take.
void write(JsonWriter& json, const Rule& rule);
void write(JsonWriter& json, const ProxyPlan& proxy);

}  // namespace ringgate::chaos
