// Vehicles on a random walk, for benchmarks: what they report, and a fleet of them as the log keeps
// it.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/clock.hpp"
#include "protocols/jt808/codec/framing.hpp"
#include "protocols/jt808/codec/header.hpp"
#include "protocols/jt808/codec/writer.hpp"
#include "storage/event/record_view.hpp"

namespace ringgate::perf {

// 26 bytes of items: odometer, fuel, recorder speed, signals, signal strength, satellites. With the
// fixed part, the header of 2013, check and delimiters that is 69 bytes on the wire.
using Items = std::array<std::uint8_t, 26>;

struct Vehicle {
  std::mt19937_64& random;
  std::uint32_t latitude = 31'230'000, longitude = 121'470'000, odometer = 1'234'567;
  std::uint16_t heading = 90, speed = 600;
  std::int64_t time_s = 1'700'000'000;

  std::uint32_t dice(std::uint32_t sides) { return static_cast<std::uint32_t>(random() % sides); }

  jt808::LocationFields step(Items& items) {
    latitude += dice(400) - 200;
    longitude += dice(400) - 200;
    odometer += dice(3);
    heading = static_cast<std::uint16_t>((heading + dice(21) + 350) % 360);
    speed = static_cast<std::uint16_t>(dice(1200));
    time_s += 10 + dice(21);
    items = {0x01, 4, 0, 0, 0, 0, 0x02, 2, 0, 0, 0x03, 2, 0, 0, 0x25, 4, 0, 0, 0, 0, 0x30, 1, 0,
             0x31, 1, 0};
    store_be32(&items[2], odometer);
    store_be16(&items[8], static_cast<std::uint16_t>(300 + dice(300)));
    store_be16(&items[12], speed);
    store_be32(&items[16], dice(32));
    items[22] = static_cast<std::uint8_t>(15 + dice(17));
    items[25] = static_cast<std::uint8_t>(6 + dice(14));
    return {.status_bits = 0x000c0003,
            .latitude_deg_x1e6 = latitude,
            .longitude_deg_x1e6 = longitude,
            .altitude_m = static_cast<std::uint16_t>(dice(80)),
            .speed_kmh_x10 = speed,
            .heading_deg = heading,
            .time_unix_s = time_s,
            .items = items};
  }
};

// Reports of a fleet in the order in which a gateway would store them, one device after the other.
class Fleet {
 public:
  // Vehicles report every `interval_s` of their clock, evenly spread.
  Fleet(std::uint32_t devices, std::int64_t start_unix_s, std::uint32_t interval_s = 30)
      : random_(808), start_us_(start_unix_s * us_per_s), interval_us_(interval_s * us_per_s) {
    for (std::uint32_t i = 0; i < devices; ++i) {
      Vehicle& vehicle = vehicles_.emplace_back(Vehicle{random_});
      vehicle.latitude += vehicle.dice(2'000'000);
      vehicle.longitude += vehicle.dice(2'000'000);
      phones_.push_back(std::to_string(13'800'000'000ULL + i));
    }
  }

  const std::string& phone(std::size_t device) const { return phones_[device]; }
  std::size_t devices() const { return phones_.size(); }

  // The next report as a record; its frame is valid until the next call.
  event::RecordView next() {
    const std::size_t device = count_ % vehicles_.size();
    const auto round = static_cast<std::int64_t>(count_ / vehicles_.size());
    const WallUs now = start_us_ + round * interval_us_ +
                       interval_us_ * static_cast<std::int64_t>(device) /
                           static_cast<std::int64_t>(vehicles_.size());
    ++count_;
    Items items;
    jt808::LocationFields fields = vehicles_[device].step(items);
    fields.time_unix_s = now / us_per_s - 1;
    const auto serial = static_cast<std::uint16_t>(round);
    const jt808::Peer peer = jt808::make_peer(jt808::Version::v2013, phones_[device]);
    const std::size_t size = jt808::write_location(wire_, peer, serial, fields);
    const jt808::NextFrame frame = jt808::next_frame({wire_, size}, unescaped_);
    return {.kind = event::RecordKind::frame_up,
            .ns = Namespace::phone,
            .message = 0x0200,
            .serial = serial,
            .link = device + 1,
            .received_us = now,
            .wall_us = now,
            .device = phones_[device],
            .payload = frame.frame};
  }

 private:
  std::mt19937_64 random_;
  WallUs start_us_;
  WallUs interval_us_;
  std::vector<Vehicle> vehicles_;
  std::vector<std::string> phones_;
  std::uint64_t count_ = 0;
  std::uint8_t wire_[jt808::wire_size_max];
  std::uint8_t unescaped_[jt808::scratch_size];
};

}  // namespace ringgate::perf
