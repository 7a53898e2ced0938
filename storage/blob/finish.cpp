// Uploads: from the last byte to the record in the log, and every other end.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "storage/blob/metadata.hpp"
#include "storage/blob/shard_store.hpp"

namespace ringgate::blob {

namespace {

constexpr MonoNs tick = 100 * ns_per_ms;
constexpr std::uint32_t index_bits = 28;
constexpr std::uint32_t index_mask = (1U << index_bits) - 1;

// What the first bytes say, against what was declared. A text is only a guess: it names nothing
// that was declared as something else.
void settle_content(const UploadInfo& info, Bytes head, Stored& stored) {
  const Content found = recognise(head);
  stored.mismatch = info.size_bytes > 0 && !agrees(info.declared, found);
  const bool guess = found == Content::text && info.declared != Content::unknown;
  stored.content = found == Content::unknown || guess ? info.declared : found;
  if (stored.content == Content::unknown) stored.content = Content::binary;
}

}  // namespace

// ---- The loop's calls ----

// Whatever a call or a completion has changed is acted upon here, before the ring is entered.
void Store::schedule(Upload& upload) {
  if (upload.scheduled) return;
  upload.scheduled = true;
  scheduled_.push_back(upload.slot);
  shard_.stay_awake();
}

void Store::before_wait() {
  if (!room_list_.empty()) tell_room();
  // What progress schedules anew waits for the next turn.
  const std::size_t count = scheduled_.size();
  for (std::size_t i = 0; i < count; ++i) {
    Upload& upload = uploads_[scheduled_[i]];
    upload.scheduled = false;
    if (upload.stage != Stage::free) progress(upload);
  }
  scheduled_.erase(scheduled_.begin(), scheduled_.begin() + static_cast<std::ptrdiff_t>(count));
  if (stopping_) settle_stop();
}

void Store::before_enter() { sync_directories(); }

void Store::on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t) {
  const std::uint32_t slot = io::slot_of(user_data);
  switch (static_cast<Op>(slot >> index_bits)) {
    case Op::write:
      return on_written(slot & index_mask, result);
    case Op::sync:
      return on_synced(uploads_[slot & index_mask], result);
    case Op::note:
      return on_noted(slot & index_mask, result);
    case Op::directory:
      return on_directory(result);
  }
}

void Store::on_timer() {
  const MonoNs now = shard_.now();
  for (Upload& upload : uploads_) {
    if (upload.stage != Stage::taking || upload.failure != Failure::none) continue;
    if (upload.gather != none && now - buffers_[upload.gather].touched_ns >= gather_longest) {
      flush(upload);
    }
    if (upload.unnoted_since_ns != 0 && now - upload.unnoted_since_ns >= note_after) {
      want_note(upload);
    }
  }
  if (open_ > 0) shard_.arm(timer_, tick);
}

void Store::on_commit(Position committed) {
  while (!waiting_.empty() && waiting_.front().position <= committed) {
    Upload& upload = uploads_[waiting_.front().slot];
    waiting_.pop_front();
    finish(upload);
  }
  retry_listing();
}

void Store::on_log_state(flow::LogState state) {
  if (state == flow::LogState::accepting) retry_listing();
}

// ---- What an owner asks for ----

void Store::commit(UploadId id) {
  Upload* upload = find(id);
  if (upload == nullptr) return;
  upload->goal = Goal::store;
  schedule(*upload);
}

void Store::suspend(UploadId id) {
  Upload* upload = find(id);
  if (upload == nullptr) return;
  upload->owner = nullptr;
  ++upload->generation;
  if (upload->goal == Goal::store) return;  // all is there: it is stored without its owner
  upload->goal = upload->info.resume_key.empty() ? Goal::discard : Goal::suspend;
  schedule(*upload);
}

