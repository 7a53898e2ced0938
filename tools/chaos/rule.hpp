// What a rule says: plain values, as a plan or a request of HTTP gives them. README.md has the
// meaning of each kind for users. Any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/clock.hpp"

namespace ringgate::chaos {

enum class Kind : std::uint8_t {
  latency,     // chunks come later
  bandwidth,   // no more than `rate` bytes per second
  loss,        // UDP: a datagram is gone; TCP: it stalls like a retransmission
  duplicate,   // UDP: a datagram comes twice
  reorder,     // UDP: others overtake a datagram
  corrupt,     // a byte changes
  slice,       // at most `size` bytes at a time
  reset,       // RST
  half_open,   // one side is gone, the other is not told
  slow_close,  // the end of a connection comes later
  partition,   // nothing passes, connections stay
  blackhole,   // bytes are swallowed, or connects get no answer
  refuse,      // connects are refused
  limit,       // the connection closes after `bytes`
  count,
};
inline constexpr std::string_view kind_names[] = {
    "latency", "bandwidth", "loss",       "duplicate", "reorder",   "corrupt", "slice",
    "reset",   "half_open", "slow_close", "partition", "blackhole", "refuse",  "limit"};
static_assert(std::size(kind_names) == static_cast<std::size_t>(Kind::count));
constexpr std::string_view name_of(Kind kind) { return kind_names[static_cast<std::size_t>(kind)]; }

// Of bytes. Up: from the client to the server.
enum class Direction : std::uint8_t { up, down, both };
inline constexpr std::string_view direction_names[] = {"up", "down", "both"};
// What `probability` is drawn for.
enum class Per : std::uint8_t { connection, chunk, byte };
inline constexpr std::string_view per_names[] = {"connection", "chunk", "byte"};
enum class Distribution : std::uint8_t { uniform, normal };
inline constexpr std::string_view distribution_names[] = {"uniform", "normal"};
// Who is reset, or gone.
enum class Peer : std::uint8_t { client, server, both };
inline constexpr std::string_view peer_names[] = {"client", "server", "both"};
enum class BlackholeMode : std::uint8_t { swallow, connect };
inline constexpr std::string_view blackhole_names[] = {"swallow", "connect"};
// Where a schedule counts from: the process's start, or when the rule was last put.
enum class Since : std::uint8_t { armed, start };
inline constexpr std::string_view since_names[] = {"armed", "start"};

constexpr bool covers(Direction rule, Direction one) {
  return rule == Direction::both || rule == one;
}

// When a rule acts: windows of time, the first begins `from_ns` after the base.
struct Schedule {
  static constexpr MonoNs never = INT64_MAX;
  static constexpr std::int64_t no_window = -1;

  MonoNs from_ns = 0;
  MonoNs for_ns = 0;    // 0: without end
  MonoNs every_ns = 0;  // 0: one window
  Since since = Since::armed;

  // The number of the window that holds `t_ns` (since the base); no_window between two.
  std::int64_t window(MonoNs t_ns) const {
    if (t_ns < from_ns) return no_window;
    if (for_ns == 0) return 0;
    const MonoNs t = t_ns - from_ns;
    if (every_ns == 0) return t < for_ns ? 0 : no_window;
    return t % every_ns < for_ns ? t / every_ns : no_window;
  }
  MonoNs begin_of(std::int64_t window) const { return from_ns + window * every_ns; }
  // When the answer of window() next changes; never.
  MonoNs next_change(MonoNs t_ns) const {
    if (t_ns < from_ns) return from_ns;
    if (for_ns == 0) return never;
    const MonoNs t = t_ns - from_ns;
    if (every_ns == 0) return t < for_ns ? from_ns + for_ns : never;
    const MonoNs begin = from_ns + t / every_ns * every_ns;
    return t % every_ns < for_ns ? begin + for_ns : begin + every_ns;
  }
};

struct Rule {
  Kind kind = Kind::latency;
  Direction direction = Direction::both;
  Per per = Per::connection;
  double probability = 1;
  bool enabled = true;
  Schedule schedule;
  std::optional<std::uint64_t> seed;  // without: from the plan's, the proxy's and the rule's name

  // Of some kinds; see the table in rule_fields.cpp.
  MonoNs delay_ns = 0;                // latency, slow_close; loss: the stall; slice: the pause
  MonoNs jitter_ns = 0;               // latency: half of the width, or the standard deviation
  Distribution distribution = Distribution::uniform;
  std::int64_t rate = 0;              // bandwidth: bytes per second
  std::uint32_t copies = 1;           // duplicate: further ones
  std::uint32_t gap = 1;              // reorder: datagrams that overtake
  MonoNs hold_ns = 0;                 // reorder: at most so long
  std::uint8_t bits = 0;              // corrupt: these change; 0: one by chance
  std::int64_t size = 0;              // slice, limit: bytes
  std::optional<std::int64_t> after_bytes;  // reset, half_open
  std::optional<MonoNs> after_ns;           // reset, half_open
  Peer peer = Peer::both;             // reset: who gets RST; half_open: who is gone
  BlackholeMode mode = BlackholeMode::swallow;
};

// Whether a kind means something for bytes in order, or for datagrams.
constexpr bool acts_on_tcp(Kind kind) { return kind != Kind::duplicate && kind != Kind::reorder; }
constexpr bool acts_on_udp(Kind kind) {
  switch (kind) {
    case Kind::latency:
    case Kind::bandwidth:
    case Kind::loss:
    case Kind::duplicate:
    case Kind::reorder:
    case Kind::corrupt:
    case Kind::partition:
    case Kind::blackhole: return true;
    default: return false;
  }
}

}  // namespace ringgate::chaos
