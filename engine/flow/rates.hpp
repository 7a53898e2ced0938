// How often somebody may do something: for each key so many a second, with a burst (the generic
// cell rate algorithm: a bucket is one time, that at which it is full again). A fixed table; where
// more keys are at work than it has places, the one nearest to its full bucket loses its account.
// No locks: any thread, several at a time.
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstdint>
#include <memory>

#include "engine/base/check.hpp"
#include "engine/base/clock.hpp"

namespace ringgate::flow {

struct Rate {
  MonoNs each_ns = 0;   // what one costs; 0: there is no bound
  MonoNs burst_ns = 0;  // what a full bucket holds; at least each_ns, or nothing fits it

  // `burst`: how many at once.
  static Rate per_second(std::uint64_t count, std::uint64_t burst) {
    if (count == 0) return {};
    const MonoNs each = ns_per_s / static_cast<MonoNs>(count);
    return {each, each * static_cast<MonoNs>(burst)};
  }
};

class RateTable {
 public:
  // `places`: a power of two, 8 bytes each.
  explicit RateTable(std::uint32_t places)
      : places_(std::make_unique<std::atomic<std::uint64_t>[]>(places)), sets_(places / ways) {
    RG_CHECK(std::has_single_bit(places) && places >= ways);
  }

  // 0: it fits, and is accounted for. Otherwise how long until it does; nothing changes then.
  // `key`: mixed with a secret, so that nobody can aim at somebody else's place.
  MonoNs take(std::uint64_t key, const Rate& rate, MonoNs now) {
    if (rate.each_ns == 0) return 0;
    std::atomic<std::uint64_t>* const set = &places_[(key & (sets_ - 1)) * ways];
    // Not 0, which is what an empty place has.
    const std::uint64_t tag = (key >> 48) | 1;
    for (;;) {
      std::atomic<std::uint64_t>* place = set;
      std::uint64_t there = set->load(std::memory_order_relaxed);
      for (std::uint32_t i = 0; i < ways; ++i) {
        const std::uint64_t one = set[i].load(std::memory_order_relaxed);
        const bool ours = one >> time_bits == tag;
        if (!ours && time_of(one) >= time_of(there)) continue;
        place = set + i;
        there = one;
        if (ours) break;
      }
      const MonoNs full_at = there >> time_bits == tag ? time_of(there) : 0;
      const MonoNs after = std::max(full_at, now) + rate.each_ns;
      if (after - now > rate.burst_ns) return after - now - rate.burst_ns;
      const std::uint64_t next = tag << time_bits | units_of(after);
      if (place->compare_exchange_weak(there, next, std::memory_order_relaxed)) return 0;
    }
  }

 private:
  static constexpr std::uint32_t ways = 4;
  // 1.024 us each: nine years of a monotonic clock.
  static constexpr std::uint32_t time_bits = 48;
  static constexpr std::uint32_t unit_shift = 10;
  static MonoNs time_of(std::uint64_t place) {
    constexpr std::uint64_t mask = (std::uint64_t{1} << time_bits) - 1;
    return static_cast<MonoNs>((place & mask) << unit_shift);
  }
  static std::uint64_t units_of(MonoNs time) {
    return static_cast<std::uint64_t>(time) >> unit_shift;
  }

  std::unique_ptr<std::atomic<std::uint64_t>[]> places_;
  std::uint32_t sets_;
};

}  // namespace ringgate::flow
