#include "engine/base/time_text.hpp"

#include <time.h>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <optional>
#include <utility>

namespace ringgate {

namespace {

// Takes `digits` decimal digits off the front of `text`.
bool take_number(std::string_view& text, std::size_t digits, int& out) {
  if (text.size() < digits) return false;
  const auto [end, error] = std::from_chars(text.data(), text.data() + digits, out);
  if (error != std::errc() || end != text.data() + digits) return false;
  text.remove_prefix(digits);
  return true;
}

bool take_sign(std::string_view& text, char sign) {
  if (text.empty() || text.front() != sign) return false;
  text.remove_prefix(1);
  return true;
}

std::optional<WallUs> age(std::string_view text, WallUs now_us) {
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data() + 1, text.data() + text.size(), count);
  if (error != std::errc() || end + 1 != text.data() + text.size()) return std::nullopt;
  std::int64_t unit_s = 0;
  switch (*end) {
    case 's':
      unit_s = 1;
      break;
    case 'm':
      unit_s = 60;
      break;
    case 'h':
      unit_s = 3600;
      break;
    case 'd':
      unit_s = 86400;
      break;
    default:
      return std::nullopt;
  }
  // Nothing is older than the year 1, and no sum goes astray.
  constexpr std::int64_t oldest_s = 63'000'000'000;
  if (count < 0 || count > oldest_s / unit_s) return std::nullopt;
  return now_us - count * unit_s * us_per_s;
}

std::optional<WallUs> calendar(std::string_view text) {
  tm parts{};
  if (!take_number(text, 4, parts.tm_year) || !take_sign(text, '-') ||
      !take_number(text, 2, parts.tm_mon) || !take_sign(text, '-') ||
      !take_number(text, 2, parts.tm_mday)) {
    return std::nullopt;
  }
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  int micros = 0;
  int zone_minutes = 0;
  if (take_sign(text, 'T') || take_sign(text, ' ')) {
    if (!take_number(text, 2, parts.tm_hour) || !take_sign(text, ':') ||
        !take_number(text, 2, parts.tm_min)) {
      return std::nullopt;
    }
    if (take_sign(text, ':') && !take_number(text, 2, parts.tm_sec)) return std::nullopt;
    if (take_sign(text, '.')) {
      const auto is_digit = [](char letter) { return letter >= '0' && letter <= '9'; };
      for (int unit = 100'000; !text.empty() && is_digit(text.front()); unit /= 10) {
        micros += (text.front() - '0') * unit;
        text.remove_prefix(1);
      }
    }
    const bool east = take_sign(text, '+');
    if (east || take_sign(text, '-')) {
      int hours = 0;
      int minutes = 0;
      if (!take_number(text, 2, hours)) return std::nullopt;
      take_sign(text, ':');
      if (!text.empty() && !take_number(text, 2, minutes)) return std::nullopt;
      zone_minutes = (hours * 60 + minutes) * (east ? 1 : -1);
    } else {
      take_sign(text, 'Z');
    }
  }
  if (!text.empty()) return std::nullopt;
  // timegm makes the 1st of March of a 29th of February that is none: such a day was not meant.
  const tm said = parts;
  const std::int64_t seconds = ::timegm(&parts);
  if (said.tm_mon != parts.tm_mon || said.tm_mday != parts.tm_mday ||
      said.tm_hour != parts.tm_hour || said.tm_min != parts.tm_min ||
      said.tm_sec != parts.tm_sec) {
    return std::nullopt;
  }
  return (seconds - zone_minutes * 60) * us_per_s + micros;
}

// Seconds since 1970, with a fraction or without.
std::optional<WallUs> seconds_of(std::string_view text) {
  std::int64_t whole = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), whole);
  constexpr std::int64_t latest_s = 253'402'300'800;  // the year 10000
  if (error != std::errc() || whole < 0 || whole >= latest_s) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  if (text.empty()) return whole * us_per_s;
  double part = 0;
  if (text.size() < 2 || text.front() != '.') return std::nullopt;
  const auto [part_end, bad] = std::from_chars(text.data(), text.data() + text.size(), part,
                                               std::chars_format::fixed);
  if (bad != std::errc() || part_end != text.data() + text.size()) return std::nullopt;
  return whole * us_per_s + static_cast<WallUs>(std::floor(part * 1e6));
}

}  // namespace

std::string time_text(WallUs time_us) {
  std::int64_t seconds = time_us / us_per_s;
  std::int64_t micros = time_us % us_per_s;
  if (micros < 0) {
    micros += us_per_s;
    --seconds;
  }
  const time_t whole = seconds;
  tm parts{};
  ::gmtime_r(&whole, &parts);
  char text[64];
  const int size = std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                                 parts.tm_year + 1900, parts.tm_mon + 1, parts.tm_mday,
                                 parts.tm_hour, parts.tm_min, parts.tm_sec,
                                 static_cast<int>(micros / 1000));
  return {text, static_cast<std::size_t>(size)};
}

Result<WallUs> parse_time(std::string_view text, WallUs now_us) {
  std::optional<WallUs> time;
  if (text.size() > 2 && text.front() == '-') {
    time = age(text, now_us);
  } else if (text.find('-') != std::string_view::npos) {
    time = calendar(text);
  } else {
    time = seconds_of(text);
  }
  if (time) return *time;
  std::string message = "'";
  message += text;
  message += "' is no time: use 2026-11-20, 2026-11-20T22:00:00Z, 2026-11-21T06:00:00+08:00, "
             "seconds since 1970, or an age like -15m";
  return Error{0, std::move(message)};
}

Result<std::int64_t> parse_seconds(std::string_view text) {
  std::int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  const std::string_view unit(end, static_cast<std::size_t>(text.data() + text.size() - end));
  constexpr std::pair<std::string_view, std::int64_t> units[] = {
      {"", 1}, {"s", 1}, {"m", 60}, {"min", 60}, {"h", 3600}, {"d", 86400}};
  for (const auto& [name, seconds] : units) {
    constexpr std::int64_t most = INT64_MAX / 86400 / us_per_s;
    if (error == std::errc() && unit == name && count >= 0 && count < most) return count * seconds;
  }
  std::string message = "'";
  message += text;
  message += "' is no duration: use one like 30s, 5m or 2h";
  return Error{0, std::move(message)};
}

std::string duration_text(double seconds) {
  const auto whole = static_cast<long long>(seconds + 0.5);
  char text[64];
  int size = 0;
  if (whole < 100) {
    size = std::snprintf(text, sizeof text, "%lld s", whole);
  } else if (whole < 100 * 60) {
    size = std::snprintf(text, sizeof text, "%lld min %02lld s", whole / 60, whole % 60);
  } else {
    size = std::snprintf(text, sizeof text, "%lld h %02lld min", whole / 3600, whole / 60 % 60);
  }
  return {text, static_cast<std::size_t>(size)};
}

}  // namespace ringgate
