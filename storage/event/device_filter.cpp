#include "storage/event/device_filter.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/config/units.hpp"

namespace ringgate::event {

namespace {

struct Alias {
  std::string_view name;
  std::string_view key;
  bool age = false;
};
constexpr Alias aliases[] = {{"speed", "speed_kmh"},        {"alarm", "alarm_bits"},
                             {"latitude", "latitude_deg"},  {"longitude", "longitude_deg"},
                             {"heading", "heading_deg"},    {"last_heard", "last_heard_us", true}};

bool is_name(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

// Ends of values that stand without quotes.
bool ends_value(char c) {
  return c == ' ' || c == '\t' || c == '"' || c == '(' || c == ')' || c == ',' || c == '=' ||
         c == '!' || c == '<' || c == '>' || c == '~';
}

bool to_number(std::string_view text, double& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(out);
}

}  // namespace

class FilterParser {
 public:
  FilterParser(std::string_view text, std::span<const std::string_view> known)
      : text_(text), known_(known) {}

  Result<DeviceFilter, FilterError> run() {
    DeviceFilter filter;
    if (text_.size() > DeviceFilter::text_size_max) {
      fail(DeviceFilter::text_size_max, "a filter ends here: it has at most 4096 bytes");
      return error_;
    }
    skip_blanks();
    if (at_ == text_.size()) return filter;
    for (;;) {
      if (!term(filter)) return error_;
      skip_blanks();
      if (at_ == text_.size()) return filter;
      const std::size_t begin = at_;
      if (name() != "and") {
        at_ = begin;
        fail("'and' is expected here, or the end");
        return error_;
      }
    }
  }

 private:
  using Test = DeviceFilter::Test;

  bool fail(std::string message) { return fail(at_, std::move(message)); }
  bool fail(std::size_t at, std::string message) {
    error_ = {at + 1, std::move(message)};
    return false;
  }
  void skip_blanks() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\t')) ++at_;
  }
  bool take(std::string_view sign) {
    if (!text_.substr(at_).starts_with(sign)) return false;
    at_ += sign.size();
    return true;
  }
  std::string_view name() {
    const std::size_t begin = at_;
    while (at_ < text_.size() && is_name(text_[at_])) ++at_;
    return text_.substr(begin, at_ - begin);
  }

  bool term(DeviceFilter& filter) {
    DeviceFilter::Term term;
    skip_blanks();
    std::size_t begin = at_;
    std::string_view word = name();
    while (word == "not") {
      term.negated = !term.negated;
      skip_blanks();
      begin = at_;
      word = name();
    }
    if (word.empty()) return fail("a key is expected here, like online or phone~138*");
    if (word == "and") return fail(begin, "a key is expected here, not 'and'");
    skip_blanks();
    if (word == "in" && at_ < text_.size() && text_[at_] == '(') {
      if (!corners(term)) return false;
    } else {
      term.key = word;
      for (const Alias& alias : aliases) {
        if (alias.name != word) continue;
        term.key = alias.key;
        term.age = alias.age;
      }
      if (!is_known(term.key)) return unknown(begin, word);
      if (!comparison(term)) return false;
    }
    filter.terms_.push_back(std::move(term));
    return true;
  }

  bool is_known(std::string_view key) const {
    return known_.empty() || std::ranges::find(known_, key) != known_.end();
  }
  bool unknown(std::size_t at, std::string_view word) {
    std::string message("there is no key '");
    message.append(word).append("'; known are:");
    char between = ' ';
    for (const std::string_view key : known_) {
      message.push_back(between);
      if (between == ',') message.push_back(' ');
      message.append(key);
      between = ',';
    }
    return fail(at, std::move(message));
  }

  bool comparison(DeviceFilter::Term& term) {
    struct Sign {
      std::string_view text;
      Test test;
    };
    // The longer first.
    static constexpr Sign signs[] = {{"!=", Test::unequal},       {">=", Test::more_or_equal},
                                     {"<=", Test::less_or_equal}, {"==", Test::equal},
                                     {"=", Test::equal},          {"~", Test::like},
                                     {">", Test::more},           {"<", Test::less}};
    const std::size_t sign_at = at_;
    for (const Sign& sign : signs) {
      if (!take(sign.text)) continue;
      term.test = sign.test;
      if (term.age && term.test == Test::like) {
        return fail(sign_at, "a time is compared with > or <, as in last_heard>10m");
      }
      return value(term);
    }
    if (term.age) return fail(sign_at, "a comparison is expected here, as in last_heard>10m");
    return true;  // a flag; what follows is looked at by run()
  }

  bool value(DeviceFilter::Term& term) {
    skip_blanks();
    const std::size_t begin = at_;
    if (take("\"")) {
      while (at_ < text_.size() && text_[at_] != '"') {
        if (text_[at_] == '\\' && at_ + 1 < text_.size()) ++at_;
        term.text += text_[at_++];
      }
      if (!take("\"")) return fail(begin, "this quote is not closed");
    } else {
      while (at_ < text_.size() && !ends_value(text_[at_])) ++at_;
      term.text = text_.substr(begin, at_ - begin);
      if (term.text.empty()) return fail(begin, "a value is expected here");
      if (at_ < text_.size() && text_[at_] != ' ' && text_[at_] != '\t') {
        return fail(std::string("'") + text_[at_] + "' can't stand here; \"quote\" the value");
      }
    }
    term.is_number = to_number(term.text, term.number);
    const bool ordered = term.test >= Test::more && term.test <= Test::less_or_equal;
    if (term.age && !term.is_number) {
      const auto duration = config::parse_duration(term.text);
      if (!duration) return fail(begin, "no time span: use one like 30s, 10m, 1h30m or 2d");
      term.number = static_cast<double>(*duration) / static_cast<double>(ns_per_s);
      term.is_number = true;
    }
    if (ordered && !term.is_number) return fail(begin, "a number is expected here");
    return true;
  }

