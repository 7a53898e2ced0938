// The frames a simulated terminal sends and the replies it understands. Written apart from
// protocols/jt808 on purpose: a tool that shared the server's codec could not see its mistakes.
// Pure; a FrameWriter may be used by one thread at a time, everything else by any.
//
// JT/T 808-2013 and -2019: 4.4 (frame), 8.5 (0x0100), 8.8 (0x0102), 8.12 (0x0200), 8.1-8.2 and 8.6
// (replies).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "engine/base/bytes.hpp"
#include "engine/base/clock.hpp"

namespace ringgate::load {

enum class Version : std::uint8_t { v2013, v2019 };

// A terminal's phone number: twelve BCD digits. The 2019 header has eight more in front, all zero.
using Phone = std::array<std::uint8_t, 6>;
Phone phone_from_number(std::uint64_t digits);
std::uint64_t number_from_phone(const Phone& phone);

// YYMMDDhhmmss in BCD, in the standard's time zone (GMT+8).
using BcdTime = std::array<std::uint8_t, 6>;
BcdTime bcd_time(WallUs wall);

// What a report carries. Units as on the wire.
struct Position {
  std::uint32_t alarm = 0;
  std::uint32_t status = 0x3;  // ACC on, fixed, north, east
  std::uint32_t latitude_udeg = 31'230'416;
  std::uint32_t longitude_udeg = 121'473'701;
  std::uint16_t altitude_m = 12;
  std::uint16_t speed_dkmh = 600;  // 0.1 km/h
  std::uint16_t heading_deg = 90;
  std::uint32_t odometer_hm = 123'456;  // 0.1 km
  std::uint16_t fuel_dl = 420;          // 0.1 L
  std::uint32_t signals = 0;            // item 0x25
  std::uint8_t signal_strength = 28;
  std::uint8_t satellites = 14;
};

class FrameWriter {
 public:
  // Enough for every frame written here, even if all of its bytes had to be escaped.
  static constexpr std::size_t frame_bytes_max = 640;
  static constexpr std::size_t report_bytes_max = 160;

  explicit FrameWriter(Version version);
  Version version() const { return version_; }

  // 0x0200 with items 01 02 03 25 30 31: 69 bytes (2013) when nothing needs an escape. Returns the
  // bytes written to `out`, which must have room for report_bytes_max.
  std::size_t report(std::uint8_t* out, const Phone& phone, std::uint16_t serial,
                     const BcdTime& time, const Position& position);
  // The same with the position of the last call or the default one: only phone, serial and time are
  // patched in. This is what a load test sends.
  std::size_t report(std::uint8_t* out, const Phone& phone, std::uint16_t serial,
                     const BcdTime& time);
  std::size_t register_terminal(std::uint8_t* out, const Phone& phone, std::uint16_t serial) const;
  // `code` as 0x8100 gave it; cut at 200 bytes (a 2019 code has a one-byte length).
  std::size_t authenticate(std::uint8_t* out, const Phone& phone, std::uint16_t serial,
                           Bytes code) const;
  std::size_t logout(std::uint8_t* out, const Phone& phone, std::uint16_t serial) const;

 private:
  std::size_t start(std::uint8_t* raw, std::uint16_t message_id, std::size_t body_bytes,
                    const Phone& phone, std::uint16_t serial) const;

  Version version_;
  std::array<std::uint8_t, 96> report_{};  // unescaped: header, body, room for the check byte
  std::size_t report_bytes_ = 0;           // without the check byte
  std::size_t body_at_ = 0;
};

// Escapes `count` bytes and their check byte and puts 7E around them. Returns the bytes written.
// `raw` needs 8 readable bytes behind its end, `out` room for 2 * count + 12.
std::size_t write_frame(std::uint8_t* out, std::uint8_t* raw, std::size_t count);

struct Reply {
  std::uint16_t message_id = 0;
  Phone phone{};
  std::uint16_t serial = 0;     // of the message that is answered
  std::uint16_t answered_id = 0;  // 0x8001 only
  std::uint8_t result = 0;
  Bytes code;                   // 0x8100 only; in the frame or in the scratch space
  Bytes raw;                    // `other` only: header and body, unescaped; in the same places
};

enum class ReplyKind : std::uint8_t {
  general,     // 0x8001
  registered,  // 0x8100
  other,       // well formed, but nothing this tool asked for
  broken,      // bad escape, check byte, length or header
};
// Room for one unescaped frame.
using ReplyScratch = std::array<std::uint8_t, 1100>;
// `inside` is what stands between the two 7E.
ReplyKind parse_reply(Bytes inside, Version version, ReplyScratch& scratch, Reply& out);

}  // namespace ringgate::load
