// The head of an HTTP/1.1 request: request line and fields up to the empty line, with what they say
// about the body. Strict where lenience lets two readers disagree about where a request ends (RFC
// 9112 section 11.2): such a request is bad, never repaired. Pure, no allocation; any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/base/bytes.hpp"

namespace ringgate::http {

enum class Method : std::uint8_t { get, head, post, put, patch, del, options, other };
std::string_view name_of(Method method);  // "GET"; "" for other

struct Field {
  std::string_view name;   // as sent
  std::string_view value;  // without the blanks around it
};

// What a request may cost before its handler has seen it. RFC 9110 5.4: a server picks its bounds.
struct HeadLimits {
  // The whole head. Cookies and long queries of browsers stay below 8 KiB.
  std::uint32_t head_bytes_max = 16 * 1024;
  std::uint32_t target_bytes_max = 8 * 1024;  // RFC 9112 3: at least 8,000
};
// Fields of one head: browsers send some 20, proxies add a few.
constexpr std::size_t fields_max = 64;

// Why a head was refused; each is also the label of a counter.
enum class HeadError : std::uint8_t {
  none,
  bad_line,         // 400: no request line, or a bare CR or LF in it
  bad_target,       // 400
  bad_version,      // 505
  bad_field,        // 400: no field line, blank before the colon, obs-fold, bare CR or LF
  bad_host,         // 400: none, several, or none that a host is
  bad_length,       // 400: Content-Length that is no number, or given twice
  bad_framing,      // 400: Content-Length with Transfer-Encoding, or that in HTTP/1.0
  unknown_coding,   // 501: a Transfer-Encoding other than chunked
  head_too_large,   // 431: too many bytes, or fields
  target_too_long,  // 414
  count,
};
inline constexpr std::string_view head_error_names[] = {
    "none",        "bad_line",   "bad_target",  "bad_version",    "bad_field",      "bad_host",
    "bad_length",  "bad_framing", "unknown_coding", "head_too_large", "target_too_long"};
static_assert(std::size(head_error_names) == static_cast<std::size_t>(HeadError::count));
// The status to answer with, then the connection closes: nobody knows where the next one begins.
std::uint16_t status_of(HeadError error);

// Views into the bytes that were parsed.
struct Head {
  Method method = Method::other;
  std::string_view method_text;
  std::string_view target;  // as sent
  std::string_view path;    // of the target, not decoded; "*" for OPTIONS *
  std::string_view query;   // behind the "?", without it
  std::string_view host;    // with its port; empty in an HTTP/1.0 request without
  std::uint8_t minor = 1;   // HTTP/1.minor
  bool keep_alive = true;   // RFC 9112 9.3
  bool chunked = false;
  bool has_length = false;
  bool expects_continue = false;
  bool upgrades = false;  // Connection names "upgrade": the Upgrade field counts
  std::uint64_t content_length = 0;
  std::uint16_t field_count = 0;
  std::array<Field, fields_max> fields;

  bool has_body() const { return chunked || content_length > 0; }
  // The first field of that name (any case); null: there is none. (Value may be empty.)
  const Field* find(std::string_view name) const;
  // Its value, or "".
  std::string_view value(std::string_view name) const {
    const Field* const field = find(name);
    return field == nullptr ? std::string_view{} : field->value;
  }
};

struct HeadResult {
  HeadError error = HeadError::none;
  std::size_t size = 0;  // bytes of the head with its empty line; 0: incomplete, or bad
  bool complete() const { return size != 0; }
};

// Reads the head that `bytes` begin with; one empty line before it is skipped (RFC 9112 2.2). What
// is wrong is told as soon as it is seen, whether or not the rest is there.
HeadResult parse_head(Bytes bytes, const HeadLimits& limits, Head& head);

// A list field's members one after the other, without blanks: takes one off the front of `list`.
// False at the end. (RFC 9110 5.6.1; members are not quoted strings.)
bool next_member(std::string_view& list, std::string_view& member);
// Without regard to the case of ASCII letters.
bool same_word(std::string_view one, std::string_view other);

}  // namespace ringgate::http