  bool corners(DeviceFilter::Term& term) {
    const std::size_t begin = at_;
    take("(");
    term.test = Test::within;
    double values[4];
    for (std::size_t i = 0; i < 4; ++i) {
      skip_blanks();
      const std::size_t number_at = at_;
      while (at_ < text_.size() && !ends_value(text_[at_])) ++at_;
      if (!to_number(text_.substr(number_at, at_ - number_at), values[i])) {
        return fail(number_at, "a number of degrees is expected here: in(lat1,lon1,lat2,lon2)");
      }
      const double limit = i % 2 == 0 ? 90 : 180;
      if (std::abs(values[i]) > limit) {
        return fail(number_at, i % 2 == 0 ? "latitudes lie between -90 and 90 degrees"
                                          : "longitudes lie between -180 and 180 degrees");
      }
      skip_blanks();
      if (!take(i < 3 ? "," : ")")) {
        return fail(std::string("'") + (i < 3 ? "," : ")") + "' is expected here: " +
                    std::string(text_.substr(begin - 2, 3)) + "lat1,lon1,lat2,lon2)");
      }
    }
    term.corners[0] = std::min(values[0], values[2]);
    term.corners[1] = std::min(values[1], values[3]);
    term.corners[2] = std::max(values[0], values[2]);
    term.corners[3] = std::max(values[1], values[3]);
    return true;
  }

  std::string_view text_;
  std::span<const std::string_view> known_;
  std::size_t at_ = 0;
  FilterError error_;
};

Result<DeviceFilter, FilterError> DeviceFilter::parse(std::string_view text,
                                                      std::span<const std::string_view> known) {
  return FilterParser(text, known).run();
}

bool DeviceFilter::matches(const FieldSource& device, WallUs now_us) const {
  return std::ranges::all_of(terms_, [&](const Term& term) {
    return holds(term, device, now_us) != term.negated;
  });
}

bool DeviceFilter::holds(const Term& term, const FieldSource& device, WallUs now_us) {
  if (term.test == Test::within) {
    const FieldValue latitude = device.field("latitude_deg");
    const FieldValue longitude = device.field("longitude_deg");
    const double* lat = std::get_if<double>(&latitude);
    const double* lon = std::get_if<double>(&longitude);
    return lat != nullptr && lon != nullptr && *lat >= term.corners[0] && *lat <= term.corners[2] &&
           *lon >= term.corners[1] && *lon <= term.corners[3];
  }
  FieldValue value = device.field(term.key);
  if (std::holds_alternative<std::monostate>(value)) return false;
  if (term.test == Test::flag) {
    const bool* flag = std::get_if<bool>(&value);
    const double* number = std::get_if<double>(&value);
    return flag != nullptr ? *flag : number == nullptr || *number != 0;
  }
  if (const bool* flag = std::get_if<bool>(&value)) value = std::string(*flag ? "true" : "false");
  if (double* number = std::get_if<double>(&value)) {
    if (term.age) {
      if (*number == 0) return false;  // never
      *number = (static_cast<double>(now_us) - *number) / static_cast<double>(us_per_s);
    }
    switch (term.test) {
      case Test::more: return *number > term.number;
      case Test::more_or_equal: return *number >= term.number;
      case Test::less: return *number < term.number;
      case Test::less_or_equal: return *number <= term.number;
      case Test::equal: return term.is_number && *number == term.number;
      case Test::unequal: return !term.is_number || *number != term.number;
      case Test::like: {
        char text[32];
        const auto end = std::to_chars(text, text + sizeof text, *number).ptr;
        return matches_pattern(term.text, {text, static_cast<std::size_t>(end - text)});
      }
      case Test::flag:
      case Test::within: return false;
    }
  }
  const std::string& text = std::get<std::string>(value);
  double number = 0;
  const bool numeric = term.is_number && to_number(text, number);
  switch (term.test) {
    case Test::equal: return text == term.text;
    case Test::unequal: return text != term.text;
    case Test::like: return matches_pattern(term.text, text);
    case Test::more: return numeric && number > term.number;
    case Test::more_or_equal: return numeric && number >= term.number;
    case Test::less: return numeric && number < term.number;
    case Test::less_or_equal: return numeric && number <= term.number;
    case Test::flag:
    case Test::within: break;
  }
  return false;
}

bool matches_pattern(std::string_view pattern, std::string_view text) {
  std::size_t p = 0;
  std::size_t t = 0;
  std::size_t star = std::string_view::npos;  // the last *, and where the text stood at it
  std::size_t star_text = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      star_text = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      t = ++star_text;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace ringgate::event
