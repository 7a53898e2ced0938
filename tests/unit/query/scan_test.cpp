#include "storage/query/scan.hpp"

#include <doctest/doctest.h>

#include <cerrno>

#include "storage/log/index_maker.hpp"
#include "tests/unit/query/query_rig.hpp"

using namespace ringgate;
using namespace ringgate::query;
using log::Rig;
using log::ScratchDir;
using log::small_options;

namespace {

struct Answer {
  Numbers numbers;
  ScanStats stats;
  std::vector<std::string> problems;
  int error = 0;
};

Answer ask(const std::string& data_dir, const Selection& selection, OnGone on_gone = OnGone::skip,
           const std::function<void()>& meanwhile = {}, Heads* heads = nullptr) {
  const event::CatalogSet catalogs;
  auto scan = Scan::open({io::real_sys(), data_dir, catalogs, nullptr, heads}, selection, on_gone);
  REQUIRE_MESSAGE(scan.ok(), (scan.ok() ? std::string() : scan.error().message));
  Answer answer;
  Found found;
  for (;;) {
    const auto more = (*scan)->next(found);
    if (!more) answer.error = more.error().code;
    if (!more || !*more) break;
    answer.numbers.push_back(found.record.header.link);
    if (meanwhile && answer.numbers.size() == 1) meanwhile();
  }
  answer.stats = (*scan)->stats();
  answer.problems = (*scan)->problems();
  return answer;
}

void make_log(const ScratchDir& dir, std::uint64_t runs = 3) {
  for (std::uint64_t run = 0; run < runs; ++run) {
    Rig rig(small_options(dir.path()));
    write(rig, run * 2000, (run + 1) * 2000);
  }
}

}  // namespace

TEST_CASE("a scan gives all records of all runs, sealed and growing") {
  ScratchDir dir;
  make_log(dir);
  Rig rig(small_options(dir.path()));
  write(rig, 6000, 7000);
  for (int i = 0; i < 100; ++i) rig.shard->turn(10 * ns_per_ms);
  const Answer answer = ask(dir.path(), {});
  CHECK(answer.numbers == range(0, 7000));
  CHECK(answer.problems.empty());
  CHECK(answer.stats.records_found == 7000);
  CHECK(answer.stats.segments_gone == 0);
}

TEST_CASE("a scan of one device with indexes reads little, and opens no segment of other times") {
  ScratchDir dir;
  make_log(dir, 4);
  const event::CatalogSet catalogs;
  for (const std::string& path : segment_files(dir.path())) {
    const auto made = log::make_index(io::real_sys(), dir.path() + "/log",
                                      std::filesystem::path(path).filename().string(), catalogs,
                                      [] { return true; });
    REQUIRE(made.ok());
    CHECK(made->made);
  }
  Selection selection;
  selection.devices.emplace_back(Namespace::phone, "13800009999");
  const Answer none = ask(dir.path(), selection);
  CHECK(none.numbers.empty());
  CHECK(none.stats.bytes_read * 5 < none.stats.log_bytes);

  // Just the second run.
  const auto times = [&](std::uint64_t number) {
    WallUs at = 0;
    TailRig tail(dir.path());
    Found found;
    while (tail.tail->next(found)) {
      if (found.record.header.link == number) at = found.record.header.received_us;
    }
    return at;
  };
  Selection second;
  second.received_from_us = times(2000);
  second.received_to_us = times(4000);
  Heads heads;
  const Answer some = ask(dir.path(), second, OnGone::skip, {}, &heads);
  CHECK(some.numbers == range(2000, 4000));
  CHECK(some.stats.segments_opened < some.stats.segments);
  const Answer again = ask(dir.path(), second, OnGone::skip, {}, &heads);
  CHECK(again.numbers == some.numbers);
  CHECK(again.stats.bytes_read < some.stats.bytes_read);
}

TEST_CASE("what retention takes under a scan is skipped and counted, or an error, as asked") {
  for (const OnGone on_gone : {OnGone::skip, OnGone::fail}) {
    ScratchDir dir;
    make_log(dir);
    const auto files = segment_files(dir.path());
    const auto take = [&] {
      std::filesystem::remove(files[1]);
      std::filesystem::remove(files[2]);
    };
    const Answer answer = ask(dir.path(), {}, on_gone, take);
    if (on_gone == OnGone::fail) {
      CHECK(answer.error == ESTALE);
      continue;
    }
    CHECK(answer.error == 0);
    CHECK(answer.stats.segments_gone == 2);
    CHECK(answer.numbers.size() > 4500);
    CHECK(answer.numbers.size() < 5500);
    CHECK(std::is_sorted(answer.numbers.begin(), answer.numbers.end()));
  }
}

TEST_CASE("damage is told and passed over by a scan") {
  ScratchDir dir;
  make_log(dir);
  const auto files = segment_files(dir.path());
  overwrite(files[1], 100'000, 3000);
  overwrite(files[2], 0, 4096);
  const Answer answer = ask(dir.path(), {});
  CHECK(answer.numbers.size() > 5000);
  CHECK(answer.numbers.size() < 5700);
  CHECK(answer.problems.size() == 2);
}
