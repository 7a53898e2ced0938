#include "storage/query/tail.hpp"

#include <doctest/doctest.h>

#include "storage/log/compressor.hpp"
#include "tests/unit/query/query_rig.hpp"

using namespace ringgate;
using namespace ringgate::query;
using log::Rig;
using log::ScratchDir;
using log::small_options;

namespace {

// Three runs of 2,000 samples, the second killed: some four segments each.
void make_runs(const ScratchDir& dir) {
  for (std::uint64_t run = 0; run < 3; ++run) {
    Rig rig(small_options(dir.path()));
    write(rig, run * 2000, (run + 1) * 2000);
    if (run == 1) rig.kill();
  }
}

}  // namespace

TEST_CASE("a tail reads runs one after the other and stops at their end") {
  ScratchDir dir;
  make_runs(dir);
  TailRig rig(dir.path());
  CHECK(rig.take() == range(0, 6000));
  CHECK(rig.look().empty());
  CHECK(rig.tail->problems().empty());
  CHECK(rig.tail->lost_bytes() == 0);
  CHECK(rig.tail->lag().bytes == 0);
  CHECK(rig.tail->cursor().done_runs_below() == 3);
}

TEST_CASE("a cursor does not pass the record that was handed out last") {
  ScratchDir dir;
  make_runs(dir);
  TailRig first(dir.path());
  std::uint64_t next = 0;
  for (const std::size_t some : {std::size_t{1}, std::size_t{700}, std::size_t{2500}}) {
    CHECK(first.take(some) == range(next, next + some));
    next += some;
    // Taken anew from here, the last one comes again.
    TailRig again(dir.path(), {TailStart::Where::cursor, first.tail->cursor()});
    CHECK(again.take() == range(next - 1, 6000));
  }
  CHECK(first.tail->lag().bytes > 2000 * 500);
  const auto lag_us = first.tail->lag().oldest_us;
  CHECK(lag_us > 0);
  REQUIRE(first.tail->seek({TailStart::Where::end, {}}).ok());
  CHECK(first.look().empty());
  REQUIRE(first.tail->seek({}).ok());
  CHECK(first.take() == range(0, 6000));
  log::Cursor nowhere;
  nowhere.set({9, 0}, 0);
  CHECK_FALSE(first.tail->seek({TailStart::Where::cursor, nowhere}).ok());
}

TEST_CASE("a growing log shows what is committed: at once by the board, else when it is proven") {
  ScratchDir dir;
  Rig rig(small_options(dir.path()));
  log::CommitBoard board(rig.dir->run());
  log::BoardWriter on_board(board, 0, rig.shard->watermark());
  TailRig inside(dir.path(), {}, &board);
  TailRig outside(dir.path());
  write(rig, 0, 1);
  CHECK(inside.look() == range(0, 1));
  CHECK(outside.look().empty());  // nothing follows it yet
  write(rig, 1, 3000);
  CHECK(inside.look() == range(1, 3000));
  Numbers seen = outside.look();
  CHECK(seen.size() > 2000);
  TailRig late(dir.path(), {TailStart::Where::end, {}}, &board);
  CHECK(late.look().empty());
  // The commit mark of an idle stream proves the rest.
  for (int i = 0; i < 200 && seen.size() < 3000; ++i) {
    rig.shard->turn(10 * ns_per_ms);
    const Numbers more = outside.look();
    seen.insert(seen.end(), more.begin(), more.end());
  }
  CHECK(seen == range(0, 3000));
  write(rig, 3000, 3010);
  CHECK(late.look() == range(3000, 3010));
  CHECK(inside.look() == range(3000, 3010));
  CHECK(inside.tail->lag().bytes == 0);
  rig.stop();
  // A stopped log is sealed: the tail outside sees it with the next listing.
  TailRig after(dir.path(), {TailStart::Where::cursor, outside.tail->cursor()});
  CHECK(after.take() == range(3000, 3010));
}

TEST_CASE("a look does not grow with old segments") {
  ScratchDir dir;
  make_runs(dir);
  Rig rig(small_options(dir.path()));
  log::CommitBoard board(rig.dir->run());
  log::BoardWriter on_board(board, 0, rig.shard->watermark());
  TailRig inside(dir.path(), {TailStart::Where::end, {}}, &board);
  for (const std::string& path : segment_files(dir.path())) {
    if (path.find("/0000000004-") == std::string::npos) std::filesystem::remove(path);
  }
  write(rig, 0, 50);
  CHECK(inside.look() == range(0, 50));
  CHECK(inside.tail->problems().empty());
}

