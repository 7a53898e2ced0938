// Rules at run time: a rule as it was armed in a proxy, and what it means for one connection. Pure:
// time comes in, nothing is read or written. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/bytes.hpp"
#include "tools/chaos/chance.hpp"
#include "tools/chaos/rule.hpp"

namespace ringgate::chaos {

struct RuleCounters {
  std::uint64_t connections = 0;  // it was looked at for, each window anew
  std::uint64_t seen = 0;         // draws of its probability
  std::uint64_t hits = 0;         // times that it did what it does
  std::uint64_t bytes = 0;        // that this met
};

// Shared by the connections of a proxy; replaced as a whole.
struct ArmedRule {
  std::string name;
  Rule rule;
  MonoNs base_ns = 0;      // its schedule counts from here
  std::uint64_t seed = 0;
  mutable RuleCounters counters;

  bool acts(MonoNs now) const {
    return rule.enabled && rule.schedule.window(now - base_ns) != Schedule::no_window;
  }
  // When acts() next changes; Schedule::never.
  MonoNs next_change(MonoNs now) const {
    if (!rule.enabled) return Schedule::never;
    const MonoNs change = rule.schedule.next_change(now - base_ns);
    return change == Schedule::never ? change : base_ns + change;
  }
};
using ArmedRules = std::vector<std::shared_ptr<const ArmedRule>>;

// What passed in each direction of a proxy, and of one connection.
constexpr std::size_t lanes = 2;
constexpr std::size_t index_of(Direction direction) { return direction == Direction::up ? 0 : 1; }
struct Traffic {
  struct Lane {
    std::uint64_t bytes = 0;    // delivered
    std::uint64_t chunks = 0;   // received
    std::uint64_t dropped = 0;  // datagrams: lost, unreachable, no room
    std::uint64_t waiting_bytes = 0;
  };
  std::array<Lane, lanes> lane;
};

// A rule and one connection: whether it applies, its draws, and from where it counts. With each
// window of the rule's schedule it begins anew.
class Occasion {
 public:
  Occasion(std::shared_ptr<const ArmedRule> rule, std::uint64_t connection, MonoNs opened_ns)
      : rule_(std::move(rule)), connection_(connection), opened_ns_(opened_ns) {}

  const ArmedRule& armed() const { return *rule_; }
  const Rule& rule() const { return rule_->rule; }
  Kind kind() const { return rule_->rule.kind; }
  RuleCounters& counters() const { return rule_->counters; }
  bool covers(Direction direction) const { return chaos::covers(rule().direction, direction); }

  // Whether it acts on this connection now. `delivered` are its bytes so far, by lane.
  bool acts(MonoNs now, const std::array<std::uint64_t, lanes>& delivered);
  // The chance of one chunk or datagram of a direction, where the rule is drawn for those; else
  // true.
  bool draws(Direction direction);
  Chance& chance(Direction direction) { return chance_[index_of(direction)]; }
  // When its window began, or the connection, if that was later.
  MonoNs since_ns() const { return since_ns_; }
  // Bytes of its direction since then.
  std::uint64_t counted(const std::array<std::uint64_t, lanes>& delivered) const;

  // Changes bytes as a rule of kind corrupt says. Where each byte is drawn for, the draws don't
  // depend on how the bytes are cut into chunks.
  void corrupt(Direction direction, MutableBytes bytes);
  // How much later a chunk comes (latency), drawn anew for each.
  MonoNs latency(Direction direction);
  // How long a chunk of TCP stalls: 0, or the sum of its retransmissions' times.
  MonoNs stall(Direction direction);

 private:
  static constexpr std::int64_t unknown_window = -2;
  void begin(std::int64_t window, const std::array<std::uint64_t, lanes>& delivered);
  std::uint8_t flip(Chance& chance) const;

  std::shared_ptr<const ArmedRule> rule_;
  std::uint64_t connection_;
  MonoNs opened_ns_;
  std::int64_t window_ = unknown_window;
  bool applies_ = false;
  MonoNs since_ns_ = 0;
  std::array<Chance, lanes> chance_;
  std::array<std::uint64_t, lanes> base_{};
  std::array<std::uint64_t, lanes> gap_{};  // bytes to the next that changes
};

// The rules of a connection are others: occasions of those that stay go on, those of new ones
// begin. Returns those of rules that have gone.
std::vector<Occasion> adopt(const ArmedRules& rules, std::uint64_t connection, MonoNs opened_ns,
                            std::vector<Occasion>& occasions);

// Those of a kind that act on a direction now.
template <class Use>
void each_acting(std::vector<Occasion>& occasions, Direction direction, Kind kind, MonoNs now,
                 const std::array<std::uint64_t, lanes>& delivered, Use&& use) {
  for (Occasion& one : occasions) {
    if (one.kind() == kind && one.covers(direction) && one.acts(now, delivered)) use(one);
  }
}

}  // namespace ringgate::chaos
