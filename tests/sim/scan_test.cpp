// Scans on a simulated machine against the plainest answer: every record that a reader of the whole
// log gives, filtered one by one. Random selections on random logs: growing ones (with a commit
// board and without), crashed ones, sealed ones, with indexes and without, with indexes and times
// that lie. RG_TEST_LONG=1 runs
// 3,000 seeds; RG_TEST_SEED=n runs only that one.
#include <doctest/doctest.h>
#include <fcntl.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "storage/event/catalog.hpp"
#include "storage/log/index.hpp"
#include "storage/log/index_maker.hpp"
#include "storage/log/reader.hpp"
#include "storage/log/segment_file.hpp"
#include "storage/log/segment_list.hpp"
#include "storage/log/segment_times.hpp"
#include "storage/log/side_file.hpp"
#include "storage/query/scan.hpp"
#include "tests/sim/log_life.hpp"
#include "tests/sim/seeds.hpp"

using namespace ringgate;
using namespace ringgate::sim;

namespace {

constexpr std::uint64_t short_seeds = 80;
constexpr std::uint64_t long_seeds = 3'000;
constexpr int lives_per_seed = 3;
constexpr std::uint64_t devices = 9;
const std::string data_dir = "/data";

// Payloads of at least 16 bytes: device time and an area's number.
class TestCatalog final : public event::MessageCatalog {
 public:
  std::string_view protocol() const override { return "test"; }
  Namespace ns() const override { return Namespace::phone; }
  std::vector<event::MessageInfo> list() const override { return {}; }
  std::string message_id_text(std::uint16_t) const override { return {}; }
  void json(Bytes, JsonWriter&, bool) const override {}
  Result<std::vector<std::uint8_t>> encode(std::string_view) const override { return Error{}; }
  std::vector<std::uint8_t> redact(Bytes) const override { return {}; }
  void rows(const event::RecordView& record, event::RowVisitor& out) const override {
    if (record.payload.size() < 16) return;
    event::PositionRow row;
    row.device_time_us = load_native<WallUs>(record.payload.data());
    row.latitude_deg = static_cast<double>(record.payload[8]);
    out.position(row);
  }
  bool is_part(const event::RecordView& record) const override { return record.message % 5 == 4; }
  std::optional<event::DeviceTimes> device_times(const event::RecordView& record) const override {
    if (record.payload.size() < 16) return {};
    const auto at = load_native<WallUs>(record.payload.data());
    return event::DeviceTimes{at, at};
  }
};

using Place = std::pair<log::StreamId, Position>;

struct Totals {
  std::uint64_t scans = 0;
  std::uint64_t found = 0;
  std::uint64_t whole_found = 0;  // of selections that are all
  std::uint64_t indexes = 0;
  std::uint64_t falsified = 0;
  std::uint64_t lies = 0;  // that were found out
};

class Game {
 public:
  explicit Game(std::uint64_t seed)
      : random_(seed), world_(std::make_unique<io::World>(io::SimOptions::rough(seed))) {
    catalogs_.add(catalog_);
    options_.data_dir = data_dir;
    options_.segment_size = 64 * 1024;
    options_.batch_size = 8 * 1024;
  }

  Totals play() {
    for (int number = 0; number < lives_per_seed; ++number) {
      auto life = std::make_unique<Life>(*world_, options_);
      write(*life);
      if (random_.below(2) == 0) make_indexes();
      // Once what is committed is proven by the log too, everybody sees the same.
      for (int i = 0; i < 30; ++i) {
        for (auto& place : life->places) place.shard->turn(50 * ns_per_ms);
      }
      compare(life->board.get());
      compare(nullptr);
      if (random_.below(2) == 0) {
        for (std::uint64_t i = random_.below(200); i > 0; --i) append(*life);
      }
      auto next = world_->crash();
      life->abandon();
      life.reset();
      world_ = std::move(next);
      heads_ = {};
      compare(nullptr);
    }
    return totals_;
  }

