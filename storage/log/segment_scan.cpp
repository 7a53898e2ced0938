#include "storage/log/segment_scan.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "storage/log/recovery.hpp"

namespace ringgate::log {

SegmentScan::SegmentScan(std::unique_ptr<SegmentFile> file, const WantedFilter& filter,
                         Position begin, std::string problem)
    : file_(std::move(file)), filter_(filter), problem_(std::move(problem)) {
  const SegmentHeader& head = file_->header();
  const std::optional<Seal>& seal = file_->seal();
  all_ = limit_ = std::min(filter.wanted().to, seal ? seal->end : head.next_base());
  at_ = passed_ = std::max(begin, head.base);
  // Without a seal only the caller knows how far the records go.
  open_end_ = !seal && filter.wanted().to > head.next_base();
  const Position from = filter.wanted().from;
  if (from > at_ && from < limit_ && file_->record_at(from)) at_ = from;
}

SegmentScan::SegmentScan(std::unique_ptr<SegmentFile> file, const WantedFilter& filter,
                         std::vector<IndexedSpan> spans, std::uint64_t index_bytes)
    : SegmentScan(std::move(file), filter, 0, {}) {
  spans_ = std::move(spans);
  index_bytes_ = index_bytes;
  index_state_ = IndexState::good;
  passed_ = file_->header().base;
  if (!spans_.empty()) {
    limit_ = at_ = 0;
  } else {
    at_ = limit_;  // nothing in it is wanted
  }
}

bool agrees(SegmentFile& file, const Witness& witness) {
  const auto found = file.record_at(witness.position);
  return found && found->header.received_us == witness.received_us;
}

bool SegmentScan::next(Record& record) {
  if (!witnesses_.empty()) hear_witnesses();
  while (at_ < limit_ || next_span()) {
    const auto found = file_->record_at(at_);
    if (!found || found->end() > limit_) {
      if (found || !pass_damage()) at_ = limit_;
      continue;
    }
    at_ = found->end();
    if (found->header.received_us >= filter_.received_to_us()) {
      at_ = limit_;
      spans_.clear();
    } else if (filter_.takes(*found)) {
      passed_ = at_;
      record = *found;
      return true;
    }
  }
  return false;
}

// Goes to the next part that is wanted. False: there is none.
bool SegmentScan::next_span() {
  if (gone_ || span_ >= spans_.size()) return false;
  at_ = spans_[span_].begin;
  limit_ = std::min(spans_[span_].end, all_);
  if (at_ >= limit_) {
    span_ = spans_.size();
    return false;
  }
  if (span_holds()) {
    ++span_;
    return true;
  }
  go_on_without_index();
  return at_ < limit_;
}

// The index does not fit at at_.
void SegmentScan::go_on_without_index() {
  if (!file_->refresh()) {
    gone_ = true;
    at_ = limit_;
    return;
  }
  problem_ = fmt::format(
      "{}: its index does not fit it at position {}; the segment was read without it",
      file_->path(), at_);
  index_state_ = IndexState::lied;
  spans_.clear();
  at_ = passed_;
  limit_ = all_;
}

void SegmentScan::hear_witnesses() {
  const std::vector<Witness> witnesses = std::exchange(witnesses_, {});
  file_->set_window(scattered_window);
  const auto liar = std::find_if(witnesses.begin(), witnesses.end(),
                                 [&](const Witness& one) { return !agrees(*file_, one); });
  file_->set_window(scan_window + record_size_max);
  if (liar == witnesses.end()) return;
  at_ = liar->position;
  go_on_without_index();
}

bool SegmentScan::span_holds() {
  const auto first = file_->record_at(at_);
  return first && first->header.received_us == spans_[span_].received_us;
}

// Where the record due is not valid. False: nothing follows.
bool SegmentScan::pass_damage() {
  if (!file_->refresh()) {
    gone_ = true;
    return false;
  }
  if (open_end_) return false;
  if (file_->record_at(at_)) return true;  // it was being written as it was read
  const Position found = find_record(*file_, at_ + 8, limit_);
  if (problem_.empty()) {
    problem_ = describe(*file_, {at_, found, file_->header().offset_of(at_)});
  }
  at_ = found;
  return true;
}

}  // namespace ringgate::log
