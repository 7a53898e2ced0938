// The alarms whose files were asked for by a 0x9208: what `attachment.admission = "expected"` lets
// in. One for the process: whoever sends the command notes the alarm, the attachment server of any
// shard asks. In memory only, bounded, without locks.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string_view>

#include "engine/base/clock.hpp"
#include "engine/base/ids.hpp"
#include "engine/io/sys.hpp"

namespace ringgate::jt808 {

class Expectations {
 public:
  // Alarms waited for at a time. At one alarm a minute from each of 200 vehicles and a day of
  // patience none is forgotten; beyond that the one that ends soonest is.
  static constexpr std::size_t places = 1U << 18;

  explicit Expectations(io::Sys& sys);

  // `alarm_number` as in the command, with or without what fills it up to 32 bytes. Any thread.
  void expect(std::string_view alarm_number, const DeviceKey& device, WallUs until);
  // Whether it is expected now, of this device. Any thread.
  bool expected(std::string_view alarm_number, const DeviceKey& device, WallUs now) const;

 private:
  // Two words that are read and written one by one. A reader that meets a change may miss an alarm
  // that is being noted at this moment, or see one for a moment longer; both are harmless.
  struct Place {
    std::atomic<std::uint64_t> alarm{0};  // hash; 0: free
    std::atomic<WallUs> until{0};
  };
  static constexpr std::size_t probes = 16;

  std::uint64_t hash_of(std::string_view alarm_number, const DeviceKey& device) const;
  Place& at(std::uint64_t hash, std::size_t probe) const {
    return places_[(hash + probe) % places];
  }

  std::uint64_t seed_ = 0;  // so that nobody outside can guess a hash
  std::unique_ptr<Place[]> places_ = std::make_unique<Place[]>(places);
};

}  // namespace ringgate::jt808
