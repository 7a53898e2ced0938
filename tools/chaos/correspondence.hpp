// The datagrams between one client's address and the server, as the rules have it: they come in
// with the time, and it says which leave when. Pure: no sockets, no clock. One thread.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

#include "engine/base/bytes.hpp"
#include "tools/chaos/armed_rule.hpp"

namespace ringgate::chaos {

class Correspondence {
 public:
  // As Conversation.
  Correspondence(const ArmedRules& rules, std::uint64_t number, std::size_t buffer_bytes,
                 Traffic& traffic, MonoNs now);
  ~Correspondence();
  Correspondence(const Correspondence&) = delete;
  Correspondence& operator=(const Correspondence&) = delete;

  void adopt(const ArmedRules& rules, MonoNs now);

  // Without rules and with nothing waiting a datagram may be sent as it comes; passed() counts it.
  bool plain(Direction direction) const {
    const Lane& lane = lane_[index_of(direction)];
    return occasions_.empty() && lane.waiting.empty() && lane.held.empty();
  }
  void passed(Direction direction, std::size_t size_bytes);

  void take(Direction direction, MonoNs now, Bytes datagram);
  // The next that is to be sent now; false: none.
  bool next(Direction direction, MonoNs now, std::vector<std::uint8_t>& datagram);
  // When next() will have something; Schedule::never.
  MonoNs wake_at() const;

 private:
  struct Waiting {
    std::vector<std::uint8_t> bytes;
    MonoNs due_ns = 0;
    std::uint64_t number = 0;  // of the same time: the first that came
  };
  struct Held {
    std::vector<std::uint8_t> bytes;
    MonoNs until_ns = 0;
    MonoNs later_ns = 0;
    std::uint32_t left = 0;  // to overtake it
  };
  struct Lane {
    std::vector<Waiting> waiting;  // a heap: the next on top
    std::vector<Held> held;
    std::size_t charged = 0;
    std::uint64_t numbers = 0;
    MonoNs line_free_ns = 0;
  };

  Lane& lane(Direction direction) { return lane_[index_of(direction)]; }
  template <class Use>
  void each(Direction direction, Kind kind, MonoNs now, Use&& use);
  bool gone(Direction direction, MonoNs now, std::size_t size_bytes);
  void push(Direction direction, MonoNs due_ns, std::vector<std::uint8_t> bytes);
  void release(Direction direction, std::size_t index, MonoNs now);
  void overtaken(Direction direction, MonoNs now);
  bool charge(Direction direction, std::size_t size_bytes);
  void uncharge(Direction direction, std::size_t size_bytes);
  static bool later(const Waiting& a, const Waiting& b) {
    return a.due_ns != b.due_ns ? a.due_ns > b.due_ns : a.number > b.number;
  }

  std::array<Lane, lanes> lane_;
  std::vector<Occasion> occasions_;
  std::array<std::uint64_t, lanes> delivered_{};
  Traffic& traffic_;
  std::uint64_t number_;
  std::size_t buffer_bytes_;
  MonoNs opened_ns_;
};

}  // namespace ringgate::chaos
