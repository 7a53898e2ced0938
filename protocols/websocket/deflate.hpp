// permessage-deflate (RFC 7692) without context takeover in either direction: every message stands
// alone, so one pair of zlib streams serves all sockets of a shard, and what is sent to many is
// deflated once. One per shard.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/base/bytes.hpp"

namespace ringgate::websocket {

// What a client offers in Sec-WebSocket-Extensions, and what is answered: "" where it offers no
// permessage-deflate that can be taken. RFC 7692 7.1.
std::string_view agree_on_deflate(std::string_view offers);

class Deflater {
 public:
  Deflater();
  ~Deflater();
  Deflater(const Deflater&) = delete;
  Deflater& operator=(const Deflater&) = delete;

  // The payload of one message; valid until the next call.
  Bytes deflate(Bytes message);
  enum class Inflated : std::uint8_t { ok, bad, too_big };
  // Of a whole message, at most `max` bytes; `out` is replaced.
  Inflated inflate(Bytes payload, std::size_t max, std::vector<std::uint8_t>& out);

 private:
  z_stream out_{};
  z_stream in_{};
  std::vector<std::uint8_t> buffer_;
};

}  // namespace ringgate::websocket
