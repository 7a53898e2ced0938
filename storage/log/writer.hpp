// Appends the records of one shard to its stream of the log and makes them durable in groups: what
// is appended while one write is in flight goes out in the next. Nothing above the committed
// position may be acknowledged; shard.watermark() carries that position.
//
// Life: opened after the supply, on the shard's thread, before its first turn; ends after the shard
// has stopped. Lives on one shard. No allocation, lock or system call per record.
//
// Failure: a failed or short write moves the batch and what follows to a fresh segment, with the
// positions that were handed out. Where no segment can be had the watermark's state says so until
// one can; links and unacknowledged records are kept.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <string>

#include "engine/base/result.hpp"
#include "engine/observe/logger.hpp"
#include "engine/shard/shard.hpp"
#include "storage/log/options.hpp"
#include "storage/log/record.hpp"
#include "storage/log/supply.hpp"

namespace ringgate::log {

struct WriterStats {
  std::uint64_t records = 0;
  std::uint64_t record_bytes = 0;   // records with their headers, padded
  std::uint64_t commits = 0;        // finished writes
  std::uint64_t written_bytes = 0;  // what those writes sent to the disk
  std::uint64_t write_failures = 0;
  std::uint64_t segments = 0;  // begun
  std::uint64_t refused = 0;   // appends that got 0
  MonoNs last_commit_ns = 0;   // duration of the last write
  std::uint64_t last_batch_bytes = 0;
  std::string last_error;  // empty: none
};

class Writer final : public shard::Hook, public shard::CompletionHandler {
 public:
  // Waits for the first segment (this is start-up). Registers with the shard. Error: why there is
  // none.
  static Result<std::unique_ptr<Writer>> open(shard::Shard& shard, const LogOptions& options,
                                              SegmentSupply& supply);
  ~Writer() override;
  Writer(const Writer&) = delete;
  Writer& operator=(const Writer&) = delete;

  // Failures and their end are told there. Wiring, before the first record.
  void use_logs(observe::LogSource& logs) { logs_ = &logs; }

  // Returns the position that must be committed before anybody may be told of this record, or 0
  // where the log takes nothing now (its state, or all buffers full). `device` and `payload` are
  // copied. With its header a record fits a batch and record_size_max.
  Position append(const RecordInfo& info, Bytes payload) {
    const std::uint64_t size = record_header_size + info.device.size() + payload.size();
    const std::uint64_t padded = padded_size(size);
    if (__builtin_expect(padded > fill_room_, 0) && !make_room(padded)) {
      ++stats_.refused;
      return 0;
    }
    put(info, payload, static_cast<std::uint32_t>(size), padded);
    return fill_position_;
  }
  // Whether a record with this many bytes of device and payload would be taken now. Full buffers
  // end with the next commit; listeners of the watermark are called then.
  bool has_room(std::size_t content_bytes) {
    const std::uint64_t padded = padded_size(record_header_size + content_bytes);
    return padded <= fill_room_ || make_room(padded);
  }
  // The largest record, header included, that append and has_room may be asked for.
  std::size_t record_max() const {
    return std::min<std::size_t>(record_size_max, options_.batch_size);
  }
  // Everything appended so far lies below: what an unlogged reply waits for.
  Position appended() const { return fill_position_; }
  // Everything appended so far is durable.
  bool all_committed() const { return !in_flight_ && !pending(); }
  // A simulated crash: the ring and its operations are gone, and nothing more is written.
  void abandon() {
    in_flight_ = false;
    retired_all_ = true;
  }

  const WriterStats& stats() const { return stats_; }
  StreamId stream() const { return {supply_.run(), shard_.index()}; }

  // Links append in their before_wait; this comes after them.
  void before_enter() override;
  bool drained() const override { return all_committed(); }
  void start_stop() override;
  bool stopped() const override { return retired_all_; }
  void on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) override;

 private:
  // A segment that this writer has open. Refers to no batch once `batches` is 0.
  struct Segment {
    ReadySegment file;
    std::uint32_t batches = 0;
    std::uint64_t records = 0;  // committed, without the log's own marks
    WallUs first_received_us = 0;
    WallUs last_received_us = 0;
    bool full = false;
  };
  // Records that are written together. memory[0, prefix) repeats the tail block of what lies
  // before.
  struct Batch {
    AlignedMemory memory;
    std::uint64_t file_offset = 0;  // of memory[0], a multiple of block_size
    std::uint32_t prefix = 0;
    std::uint32_t used = 0;  // prefix included
    Position begin = 0;
    std::uint32_t records = 0;
    WallUs first_received_us = 0;
    WallUs last_received_us = 0;
    Segment* segment = nullptr;

