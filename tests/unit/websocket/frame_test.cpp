// Heads of frames, masks, close codes, UTF-8 in pieces.
#include "protocols/websocket/codec/frame.hpp"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "engine/base/utf8.hpp"

using namespace ringgate;
using namespace ringgate::websocket;

namespace {

using Raw = std::vector<std::uint8_t>;

FrameError error_of(const Raw& bytes, bool deflates = false) {
  FrameHead head;
  return parse_frame_head(bytes, deflates, head).error;
}

}  // namespace

TEST_CASE("heads are read as they were written, at every length and in pieces") {
  const std::array<std::uint8_t, 4> mask = {1, 2, 3, 4};
  for (const std::uint64_t size : {0UL, 1UL, 125UL, 126UL, 65'535UL, 65'536UL, 1UL << 40}) {
    for (const bool masked : {false, true}) {
      std::uint8_t out[frame_head_max];
      const std::size_t written = write_frame_head(out, Opcode::binary, size, false, false,
                                                   masked ? &mask : nullptr);
      FrameHead head;
      for (std::size_t part = 0; part < written; ++part) {
        CHECK_FALSE(parse_frame_head({out, part}, false, head).complete);
      }
      REQUIRE(parse_frame_head({out, written}, false, head).complete);
      CHECK(head.size == written);
      CHECK(head.payload_bytes == size);
      CHECK(head.opcode == Opcode::binary);
      CHECK_FALSE(head.fin);
      CHECK(head.masked == masked);
      if (masked) CHECK(head.mask == mask);
    }
  }
}

TEST_CASE("what RFC 6455 5.2 and 5.5 forbid") {
  CHECK(error_of({0x91, 0x00}) == FrameError::reserved_bits);
  CHECK(error_of({0xa1, 0x00}) == FrameError::reserved_bits);
  CHECK(error_of({0xc1, 0x00}) == FrameError::reserved_bits);
  CHECK(error_of({0xc1, 0x00}, true) == FrameError::none);
  CHECK(error_of({0xc0, 0x00}, true) == FrameError::reserved_bits);
  for (const int opcode : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15}) {
    CHECK(error_of({static_cast<std::uint8_t>(0x80 | opcode)}) == FrameError::unknown_opcode);
  }
  CHECK(error_of({0x09, 0x00}) == FrameError::bad_control);
  CHECK(error_of({0x89, 0x7e, 0x00, 0x7e}) == FrameError::bad_control);
  CHECK(error_of({0xc9, 0x00}, true) == FrameError::bad_control);
  CHECK(error_of({0x82, 0x7e, 0x00, 0x7d}) == FrameError::bad_length);
  CHECK(error_of({0x82, 0x7f, 0, 0, 0, 0, 0, 0, 0xff, 0xff}) == FrameError::bad_length);
  CHECK(error_of({0x82, 0x7f, 0x80, 0, 0, 0, 0, 0, 0, 0}) == FrameError::bad_length);
}

TEST_CASE("unmasking in any pieces is unmasking whole") {
  const std::array<std::uint8_t, 4> mask = {0xde, 0xad, 0xbe, 0xef};
  Raw payload;
  for (int i = 0; i < 61; ++i) payload.push_back(static_cast<std::uint8_t>(i * 7));
  Raw whole(payload.size());
  for (std::size_t i = 0; i < payload.size(); ++i) whole[i] = payload[i] ^ mask[i % 4];
  for (std::size_t piece = 1; piece <= payload.size(); ++piece) {
    Raw out = payload;
    for (std::size_t at = 0; at < out.size(); at += piece) {
      const std::size_t size = std::min(piece, out.size() - at);
      unmask(&out[at], size, mask, at, &out[at]);
    }
    CHECK(out == whole);
  }
}

TEST_CASE("close codes") {
  for (const int code : {1000, 1001, 1002, 1003, 1007, 1011, 1014, 3000, 3999, 4000, 4999}) {
    CHECK(is_close_code(static_cast<std::uint16_t>(code)));
  }
  for (const int code : {0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535}) {
    CHECK_FALSE(is_close_code(static_cast<std::uint16_t>(code)));
  }
}

TEST_CASE("UTF-8 in pieces is judged as the whole is") {
  // Every lead byte with continuations around their bounds, cut at every place.
  for (int lead = 0; lead < 256; ++lead) {
    for (const int second : {-1, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0}) {
      for (int more = 0; more <= 2; ++more) {
        std::string text(1, static_cast<char>(lead));
        if (second >= 0) text.push_back(static_cast<char>(second));
        text.append(static_cast<std::size_t>(more), '\x80');
        for (std::size_t cut = 0; cut <= text.size(); ++cut) {
          Utf8Stream stream;
          const bool good = stream.take(as_bytes(std::string_view(text).substr(0, cut))) &&
                            stream.take(as_bytes(std::string_view(text).substr(cut))) &&
                            stream.at_end();
          REQUIRE(good == is_utf8(text));
        }
      }
    }
  }
}
