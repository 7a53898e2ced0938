#include "protocols/websocket/codec/frame.hpp"

#include <cstring>

namespace ringgate::websocket {

namespace {

bool is_known(std::uint8_t opcode) { return opcode <= 2 || (opcode >= 8 && opcode <= 10); }

FrameResult bad(FrameError error) { return {error, false}; }

}  // namespace

bool is_close_code(std::uint16_t code) {
  if (code >= 3000 && code <= 4999) return true;
  return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014);
}

FrameResult parse_frame_head(Bytes bytes, bool deflates, FrameHead& head) {
  if (bytes.empty()) return {};
  const std::uint8_t first = bytes[0];
  if ((first & 0x30) != 0) return bad(FrameError::reserved_bits);
  head.compressed = (first & 0x40) != 0;
  if (head.compressed && !deflates) return bad(FrameError::reserved_bits);
  if (!is_known(first & 0x0f)) return bad(FrameError::unknown_opcode);
  head.opcode = static_cast<Opcode>(first & 0x0f);
  head.fin = (first & 0x80) != 0;
  if (is_control(head.opcode) && (!head.fin || head.compressed)) {
    return bad(FrameError::bad_control);
  }
  // RFC 7692 6.1: only a message's first frame says whether it is compressed.
  if (head.opcode == Opcode::continuation && head.compressed) {
    return bad(FrameError::reserved_bits);
  }
  if (bytes.size() < 2) return {};
  head.masked = (bytes[1] & 0x80) != 0;
  const std::uint8_t length = bytes[1] & 0x7f;
  if (is_control(head.opcode) && length > control_payload_max) {
    return bad(FrameError::bad_control);
  }
  const std::size_t extra = length == 126 ? 2U : length == 127 ? 8U : 0U;
  const std::size_t size = 2 + extra + (head.masked ? 4 : 0);
  if (bytes.size() < size) return {};
  head.payload_bytes = length;
  if (extra == 2) head.payload_bytes = load_be16(&bytes[2]);
  if (extra == 8) head.payload_bytes = load_be64(&bytes[2]);
  const bool shortest = extra == 0 || (extra == 2 && head.payload_bytes > 125) ||
                        (extra == 8 && head.payload_bytes > 0xffff);
  if (!shortest || head.payload_bytes >> 63 != 0) return bad(FrameError::bad_length);
  if (head.masked) std::memcpy(head.mask.data(), &bytes[2 + extra], 4);
  head.size = static_cast<std::uint8_t>(size);
  return {FrameError::none, true};
}

void unmask(const std::uint8_t* from, std::size_t size, const std::array<std::uint8_t, 4>& mask,
            std::uint64_t offset, std::uint8_t* to) {
  std::uint8_t turned[8];
  for (std::size_t i = 0; i < sizeof turned; ++i) turned[i] = mask[(offset + i) % 4];
  const auto key = load_native<std::uint64_t>(turned);
  std::size_t at = 0;
  for (; at + 8 <= size; at += 8) {
    store_native(to + at, load_native<std::uint64_t>(from + at) ^ key);
  }
  for (; at < size; ++at) to[at] = from[at] ^ turned[at % 8];
}

std::size_t write_frame_head(std::uint8_t* out, Opcode opcode, std::uint64_t payload_bytes,
                             bool fin, bool compressed, const std::array<std::uint8_t, 4>* mask) {
  const int first = static_cast<int>(opcode) | (fin ? 0x80 : 0) | (compressed ? 0x40 : 0);
  const int masked = mask == nullptr ? 0 : 0x80;
  out[0] = static_cast<std::uint8_t>(first);
  std::size_t size = 2;
  if (payload_bytes <= 125) {
    out[1] = static_cast<std::uint8_t>(masked | static_cast<int>(payload_bytes));
  } else if (payload_bytes <= 0xffff) {
    out[1] = static_cast<std::uint8_t>(masked | 126);
    store_be16(out + 2, static_cast<std::uint16_t>(payload_bytes));
    size = 4;
  } else {
    out[1] = static_cast<std::uint8_t>(masked | 127);
    store_be64(out + 2, payload_bytes);
    size = 10;
  }
  if (mask == nullptr) return size;
  std::memcpy(out + size, mask->data(), mask->size());
  return size + mask->size();
}

bool Utf8Stream::take(Bytes piece) {
  for (const std::uint8_t byte : piece) {
    if (left_ > 0) {
      if (byte < least_ || byte > most_) return false;
      least_ = 0x80;
      most_ = 0xbf;
      --left_;
    } else if (byte >= 0x80) {
      if (byte < 0xc2 || byte > 0xf4) return false;
      left_ = byte >= 0xf0 ? 3 : byte >= 0xe0 ? 2 : 1;
      // RFC 3629 4: no longer form than needed, no surrogates, nothing beyond U+10FFFF.
      least_ = byte == 0xe0 ? 0xa0 : byte == 0xf0 ? 0x90 : 0x80;
      most_ = byte == 0xed ? 0x9f : byte == 0xf4 ? 0x8f : 0xbf;
    }
  }
  return true;
}

}  // namespace ringgate::websocket
