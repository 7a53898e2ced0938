// What the codec's tests share: a stream fed in pieces, frames made by hand.
#pragma once

#include <cstdint>
#include <random>
#include <string_view>
#include <vector>

#include "engine/base/hex.hpp"
#include "protocols/jt808/codec/framing.hpp"
#include "protocols/jt808/codec/header.hpp"
#include "protocols/jt808/codec/writer.hpp"

namespace ringgate::jt808::test {

using Raw = std::vector<std::uint8_t>;

inline Raw hex(std::string_view text) { return from_hex(text).value(); }

inline Raw operator+(Raw left, const Raw& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

// What came out of a stream, in order: a frame, or a reason.
struct Event {
  BadReason reason = BadReason::none;
  Raw frame;
  friend bool operator==(const Event&, const Event&) = default;
};

// Feeds a stream as a link does: bytes that were not consumed are kept for the next piece. Every
// piece is a fresh allocation of its exact size, so that a sanitizer sees a read beyond it.
class Stream {
 public:
  std::vector<Event> events;
  Raw kept;

  void feed(Bytes piece) {
    Raw input = kept;
    input.insert(input.end(), piece.begin(), piece.end());
    input.shrink_to_fit();
    Bytes left = input;
    for (;;) {
      const NextFrame next = next_frame(left, scratch_);
      left = left.subspan(next.consumed);
      if (next.kind == NextFrame::Kind::need_more) break;
      events.push_back({next.reason, {next.frame.begin(), next.frame.end()}});
    }
    kept.assign(left.begin(), left.end());
  }

 private:
  Raw scratch_ = Raw(scratch_size);
};

inline std::vector<Event> events_of(const Raw& stream) {
  Stream out;
  out.feed(stream);
  return out.events;
}

inline Raw wire(Bytes frame) {
  Raw out(wire_size_max);
  out.resize(write_frame(out, frame));
  return out;
}

// A frame of 2013 whose body is `body`; header and length are right.
inline Raw frame_2013(std::uint16_t message_id, std::uint16_t serial, Bytes body) {
  FrameWriter writer(make_peer(Version::v2013, "13800138000"), message_id, serial);
  writer.bytes(body);
  const Bytes frame = writer.unescaped();
  return {frame.begin(), frame.end()};
}

inline Raw random_bytes(std::mt19937_64& random, std::size_t size) {
  Raw out(size);
  for (std::uint8_t& byte : out) {
    // Half of the bytes from the few that matter to framing.
    constexpr std::uint8_t special[] = {0x7e, 0x7d, 0x01, 0x02, 0x00, 0xff};
    const std::uint64_t dice = random();
    byte = (dice & 1) != 0 ? static_cast<std::uint8_t>(dice >> 8) : special[(dice >> 8) % 6];
  }
  return out;
}

}  // namespace ringgate::jt808::test