void Store::discard(UploadId id) {
  Upload* upload = find(id);
  if (upload == nullptr) return;
  upload->owner = nullptr;
  ++upload->generation;
  upload->goal = Goal::discard;
  schedule(*upload);
}

// ---- Towards the goal ----

void Store::progress(Upload& upload) {
  if (upload.failure != Failure::none) return end_failed(upload);
  if (upload.stage == Stage::already) {
    if (upload.goal == Goal::none) return;
    UploadOwner* owner = upload.goal == Goal::store ? upload.owner : nullptr;
    const UploadId id = id_of(upload);
    const Stored stored = upload.stored;
    end(upload);
    if (owner != nullptr) owner->on_stored(id, stored);
    return;
  }
  if (upload.stage != Stage::taking) return;
  if (upload.due && upload.goal != Goal::discard) flush(upload);
  if (!upload.busy && upload.goal != Goal::none) progress_goal(upload);
}

void Store::progress_goal(Upload& upload) {
  if (upload.goal == Goal::note) return start_sync(upload);
  if (upload.goal == Goal::discard) drop_gather(upload);
  if (upload.gather != none) flush(upload);
  if (upload.gather != none || upload.in_flight > 0) return;
  const bool fresh = upload.written.bytes() != upload.noted_bytes;
  switch (upload.goal) {
    case Goal::store:
      if (!upload.written.whole(upload.info.size_bytes)) {
        return fail(upload, Failure::disk_error, 0, "committed with bytes missing");
      }
      return upload.synced ? name_file(upload) : start_sync(upload);
    case Goal::suspend:
      if (fresh) return start_sync(upload);
      if (upload.has_note) {
        upload.reserved = false;  // goes on counting, with its note
      } else {
        remove_files(upload);
      }
      close_files(upload);
      return end(upload);
    default:
      remove_files(upload);
      close_files(upload);
      return end(upload);
  }
}

void Store::fail(Upload& upload, Failure why, int error, std::string_view what) {
  if (upload.failure != Failure::none) return;
  upload.failure = why;
  logs_.warn("upload failed", {{"blob", upload.id},
                               {"device", upload.info.device.id()},
                               {"why", name_of(why)},
                               {"what", what},
                               {"errno", error}});
  schedule(upload);
}

// When nothing of it is outstanding any more.
void Store::end_failed(Upload& upload) {
  drop_gather(upload);
  if (upload.in_flight > 0 || upload.busy) return;
  counters_.failed.add(upload.failure);
  const UploadId id = id_of(upload);
  const Failure why = upload.failure;
  UploadOwner* owner = upload.owner;
  // A record that may be durable must find its file.
  if (upload.stage != Stage::waiting) remove_files(upload);
  close_files(upload);
  end(upload);
  if (owner != nullptr) owner->on_failed(id, why);
}

// ---- Writes and syncs ----

void Store::on_written(std::uint32_t index, std::int32_t result) {
  Buffer& buffer = buffers_[index];
  Upload& upload = uploads_[buffer.upload];
  RG_CHECK(upload.in_flight > 0);
  --upload.in_flight;
  upload.synced = false;
  if (result < 0 || static_cast<std::uint32_t>(result) != buffer.write_bytes) {
    // A short write: the disk took less than it was given, as a full one does.
    const int error = result < 0 ? -result : ENOSPC;
    fail(upload, error == ENOSPC ? Failure::disk_full : Failure::disk_error, error, "write");
  } else {
    for (std::uint32_t at = index; at != none; at = buffers_[at].next) {
      const Buffer& part = buffers_[at];
      upload.written.add_checked(part.offset, part.offset + part.used, part.crc32c);
    }
    if (upload.unnoted_since_ns == 0) upload.unnoted_since_ns = shard_.now();
    if (upload.written.bytes() - upload.noted_bytes >= note_after_bytes) want_note(upload);
  }
  give_back(index);
  schedule(upload);
}

