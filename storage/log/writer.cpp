#include "storage/log/writer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace ringgate::log {

namespace {

constexpr std::uint32_t mark_size = record_header_size;
constexpr std::uint32_t write_slot = 0;
constexpr std::uint32_t sync_slot = 1;

std::int32_t clock_delta_ms(WallUs wall, WallUs received) {
  const std::int64_t delta = (wall - received) / 1000;
  return static_cast<std::int32_t>(std::clamp<std::int64_t>(delta, INT32_MIN, INT32_MAX));
}

}  // namespace

Writer::Writer(shard::Shard& shard, const LogOptions& options, SegmentSupply& supply)
    : shard_(shard), supply_(supply), options_(options) {
  for (Batch& batch : batches_) {
    batch.memory = aligned_memory(std::size_t{options_.batch_size} + 2 * block_size);
  }
}

Result<std::unique_ptr<Writer>> Writer::open(shard::Shard& shard, const LogOptions& options,
                                             SegmentSupply& supply) {
  const std::uint64_t size = options.segment_size;
  if (size > segment_size_max || size % block_size != 0 || options.batch_size < block_size ||
      size < records_offset + 2ULL * options.batch_size) {
    return Error{
        0, fmt::format("log.segment_size = {} is no size for a segment: it must be a multiple of "
                       "{} from {} to {}, and hold two batches of {} bytes",
                       size, block_size, segment_size_min, segment_size_max, options.batch_size)};
  }
  std::unique_ptr<Writer> writer(new Writer(shard, options, supply));
  const ShardIndex index = shard.index();
  supply.request(index, 0, 0);
  if (supply.wait(index) == SegmentSupply::Answer::failed) return supply.failure(index);
  Segment& first = writer->segments_[0];
  first.file = supply.take(index);
  ++writer->stats_.segments;
  writer->current_ = &first;
  writer->batch_used_ = 1;
  writer->begin_batch(first, 0, records_offset);
  writer->request_segment();
  shard.handle(io::Tag::log_write, *writer);
  shard.add_hook(*writer);
  return writer;
}

Writer::~Writer() {
  RG_CHECK(!in_flight_);
  if (supply_alarm_.timer.armed()) shard_.cancel(supply_alarm_.timer);
  if (mark_alarm_.timer.armed()) shard_.cancel(mark_alarm_.timer);
  if (!retired_all_) retire_all();
}

// ---- Appending ----

void Writer::put(const RecordInfo& info, Bytes payload, std::uint32_t size, std::uint64_t padded) {
  const WallUs wall = shard_.wall_now();
  const WallUs received = std::max(wall, last_received_us_);
  last_received_us_ = received;
  RecordHeader header{};
  header.size_bytes = size;
  header.position = fill_position_;
  header.received_us = received;
  header.wall_delta_ms = __builtin_expect(wall == received, 1) ? 0 : clock_delta_ms(wall, received);
  header.committed_back = static_cast<std::uint32_t>(fill_position_ - batch_begin_);
  header.link = info.link;
  header.kind = static_cast<std::uint8_t>(info.kind);
  header.ns = static_cast<std::uint8_t>(info.ns);
  header.device_size = static_cast<std::uint8_t>(info.device.size());
  header.flags = info.flags;
  header.message = info.message;
  header.serial = info.serial;
  put_record(fill_at_, header, info.device, payload, seed_);
  if (fill_records_++ == 0) fill_first_received_us_ = received;
  fill_at_ += padded;
  fill_room_ -= padded;
  fill_position_ += padded;
  stats_.record_bytes += padded;
}

// Uses the room that fill_room_ keeps back for it.
void Writer::put_mark(std::uint16_t mark) {
  RecordInfo info;
  info.kind = Kind::state;
  info.message = mark;
  const std::uint64_t room = fill_room_;
  const std::uint32_t records = fill_records_;
  put(info, {}, mark_size, mark_size);
  fill_records_ = records;
  fill_room_ = room >= mark_size ? room - mark_size : 0;
}

std::uint64_t Writer::segment_room() const {
  const std::uint64_t left = current_->file.header.next_base() - fill_position_;
  return left > mark_size ? left - mark_size : 0;
}

void Writer::set_fill_room() {
  const std::uint64_t filled = fill_position_ - batch_begin_;
  const std::uint64_t batch_room = options_.batch_size > filled ? options_.batch_size - filled : 0;
  fill_room_ = accepting_ && !stopping_ ? std::min(batch_room, segment_room()) : 0;
}

bool Writer::make_room(std::uint64_t padded) {
  RG_CHECK(padded <= record_size_max && padded <= options_.batch_size);
  if (!accepting_ || stopping_) return false;
  const bool made = padded <= segment_room() ? close_batch() : next_segment();
  return made && padded <= fill_room_;
}

