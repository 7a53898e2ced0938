// The parts of crowds that know no ring: when users act, who comes, what the live stream says,
// the file of what was acknowledged.
#include <doctest/doctest.h>

#include <arpa/inet.h>
#include <unistd.h>

#include <map>
#include <random>
#include <set>

#include "tools/load/crowd/acked.hpp"
#include "tools/load/crowd/comers.hpp"
#include "tools/load/crowd/elastic_schedule.hpp"
#include "tools/load/crowd/feed_reader.hpp"
#include "tools/load/crowd/stream_message.hpp"
#include "tools/load/crowd/targets.hpp"
#include "tools/load/scenario/scenario.hpp"

using namespace ringgate;
using load::ElasticSchedule;

namespace {

constexpr double period_ns = 1e9;

// Takes what is due up to `until`: how often each user acted.
std::map<std::uint32_t, int> take_until(ElasticSchedule& schedule, MonoNs until) {
  std::map<std::uint32_t, int> out;
  MonoNs last = 0;
  for (; schedule.next_due() <= until; schedule.take()) {
    REQUIRE(schedule.next_due() >= last);
    last = schedule.next_due();
    ++out[schedule.next_user()];
  }
  return out;
}

}  // namespace

TEST_CASE("each user acts once a period, evenly spread, however many there are") {
  for (const std::uint32_t users : {1U, 2U, 7U, 100U, 1000U}) {
    CAPTURE(users);
    ElasticSchedule schedule(0, 1000, period_ns);
    schedule.change(0, users, 1);
    std::vector<int> tenths(10);
    std::map<std::uint32_t, MonoNs> last;
    for (; schedule.next_due() < 5 * ns_per_s; schedule.take()) {
      const MonoNs due = schedule.next_due();
      const std::uint32_t user = schedule.next_user();
      REQUIRE(user < users);
      if (last.contains(user)) CHECK(std::abs(due - last[user] - ns_per_s) < 10);
      last[user] = due;
      ++tenths[static_cast<std::size_t>(due % ns_per_s / (100 * ns_per_ms))];
    }
    CHECK(last.size() == users);
    if (users >= 100) {
      const int fair = static_cast<int>(users / 2);
      for (const int count : tenths) CHECK(std::abs(count - fair) <= fair / 5);
    }
  }
}

TEST_CASE("a change of rate moves only what is to come, and nothing twice or never") {
  ElasticSchedule schedule(0, 50, period_ns);
  schedule.change(0, 50, 1);
  CHECK(take_until(schedule, 10 * ns_per_s).size() == 50);
  schedule.change(10 * ns_per_s, 50, 4);
  int four = 0;
  for (const auto& [user, count] : take_until(schedule, 12 * ns_per_s)) {
    CHECK(count >= 7);
    CHECK(count <= 9);
    four += count;
  }
  CHECK(std::abs(four - 400) <= 1);
  schedule.change(12 * ns_per_s, 50, 0);
  CHECK(schedule.next_due() == INT64_MAX);
  schedule.change(20 * ns_per_s, 50, 0.5);
  const auto slow = take_until(schedule, 24 * ns_per_s);
  int count = 0;
  for (const auto& one : slow) count += one.second;
  CHECK(std::abs(count - 100) <= 1);
  CHECK(slow.size() == 50);
}

TEST_CASE("users that were away owe nothing when they come") {
  ElasticSchedule schedule(0, 20, period_ns);
  CHECK(schedule.next_due() == INT64_MAX);
  schedule.change(0, 0, 1);
  schedule.change(100 * ns_per_s, 20, 1);
  CHECK(schedule.next_due() >= 100 * ns_per_s);
  const auto first = take_until(schedule, 101 * ns_per_s - 1);
  CHECK(first.size() == 20);
  for (const auto& one : first) CHECK(one.second == 1);
  schedule.change(101 * ns_per_s, 5, 1);
  CHECK(take_until(schedule, 103 * ns_per_s - 1).size() == 5);
  schedule.change(103 * ns_per_s, 20, 1);
  const auto again = take_until(schedule, 104 * ns_per_s - 1);
  CHECK(again.size() == 20);
  for (const auto& one : again) CHECK(one.second == 1);
}

