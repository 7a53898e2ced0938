#include "storage/log/segment_records.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>
#include <vector>

#include "storage/log/recovery.hpp"
#include "storage/log/segment_file.hpp"
#include "storage/log/wanted_filter.hpp"

namespace ringgate::log {

namespace {

// Walks a segment from record to record.
class SegmentScan final : public SegmentRecords {
 public:
  SegmentScan(std::unique_ptr<SegmentFile> file, const Wanted& wanted)
      : file_(std::move(file)), filter_(wanted) {
    const SegmentHeader& head = file_->header();
    const std::optional<Seal>& seal = file_->seal();
    limit_ = std::min(wanted.to, seal ? seal->end : head.next_base());
    at_ = head.base;
    // Without a seal only the caller knows how far the records go.
    open_end_ = !seal && wanted.to > head.next_base();
  }

  const SegmentHeader& header() const override { return file_->header(); }
  bool gone() const override { return gone_; }
  const std::string& problem() const override { return problem_; }
  std::uint64_t bytes_read() const override { return file_->bytes_read(); }

  bool next(Record& record) override {
    while (at_ < limit_) {
      const auto found = file_->record_at(at_);
      if (!found || found->end() > limit_) {
        if (found || !pass_damage()) at_ = limit_;
        continue;
      }
      at_ = found->end();
      if (found->header.received_us >= filter_.received_to_us()) {
        at_ = limit_;
      } else if (filter_.takes(*found)) {
        record = *found;
        return true;
      }
    }
    return false;
  }

 private:
  // Where the record due is not valid. False: nothing follows.
  bool pass_damage() {
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

  std::unique_ptr<SegmentFile> file_;
  WantedFilter filter_;
  Position at_ = 0;
  Position limit_ = 0;
  bool open_end_ = false;
  bool gone_ = false;
  std::string problem_;
};

}  // namespace

Result<std::unique_ptr<SegmentRecords>> SegmentRecords::open(io::Sys& sys, const std::string& path,
                                                             const Wanted& wanted) {
  auto file = SegmentFile::open(sys, path);
  if (!file) return file.error();
  return std::unique_ptr<SegmentRecords>(new SegmentScan(std::move(*file), wanted));
}

}  // namespace ringgate::log
