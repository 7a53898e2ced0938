// Lines of jsonl against a second reading of RFC 8259 that shares no code with the first: the same
// verdict on every line, an id that is usable, and a dump that is one line of JSON.
// Ten minutes by hand: as in jt808_framing_fuzz.cpp, with fuzz-jsonl.
#include <cstdint>
#include <string>
#include <vector>

#include "protocols/jsonl/catalog.hpp"

namespace {

using namespace ringgate;
using jsonl::LineError;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

// With a stack of open brackets instead of recursion.
class Model {
 public:
  explicit Model(std::string_view text) : text_(text) {}

  LineError verdict() {
    blanks();
    if (at_ == text_.size() || text_[at_] != '{') return LineError::no_object;
    for (;;) {
      blanks();
      const char c = at_ < text_.size() ? text_[at_] : '\n';
      const bool closes = at_ < text_.size() && !open_.empty() &&
                          c == (open_.back() == '{' ? '}' : ']');
      if (closes && (want_ == Want::after || want_ == Want::first)) {
        ++at_;
        open_.pop_back();
        want_ = Want::after;
      } else if (want_ == Want::after) {
        if (at_ == text_.size()) return open_.empty() ? LineError::none : LineError::not_json;
        if (open_.empty() || c != ',') return LineError::not_json;
        ++at_;
        want_ = Want::next;
      } else {
        if (!open_.empty() && open_.back() == '{' && !key()) return LineError::not_json;
        if (open_.size() > static_cast<std::size_t>(json_depth_max)) return LineError::too_deep;
        if (!value()) return LineError::not_json;
      }
    }
  }

 private:
  enum class Want { first, next, after };

  void blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || (text_[at_] >= 9 && text_[at_] <= 13 &&
                                                       text_[at_] != 11 && text_[at_] != 12))) {
      ++at_;
    }
  }
  bool key() {
    if (!string()) return false;
    blanks();
    if (at_ == text_.size() || text_[at_++] != ':') return false;
    blanks();
    return true;
  }
  bool value() {
    if (at_ == text_.size()) return false;
    const char c = text_[at_];
    want_ = Want::after;
    if (c == '{' || c == '[') {
      ++at_;
      open_ += c;
      want_ = Want::first;
      return true;
    }
    if (c == '"') return string();
    for (const std::string_view word : {"true", "false", "null"}) {
      if (!text_.substr(at_).starts_with(word)) continue;
      at_ += word.size();
      return true;
    }
    return number();
  }
  // By states: 0 start, 1 after the sign, 2 a zero, 3 digits, 4 the point, 5 behind it, 6 the e,
  // 7 its sign, 8 its digits. It ends where no state follows.
  bool number() {
    int state = 0;
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      const bool digit = c >= '0' && c <= '9';
      const bool whole = state == 2 || state == 3;
      int next = -1;
      if (digit && (state == 0 || state == 1)) next = c == '0' ? 2 : 3;
      if (digit && state == 3) next = 3;
      if (digit && (state == 4 || state == 5)) next = 5;
      if (digit && state >= 6) next = 8;
      if (c == '-' && state == 0) next = 1;
      if (c == '.' && whole) next = 4;
      if ((c == 'e' || c == 'E') && (whole || state == 5)) next = 6;
      if ((c == '-' || c == '+') && state == 6) next = 7;
      if (next < 0) break;
      state = next;
    }
    return state == 2 || state == 3 || state == 5 || state == 8;
  }
  bool string() {
    if (at_ == text_.size() || text_[at_++] != '"') return false;
    while (at_ < text_.size()) {
      const auto byte = static_cast<std::uint8_t>(text_[at_++]);
      if (byte == '"') return true;
      if (byte < 0x20) return false;
      if (byte == '\\' ? !escape() : byte >= 0x80 && !rest_of_character(byte)) return false;
    }
    return false;
  }
  bool escape() {
    if (at_ == text_.size()) return false;
    const char c = text_[at_++];
    if (c != 'u') return c != 0 && std::string_view("bfnrt/\\\"").find(c) != std::string_view::npos;
    const std::string_view digits = text_.substr(at_, 4);
    at_ += digits.size();
    return digits.size() == 4 && digits.find_first_not_of("0123456789abcdefABCDEF") ==
                                     std::string_view::npos;
  }
  // Decodes and judges the number that comes out.
  bool rest_of_character(std::uint8_t lead) {
    const int more = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc0 || lead >= 0xf8 || text_.size() - at_ < static_cast<std::size_t>(more)) {
      return false;
    }
    std::uint32_t point = lead & (0x3fU >> more);
    for (int i = 0; i < more; ++i) {
      const auto byte = static_cast<std::uint8_t>(text_[at_++]);
      if (byte >> 6 != 2) return false;
      point = point << 6 | (byte & 0x3fU);
    }
    constexpr std::uint32_t smallest[] = {0, 0x80, 0x800, 0x10000};
    return point >= smallest[more] && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
  }

  std::string_view text_;
  std::size_t at_ = 0;
  std::string open_;
  Want want_ = Want::next;
};

void check_line(std::string_view text) {
  const jsonl::Line line = jsonl::parse_line(text);
  const LineError expected = Model(text).verdict();
  const bool valid = expected == LineError::none;
  require(line.error == expected || (valid && line.error == LineError::bad_id));
  if (line.error == LineError::none) {
    const auto at = static_cast<std::size_t>(line.id.data() - text.data());
    require(at < text.size() && line.id.size() < text.size() - at);
    require(DeviceKey(Namespace::json, line.id).id() == line.id);
  } else {
    require(line.id.empty());
  }
  std::string shown;
  JsonWriter json(shown);
  json.begin_object().key("body");
  jsonl::Catalog().json(as_bytes(text), json);
  json.end_object();
  require(shown.find_first_of("\r\n") == std::string::npos);
  const LineError again = Model(shown).verdict();
  require(again == LineError::none || (again == LineError::too_deep && valid));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > jsonl::line_size_max) return 0;
  std::string_view left = as_text({data, size});
  while (!left.empty()) {
    const std::size_t end = std::min(left.find('\n'), left.size());
    // A copy of exactly this size, so that a read beyond the line is seen.
    const std::vector<char> line(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(end));
    check_line({line.data(), line.size()});
    left.remove_prefix(std::min(end + 1, left.size()));
  }
  return 0;
}
