// Cuts the bytes of a link into frames and undoes the escapes. Stateless: what a call needs to know
// is in the bytes that the caller kept. Pure, no allocation; any thread.
// JT/T 808-2019 4.4.2: 7E | header | body | check | 7E, with 7E sent as 7D 02 and 7D as 7D 01.
//
// The rule: delimiters cut the stream into segments, and every segment that is not empty is tried
// as a frame. So a delimiter shared by two frames, doubled ones, and a frame that lost one end all
// cost at most the broken frame, never the next one. A segment whose opening 7E is not in sight
// (shared and already used by the frame before, or never sent) must also agree with its own length
// field; otherwise it is `garbage`. How the bytes were split over reads changes neither frames nor
// reasons.
//
// A call looks at no more than one frame's worth (2,092 bytes). A frame that arrives one byte at a
// time is scanned again from its start on each read: at most 131 blocks of 16 bytes, which is less
// than the read that brought the byte, so the cost per read is bounded and small.
#pragma once

#include "engine/base/bytes.hpp"
#include "protocols/jt808/codec/reason.hpp"
#include "protocols/jt808/codec/scan.hpp"

namespace ringgate::jt808 {

constexpr std::size_t body_size_max = 1023;      // ten bits of length
constexpr std::size_t header_size_min = 12;      // 2011 and 2013 without subpackage fields
constexpr std::size_t header_size_max = 21;      // 2019 with them
constexpr std::size_t frame_size_max = header_size_max + body_size_max;  // unescaped, without check
constexpr std::size_t content_size_max = 2 * (frame_size_max + 1);  // every byte escaped
constexpr std::size_t wire_size_max = content_size_max + 2;
constexpr std::size_t scratch_size = content_size_max + 16;  // the copy writes whole blocks
static_assert(wire_size_max == 2092);

struct NextFrame {
  enum class Kind : std::uint8_t { frame, need_more, bad };

  std::size_t consumed = 0;  // drop so many bytes from the front, whatever the kind
  Kind kind = Kind::need_more;
  BadReason reason = BadReason::none;  // set when bad
  bool was_escaped = false;
  Bytes frame;  // header and body, unescaped, no check; in `in`, or in `scratch` if was_escaped
};

namespace detail {
// The rest of next_frame: escapes, a missing opening delimiter, everything bad.
NextFrame next_frame_slowly(Bytes in, std::size_t at, Scan scan, MutableBytes scratch);
}  // namespace detail

// The first frame of `in`, or what to do instead. `scratch` must hold scratch_size bytes; the frame
// lives in it until the next call. On need_more the caller keeps in[consumed..] and comes back with
// more; what it keeps is at most wire_size_max bytes.
inline NextFrame next_frame(Bytes in, MutableBytes scratch) {
  std::size_t at = 0;
  while (at < in.size() && in[at] == delimiter) ++at;
  const std::size_t left = in.size() - at;
  const std::size_t window = left < content_size_max + 1 ? left : content_size_max + 1;
  const Scan scan = scan_frame(in.data() + at, window);
  if (scan.found && !scan.escaped && scan.check == 0 && at != 0 && scan.size > header_size_min)
      [[likely]] {
    return {.consumed = at + scan.size + 1,
            .kind = NextFrame::Kind::frame,
            .frame = {in.data() + at, scan.size - 1}};
  }
  return detail::next_frame_slowly(in, at, scan, scratch);
}

// Whether bytes kept after need_more wait for more of a frame, so that a frame time-out runs. Not
// so for a lone delimiter (a doubled closing one) and for a line end behind a frame: a terminal
// that sends them is idle.
inline bool is_partial_frame(Bytes kept) {
  if (kept.size() > 2) return true;
  for (const std::uint8_t byte : kept) {
    if (byte != delimiter && byte != '\r' && byte != '\n') return true;
  }
  return false;
}

}  // namespace ringgate::jt808
