// Builds frames as they go on the wire. Pure, no allocation; any thread.
// Every function writes a whole frame into `out` and returns its size in bytes, or 0 when it does
// not fit (wire_size_max always does). JT/T 808-2019 4.4.
#pragma once

#include <cstring>
#include <span>

#include "engine/base/bytes.hpp"
#include "protocols/jt808/codec/framing.hpp"
#include "protocols/jt808/codec/header.hpp"
#include "protocols/jt808/codec/ids.hpp"

namespace ringgate::jt808 {

// How one terminal is addressed: version bit, version byte and phone exactly as it sent them. Small
// enough to sit in a session's state.
struct Peer {
  std::uint8_t size = 6;          // of `bytes`: 6 (2011, 2013) or 11 (2019)
  std::uint8_t versioned = 0;     // 0x40 when the version bit was set
  std::uint8_t check = 0;         // XOR of `bytes`
  std::uint8_t needs_escape = 0;  // `bytes` hold 7E or 7D (only a version byte can)
  std::uint8_t bytes[12] = {};    // [version byte,] phone BCD; the rest is 0
};
static_assert(sizeof(Peer) == 16 && std::is_trivially_copyable_v<Peer>);

Peer peer_of(const Header& header);
// Whether peer_of(header) would be `peer`, without making one: asked for every frame.
inline bool is_from(const Header& header, const Peer& peer) {
  const std::size_t before = header.version == Version::v2019 ? 1 : 0;  // the version byte
  if (peer.size != before + header.phone_size ||
      peer.versioned != (header.attributes & attribute_versioned) >> 8) {
    return false;
  }
  if (before != 0 && peer.bytes[0] != header.version_byte) return false;
  // What a shorter phone leaves over is 0 on both sides.
  return std::memcmp(peer.bytes + before, header.phone_bcd, sizeof header.phone_bcd) == 0;
}
// For who speaks first: `digits` are padded with zeros to 12 or 20; version byte 1 for 2019.
// Characters that are no digits and numbers that are too long make it all zeros.
Peer make_peer(Version version, std::string_view digits);

// Any frame: put the body, then finish.
class FrameWriter {
 public:
  FrameWriter(const Peer& peer, std::uint16_t message_id, std::uint16_t serial);
  // One packet of a message that was cut into `total`; `number` counts from 1.
  FrameWriter(const Peer& peer, std::uint16_t message_id, std::uint16_t serial,
              std::uint16_t total, std::uint16_t number);

  FrameWriter& u8(std::uint8_t value);
  FrameWriter& u16(std::uint16_t value);
  FrameWriter& u32(std::uint32_t value);
  FrameWriter& bytes(Bytes value);
  FrameWriter& text(std::string_view value) { return bytes(as_bytes(value)); }
  // `value` cut or filled up with 00 to `size` bytes.
  FrameWriter& fixed(std::string_view value, std::size_t size);
  FrameWriter& time_gmt8(std::int64_t unix_s);
  FrameWriter& time_utc(std::int64_t unix_s);

  std::size_t body_size() const { return size_ - header_size_; }
  // Room left in the body; put more and finish gives 0.
  std::size_t body_left() const { return header_size_ + body_size_max - size_; }
  // The frame as the log keeps it: header and body, unescaped. Valid until the next put.
  Bytes unescaped();
  std::size_t finish(MutableBytes out);

 private:
  std::uint8_t* put(std::size_t size);