void Store::want_note(Upload& upload) {
  if (upload.goal != Goal::none || upload.info.resume_key.empty()) return;
  upload.goal = Goal::note;
  schedule(upload);
}

void Store::start_sync(Upload& upload) {
  upload.busy = true;
  upload.durable = upload.goal == Goal::store ? Ranges{} : upload.written;
  upload.synced = upload.goal == Goal::store;
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  io_uring_prep_fsync(sqe, upload.fd, IORING_FSYNC_DATASYNC);
  sqe->user_data = data_of(Op::sync, upload.slot);
}

void Store::on_synced(Upload& upload, std::int32_t result) {
  upload.busy = false;
  if (result < 0) {
    fail(upload, Failure::disk_error, -result, "sync");
  } else if (!upload.synced && (upload.goal == Goal::note || upload.goal == Goal::suspend)) {
    upload.busy = true;
    note_list_.push_back(upload.slot);
    next_note();
  }
  schedule(upload);
}

// ---- Notes ----

void Store::next_note() {
  for (NoteSlot& slot : notes_) {
    if (note_list_.empty()) return;
    if (slot.upload != none) continue;
    Upload& upload = uploads_[note_list_.front()];
    note_list_.pop_front();
    slot.upload = upload.slot;
    start_note(upload);
  }
}

void Store::start_note(Upload& upload) {
  const auto slot = std::ranges::find(notes_, upload.slot, &NoteSlot::upload);
  io::Sys& sys = shard_.sys();
  if (upload.note_fd < 0) {
    // A note is a block of its own, so O_DIRECT can write it; where it can't, the page cache does.
    bool direct = false;
    constexpr int flags = O_RDWR | O_CREAT;
    upload.note_fd = options_.direct
                         ? log::open_maybe_direct(sys, note_path(upload), flags, 0640, direct)
                         : sys.open(note_path(upload), flags, 0640);
  }
  if (upload.note_fd < 0) {
    const int error = -upload.note_fd;
    upload.note_fd = -1;
    slot->upload = none;
    upload.busy = false;
    return fail(upload, error == ENOSPC ? Failure::disk_full : Failure::disk_error, error, "note");
  }
  upload.has_note = true;
  Note note;
  note.sequence = ++upload.note_sequence;
  note.written_us = shard_.wall_now();
  note.size_bytes = upload.info.size_bytes;
  note.id = upload.id;
  note.resume_key = upload.info.resume_key;
  note.head = upload.head;
  note.pieces = upload.durable.pieces();
  auto& block = *reinterpret_cast<std::uint8_t(*)[block_size]>(slot->memory.get());
  encode_note(note, block);
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  io_uring_prep_write(sqe, upload.note_fd, block, block_size, note_offset(note.sequence));
  sqe->rw_flags = RWF_DSYNC;
  sqe->user_data = data_of(Op::note, static_cast<std::uint32_t>(slot - notes_.begin()));
}

void Store::on_noted(std::uint32_t index, std::int32_t result) {
  Upload& upload = uploads_[notes_[index].upload];
  notes_[index].upload = none;
  upload.busy = false;
  if (result != static_cast<std::int32_t>(block_size)) {
    fail(upload, Failure::disk_error, result < 0 ? -result : ENOSPC, "note");
  } else {
    upload.noted_bytes = upload.durable.bytes();
    const bool more = upload.written.bytes() != upload.noted_bytes;
    upload.unnoted_since_ns = more ? shard_.now() : 0;
    if (upload.goal == Goal::note) upload.goal = Goal::none;
  }
  upload.durable.clear();
  schedule(upload);
  next_note();
}

// ---- The final name ----

