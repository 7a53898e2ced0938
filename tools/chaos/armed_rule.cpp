#include "tools/chaos/armed_rule.hpp"

#include <algorithm>

#include "tools/chaos/limits.hpp"

namespace ringgate::chaos {

bool Occasion::acts(MonoNs now, const std::array<std::uint64_t, lanes>& delivered) {
  if (!rule().enabled) return false;
  const std::int64_t window = rule().schedule.window(now - rule_->base_ns);
  if (window != window_) begin(window, delivered);
  return window_ != Schedule::no_window && applies_;
}

void Occasion::begin(std::int64_t window, const std::array<std::uint64_t, lanes>& delivered) {
  window_ = window;
  if (window == Schedule::no_window) return;
  const std::uint64_t seed =
      seed_of(seed_of(rule_->seed, connection_), static_cast<std::uint64_t>(window));
  for (std::size_t lane = 0; lane < lanes; ++lane) chance_[lane] = Chance(seed_of(seed, lane));
  since_ns_ = std::max(opened_ns_, rule_->base_ns + rule().schedule.begin_of(window));
  base_ = delivered;
  ++counters().connections;
  applies_ = true;
  if (rule().per == Per::connection) {
    Chance chance(seed);
    applies_ = chance.hits(rule().probability);
    ++counters().seen;
  }
  if (kind() == Kind::corrupt && rule().per == Per::byte) {
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      gap_[lane] = rule().probability > 0 ? chance_[lane].gap(rule().probability) : ~0ULL;
    }
  }
}

bool Occasion::draws(Direction direction) {
  if (rule().per != Per::chunk) return true;
  ++counters().seen;
  return chance(direction).hits(rule().probability);
}

std::uint64_t Occasion::counted(const std::array<std::uint64_t, lanes>& delivered) const {
  std::uint64_t sum = 0;
  if (covers(Direction::up)) sum += delivered[0] - base_[0];
  if (covers(Direction::down)) sum += delivered[1] - base_[1];
  return sum;
}

std::uint8_t Occasion::flip(Chance& chance) const {
  if (rule().bits != 0) return rule().bits;
  return static_cast<std::uint8_t>(1U << chance.below(8));
}

void Occasion::corrupt(Direction direction, MutableBytes bytes) {
  Chance& chance = chance_[index_of(direction)];
  if (rule().per == Per::chunk) {
    if (bytes.empty() || !draws(direction)) return;
    bytes[chance.below(bytes.size())] ^= flip(chance);
    ++counters().hits;
    ++counters().bytes;
    return;
  }
  counters().seen += bytes.size();
  std::uint64_t& gap = gap_[index_of(direction)];
  std::uint64_t at = 0;
  while (gap < bytes.size() - at) {
    at += gap;
    bytes[at] ^= flip(chance);
    ++at;
    ++counters().hits;
    ++counters().bytes;
    gap = chance.gap(rule().probability);
  }
  if (gap != ~0ULL) gap -= bytes.size() - at;
}

MonoNs Occasion::latency(Direction direction) {
  Chance& chance = chance_[index_of(direction)];
  const auto jitter = static_cast<double>(rule().jitter_ns);
  double later = static_cast<double>(rule().delay_ns);
  if (jitter > 0) {
    later += rule().distribution == Distribution::uniform ? chance.uniform(jitter)
                                                          : chance.normal(jitter);
  }
  return static_cast<MonoNs>(
      std::clamp(later, 0.0, 2 * static_cast<double>(limits::delay_max_ns)));
}

MonoNs Occasion::stall(Direction direction) {
  MonoNs sum = 0;
  for (std::uint32_t lost = 0; lost < limits::retransmissions_max && draws(direction); ++lost) {
    sum += rule().delay_ns << lost;
  }
  return sum;
}

std::vector<Occasion> adopt(const ArmedRules& rules, std::uint64_t connection, MonoNs opened_ns,
                            std::vector<Occasion>& occasions) {
  std::vector<Occasion> kept;
  kept.reserve(rules.size());
  for (const auto& rule : rules) {
    const auto old = std::ranges::find_if(
        occasions, [&](const Occasion& one) { return &one.armed() == rule.get(); });
    if (old != occasions.end()) {
      kept.push_back(std::move(*old));
      occasions.erase(old);
    } else {
      kept.emplace_back(rule, connection, opened_ns);
    }
  }
  std::swap(kept, occasions);
  return kept;
}

}  // namespace ringgate::chaos
