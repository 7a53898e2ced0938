#include "storage/log/segment_records.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "storage/log/compressed_records.hpp"
#include "storage/log/device_hash.hpp"
#include "storage/log/index.hpp"
#include "storage/log/segment_file.hpp"
#include "storage/log/segment_scan.hpp"
#include "storage/log/wanted_filter.hpp"

namespace ringgate::log {

namespace {

// Reads that a disk is told of before they are needed: 8 MiB of page cache.
constexpr std::size_t hints_ahead = 1024;
// The same, before anybody asked for the first of them: many segments may be open.
constexpr std::size_t hints_first = 512;

// Fetches the records that the index names, a batch at a time, each checked. What is not there
// as the index says makes it scan the segment.
class PickedRecords final : public SegmentRecords {
 public:
  PickedRecords(io::Sys& sys, std::unique_ptr<SegmentFile> file, const WantedFilter& filter,
                std::vector<Position> picks, std::vector<Witness> witnesses,
                std::uint64_t index_bytes)
      : sys_(sys),
        file_(std::move(file)),
        filter_(filter),
        picks_(std::move(picks)),
        witnesses_(std::move(witnesses)),
        index_bytes_(index_bytes) {
    for (const Witness& witness : witnesses_) file_->will_need(witness.position);
    hint(hints_first);
  }

  const SegmentHeader& header() const override { return file_->header(); }
  bool gone() const override { return scan_ ? scan_->gone() : gone_; }
  const std::string& problem() const override { return scan_ ? scan_->problem() : none_; }
  std::uint64_t bytes_read() const override {
    return index_bytes_ + file_->bytes_read() + (scan_ ? scan_->bytes_read() : 0);
  }
  IndexState index_state() const override {
    return lied_ ? IndexState::lied : IndexState::good;
  }

  bool next(Record& record) override {
    while (!scan_) {
      if (handed_ < batch_.size()) {
        record = batch_[handed_++];
        passed_ = record.end();
        return true;
      }
      if (gone_) return false;
      if (!witnesses_.empty()) {
        hear_witnesses();
        continue;
      }
      if (picked_ >= picks_.size()) return false;
      load_batch();
    }
    return scan_->next(record);
  }

 private:
  // All at once: a disk serves many reads in the time of one.
  void hint(std::size_t ahead) {
    for (; hinted_ < picks_.size() && hinted_ < picked_ + ahead; ++hinted_) {
      file_->will_need(picks_[hinted_]);
    }
  }

  void hear_witnesses() {
    const std::vector<Witness> witnesses = std::exchange(witnesses_, {});
    for (const Witness& witness : witnesses) {
      if (!agrees(*file_, witness)) return fall_back(witness.position);
    }
  }

  void load_batch() {
    batch_.clear();
    handed_ = 0;
    std::size_t used = 0;
    memory_.resize(picked_batch + record_size_max);
    hint(hints_ahead);
    for (; picked_ < picks_.size() && used < picked_batch; ++picked_) {
      const auto found = file_->record_at(picks_[picked_]);
      if (!found || !named(*found)) return fall_back(picks_[picked_]);
      if (!filter_.takes(*found)) continue;
      // The window moves on: the record is kept.
      Record& kept = batch_.emplace_back(*found);
      std::uint8_t* to = memory_.data() + used;
      std::memcpy(to, found->device.data(), found->device.size());
      kept.device = {reinterpret_cast<const char*>(to), found->device.size()};
      to += found->device.size();
      if (!found->payload.empty()) std::memcpy(to, found->payload.data(), found->payload.size());
      kept.payload = {to, found->payload.size()};
      used += found->header.size_bytes;
    }
  }

  // Two devices may share a hash; any other device means that the index is wrong.
  bool named(const Record& record) const {
    const std::uint64_t hash = device_hash(record.header.ns, record.device);
    const auto& devices = filter_.devices();
    const auto at =
        std::lower_bound(devices.begin(), devices.end(), hash,
                         [](const auto& entry, std::uint64_t h) { return entry.first < h; });
    return at != devices.end() && at->first == hash;
  }

