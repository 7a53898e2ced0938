#include "protocols/jt808/attachment/expected.hpp"

#include "engine/base/bytes.hpp"

namespace ringgate::jt808 {

Expectations::Expectations(io::Sys& sys) {
  std::uint8_t seed[8];
  sys.random_bytes(seed);
  seed_ = load_native<std::uint64_t>(seed);
}

std::uint64_t Expectations::hash_of(std::string_view alarm_number, const DeviceKey& device) const {
  alarm_number = alarm_number.substr(0, alarm_number.find('\0'));
  while (!alarm_number.empty() && alarm_number.back() == ' ') alarm_number.remove_suffix(1);
  std::uint64_t sum = seed_ ^ hash(device);
  for (const char letter : alarm_number) {
    sum = (sum ^ static_cast<std::uint8_t>(letter)) * 0x9e3779b97f4a7c15U;
    sum ^= sum >> 29;
  }
  return sum == 0 ? 1 : sum;
}

void Expectations::expect(std::string_view alarm_number, const DeviceKey& device, WallUs until) {
  const std::uint64_t wanted = hash_of(alarm_number, device);
  // Its own place, else a free one, else the one that ends soonest.
  Place* best = &at(wanted, 0);
  for (std::size_t probe = 0; probe < probes; ++probe) {
    Place& place = at(wanted, probe);
    if (place.alarm.load(std::memory_order_acquire) == wanted) {
      best = &place;
      break;
    }
    if (place.until.load(std::memory_order_relaxed) < best->until.load(std::memory_order_relaxed)) {
      best = &place;
    }
  }
  best->until.store(until, std::memory_order_relaxed);
  best->alarm.store(wanted, std::memory_order_release);
}

bool Expectations::expected(std::string_view alarm_number, const DeviceKey& device,
                            WallUs now) const {
  const std::uint64_t wanted = hash_of(alarm_number, device);
  for (std::size_t probe = 0; probe < probes; ++probe) {
    const Place& place = at(wanted, probe);
    if (place.alarm.load(std::memory_order_acquire) != wanted) continue;
    return place.until.load(std::memory_order_relaxed) > now;
  }
  return false;
}

}  // namespace ringgate::jt808
