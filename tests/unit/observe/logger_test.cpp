#include <doctest/doctest.h>

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "engine/observe/logger.hpp"

using namespace ringgate;
using namespace ringgate::observe;

namespace {

constexpr WallUs noon = 1'795'176'000'123'456;  // 2026-11-20T12:00:00.123456Z

// A logger in one thread whose lines and clock belong to the test.
struct Bench {
  std::vector<std::string> lines;
  WallUs now = noon;
  Logger logger;

  explicit Bench(LoggerOptions options = {}) : logger(prepare(std::move(options))) {}
  LoggerOptions prepare(LoggerOptions options) {
    if (options.delivery == Delivery::thread) options.delivery = Delivery::immediate;
    options.sink = [this](std::string_view line) { lines.emplace_back(line); };
    options.clock = [this] { return now; };
    return options;
  }
};

}  // namespace

TEST_CASE("logfmt: types, quoting and escapes") {
  Bench bench;
  LogSource& log = bench.logger.add_source("shard-0");
  log.info("link closed", {{"device", "13800138000"}, {"bytes", 42u}, {"left", -7}, {"late", true},
                           {"ratio", 0.5, 2}, {"nothing", ""}, {"equal", "a=b"}});
  log.warn("odd", {{"quote", "say \"hi\""},
                   {"line", "a\nb\tc\r"},
                   {"control", std::string_view("\x01\x7f\0", 3)},
                   {"bytes", "\xff\xe4\xbd\xa0"},
                   {"path", "a\\b"},
                   {"utf8", "\xe4\xbd\xa0"}});
  REQUIRE(bench.lines.size() == 2);
  CHECK(bench.lines[0] ==
        "time=2026-11-20T12:00:00.123Z level=info source=shard-0 msg=\"link closed\" "
        "device=13800138000 "
        "bytes=42 left=-7 late=true ratio=0.50 nothing=\"\" equal=\"a=b\"\n");
  CHECK(bench.lines[1] ==
        "time=2026-11-20T12:00:00.123Z level=warn source=shard-0 msg=odd quote=\"say \\\"hi\\\"\" "
        "line=\"a\\nb\\tc\\r\" control=\"\\x01\\x7f\\x00\" bytes=\"\\xff\xe4\xbd\xa0\" "
        "path=\"a\\\\b\" "
        "utf8=\xe4\xbd\xa0\n");
}

TEST_CASE("json lines") {
  Bench bench({.format = LogFormat::json});
  bench.logger.add_source("main").error("bad\n",
                                        {{"text", "a\"\\\x02\xff"},
                                         {"n", std::numeric_limits<std::uint64_t>::max()},
                                         {"b", false},
                                         {"none", std::numeric_limits<double>::quiet_NaN()},
                                         {"big", 1e300}});
  REQUIRE(bench.lines.size() == 1);
  CHECK(bench.lines[0] ==
        "{\"time\":\"2026-11-20T12:00:00.123Z\",\"level\":\"error\",\"source\":\"main\",\"msg\":"
        "\"bad\\n\","
        "\"text\":\"a\\\"\\\\\\u0002\xef\xbf\xbd\",\"n\":18446744073709551615,\"b\":false,\"none\":"
        "null,"
        "\"big\":1.000000e+300}\n");
}

TEST_CASE("times") {
  const auto text = [](WallUs time) {
    char out[time_text_size];
    format_time(out, time);
    return std::string(out, sizeof out);
  };
  CHECK(text(0) == "1970-01-01T00:00:00.000Z");
  CHECK(text(951'782'399'999'999) == "2000-02-28T23:59:59.999Z");
  CHECK(text(951'782'400'000'000) == "2000-02-29T00:00:00.000Z");
  CHECK(text(-1) == "1969-12-31T23:59:59.999Z");
}

TEST_CASE("levels: what is below is not written, and the level changes while running") {
  Bench bench;
  LogSource& log = bench.logger.add_source("main");
  log.debug("unseen");
  CHECK(bench.lines.empty());
  bench.logger.set_level(Level::debug);
  log.debug("seen");
  bench.logger.set_level(Level::error);
  log.warn("unseen");
  REQUIRE(bench.lines.size() == 1);
  CHECK(bench.lines[0].find("level=debug source=main msg=seen") != std::string::npos);
  CHECK(parse_level("warn").value() == Level::warn);
  CHECK(parse_level("loud").error().message ==
        "log level must be debug, info, warn or error, not \"loud\"");
  CHECK(parse_log_format("xml").error().message ==
        "log format must be logfmt or json, not \"xml\"");
}

TEST_CASE("colour only where asked for, and only on the level") {
  Bench plain;
  plain.logger.add_source("main").error("x");
  CHECK(plain.lines.at(0).find('\x1b') == std::string::npos);
  Bench coloured({.colour = Colour::always});
  coloured.logger.add_source("main").error("x");
  CHECK(coloured.lines.at(0) ==
        "time=2026-11-20T12:00:00.123Z level=\x1b[1;31merror\x1b[0m source=main msg=x\n");
}