  void fall_back(Position position) {
    batch_.clear();
    handed_ = 0;
    if (!file_->refresh()) {
      gone_ = true;
      return;
    }
    auto file = SegmentFile::open(sys_, file_->path());
    if (!file || (*file)->header().epoch != file_->header().epoch) {
      gone_ = true;
      return;
    }
    lied_ = true;
    scan_ = std::make_unique<SegmentScan>(
        std::move(*file), filter_, passed_,
        fmt::format("{}: its index does not fit it at position {}; the segment was read without it",
                    file_->path(), position));
  }

  io::Sys& sys_;
  std::unique_ptr<SegmentFile> file_;
  WantedFilter filter_;
  std::vector<Position> picks_;
  std::vector<Witness> witnesses_;  // until they were heard
  std::size_t picked_ = 0;
  std::size_t hinted_ = 0;  // the disk was told of those before
  std::uint64_t index_bytes_ = 0;
  std::vector<std::uint8_t> memory_;
  std::vector<Record> batch_;  // points into memory_
  std::size_t handed_ = 0;
  Position passed_ = 0;
  bool gone_ = false;
  bool lied_ = false;
  std::string none_;
  std::unique_ptr<SegmentScan> scan_;
};

// Which blocks of positions may hold what is wanted.
class Plan {
 public:
  Plan(IndexFile& index, const WantedFilter& filter) : index_(index), filter_(filter) {}

  // False: the index is damaged.
  bool bound() {
    const Wanted& wanted = filter_.wanted();
    begin_ = 0;
    end_ = index_.blocks();
    if (wanted.received_from_us > no_time_before) {
      const auto first = index_.first_block_from(wanted.received_from_us);
      if (!first) return false;
      // What was received just then may begin in the block before.
      begin_ = *first > 0 ? *first - 1 : 0;
    }
    if (wanted.received_to_us < no_time_after) {
      const auto first = index_.first_block_from(wanted.received_to_us);
      if (!first) return false;
      end_ = *first;
    }
    return true;
  }

  bool spans(Position end, std::vector<IndexedSpan>& out) {
    const Wanted& wanted = filter_.wanted();
    bool joined = false;
    for (std::uint32_t i = begin_; i < end_; ++i) {
      const auto block = index_.block(i);
      const auto after = i + 1 < index_.blocks() ? index_.block(i + 1) : IndexBlock{0, end, {}};
      if (!block || !after) return false;
      if (after->first_position <= block->first_position) continue;  // one record over all of it
      const bool take =
          block->first_position < wanted.to && after->first_position > wanted.from &&
          filter_.takes_device_times(block->device_times.first_us, block->device_times.last_us);
      if (take && joined) {
        out.back().end = after->first_position;
      } else if (take) {
        out.push_back({block->first_position, after->first_position, block->first_received_us});
      }
      joined = take;
    }
    return true;
  }

  // What shows that the blocks left out were received earlier or later: received times never fall
  // within a segment.
  bool witnesses(std::vector<Witness>& out) {
    for (const auto& [asked, number] :
         {std::pair{filter_.wanted().received_from_us > no_time_before && begin_ > 0, begin_},
          std::pair{filter_.wanted().received_to_us < no_time_after, end_}}) {
      if (!asked || number >= index_.blocks()) continue;
      const auto block = index_.block(number);
      if (!block) return false;
      out.push_back({block->first_position, block->first_received_us});
    }
    return true;
  }

  bool picks(Position base, std::vector<Position>& out) {
    for (const auto& [hash, device] : filter_.devices()) {
      if (hash == last_hash_ && !first_) continue;
      first_ = false;
      last_hash_ = hash;
      const auto places = index_.places(hash);
      if (!places) return false;
      if (!filter_.takes_device_times(places->device_times.first_us,
                                      places->device_times.last_us)) {
        continue;
      }
      for (const Position position : places->positions) {
        const std::uint64_t number = (position - base) / index_block;
        const bool near = number >= begin_ && number < end_;
        if (near && position >= filter_.wanted().from && position < filter_.wanted().to &&
            timely(static_cast<std::uint32_t>(number))) {
          out.push_back(position);
        }
      }
    }
    std::sort(out.begin(), out.end());
    return true;
  }

 private:
  // A block that can't be read is taken: its records speak for themselves.
  bool timely(std::uint32_t number) {
    if (filter_.any_device_time()) return true;
    const auto block = index_.block(number);
    return !block ||
           filter_.takes_device_times(block->device_times.first_us, block->device_times.last_us);
  }

