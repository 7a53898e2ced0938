// Messages of any length as frames, both ways: downlinks put together from their parts, uplinks cut
// into parts and kept, so that any part can be sent again byte for byte.
// Pure; one thread. JT/T 808-2019 4.4.3, -2013 7.12, 8.4; the frame itself: frames.hpp.
#pragma once

#include <deque>
#include <optional>
#include <vector>

#include "engine/base/clock.hpp"
#include "tools/load/frames.hpp"
#include "tools/load/terminal/body.hpp"

namespace ringgate::load {

// A frame of the platform: header taken apart, body unescaped. Points into what it was read from.
struct Downlink {
  std::uint16_t message_id = 0;
  std::uint16_t serial = 0;
  std::uint16_t total = 0;   // of parts; 0: not a part
  std::uint16_t number = 0;  // from 1
  bool encrypted = false;
  Phone phone{};
  Bytes body;
};
// `raw`: header and body, unescaped; its check byte and length have been looked at (parse_reply).
Downlink read_downlink(Bytes raw, Version version);

// A whole message of the platform, its parts put together.
struct Command {
  std::uint16_t message_id = 0;
  std::uint16_t serial = 0;  // of the first part: what answers name
  bool encrypted = false;
  Body body;
};

// What a terminal says in one frame, as it goes on the wire.
struct Uplink {
  std::uint16_t message_id = 0;
  std::uint16_t serial = 0;
  Body wire;
};

// Parts of downlinks. At most a few messages at a time: a terminal has little memory.
class Assembly {
 public:
  // The whole message, once its last part is there; a message in one frame at once.
  std::optional<Command> add(const Downlink& part, MonoNs now);

  struct Missing {
    std::uint16_t first_serial = 0;
    std::vector<std::uint16_t> numbers;
  };
  // A message that has waited too long for its next part: what is missing of it. Asked for a few
  // times; then it waits for the platform to send all of it again, and at last it is dropped
  // (`numbers` is empty).
  std::optional<Missing> overdue(MonoNs now);
  MonoNs next_due() const;  // INT64_MAX: nothing waits
  void clear() { open_.clear(); }

  static constexpr std::size_t open_max = 4;
  static constexpr int asked_max = 3;
  static constexpr MonoNs patience_ns = ns_per_s;
  static constexpr MonoNs keep_ns = 120 * ns_per_s;  // longer than a platform's retransmissions

 private:
  struct Open {
    std::uint16_t message_id;
    std::uint16_t first_serial;
    bool encrypted;
    std::uint16_t have = 0;
    int asked = 0;
    MonoNs due_ns = 0;
    std::vector<std::optional<Body>> parts;
  };
  std::deque<Open> open_;
};

// Cuts messages into frames.
class Packer {
 public:
  Packer(Version version, const Phone& phone) : version_(version), phone_(phone) {}
  Version version() const { return version_; }

  // Takes as many serials from `next_serial` as there are parts: they are consecutive.
  std::vector<Uplink> pack(std::uint16_t message_id, Bytes body, std::uint16_t& next_serial) const;

  // Some terminals fill a frame up to its last byte; this leaves room as most do.
  static constexpr std::size_t part_bytes = 1000;

 private:
  Uplink frame(std::uint16_t message_id, std::uint16_t serial, std::uint16_t total,
               std::uint16_t number, Bytes body) const;

  Version version_;
  Phone phone_;
};

}  // namespace ringgate::load