int Store::open_day(const std::string& day) {
  io::Sys& sys = shard_.sys();
  const std::string path = keeper_.root() + "/" + day;
  const int made = sys.make_directory(path, 0750);
  if (made < 0 && made != -EEXIST) return made;
  constexpr int flags = O_RDONLY | O_DIRECTORY;
  if (root_fd_ < 0) root_fd_ = sys.open(keeper_.root(), flags, 0);
  if (root_fd_ < 0) return root_fd_;
  const int fd = sys.open(path, flags, 0);
  if (fd < 0) return fd;
  // Whoever made it, it need not be durable yet.
  root_due_ = true;
  if (day_fd_ >= 0) sys.close(day_fd_);
  day_fd_ = fd;
  day_ = day;
  return 0;
}

// The directories are opened anew. False: a sync of them is under way or due.
bool Store::forget_day() {
  if (naming_busy_ || !naming_list_.empty()) return false;
  for (int* fd : {&day_fd_, &root_fd_}) {
    if (*fd >= 0) shard_.sys().close(*fd);
    *fd = -1;
  }
  day_.clear();
  return true;
}

// Its content is durable: so a name that a crash leaves is a name of all of it.
void Store::name_file(Upload& upload) {
  io::Sys& sys = shard_.sys();
  const std::string day = day_name(shard_.wall_now());
  if (day != day_) {
    // Those that wait for yesterday's directory come first.
    if (naming_busy_ || !naming_list_.empty()) return schedule(upload);
    if (const int opened = open_day(day); opened < 0) {
      return fail(upload, Failure::disk_error, -opened, "cannot make the day's directory");
    }
  }
  Stored& stored = upload.stored;
  stored.id = upload.id;
  stored.size_bytes = upload.info.size_bytes;
  stored.crc32c = stored.size_bytes == 0 ? 0 : upload.written.pieces()[0].crc32c;
  settle_content(
      upload.info,
      Bytes(upload.head).first(std::min<std::size_t>(stored.size_bytes, magic_bytes)), stored);
  stored.path = day;
  stored.path.append("/").append(upload.id).append(".").append(extension_of(stored.content));
  // The note first: without it what is left in partial/ after a crash is never gone on with.
  if (upload.has_note) sys.remove(note_path(upload));
  const std::string final_path = keeper_.root() + "/" + stored.path;
  int moved = sys.rename(part_path(upload), final_path);
  // Somebody has removed the day's directory.
  if (moved == -ENOENT && forget_day() && open_day(day) == 0) {
    moved = sys.rename(part_path(upload), final_path);
  }
  if (moved < 0) return fail(upload, Failure::disk_error, -moved, "rename");
  upload.renamed = true;
  upload.stage = Stage::naming;
  upload.busy = true;
  naming_list_.push_back(upload.slot);
}

// One sync for all that were named meanwhile.
void Store::sync_directories() {
  if (naming_busy_ || naming_list_.empty()) return;
  naming_busy_ = true;
  naming_flight_.swap(naming_list_);
  directory_ops_ = 0;
  directory_error_ = 0;
  for (const int fd : {day_fd_, root_due_ ? root_fd_ : -1}) {
    if (fd < 0) continue;
    io_uring_sqe* sqe = shard_.ring().next_sqe();
    io_uring_prep_fsync(sqe, fd, 0);
    sqe->user_data = data_of(Op::directory, 0);
    ++directory_ops_;
  }
}

void Store::on_directory(std::int32_t result) {
  if (result < 0) directory_error_ = -result;
  if (--directory_ops_ > 0) return;
  naming_busy_ = false;
  if (directory_error_ == 0) root_due_ = false;
  for (const std::uint32_t slot : naming_flight_) {
    Upload& upload = uploads_[slot];
    upload.busy = false;
    if (directory_error_ != 0) {
      fail(upload, Failure::disk_error, directory_error_, "sync of the directory");
    } else {
      upload.stage = Stage::logging;
      logging_.push_back(slot);
    }
  }
  naming_flight_.clear();
  retry_listing();
}

// ---- The record ----

