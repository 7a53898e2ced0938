// What verification finds: each kind of wrong is planted, and found, and nothing else is.
#include <doctest/doctest.h>

#include "tools/load/frames.hpp"
#include "tools/load/run/verify.hpp"

using namespace ringgate;
using load::StoredReport;
using load::Truth;
using load::Verification;

namespace {

StoredReport stored(std::uint64_t phone, int serial, std::uint32_t content, std::uint64_t link = 1,
                    bool duplicate = false) {
  return {phone, static_cast<std::uint16_t>(serial), duplicate, content, link};
}

Verification found(Truth& truth) {
  Verification out;
  truth.fill(out);
  return out;
}

}  // namespace

TEST_CASE("all there, once and in order") {
  Truth truth;
  for (int i = 0; i < 10; ++i) truth.acknowledged(7, static_cast<std::uint16_t>(i));
  for (int i = 0; i < 12; ++i) {  // two were stored and their answers lost: no error
    truth.stored(stored(7, i, static_cast<std::uint32_t>(i)));
  }
  truth.stored(stored(8, 3, 1));  // of nobody in this run
  truth.stored(stored(7, 9, 9, 1, true));  // known as sent again
  const Verification out = found(truth);
  CHECK(out.looked_up == 10);
  CHECK(out.lost == 0);
  CHECK(out.duplicated == 0);
  CHECK(out.reordered == 0);
  CHECK(out.records == 13);
  CHECK(out.examples.empty());
}

TEST_CASE("lost, duplicated and reordered ones are counted and named") {
  Truth truth;
  for (int i = 0; i < 10; ++i) truth.acknowledged(7, static_cast<std::uint16_t>(i));
  for (const int serial : {0, 1, 2, 4, 3, 6, 7, 8, 9}) {  // no 5; 3 late
    truth.stored(stored(7, serial, static_cast<std::uint32_t>(serial)));
  }
  truth.stored(stored(7, 9, 9));
  const Verification out = found(truth);
  CHECK(out.lost == 1);
  CHECK(out.duplicated == 1);
  CHECK(out.reordered == 1);
  REQUIRE(out.examples.size() == 3);
  CHECK(out.examples[0] == "reordered: phone 7 serial 3 is stored after serial 4");
  CHECK(out.examples[1] == "lost: phone 7 serial 5");
  CHECK(out.examples[2] == "duplicated: phone 7 serial 9");
}

TEST_CASE("serials wrap, and begin anew with a link") {
  Truth truth;
  for (std::uint32_t i = 0; i < 70'000; ++i) {
    truth.acknowledged(7, static_cast<std::uint16_t>(i));
    truth.stored(stored(7, static_cast<int>(i & 0xffff), i));
  }
  for (std::uint32_t i = 0; i < 10; ++i) {
    truth.stored(stored(7, static_cast<int>(i), 100'000 + i, 2));
    truth.acknowledged(7, static_cast<std::uint16_t>(i));
  }
  Verification out = found(truth);
  CHECK(out.lost == 0);
  CHECK(out.duplicated == 0);
  CHECK(out.reordered == 0);
  truth.acknowledged(7, 5);  // a third one with serial 5, of which the log has two... and one more
  out = Verification{};
  truth.fill(out);
  CHECK(out.lost == 1);
}

TEST_CASE("a device of which nothing is stored is lost whole") {
  Truth truth;
  truth.acknowledged(1, 1);
  truth.acknowledged(2, 1);
  truth.stored(stored(2, 1, 1));
  const Verification out = found(truth);
  CHECK(out.lost == 1);
  CHECK(out.examples == std::vector<std::string>{"lost: phone 1 serial 1"});
}

TEST_CASE("the same bytes over another link are another report, not a copy") {
  Truth truth;
  truth.acknowledged(7, 3);
  truth.acknowledged(7, 3);
  truth.acknowledged(7, 3);
  truth.stored(stored(7, 3, 5, 1));
  truth.stored(stored(7, 3, 5, 2));
  truth.stored(stored(7, 3, 5, 3, true));  // the gateway takes it for sent again
  const Verification out = found(truth);
  CHECK(out.lost == 0);
  CHECK(out.duplicated == 0);
  truth.stored(stored(7, 3, 5, 3, true));  // that is no fourth
  truth.acknowledged(7, 3);
  CHECK(found(truth).lost == 1);
}

TEST_CASE("what was missing may still come") {
  Truth truth;
  truth.acknowledged(7, 3);
  truth.acknowledged(7, 4);
  truth.stored(stored(7, 3, 5));
  CHECK(found(truth).lost == 1);
  truth.stored(stored(7, 4, 6));
  const Verification out = found(truth);
  CHECK(out.lost == 0);
  CHECK(out.duplicated == 0);
  CHECK(out.reordered == 0);
}

TEST_CASE("a report of an earlier run is known by its own time") {
  constexpr WallUs now_us = 1'795'283'576'000'000;
  for (const load::Version version : {load::Version::v2013, load::Version::v2019}) {
    load::FrameWriter writer(version);
    std::uint8_t out[load::FrameWriter::frame_bytes_max];
    const std::size_t size = writer.report(out, load::phone_from_number(13'800'000'000), 7,
                                           load::bcd_time(now_us));
    const Bytes frame = Bytes(out, size).subspan(1);  // nothing in it is escaped
    CHECK(load::made_since(frame, now_us));
    CHECK(load::made_since(frame, now_us - 10 * us_per_s));
    CHECK_FALSE(load::made_since(frame, now_us + us_per_s));
    CHECK(load::made_since(frame.first(30), now_us + us_per_s));  // it says nothing of its time
  }
}