TEST_CASE("random changes: the number of acts is what rate and users integrate to") {
  std::mt19937_64 random(7);
  for (int round = 0; round < 50; ++round) {
    ElasticSchedule schedule(0, 64, period_ns);
    MonoNs now = 0;
    double wanted = 0;
    int seen = 0;
    for (int step = 0; step < 40; ++step) {
      const auto users = static_cast<std::uint32_t>(random() % 65);
      const double rate = static_cast<double>(random() % 50) / 10;
      schedule.change(now, users, rate);
      const auto length = static_cast<MonoNs>(random() % (3 * ns_per_s));
      wanted += static_cast<double>(length) / period_ns * rate * users;
      now += length;
      for (const auto& one : take_until(schedule, now)) seen += one.second;
    }
    // Each change cuts a period anywhere: less than a few acts each.
    CHECK(std::abs(seen - wanted) <= 40 * 4);
  }
}

TEST_CASE("comers are spread until the next aim, and only the wanted come back") {
  load::Comers comers(100);
  comers.want(0, 50);
  int come = 0;
  for (MonoNs now = 0; now < 100 * ns_per_ms; now += ns_per_ms) {
    while (comers.next(now)) ++come;
    CHECK(come <= 1 + static_cast<int>(now / (2 * ns_per_ms)));
  }
  CHECK(come == 50);
  comers.come_back(3, 200);
  comers.come_back(49, 100);
  comers.want(0, 10);
  CHECK(comers.risen() == 10);
  CHECK(comers.next(1'000'000) == 3);
  CHECK_FALSE(comers.next(1'000'000));
  comers.want(0, 1000);
  CHECK(comers.wanted() == 100);
}

// ---- the live stream ---------------------------------------------------------------------------

TEST_CASE("messages of the live stream are read for what counts") {
  load::StreamMessage got;
  REQUIRE(load::read_stream_message(
      R"({"events": [{"type": "position", "record": "4f1c/12-0/4096", "sub": 2, "body":
          {"record": "no", "x": [1, {"type": "no"}]}, "received": "2026-11-21T05:00:00.123Z"},
          {"type":"alarm","record":"4f1c/12-1/8"}], "id": "map", "coalesced": 17,
          "cursor": "4f1c-12-208-1a8"})", got));
  REQUIRE(got.events.size() == 2);
  CHECK(got.events[0].record == "4f1c/12-0/4096");
  CHECK(got.events[0].type == "position");
  CHECK(got.events[0].sub == 2);
  CHECK(got.events[0].received_us == 1'795'237'200'123'000);
  CHECK(got.events[1].received_us == 0);
  CHECK(got.coalesced == 17);
  CHECK(got.cursor == "4f1c-12-208-1a8");
  REQUIRE(load::read_stream_message(R"({"subscribed": {"id": "a", "cursor": "1-2-3"}})", got));
  CHECK(got.subscribed);
  CHECK(got.cursor == "1-2-3");
  CHECK(got.events.empty());
  REQUIRE(load::read_stream_message(R"({"gap": {"lost_bytes": 8192}, "id": "a"})", got));
  CHECK(got.gap);
  CHECK(got.lost_bytes == 8192);
  REQUIRE(load::read_stream_message(R"({"error": {"id": "a", "detail": "no such type"}})", got));
  CHECK(got.error);
  CHECK(got.detail == "no such type");
  REQUIRE(load::read_stream_message(R"({"slow": {"queued_bytes": 1, "seconds": 31}})", got));
  CHECK(got.slow);
  REQUIRE(load::read_stream_message(R"({"live": {"id": "a", "cursor": "7"}})", got));
  CHECK(got.live);
  for (const char* bad : {"", "[]", "7", "{", "{\"a\":}", "null"}) {
    CHECK_FALSE(load::read_stream_message(bad, got));
  }
}