// Writes down what the fill pointers know.
void Writer::finish_batch() {
  Batch& batch = fill();
  batch.used = static_cast<std::uint32_t>(fill_at_ - batch.memory.get());
  batch.records = fill_records_;
  batch.first_received_us = fill_first_received_us_;
  batch.last_received_us = last_received_us_;
}

void Writer::begin_batch(Segment& segment, Position position, std::uint64_t offset) {
  Batch& batch = fill();
  batch.segment = &segment;
  ++segment.batches;
  batch.prefix = static_cast<std::uint32_t>(offset % block_size);
  batch.file_offset = offset - batch.prefix;
  batch.used = batch.prefix;
  batch.begin = position;
  fill_at_ = batch.memory.get() + batch.prefix;
  fill_position_ = position;
  batch_begin_ = position;
  fill_records_ = 0;
  seed_ = crc_seed(segment.file.header.epoch);
  set_fill_room();
}

bool Writer::close_batch() {
  if (batch_used_ == batch_count) return false;
  finish_batch();
  const Batch& before = fill();
  ++batch_used_;
  begin_batch(*current_, fill_position_, before.file_end());
  Batch& batch = fill();
  std::memcpy(batch.memory.get(), before.memory.get() + align_down(before.used, block_size),
              batch.prefix);
  return true;
}

bool Writer::next_segment() {
  if (batch_used_ == batch_count || replacing_) return false;
  SegmentSupply::Answer answer = ask_segment();
  if (answer == SegmentSupply::Answer::failed && !waiting_next_) {
    // That was when it was made ahead of need; the disk may have recovered since.
    stats_.last_error = supply_.failure(shard_.index()).message;
    answer = ask_segment();
  }
  if (answer != SegmentSupply::Answer::ready) {
    waiting_next_ = true;
    if (answer == SegmentSupply::Answer::failed) no_segment(supply_.failure(shard_.index()));
    if (!supply_alarm_.timer.armed()) shard_.arm(supply_alarm_.timer, supply_poll);
    return false;
  }
  waiting_next_ = false;
  put_mark(end_mark);
  finish_batch();
  Segment& segment = free_segment();
  segment = Segment{};
  segment.file = supply_.take(shard_.index());
  RG_CHECK(segment.file.header.base >= fill_position_);
  ++stats_.segments;
  hurried_at_ = 0;
  current_ = &segment;
  ++batch_used_;
  begin_batch(segment, segment.file.header.base, records_offset);
  request_segment();
  return true;
}

Writer::Segment& Writer::free_segment() {
  for (Segment& segment : segments_) {
    if (segment.batches == 0 && &segment != current_) return segment;
  }
  check_failed("a writer has more segments than batches", __FILE__, __LINE__);
}

// ---- Writing ----

void Writer::before_enter() {
  if (in_flight_) return;
  if (pending() && !replacing_) submit();
  if (stopping_ && !in_flight_ && !retired_all_ && (!pending() || replacing_)) retire_all();
}

void Writer::submit() {
  if (batch_used_ == 1) close_batch();
  Batch& batch = batch_at(0);
  const std::uint64_t size = align_up(batch.used, block_size);
  if (!initialised(batch, batch.file_offset + size)) return;
  std::memset(batch.memory.get() + batch.used, 0, size - batch.used);
  const ReadySegment& file = batch.segment->file;
  flight_bytes_ = static_cast<std::uint32_t>(size);
  flight_error_ = 0;
  in_flight_ = true;
  ++generation_;
  io::Ring& ring = shard_.ring();
  const bool link_sync = options_.sync && !file.direct;
  completions_due_ = link_sync ? 2 : 1;
  if (link_sync) ring.reserve(2);
  io_uring_sqe* sqe = ring.next_sqe();
  io_uring_prep_write(sqe, file.fd, batch.memory.get(), flight_bytes_, batch.file_offset);
  if (options_.sync && file.direct) sqe->rw_flags = RWF_DSYNC;
  sqe->user_data = io::user_data(io::Tag::log_write, generation_, write_slot);
  if (link_sync) {
    sqe->flags |= IOSQE_IO_LINK;
    sqe = ring.next_sqe();
    io_uring_prep_fsync(sqe, file.fd, IORING_FSYNC_DATASYNC);
    sqe->user_data = io::user_data(io::Tag::log_write, generation_, sync_slot);
  }
  submitted_ns_ = shard_.sys().mono_now();
  if (!mark_alarm_.timer.armed()) shard_.arm(mark_alarm_.timer, commit_mark_after);
}

