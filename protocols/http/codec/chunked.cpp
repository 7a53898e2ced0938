#include "protocols/http/codec/chunked.hpp"

#include <algorithm>

#include "protocols/http/codec/words.hpp"

namespace ringgate::http {

namespace {

// What a line may hold besides its end.
bool is_text(std::uint8_t byte) { return (byte >= 0x20 && byte != 0x7f) || byte == '\t'; }

}  // namespace

bool ChunkedDecoder::size_digit(std::uint8_t byte) {
  const int digit = hex_value(byte);
  if (digit < 0 || left_ >> 59 != 0) return false;
  left_ = left_ << 4 | static_cast<unsigned>(digit);
  at_ = At::size;
  return true;
}

// One byte that is not data. False: not allowed here.
bool ChunkedDecoder::step(std::uint8_t byte) {
  switch (at_) {
    case At::size_first:
      left_ = 0;
      line_ = 1;
      return size_digit(byte);
    case At::size:
    case At::extension:
      if (++line_ > chunk_line_bytes_max) return false;
      if (byte == '\r') return at_ = At::size_lf, true;
      if (at_ == At::extension) return is_text(byte);
      // RFC 9112 7.1.1: blanks before the semicolon are for recipients to bear; not for us.
      if (byte == ';') return at_ = At::extension, true;
      return size_digit(byte);
    case At::size_lf:
      at_ = left_ == 0 ? At::trailer_first : At::data;
      line_ = 0;
      return byte == '\n';
    case At::data_cr:
      at_ = At::data_lf;
      return byte == '\r';
    case At::data_lf:
      at_ = At::size_first;
      return byte == '\n';
    case At::trailer_first:
      if (byte == '\r') return at_ = At::last_lf, true;
      at_ = At::trailer;
      return ++line_ <= trailer_bytes_max && is_text(byte) && byte != ' ' && byte != '\t';
    case At::trailer:
      if (++line_ > trailer_bytes_max) return false;
      if (byte == '\r') return at_ = At::trailer_lf, true;
      return is_text(byte);
    case At::trailer_lf:
      ++line_;
      at_ = At::trailer_first;
      return byte == '\n';
    case At::last_lf:
      at_ = At::done;
      return byte == '\n';
    case At::data:
    case At::done:
    case At::bad: break;
  }
  return false;
}

ChunkedDecoder::Step ChunkedDecoder::take(Bytes input) {
  Step result;
  while (result.used < input.size() && at_ != At::done && at_ != At::bad) {
    if (at_ == At::data) {
      const std::size_t here = input.size() - result.used;
      const std::size_t size = std::min<std::uint64_t>(left_, here);
      result.data = input.subspan(result.used, size);
      result.used += size;
      left_ -= size;
      if (left_ == 0) at_ = At::data_cr;
      break;
    }
    if (step(input[result.used])) {
      ++result.used;
    } else {
      at_ = At::bad;
    }
  }
  if (at_ == At::done) result.state = State::done;
  if (at_ == At::bad) result.state = State::bad;
  return result;
}

}  // namespace ringgate::http
