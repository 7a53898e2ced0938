#include "protocols/http/codec/head.hpp"

#include <algorithm>

#include "protocols/http/codec/words.hpp"

namespace ringgate::http {

namespace {

// What a byte may be part of. RFC 9110 5.6.2 (token), 5.5 (field value), RFC 3986 (target).
enum : std::uint8_t { token = 1, value = 2, target = 4, host = 8 };

constexpr std::array<std::uint8_t, 256> make_classes() {
  std::array<std::uint8_t, 256> classes{};
  const auto allow = [&classes](std::string_view chars, int what) {
    for (const char c : chars) {
      classes[static_cast<std::uint8_t>(c)] |= static_cast<std::uint8_t>(what);
    }
  };
  for (int c = 0; c < 256; ++c) {
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    int what = 0;
    if (letter) what |= token | target | host;
    if ((c >= 0x20 && c != 0x7f) || c == '\t') what |= value;
    classes[static_cast<std::size_t>(c)] = static_cast<std::uint8_t>(what);
  }
  allow("!#$%&'*+-.^_`|~", token);
  // As RFC 3986 has it, and what browsers send unescaped in a query besides.
  allow("-._~:/?@!$&'()*+,;=%[]{}|^`\"\\<>", target);
  allow("-._~:!$&'()*+,;=%[]", host);
  return classes;
}
constexpr std::array<std::uint8_t, 256> classes = make_classes();

bool is(char c, std::uint8_t what) { return (classes[static_cast<std::uint8_t>(c)] & what) != 0; }

// The end of the run of bytes of a class.
std::size_t run_end(std::string_view text, std::size_t at, std::uint8_t what) {
  while (at < text.size() && is(text[at], what)) ++at;
  return at;
}

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

constexpr std::string_view method_names[] = {"GET",   "HEAD",   "POST",    "PUT",
                                             "PATCH", "DELETE", "OPTIONS", ""};

Method method_of(std::string_view text) {
  for (std::size_t i = 0; i + 1 < std::size(method_names); ++i) {
    if (text == method_names[i]) return static_cast<Method>(i);
  }
  return Method::other;
}

// host [":" port], as far as it matters: no user, no blanks, a port of digits.
bool is_host(std::string_view text) {
  if (run_end(text, 0, host) != text.size()) return false;
  const std::size_t bracket = text.rfind(']');
  const std::size_t colon = text.find(':', bracket == std::string_view::npos ? 0 : bracket);
  if (colon == std::string_view::npos) return true;
  const std::string_view port = text.substr(colon + 1);
  return port.size() <= 5 && port.find_first_not_of("0123456789") == std::string_view::npos;
}

// Fills path and query (and host) from one of the forms of RFC 9112 3.2.
bool split_target(Head& head) {
  std::string_view rest = head.target;
  if (rest == "*") {
    head.path = rest;
    return head.method == Method::options;
  }
  if (rest.front() != '/') {
    const std::size_t scheme = rest.find("://");
    if (scheme == std::string_view::npos) return false;
    const std::string_view name = rest.substr(0, scheme);
    if (!same_word(name, "http") && !same_word(name, "https")) return false;
    rest.remove_prefix(scheme + 3);
    const std::size_t end = std::min(rest.find_first_of("/?"), rest.size());
    head.host = rest.substr(0, end);
    if (head.host.empty() || !is_host(head.host)) return false;
    rest.remove_prefix(end);
  }
  const std::size_t mark = std::min(rest.find('?'), rest.size());
  head.path = rest.substr(0, mark);
  if (head.path.empty()) head.path = "/";
  head.query = mark == rest.size() ? std::string_view{} : rest.substr(mark + 1);
  return true;
}

class Parser {
 public:
  Parser(std::string_view text, const HeadLimits& limits, Head& head)
      : text_(text), limits_(limits), head_(head) {}

  HeadResult parse() {
    if (text_ == "\r") return stopped();  // perhaps of the empty line
    if (text_.starts_with("\r\n")) at_ = 2;
    if (!request_line()) return stopped();
    while (!at_end()) {
      if (!field_line()) return stopped();
    }
    if (error_ != HeadError::none || !incomplete_done_) return stopped();
    if (!conclude()) return stopped();
    return {HeadError::none, at_};
  }

