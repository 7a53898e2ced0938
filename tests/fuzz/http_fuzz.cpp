// Heads, bodies and targets of HTTP: whatever comes, views stay inside, pieces change nothing, and
// a head that was taken reads the same again when it is written from its parts.
// Ten minutes by hand: as in jt808_framing_fuzz.cpp, with fuzz-http.
#include <algorithm>
#include <cstdint>
#include <string>

#include "protocols/http/codec/chunked.hpp"
#include "protocols/http/codec/head.hpp"
#include "protocols/http/codec/target.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::http;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

bool inside(std::string_view part, std::string_view whole) {
  return part.empty() || (part.data() >= whole.data() &&
                          part.data() + part.size() <= whole.data() + whole.size());
}

// The head's request line and fields, as a strict peer would send them.
std::string written(const Head& head) {
  std::string out = std::string(head.method_text) + " " + std::string(head.target) + " HTTP/1." +
                    (head.minor == 0 ? "0" : "1") + "\r\n";
  for (std::size_t i = 0; i < head.field_count; ++i) {
    out += std::string(head.fields[i].name) + ": " + std::string(head.fields[i].value) + "\r\n";
  }
  return out + "\r\n";
}

void check_head(std::string_view text) {
  static Head head;
  static Head again;
  const HeadLimits limits{.head_bytes_max = 2048, .target_bytes_max = 256};
  const HeadResult result = parse_head(as_bytes(text), limits, head);
  if (!result.complete()) {
    // What is wrong with the beginning is wrong with the whole.
    const HeadResult half = parse_head(as_bytes(text.substr(0, text.size() / 2)), limits, again);
    require(!half.complete());
    if (half.error != HeadError::none) require(half.error == result.error);
    return;
  }
  require(result.size <= text.size());
  const std::string_view read = text.substr(0, result.size);
  require(read.ends_with("\r\n\r\n"));
  for (std::size_t i = 0; i < head.field_count; ++i) {
    require(inside(head.fields[i].name, read) && inside(head.fields[i].value, read));
    require(head.fields[i].value.find_first_of("\r\n") == std::string_view::npos);
  }
  require(inside(head.target, read) && inside(head.query, read));
  require(!(head.chunked && head.has_length));
  for (std::size_t size = 0; size < result.size; size += 1 + size / 8) {
    const HeadResult part = parse_head(as_bytes(read.substr(0, size)), limits, again);
    require(part.error == HeadError::none && part.size == 0);
  }
  const std::string text_again = written(head);
  const HeadResult second = parse_head(as_bytes(text_again), {}, again);
  require(second.size == text_again.size());
  require(again.path == head.path && again.query == head.query && again.host == head.host);
  require(again.content_length == head.content_length && again.chunked == head.chunked);
  require(again.keep_alive == head.keep_alive && again.field_count == head.field_count);
}

std::string decode(std::string_view text, std::size_t piece, ChunkedDecoder::State& state) {
  ChunkedDecoder decoder;
  std::string body;
  std::size_t used = 0;
  state = ChunkedDecoder::State::more;
  while (used < text.size() && state == ChunkedDecoder::State::more) {
    const ChunkedDecoder::Step step = decoder.take(as_bytes(text.substr(used, piece)));
    require(step.used <= piece && inside(as_text(step.data), text));
    body += as_text(step.data);
    used += step.used;
    state = step.state;
    require(step.used > 0 || state != ChunkedDecoder::State::more);
  }
  return body;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_head(text);
  ChunkedDecoder::State whole{};
  ChunkedDecoder::State pieces{};
  const std::string body = decode(text, std::max<std::size_t>(size, 1), whole);
  require(decode(text, 1, pieces) == body && whole == pieces);
  if (const auto decoded = percent_decoded(text); decoded) {
    require(percent_decoded(percent_encoded(*decoded)) == *decoded);
  }
  ByteRange range;
  constexpr std::uint64_t thing = 1000;
  if (parse_range(text, thing, range) == RangeKind::part) {
    require(range.size > 0 && range.first < thing && range.size <= thing - range.first);
  }
  takes_gzip(text);
  names_tag(text, "\"x\"");
  return 0;
}
