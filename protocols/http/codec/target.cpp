#include "protocols/http/codec/target.hpp"

#include <algorithm>
#include <charconv>

#include "protocols/http/codec/head.hpp"
#include "protocols/http/codec/words.hpp"

namespace ringgate::http {

namespace {

bool unreserved(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '.' || c == '_' || c == '~';
}

std::optional<std::uint64_t> number_of(std::string_view digits) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
  if (digits.empty() || error != std::errc() || end != digits.data() + digits.size()) return {};
  return value;
}

std::string_view trimmed(std::string_view text) {
  const std::size_t from = text.find_first_not_of(" \t");
  if (from == std::string_view::npos) return {};
  return text.substr(from, text.find_last_not_of(" \t") - from + 1);
}

// The weight that the parameters (";a=b;q=0.5") of a member give it, in thousandths. A member
// without one, or with one that makes no sense, has 1000.
int weight_of(std::string_view parameters) {
  while (!parameters.empty()) {
    parameters.remove_prefix(1);  // the ';' or what stands before the first
    const std::size_t end = std::min(parameters.find(';'), parameters.size());
    const std::string_view one = trimmed(parameters.substr(0, end));
    parameters.remove_prefix(end);
    if (one.size() < 3 || (one[0] != 'q' && one[0] != 'Q') || one[1] != '=') continue;
    int weight = 0;
    int unit = 1000;
    for (const char c : one.substr(2)) {
      if (c == '.') continue;
      if (c < '0' || c > '9') return 1000;
      weight += (c - '0') * unit;
      unit /= 10;
    }
    return std::min(weight, 1000);
  }
  return 1000;
}

}  // namespace

std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_blank) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == 0) return {};
    if (text[i] == '+' && plus_is_blank) {
      out.push_back(' ');
    } else if (text[i] == '%') {
      const auto digit = [&](std::size_t at) {
        return at < text.size() ? hex_value(static_cast<std::uint8_t>(text[at])) : -1;
      };
      const int high = digit(i + 1);
      const int low = digit(i + 2);
      if (high < 0 || low < 0 || (high | low) == 0) return {};
      out.push_back(static_cast<char>(high << 4 | low));
      i += 2;
    } else {
      out.push_back(text[i]);
    }
  }
  return out;
}

std::string percent_encoded(std::string_view text) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    if (unreserved(c)) {
      out.push_back(c);
    } else {
      const auto byte = static_cast<std::uint8_t>(c);
      out.push_back('%');
      out.push_back(digits[byte >> 4]);
      out.push_back(digits[byte & 15]);
    }
  }
  return out;
}

bool next_parameter(std::string_view& query, std::string_view& name, std::string_view& value) {
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view one = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    if (one.empty()) continue;
    const std::size_t equals = std::min(one.find('='), one.size());
    name = one.substr(0, equals);
    value = equals == one.size() ? std::string_view{} : one.substr(equals + 1);
    return true;
  }
  return false;
}

RangeKind parse_range(std::string_view field, std::uint64_t size, ByteRange& range) {
  constexpr std::string_view unit = "bytes=";
  if (field.size() <= unit.size() || !same_word(field.substr(0, unit.size()), unit)) {
    return RangeKind::whole;
  }
  field.remove_prefix(unit.size());
  const std::size_t dash = field.find('-');
  if (dash == std::string_view::npos || field.find(',') != std::string_view::npos) {
    return RangeKind::whole;
  }
  const auto first = number_of(field.substr(0, dash));
  const auto last = number_of(field.substr(dash + 1));
  if (dash == 0) {  // the last so many
    if (!last) return RangeKind::whole;
    if (*last == 0 || size == 0) return RangeKind::not_there;
    range = {size - std::min(*last, size), std::min(*last, size)};
    return RangeKind::part;
  }
  const bool open = dash + 1 == field.size();
  if (!first || (!last && !open) || (last && *last < *first)) return RangeKind::whole;
  if (*first >= size) return RangeKind::not_there;
  const std::uint64_t end = open ? size - 1 : std::min(*last, size - 1);
  range = {*first, end - *first + 1};
  return RangeKind::part;
}

bool names_tag(std::string_view field, std::string_view tag) {
  if (tag.starts_with("W/")) tag.remove_prefix(2);
  std::string_view member;
  while (next_member(field, member)) {
    if (member == "*") return true;
    if (member.starts_with("W/")) member.remove_prefix(2);
    if (member == tag) return true;
  }
  return false;
}

int accepted_weight(std::string_view field, std::string_view type) {
  const std::string_view family = type.substr(0, type.find('/') + 1);
  std::string_view member;
  int exactness = 0;  // of what named it so far: 1 by */*, 2 by its family, 3 by its name
  int weight = 0;
  while (next_member(field, member)) {
    const std::size_t end = std::min(member.find_first_of("; \t"), member.size());
    const std::string_view name = member.substr(0, end);
    int now = 0;
    if (same_word(name, type)) {
      now = 3;
    } else if (name.ends_with("/*") && same_word(name.substr(0, name.size() - 1), family)) {
      now = 2;
    } else if (name == "*/*") {
      now = 1;
    }
    if (now == 0 || now < exactness) continue;
    const int given = weight_of(member.substr(end));
    weight = now > exactness ? given : std::max(weight, given);
    exactness = now;
  }
  return weight;
}

bool takes_gzip(std::string_view field) {
  std::string_view member;
  bool any = false;
  while (next_member(field, member)) {
    const std::size_t end = std::min(member.find_first_of("; \t"), member.size());
    const std::string_view name = member.substr(0, end);
    const bool wanted = weight_of(member.substr(end)) > 0;
    if (same_word(name, "gzip") || same_word(name, "x-gzip")) return wanted;
    if (name == "*") any = wanted;
  }
  return any;
}

}  // namespace ringgate::http