// Whether the batch may be written: below what the supply has initialised.
bool Writer::initialised(const Batch& batch, std::uint64_t end) {
  const ReadySegment& file = batch.segment->file;
  const std::uint64_t ready = file.progress->initialised_bytes.load(std::memory_order_acquire);
  if (ready >= file.header.size_bytes) return true;
  file.progress->wanted_bytes.store(end, std::memory_order_release);
  if (ready < end + initialise_ahead / 2 && end >= hurried_at_ + zero_step) {
    hurried_at_ = end;
    supply_.hurry();
  }
  if (end <= ready) return true;
  if (file.progress->failed.load(std::memory_order_acquire)) {
    fail_write(ENOSPC);
  } else {
    supply_.hurry();
    if (!supply_alarm_.timer.armed()) shard_.arm(supply_alarm_.timer, supply_poll);
  }
  return false;
}

void Writer::on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t) {
  if (!in_flight_ || io::generation_of(user_data) != generation_) return;
  if (io::slot_of(user_data) == write_slot) {
    if (result < 0) {
      flight_error_ = -result;
    } else if (static_cast<std::uint32_t>(result) != flight_bytes_) {
      flight_error_ = EIO;  // a short write: the disk took less than it was given
    }
  } else if (result < 0 && flight_error_ == 0) {
    flight_error_ = -result;
  }
  if (--completions_due_ == 0) finish_write();
}

void Writer::finish_write() {
  in_flight_ = false;
  stats_.last_commit_ns = shard_.sys().mono_now() - submitted_ns_;
  if (flight_error_ != 0) {
    fail_write(flight_error_);
    return;
  }
  ++stats_.commits;
  stats_.written_bytes += flight_bytes_;
  stats_.last_batch_bytes = batch_at(0).own_bytes();
  failures_in_row_ = 0;
  retry_delay_ = retry_first;
  commit_head();
  // Listeners may append: everything above is in order before they are called.
  if (!accepting_ && !replacing_ && !without_next_) set_state(true);
  shard_.watermark().advance(batch_at(0).begin);
}

void Writer::commit_head() {
  Batch& batch = batch_at(0);
  Segment& segment = *batch.segment;
  if (batch.records > 0) {
    if (segment.records == 0) segment.first_received_us = batch.first_received_us;
    segment.records += batch.records;
    segment.last_received_us = batch.last_received_us;
    stats_.records += batch.records;
  }
  const Position end = batch.end();
  batch.segment = nullptr;
  first_batch_ = (first_batch_ + 1) % batch_count;
  --batch_used_;
  if (--segment.batches == 0) retire(segment, SealKind::full, end);
}

// ---- Failure ----

void Writer::fail_write(int error) {
  ++stats_.write_failures;
  ++failures_in_row_;
  stats_.last_error =
      errno_error(error, "cannot write to the log segment " + batch_at(0).segment->file.path)
          .message;
  replacing_ = true;
  replacement_asked_ = false;
  if (failures_in_row_ == 1) {
    if (logs_ != nullptr) {
      logs_->error("a write of the log failed; its records go to another segment",
                   {{"why", stats_.last_error}});
    }
    ask_segment();
    shard_.arm(supply_alarm_.timer, supply_poll);
    return;
  }
  set_state(false);
  shard_.arm(supply_alarm_.timer, retry_delay_);
  retry_delay_ = std::min(retry_delay_ * 2, retry_longest);
}

void Writer::request_segment() {
  supply_.request(shard_.index(), current_->file.header.next_base(),
                  shard_.watermark().committed());
}

// The supply's answer to what is needed now; asks if nobody has.
SegmentSupply::Answer Writer::ask_segment() {
  const ShardIndex index = shard_.index();
  const SegmentSupply::Answer answer = supply_.poll(index);
  // What is there may still be the answer to the question before the failure.
  const bool stale = replacing_ && !replacement_asked_;
  if (answer != SegmentSupply::Answer::none && !stale) return answer;
  if (replacing_) {
    replacement_asked_ = true;
    supply_.request(index, batch_at(0).begin, shard_.watermark().committed());
  } else {
    request_segment();
  }
  return supply_.poll(index);
}

void Writer::no_segment(const Error& error) {
  stats_.last_error = error.message;
  if (!replacing_) without_next_ = true;
  set_state(false);
  shard_.arm(supply_alarm_.timer, retry_delay_);
  retry_delay_ = std::min(retry_delay_ * 2, retry_longest);
}

void Writer::set_state(bool accepting) {
  if (logs_ != nullptr && accepting != accepting_) {
    if (accepting) {
      logs_->info("the log takes records again", {{"not_taken", stats_.refused}});
    } else {
      logs_->error("the log takes nothing, so nothing is acknowledged; it is tried again",
                   {{"why", stats_.last_error}});
    }
  }
  accepting_ = accepting;
  set_fill_room();
  if (accepting) {
    shard_.watermark().set_state(flow::LogState::accepting);
  } else {
    shard_.watermark().set_state(options_.on_failure == OnFailure::refuse
                                     ? flow::LogState::refusing
                                     : flow::LogState::holding);
  }
}