TEST_CASE("a message of another shape than the gateway's is read over") {
  load::StreamMessage out;
  // Lists and objects where events are, or where their members would be.
  REQUIRE(load::read_stream_message(
      R"({"events":[["record","x"],{"record":"n/0/1","sub":1},["sub",7],[{"sub":9}],5]})", out));
  REQUIRE(out.events.size() == 1);
  CHECK(out.events[0].record == "n/0/1");
  CHECK(out.events[0].sub == 1);
  REQUIRE(load::read_stream_message(R"({"events":{"record":{"record":"x"}}})", out));
  CHECK(out.events.empty());
  for (const char* none : {"-026-11-21T05:00:00Z", "2026-13-21T05:00:00Z", "2026-11-00T05:00:00Z",
                           "2026-11-21T-5:00:00Z"}) {
    CHECK(load::read_utc(none) == 0);
  }
}

TEST_CASE("frames and lines of a feed, cut anywhere") {
  using Kind = load::FeedItem::Kind;
  const std::string frames("\x81\x02{}\x8a\x00\x01\x02{\"\x89\x01p\x80\x04\x61\":1\x80\x00", 21);
  const std::string lines =
      ": hello\nid: 1\r\ndata: {\ndata:}\n\nevent: x\n\ndata: {}\r\n\r\ndata: half";
  for (std::size_t size = 1; size < 30; ++size) {
    CAPTURE(size);
    std::vector<std::pair<Kind, std::string>> told;
    load::FrameReader reader;
    const auto take = [&told](auto& from) {
      for (load::FeedItem item = from.next(); item.kind != Kind::more; item = from.next()) {
        told.emplace_back(item.kind, item.payload);
        if (item.kind == Kind::bad) return;
      }
    };
    for (std::size_t at = 0; at < frames.size(); at += size) {
      reader.add(as_bytes(std::string_view(frames).substr(at, size)));
      take(reader);
    }
    CHECK(told == std::vector<std::pair<Kind, std::string>>{
                      {Kind::message, "{}"}, {Kind::ping, "p"}, {Kind::message, "{\"a\":1"},
                      {Kind::bad, "an opcode out of order"}});
    told.clear();
    load::LineReader feed;
    for (std::size_t at = 0; at < lines.size(); at += size) {
      feed.add(std::string_view(lines).substr(at, size));
      take(feed);
    }
    CHECK(told == std::vector<std::pair<Kind, std::string>>{{Kind::message, "{\n}"},
                                                            {Kind::message, "{}"}});
  }
  for (const std::string& bad : {std::string("\x81\x80", 2), std::string("\xc1\x00", 2),
                                 std::string("\x82\x00", 2), std::string("\x09\x00", 2),
                                 std::string("\x81\x7f\x00\x00\x00\x00\x10\x00\x00\x00", 10)}) {
    load::FrameReader reader;
    reader.add(as_bytes(bad));
    CHECK(reader.next().kind == Kind::bad);
    reader.add(as_bytes(frames));
    CHECK(reader.next().kind == Kind::bad);
  }
}

TEST_CASE("a message without an end is none, in however many pieces it comes") {
  const std::string piece(1 << 20, 'x');
  load::FrameReader frames;
  load::LineReader lines;
  std::size_t frame_bytes = 0, line_bytes = 0;
  for (bool first = true; frame_bytes < 3 * load::feed_message_bytes_max; first = false) {
    frames.add(as_bytes(std::string(first ? "\x01" : "\x00", 1) +
                        std::string("\x7f\x00\x00\x00\x00\x00\x10\x00\x00", 9)));
    frames.add(as_bytes(piece));
    if (frames.next().kind == load::FeedItem::Kind::bad) break;
    frame_bytes += piece.size();
  }
  CHECK(frame_bytes == load::feed_message_bytes_max);
  while (line_bytes < 3 * load::feed_message_bytes_max) {
    lines.add(piece);
    if (lines.next().kind == load::FeedItem::Kind::bad) break;
    line_bytes += piece.size();
  }
  CHECK(line_bytes == load::feed_message_bytes_max);
}