TEST_CASE("damage is told and passed over") {
  ScratchDir dir;
  make_runs(dir);
  const auto files = segment_files(dir.path());
  overwrite(files[1], 100'000, 3000);
  TailRig rig(dir.path());
  const Numbers seen = rig.take();
  CHECK(seen.size() < 6000);
  CHECK(seen.size() > 5980);
  CHECK(std::is_sorted(seen.begin(), seen.end()));
  REQUIRE(rig.tail->problems().size() == 1);
  CHECK(rig.tail->problems()[0].find(files[1]) != std::string::npos);
  CHECK(rig.look().empty());
}

TEST_CASE("a segment whose head can't be read is told and passed over") {
  ScratchDir dir;
  make_runs(dir);
  const auto files = segment_files(dir.path());
  overwrite(files[1], 0, 4096);
  overwrite(files.back(), 0, 4096);
  TailRig rig(dir.path());
  const Numbers seen = rig.take();
  CHECK(seen.size() > 4800);
  CHECK(seen.size() < 5900);
  CHECK(rig.tail->problems().size() == 2);
  CHECK(rig.tail->lost_bytes() == 0);
}

TEST_CASE("what retention takes is counted, under a tail that reads and before one") {
  ScratchDir dir;
  make_runs(dir);
  const auto files = segment_files(dir.path());
  TailRig rig(dir.path());
  CHECK(rig.take(100) == range(0, 100));
  const log::Cursor cursor = rig.tail->cursor();
  std::filesystem::remove(files[0]);
  std::filesystem::remove(files[1]);
  // What is open is read to its end: the file lives as long.
  const Numbers seen = rig.take();
  CHECK(std::is_sorted(seen.begin(), seen.end()));
  CHECK(seen.size() > 5000);
  CHECK(seen.size() < 5900);
  CHECK(rig.tail->lost_bytes() > 200'000);
  CHECK(rig.tail->lost_bytes() < 300'000);
  TailRig late(dir.path(), {TailStart::Where::cursor, cursor});
  CHECK(late.take().size() < seen.size());
  CHECK(late.tail->lost_bytes() > 400'000);
  // A tail that begins at the beginning has lost nothing.
  TailRig fresh(dir.path());
  const Numbers left = fresh.take();
  CHECK(left.size() > 4500);
  CHECK(left.back() == 5999);
  CHECK(fresh.tail->lost_bytes() == 0);
}

TEST_CASE("a file that is used again under a tail is not taken for what it was") {
  ScratchDir dir;
  log::LogOptions options = small_options(dir.path());
  options.segment_size = 4 << 20;  // longer than a window
  {
    Rig rig(options);
    write(rig, 0, 6000);
  }
  Rig next(options);
  write(next, 6000, 6100);
  next.stop();
  TailRig rig(dir.path());
  CHECK(rig.take(10) == range(0, 10));
  // As a recycled file: another epoch in the head, other content behind it.
  const std::string spare = dir.path() + "/log/spare-0";
  std::filesystem::rename(segment_files(dir.path())[0], spare);
  overwrite(spare, 0, 3 << 20);
  const Numbers seen = rig.take();
  CHECK(std::is_sorted(seen.begin(), seen.end()));
  CHECK(seen.size() > 1000);
  CHECK(seen.size() < 4000);
  CHECK(seen.back() == 6099);
  CHECK(rig.tail->lost_bytes() > 1'000'000);
  REQUIRE(rig.tail->problems().size() == 1);
  CHECK(rig.tail->problems()[0].find("taken away") != std::string::npos);
}

TEST_CASE("compressed segments read like plain ones, also when they change under the tail") {
  ScratchDir dir;
  make_runs(dir);
  const event::CatalogSet catalogs;
  TailRig before(dir.path());
  CHECK(before.take(1000) == range(0, 1000));
  for (const std::string& path : segment_files(dir.path())) {
    const auto made = log::compress_segment(io::real_sys(), dir.path() + "/log",
                                            std::filesystem::path(path).filename().string(),
                                            catalogs, {.pause = [] { return true; }});
    REQUIRE_MESSAGE(made.ok(), (made.ok() ? std::string() : made.error().message));
    REQUIRE(made->made);
    std::filesystem::remove(path);
  }
  CHECK(before.take() == range(1000, 6000));
  TailRig after(dir.path());
  CHECK(after.take() == range(0, 6000));
  CHECK(after.tail->problems().empty());
  CHECK(before.tail->problems().empty());
}

TEST_CASE("a tail selects") {
  ScratchDir dir;
  make_runs(dir);
  Selection selection;
  selection.devices.emplace_back(Namespace::phone, "13800000003");
  TailRig rig(dir.path(), {}, nullptr, selection);
  const Numbers seen = rig.take();
  CHECK(seen.size() == 857);
  for (const std::uint64_t number : seen) CHECK(number % 7 == 3);
  CHECK(rig.look().empty());
  TailRig all(dir.path(), {TailStart::Where::cursor, rig.tail->cursor()});
  CHECK(all.take().empty());
}
