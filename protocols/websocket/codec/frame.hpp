// Frames of the WebSocket protocol (RFC 6455 section 5): headers, masking, close codes. Pure, no
// allocation; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/base/bytes.hpp"

namespace ringgate::websocket {

// RFC 6455 5.2.
enum class Opcode : std::uint8_t {
  continuation = 0,
  text = 1,
  binary = 2,
  close = 8,
  ping = 9,
  pong = 10,
};
inline bool is_control(Opcode opcode) { return static_cast<std::uint8_t>(opcode) >= 8; }

// RFC 6455 7.4.1; what is sent here.
enum class CloseCode : std::uint16_t {
  normal = 1000,
  going_away = 1001,
  protocol_error = 1002,
  unsupported = 1003,
  none = 1005,  // never on the wire: the peer gave no code
  bad_text = 1007,
  policy = 1008,
  too_big = 1009,
  internal = 1011,
  try_again = 1013,
};
// Whether a peer may send this code. RFC 6455 7.4.1, 7.4.2.
bool is_close_code(std::uint16_t code);

constexpr std::size_t control_payload_max = 125;  // RFC 6455 5.5
constexpr std::size_t frame_head_max = 14;

struct FrameHead {
  Opcode opcode = Opcode::continuation;
  bool fin = false;
  bool compressed = false;  // RSV1, RFC 7692 6
  bool masked = false;
  std::uint8_t size = 0;  // of the head itself
  std::array<std::uint8_t, 4> mask{};
  std::uint64_t payload_bytes = 0;
};

enum class FrameError : std::uint8_t {
  none,
  reserved_bits,    // RSV2 or RSV3, or RSV1 where nothing was agreed
  unknown_opcode,
  bad_control,      // fragmented, longer than 125 bytes, or compressed
  bad_length,       // not in its shortest form, or beyond 2^63
  count,
};
inline constexpr std::string_view frame_error_names[] = {"none", "reserved_bits", "unknown_opcode",
                                                         "bad_control", "bad_length"};
static_assert(std::size(frame_error_names) == static_cast<std::size_t>(FrameError::count));

struct FrameResult {
  FrameError error = FrameError::none;
  bool complete = false;
};
// Reads the head that `bytes` begin with. `deflates`: RSV1 may be set.
FrameResult parse_frame_head(Bytes bytes, bool deflates, FrameHead& head);

// Exclusive-or with the mask, `offset` bytes into the payload; `to` and `from` may be the same.
void unmask(const std::uint8_t* from, std::size_t size, const std::array<std::uint8_t, 4>& mask,
            std::uint64_t offset, std::uint8_t* to);

// A head as a server sends it (unmasked) or, with `mask`, a client. Returns its size; `out` has
// room for frame_head_max.
std::size_t write_frame_head(std::uint8_t* out, Opcode opcode, std::uint64_t payload_bytes,
                             bool fin = true, bool compressed = false,
                             const std::array<std::uint8_t, 4>* mask = nullptr);

// UTF-8 of a text message that comes in pieces (RFC 6455 8.1): fails at the first byte that can't
// be part of it. Trivially copyable.
class Utf8Stream {
 public:
  // False: no UTF-8.
  bool take(Bytes piece);
  // Whether no character is cut.
  bool at_end() const { return left_ == 0; }
  void reset() { left_ = 0; }

 private:
  std::uint8_t left_ = 0;  // bytes of the character that are to come
  std::uint8_t least_ = 0x80;  // of the next one
  std::uint8_t most_ = 0xbf;
};

}  // namespace ringgate::websocket
