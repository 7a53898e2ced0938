// One TCP connection through a proxy, as its rules have it: bytes and ends come in with the time,
// and it says what may be written when. Pure: no sockets, no clock. One thread.
//
// Each direction is a lane: chunks wait in order, each until it is due; partition, bandwidth and
// slice hold the front back; half_open, reset and limit bound how many bytes are delivered at all.
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <vector>

#include "engine/base/bytes.hpp"
#include "tools/chaos/armed_rule.hpp"

namespace ringgate::chaos {

// How a side stopped sending.
enum class End : std::uint8_t { none, fin, reset };

// What becomes of the connection.
struct Verdict {
  enum class What : std::uint8_t {
    go_on,
    reset,      // `peer` gets RST, who is not in it an ordinary end
    half_open,  // `peer` is gone
    close,      // both get an ordinary end
  };
  What what = What::go_on;
  Peer peer = Peer::both;
};

class Conversation {
 public:
  // `number`: of the connection in its proxy, for its draws. `traffic` outlives this.
  Conversation(const ArmedRules& rules, std::uint64_t number, std::size_t buffer_bytes,
               Traffic& traffic, MonoNs now);
  ~Conversation();
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;

  // The rules are others. Those that stay go on; what one that goes has delayed is due now.
  void adopt(const ArmedRules& rules, MonoNs now);

  // Without rules, and with nothing waiting, chunks may be written as they come: passed() counts.
  bool plain(Direction direction) const {
    const Lane& lane = lane_[index_of(direction)];
    return occasions_.empty() && lane.queue.empty() && !lane.black;
  }
  void passed(Direction direction, std::size_t size_bytes);

  void take(Direction direction, MonoNs now, Bytes bytes);
  // Not of the rules' making: what a slow peer has not taken waits before all else.
  void put_back(Direction direction, MonoNs now, Bytes bytes);
  void end(Direction direction, MonoNs now, End how);

  // What may be written now, in one write; empty: nothing. Valid until the next call.
  Bytes ready(Direction direction, MonoNs now);
  void written(Direction direction, MonoNs now, std::size_t size_bytes);
  // Whether the source may be read: bytes that wait have a bound.
  bool wants(Direction direction) const {
    return lane_[index_of(direction)].charged < buffer_bytes_;
  }
  // The end that is to be told now: everything before it is written.
  End end_due(Direction direction, MonoNs now);
  // The direction has ended: told, or never to be told.
  bool ended(Direction direction) const {
    const Lane& lane = lane_[index_of(direction)];
    return lane.end_told || (lane.black && lane.end != End::none);
  }
  bool has_waiting(Direction direction) const {
    return !lane_[index_of(direction)].queue.empty();
  }

  // Asked after everything that happens. What is said once is to be done, and holds.
  Verdict verdict(MonoNs now);
  // Whether the connection may not even begin (refuse).
  bool refused() const { return refused_; }
  // Whether the way to the server may be made now.
  bool may_connect(MonoNs now);
  // When something changes without anything coming in; Schedule::never. `connecting`: may_connect()
  // said no.
  MonoNs wake_at(MonoNs now, bool connecting);

 private:
  struct Piece {
    std::vector<std::uint8_t> bytes;
    std::size_t at = 0;
    MonoNs due_ns = 0;
  };
  struct Lane {
    std::deque<Piece> queue;
    std::size_t charged = 0;    // bytes that wait, with what their keeping costs
    MonoNs last_due_ns = 0;     // order is kept
    MonoNs pause_until_ns = 0;  // slice
    MonoNs line_free_ns = 0;    // bandwidth
    MonoNs end_due_ns = 0;
    End end = End::none;
    bool end_told = false;
    bool black = false;  // bytes were swallowed: none may follow them
  };

  Lane& lane(Direction direction) { return lane_[index_of(direction)]; }
  Traffic::Lane& traffic(Direction direction) { return traffic_.lane[index_of(direction)]; }
  template <class Use>
  void each(Direction direction, Kind kind, MonoNs now, Use&& use);
  bool swallows(Direction direction, MonoNs now, std::size_t size_bytes);
  MonoNs delay(Direction direction, MonoNs now, std::size_t size_bytes);
  bool held(Direction direction, MonoNs now);
  // Bytes that may still be delivered before a verdict falls.
  std::uint64_t allowance(Direction direction, MonoNs now);
  MonoNs lane_wake(Direction direction, MonoNs now);
  bool falls(Occasion& occasion, MonoNs now);
  MonoNs change_of(Kind kind, MonoNs now) const;
  void uncharge(Lane& lane, Traffic::Lane& traffic, const Piece& piece);

  std::array<Lane, lanes> lane_;
  std::vector<Occasion> occasions_;
  std::array<std::uint64_t, lanes> delivered_{};
  Traffic& traffic_;
  std::uint64_t number_;
  std::size_t buffer_bytes_;
  MonoNs opened_ns_;
  bool refused_ = false;
  bool judged_ = false;
};

}  // namespace ringgate::chaos
