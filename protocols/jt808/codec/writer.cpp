#include "protocols/jt808/codec/writer.hpp"

#include <algorithm>

namespace ringgate::jt808 {

namespace {

void seal(Peer& peer) {
  peer.check = 0;
  peer.needs_escape = 0;
  for (std::size_t i = 0; i < peer.size; ++i) {
    const std::uint8_t byte = peer.bytes[i];
    peer.check = static_cast<std::uint8_t>(peer.check ^ byte);
    if (byte == delimiter || byte == escape_mark) peer.needs_escape = 1;
  }
}

// One end of a frame being escaped into a span. `at` stops growing when the span is full.
struct Escaper {
  MutableBytes out;
  std::size_t at = 0;
  bool full = false;

  void raw(std::uint8_t byte) {
    if (at == out.size()) {
      full = true;
      return;
    }
    out[at++] = byte;
  }
  void put(std::uint8_t byte) {
    if (byte != delimiter && byte != escape_mark) return raw(byte);
    raw(escape_mark);
    raw(static_cast<std::uint8_t>(byte - 0x7c));
  }
};

constexpr std::size_t header_size_of(const Peer& peer) { return 6 + std::size_t{peer.size}; }

}  // namespace

Peer peer_of(const Header& header) {
  Peer peer;
  peer.versioned = static_cast<std::uint8_t>((header.attributes & attribute_versioned) >> 8);
  std::uint8_t* to = peer.bytes;
  if (header.version == Version::v2019) *to++ = header.version_byte;
  std::memcpy(to, header.phone_bcd, header.phone_size);
  peer.size = static_cast<std::uint8_t>(to + header.phone_size - peer.bytes);
  seal(peer);
  return peer;
}

Peer make_peer(Version version, std::string_view digits) {
  Peer peer;
  const bool with_version = version == Version::v2019;
  const std::size_t width = with_version ? 10 : 6;
  const std::size_t start = with_version ? 1 : 0;
  peer.size = static_cast<std::uint8_t>(start + width);
  if (with_version) {
    peer.versioned = attribute_versioned >> 8;
    peer.bytes[0] = 1;
  }
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  if (digits.size() <= 2 * width && std::all_of(digits.begin(), digits.end(), is_digit)) {
    std::size_t nibble = 2 * width - digits.size();
    for (const char digit : digits) {
      const int shift = nibble % 2 == 0 ? 4 : 0;
      std::uint8_t& byte = peer.bytes[start + nibble / 2];
      byte = static_cast<std::uint8_t>(byte | (digit - '0') << shift);
      ++nibble;
    }
  }
  seal(peer);
  return peer;
}

FrameWriter::FrameWriter(const Peer& peer, std::uint16_t message_id, std::uint16_t serial) {
  header_size_ = size_ = static_cast<std::uint16_t>(header_size_of(peer));
  store_be16(frame_, message_id);
  store_be16(frame_ + 2, static_cast<std::uint16_t>(peer.versioned << 8));
  std::memcpy(frame_ + 4, peer.bytes, peer.size);
  store_be16(frame_ + 4 + peer.size, serial);
}

FrameWriter::FrameWriter(const Peer& peer, std::uint16_t message_id, std::uint16_t serial,
                         std::uint16_t total, std::uint16_t number)
    : FrameWriter(peer, message_id, serial) {
  u16(total).u16(number);
  header_size_ = size_;
  frame_[2] = static_cast<std::uint8_t>(frame_[2] | attribute_subpackage >> 8);
}

std::uint8_t* FrameWriter::put(std::size_t size) {
  if (overflow_ || size > body_left()) {
    overflow_ = true;
    return nullptr;
  }
  std::uint8_t* const at = frame_ + size_;
  size_ = static_cast<std::uint16_t>(size_ + size);
  return at;
}

FrameWriter& FrameWriter::u8(std::uint8_t value) {
  if (std::uint8_t* at = put(1)) *at = value;
  return *this;
}
FrameWriter& FrameWriter::u16(std::uint16_t value) {
  if (std::uint8_t* at = put(2)) store_be16(at, value);
  return *this;
}
FrameWriter& FrameWriter::u32(std::uint32_t value) {
  if (std::uint8_t* at = put(4)) store_be32(at, value);
  return *this;
}
FrameWriter& FrameWriter::bytes(Bytes value) {
  if (value.empty()) return *this;
  if (std::uint8_t* at = put(value.size())) std::memcpy(at, value.data(), value.size());
  return *this;
}
FrameWriter& FrameWriter::fixed(std::string_view value, std::size_t size) {
  if (std::uint8_t* at = put(size)) {
    const std::size_t used = std::min(size, value.size());
    std::memset(at, 0, size);
    if (used != 0) std::memcpy(at, value.data(), used);
  }
  return *this;
}
FrameWriter& FrameWriter::time_gmt8(std::int64_t unix_s) {
  return time_utc(unix_s + gmt8_offset_s);
}
FrameWriter& FrameWriter::time_utc(std::int64_t unix_s) {
  if (std::uint8_t* at = put(6)) write_time_utc(unix_s, at);
  return *this;
}

Bytes FrameWriter::unescaped() {
  const auto flags = static_cast<std::uint16_t>(load_be16(frame_ + 2) & ~attribute_body_size);
  store_be16(frame_ + 2, static_cast<std::uint16_t>(flags | body_size()));
  return {frame_, size_};
}

std::size_t FrameWriter::finish(MutableBytes out) {
  return overflow_ ? 0 : write_frame(out, unescaped());
}

std::size_t write_frame(MutableBytes out, Bytes frame) {
  Escaper escaper{out};
  std::uint8_t check = 0;
  escaper.raw(delimiter);
  for (const std::uint8_t byte : frame) {
    check = static_cast<std::uint8_t>(check ^ byte);
    escaper.put(byte);
  }
  escaper.put(check);
  escaper.raw(delimiter);
  return escaper.full ? 0 : escaper.at;
}

std::size_t detail::write_ack_slowly(MutableBytes out, const Peer& peer, std::uint64_t tail) {
  std::uint8_t frame[32];
  store_be16(frame, id::platform_reply);
  frame[2] = peer.versioned;
  frame[3] = 5;
  std::memcpy(frame + 4, peer.bytes, sizeof peer.bytes);
  store_be64(frame + 4 + peer.size, tail);  // its last byte is the check, written again below
  return write_frame(out, {frame, std::size_t{11} + peer.size});
}

std::size_t write_register_reply(MutableBytes out, const Peer& peer, std::uint16_t serial,
                                 std::uint16_t reply_serial, RegisterResult result,
                                 std::string_view auth_code) {
  FrameWriter frame(peer, id::registration_reply, serial);
  frame.u16(reply_serial).u8(static_cast<std::uint8_t>(result));
  if (result == RegisterResult::ok) frame.text(auth_code);
  return frame.finish(out);
}

std::size_t write_time_reply(MutableBytes out, const Peer& peer, std::uint16_t serial,
                             std::int64_t unix_s) {
  return FrameWriter(peer, id::time_reply, serial).time_utc(unix_s).finish(out);
}

std::size_t write_part_request(MutableBytes out, const Peer& peer, std::uint16_t serial,
                               std::uint16_t first_serial, std::span<const std::uint16_t> numbers) {
  FrameWriter frame(peer, id::part_request, serial);
  frame.u16(first_serial);
  // The count is a WORD in 2019 and a BYTE before.
  if (peer.size == 11) {
    frame.u16(static_cast<std::uint16_t>(numbers.size()));
  } else {
    frame.u8(static_cast<std::uint8_t>(numbers.size()));
  }
  for (const std::uint16_t number : numbers) frame.u16(number);
  return frame.finish(out);
}

std::size_t write_media_reply(MutableBytes out, const Peer& peer, std::uint16_t serial,
                              const MediaReply& reply) {
  FrameWriter frame(peer, id::media_reply, serial);
  if (reply.layout_2011) frame.u16(reply.reply_serial);
  frame.u32(reply.media_id);
  // Nothing follows where all is there; in 2011 the count does.
  if (!reply.missing.empty() || reply.layout_2011) {
    frame.u8(static_cast<std::uint8_t>(reply.missing.size()));
  }
  for (const std::uint16_t number : reply.missing) frame.u16(number);
  return frame.finish(out);
}

std::size_t write_register(MutableBytes out, const Peer& peer, std::uint16_t serial,
                           const RegisterFields& fields) {
  const bool v2019 = peer.size == 11;
  FrameWriter frame(peer, id::registration, serial);
  frame.u16(fields.province).u16(fields.city);
  frame.fixed(fields.maker, v2019 ? 11 : 5);
  frame.fixed(fields.model, v2019 ? 30 : 20);
  frame.fixed(fields.terminal_id, v2019 ? 30 : 7);
  return frame.u8(fields.plate_color).text(fields.plate_gbk).finish(out);
}

std::size_t write_auth(MutableBytes out, const Peer& peer, std::uint16_t serial,
                       std::string_view auth_code, std::string_view imei,
                       std::string_view software_version) {
  FrameWriter frame(peer, id::authentication, serial);
  if (peer.size != 11) return frame.text(auth_code).finish(out);
  if (auth_code.size() > 255) return 0;
  frame.u8(static_cast<std::uint8_t>(auth_code.size())).text(auth_code);
  return frame.fixed(imei, 15).fixed(software_version, 20).finish(out);
}

std::size_t write_empty(MutableBytes out, const Peer& peer, std::uint16_t message_id,
                        std::uint16_t serial) {
  return FrameWriter(peer, message_id, serial).finish(out);
}

namespace {

void put_location(FrameWriter& frame, const LocationFields& fields) {
  frame.u32(fields.alarm_bits).u32(fields.status_bits);
  frame.u32(fields.latitude_deg_x1e6).u32(fields.longitude_deg_x1e6);
  frame.u16(fields.altitude_m).u16(fields.speed_kmh_x10).u16(fields.heading_deg);
  frame.time_gmt8(fields.time_unix_s).bytes(fields.items);
}

}  // namespace

std::size_t write_location(MutableBytes out, const Peer& peer, std::uint16_t serial,
                           const LocationFields& fields) {
  FrameWriter frame(peer, id::location, serial);
  put_location(frame, fields);
  return frame.finish(out);
}

std::size_t write_location_batch(MutableBytes out, const Peer& peer, std::uint16_t serial,
                                 std::uint8_t type, std::span<const LocationFields> positions) {
  FrameWriter frame(peer, id::location_batch, serial);
  frame.u16(static_cast<std::uint16_t>(positions.size())).u8(type);
  for (const LocationFields& fields : positions) {
    frame.u16(static_cast<std::uint16_t>(28 + fields.items.size()));
    put_location(frame, fields);
  }
  return frame.finish(out);
}

}  // namespace ringgate::jt808
