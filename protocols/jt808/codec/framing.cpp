#include "protocols/jt808/codec/framing.hpp"

#include "engine/base/check.hpp"
#include "protocols/jt808/codec/header.hpp"

namespace ringgate::jt808::detail {

namespace {

constexpr std::size_t broken = SIZE_MAX;

// Copies `content` to `out` without its escapes; returns the size or `broken`. A 7D as the very
// last byte is a check byte that the sender forgot to escape: it is kept, and the check decides.
std::size_t unescape(Bytes content, std::uint8_t* out) {
  const std::uint8_t* from = content.data();
  const std::uint8_t* const end = from + content.size();
  std::uint8_t* to = out;
  while (from != end) {
#if defined(__SSE2__)
    if (end - from >= 16) {
      const __m128i block = load16(from);
      std::memcpy(to, &block, sizeof block);
      const unsigned marks = mask_of(block, static_cast<char>(escape_mark));
      const int plain = marks == 0 ? 16 : __builtin_ctz(marks);
      from += plain;
      to += plain;
      if (marks == 0) continue;
    }
#endif
    if (*from != escape_mark || from + 1 == end) {
      *to++ = *from++;
      continue;
    }
    const std::uint8_t code = from[1];
    if (code != 0x01 && code != 0x02) return broken;
    *to++ = static_cast<std::uint8_t>(0x7c + code);
    from += 2;
  }
  return static_cast<std::size_t>(to - out);
}

std::uint8_t xor_of(Bytes bytes) {
  std::uint64_t sum = 0;
  std::size_t at = 0;
  for (; at + 8 <= bytes.size(); at += 8) sum ^= load_native<std::uint64_t>(bytes.data() + at);
  std::uint8_t check = jt808::fold_xor(sum);
  for (; at < bytes.size(); ++at) check = static_cast<std::uint8_t>(check ^ bytes[at]);
  return check;
}

BadReason judge(Bytes content, bool opened) {
  if (content.size() <= header_size_min) return BadReason::too_short;
  if (xor_of(content) != 0) return BadReason::checksum;
  if (opened) return BadReason::none;
  Header header;
  return parse_header(content.first(content.size() - 1), header);
}

}  // namespace

NextFrame next_frame_slowly(Bytes in, std::size_t at, Scan scan, MutableBytes scratch) {
  NextFrame out;
  const bool opened = at != 0;
  if (!scan.found) {
    if (scan.size <= content_size_max) {
      out.consumed = opened ? at - 1 : 0;  // the opening delimiter stays, doubled ones go
      return out;
    }
    out.kind = NextFrame::Kind::bad;
    out.reason = opened ? BadReason::oversize : BadReason::garbage;
    out.consumed = at + scan.size;
    return out;
  }

  Bytes content = in.subspan(at, scan.size);
  BadReason reason = BadReason::none;
  if (scan.escaped) {
    RG_CHECK(scratch.size() >= scratch_size);
    const std::size_t size = unescape(content, scratch.data());
    if (size == broken) {
      reason = BadReason::escape;
    } else {
      content = scratch.first(size);
    }
  }
  if (reason == BadReason::none) reason = judge(content, opened);
  if (reason == BadReason::none) {
    out.kind = NextFrame::Kind::frame;
    out.was_escaped = scan.escaped;
    out.frame = content.first(content.size() - 1);
    out.consumed = at + scan.size + 1;
    return out;
  }
  out.kind = NextFrame::Kind::bad;
  out.reason = opened ? reason : BadReason::garbage;
  out.consumed = at + scan.size;  // the delimiter may open the next frame
  return out;
}

}  // namespace ringgate::jt808::detail