TEST_CASE("records, times and subscriptions as the gateway writes them") {
  const auto place = load::read_record("4f1c09ab/12-0/4096");
  REQUIRE(place);
  CHECK(place->stream == "4f1c09ab/12-0");
  CHECK(place->position == 4096);
  for (const char* bad : {"", "/", "4096", "a/", "/7", "a/x7", "a/7x"}) {
    CHECK_FALSE(load::read_record(bad));
  }
  CHECK(load::read_utc("1970-01-01T00:00:00Z") == 0);
  CHECK(load::read_utc("2000-02-29T12:34:56.789Z") == 951'827'696'789'000);
  CHECK(load::read_utc("yesterday, at noon, Z") == 0);
  CHECK(load::subscribe_message("", "") == R"({"subscribe":{"id":"load"}})");
  CHECK(load::subscribe_message("devices=1,2&types=position&decode=true&batch_max=7"
                                "&batch_delay=5ms&id=x&from=y", "4f-1-2") ==
        R"({"subscribe":{"id":"load","from":"4f-1-2","devices":["1","2"],"types":["position"],)"
        R"("decode":true,"batch_max":7,"batch_delay":"5ms"}})");
}

// ---- the acked file ----------------------------------------------------------------------------

TEST_CASE("what was acknowledged is read back, and half an entry at the end is not") {
  char path[] = "/tmp/ringgate-acked-XXXXXX";
  ::close(mkstemp(path));
  std::vector<load::Acked> wrote;
  {
    Result<load::AckedWriter> writer = load::AckedWriter::open(path);
    REQUIRE(writer.ok());
    std::mt19937_64 random(3);
    for (int i = 0; i < 100'000; ++i) {
      const load::Acked one{random() % 1'000'000'000'000,
                            static_cast<WallUs>(random() % 4'000'000'000'000) * 1'000,
                            static_cast<std::uint16_t>(random())};
      writer->add(one);
      wrote.push_back(one);
      if (i % 777 == 0) REQUIRE(writer->flush().ok());
    }
    CHECK(writer->count() == wrote.size());
  }
  Result<std::vector<load::Acked>> got = load::read_acked(path);
  REQUIRE(got.ok());
  CHECK(*got == wrote);
  REQUIRE(::truncate(path, 16 * 1000 + 9) == 0);
  got = load::read_acked(path);
  REQUIRE(got.ok());
  wrote.resize(1000);
  CHECK(*got == wrote);
  ::unlink(path);
  CHECK_FALSE(load::read_acked(path).ok());
}

// ---- addresses ---------------------------------------------------------------------------------

TEST_CASE("where a class connects to and from") {
  const Result<load::TargetAddress> here = load::resolve_target("127.0.0.1:7808", "jt808");
  REQUIRE(here.ok());
  CHECK(here->text == "127.0.0.1:7808");
  CHECK(load::resolve_target("[::1]:7808", "jt808").ok());
  for (const char* bad : {"", "127.0.0.1", "127.0.0.1:", "no such host:1"}) {
    const Result<load::TargetAddress> wrong = load::resolve_target(bad, "jt808");
    REQUIRE_FALSE(wrong.ok());
    CHECK(wrong.error().message.starts_with("target.jt808"));
  }
  load::Scenario scenario;
  scenario.classes.resize(3);
  scenario.stages.resize(1);
  load::CrowdPlace place;
  place.scenario = &scenario;
  CHECK(load::sources_of(place, *here)->empty());
  scenario.classes[0].users = 60'000;  // more than an address has ports for
  std::set<std::uint32_t> all;
  for (place.worker = 0; place.worker < 8; ++place.worker) {
    for (place.class_index = 0; place.class_index < 3; ++place.class_index) {
      const Result<std::vector<in_addr>> sources = load::sources_of(place, *here);
      REQUIRE(sources->size() == 1);
      const std::uint32_t first = ntohl(sources->front().s_addr) >> 24;
      CHECK(first == 127);
      all.insert(sources->front().s_addr);
    }
  }
  CHECK(all.size() == 24);
  const Result<load::TargetAddress> away = load::resolve_target("192.0.2.1:7808", "jt808");
  place.class_index = 0;
  CHECK(load::sources_of(place, *away)->empty());
  scenario.classes[0].sources = {"127.0.0.9", "127.0.0.10"};
  CHECK(load::sources_of(place, *away)->size() == 2);
  scenario.classes[0].sources = {"nowhere"};
  CHECK_FALSE(load::sources_of(place, *away).ok());
}
