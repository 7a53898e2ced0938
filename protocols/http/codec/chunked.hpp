// The chunked coding of a request's body (RFC 9112 section 7.1), as it comes in pieces. Strict: a
// size is hex digits, lines end with CR LF. Pure, no allocation; any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/base/bytes.hpp"

namespace ringgate::http {

// Chunk extensions, and trailer fields: nobody here reads them, so they get little room.
constexpr std::uint32_t chunk_line_bytes_max = 256;
constexpr std::uint32_t trailer_bytes_max = 4096;

// Trivially copyable: lives in a link's session bytes.
class ChunkedDecoder {
 public:
  enum class State : std::uint8_t { more, done, bad };
  struct Step {
    State state = State::more;
    std::size_t used = 0;  // bytes of the input
    Bytes data;            // of the body, in the input
  };
  // Takes at most one piece of data off the input; call again with what is left while it used some.
  Step take(Bytes input);

 private:
  enum class At : std::uint8_t {
    size_first,  // a digit of a chunk's size must come
    size,
    extension,
    size_lf,
    data,
    data_cr,
    data_lf,
    trailer_first,  // of a line
    trailer,
    trailer_lf,
    last_lf,
    done,
    bad,
  };
  bool step(std::uint8_t byte);
  bool size_digit(std::uint8_t byte);

  std::uint64_t left_ = 0;  // of the chunk
  std::uint32_t line_ = 0;  // bytes of the size line, or of all trailers
  At at_ = At::size_first;
};

}  // namespace ringgate::http
