// The framing of JT/T 808 against a slow model of it, and against itself with the stream cut at
// other places. Input: one byte that chooses the cuts, then the stream.
// Ten minutes by hand, with clang:
//   CXX=clang++ meson setup build/fuzz -Dfuzz=true -Db_sanitize=address,undefined -Db_lundef=false
//   (and -Dallocator=system), ninja -C build/fuzz tests/fuzz/fuzz-jt808-framing, then
//   fuzz-jt808-framing -max_total_time=600 NEW tests/fuzz/corpus/jt808-framing
// where NEW is an empty folder for what it learns.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <vector>

#include "protocols/jt808/codec/framing.hpp"
#include "protocols/jt808/codec/header.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;
using Raw = std::vector<std::uint8_t>;

struct Event {
  BadReason reason = BadReason::none;
  Raw frame;
  friend bool operator==(const Event&, const Event&) = default;
};

void require(bool condition) {
  if (!condition) __builtin_trap();
}

// Frames and reasons of `stream` when it comes in pieces of the sizes that `next_size` gives.
template <class NextSize>
std::vector<Event> run(Bytes stream, NextSize next_size) {
  std::vector<Event> events;
  Raw scratch(scratch_size);
  Raw kept;
  while (!stream.empty()) {
    const std::size_t size = std::clamp<std::size_t>(next_size(), 1, stream.size());
    Raw input = kept;
    input.insert(input.end(), stream.begin(), stream.begin() + static_cast<std::ptrdiff_t>(size));
    input.shrink_to_fit();
    stream = stream.subspan(size);
    Bytes left = input;
    for (;;) {
      const NextFrame next = next_frame(left, scratch);
      require(next.consumed <= left.size());
      left = left.subspan(next.consumed);
      if (next.kind == NextFrame::Kind::need_more) break;
      require(next.consumed > 0);
      require((next.reason == BadReason::none) == (next.kind == NextFrame::Kind::frame));
      events.push_back({next.reason, {next.frame.begin(), next.frame.end()}});
    }
    require(left.size() <= wire_size_max);
    kept.assign(left.begin(), left.end());
  }
  return events;
}

// A frame without its escapes and its check byte, or why it is none.
Event model_segment(const Raw& segment, bool opened) {
  Raw plain;
  BadReason reason = BadReason::none;
  for (std::size_t i = 0; i < segment.size() && reason == BadReason::none; ++i) {
    if (segment[i] != 0x7d || i + 1 == segment.size()) {
      plain.push_back(segment[i]);
    } else if (segment[i + 1] == 1 || segment[i + 1] == 2) {
      plain.push_back(segment[++i] == 1 ? 0x7d : 0x7e);
    } else {
      reason = BadReason::escape;
    }
  }
  if (reason == BadReason::none && plain.size() < 13) reason = BadReason::too_short;
  std::uint8_t check = 0;
  for (const std::uint8_t byte : plain) check = static_cast<std::uint8_t>(check ^ byte);
  if (reason == BadReason::none && check != 0) reason = BadReason::checksum;
  if (!plain.empty()) plain.pop_back();
  Header header;
  if (!opened && (reason != BadReason::none || parse_header(plain, header) != BadReason::none)) {
    reason = BadReason::garbage;
  }
  if (reason != BadReason::none) return {reason, {}};
  return {reason, plain};
}

// One byte at a time, with a flag for "a delimiter stands before this segment and is not used up".
std::vector<Event> model(Bytes stream) {
  std::vector<Event> events;
  Raw segment;
  bool opened = false;
  for (const std::uint8_t byte : stream) {
    if (byte == 0x7e) {
      if (segment.empty()) {
        opened = true;
        continue;
      }
      events.push_back(model_segment(segment, opened));
      opened = events.back().reason != BadReason::none;
      segment.clear();
      continue;
    }
    segment.push_back(byte);
    if (segment.size() > content_size_max) {
      events.push_back({opened ? BadReason::oversize : BadReason::garbage, {}});
      opened = false;
      segment.clear();
    }
  }
  return events;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes stream{data + 1, size - 1};
  std::uint32_t state = data[0] + 1U;
  const std::vector<Event> whole = run(stream, [&] { return stream.size(); });
  const std::vector<Event> cut = run(stream, [&] {
    state = state * 1664525U + 1013904223U;
    // Long streams in larger pieces: what is tested is where the cuts fall, not their number.
    return std::size_t{1} + (state >> 24) % (1 + data[0] % 97U + stream.size() / 64);
  });
  require(whole == cut);
  require(whole == model(stream));
  return 0;
}
