#include "protocols/jt808/codec/bcd.hpp"

namespace ringgate::jt808 {

void write_time_utc(std::int64_t unix_s, std::uint8_t* bcd) {
  if (unix_s < unix_2000_s || unix_s >= unix_2100_s) {
    std::memset(bcd, 0, 6);
    return;
  }
  const std::int64_t since = unix_s - unix_2000_s;
  auto days = static_cast<std::uint32_t>(since / 86'400);
  const auto second = static_cast<std::uint32_t>(since % 86'400);
  // Four years of 1,461 days, the first of them a leap year.
  std::uint32_t year = days / 1461 * 4;
  days %= 1461;
  if (days >= 366) {
    year += 1 + (days - 366) / 365;
    days = (days - 366) % 365;
  }
  const bool leap = year % 4 == 0;
  static constexpr std::uint8_t days_in[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  std::uint32_t month = 0;
  for (;; ++month) {
    const std::uint32_t length = days_in[month] + static_cast<std::uint32_t>(leap && month == 1);
    if (days < length) break;
    days -= length;
  }
  const std::uint32_t parts[6] = {year,          month + 1,          days + 1,
                                  second / 3600, second / 60 % 60, second % 60};
  for (int i = 0; i < 6; ++i) {
    bcd[i] = static_cast<std::uint8_t>(parts[i] / 10 << 4 | parts[i] % 10);
  }
}

}  // namespace ringgate::jt808