    std::uint32_t own_bytes() const { return used - prefix; }
    Position end() const { return begin + own_bytes(); }
    std::uint64_t file_end() const { return file_offset + used; }
  };
  // Calls a member when a timer fires.
  class Alarm final : public shard::TimerHandler {
   public:
    Alarm(Writer& writer, void (Writer::*call)()) : timer(*this), writer_(writer), call_(call) {}
    void on_timer() override { (writer_.*call_)(); }
    shard::Timer timer;

   private:
    Writer& writer_;
    void (Writer::*call_)();
  };

  Writer(shard::Shard& shard, const LogOptions& options, SegmentSupply& supply);
  void put(const RecordInfo& info, Bytes payload, std::uint32_t size, std::uint64_t padded);
  void put_mark(std::uint16_t mark);
  bool make_room(std::uint64_t padded);
  bool next_segment();
  void finish_batch();
  bool close_batch();
  void begin_batch(Segment& segment, Position position, std::uint64_t offset);
  void set_fill_room();
  std::uint64_t segment_room() const;
  bool pending() const { return batch_used_ > 1 || fill_position_ > batch_begin_; }
  Batch& batch_at(std::uint32_t index) { return batches_[(first_batch_ + index) % batch_count]; }
  const Batch& batch_at(std::uint32_t index) const {
    return batches_[(first_batch_ + index) % batch_count];
  }
  Batch& fill() { return batch_at(batch_used_ - 1); }

  void submit();
  bool initialised(const Batch& batch, std::uint64_t end);
  void finish_write();
  void commit_head();
  void fail_write(int error);
  void replace_segment();
  void move_batch(Batch& batch, const Batch* before, Segment& to);
  SegmentSupply::Answer ask_segment();
  void request_segment();
  void no_segment(const Error& error);
  void set_state(bool accepting);
  void retire_all();
  void retire(Segment& segment, SealKind kind, Position end);
  Segment& free_segment();
  void on_supply_alarm();
  void on_mark_alarm();

  shard::Shard& shard_;
  SegmentSupply& supply_;
  LogOptions options_;
  observe::LogSource* logs_ = nullptr;  // null: nobody is told

  // The hot part: one cache line and a bit.
  std::uint8_t* fill_at_ = nullptr;  // where the next record goes
  std::uint64_t fill_room_ = 0;      // bytes that append may take without a look around
  Position fill_position_ = 0;       // position of the next record
  Position batch_begin_ = 0;         // of the batch being filled
  WallUs last_received_us_ = 0;
  std::uint32_t seed_ = 0;
  std::uint32_t fill_records_ = 0;
  WallUs fill_first_received_us_ = 0;
  WriterStats stats_;

  std::array<Batch, batch_count> batches_;
  std::uint32_t first_batch_ = 0;
  std::uint32_t batch_used_ = 0;  // batches in order from first_batch_; the last is being filled
  std::array<Segment, batch_count + 1> segments_;
  Segment* current_ = nullptr;  // the fill batch's

  bool in_flight_ = false;
  std::uint16_t generation_ = 0;
  std::uint32_t flight_bytes_ = 0;
  std::uint32_t completions_due_ = 0;
  int flight_error_ = 0;
  MonoNs submitted_ns_ = 0;
  std::uint64_t hurried_at_ = 0;
  std::uint32_t failures_in_row_ = 0;

  bool accepting_ = true;
  bool replacing_ = false;  // the head batch needs another segment
  bool replacement_asked_ = false;
  bool waiting_next_ = false;  // somebody found no room because the next segment was not there
  bool without_next_ = false;  // the supply could not make the next one
  bool stopping_ = false;
  bool retired_all_ = false;
  MonoNs retry_delay_ = retry_first;
  Alarm supply_alarm_{*this, &Writer::on_supply_alarm};
  Alarm mark_alarm_{*this, &Writer::on_mark_alarm};
  Position mark_seen_ = 0;    // committed position at the last look
  Position mark_proven_ = 0;  // up to here readers can prove
};

}  // namespace ringgate::log