 private:
  void append(Life& life) {
    log::Writer& writer = *life.places[random_.below(shards)].writer;
    std::vector<std::uint8_t> payload(random_.below(300));
    if (payload.size() >= 16) {
      // Some were taken long before they came.
      const WallUs now = world_->sys().wall_now();
      const std::uint64_t late = random_.below(8) == 0 ? random_.below(3'000'000) : 0;
      store_native(payload.data(), now - static_cast<WallUs>(late));
      payload[8] = static_cast<std::uint8_t>(random_.below(50));
    }
    log::RecordInfo info;
    info.kind = static_cast<log::Kind>(1 + random_.below(6));
    info.ns = random_.below(20) == 0 ? Namespace::json : Namespace::phone;
    info.message = static_cast<std::uint16_t>(random_.below(10));
    info.flags = random_.below(10) == 0 ? event::flag_duplicate : std::uint8_t{0};
    const std::string device = std::to_string(13800000000ULL + random_.below(devices));
    info.device = device;
    if (writer.has_room(payload.size() + device.size())) writer.append(info, payload);
  }
  void write(Life& life) {
    begin_us_ = std::min(begin_us_, world_->sys().wall_now());
    for (std::uint64_t turn = random_.below(60); turn > 0; --turn) {
      for (std::uint64_t i = random_.below(60); i > 0; --i) append(life);
      for (auto& place : life.places) place.shard->turn(random_.between(0, 20 * ns_per_ms));
    }
  }
  void make_indexes() {
    std::vector<log::SegmentEntry> segments;
    REQUIRE(log::list_segments(world_->sys(), data_dir + "/log", segments) >= 0);
    for (const log::SegmentEntry& segment : segments) {
      if (segment.indexed || random_.below(3) == 0) continue;
      const auto made = log::make_index(world_->sys(), data_dir + "/log", segment.name, catalogs_,
                                        [] { return true; });
      if (!made || !made->made) continue;
      ++totals_.indexes;
      times_[{segment.id.stream, segment.id.base}] = made->times;
      const std::uint64_t luck = random_.below(6);
      if (luck == 0) falsify_index(segment.name);
      if (luck == 1) damage(log::index_name_of(segment.name));
    }
    log::TimesTable told = times_;
    for (auto& [key, times] : told) {
      if (random_.below(20) != 0) continue;
      const auto by = static_cast<WallUs>(random_.below(3'000'000));
      times.first_received_us += random_.below(2) == 0 ? by : -by;
      times.last_received_us += random_.below(2) == 0 ? by : -by;
      times.epoch += random_.below(2);
    }
    REQUIRE(log::write_times(world_->sys(), data_dir + "/log", told).ok());
    if (random_.below(8) == 0) damage(std::string(log::times_file_name));
  }
  // Other bytes somewhere in a file beside the segments.
  void damage(const std::string& name) {
    const int fd = world_->sys().open(data_dir + "/log/" + name, O_RDWR, 0);
    REQUIRE(fd >= 0);
    const auto size = static_cast<std::uint64_t>(world_->sys().file_size(fd));
    for (std::uint64_t i = 1 + random_.below(3); i > 0; --i) {
      const auto byte = static_cast<std::uint8_t>(random_.below(256));
      REQUIRE(world_->sys().pwrite(fd, {&byte, 1}, random_.below(size)) == 1);
    }
    world_->sys().close(fd);
  }
  // Puts an index in place that is sound in itself, but made of records that are not there.
  void falsify_index(const std::string& name) {
    const auto file = log::SegmentFile::open(world_->sys(), data_dir + "/log/" + name);
    REQUIRE(file.ok());
    const log::SegmentHeader& header = (*file)->header();
    const std::uint64_t how = random_.below(3);
    log::IndexBuilder builder(header);
    for (Position at = header.base; at < (*file)->seal()->end;) {
      auto record = (*file)->record_at(at);
      REQUIRE(record);
      at = record->end();
      if (record->is_own()) continue;
      if (how == 0) record->header.position += 8;           // where none begins
      if (how == 1 && random_.below(9) == 0) continue;      // left out
      if (how == 2) record->header.received_us -= 500'000;  // received at another time
      builder.add(*record, catalog_.device_times(record->view()));
    }
    const auto bytes = builder.finish((*file)->seal()->end);
    const std::string index = log::index_name_of(name);
    const std::string folder = data_dir + "/log";
    REQUIRE(log::put_side_file(world_->sys(), folder, "new-" + index, index, bytes).ok());
    ++totals_.falsified;
  }

