#include "tools/chaos/conversation.hpp"

#include <algorithm>

#include "engine/base/check.hpp"
#include "tools/chaos/limits.hpp"

namespace ringgate::chaos {

namespace {

constexpr bool delays(Kind kind) {
  return kind == Kind::latency || kind == Kind::loss || kind == Kind::slow_close;
}
constexpr bool judges(Kind kind) {
  return kind == Kind::reset || kind == Kind::half_open || kind == Kind::limit;
}

// Bytes that a line of `rate` carries in one step.
std::uint64_t step_bytes(std::int64_t rate) {
  const auto bytes = static_cast<double>(rate) * static_cast<double>(limits::bandwidth_step_ns) /
                     static_cast<double>(ns_per_s);
  return bytes < 1 ? 1 : static_cast<std::uint64_t>(std::min(bytes, 1e12));
}

}  // namespace

Conversation::Conversation(const ArmedRules& rules, std::uint64_t number, std::size_t buffer_bytes,
                           Traffic& traffic, MonoNs now)
    : traffic_(traffic), number_(number), buffer_bytes_(buffer_bytes), opened_ns_(now) {
  adopt(rules, now);
  for (Occasion& occasion : occasions_) {
    if (occasion.kind() != Kind::refuse || !occasion.acts(now, delivered_)) continue;
    refused_ = true;
    ++occasion.counters().hits;
  }
}

Conversation::~Conversation() {
  for (std::size_t i = 0; i < lanes; ++i) {
    for (const Piece& piece : lane_[i].queue) {
      traffic_.lane[i].waiting_bytes -= piece.bytes.size() - piece.at;
    }
  }
}

void Conversation::adopt(const ArmedRules& rules, MonoNs now) {
  for (const Occasion& gone : chaos::adopt(rules, number_, opened_ns_, occasions_)) {
    for (Lane& lane : lane_) {
      if (gone.kind() == Kind::bandwidth) lane.line_free_ns = 0;
      if (gone.kind() == Kind::slice) lane.pause_until_ns = 0;
      if (!delays(gone.kind())) continue;
      for (Piece& piece : lane.queue) piece.due_ns = std::min(piece.due_ns, now);
      lane.last_due_ns = std::min(lane.last_due_ns, now);
      lane.end_due_ns = std::min(lane.end_due_ns, now);
    }
  }
}

template <class Use>
void Conversation::each(Direction direction, Kind kind, MonoNs now, Use&& use) {
  each_acting(occasions_, direction, kind, now, delivered_, std::forward<Use>(use));
}

void Conversation::passed(Direction direction, std::size_t size_bytes) {
  delivered_[index_of(direction)] += size_bytes;
  Traffic::Lane& counters = traffic(direction);
  ++counters.chunks;
  counters.bytes += size_bytes;
}

// A stream with a hole exists on no network: what is black stays so.
bool Conversation::swallows(Direction direction, MonoNs now, std::size_t size_bytes) {
  Lane& to = lane(direction);
  each(direction, Kind::blackhole, now, [&](Occasion& occasion) {
    if (occasion.rule().mode != BlackholeMode::swallow) return;
    to.black = true;
    ++occasion.counters().hits;
    occasion.counters().bytes += size_bytes;
  });
  return to.black;
}

MonoNs Conversation::delay(Direction direction, MonoNs now, std::size_t size_bytes) {
  MonoNs sum = 0;
  const auto add = [&](Occasion& occasion, MonoNs more) {
    sum += more;
    ++occasion.counters().hits;
    occasion.counters().bytes += size_bytes;
  };
  each(direction, Kind::latency, now, [&](Occasion& occasion) {
    if (occasion.draws(direction)) add(occasion, occasion.latency(direction));
  });
  each(direction, Kind::loss, now, [&](Occasion& occasion) {
    const MonoNs stall = occasion.stall(direction);
    if (stall > 0) add(occasion, stall);
  });
  return sum;
}

void Conversation::take(Direction direction, MonoNs now, Bytes bytes) {
  Lane& to = lane(direction);
  Traffic::Lane& counters = traffic(direction);
  ++counters.chunks;
  if (swallows(direction, now, bytes.size())) return;
  Piece piece;
  piece.bytes.assign(bytes.begin(), bytes.end());
  each(direction, Kind::corrupt, now, [&](Occasion& occasion) {
    occasion.corrupt(direction, piece.bytes);
  });
  piece.due_ns = std::max(to.last_due_ns, now + delay(direction, now, bytes.size()));
  to.last_due_ns = piece.due_ns;
  to.charged += bytes.size() + limits::piece_overhead_bytes;
  counters.waiting_bytes += bytes.size();
  to.queue.push_back(std::move(piece));
}

void Conversation::put_back(Direction direction, MonoNs now, Bytes bytes) {
  Lane& to = lane(direction);
  Piece piece;
  piece.bytes.assign(bytes.begin(), bytes.end());
  piece.due_ns = now;
  to.charged += bytes.size() + limits::piece_overhead_bytes;
  traffic(direction).waiting_bytes += bytes.size();
  to.queue.push_front(std::move(piece));
}

void Conversation::end(Direction direction, MonoNs now, End how) {
  Lane& to = lane(direction);
  if (to.end != End::none) return;
  to.end = how;
  if (swallows(direction, now, 0)) return;
  to.end_due_ns = std::max(to.last_due_ns, now + delay(direction, now, 0));
  each(direction, Kind::slow_close, now, [&](Occasion& occasion) {
    to.end_due_ns += occasion.rule().delay_ns;
    ++occasion.counters().hits;
  });
}

bool Conversation::held(Direction direction, MonoNs now) {
  bool any = false;
  each(direction, Kind::partition, now, [&](Occasion&) { any = true; });
  return any;
}

std::uint64_t Conversation::allowance(Direction direction, MonoNs now) {
  std::uint64_t left = ~0ULL;
  for (Occasion& occasion : occasions_) {
    if (!judges(occasion.kind()) || !occasion.covers(direction)) continue;
    if (!occasion.acts(now, delivered_)) continue;
    const Rule& rule = occasion.rule();
    if (rule.kind != Kind::limit && !rule.after_bytes) continue;
    const auto bound =
        static_cast<std::uint64_t>(rule.kind == Kind::limit ? rule.size : *rule.after_bytes);
    const std::uint64_t counted = occasion.counted(delivered_);
    left = std::min(left, counted < bound ? bound - counted : 0);
  }
  return left;
}

Bytes Conversation::ready(Direction direction, MonoNs now) {
  Lane& from = lane(direction);
  if (from.queue.empty()) return {};
  const Piece& front = from.queue.front();
  const Bytes rest = Bytes(front.bytes).subspan(front.at);
  if (occasions_.empty()) return front.due_ns <= now ? rest : Bytes{};
  if (front.due_ns > now || from.pause_until_ns > now || from.line_free_ns > now) return {};
  if (held(direction, now)) return {};
  std::uint64_t size = std::min<std::uint64_t>(rest.size(), allowance(direction, now));
  each(direction, Kind::slice, now, [&](Occasion& occasion) {
    size = std::min(size, static_cast<std::uint64_t>(occasion.rule().size));
  });
  each(direction, Kind::bandwidth, now, [&](Occasion& occasion) {
    size = std::min(size, step_bytes(occasion.rule().rate));
  });
  return rest.first(size);
}

void Conversation::uncharge(Lane& from, Traffic::Lane& counters, const Piece& piece) {
  from.charged -= piece.bytes.size() + limits::piece_overhead_bytes;
  counters.waiting_bytes -= piece.bytes.size() - piece.at;
}

void Conversation::written(Direction direction, MonoNs now, std::size_t size_bytes) {
  Lane& from = lane(direction);
  Traffic::Lane& counters = traffic(direction);
  RG_CHECK(!from.queue.empty());
  Piece& front = from.queue.front();
  RG_CHECK(size_bytes <= front.bytes.size() - front.at);
  each(direction, Kind::slice, now, [&](Occasion& occasion) {
    from.pause_until_ns = std::max(from.pause_until_ns, now + occasion.rule().delay_ns);
    if (front.at + size_bytes < front.bytes.size()) ++occasion.counters().hits;
    occasion.counters().bytes += size_bytes;
  });
  each(direction, Kind::bandwidth, now, [&](Occasion& occasion) {
    const double took = static_cast<double>(size_bytes) * static_cast<double>(ns_per_s) /
                        static_cast<double>(occasion.rule().rate);
    // A step that came late is made good.
    const MonoNs begin = std::max(from.line_free_ns, now - limits::bandwidth_step_ns);
    from.line_free_ns = begin + static_cast<MonoNs>(std::min(took, 1e17));
    if (from.line_free_ns > now) ++occasion.counters().hits;
    occasion.counters().bytes += size_bytes;
  });
  delivered_[index_of(direction)] += size_bytes;
  counters.bytes += size_bytes;
  counters.waiting_bytes -= size_bytes;
  front.at += size_bytes;
  if (front.at < front.bytes.size()) return;
  uncharge(from, counters, front);
  from.queue.pop_front();
}

End Conversation::end_due(Direction direction, MonoNs now) {
  Lane& from = lane(direction);
  if (from.end == End::none || from.end_told || from.black || !from.queue.empty()) return End::none;
  if (from.end_due_ns > now || held(direction, now)) return End::none;
  from.end_told = true;
  return from.end;
}

bool Conversation::falls(Occasion& occasion, MonoNs now) {
  const Rule& rule = occasion.rule();
  const std::uint64_t counted = occasion.counted(delivered_);
  if (rule.kind == Kind::limit) return counted >= static_cast<std::uint64_t>(rule.size);
  if (!rule.after_bytes && !rule.after_ns) return true;
  if (rule.after_bytes && counted >= static_cast<std::uint64_t>(*rule.after_bytes)) return true;
  return rule.after_ns && now >= occasion.since_ns() + *rule.after_ns;
}

Verdict Conversation::verdict(MonoNs now) {
  if (judged_) return {};
  for (const Kind kind : {Kind::reset, Kind::half_open, Kind::limit}) {
    for (Occasion& occasion : occasions_) {
      if (occasion.kind() != kind || !occasion.acts(now, delivered_)) continue;
      if (!falls(occasion, now)) continue;
      ++occasion.counters().hits;
      occasion.counters().bytes += occasion.counted(delivered_);
      judged_ = true;
      switch (kind) {
        case Kind::reset: return {Verdict::What::reset, occasion.rule().peer};
        case Kind::half_open: return {Verdict::What::half_open, occasion.rule().peer};
        default: return {Verdict::What::close, Peer::both};
      }
    }
  }
  return {};
}

bool Conversation::may_connect(MonoNs now) {
  if (lane(Direction::up).black || held(Direction::up, now)) return false;
  bool swallowed = false;
  each(Direction::up, Kind::blackhole, now, [&](Occasion& occasion) {
    swallowed = swallowed || occasion.rule().mode == BlackholeMode::swallow;
  });
  return !swallowed;
}

MonoNs Conversation::change_of(Kind kind, MonoNs now) const {
  MonoNs at = Schedule::never;
  for (const Occasion& occasion : occasions_) {
    if (occasion.kind() == kind) at = std::min(at, occasion.armed().next_change(now));
  }
  return at;
}

MonoNs Conversation::lane_wake(Direction direction, MonoNs now) {
  Lane& from = lane(direction);
  const bool ends = from.end != End::none && !from.end_told && !from.black;
  if (from.queue.empty() && !ends) return Schedule::never;
  if (held(direction, now)) return change_of(Kind::partition, now);
  if (from.queue.empty()) return from.end_due_ns;
  const MonoNs at =
      std::max({from.queue.front().due_ns, from.pause_until_ns, from.line_free_ns});
  // What is due and not written waits for its peer.
  return at > now ? at : Schedule::never;
}

MonoNs Conversation::wake_at(MonoNs now, bool connecting) {
  MonoNs at = std::min(lane_wake(Direction::up, now), lane_wake(Direction::down, now));
  if (occasions_.empty()) return at;
  if (connecting) {
    at = std::min({at, change_of(Kind::partition, now), change_of(Kind::blackhole, now)});
  }
  if (judged_) return at;
  for (Occasion& occasion : occasions_) {
    if (occasion.kind() != Kind::reset && occasion.kind() != Kind::half_open) continue;
    at = std::min(at, occasion.armed().next_change(now));
    if (occasion.rule().after_ns && occasion.acts(now, delivered_)) {
      at = std::min(at, occasion.since_ns() + *occasion.rule().after_ns);
    }
  }
  return at;
}

}  // namespace ringgate::chaos
