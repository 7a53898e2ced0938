// Puts messages together that terminals send in parts. A message is told by its device, its id and
// the serial of its first part (parts have consecutive serials, JT/T 808-2013 7.12); parts may come
// in any order, more than once, mixed with those of other messages, and over several links.
//
// No I/O and no clock: the caller logs, acknowledges and asks for what is missing. What is held is
// bounded by message, device and shard and charged to the budget. Lives on one shard.
#pragma once

#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/clock.hpp"
#include "engine/device/device_table.hpp"
#include "engine/flow/budget.hpp"
#include "protocols/jt808/codec/header.hpp"
#include "protocols/jt808/limits.hpp"

namespace ringgate::jt808 {

enum class PartVerdict : std::uint8_t {
  kept,       // one more part
  complete,   // the last one that was missing: take_whole() has the message
  duplicate,  // was there already, or its message is complete
  mismatch,   // says another total, or another encryption, than the parts before
  refused,    // its message can't be put together (too long): the part stands alone
};

// Why a message will not become whole.
enum class GiveUp : std::uint8_t {
  timeout,   // missing parts did not come, whatever was asked
  memory,    // the oldest of the shard, when its bound was reached
  device,    // the oldest of its device, when that bound was reached
  replaced,  // the terminal began another message of the same id and serial
  too_long,  // past part_message_max
};

struct ReassemblyOptions {
  MonoNs timeout_ns = 5 * ns_per_s;  // without a new part, then the missing ones are asked for
  std::uint32_t requests = 5;        // so often at most since the last new part
  std::size_t message_max = part_message_max;            // bytes
  std::uint64_t device_bytes_max = part_device_bytes_max;
  std::size_t device_messages_max = part_device_messages_max;
  std::uint64_t shard_bytes_max = part_shard_bytes_max;
  MonoNs done_keep_ns = part_done_keep;
};

class Reassembly {
 public:
  struct Part {
    std::uint16_t size = 0;  // bytes
    std::uint32_t crc = 0;   // tells a repeated part from another message's
    std::unique_ptr<std::uint8_t[]> bytes;  // null once the message is complete
  };
  struct Message {
    device::DeviceSlot device = device::no_device;
    std::uint16_t message_id = 0;
    std::uint16_t first_serial = 0;
    std::uint16_t total = 0;
    std::uint16_t encryption = 0;  // attribute bits
    std::uint32_t requests = 0;    // since the last new part
    bool done = false;             // complete, or given up as too long; kept for repetitions
    bool refused = false;
    std::size_t body_bytes = 0;
    MonoNs due_ns = 0;
    // By number, from 1. A tree: up to 65,535 of them come in whatever order the terminal likes.
    std::map<std::uint16_t, Part> parts;

    // At most `max` part numbers that are missing, the lowest first.
    std::vector<std::uint16_t> missing(std::size_t max) const;
    // The body of a part, empty if it is not here.
    Bytes part(std::uint16_t number) const;

   private:
    friend class Reassembly;
    std::uint64_t charged = 0;
    std::list<Message*>::iterator in_due;  // of incomplete_ or done_
    std::list<Message*>::iterator in_age;  // while incomplete
  };
  class Listener {
   public:
    virtual ~Listener() = default;
    // The message goes when this returns. Must not call back.
    virtual void on_given_up(const Message& message, GiveUp why) = 0;
  };

  Reassembly(flow::Budget& budget, Listener& listener, const ReassemblyOptions& options);
  ~Reassembly();
  Reassembly(const Reassembly&) = delete;
  Reassembly& operator=(const Reassembly&) = delete;

  void set_options(const ReassemblyOptions& options) { options_ = options; }

  // The size of the body that this part would complete; nothing if it would not.
  std::optional<std::size_t> would_complete(device::DeviceSlot device, const Header& header,
                                            Bytes body) const;
  // `header.fragment()` must hold. May give up other messages to make room.
  PartVerdict take(device::DeviceSlot device, const Header& header, Bytes body, MonoNs now);
  // After `complete`: the whole body, behind `front` bytes of room. `header`: of any part.
  std::vector<std::uint8_t> take_whole(device::DeviceSlot device, const Header& header,
                                       std::size_t front, MonoNs now);

  // What is due: calls ask(message) for messages to ask the terminal for, gives up those that were
  // asked for often enough, forgets what was completed long ago.
  template <class Ask>
  void expire(MonoNs now, Ask&& ask) {
    while (!done_.empty() && done_.front()->due_ns <= now) drop(*done_.front());
    while (!incomplete_.empty() && incomplete_.front()->due_ns <= now) {
      Message& message = *incomplete_.front();
      if (message.requests >= options_.requests) {
        give_up(message, GiveUp::timeout);
        continue;
      }
      ++message.requests;
      message.due_ns = now + options_.timeout_ns;
      incomplete_.splice(incomplete_.end(), incomplete_, message.in_due);
      ask(static_cast<const Message&>(message));
    }
  }
  // When expire() has something to do; nothing while nothing is held.
  std::optional<MonoNs> next_due() const;

  std::size_t incomplete_count() const { return incomplete_.size(); }
  std::size_t held_count() const { return incomplete_.size() + done_.size(); }
  std::uint64_t held_bytes() const { return held_bytes_; }

 private:
  using Messages = std::vector<std::unique_ptr<Message>>;
  struct OfDevice {
    Messages messages;
    std::uint64_t bytes = 0;
  };

  Message* find(device::DeviceSlot device, const Header& header) const;
  Message& begin(device::DeviceSlot device, const Header& header, MonoNs now);
  PartVerdict add(Message& message, const Header& header, Bytes body, std::uint32_t crc,
                  MonoNs now);
  bool release_one_of(OfDevice& of, const Message* but_not);
  bool make_room(Message& message, std::uint64_t bytes);
  void charge(Message& message, std::uint64_t bytes);
  void finish(Message& message, MonoNs now);
  void give_up(Message& message, GiveUp why);
  void drop(Message& message);

  flow::Budget& budget_;
  Listener& listener_;
  ReassemblyOptions options_;
  std::unordered_map<device::DeviceSlot, OfDevice> devices_;
  std::list<Message*> incomplete_;  // by due_ns
  std::list<Message*> age_;         // incomplete; the one whose last new part is oldest first
  std::list<Message*> done_;        // by due_ns
  std::uint64_t held_bytes_ = 0;
};

}  // namespace ringgate::jt808
