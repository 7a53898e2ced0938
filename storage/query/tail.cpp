#include "storage/query/tail.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "storage/log/data_dir.hpp"
#include "storage/log/node_file.hpp"
#include "storage/query/follower.hpp"
#include "storage/query/limits.hpp"

namespace ringgate::query {

namespace {

// Earliest first, for std heaps.
constexpr auto later = [](const Follower* a, const Follower* b) {
  const WallUs a_us = a->record().header.received_us;
  const WallUs b_us = b->record().header.received_us;
  return a_us != b_us ? a_us > b_us : a->stream() > b->stream();
};

// Goes run by run: a run gets no more data once there is a newer one, and runs follow one another
// in time.
class LogTail final : public Tail {
 public:
  LogTail(const Scan::Parts& parts, const Selection& selection, const log::NodeId& node)
      : sys_(parts.sys),
        node_(node),
        selection_(selection),
        directory_(parts.sys, parts.data_dir),
        parts_{parts.sys, directory_, selection_, parts.catalogs, parts.board, 0, {}} {}

  const log::NodeId& node() const override { return node_; }
  bool next(Found& found) override;
  bool refresh() override;
  log::Cursor cursor() const override;
  Result<void> seek(const TailStart& start) override;
  Lag lag() const override;
  std::uint64_t lost_bytes() const override { return parts_.lost_bytes; }
  const std::vector<std::string>& problems() const override { return parts_.problems; }

 private:
  using Streams = std::map<log::StreamId, KnownSegments>;
  void count_vanished(std::uint32_t run);
  void begin_run(std::uint32_t run);
  std::uint32_t run_to_come() const;
  bool next_run();
  bool take_new_streams(bool counts_loss);
  void fill_heap();
  bool hand_out(Follower& follower, Found& found);