 private:
  bool fail(HeadError error) {
    error_ = error;
    return false;
  }
  // More bytes are needed, unless there are too many already.
  bool more(HeadError when_full = HeadError::head_too_large) {
    return text_.size() >= limits_.head_bytes_max ? fail(when_full) : false;
  }
  HeadResult stopped() const { return {error_, 0}; }

  // CR LF at at_: steps behind it. A CR alone and an LF alone are neither end nor text.
  bool line_end(HeadError otherwise) {
    if (at_ == text_.size()) return more();
    if (text_[at_] != '\r') return fail(otherwise);
    if (at_ + 1 == text_.size()) return more();
    if (text_[at_ + 1] != '\n') return fail(otherwise);
    at_ += 2;
    return true;
  }

  bool request_line() {
    const std::size_t method_end = run_end(text_, at_, token);
    // No method is longer: what is, is another protocol (a TLS handshake has no token at all).
    constexpr std::size_t method_bytes_max = 32;
    if (method_end - at_ > method_bytes_max) return fail(HeadError::bad_line);
    if (method_end == text_.size()) return more();
    if (method_end == at_ || text_[method_end] != ' ') return fail(HeadError::bad_line);
    head_.method_text = text_.substr(at_, method_end - at_);
    head_.method = method_of(head_.method_text);
    at_ = method_end + 1;
    const std::size_t target_end = run_end(text_, at_, target);
    if (target_end - at_ > limits_.target_bytes_max) return fail(HeadError::target_too_long);
    if (target_end == text_.size()) return more(HeadError::target_too_long);
    if (target_end == at_ || text_[target_end] != ' ') return fail(HeadError::bad_target);
    head_.target = text_.substr(at_, target_end - at_);
    if (!split_target(head_)) return fail(HeadError::bad_target);
    at_ = target_end + 1;
    return version();
  }

  bool version() {
    constexpr std::string_view name = "HTTP/";
    constexpr std::size_t size = 8;  // HTTP/1.1
    const std::string_view there = text_.substr(at_, size);
    if (!there.starts_with(name.substr(0, there.size()))) return fail(HeadError::bad_line);
    if (there.size() < size) return more();
    const auto digit = [](char c) { return c >= '0' && c <= '9'; };
    if (!digit(there[5]) || there[6] != '.' || !digit(there[7])) return fail(HeadError::bad_line);
    if (there[5] != '1') return fail(HeadError::bad_version);
    head_.minor = there[7] == '0' ? 0 : 1;  // RFC 9110 2.5: a higher minor is read as ours
    head_.keep_alive = head_.minor != 0;
    at_ += size;
    return line_end(HeadError::bad_line);
  }

  // Whether the empty line is here, or nothing further can be read now.
  bool at_end() {
    if (at_ == text_.size()) {
      more();
      return true;
    }
    if (text_[at_] != '\r') return false;
    incomplete_done_ = line_end(HeadError::bad_field);
    return true;
  }

  bool field_line() {
    const std::size_t name_end = run_end(text_, at_, token);
    if (name_end == text_.size()) return more();
    // Also a line that begins with a blank (obs-fold), and a blank before the colon.
    if (name_end == at_ || text_[name_end] != ':') return fail(HeadError::bad_field);
    const std::size_t value_end = run_end(text_, name_end + 1, value);
    const Field field{text_.substr(at_, name_end - at_),
                      trimmed(text_.substr(name_end + 1, value_end - name_end - 1))};
    at_ = value_end;
    if (!line_end(HeadError::bad_field)) return false;
    if (at_ > limits_.head_bytes_max || head_.field_count == fields_max) {
      return fail(HeadError::head_too_large);
    }
    head_.fields[head_.field_count++] = field;
    return framing(field);
  }

