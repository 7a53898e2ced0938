// The last bad frames of one shard, for people who look for what is wrong with a terminal: bytes
// that are no frame, and frames whose body does not decode. A ring of fixed size; lives on its
// shard. Noting one copies a few bytes and allocates nothing.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/clock.hpp"
#include "engine/base/ids.hpp"
#include "engine/net/link.hpp"
#include "protocols/jt808/codec/reason.hpp"
#include "protocols/jt808/limits.hpp"

namespace ringgate::jt808 {

class BadFrames {
 public:
  // What a link said that is no frame. `bytes`: as they came, from the opening delimiter on.
  void note(const net::Link& link, WallUs at, BadReason reason, Bytes bytes);
  // Delimiters and escapes undone, but the header makes no sense.
  void note_header(const net::Link& link, WallUs at, BadReason reason, Bytes frame);
  // A frame (as stored) of a known terminal whose body stops making sense at `offset`.
  void note_body(const net::Link& link, WallUs at, std::string_view phone, Bytes frame,
                 std::size_t offset);

  // Newest first, at most `limit`, each one JSON object: time, peer, reason, offset (of the first
  // byte that shows it; of the frame where it was cut out, else of the bytes as they came), size,
  // bytes (the first, in hex), phone where it is known.
  void list(std::uint32_t limit, std::vector<std::string>& out) const;

 private:
  struct Entry {
    WallUs at_us = 0;
    net::PeerAddress peer;
    std::uint32_t size = 0;
    std::uint32_t offset = 0;
    BadReason reason = BadReason::none;  // none: the body
    bool unescaped = false;
    std::uint8_t kept = 0;
    std::uint8_t phone_size = 0;
    char phone[20] = {};
    std::uint8_t bytes[bad_frame_bytes] = {};
  };
  Entry& put(const net::Link& link, WallUs at, BadReason reason, Bytes bytes, std::size_t offset);

  std::unique_ptr<Entry[]> ring_;  // made with the first
  std::uint64_t count_ = 0;
};

// "203.0.113.7:40123", "[2001:db8::1]:40123"; "unknown" where there is none.
std::string peer_text(const net::PeerAddress& peer);

}  // namespace ringgate::jt808
