// A class of users from its table. See reading.hpp.
#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>

#include "engine/config/schema.hpp"
#include "tools/load/scenario/reading.hpp"

namespace ringgate::load {

namespace {

using config::TomlEntry;
using Kind = config::TomlEntry::Kind;

// Addresses of a class: more than anybody needs for scenario_users_max.
constexpr std::size_t sources_max = 4096;

bool parse_ip(std::string text, std::uint32_t& host) {
  while (!text.empty() && text.back() == ' ') text.pop_back();
  while (!text.empty() && text.front() == ' ') text.erase(0, 1);
  in_addr address{};
  if (inet_pton(AF_INET, text.c_str(), &address) != 1) return false;
  host = ntohl(address.s_addr);
  return true;
}

std::string ip_text(std::uint32_t host) {
  return fmt::format("{}.{}.{}.{}", host >> 24, host >> 16 & 255, host >> 8 & 255, host & 255);
}

void read_sources(const Fields& fields, UserClass& made, Complaints& complaints) {
  const Field& field = fields["sources"];
  if (field.entry == nullptr || !fields.sound("sources")) return;
  for (std::size_t i = 0; i < field.texts.size(); ++i) {
    const std::string& text = field.texts[i];
    const TomlEntry& entry = field.entry->children[i];
    const std::size_t dots = text.find("..");
    std::uint32_t first = 0;
    std::uint32_t last = 0;
    const bool parsed = parse_ip(text.substr(0, dots), first) &&
                        (dots == std::string::npos ? parse_ip(text, last)
                                                   : parse_ip(text.substr(dots + 2), last));
    if (!parsed || last < first) {
      complaints.at_value(entry, fmt::format("{} is neither an IPv4 address nor a range of them "
                                             "such as \"127.0.1.1..127.0.1.16\"",
                                             config::toml_quoted(text)));
      continue;
    }
    if (made.sources.size() + (last - first) >= sources_max) {
      complaints.at_value(entry, fmt::format("more than {} addresses", sources_max));
      return;
    }
    for (std::uint64_t ip = first; ip <= last; ++ip) {
      made.sources.push_back(ip_text(static_cast<std::uint32_t>(ip)));
    }
  }
}

void read_routes(const Fields& fields, UserClass& made, Complaints& complaints) {
  if (!fields.has("route")) {
    if (made.kind == UserKind::api) {
      made.routes = {{"GET", "/api/v1/devices?limit=100", "", 3},
                     {"GET", "/api/v1/alarms?limit=100", "", 1}};
    }
    return;
  }
  if (!fields.sound("route")) return;
  const TomlEntry& list = *fields["route"].entry;
  if (list.kind != Kind::list) {
    return complaints.at_value(list, "there may be several routes: write [[class.route]] below "
                                     "their [[class]], or route = [{ path = \"/...\" }]");
  }
  double weights = 0;
  bool all = true;
  for (const TomlEntry& entry : list.children) {
    if (entry.kind != Kind::table) {
      complaints.at_value(entry, fmt::format("a route is a table such as {{ path = "
                                             "\"/api/v1/devices\" }}, not {}",
                                             config::described(entry)));
      all = false;
      continue;
    }
    const Fields route(entry, "class.route", "", "this route", complaints);
    all &= required(route, {"path"});
    const std::string& path = route["path"].text;
    if (route.sound("path") && !path.starts_with('/')) {
      route.complain("path", "path begins with '/', as in \"/api/v1/devices\"");
    }
    if (route.sound("path") && path.find_first_of(" \r\n\t") != std::string::npos) {
      route.complain("path", "path has no blanks: write %20");
    }
    weights += route["weight"].number;
    made.routes.push_back({std::string(route["method"].rule->choices[route["method"].choice]),
                           path, route["body"].text, route["weight"].number});
  }
  if (all && weights <= 0) {
    complaints.at_value(list, "no route is ever taken: give one a weight above 0");
  }
}

void check_class(const Fields& fields, const UserClass& made) {
  if (fields.has("in_flight") && made.in_flight > 0 && fields.has("interval")) {
    fields.complain("in_flight", "interval makes an open model, in_flight a closed one: leave one "
                                 "of them out");
  }
  if (made.kind == UserKind::terminal && !made.think.none() && made.in_flight == 0) {
    fields.complain("think", "a terminal thinks in the closed model only: add in_flight = 1, or "
                             "set interval instead");
  }
  if (made.kind == UserKind::api && fields.has("think") && fields.has("interval")) {
    fields.complain("think", "a user either thinks between an answer and the next request, or has "
                             "an interval: leave one of them out");
  }
  if (made.kind == UserKind::api && !fields.has("think") && made.interval_ns == 0) {
    fields.complain("interval", "an api user without an interval needs a think time: think = "
                                "\"1s..3s\"");
  }
  if (fields.has("alarms_per_hour") && made.profile != Profile::alarms) {
    fields.complain("alarms_per_hour", "alarms belong to profile = \"alarms\"");
  }
  if (made.kind == UserKind::flapping && made.stay.none() && made.away.none()) {
    fields.complain("stay", "it neither stays nor is away: one of them must be above 0s");
  }
  if (made.kind == UserKind::hostile && made.attacks.empty()) {
    fields.complain("attacks", "a hostile one needs at least one attack");
  }
  if (made.kind != UserKind::terminal && made.transport == Transport::udp) {
    fields.complain("transport", "only terminals use udp");
  }
}

}  // namespace

UserClass read_class(const TomlEntry& table, std::size_t index, Complaints& complaints,
                     bool& counted) {
  std::string kind;
  std::string name;
  for (const TomlEntry& child : table.children) {
    if (child.kind != Kind::text) continue;
    if (config::name_in(child, table.path) == "kind") kind = child.text;
    if (config::name_in(child, table.path) == "name") name = child.text;
  }
  std::string who = name.empty() ? fmt::format("class number {}", index + 1)
                                 : fmt::format("class {}", config::toml_quoted(name));
  // With a kind that is none, keys are not held against it: that error stands alone.
  const auto kinds = rule_of("class", "kind").choices;
  const bool known = std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
  const Fields fields(table, "class", known ? std::string_view(kind) : std::string_view{},
                      std::move(who), complaints);
  UserClass made;
  required(fields, {"name", "kind"});
  made.name = fields["name"].text;
  made.kind = static_cast<UserKind>(fields["kind"].choice);
  made.weight = fields["weight"].number;
  made.users = static_cast<std::uint32_t>(fields["users"].number);
  made.version = static_cast<Version>(fields["version"].choice);
  made.transport = static_cast<Transport>(fields["transport"].choice);
  made.in_flight = static_cast<std::uint32_t>(fields["in_flight"].number);
  made.think = fields["think"].pause;
  made.interval_ns = fields["interval"].time_ns;
  made.profile = static_cast<Profile>(fields["profile"].choice);
  made.alarms_per_hour = made.profile == Profile::alarms ? fields["alarms_per_hour"].number : 0;
  made.loss = fields["loss"].number;
  made.phone_base = static_cast<std::uint64_t>(fields["phone_base"].number);
  made.reconnect = fields["reconnect"].boolean;
  made.feed = static_cast<Feed>(fields["feed"].choice);
  made.filter = fields["filter"].text;
  made.slow = fields["slow"].boolean;
  made.silence = static_cast<Silence>(fields["silence"].choice);
  made.stay = fields["stay"].pause;
  made.away = fields["away"].pause;
  made.leave = static_cast<Leave>(fields["leave"].choice);
  for (const std::size_t attack : fields["attacks"].chosen) {
    made.attacks.push_back(static_cast<Attack>(attack));
  }
  counted = true;
  for (const std::string_view key : {"weight", "users", "phone_base"}) {
    counted &= !fields.has(key) || fields.sound(key);
  }
  read_sources(fields, made, complaints);
  read_routes(fields, made, complaints);
  if (known) check_class(fields, made);
  // The interval is of the open model only.
  if (made.in_flight > 0 || (made.kind == UserKind::api && fields.has("think"))) {
    made.interval_ns = 0;
  }
  return made;
}

}  // namespace ringgate::load