  // The fields that decide where the request ends and what becomes of the connection.
  bool framing(const Field& field) {
    switch (field.name.size()) {
      case 4:
        if (same_word(field.name, "host")) return host_field(field.value);
        return true;
      case 6:
        if (same_word(field.name, "expect")) {
          head_.expects_continue = same_word(field.value, "100-continue");
        }
        return true;
      case 10:
        if (same_word(field.name, "connection")) connection(field.value);
        return true;
      case 14:
        if (same_word(field.name, "content-length")) return length(field.value);
        return true;
      case 17:
        if (same_word(field.name, "transfer-encoding")) return coding(field.value);
        return true;
      default:
        return true;
    }
  }

  bool host_field(std::string_view text) {
    if (hosts_++ > 0 || !is_host(text)) return fail(HeadError::bad_host);
    // RFC 9112 3.2.2: what the target names counts.
    if (head_.host.empty()) head_.host = text;
    return true;
  }

  void connection(std::string_view list) {
    std::string_view member;
    while (next_member(list, member)) {
      if (same_word(member, "close")) closes_ = true;
      if (same_word(member, "keep-alive")) head_.keep_alive = true;
      if (same_word(member, "upgrade")) head_.upgrades = true;
    }
  }

  bool length(std::string_view digits) {
    // 19 digits can't overflow.
    const bool number = !digits.empty() && digits.size() <= 19 &&
                        digits.find_first_not_of("0123456789") == std::string_view::npos;
    if (!number || head_.has_length) return fail(HeadError::bad_length);
    head_.has_length = true;
    for (const char digit : digits) {
      head_.content_length = head_.content_length * 10 + static_cast<unsigned>(digit - '0');
    }
    return true;
  }

  bool coding(std::string_view list) {
    if (head_.chunked) return fail(HeadError::bad_framing);
    if (!same_word(list, "chunked")) return fail(HeadError::unknown_coding);
    head_.chunked = true;
    return true;
  }

  bool conclude() {
    if (head_.chunked && (head_.has_length || head_.minor == 0)) {
      return fail(HeadError::bad_framing);
    }
    if (head_.minor != 0 && hosts_ == 0) return fail(HeadError::bad_host);
    if (closes_) head_.keep_alive = false;
    // RFC 9110 7.8, 10.1.1: not for HTTP/1.0.
    if (head_.minor == 0) head_.upgrades = head_.expects_continue = false;
    return true;
  }

  std::string_view text_;
  const HeadLimits& limits_;
  Head& head_;
  std::size_t at_ = 0;
  std::uint32_t hosts_ = 0;
  bool closes_ = false;
  bool incomplete_done_ = false;
  HeadError error_ = HeadError::none;
};

}  // namespace

std::string_view name_of(Method method) { return method_names[static_cast<std::size_t>(method)]; }

std::uint16_t status_of(HeadError error) {
  switch (error) {
    case HeadError::bad_version: return 505;
    case HeadError::unknown_coding: return 501;
    case HeadError::head_too_large: return 431;
    case HeadError::target_too_long: return 414;
    default: return 400;
  }
}

bool same_word(std::string_view one, std::string_view other) {
  if (one.size() != other.size()) return false;
  for (std::size_t i = 0; i < one.size(); ++i) {
    if (lower(one[i]) != lower(other[i])) return false;
  }
  return true;
}

bool next_member(std::string_view& list, std::string_view& member) {
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    member = trimmed(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
    if (!member.empty()) return true;
  }
  return false;
}

const Field* Head::find(std::string_view name) const {
  for (std::size_t i = 0; i < field_count; ++i) {
    if (same_word(fields[i].name, name)) return &fields[i];
  }
  return nullptr;
}

HeadResult parse_head(Bytes bytes, const HeadLimits& limits, Head& head) {
  head.method = Method::other;
  head.method_text = head.target = head.path = head.query = head.host = {};
  head.minor = 1;
  head.keep_alive = true;
  head.chunked = head.has_length = head.expects_continue = head.upgrades = false;
  head.content_length = 0;
  head.field_count = 0;
  return Parser(as_text(bytes), limits, head).parse();
}

}  // namespace ringgate::http