  io::Sys& sys_;
  log::NodeId node_;
  Selection selection_;
  Directory directory_;
  FollowerParts parts_;
  log::Cursor start_;            // where streams begin that have no follower yet
  bool from_beginning_ = false;  // the oldest there is, whatever went before
  std::uint32_t run_ = 0;        // that is being read; 0: none is there yet
  std::map<log::StreamId, std::unique_ptr<Follower>> followers_;
  std::vector<Follower*> heap_;
  Follower* last_ = nullptr;  // whose record next() handed out
};

// Whole streams that were taken away before their turn.
void LogTail::count_vanished(std::uint32_t run) {
  for (const auto& [id, end] : directory_.ends()) {
    const bool passed = id.run <= run_ || id.run >= run || directory_.find(id) != nullptr;
    if (!passed && run_ != 0) parts_.lose(id, start_.start_of(id).value_or(0), end);
  }
}

void LogTail::begin_run(std::uint32_t run) {
  RG_CHECK(last_ == nullptr);
  count_vanished(run);
  directory_.forget_ends_below(run);
  heap_.clear();
  followers_.clear();
  run_ = run;
  start_.finish_runs_below(run);
  take_new_streams(!from_beginning_);
  from_beginning_ = false;
}

bool LogTail::take_new_streams(bool counts_loss) {
  const std::size_t before = followers_.size();
  for (const auto& [id, segments] : directory_.streams()) {
    if (id.run != run_ || followers_.contains(id)) continue;
    const Position start = start_.start_of(id).value_or(0);
    followers_.emplace(id, std::make_unique<Follower>(parts_, id, start, counts_loss));
  }
  return followers_.size() > before;
}

void LogTail::fill_heap() {
  heap_.clear();
  for (const auto& [id, follower] : followers_) {
    if (follower.get() == last_ || !follower->load()) continue;
    heap_.push_back(follower.get());
  }
  std::make_heap(heap_.begin(), heap_.end(), later);
}

// The run to read after this one; 0: none is there yet.
std::uint32_t LogTail::run_to_come() const {
  if (run_ != 0) return directory_.run_after(run_);
  return directory_.run_after(std::max(start_.done_runs_below(), 1U) - 1);
}

// Goes on to the next run where this one was read to its end. True: there may be records.
bool LogTail::next_run() {
  if (last_ != nullptr || !heap_.empty()) return false;
  const std::uint32_t run = run_to_come();
  if (run == 0) return false;
  // A listing that a follower asked for may have shown more.
  if (take_new_streams(true)) {
    fill_heap();
    return true;
  }
  for (const auto& [id, follower] : followers_) {
    if (!follower->finished()) return false;
  }
  begin_run(run);
  fill_heap();
  return true;
}

bool LogTail::hand_out(Follower& follower, Found& found) {
  found = {follower.stream(), follower.record()};
  last_ = &follower;
  return true;
}

bool LogTail::next(Found& found) {
  if (last_ != nullptr) {
    Follower& follower = *std::exchange(last_, nullptr);
    follower.pass();
    if (follower.load()) {
      if (heap_.empty() || !later(&follower, heap_.front())) return hand_out(follower, found);
      heap_.push_back(&follower);
      std::push_heap(heap_.begin(), heap_.end(), later);
    }
  }
  do {
    if (heap_.empty()) continue;
    std::pop_heap(heap_.begin(), heap_.end(), later);
    Follower& follower = *heap_.back();
    heap_.pop_back();
    return hand_out(follower, found);
  } while (next_run());
  return false;
}

bool LogTail::refresh() {
  const MonoNs pause = std::max(list_every, directory_.listing_took_ns() * list_share);
  const bool listed = run_ == 0 || sys_.mono_now() - directory_.listed_ns() >= pause;
  if (listed) {
    if (directory_.list() < 0) return false;
    take_new_streams(true);
  }
  for (const auto& [id, follower] : followers_) follower->look(listed);
  fill_heap();
  return true;
}

log::Cursor LogTail::cursor() const {
  log::Cursor cursor = start_;
  for (const auto& [id, follower] : followers_) cursor.set(id, follower->at());
  return cursor;
}

Result<void> LogTail::seek(const TailStart& start) {
  // Twice, since the first may miss a segment that is being renamed.
  if (directory_.list() < 0 || directory_.list() < 0) {
    return Error{0, "the log's directory can't be listed"};
  }
  const std::uint32_t newest = directory_.newest_run();
  log::Cursor from;
  if (start.where == TailStart::Where::cursor) {
    from = start.cursor;
    for (const auto& [id, position] : from.positions()) {
      if (id.run <= newest && position % 8 == 0) continue;
      return Error{0, fmt::format("{}-{}/{} is no place of this log, whose newest run is {}",
                                  id.run, id.shard, position, newest)};
    }
    if (newest != 0 && from.done_runs_below() > newest) {
      return Error{0, fmt::format("the cursor has passed all runs below {}, and this log's newest "
                                  "is {}",
                                  from.done_runs_below(), newest)};
    }
  } else if (start.where == TailStart::Where::end) {
    from.finish_runs_below(newest);
  }
  last_ = nullptr;
  heap_.clear();
  followers_.clear();
  run_ = 0;
  start_ = from;
  from_beginning_ = start.where != TailStart::Where::cursor;
  if (const std::uint32_t run = run_to_come(); run != 0) begin_run(run);
  for (const auto& [id, follower] : followers_) {
    if (start.where == TailStart::Where::end) follower->pass_all();
  }
  fill_heap();
  return {};
}

Lag LogTail::lag() const {
  Lag lag;
  for (const auto& [id, follower] : followers_) lag.bytes += follower->behind_bytes();
  const Streams& streams = directory_.streams();
  for (auto at = streams.upper_bound({run_, ShardIndex{0xffff}}); at != streams.end(); ++at) {
    const auto& [id, segments] = *at;
    if (parts_.board != nullptr && parts_.board->run() == id.run) {
      lag.bytes += parts_.board->committed(id);
    } else {
      lag.bytes += segments.back().base - segments.front().base;
    }
  }
  const Follower* oldest = last_;
  if (oldest == nullptr && !heap_.empty()) oldest = heap_.front();
  if (oldest != nullptr) lag.oldest_us = oldest->record().header.received_us;
  return lag;
}

}  // namespace

Result<std::unique_ptr<Tail>> Tail::open(const Scan::Parts& parts, const Selection& selection,
                                         const TailStart& start) {
  const auto node = log::read_node(parts.sys, parts.data_dir);
  if (!node) return node.error();
  auto tail = std::make_unique<LogTail>(parts, selection, *node);
  if (auto sought = tail->seek(start); !sought) return sought.error();
  return std::unique_ptr<Tail>(std::move(tail));
}

}  // namespace ringgate::query