TEST_CASE("a line that is too long is cut and stays well-formed") {
  const std::string big(5000, '"');
  for (const LogFormat format : {LogFormat::logfmt, LogFormat::json}) {
    Bench bench({.format = format});
    bench.logger.add_source("main").info("long", {{"before", 1}, {"text", big}, {"after", 2}});
    REQUIRE(bench.lines.size() == 1);
    const std::string& line = bench.lines[0];
    CHECK(line.size() <= log_line_size_max);
    CHECK(line.size() > log_line_size_max - 40);
    const std::string end =
        format == LogFormat::json ? "\\\"\",\"truncated\":true}\n" : "\\\"\" truncated=true\n";
    CHECK(line.substr(line.size() - end.size()) == end);
    CHECK(line.find("after") == std::string::npos);
  }
}

TEST_CASE("lines of every size around the limit fit") {
  for (std::size_t size = 800; size < 1100; ++size) {
    Bench bench;
    bench.logger.add_source("main").info("x", {{"text", std::string(size, 'a')}, {"n", size}});
    CHECK(bench.lines.at(0).size() <= log_line_size_max);
    CHECK(bench.lines.at(0).back() == '\n');
  }
}

TEST_CASE("a place that logs too often is held back, counted, and says so") {
  Bench bench({.site_limit_per_s = 3});
  LogSource& log = bench.logger.add_source("shard-1");
  const auto burst = [&](int times) {
    for (int i = 0; i < times; ++i) log.warn("noise", {{"i", i}});
  };
  burst(10);
  log.warn("another place");
  CHECK(bench.lines.size() == 4);
  CHECK(log.suppressed() == 7);
  bench.now += us_per_s;
  burst(1);
  REQUIRE(bench.lines.size() == 5);
  CHECK(bench.lines[4] ==
        "time=2026-11-20T12:00:01.123Z level=warn source=shard-1 msg=noise suppressed=7 i=0\n");
  burst(5);
  CHECK(bench.lines.size() == 7);
  log.report_suppressed();  // still in its second
  CHECK(bench.lines.size() == 7);
  bench.now += us_per_s;
  log.report_suppressed();
  REQUIRE(bench.lines.size() == 8);
  CHECK(bench.lines[7].find("msg=\"log lines held back\" suppressed=3 file=") != std::string::npos);
  bench.now -= 3600 * us_per_s;  // the clock is set back
  burst(1);
  CHECK(bench.lines.size() == 9);
}

TEST_CASE("more places than the table holds share one limit and lose nothing silently") {
  Bench bench({.site_limit_per_s = 1});
  LogSource& log = bench.logger.add_source("main");
  for (int place = 0; place < 200; ++place) log.info("x", {}, "file.cpp", place);
  CHECK(bench.lines.size() == 129);
  CHECK(log.suppressed() == 200 - 129);
}

TEST_CASE("a full ring drops the newest lines, counts them, and reports the loss once") {
  Bench bench({.delivery = Delivery::manual, .lines_per_source = 4, .site_limit_per_s = 0});
  LogSource& log = bench.logger.add_source("shard-0");
  for (int i = 0; i < 7; ++i) log.info("line", {{"i", i}});
  CHECK(log.dropped() == 3);
  CHECK(bench.lines.empty());
  CHECK(bench.logger.drain());
  REQUIRE(bench.lines.size() == 5);
  CHECK(bench.lines[0].find("i=0\n") != std::string::npos);
  CHECK(bench.lines[3].find("i=3\n") != std::string::npos);
  CHECK(bench.lines[4] ==
        "time=2026-11-20T12:00:00.123Z level=warn source=shard-0 msg=\"log lines dropped\" "
        "dropped=3\n");
  log.info("after");
  CHECK(bench.logger.drain());
  CHECK_FALSE(bench.logger.drain());
  CHECK(bench.lines.size() == 6);
  CHECK(bench.logger.dropped() == 3);
}

TEST_CASE("threads: every line is written whole or counted as dropped") {
  constexpr int producers = 3;
  constexpr int lines_each = 5'000;
  std::vector<std::string> lines;
  std::uint64_t dropped = 0;
  {
    Logger logger({.lines_per_source = 64, .site_limit_per_s = 0,
                   .sink = [&](std::string_view line) { lines.emplace_back(line); }});
    std::vector<std::thread> threads;
    for (int p = 0; p < producers; ++p) {
      threads.emplace_back([&logger, p] {
        LogSource& log = logger.add_source(std::string(1, 't').append(std::to_string(p)));
        for (int i = 0; i < lines_each; ++i) log.info("line", {{"i", i}, {"end", "."}});
      });
    }
    for (std::thread& thread : threads) thread.join();
    logger.flush();
    dropped = logger.dropped();
  }
  std::array<int, producers> last = {-1, -1, -1};
  std::uint64_t written = 0;
  bool in_order = true;
  for (const std::string& line : lines) {
    if (line.find("msg=line ") == std::string::npos) continue;
    ++written;
    const std::size_t source = line.find("source=t");
    const std::size_t field = line.find(" i=");
    REQUIRE(source != std::string::npos);
    REQUIRE(field != std::string::npos);
    REQUIRE(line.ends_with(" end=.\n"));
    int& before = last.at(static_cast<std::size_t>(line[source + 8] - '0'));
    const int i = std::stoi(line.substr(field + 3));
    in_order = in_order && i > before;
    before = i;
  }
  CHECK(in_order);
  CHECK(written + dropped == producers * lines_each);
  CHECK(written > 0);
}

