// Frames, text in pieces and deflated payloads of WebSocket clients: bounded, the same in any
// pieces, and what was deflated here comes back.
// Ten minutes by hand: as in jt808_framing_fuzz.cpp, with fuzz-websocket.
#include <algorithm>
#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/base/utf8.hpp"
#include "protocols/websocket/codec/frame.hpp"
#include "protocols/websocket/deflate.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::websocket;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

void check_head(Bytes bytes, bool deflates) {
  FrameHead head;
  const FrameResult result = parse_frame_head(bytes, deflates, head);
  require(!result.complete || result.error == FrameError::none);
  if (!result.complete) return;
  require(head.size >= 2 && head.size <= frame_head_max && head.size <= bytes.size());
  require(!is_control(head.opcode) || (head.fin && head.payload_bytes <= control_payload_max));
  // Written again it is the same, byte for byte.
  std::uint8_t out[frame_head_max];
  const std::size_t size = write_frame_head(out, head.opcode, head.payload_bytes, head.fin,
                                            head.compressed, head.masked ? &head.mask : nullptr);
  require(size == head.size && std::equal(out, out + size, bytes.begin()));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes(data, size);
  check_head(bytes, false);
  check_head(bytes, true);
  Utf8Stream stream;
  bool good = true;
  for (std::size_t at = 0; at < size && good; at += 3) {
    good = stream.take(bytes.subspan(at, std::min<std::size_t>(3, size - at)));
  }
  require((good && stream.at_end()) == is_utf8(as_text(bytes)));
  static Deflater deflater;
  std::vector<std::uint8_t> inflated;
  constexpr std::size_t most = 1 << 16;
  if (deflater.inflate(bytes, most, inflated) == Deflater::Inflated::ok) {
    require(inflated.size() <= most);
  }
  const Bytes deflated = deflater.deflate(bytes);
  const std::vector<std::uint8_t> payload(deflated.begin(), deflated.end());
  require(deflater.inflate(payload, size, inflated) == Deflater::Inflated::ok);
  require(as_text(inflated) == as_text(bytes));
  agree_on_deflate(as_text(bytes));
  return 0;
}
