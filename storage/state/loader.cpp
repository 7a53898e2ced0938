#include "storage/state/loader.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "storage/log/segment_list.hpp"
#include "storage/log/segment_records.hpp"
#include "storage/state/covered.hpp"
#include "storage/state/records.hpp"
#include "storage/state/snapshot.hpp"

namespace ringgate::state {

namespace {

class Loader {
 public:
  Loader(io::Sys& sys, const std::string& data_dir, const log::NodeId& node,
         std::vector<flow::Budget>& budgets)
      : sys_(sys), data_dir_(data_dir), node_(node), budgets_(budgets) {
    make_tables();
  }

  Result<Loaded> run() {
    take_snapshot();
    if (auto read = read_log(); !read) return read.error();
    return std::move(out_);
  }

 private:
  void make_tables() {
    out_.tables.clear();
    for (flow::Budget& budget : budgets_) out_.tables.push_back(std::make_unique<Table>(budget));
  }

  bool apply_to_home(const event::RecordView& record) {
    if (!DeviceKey::fits(record.device)) return false;
    const auto shards = static_cast<unsigned>(budgets_.size());
    const ShardIndex home = home_shard({record.ns, record.device}, shards);
    return apply(record, *out_.tables[home]);
  }

  void take_snapshot() {
    const std::string directory = data_dir_ + "/state";
    const std::vector<std::string> names = list_snapshots(sys_, directory);
    for (const std::string& name : names) {
      out_.from_snapshot = 0;
      const auto cursor =
          read_snapshot(sys_, directory + "/" + name, node_, [&](const event::RecordView& record) {
            ++out_.from_snapshot;
            if (!apply_to_home(record)) ++out_.not_understood;
          });
      if (cursor) {
        out_.snapshot = name;
        // What had not changed since was noted beside it.
        const auto later = read_covered(sys_, directory, node_, name);
        out_.covered = later ? *later : *cursor;
        return;
      }
      out_.problems.push_back(cursor.error().message);
      make_tables();
    }
    out_.from_snapshot = 0;
  }

  Result<void> read_log() {
    std::vector<log::SegmentEntry> segments;
    const std::string directory = data_dir_ + "/log";
    const int listed = log::list_segments(sys_, directory, segments);
    if (listed < 0) return errno_error(-listed, directory);
    // Runs follow one another, and a device is in one stream of a run.
    for (std::size_t i = 0; i < segments.size(); ++i) {
      const log::StreamId stream = segments[i].id.stream;
      const auto from = out_.covered.start_of(stream);
      if (!from) continue;
      const bool last = i + 1 == segments.size() || segments[i + 1].id.stream != stream;
      if (!last && segments[i + 1].id.base <= *from) continue;
      read_segment(directory + "/" + segments[i].name, *from);
    }
    return {};
  }

  void read_segment(const std::string& path, Position from) {
    log::Wanted wanted;
    wanted.from = from;
    auto records = log::SegmentRecords::open(sys_, path, wanted);
    if (!records) return out_.problems.push_back(records.error().message);
    log::Record record;
    while ((*records)->next(record)) {
      if (record.kind() != log::Kind::state || record.is_own()) continue;
      ++out_.from_log;
      if (!apply_to_home(record.view())) ++out_.not_understood;
    }
    out_.log_bytes += (*records)->bytes_read();
    if (!(*records)->problem().empty()) out_.problems.push_back((*records)->problem());
  }

  io::Sys& sys_;
  const std::string& data_dir_;
  const log::NodeId& node_;
  std::vector<flow::Budget>& budgets_;
  Loaded out_;
};

}  // namespace

Result<Loaded> load(io::Sys& sys, const std::string& data_dir, const log::NodeId& node,
                    std::vector<flow::Budget>& budgets) {
  return Loader(sys, data_dir, node, budgets).run();
}

}  // namespace ringgate::state
