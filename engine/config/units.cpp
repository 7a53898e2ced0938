#include "engine/config/units.hpp"

#include <charconv>
#include <limits>

namespace ringgate::config {

namespace {

struct Unit {
  std::string_view name;
  std::int64_t factor;
};

constexpr std::int64_t kilo = 1000;
constexpr std::int64_t kibi = 1024;
constexpr Unit size_units[] = {{"TiB", kibi* kibi* kibi* kibi},
                               {"GiB", kibi* kibi* kibi},
                               {"MiB", kibi* kibi},
                               {"KiB", kibi},
                               {"TB", kilo* kilo* kilo* kilo},
                               {"GB", kilo* kilo* kilo},
                               {"MB", kilo* kilo},
                               {"kB", kilo},
                               {"B", 1}};
constexpr std::size_t binary_units = 4;

constexpr std::int64_t second = 1'000'000'000;
// Largest first: parse_duration wants them in this order.
constexpr Unit duration_units[] = {
    {"d", 86'400 * second}, {"h", 3'600 * second}, {"m", 60 * second}, {"s", second},
    {"ms", 1'000'000},      {"us", 1'000},         {"ns", 1}};

std::size_t digits_at(std::string_view text) {
  std::size_t count = 0;
  while (count < text.size() && text[count] >= '0' && text[count] <= '9') ++count;
  return count;
}

Result<std::int64_t> scaled(std::string_view digits, std::int64_t factor) {
  std::int64_t number = 0;
  const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  std::int64_t product = 0;
  if (parsed.ec != std::errc{} || __builtin_mul_overflow(number, factor, &product)) {
    return Error{0, "the number is too large"};
  }
  return product;
}

std::string with_unit(std::int64_t number, std::string_view unit) {
  return std::to_string(number).append(unit);
}

}  // namespace

Result<std::int64_t> parse_size(std::string_view text) {
  const std::size_t digits = digits_at(text);
  if (digits == 0) return Error{0, "it starts with no digit"};
  std::string_view unit = text.substr(digits);
  while (!unit.empty() && unit.front() == ' ') unit.remove_prefix(1);
  for (const Unit& known : size_units) {
    if (unit == known.name) return scaled(text.substr(0, digits), known.factor);
  }
  return Error{0, "the unit must be B, KiB, MiB, GiB, TiB, kB, MB, GB or TB"};
}

Result<std::int64_t> parse_duration(std::string_view text) {
  std::int64_t sum = 0;
  std::size_t next_unit = 0;
  if (text.empty()) return Error{0, "it starts with no digit"};
  while (!text.empty()) {
    const std::size_t digits = digits_at(text);
    if (digits == 0)
      return Error{0,
                   sum == 0 && next_unit == 0 ? "it starts with no digit" : "a digit is missing"};
    std::size_t end = digits;
    while (end < text.size() && (text[end] < '0' || text[end] > '9')) ++end;
    const std::string_view unit = text.substr(digits, end - digits);
    std::size_t found = next_unit;
    while (found < std::size(duration_units) && duration_units[found].name != unit) ++found;
    if (found == std::size(duration_units)) {
      return Error{0, "the unit must be ns, us, ms, s, m, h or d, larger ones first"};
    }
    const auto part = scaled(text.substr(0, digits), duration_units[found].factor);
    if (!part) return part;
    if (__builtin_add_overflow(sum, *part, &sum)) return Error{0, "the number is too large"};
    next_unit = found + 1;
    text.remove_prefix(end);
  }
  return sum;
}

std::string format_size(std::int64_t bytes) {
  if (bytes != 0) {
    for (std::size_t i = 0; i < binary_units; ++i) {
      if (bytes % size_units[i].factor == 0)
        return with_unit(bytes / size_units[i].factor, size_units[i].name);
    }
  }
  return with_unit(bytes, "B");
}

std::string format_duration(std::int64_t duration_ns) {
  if (duration_ns == 0) return "0s";
  std::string text = duration_ns < 0 ? "-" : "";
  for (const Unit& unit : duration_units) {
    const std::int64_t count = duration_ns / unit.factor;
    duration_ns %= unit.factor;
    if (count != 0) text += with_unit(count < 0 ? -count : count, unit.name);
  }
  return text;
}

}  // namespace ringgate::config