  std::uint16_t size_ = 0;
  std::uint16_t header_size_ = 0;
  bool overflow_ = false;
  std::uint8_t frame_[frame_size_max + 1];
};

// Delimiters, escapes and check around `frame` (header and body, as stored).
std::size_t write_frame(MutableBytes out, Bytes frame);

enum class AckResult : std::uint8_t {
  ok = 0,
  failed = 1,
  bad_message = 2,
  unsupported = 3,
  alarm_handled = 4,
};

constexpr std::size_t ack_size_max = 2 + 2 * 23;  // 2019 with every byte escaped

namespace detail {
std::size_t write_ack_slowly(MutableBytes out, const Peer& peer, std::uint64_t tail);
}  // namespace detail

// 0x8001, the answer to almost everything, so it has a way of its own: everything that changes fits
// one 64-bit word (serial, reply serial, reply id, result, check), and escapes are looked for in
// that word alone. JT/T 808-2019 8.2.
inline std::size_t write_ack(MutableBytes out, const Peer& peer, std::uint16_t serial,
                             std::uint16_t reply_serial, std::uint16_t reply_id, AckResult result) {
  const std::uint64_t fields = std::uint64_t{serial} << 48 | std::uint64_t{reply_serial} << 32 |
                               std::uint64_t{reply_id} << 16 |
                               std::uint64_t{static_cast<std::uint8_t>(result)} << 8;
  constexpr std::uint8_t fixed_check = 0x80 ^ 0x01 ^ 0x05;  // message id and body length
  const std::uint64_t tail = fields | static_cast<std::uint8_t>(fold_xor(fields) ^ fixed_check ^
                                                                peer.versioned ^ peer.check);
  const std::size_t size = 14 + std::size_t{peer.size};
  if (out.size() < ack_size_max || peer.needs_escape != 0 || has_byte(tail, delimiter) ||
      has_byte(tail, escape_mark)) [[unlikely]] {
    return detail::write_ack_slowly(out, peer, tail);
  }
  std::uint8_t* const to = out.data();
  to[0] = delimiter;
  store_native<std::uint32_t>(to + 1, 0x05000180U | std::uint32_t{peer.versioned} << 16);
  std::memcpy(to + 5, peer.bytes, sizeof peer.bytes);
  store_be64(to + 5 + peer.size, tail);
  to[size - 1] = delimiter;
  return size;
}

enum class RegisterResult : std::uint8_t {
  ok = 0,
  vehicle_registered = 1,
  no_such_vehicle = 2,
  terminal_registered = 3,
  no_such_terminal = 4,
};

// 0x8100; `auth_code` is sent with `ok` only. JT/T 808-2019 8.9.
std::size_t write_register_reply(MutableBytes out, const Peer& peer, std::uint16_t serial,
                                 std::uint16_t reply_serial, RegisterResult result,
                                 std::string_view auth_code);
// 0x8004: the time in UTC. JT/T 808-2019 8.5.
std::size_t write_time_reply(MutableBytes out, const Peer& peer, std::uint16_t serial,
                             std::int64_t unix_s);

// 0x8003: asks for parts of a message again (at most 255). JT/T 808-2019 8.4, 2013 8.4.
std::size_t write_part_request(MutableBytes out, const Peer& peer, std::uint16_t serial,
                               std::uint16_t first_serial, std::span<const std::uint16_t> numbers);

// 0x8800: media is complete (nothing is missing) or lacks parts (at most 125). The layout of 2011
// begins with the serial of the terminal's message. JT/T 808-2013 8.55, 2011 8.47.
struct MediaReply {
  std::uint32_t media_id = 0;
  std::span<const std::uint16_t> missing = {};
  bool layout_2011 = false;
  std::uint16_t reply_serial = 0;  // 2011
};
std::size_t write_media_reply(MutableBytes out, const Peer& peer, std::uint16_t serial,
                              const MediaReply& reply);

// What terminals send, for the load tool and for tests.

struct RegisterFields {
  std::uint16_t province = 0;
  std::uint16_t city = 0;
  std::string_view maker = "";
  std::string_view model = "";
  std::string_view terminal_id = "";
  std::uint8_t plate_color = 0;
  std::string_view plate_gbk = "";
};
std::size_t write_register(MutableBytes out, const Peer& peer, std::uint16_t serial,
                           const RegisterFields& fields);
// The layout of 2019 (code, IMEI, software version) where the peer has a version byte.
std::size_t write_auth(MutableBytes out, const Peer& peer, std::uint16_t serial,
                       std::string_view auth_code, std::string_view imei = "",
                       std::string_view software_version = "");
// 0x0002, 0x0003, 0x0004: no body.
std::size_t write_empty(MutableBytes out, const Peer& peer, std::uint16_t message_id,
                        std::uint16_t serial);

struct LocationFields {
  std::uint32_t alarm_bits = 0;
  std::uint32_t status_bits = 0;
  std::uint32_t latitude_deg_x1e6 = 0;   // magnitude; the hemisphere is in status bits 2 and 3
  std::uint32_t longitude_deg_x1e6 = 0;
  std::uint16_t altitude_m = 0;
  std::uint16_t speed_kmh_x10 = 0;
  std::uint16_t heading_deg = 0;
  std::int64_t time_unix_s = 0;
  Bytes items;  // encoded: id, length, value, ...
};
std::size_t write_location(MutableBytes out, const Peer& peer, std::uint16_t serial,
                           const LocationFields& fields);
std::size_t write_location_batch(MutableBytes out, const Peer& peer, std::uint16_t serial,
                                 std::uint8_t type, std::span<const LocationFields> positions);

}  // namespace ringgate::jt808
