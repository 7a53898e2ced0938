// Times that are drawn anew each time. See scenario.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/config/units.hpp"
#include "tools/load/scenario/scenario.hpp"

namespace ringgate::load {

namespace {

constexpr double exponential_cut = 10;  // times the mean: e^-10 of all draws are longer

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && text.front() == ' ') text.remove_prefix(1);
  while (!text.empty() && text.back() == ' ') text.remove_suffix(1);
  return text;
}

// From 0 up to, not including, 1.
double fraction(std::uint64_t chance) {
  return static_cast<double>(chance >> 11) * 0x1p-53;
}

}  // namespace

MonoNs Pause::draw(std::uint64_t chance) const {
  if (mean_ns > 0) {
    const double drawn = -std::log1p(-fraction(chance)) * static_cast<double>(mean_ns);
    return std::clamp(static_cast<MonoNs>(drawn), min_ns, max_ns);
  }
  const double width = static_cast<double>(max_ns - min_ns);
  return std::min(min_ns + static_cast<MonoNs>(fraction(chance) * (width + 1)), max_ns);
}

Result<Pause> parse_pause(std::string_view text) {
  constexpr std::string_view forms =
      "write \"2s\", \"1s..3s\" (any between) or \"~2s\" (exponential, 2s on average)";
  constexpr MonoNs longest_ns = 365LL * 86400 * ns_per_s;
  const auto time = [](std::string_view part) { return config::parse_duration(trimmed(part)); };
  const auto wrong = [&](std::string_view why) {
    return Error{0, fmt::format("{}; {}", why, forms)};
  };
  text = trimmed(text);
  Pause pause;
  if (text.starts_with('~')) {
    const auto mean = time(text.substr(1));
    if (!mean) return wrong(mean.error().message);
    if (*mean <= 0 || *mean > longest_ns) return wrong("the mean must be above 0 and at most 365d");
    pause.mean_ns = *mean;
    pause.max_ns = static_cast<MonoNs>(exponential_cut * static_cast<double>(*mean));
    return pause;
  }
  const std::size_t dots = text.find("..");
  const auto least = time(text.substr(0, dots));
  if (!least) return wrong(least.error().message);
  const auto most = dots == std::string_view::npos ? least : time(text.substr(dots + 2));
  if (!most) return wrong(most.error().message);
  if (*most < *least) return wrong("the longer time stands first");
  if (*most > longest_ns) return wrong("it must be at most 365d");
  pause.min_ns = *least;
  pause.max_ns = *most;
  return pause;
}

std::string format_pause(const Pause& pause) {
  if (pause.mean_ns > 0) return fmt::format("~{}", config::format_duration(pause.mean_ns));
  const std::string least = config::format_duration(pause.min_ns);
  if (pause.min_ns == pause.max_ns) return least;
  return fmt::format("{}..{}", least, config::format_duration(pause.max_ns));
}

std::uint64_t user_seed(std::uint64_t seed, std::uint32_t class_index, std::uint32_t user) {
  // splitmix64 of each in turn: neighbours have nothing in common.
  const auto mix = [](std::uint64_t x) {
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
  };
  return mix(mix(mix(seed) ^ class_index) ^ user);
}

}  // namespace ringgate::load
