// Any sequence of parts: what becomes whole is what its parts say, and what is held stays within
// its bounds and is all given back. Input: 8 bytes a part: device and message, first serial, total,
// number, size, content, time.
// Ten minutes by hand: as in jt808_framing_fuzz.cpp, with fuzz-jt808-reassembly.
#include <algorithm>
#include <cstdint>
#include <map>
#include <tuple>
#include <vector>

#include "protocols/jt808/codec/writer.hpp"
#include "protocols/jt808/reassembly.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;
using Raw = std::vector<std::uint8_t>;
using Key = std::tuple<device::DeviceSlot, std::uint16_t, std::uint16_t>;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

// What the parts said that were kept of messages that are neither whole nor given up.
struct Model final : Reassembly::Listener {
  void on_given_up(const Reassembly::Message& message, GiveUp) override {
    require(!message.done);
    parts.erase({message.device, message.message_id, message.first_serial});
  }
  std::map<Key, std::map<std::uint16_t, Raw>> parts;
};

Raw joined(const std::map<std::uint16_t, Raw>& parts) {
  Raw out;
  for (const auto& [number, bytes] : parts) out.insert(out.end(), bytes.begin(), bytes.end());
  return out;
}

Header header_of(std::uint16_t id, std::uint16_t first, std::uint16_t total, std::uint16_t number,
                 bool encrypted) {
  FrameWriter writer(make_peer(Version::v2019, "13800138000"), id,
                     static_cast<std::uint16_t>(first + number - 1), total, number);
  Header header;
  require(parse_header(writer.unescaped(), header) == BadReason::none);
  if (encrypted) header.attributes |= 1U << 10;
  return header;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const ReassemblyOptions options{.timeout_ns = 1000, .requests = 2, .message_max = 3000,
                                  .device_bytes_max = 6000, .device_messages_max = 3,
                                  .shard_bytes_max = 10'000, .done_keep_ns = 3000};
  flow::Budget budget(0);
  Model model;
  Reassembly parts(budget, model, options);
  MonoNs now = 1;
  for (; size >= 8; data += 8, size -= 8) {
    const device::DeviceSlot device = data[0] & 3;
    const std::uint16_t id = (data[0] & 4) != 0 ? 0x0801 : 0x0704;
    const auto first = static_cast<std::uint16_t>(65'530 + 4 * (data[1] & 7));
    // Small totals become whole; a huge one now and then.
    const auto total = static_cast<std::uint16_t>(data[2] == 255 ? 65'535 : 2 + data[2] % 6);
    const auto number = static_cast<std::uint16_t>(1 + (data[2] == 255 ? load_be16(data + 3)
                                                                       : data[3]) % total);
    const Raw body(data[5] * 4U, data[6]);
    const Header header = header_of(id, first, total, number, (data[0] & 0xf8) == 0xf8);
    const Key key{device, id, first};
    const auto expected = parts.would_complete(device, header, body);
    const PartVerdict verdict = parts.take(device, header, body, now);
    require(expected.has_value() ? verdict == PartVerdict::complete ||
                                       verdict == PartVerdict::refused
                                 : verdict != PartVerdict::complete);
    if (verdict == PartVerdict::kept || verdict == PartVerdict::complete) {
      require(model.parts[key].emplace(number, body).second);
    }
    if (verdict == PartVerdict::complete) {
      require(parts.take_whole(device, header, 0, now) == joined(model.parts[key]));
      model.parts.erase(key);
    }
    now += data[7] * 8;
    parts.expire(now, [&](const Reassembly::Message& message) {
      const auto missing = message.missing(part_request_max);
      require(!missing.empty() && missing.size() <= part_request_max);
      require(std::is_sorted(missing.begin(), missing.end()));
      for (const std::uint16_t one : missing) {
        require(one >= 1 && one <= message.total && message.part(one).empty());
      }
    });
    // One message that was refused may stand beside a full shard.
    require(parts.held_bytes() <= options.shard_bytes_max + 1000);
    require(parts.held_bytes() == budget.used_bytes());
    require(parts.incomplete_count() == model.parts.size());
  }
  while (const auto due = parts.next_due()) {
    now = std::max(now, *due);
    parts.expire(now, [](const Reassembly::Message&) {});
  }
  require(parts.held_bytes() == 0 && parts.held_count() == 0 && budget.used_bytes() == 0);
  return 0;
}
