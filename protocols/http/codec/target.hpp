// What stands in a request's target: percent-encoding, queries, ranges. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ringgate::http {

// "%41" is "A". Nothing: a percent sign without two hex digits, or a NUL in any form.
// `plus_is_blank`: as forms encode queries.
std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_blank = false);
// Everything but letters, digits and "-._~" as %XX.
std::string percent_encoded(std::string_view text);

// Takes the next `name=value` off the front of a query, not decoded. False at the end.
bool next_parameter(std::string_view& query, std::string_view& name, std::string_view& value);

// A byte range of a thing of `size` bytes (RFC 9110 14.1.2).
struct ByteRange {
  std::uint64_t first = 0;
  std::uint64_t size = 0;
};
enum class RangeKind : std::uint8_t {
  whole,        // no range, one that can't be read, or several: the whole thing is sent
  part,
  not_there,    // 416
};
RangeKind parse_range(std::string_view field, std::uint64_t size, ByteRange& range);

// Whether If-None-Match names the entity tag (weak comparison, RFC 9110 13.1.2). `tag`: with its
// quotes.
bool names_tag(std::string_view field, std::string_view tag);

// How much Accept wants a media type, in thousandths (RFC 9110 12.5.1): the weight of what names it
// most exactly; 0: not at all. Parameters of the type itself are not looked at.
int accepted_weight(std::string_view field, std::string_view type);

// Whether Accept-Encoding takes gzip (RFC 9110 12.5.3).
bool takes_gzip(std::string_view field);

}  // namespace ringgate::http