void Writer::on_supply_alarm() {
  // Otherwise it only woke the shard, to look again at what is initialised.
  if (stopping_ || (!replacing_ && !waiting_next_)) return;
  switch (ask_segment()) {
    case SegmentSupply::Answer::failed:
      no_segment(supply_.failure(shard_.index()));
      return;
    case SegmentSupply::Answer::ready:
      break;
    default:
      shard_.arm(supply_alarm_.timer, supply_poll);
      return;
  }
  if (replacing_) {
    replace_segment();
    return;
  }
  without_next_ = false;
  waiting_next_ = false;
  if (!accepting_) set_state(true);
  // Callers that found no room look again when the watermark speaks.
  shard_.watermark().advance(shard_.watermark().committed());
}

// The fresh segment begins at the first record that is not durable; whatever waits for the failed
// one moves over, positions unchanged.
void Writer::replace_segment() {
  Segment& from = *batch_at(0).segment;
  const Position begin = batch_at(0).begin;
  Segment& to = free_segment();
  to = Segment{};
  to.file = supply_.take(shard_.index());
  RG_CHECK(to.file.header.base == begin);
  ++stats_.segments;
  hurried_at_ = 0;
  finish_batch();
  const Batch* before = nullptr;
  for (std::uint32_t i = 0; i < batch_used_; ++i) {
    Batch& batch = batch_at(i);
    if (batch.segment != &from) break;
    move_batch(batch, before, to);
    before = &batch;
  }
  if (current_ == &from) {
    current_ = &to;
    seed_ = crc_seed(to.file.header.epoch);
    fill_at_ = fill().memory.get() + fill().used;
  }
  retire(from, SealKind::replaced, begin);
  replacing_ = false;
  // Whoever found no room for want of a next segment asks again after this one's commit.
  waiting_next_ = without_next_ = false;
  set_fill_room();
  request_segment();
}

void Writer::move_batch(Batch& batch, const Batch* before, Segment& to) {
  const std::uint32_t own = batch.own_bytes();
  const std::uint64_t offset = to.file.header.offset_of(batch.begin);
  const auto prefix = static_cast<std::uint32_t>(offset % block_size);
  std::uint8_t* memory = batch.memory.get();
  std::memmove(memory + prefix, memory + batch.prefix, own);
  if (before != nullptr) {
    RG_CHECK(before->file_end() == offset);
    std::memcpy(memory, before->memory.get() + align_down(before->used, block_size), prefix);
  }
  batch.file_offset = offset - prefix;
  batch.prefix = prefix;
  batch.used = prefix + own;
  --batch.segment->batches;
  batch.segment = &to;
  ++to.batches;
  const std::uint32_t seed = crc_seed(to.file.header.epoch);
  for (std::uint32_t at = prefix; at < batch.used;) {
    const auto size = load_native<std::uint32_t>(memory + at + 4);
    store_native(memory + at, record_crc(seed, memory + at, size));
    at += static_cast<std::uint32_t>(padded_size(size));
  }
}

// ---- Ends ----

void Writer::retire(Segment& segment, SealKind kind, Position end) {
  RG_CHECK(segment.batches == 0);
  const Seal seal{kind, end, segment.records, segment.first_received_us, segment.last_received_us,
                  0};
  supply_.retire(std::move(segment.file), seal);
  segment = Segment{};
}

void Writer::start_stop() {
  stopping_ = true;
  fill_room_ = 0;
}

void Writer::retire_all() {
  retired_all_ = true;
  // In order; what is not durable by now was never acknowledged.
  finish_batch();
  for (std::uint32_t i = 0; i < batch_used_; ++i) {
    Segment& segment = *batch_at(i).segment;
    if (segment.file.fd < 0) continue;
    segment.batches = 0;
    retire(segment, SealKind::stopped, batch_at(i).begin);
  }
}

void Writer::on_mark_alarm() {
  const Position committed = shard_.watermark().committed();
  if (stopping_ || committed == mark_proven_) return;
  const bool idle = !in_flight_ && !pending() && committed == mark_seen_ && accepting_;
  if (idle) {
    bool marked = fill_room_ >= mark_size;
    if (marked) {
      put_mark(commit_mark);
    } else {
      marked = next_segment();  // its end mark proves as much
    }
    if (marked) {
      mark_proven_ = fill_position_;
      return;
    }
  }
  mark_seen_ = committed;
  shard_.arm(mark_alarm_.timer, commit_mark_after);
}

}  // namespace ringgate::log