void Store::retry_listing() {
  while (!logging_.empty()) {
    Upload& upload = uploads_[logging_.front()];
    if (upload.failure == Failure::none) {
      list(upload);
      if (upload.stage == Stage::logging) return;  // the log takes nothing now
    }
    logging_.pop_front();
  }
}

void Store::list(Upload& upload) {
  const std::string payload = metadata_json(upload.info, upload.stored);
  const std::string_view device = upload.info.device.id();
  if (!log_.has_room(payload.size() + device.size())) return;
  const log::RecordInfo record{.kind = log::Kind::media,
                               .ns = upload.info.device.ns,
                               .message = upload.info.message,
                               .link = upload.info.link,
                               .device = device};
  upload.stored.record = log_.append(record, as_bytes(payload));
  if (upload.stored.record == 0) return;
  upload.stage = Stage::waiting;
  waiting_.push_back({upload.stored.record, upload.slot});
}

void Store::finish(Upload& upload) {
  if (upload.stage != Stage::waiting) return;  // failed meanwhile: the gateway stops
  counters_.stored.add();
  counters_.bytes.add(upload.stored.size_bytes);
  keeper_.stored(upload.stored.size_bytes);
  const UploadId id = id_of(upload);
  const Stored stored = upload.stored;
  UploadOwner* owner = upload.owner;
  if (!upload.info.resume_key.empty()) {
    const std::string key =
        upload.info.resume_key + '/' + std::to_string(upload.info.size_bytes);
    if (finished_.emplace(key, stored).second) finished_order_.push_back(key);
    if (finished_order_.size() > finished_remembered) {
      finished_.erase(finished_order_.front());
      finished_order_.pop_front();
    }
  }
  close_files(upload);
  end(upload);
  if (owner != nullptr) owner->on_stored(id, stored);
}

// ---- Ends ----

void Store::remove_files(Upload& upload) {
  io::Sys& sys = shard_.sys();
  // The note first, as in name_file().
  if (upload.has_note) sys.remove(note_path(upload));
  sys.remove(upload.renamed ? keeper_.root() + "/" + upload.stored.path : part_path(upload));
}

void Store::close_files(Upload& upload) {
  for (int* fd : {&upload.fd, &upload.plain_fd, &upload.note_fd}) {
    if (*fd >= 0) shard_.sys().close(*fd);
    *fd = -1;
  }
}

void Store::end(Upload& upload) {
  if (upload.reserved) keeper_.release(upload.info.size_bytes);
  const auto key = by_key_.find(upload.info.resume_key);
  if (key != by_key_.end() && key->second == upload.slot) by_key_.erase(key);
  upload.stage = Stage::free;
  upload.received.clear();
  upload.written.clear();
  upload.whole = {};
  upload.owner = nullptr;
  free_slots_.push_back(upload.slot);
  --open_;
  counters_.open.sub();
}

// What is not stored by now goes on after the next start, if it can.
void Store::start_stop() {
  stopping_ = true;
  for (Upload& upload : uploads_) {
    if (upload.stage == Stage::free) continue;
    upload.owner = nullptr;
    if (upload.stage != Stage::taking && upload.stage != Stage::already) continue;
    upload.goal = upload.info.resume_key.empty() ? Goal::discard : Goal::suspend;
    schedule(upload);
  }
}

void Store::settle_stop() {
  for (const std::uint32_t slot : logging_) {
    fail(uploads_[slot], Failure::stopping, 0, "the log has ended");
  }
  logging_.clear();
  if (!log_.stopped()) return;
  for (const Waiting& waiting : waiting_) {
    fail(uploads_[waiting.slot], Failure::stopping, 0, "the log has ended");
  }
  waiting_.clear();
}

void Store::abandon() {
  abandoned_ = true;
  for (Upload& upload : uploads_) upload.stage = Stage::free;
  waiting_.clear();
  logging_.clear();
  naming_list_.clear();
  naming_flight_.clear();
  open_ = 0;
  naming_busy_ = false;
}

}  // namespace ringgate::blob
