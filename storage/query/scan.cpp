#include "storage/query/scan.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "storage/log/data_dir.hpp"
#include "storage/log/node_file.hpp"
#include "storage/query/directory.hpp"
#include "storage/query/scan_source.hpp"

namespace ringgate::query {

// ---- Heads ----

bool Heads::check(const log::SegmentKey& key, const log::SegmentHeader& header,
                  const log::Seal& seal) {
  const auto [at, fresh] = times_.try_emplace(key);
  const bool fits = !fresh && at->second.is.fits(header, seal);
  if (!fits) at->second = {log::times_of(header, seal, {}), false, false};
  at->second.checked = true;
  return fresh || fits;
}

void Heads::learn(const log::TimesTable& table) {
  for (const auto& [key, told] : table) {
    const auto [at, fresh] = times_.try_emplace(key, Times{told, true, false});
    Times& times = at->second;
    if (fresh || times.device_times_known || times.is.epoch != told.epoch) continue;
    times.is.device_times = told.device_times;
    times.device_times_known = true;
  }
}

void Heads::distrust() {
  std::erase_if(times_, [](const auto& one) { return !one.second.checked; });
  for (auto& [key, times] : times_) times.device_times_known = false;
}

// ---- The scan ----

namespace {

// Earliest first, for std heaps.
constexpr auto later = [](const Source* a, const Source* b) {
  return a->due_us() != b->due_us() ? a->due_us() > b->due_us() : a->stream() > b->stream();
};

class LogScan final : public Scan {
 public:
  LogScan(const Parts& parts, const Selection& selection, OnGone on_gone, const log::NodeId& node)
      : node_(node),
        data_dir_(parts.data_dir),
        selection_(selection),
        directory_(parts.sys, parts.data_dir),
        parts_{parts.sys,
               directory_,
               selection_,
               parts.catalogs,
               parts.board,
               on_gone,
               parts.heads != nullptr ? *parts.heads : own_heads_,
               {},
               0,
               0,
               {},
               parts.keep_going} {
    parts_.index_lied = parts.index_lied;
    parts_.pause = parts.pause;
  }

  Result<void> begin();
  const log::NodeId& node() const override { return node_; }
  Result<bool> next(Found& found) override;
  bool paused() const override { return parts_.paused; }
  const ScanStats& stats() const override { return parts_.stats; }
  const std::vector<std::string>& problems() const override { return parts_.problems; }
  std::uint64_t bytes_done() const override { return parts_.bytes_done; }
  std::uint64_t bytes_total() const override { return parts_.bytes_total; }

 private:
  void queue(Source& source);
  void learn_times();

  log::NodeId node_;
  std::string data_dir_;
  Selection selection_;
  Directory directory_;
  Heads own_heads_;
  SourceParts parts_;
  std::vector<std::unique_ptr<Source>> sources_;
  std::vector<Source*> heap_;
  Source* last_ = nullptr;  // whose record next() handed out
};

Result<void> LogScan::begin() {
  // Twice: the first may miss a segment that is being compressed.
  for (int i = 0; i < 2; ++i) {
    if (const int result = directory_.list(); result < 0) {
      return errno_error(-result, "cannot list the log's directory");
    }
  }
  std::set<log::SegmentKey> known;
  for (const auto& [id, segments] : directory_.streams()) {
    KnownSegments there;
    for (const KnownSegment& segment : segments) {
      there.push_back(segment);
      known.insert({id, segment.base});
      parts_.stats.log_bytes += segment.file_bytes;
      ++parts_.stats.segments;
    }
    if (!there.empty()) {
      sources_.push_back(std::make_unique<Source>(parts_, id, std::move(there)));
    }
  }
  parts_.heads.keep([&](const log::SegmentKey& key) { return known.contains(key); });
  parts_.bytes_total = parts_.stats.log_bytes;
  learn_times();
  for (const auto& source : sources_) {
    if (auto begun = source->begin(); !begun) return begun.error();
    source->leave_out_late();
  }
  for (const auto& source : sources_) {
    source->open_ahead();
    queue(*source);
  }
  return {};
}

// Reads the file of times, where it may tell something new. Without one segments tell themselves.
void LogScan::learn_times() {
  const bool by_device_time = selection_.device_from_us != log::no_time_before ||
                              selection_.device_to_us != log::no_time_after;
  const bool by_time = by_device_time || selection_.received_from_us != log::no_time_before ||
                       selection_.received_to_us != log::no_time_after;
  if (!by_time) return;
  bool all_known = true;
  for (const auto& [id, segments] : directory_.streams()) {
    const bool live = parts_.board != nullptr && parts_.board->run() == id.run;
    for (std::size_t i = 0; i + 1 < segments.size(); ++i) {
      // The last one may be growing, and those before it while the next one has nothing: nobody has
      // their times.
      if (live && parts_.board->committed(id) <= segments[i + 1].base) break;
      const Heads::Times* times = parts_.heads.find({id, segments[i].base});
      all_known &= times != nullptr && (times->device_times_known || !by_device_time);
    }
  }
  if (all_known) return;
  const auto table = log::read_times(parts_.sys, data_dir_ + "/log", parts_.stats.bytes_read);
  if (table) parts_.heads.learn(*table);
}

void LogScan::queue(Source& source) {
  if (source.done()) return;
  heap_.push_back(&source);
  std::push_heap(heap_.begin(), heap_.end(), later);
}

Result<bool> LogScan::next(Found& found) {
  parts_.paused = false;
  if (last_ != nullptr) {
    Source& source = *std::exchange(last_, nullptr);
    if (auto loaded = source.load(); !loaded) return loaded.error();
    queue(source);
  }
  while (!heap_.empty() && !parts_.stopped && !parts_.paused) {
    std::pop_heap(heap_.begin(), heap_.end(), later);
    Source& source = *heap_.back();
    heap_.pop_back();
    if (source.loaded()) {
      found = {source.stream(), source.record()};
      last_ = &source;
      return true;
    }
    if (auto loaded = source.load(); !loaded) return loaded.error();
    queue(source);
  }
  return false;
}

}  // namespace

Result<std::unique_ptr<Scan>> Scan::open(const Parts& parts, const Selection& selection,
                                         OnGone on_gone) {
  const auto node = log::read_node(parts.sys, parts.data_dir);
  if (!node) return node.error();
  auto scan = std::make_unique<LogScan>(parts, selection, on_gone, *node);
  if (auto begun = scan->begin(); !begun) return begun.error();
  return std::unique_ptr<Scan>(std::move(scan));
}

}  // namespace ringgate::query
