// The crowd of a class of a scenario.
#include <arpa/inet.h>
#include <fmt/core.h>
#include <sys/socket.h>

#include <cstring>

#include "tools/load/crowd/api_crowd.hpp"
#include "tools/load/crowd/crowd.hpp"
#include "tools/load/crowd/hostile_crowd.hpp"
#include "tools/load/crowd/silent_crowd.hpp"
#include "tools/load/crowd/subscriber_crowd.hpp"
#include "tools/load/crowd/targets.hpp"
#include "tools/load/crowd/terminal_crowd.hpp"

namespace ringgate::load {
namespace {

// An address of the loopback network has some 28,000 ports towards one listener; above this many
// users in the whole run each worker and class leaves from one of its own.
constexpr std::uint32_t users_per_source = 20'000;
constexpr std::uint32_t window_open = 64;
constexpr MonoNs handshake_limit_ns = 20 * ns_per_s;

const UserClass& class_of(const CrowdPlace& place) {
  return place.scenario->classes[place.class_index];
}

}  // namespace

Result<TargetAddress> resolve_target(const std::string& text, std::string_view key) {
  const auto found = tool::resolve_address(text, fmt::format("target.{}", key));
  if (!found.ok()) return found.error();
  return TargetAddress{*found, text};
}

Result<std::vector<in_addr>> sources_of(const CrowdPlace& place, const TargetAddress& target) {
  std::vector<in_addr> out;
  for (const std::string& text : class_of(place).sources) {
    in_addr address{};
    if (inet_pton(AF_INET, text.c_str(), &address) != 1) {
      return Error{0, fmt::format("class {}: sources: {} is no IPv4 address",
                                  class_of(place).name, text)};
    }
    out.push_back(address);
  }
  if (!out.empty() || target.address.ss_family != AF_INET) return out;
  const auto& to = reinterpret_cast<const sockaddr_in&>(target.address);
  const bool is_loopback = (ntohl(to.sin_addr.s_addr) >> 24) == 127;
  if (!is_loopback || place.scenario->users_max() <= users_per_source) return out;
  const std::uint32_t number = place.worker * 64 + place.class_index % 64;
  out.push_back({htonl((127U << 24) + 0x10000U + number)});
  return out;
}

std::uint64_t seed_of(const CrowdPlace& place) {
  return user_seed(place.scenario->seed, place.class_index, place.worker);
}

namespace {

Result<TargetAddress> terminal_target(const CrowdPlace& place) {
  const Target& target = place.scenario->target;
  switch (class_of(place).transport) {
    case Transport::udp: return resolve_target(target.jt808_udp, "jt808_udp");
    case Transport::tls: return resolve_target(target.jt808_tls, "jt808_tls");
    case Transport::tcp: break;
  }
  return resolve_target(target.jt808, "jt808");
}

// A terminal that is parked: ignition off, at rest.
Position parked_position() {
  Position position;
  position.status = 0x2;  // located, ACC off
  position.speed_dkmh = 0;
  position.heading_deg = 0;
  return position;
}

Result<TerminalsOptions> terminals_options(const CrowdPlace& place) {
  const UserClass& of = class_of(place);
  const Result<TargetAddress> target = terminal_target(place);
  if (!target.ok()) return target.error();
  Result<std::vector<in_addr>> sources = sources_of(place, *target);
  if (!sources.ok()) return sources.error();
  const bool closed = of.in_flight > 0;
  TerminalsOptions out;
  out.target = target->address;
  out.target_bytes = target->bytes;
  out.sources = std::move(*sources);
  out.version = of.version;
  out.devices = place.users_max;
  out.phone_base = of.phone_base + place.worker;
  out.phone_step = place.workers;
  out.window = closed ? of.in_flight : window_open;
  out.frames_per_send = closed ? of.in_flight : 4;
  out.closed = closed && of.think.none();
  out.due_max = closed ? 0 : window_open;
  out.handshake_limit_ns = handshake_limit_ns;
  out.drive = of.profile != Profile::parked;
  out.position = parked_position();
  out.udp = of.transport == Transport::udp;
  out.tls = of.transport == Transport::tls;
  out.loss = of.loss;
  out.seed = seed_of(place);
  return out;
}

Result<std::unique_ptr<Crowd>> make_terminals(const CrowdPlace& place) {
  const UserClass& of = class_of(place);
  Result<TerminalsOptions> terminals = terminals_options(place);
  if (!terminals.ok()) return terminals.error();
  TerminalCrowdOptions options;
  options.terminals = std::move(*terminals);
  options.interval_ns = of.in_flight > 0 ? 0 : of.interval_ns;
  options.think = of.in_flight > 0 ? of.think : Pause{};
  options.reconnect = of.reconnect;
  if (of.profile == Profile::alarms) options.alarms_per_hour = of.alarms_per_hour;
  if (of.kind == UserKind::flapping) {
    options.flaps = true;
    options.stay = of.stay;
    options.away = of.away;
    options.leave = of.leave;
  }
  if (of.kind == UserKind::silent) {
    options.interval_ns = 0;
    options.terminals.closed = false;
    options.expects_close = true;
  }
  return std::unique_ptr<Crowd>(std::make_unique<TerminalCrowd>(place, options));
}

// One that connects to a single address.
template <class Kind>
Result<std::unique_ptr<Crowd>> make_at(const CrowdPlace& place,
                                       const Result<TargetAddress>& target) {
  if (!target.ok()) return target.error();
  Result<std::vector<in_addr>> sources = sources_of(place, *target);
  if (!sources.ok()) return sources.error();
  return std::unique_ptr<Crowd>(std::make_unique<Kind>(place, *target, std::move(*sources)));
}

Result<std::unique_ptr<Crowd>> make_hostile(const CrowdPlace& place) {
  const Target& target = place.scenario->target;
  bool needs_http = false, needs_devices = false;
  for (const Attack attack : class_of(place).attacks) {
    const bool http = attack == Attack::bad_http || attack == Attack::slow_bytes;
    (http ? needs_http : needs_devices) = true;
  }
  TargetAddress devices, http;
  if (needs_devices) {
    const Result<TargetAddress> found = resolve_target(target.jt808, "jt808");
    if (!found.ok()) return found.error();
    devices = *found;
  }
  if (needs_http) {
    const Result<TargetAddress> found = resolve_target(target.http, "http");
    if (!found.ok()) return found.error();
    http = *found;
  }
  Result<std::vector<in_addr>> sources = sources_of(place, needs_devices ? devices : http);
  if (!sources.ok()) return sources.error();
  return std::unique_ptr<Crowd>(
      std::make_unique<HostileCrowd>(place, devices, http, std::move(*sources)));
}

}  // namespace

Result<std::unique_ptr<Crowd>> make_crowd(const CrowdPlace& place) {
  const Target& target = place.scenario->target;
  const UserClass& of = class_of(place);
  switch (of.kind) {
    case UserKind::terminal:
    case UserKind::flapping: return make_terminals(place);
    case UserKind::silent:
      if (of.silence == Silence::sign_in) return make_terminals(place);
      return make_at<SilentCrowd>(place, resolve_target(target.jt808, "jt808"));
    case UserKind::api: return make_at<ApiCrowd>(place, resolve_target(target.http, "http"));
    case UserKind::subscriber:
      return make_at<SubscriberCrowd>(place, resolve_target(target.http, "http"));
    case UserKind::hostile: return make_hostile(place);
  }
  return Error{0, fmt::format("class {}: a kind that this program does not know", of.name)};
}

}  // namespace ringgate::load
