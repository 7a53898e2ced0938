// The language of `--filter`. Input: the filter up to a line feed, then what a device has as text
// in every key.
// What must hold: an error names a column of the text; blanks and `not not` change nothing; a term
// and its negation never agree; patterns match as a slow model says.
// By hand as jt808_framing_fuzz.cpp says.
#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/bytes.hpp"
#include "storage/event/device_filter.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::event;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

// The key's first letter says what kind of value it has.
struct Fields final : FieldSource {
  explicit Fields(std::string_view of) : text(of) {}
  FieldValue field(std::string_view key) const override {
    if (key.ends_with("_us")) return 1'700'000'000'000'000.0;
    if (key.ends_with("_deg")) return 31.25;
    if (key.ends_with("_kmh")) return 80.0;
    switch (key.empty() ? 0 : key.front() % 4) {
      case 0: return {};
      case 1: return text.size() % 2 == 0;
      case 2: return static_cast<double>(text.size()) / 2;
      default: return std::string(text);
    }
  }
  std::string_view text;
};

// By rows: whether the pattern so far matches each beginning of the text.
bool model(std::string_view pattern, std::string_view text) {
  std::vector<bool> row(text.size() + 1, false);
  row[0] = true;
  for (const char sign : pattern) {
    std::vector<bool> next(text.size() + 1, false);
    for (std::size_t i = 0; i <= text.size(); ++i) {
      if (sign == '*') next[i] = row[i] || (i > 0 && next[i - 1]);
      if (sign != '*' && i > 0) next[i] = row[i - 1] && (sign == '?' || sign == text[i - 1]);
    }
    row = std::move(next);
  }
  return row[text.size()];
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr WallUs now_us = 1'700'000'600'000'000;
  if (size > 2000) return 0;
  const std::string_view all = as_text({data, size});
  const std::size_t end = std::min(all.find('\n'), all.size());
  const std::string filter_text(all.substr(0, end));
  const std::string_view device = all.substr(std::min(end + 1, all.size()));
  require(matches_pattern(filter_text, device) == model(filter_text, device));
  const Fields fields(device);
  const auto filter = DeviceFilter::parse(filter_text);
  if (!filter) {
    require(!filter.error().message.empty());
    require(filter.error().column >= 1 && filter.error().column <= filter_text.size() + 1);
    return 0;
  }
  const bool matches = filter->matches(fields, now_us);
  const auto padded = DeviceFilter::parse(" \t" + filter_text + " \t");
  require(padded && padded->matches(fields, now_us) == matches);
  if (filter_text.find_first_not_of(" \t") == std::string::npos) {
    require(matches);
    return 0;
  }
  const auto twice = DeviceFilter::parse("not not " + filter_text);
  require(twice && twice->matches(fields, now_us) == matches);
  const auto both = DeviceFilter::parse(filter_text + " and " + filter_text);
  require(both && both->matches(fields, now_us) == matches);
  // A second term that is the first one's opposite.
  const auto negated = DeviceFilter::parse("not " + filter_text);
  require(negated && !(matches && negated->matches(fields, now_us)));
  return 0;
}
