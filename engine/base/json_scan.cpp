#include "engine/base/json_scan.hpp"

#include "engine/base/utf8.hpp"

namespace ringgate {

namespace {

// A recursive descent whose depth is bounded by json_depth_max. Stops at the first error.
class Parser {
 public:
  Parser(std::string_view text, std::string_view name) : text_(text), name_(name) {}
  Parser(std::string_view text, std::span<JsonMember> members) : text_(text), members_(members) {}
  std::size_t members() const { return count_; }

  JsonScan run() {
    skip_space();
    if (peek() != '{') {
      fail(JsonScan::Error::no_object);
    } else if (value(0)) {
      skip_space();
      if (at_ != text_.size()) fail(JsonScan::Error::not_json);
    }
    return scan_;
  }

 private:
  bool fail(JsonScan::Error error) {
    if (scan_.error == JsonScan::Error::none) {
      scan_.error = error;
      scan_.offset = at_;
    }
    return false;
  }
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) {
    if (peek() != c || at_ == text_.size()) return fail(JsonScan::Error::not_json);
    ++at_;
    return true;
  }
  void skip_space() {
    const auto is_space = [](char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; };
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }
  static bool digit(char c) { return c >= '0' && c <= '9'; }

  bool value(int depth) {
    if (depth > json_depth_max) return fail(JsonScan::Error::too_deep);
    switch (peek()) {
      case '{':
        return object(depth);
      case '[':
        return array(depth);
      case '"':
        return string();
      case 't':
        return word("true");
      case 'f':
        return word("false");
      case 'n':
        return word("null");
      default:
        return number();
    }
  }

  bool word(std::string_view expected) {
    if (text_.substr(at_, expected.size()) != expected) return fail(JsonScan::Error::not_json);
    at_ += expected.size();
    return true;
  }

  bool object(int depth) {
    ++at_;
    skip_space();
    if (peek() == '}') return ++at_, true;
    for (;;) {
      skip_space();
      const std::size_t key_at = at_;
      if (!string()) return false;
      const std::string_view key = text_.substr(key_at + 1, at_ - key_at - 2);
      skip_space();
      if (!take(':')) return false;
      skip_space();
      const std::size_t value_at = at_;
      if (!value(depth + 1)) return false;
      if (depth == 0) found(key, text_.substr(value_at, at_ - value_at));
      skip_space();
      if (peek() == '}') return ++at_, true;
      if (!take(',')) return false;
    }
  }

  void found(std::string_view key, std::string_view value) {
    if (key == name_) scan_.member = value;
    if (count_ < members_.size()) members_[count_] = {key, value};
    ++count_;
  }

  bool array(int depth) {
    ++at_;
    skip_space();
    if (peek() == ']') return ++at_, true;
    for (;;) {
      skip_space();
      if (!value(depth + 1)) return false;
      skip_space();
      if (peek() == ']') return ++at_, true;
      if (!take(',')) return false;
    }
  }

  bool string() {
    if (!take('"')) return false;
    while (at_ < text_.size()) {
      const char c = text_[at_];
      if (c == '"') return ++at_, true;
      if (c == '\\') {
        if (!escape()) return false;
        continue;
      }
      const std::size_t length = utf8_length(text_, at_);
      if (static_cast<unsigned char>(c) < 0x20 || length == 0)
        return fail(JsonScan::Error::not_json);
      at_ += length;
    }
    return fail(JsonScan::Error::not_json);
  }

  bool escape() {
    ++at_;
    const char c = peek();
    if (c != 'u') {
      if (std::string_view("\"\\/bfnrt").find(c) == std::string_view::npos || c == '\0') {
        return fail(JsonScan::Error::not_json);
      }
      return ++at_, true;
    }
    for (int i = 0; i < 4; ++i) {
      ++at_;
      const char hex = peek();
      const bool ok = digit(hex) || (hex >= 'a' && hex <= 'f') || (hex >= 'A' && hex <= 'F');
      if (!ok) return fail(JsonScan::Error::not_json);
    }
    return ++at_, true;
  }

  bool digits() {
    if (!digit(peek())) return fail(JsonScan::Error::not_json);
    while (digit(peek())) ++at_;
    return true;
  }

  bool number() {
    if (peek() == '-') ++at_;
    if (peek() == '0') {
      ++at_;
    } else if (!digits()) {
      return false;
    }
    if (peek() == '.') {
      ++at_;
      if (!digits()) return false;
    }
    if (peek() == 'e' || peek() == 'E') {
      ++at_;
      if (peek() == '+' || peek() == '-') ++at_;
      if (!digits()) return false;
    }
    return true;
  }

  std::string_view text_;
  std::string_view name_;
  std::span<JsonMember> members_;
  std::size_t count_ = 0;
  std::size_t at_ = 0;
  JsonScan scan_;
};

}  // namespace

JsonScan scan_json_object(std::string_view text, std::string_view name) {
  return Parser(text, name).run();
}

JsonScan scan_json_members(std::string_view text, std::span<JsonMember> out, std::size_t& count) {
  Parser parser(text, out);
  const JsonScan scan = parser.run();
  count = parser.members();
  return scan;
}

}  // namespace ringgate
