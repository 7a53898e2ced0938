#include "tools/common/http_answer.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <utility>

namespace ringgate::tool {
namespace {

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

bool same(std::string_view a, std::string_view b) {
  return a.size() == b.size() &&
         std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return lower(x) == lower(y);
         });
}

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool read_number(std::string_view text, int base, std::uint64_t& out) {
  if (text.empty()) return false;
  const auto end = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return end.ec == std::errc{} && end.ptr == text.data() + text.size();
}

}  // namespace

void HttpAnswerReader::begin(bool to_head, bool wants_head) {
  *this = HttpAnswerReader{};
  to_head_ = to_head;
  wants_head_ = wants_head;
}

HttpAnswerReader::Step HttpAnswerReader::fail(const char* problem) {
  problem_ = problem;
  state_ = State::bad;
  return Step::bad;
}

HttpAnswerReader::Step HttpAnswerReader::closed() const {
  return state_ == State::until_close ? Step::done : Step::bad;
}

std::string_view HttpAnswerReader::field(std::string_view name) const {
  std::string_view rest = head_;
  while (!rest.empty()) {
    const std::size_t end = std::min(rest.find("\r\n"), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 2, rest.size()));
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || !same(line.substr(0, colon), name)) continue;
    return trimmed(line.substr(colon + 1));
  }
  return {};
}

// True: line_ is whole, without its end.
bool HttpAnswerReader::take_line(Bytes& bytes) {
  const auto* end = static_cast<const std::uint8_t*>(std::memchr(bytes.data(), '\n', bytes.size()));
  const std::size_t size = end == nullptr ? bytes.size()
                                          : static_cast<std::size_t>(end - bytes.data()) + 1;
  line_ += as_text(bytes.first(size));
  bytes = bytes.subspan(size);
  if (end == nullptr) return false;
  line_.pop_back();
  if (!line_.empty() && line_.back() == '\r') line_.pop_back();
  return true;
}

bool HttpAnswerReader::read_status(std::string_view line) {
  std::uint64_t number = 0;
  if (line.size() < 12 || !line.starts_with("HTTP/1.") || line[8] != ' ' ||
      !read_number(line.substr(9, 3), 10, number) || number < 100) {
    return false;
  }
  keeps_alive_ = line[7] == '1';
  status_ = static_cast<std::uint16_t>(number);
  return true;
}

HttpAnswerReader::Step HttpAnswerReader::end_head() {
  if (status_ < 200 && status_ != 101) {  // interim
    head_.clear();
    status_ = 0;
    return Step::more;
  }
  const std::string_view connection = field("connection");
  if (same(connection, "close")) keeps_alive_ = false;
  if (same(connection, "keep-alive")) keeps_alive_ = true;
  state_ = State::done;
  if (status_ == 101) return Step::head;
  const bool empty = to_head_ || status_ == 204 || status_ == 304;
  const std::string_view coding = field("transfer-encoding");
  const std::string_view length = field("content-length");
  if (empty) return wants_head_ ? Step::head : Step::done;
  if (!coding.empty()) {
    if (!same(coding, "chunked") || !length.empty()) return fail("a body of unknown coding");
    state_ = State::chunk_size;
  } else if (!length.empty()) {
    if (!read_number(length, 10, left_)) return fail("a content-length that is no number");
    state_ = left_ == 0 ? State::done : State::sized;
  } else {
    state_ = State::until_close;
    keeps_alive_ = false;
  }
  if (wants_head_) return Step::head;
  return state_ == State::done ? Step::done : Step::more;
}

HttpAnswerReader::Step HttpAnswerReader::end_line() {
  const std::string line = std::exchange(line_, {});
  if (state_ == State::head) {
    if (head_.size() + line.size() > head_bytes_max) return fail("a head without an end");
    if (status_ == 0) return read_status(line) ? Step::more : fail("no status line");
    if (line.empty()) return end_head();
    head_ += line;
    head_ += "\r\n";
  } else if (state_ == State::chunk_size) {
    const std::string_view size = std::string_view(line).substr(0, line.find(';'));
    if (!read_number(trimmed(size), 16, left_)) return fail("a chunk without a size");
    state_ = left_ == 0 ? State::trailer : State::chunk;
  } else if (state_ == State::chunk_end) {
    if (!line.empty()) return fail("a chunk longer than it says");
    state_ = State::chunk_size;
  } else if (line.empty()) {  // trailer
    state_ = State::done;
    return Step::done;
  }
  return Step::more;
}

HttpAnswerReader::Step HttpAnswerReader::feed(Bytes& bytes, std::string* body) {
  if (state_ == State::bad) return Step::bad;
  while (state_ != State::done && !bytes.empty()) {
    if (state_ == State::sized || state_ == State::chunk || state_ == State::until_close) {
      const bool open_ended = state_ == State::until_close;
      const std::size_t size =
          open_ended ? bytes.size()
                     : static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
      if (body != nullptr) *body += as_text(bytes.first(size));
      bytes = bytes.subspan(size);
      if (open_ended) continue;
      left_ -= size;
      if (left_ == 0) state_ = state_ == State::sized ? State::done : State::chunk_end;
      continue;
    }
    if (!take_line(bytes)) {
      return line_.size() > head_bytes_max ? fail("a line without an end") : Step::more;
    }
    const Step step = end_line();
    if (step != Step::more) return step;
  }
  return state_ == State::done ? Step::done : Step::more;
}

}  // namespace ringgate::tool
