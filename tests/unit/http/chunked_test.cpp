// The chunked coding: any cut into pieces gives the same body, and nothing lax is taken.
#include "protocols/http/codec/chunked.hpp"

#include <doctest/doctest.h>

#include <string>

using namespace ringgate;
using namespace ringgate::http;

namespace {

using State = ChunkedDecoder::State;

struct Outcome {
  State state = State::more;
  std::string body;
  std::size_t used = 0;
};

// Feeds `text` in pieces of `piece` bytes.
Outcome decode(std::string_view text, std::size_t piece) {
  ChunkedDecoder decoder;
  Outcome out;
  while (out.used < text.size() && out.state == State::more) {
    const std::string_view input = text.substr(out.used, piece);
    const ChunkedDecoder::Step step = decoder.take(as_bytes(input));
    out.body += as_text(step.data);
    out.used += step.used;
    out.state = step.state;
    if (step.used == 0) break;
  }
  return out;
}

const std::string_view bad_bodies[] = {
    "x\r\n",        "\r\n",           " 5\r\nhello",     "5 \r\nhello",  "5\nhello",
    "5\rhello",     "5\r\nhello\n",   "5\r\nhellox\r\n", "0x5\r\nhello", "-1\r\n",
    "0\r\n\n",      "0\r\n folded\r\n", "5;a\nb\r\n",    "10000000000000000\r\n",
    "0\r\na: b\n\r\n"};

}  // namespace

TEST_CASE("a body comes out whole, however it is cut") {
  const std::string text =
      "5\r\nhello\r\n6;name=\"v\"\r\n world\r\n000A\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n";
  for (std::size_t piece = 1; piece <= text.size(); ++piece) {
    CAPTURE(piece);
    const Outcome out = decode(text + "GET", piece);
    CHECK(out.state == State::done);
    CHECK(out.body == "hello world0123456789");
    CHECK(out.used == text.size());
  }
  for (std::size_t size = 0; size < text.size(); ++size) {
    CHECK(decode(std::string_view(text).substr(0, size), 7).state == State::more);
  }
}

TEST_CASE("what is no chunk is refused, and stays refused") {
  for (const std::string_view text : bad_bodies) {
    CAPTURE(text);
    CHECK(decode(text, text.size()).state == State::bad);
    CHECK(decode(text, 1).state == State::bad);
  }
  ChunkedDecoder decoder;
  CHECK(decoder.take(as_bytes("g")).state == State::bad);
  CHECK(decoder.take(as_bytes("5\r\n")).state == State::bad);
}

TEST_CASE("extensions and trailers are bounded") {
  CHECK(decode("5;" + std::string(chunk_line_bytes_max, 'x') + "\r\n", 64).state == State::bad);
  std::string trailers = "0\r\n";
  while (trailers.size() <= trailer_bytes_max + 64) trailers += "name: value\r\n";
  CHECK(decode(trailers + "\r\n", 64).state == State::bad);
  CHECK(decode("0\r\nname: value\r\n\r\n", 64).state == State::done);
}