  WallUs some_time() {
    const WallUs span = std::max<WallUs>(world_->sys().wall_now() - begin_us_, 1);
    return begin_us_ + static_cast<WallUs>(random_.below(static_cast<std::uint64_t>(span)));
  }
  query::Selection some_selection() {
    query::Selection selection;
    const auto one_in = [&](std::uint64_t n) { return random_.below(n) == 0; };
    for (std::uint64_t i = one_in(2) ? 1 + random_.below(3) : 0; i > 0; --i) {
      const std::string device = std::to_string(13800000000ULL + random_.below(devices + 1));
      selection.devices.emplace_back(Namespace::phone, device);
    }
    if (one_in(3)) selection.messages = {1, static_cast<std::uint16_t>(random_.below(10))};
    if (one_in(3)) selection.add_kind(static_cast<log::Kind>(1 + random_.below(6)));
    if (one_in(2)) selection.received_from_us = some_time();
    if (one_in(2)) selection.received_to_us = some_time();
    if (one_in(4)) selection.device_from_us = some_time();
    if (one_in(4)) selection.device_to_us = some_time();
    if (one_in(5)) selection.area = query::Area{10, -1, 30, 1};
    selection.duplicates = !one_in(3);
    selection.parts = !one_in(3);
    return selection;
  }

  std::vector<Place> brute(const query::Selection& selection) {
    auto reader = log::Reader::open(world_->sys(), data_dir, {});
    REQUIRE(reader.ok());
    std::vector<Place> out;
    log::Entry entry;
    while ((*reader)->next(entry)) {
      if (!selection.matches(entry.record.view(), catalogs_)) continue;
      out.emplace_back(entry.stream, entry.record.header.position);
    }
    std::sort(out.begin(), out.end());
    return out;
  }
  std::vector<Place> ask(const query::Selection& selection, const log::CommitBoard* board) {
    auto scan = query::Scan::open({world_->sys(), data_dir, catalogs_, board, &heads_}, selection,
                                  query::OnGone::fail);
    REQUIRE_MESSAGE(scan.ok(), (scan.ok() ? std::string() : scan.error().message));
    std::vector<Place> out;
    query::Found found;
    WallUs last_us = log::no_time_before;
    for (;;) {
      const auto more = (*scan)->next(found);
      REQUIRE(more.ok());
      if (!*more) break;
      CHECK(found.record.header.received_us >= last_us);
      last_us = found.record.header.received_us;
      CHECK(selection.matches(found.record.view(), catalogs_));
      out.emplace_back(found.stream, found.record.header.position);
    }
    for (const std::string& problem : (*scan)->problems()) {
      const bool told = problem.find("its index") != std::string::npos ||
                        problem.find("segments' times") != std::string::npos;
      CHECK_MESSAGE(told, problem);
    }
    totals_.lies += (*scan)->stats().indexes_lied;
    CHECK((*scan)->stats().records_found == out.size());
    CHECK((*scan)->bytes_done() == (*scan)->bytes_total());
    std::sort(out.begin(), out.end());
    return out;
  }
  void compare(const log::CommitBoard* board) {
    for (int i = 0; i < 12; ++i) {
      const query::Selection selection = i == 0 ? query::Selection{} : some_selection();
      const auto wanted = brute(selection);
      const auto got = ask(selection, board);
      CHECK_MESSAGE(got == wanted, "selection ", i, ": ", got.size(), " found of ", wanted.size());
      ++totals_.scans;
      totals_.found += got.size();
      if (i == 0) totals_.whole_found += got.size();
    }
  }

  io::SimRandom random_;
  std::unique_ptr<io::World> world_;
  log::LogOptions options_;
  TestCatalog catalog_;
  event::CatalogSet catalogs_;
  query::Heads heads_;
  log::TimesTable times_;
  WallUs begin_us_ = log::no_time_after;
  Totals totals_;
};

}  // namespace

TEST_CASE("a scan finds what a filter over the whole log finds") {
  std::uint64_t seeds = 0;
  Totals all;
  sim::for_seeds(short_seeds, long_seeds, [&](std::uint64_t seed) {
    ++seeds;
    const Totals totals = Game(seed).play();
    all.scans += totals.scans;
    all.found += totals.found;
    all.whole_found += totals.whole_found;
    all.indexes += totals.indexes;
    all.falsified += totals.falsified;
    all.lies += totals.lies;
  });
  MESSAGE(seeds, " seeds, ", all.scans, " scans, ", all.found, " records found, ",
          all.whole_found, " by asking for all, ", all.indexes, " indexes, ", all.falsified,
          " falsified, ", all.lies, " lies found");
  if (seeds >= short_seeds) {
    CHECK(all.found > 2 * all.whole_found);
    CHECK(all.indexes > 20);
    CHECK(all.lies > all.falsified);
  }
}
