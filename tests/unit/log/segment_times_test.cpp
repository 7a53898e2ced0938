// The file of the segments' times, and ranges of times.
#include "storage/log/segment_times.hpp"

#include <doctest/doctest.h>

#include <cerrno>
#include <random>

#include "storage/log/limits.hpp"
#include "storage/log/segment_records.hpp"
#include "tests/unit/log/log_rig.hpp"

using namespace ringgate;
using namespace ringgate::log;

namespace {

bool covers(const std::vector<TimeSpan>& spans, const TimeSpan& one) {
  for (const TimeSpan& span : spans) {
    if (span.first_us <= one.first_us && span.last_us >= one.last_us) return true;
  }
  return false;
}

TimesTable some_table(std::mt19937_64& random) {
  TimesTable table;
  for (std::uint64_t i = random() % 40; i > 0; --i) {
    TimeRanges ranges;
    for (std::uint64_t j = random() % 20; j > 0; --j) {
      const auto at = static_cast<WallUs>(random() % 1'000'000) * us_per_s;
      ranges.add({at, at + static_cast<WallUs>(random() % 1000) * us_per_s});
    }
    const SegmentKey key{{static_cast<std::uint32_t>(random() % 4),
                          static_cast<ShardIndex>(random() % 3)}, random()};
    table[key] = {random(), random(), random(), static_cast<WallUs>(random() >> 1),
                  static_cast<WallUs>(random() >> 1), ranges.spans(times_spans_max)};
  }
  return table;
}

}  // namespace

TEST_CASE("ranges cover what was added, are apart, rising and few; outliers stay outliers") {
  std::mt19937_64 random(1);
  for (int round = 0; round < 300; ++round) {
    TimeRanges ranges;
    std::vector<TimeSpan> added;
    const WallUs spread = round % 3 == 0 ? 10'000 : 100'000'000;
    for (std::uint64_t i = 1 + random() % 500; i > 0; --i) {
      const auto at =
          static_cast<WallUs>(random() % static_cast<std::uint64_t>(spread)) * us_per_s;
      const auto length = static_cast<WallUs>(random() % 3 == 0 ? random() % 5000 : 0) * us_per_s;
      added.push_back({at, at + length});
      ranges.add(added.back());
    }
    for (const std::size_t most : {1U, 3U, 8U, 1000U}) {
      const auto spans = ranges.spans(most);
      CHECK(spans.size() <= most);
      for (const TimeSpan& one : added) CHECK(covers(spans, one));
      for (std::size_t i = 1; i < spans.size(); ++i) {
        CHECK(spans[i].first_us > spans[i - 1].last_us);
      }
    }
  }
  TimeRanges ranges;
  constexpr WallUs now = 1'790'000'000 * us_per_s;
  ranges.add({946'684'800 * us_per_s, 946'684'800 * us_per_s});  // a clock at its beginning
  for (WallUs i = 0; i < 3600; ++i) ranges.add({now + i * us_per_s, now + i * us_per_s});
  ranges.add({});
  ranges.add({WallUs{1} << 57, WallUs{1} << 57});
  const auto spans = ranges.spans(8);
  REQUIRE(spans.size() == 2);
  CHECK(spans[1] == TimeSpan{now, now + 3599 * us_per_s});
}

TEST_CASE("a list of times comes back, and a damaged one does not") {
  std::mt19937_64 random(2);
  for (int round = 0; round < 100; ++round) {
    const TimesTable table = some_table(random);
    const std::vector<std::uint8_t> bytes = encode_times(table);
    const auto back = decode_times(bytes);
    REQUIRE(back.ok());
    CHECK(*back == table);
    for (int i = 0; i < 30; ++i) {
      std::vector<std::uint8_t> bad = bytes;
      if (i % 3 == 0) {
        bad.resize(random() % bad.size());
      } else {
        bad[random() % bad.size()] ^= static_cast<std::uint8_t>(1 + random() % 255);
      }
      CHECK_FALSE(decode_times(bad).ok());
    }
  }
  const ScratchDir dir;
  std::uint64_t bytes = 0;
  CHECK(read_times(io::real_sys(), dir.path(), bytes).error().code == ENOENT);
  const TimesTable table = some_table(random);
  REQUIRE(write_times(io::real_sys(), dir.path(), table).ok());
  const auto back = read_times(io::real_sys(), dir.path(), bytes);
  REQUIRE(back.ok());
  CHECK(*back == table);
  CHECK(bytes == encode_times(table).size());
}

TEST_CASE("times may hold what overlaps one of their ranges") {
  SegmentTimes times;
  CHECK_FALSE(times.may_hold(no_time_before, no_time_after));
  times.device_times = {{10, 20}, {50, 50}};
  CHECK(times.may_hold(20, 21));
  CHECK_FALSE(times.may_hold(21, 50));
  CHECK(times.may_hold(21, 51));
  CHECK_FALSE(times.may_hold(51, 99));
  CHECK_FALSE(times.may_hold(0, 10));
  CHECK(times.may_hold(0, 11));
}