  IndexFile& index_;
  const WantedFilter& filter_;
  std::uint32_t begin_ = 0;
  std::uint32_t end_ = 0;
  std::uint64_t last_hash_ = 0;
  bool first_ = true;
};

bool wants_all(const WantedFilter& filter) {
  const Wanted& wanted = filter.wanted();
  return filter.devices().empty() && filter.any_device_time() &&
         wanted.received_from_us == no_time_before && wanted.received_to_us == no_time_after &&
         wanted.from == 0 && wanted.to == ~Position{0};
}

// Null: the index is of no use; `state` says why.
std::unique_ptr<SegmentRecords> open_indexed(io::Sys& sys, std::unique_ptr<SegmentFile>& file,
                                             const WantedFilter& filter, IndexState& state) {
  const SegmentHeader& header = file->header();
  const Position end = file->seal()->end;
  auto index = IndexFile::open(sys, index_name_of(file->path()), header, end);
  state = IndexState::damaged;
  if (!index && index.error().code == ENOENT) state = IndexState::none;
  if (!index) return nullptr;
  Plan plan(**index, filter);
  if (!plan.bound()) return nullptr;
  if ((*index)->records() != file->seal()->records) {
    state = IndexState::lied;
    return nullptr;
  }
  std::vector<Witness> witnesses;
  if (!plan.witnesses(witnesses)) return nullptr;
  if (filter.devices().empty()) {
    std::vector<IndexedSpan> spans;
    if (!plan.spans(end, spans)) return nullptr;
    state = IndexState::good;
    auto scan = std::make_unique<SegmentScan>(std::move(file), filter, std::move(spans),
                                              (*index)->bytes_read());
    scan->set_witnesses(std::move(witnesses));
    return scan;
  }
  std::vector<Position> picks;
  if (!plan.picks(header.base, picks)) return nullptr;
  state = IndexState::good;
  // So many of them that reading on is less work than reading each.
  const bool dense = picks.size() > 64 && (picks.back() - picks.front()) / picks.size() <
                                              scattered_window;
  if (dense) {
    auto sequential = SegmentFile::open(sys, file->path());
    if (!sequential || (*sequential)->header().epoch != header.epoch) return nullptr;
    file = std::move(*sequential);
  }
  return std::make_unique<PickedRecords>(sys, std::move(file), filter, std::move(picks),
                                         std::move(witnesses), (*index)->bytes_read());
}

Result<std::unique_ptr<SegmentRecords>> open_compressed(io::Sys& sys,
                                                        std::unique_ptr<SegmentFile> file,
                                                        const WantedFilter& filter) {
  auto segment = CompressedSegment::open(sys, file->path());
  if (!segment) return segment.error();
  if (filter.devices().empty()) {
    const std::uint64_t read = (*segment)->bytes_read();
    return std::unique_ptr<SegmentRecords>(
        new SegmentScan(std::move(file), filter, wanted_chunks(**segment, filter), read));
  }
  return std::unique_ptr<SegmentRecords>(
      new CompressedRecords(sys, file->path(), std::move(*segment), filter));
}

}  // namespace

Result<std::unique_ptr<SegmentRecords>> SegmentRecords::open(io::Sys& sys, const std::string& path,
                                                             const Wanted& wanted) {
  // For some devices: through the page cache, where heads and indexes asked for before still lie.
  const bool few = !wanted.devices.empty();
  auto file = SegmentFile::open(sys, path, few ? Access::scattered : Access::sequential);
  if (!file) return file.error();
  const WantedFilter filter(wanted);
  if ((*file)->compressed()) return open_compressed(sys, std::move(*file), filter);
  IndexState state = IndexState::none;
  if ((*file)->seal() && !wants_all(filter)) {
    if (auto indexed = open_indexed(sys, *file, filter, state)) return indexed;
  }
  if (few || !*file) file = SegmentFile::open(sys, path);
  if (!file) return file.error();
  std::string problem;
  if (state == IndexState::lied) {
    problem = fmt::format("{}: its index is of other records; the segment was read without it",
                          (*file)->path());
  }
  auto scan = std::make_unique<SegmentScan>(std::move(*file), filter, 0, std::move(problem));
  scan->set_index_state(state);
  return std::unique_ptr<SegmentRecords>(std::move(scan));
}

}  // namespace ringgate::log