TEST_CASE("a pipe gets the lines; a closed one costs lines, not the process") {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  {
    Logger logger({.fd = ends[1]});
    LogSource& log = logger.add_source("main");
    log.info("one");
    log.info("two");
    logger.flush();
    std::array<char, 512> buffer{};
    const ssize_t size = ::read(ends[0], buffer.data(), buffer.size());
    REQUIRE(size > 0);
    const std::string text(buffer.data(), static_cast<std::size_t>(size));
    CHECK(text.find("msg=one\n") != std::string::npos);
    CHECK(text.find('\x1b') == std::string::npos);
    ::close(ends[0]);
    log.info("three");
    // flush() in this thread would meet SIGPIPE; the destructor lets the writer thread do it.
  }
  ::close(ends[1]);
}

TEST_CASE("a pipe that nobody reads holds up neither the producer nor the end for long") {
  int ends[2];
  REQUIRE(::pipe2(ends, O_CLOEXEC) == 0);
  constexpr int lines = 2'000;  // far beyond the pipe and the ring together
  {
    Logger logger({.fd = ends[1], .lines_per_source = 16, .site_limit_per_s = 0});
    LogSource& log = logger.add_source("shard-0");
    const std::string text(900, 'x');
    for (int i = 0; i < lines; ++i) log.info("line", {{"text", text}});
    CHECK(log.dropped() > 0);
  }
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_CASE("the last warnings and errors are kept, repeats as one") {
  for (const LogFormat format : {LogFormat::logfmt, LogFormat::json}) {
    Bench bench({.format = format, .colour = Colour::always, .site_limit_per_s = 2});
    LogSource& log = bench.logger.add_source("shard-0");
    LogSource& other = bench.logger.add_source("shard-1");
    // In each second two go out; of the first three are held back.
    for (int second = 0; second < 2; ++second) {
      for (int i = 0; i < 5; ++i) log.warn("frame refused", {{"bytes", i}, {"peer", "a \"b\""}});
      if (second == 0) other.error("failed");
      log.info("all is well");
      if (second == 0) bench.now += us_per_s;
    }
    std::vector<KeptLine> kept = bench.logger.kept_lines();
    REQUIRE(kept.size() == 2);
    CHECK(kept[0].source == "shard-0");
    CHECK(kept[0].level == Level::warn);
    CHECK(kept[0].message == "frame refused");
    CHECK(kept[0].fields == (format == LogFormat::json
                                 ? "{\"bytes\":1,\"peer\":\"a \\\"b\\\"\"}"
                                 : "bytes=1 peer=\"a \\\"b\\\"\""));
    CHECK(kept[0].count == 7);
    CHECK(kept[0].first == noon);
    CHECK(kept[0].time == noon + us_per_s);
    CHECK(kept[1].message == "failed");
    CHECK(kept[1].source == "shard-1");
    CHECK(kept[1].fields.empty());
    CHECK(kept[1].count == 1);
  }
}

TEST_CASE("a noisy place pushes nothing else out of the kept lines, and they are bounded") {
  Bench bench({.site_limit_per_s = 0});
  LogSource& log = bench.logger.add_source("main");
  log.error("the disk is full");
  for (int i = 0; i < 10'000; ++i) log.warn("frame refused", {{"bytes", i}});
  CHECK(bench.logger.kept_lines().back().message == "the disk is full");
  CHECK(bench.logger.kept_lines().front().count == 10'000);
  for (std::size_t i = 0; i < KeptLines::lines_max; ++i) log.warn(std::to_string(i) + " says");
  const std::vector<KeptLine> kept = bench.logger.kept_lines();
  REQUIRE(kept.size() == KeptLines::lines_max);
  CHECK(kept.front().message == "99 says");
  CHECK(kept.back().message == "0 says");
}

TEST_CASE("lines that were dropped leave a kept line, through the rings too") {
  Bench bench({.delivery = Delivery::manual, .lines_per_source = 4, .site_limit_per_s = 0});
  LogSource& log = bench.logger.add_source("main");
  for (int i = 0; i < 6; ++i) log.warn("odd", {{"number", i}});
  CHECK(bench.logger.kept_lines().empty());
  bench.logger.drain();
  const std::vector<KeptLine> kept = bench.logger.kept_lines();
  REQUIRE(kept.size() == 2);
  CHECK(kept[0].message == "log lines dropped");
  CHECK(kept[0].fields == "dropped=2");
  CHECK(kept[1].message == "odd");
  CHECK(kept[1].count == 4);
  CHECK(kept[1].fields == "number=3");
}
