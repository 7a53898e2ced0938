#include "tools/chaos/correspondence.hpp"

#include <algorithm>

#include "tools/chaos/limits.hpp"

namespace ringgate::chaos {

Correspondence::Correspondence(const ArmedRules& rules, std::uint64_t number,
                               std::size_t buffer_bytes, Traffic& traffic, MonoNs now)
    : traffic_(traffic), number_(number), buffer_bytes_(buffer_bytes), opened_ns_(now) {
  adopt(rules, now);
}

Correspondence::~Correspondence() {
  for (std::size_t i = 0; i < lanes; ++i) {
    for (const Waiting& one : lane_[i].waiting) {
      traffic_.lane[i].waiting_bytes -= one.bytes.size();
    }
    for (const Held& one : lane_[i].held) traffic_.lane[i].waiting_bytes -= one.bytes.size();
  }
}

void Correspondence::adopt(const ArmedRules& rules, MonoNs now) {
  for (const Occasion& gone : chaos::adopt(rules, number_, opened_ns_, occasions_)) {
    for (Lane& lane : lane_) {
      if (gone.kind() == Kind::bandwidth) lane.line_free_ns = 0;
      if (gone.kind() == Kind::reorder) {
        for (Held& one : lane.held) one.until_ns = std::min(one.until_ns, now);
      }
      if (gone.kind() != Kind::latency) continue;
      for (Waiting& one : lane.waiting) one.due_ns = std::min(one.due_ns, now);
      std::ranges::make_heap(lane.waiting, &later);
    }
  }
}

template <class Use>
void Correspondence::each(Direction direction, Kind kind, MonoNs now, Use&& use) {
  each_acting(occasions_, direction, kind, now, delivered_, std::forward<Use>(use));
}

void Correspondence::passed(Direction direction, std::size_t size_bytes) {
  delivered_[index_of(direction)] += size_bytes;
  Traffic::Lane& counters = traffic_.lane[index_of(direction)];
  ++counters.chunks;
  counters.bytes += size_bytes;
}

bool Correspondence::gone(Direction direction, MonoNs now, std::size_t size_bytes) {
  bool lost = false;
  const auto lose = [&](Occasion& occasion) {
    lost = true;
    ++occasion.counters().hits;
    occasion.counters().bytes += size_bytes;
  };
  each(direction, Kind::blackhole, now, [&](Occasion& occasion) {
    if (occasion.rule().mode == BlackholeMode::swallow) lose(occasion);
  });
  each(direction, Kind::partition, now, lose);
  each(direction, Kind::loss, now, [&](Occasion& occasion) {
    if (occasion.draws(direction)) lose(occasion);
  });
  return lost;
}

bool Correspondence::charge(Direction direction, std::size_t size_bytes) {
  Lane& to = lane(direction);
  Traffic::Lane& counters = traffic_.lane[index_of(direction)];
  if (to.charged + size_bytes + limits::piece_overhead_bytes > buffer_bytes_) {
    ++counters.dropped;
    return false;
  }
  to.charged += size_bytes + limits::piece_overhead_bytes;
  counters.waiting_bytes += size_bytes;
  return true;
}

void Correspondence::uncharge(Direction direction, std::size_t size_bytes) {
  lane(direction).charged -= size_bytes + limits::piece_overhead_bytes;
  traffic_.lane[index_of(direction)].waiting_bytes -= size_bytes;
}

void Correspondence::push(Direction direction, MonoNs due_ns, std::vector<std::uint8_t> bytes) {
  Lane& to = lane(direction);
  to.waiting.push_back({std::move(bytes), due_ns, to.numbers++});
  std::ranges::push_heap(to.waiting, &later);
}

void Correspondence::release(Direction direction, std::size_t index, MonoNs now) {
  Lane& from = lane(direction);
  Held one = std::move(from.held[index]);
  from.held.erase(from.held.begin() + static_cast<std::ptrdiff_t>(index));
  push(direction, now + one.later_ns, std::move(one.bytes));
}

// One more has passed those that are held.
void Correspondence::overtaken(Direction direction, MonoNs now) {
  Lane& from = lane(direction);
  for (std::size_t i = 0; i < from.held.size();) {
    if (--from.held[i].left == 0) {
      release(direction, i, now);
    } else {
      ++i;
    }
  }
}

void Correspondence::take(Direction direction, MonoNs now, Bytes datagram) {
  Traffic::Lane& counters = traffic_.lane[index_of(direction)];
  ++counters.chunks;
  if (gone(direction, now, datagram.size())) {
    ++counters.dropped;
    return;
  }
  std::vector<std::uint8_t> bytes(datagram.begin(), datagram.end());
  each(direction, Kind::corrupt, now,
       [&](Occasion& occasion) { occasion.corrupt(direction, bytes); });
  MonoNs later_ns = 0;
  std::uint32_t copies = 1;
  const Rule* reorder = nullptr;
  const auto hit = [&](Occasion& occasion) {
    if (!occasion.draws(direction)) return false;
    ++occasion.counters().hits;
    occasion.counters().bytes += bytes.size();
    return true;
  };
  each(direction, Kind::latency, now, [&](Occasion& occasion) {
    if (hit(occasion)) later_ns += occasion.latency(direction);
  });
  each(direction, Kind::duplicate, now, [&](Occasion& occasion) {
    if (hit(occasion)) copies += occasion.rule().copies;
  });
  each(direction, Kind::reorder, now, [&](Occasion& occasion) {
    if (hit(occasion)) reorder = &occasion.rule();
  });
  for (std::uint32_t copy = 0; copy < copies && reorder == nullptr; ++copy) {
    if (charge(direction, bytes.size())) push(direction, now + later_ns, bytes);
  }
  if (reorder == nullptr) return overtaken(direction, now + later_ns);
  // Held ones are not overtaken by each other: that would put them in order again.
  for (std::uint32_t copy = 0; copy < copies; ++copy) {
    if (!charge(direction, bytes.size())) continue;
    lane(direction).held.push_back({bytes, now + reorder->hold_ns, later_ns, reorder->gap});
  }
}

bool Correspondence::next(Direction direction, MonoNs now, std::vector<std::uint8_t>& datagram) {
  Lane& from = lane(direction);
  for (std::size_t i = 0; i < from.held.size();) {
    if (from.held[i].until_ns <= now) {
      release(direction, i, now);
    } else {
      ++i;
    }
  }
  if (from.waiting.empty() || from.waiting.front().due_ns > now || from.line_free_ns > now) {
    return false;
  }
  std::ranges::pop_heap(from.waiting, &later);
  datagram = std::move(from.waiting.back().bytes);
  from.waiting.pop_back();
  uncharge(direction, datagram.size());
  each(direction, Kind::bandwidth, now, [&](Occasion& occasion) {
    const double took = static_cast<double>(datagram.size()) * static_cast<double>(ns_per_s) /
                        static_cast<double>(occasion.rule().rate);
    const MonoNs begin = std::max(from.line_free_ns, now - limits::bandwidth_step_ns);
    from.line_free_ns = begin + static_cast<MonoNs>(std::min(took, 1e17));
    if (from.line_free_ns > now) ++occasion.counters().hits;
    occasion.counters().bytes += datagram.size();
  });
  delivered_[index_of(direction)] += datagram.size();
  traffic_.lane[index_of(direction)].bytes += datagram.size();
  return true;
}

MonoNs Correspondence::wake_at() const {
  MonoNs at = Schedule::never;
  for (const Lane& lane : lane_) {
    for (const Held& one : lane.held) at = std::min(at, one.until_ns);
    if (!lane.waiting.empty()) {
      at = std::min(at, std::max(lane.waiting.front().due_ns, lane.line_free_ns));
    }
  }
  return at;
}

}  // namespace ringgate::chaos
