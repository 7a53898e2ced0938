// Uploads: how they begin and take their bytes. finish.cpp has the rest.
#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>

#include "storage/blob/shard_store.hpp"

namespace ringgate::blob {

namespace {

constexpr MonoNs tick = 100 * ns_per_ms;
// Memory for direct writes, in one huge page where the kernel has one.
log::AlignedMemory huge_memory(std::size_t size_bytes) {
  auto memory = log::aligned_memory(size_bytes, arena_bytes);
  ::madvise(memory.get(), size_bytes, MADV_HUGEPAGE);  // a wish
  return memory;
}

// Keys whose names in partial/ meet: as good as never, and then this many places.
constexpr int name_places = 4;

std::string finished_key(const UploadInfo& info) {
  return info.resume_key + '/' + std::to_string(info.size_bytes);
}

}  // namespace

std::string_view name_of(Failure failure) {
  return failure_names[static_cast<std::size_t>(failure)];
}

Store::Store(shard::Shard& shard, log::Writer& log, Keeper& keeper,
             observe::CounterGroup& counters, observe::LogSource& logs)
    : shard_(shard),
      log_(log),
      keeper_(keeper),
      options_(keeper.options()),
      counters_(counters),
      logs_(logs) {
  const auto count = std::max<std::uint64_t>(options_.buffers_bytes / buffer_bytes, 4);
  buffers_.resize(count);
  for (std::uint32_t i = 0; i < count; ++i) {
    free_buffers_.push_back(static_cast<std::uint32_t>(count) - 1 - i);
  }
  for (NoteSlot& note : notes_) note.memory = log::aligned_memory(block_size);
  shard.handle(io::Tag::blob, *this);
  shard.add_hook(*this);
  shard.watermark().listen(*this);
}

Store::~Store() {
  if (timer_.armed()) shard_.cancel(timer_);
  if (abandoned_) return;
  RG_CHECK(open_ == 0 && !naming_busy_);
  if (day_fd_ >= 0) shard_.sys().close(day_fd_);
  if (root_fd_ >= 0) shard_.sys().close(root_fd_);
}

Store::Upload* Store::find(UploadId id) {
  if (!id.valid() || id.slot >= uploads_.size()) return nullptr;
  Upload& upload = uploads_[id.slot];
  return upload.generation == id.generation && upload.stage != Stage::free ? &upload : nullptr;
}
const Store::Upload* Store::find(UploadId id) const { return const_cast<Store*>(this)->find(id); }

// ---- Beginning ----

Failure Store::refuse(Failure why) {
  counters_.failed.add(why);
  return why;
}

Failure Store::admit(const UploadInfo& info) const {
  if (stopping_) return Failure::stopping;
  if (info.size_bytes > options_.max_size) return Failure::too_large;
  if (open_ >= options_.uploads) return Failure::too_many;
  std::uint32_t of_device = 0;
  std::uint64_t bytes_of_device = info.size_bytes;
  for (const Upload& upload : uploads_) {
    if (upload.stage == Stage::free || !(upload.info.device == info.device)) continue;
    ++of_device;
    bytes_of_device += upload.info.size_bytes;
  }
  if (of_device >= options_.device_uploads) return Failure::too_many;
  if (bytes_of_device > options_.device_unfinished) return Failure::device_full;
  if (shard_.watermark().state() == flow::LogState::refusing) return Failure::log;
  const std::int64_t free = shard_.sys().free_bytes(keeper_.root());
  const bool room = free < 0 || static_cast<std::uint64_t>(free) >=
                                    options_.min_free + info.size_bytes;
  return room ? Failure::none : Failure::disk_full;
}

Store::Upload& Store::allocate(const UploadInfo& info, UploadOwner& owner) {
  if (free_slots_.empty()) {
    free_slots_.push_back(static_cast<std::uint32_t>(uploads_.size()));
    uploads_.emplace_back();
  }
  const std::uint32_t slot = free_slots_.back();
  free_slots_.pop_back();
  Upload& upload = uploads_[slot];
  const std::uint32_t generation = upload.generation + 1;
  upload = Upload{};
  upload.generation = generation == 0 ? 1 : generation;
  upload.slot = slot;
  upload.stage = Stage::taking;
  upload.info = info;
  upload.owner = &owner;
  if (!info.resume_key.empty()) by_key_[info.resume_key] = slot;
  ++open_;
  counters_.open.add();
  if (!timer_.armed()) shard_.arm(timer_, tick);
  return upload;
}

Uploads::Begun Store::begin(const UploadInfo& info, UploadOwner& owner) {
  RG_CHECK(info.resume_key.size() <= key_size_max);
  if (!info.resume_key.empty()) {
    if (const auto open = by_key_.find(info.resume_key); open != by_key_.end()) {
      return take_over(uploads_[open->second], info, owner);
    }
    if (const auto done = finished_.find(finished_key(info)); done != finished_.end()) {
      if (open_ >= options_.uploads || stopping_) return {{}, refuse(Failure::too_many)};
      Upload& upload = allocate(info, owner);
      upload.stage = Stage::already;
      upload.stored = done->second;
      return {id_of(upload), Failure::none, true, info.size_bytes};
    }
  }
  if (const Failure why = admit(info); why != Failure::none) return {{}, refuse(why)};
  Upload& upload = allocate(info, owner);
  upload.id = blob_id(shard_.wall_now(), keeper_.run(), shard_.index(), next_number_++);
  std::uint64_t resumed = 0;
  const Failure why = open_files(upload, resumed);
  if (why != Failure::none) {
    close_files(upload);
    end(upload);
    return {{}, refuse(why)};
  }
  if (resumed > 0) counters_.resumed.add();
  return {id_of(upload), Failure::none, false, resumed};
}

// The same upload, still open: its first owner's link is as good as dead.
Uploads::Begun Store::take_over(Upload& upload, const UploadInfo& info, UploadOwner& owner) {
  const bool ends = upload.failure != Failure::none || upload.goal == Goal::discard ||
                    upload.goal == Goal::store || upload.stage == Stage::already;
  if (ends || stopping_) return {{}, refuse(Failure::busy)};
  UploadOwner* before = upload.owner;
  const UploadId old = id_of(upload);
  if (upload.info.size_bytes != info.size_bytes) {
    upload.owner = nullptr;
    upload.goal = Goal::discard;
    schedule(upload);
    if (before != nullptr) before->on_failed(old, Failure::taken_over);
    return {{}, refuse(Failure::busy)};
  }
  ++upload.generation;
  upload.owner = &owner;
  upload.info = info;
  upload.goal = upload.goal == Goal::suspend ? Goal::none : upload.goal;
  upload.waits_room = false;
  counters_.resumed.add();
  const UploadId id = id_of(upload);
  const std::uint64_t resumed = upload.received.bytes();
  if (before != nullptr) before->on_failed(old, Failure::taken_over);
  return {id, Failure::none, false, resumed};
}

int Store::open_part(Upload& upload, int flags) {
  io::Sys& sys = shard_.sys();
  const std::string path = part_path(upload);
  upload.direct = false;
  int fd = -EINVAL;
  if (options_.direct) {
    fd = sys.open(path, flags | O_DIRECT, 0640);
    upload.direct = fd >= 0;
    // Where O_DIRECT is refused the file may have been made all the same.
    if (fd == -EINVAL && (flags & O_EXCL) != 0) sys.remove(path);
  }
  if (fd == -EINVAL) fd = sys.open(path, flags, 0640);
  return fd;
}

// A file that must not be there yet, of its own or made of a spare.
int Store::open_new(Upload& upload) {
  upload.recycled = keeper_.take_spare(upload.info.size_bytes, part_path(upload));
  if (!upload.recycled) return open_part(upload, O_RDWR | O_CREAT | O_EXCL);
  const int fd = open_part(upload, O_RDWR);
  return fd == -ENOENT ? -EEXIST : fd;  // another shard found it first, and began it anew
}

// Opens and locks what is there of the upload, or makes it.
Failure Store::open_partial(Upload& upload, bool& existing, std::optional<Note>& note) {
  io::Sys& sys = shard_.sys();
  const bool keyed = !upload.info.resume_key.empty();
  const std::string base =
      keeper_.partial_path() + "/" + (keyed ? partial_name(upload.info.resume_key) : upload.id);
  for (int place = 0; place < name_places; ++place) {
    upload.base = place == 0 ? base : base + "-" + std::to_string(place);
    upload.fd = open_part(upload, O_RDWR);
    existing = upload.fd >= 0;
    if (upload.fd == -ENOENT) {
      sys.remove(note_path(upload));  // of one that is gone
      upload.fd = open_new(upload);
      // Somebody has removed the directory.
      if (upload.fd == -ENOENT && keeper_.prepare()) upload.fd = open_new(upload);
    }
    if (upload.fd < 0) break;
    // The lock tells other shards; the name tells whether it is still what it was when we opened.
    if (sys.lock_exclusive(upload.fd) < 0) return Failure::busy;
    if (sys.is_named(upload.fd, part_path(upload)) != 1) return Failure::busy;
    if (!existing) return Failure::none;
    if (const int error = read_note(sys, note_path(upload), note); error < 0) {
      // It may be good, and count: it stays for another try.
      logs_.warn("cannot read a note", {{"path", upload.base}, {"errno", -error}});
      return Failure::disk_error;
    }
    if (!note || note->resume_key == upload.info.resume_key) return Failure::none;
    sys.close(upload.fd);
  }
  const int error = -upload.fd;
  upload.fd = -1;
  if (error == EEXIST) return Failure::busy;  // another shard was faster
  logs_.warn("cannot open an upload", {{"path", upload.base}, {"errno", error}});
  return error == ENOSPC ? Failure::disk_full : Failure::disk_error;
}

// What of an earlier link's or run's upload is durable. False: nothing that could be gone on with.
bool Store::use_note(Upload& upload, const std::optional<Note>& note) {
  if (!note) return false;
  const std::int64_t size = shard_.sys().file_size(upload.fd);
  const std::uint64_t end = note->pieces.empty() ? 0 : note->pieces.back().end;
  if (note->size_bytes != upload.info.size_bytes || size < 0 ||
      static_cast<std::uint64_t>(size) < end) {
    keeper_.release(note->size_bytes);  // it goes, and what it reserved
    return false;
  }
  upload.reserved = true;  // since it was begun
  upload.id = note->id;
  upload.head = note->head;
  upload.note_sequence = note->sequence;
  upload.has_note = true;
  for (const Ranges::Piece& piece : note->pieces) {
    upload.received.add(piece.begin, piece.end);
    upload.written.add_checked(piece.begin, piece.end, piece.crc32c);
  }
  upload.noted_bytes = upload.written.bytes();
  return true;
}

Failure Store::open_files(Upload& upload, std::uint64_t& resumed) {
  io::Sys& sys = shard_.sys();
  bool existing = false;
  std::optional<Note> note;
  if (const Failure why = open_partial(upload, existing, note); why != Failure::none) return why;
  if (existing && !use_note(upload, note)) {
    // Somebody else's beginning, or no note of what is good in it: anew, under the same name.
    sys.remove(note_path(upload));
    sys.remove(part_path(upload));
    sys.close(upload.fd);
    upload.fd = open_new(upload);
    if (upload.fd < 0) return Failure::busy;
    if (sys.lock_exclusive(upload.fd) < 0) return Failure::busy;
    // Another shard may have found it without a note before we had the lock, and begun anew too.
    if (sys.is_named(upload.fd, part_path(upload)) != 1) return Failure::busy;
  }
  resumed = upload.received.bytes();
  const std::uint64_t size = upload.info.size_bytes;
  if (!upload.reserved && !keeper_.reserve(size)) {
    sys.remove(part_path(upload));
    return Failure::too_many;
  }
  upload.reserved = true;
  const Failure why = reserve_space(upload);
  if (why != Failure::none) remove_files(upload);
  return why;
}

// Space for all of it now: a refusal at the beginning is worth more than one at the end, and the
// log knows what is left for it. Where a file system can't, the writes will tell.
Failure Store::reserve_space(Upload& upload) {
  io::Sys& sys = shard_.sys();
  const std::uint64_t size = upload.info.size_bytes;
  if (upload.recycled) {
    const std::int64_t has = sys.file_size(upload.fd);
    if (has < 0) return Failure::disk_error;
    if (static_cast<std::uint64_t>(has) == size) return Failure::none;
    // At a block's end: within one the file system would read it, to clear what follows.
    const std::uint64_t blocks = size / block_size * block_size;
    const bool longer = static_cast<std::uint64_t>(has) > blocks;
    if (longer && sys.truncate(upload.fd, blocks) < 0) return Failure::disk_error;
  }
  const int reserved = size == 0 ? 0 : sys.fallocate(upload.fd, 0, size);
  return reserved == -ENOSPC || reserved == -EDQUOT ? Failure::disk_full : Failure::none;
}

// ---- Content ----

bool Store::take_buffer(Upload& upload, std::uint64_t offset) {
  if (free_buffers_.empty()) make_room();
  const bool begins = upload.gather == none;
  if (free_buffers_.empty() || (begins && upload.in_flight >= writes_in_flight_max)) return false;
  const std::uint32_t index = free_buffers_.back();
  free_buffers_.pop_back();
  Buffer& buffer = buffers_[index];
  if (buffer.memory == nullptr) buffer.memory = memory_of(index);
  buffer.upload = upload.slot;
  buffer.offset = offset;
  buffer.used = 0;
  buffer.next = none;
  if (begins) {
    upload.gather = index;
    upload.gather_count = 0;
  } else {
    buffers_[upload.gather_last].next = index;
  }
  upload.gather_last = index;
  ++upload.gather_count;
  counters_.buffers.set(std::int64_t{buffers_in_use()} * buffer_bytes);
  return true;
}

// Where a buffer lies. Its arena is had with the first of its buffers: a shard that never sees an
// upload pays for none.
std::uint8_t* Store::memory_of(std::uint32_t buffer) {
  constexpr std::uint32_t per_arena = arena_bytes / buffer_bytes;
  const std::uint32_t arena = buffer / per_arena;
  if (arenas_.size() <= arena) arenas_.resize(arena + 1);
  if (!arenas_[arena]) {
    const std::uint64_t left = (buffers_.size() - std::size_t{arena} * per_arena) * buffer_bytes;
    arenas_[arena] = huge_memory(std::min<std::uint64_t>(left, arena_bytes));
  }
  return arenas_[arena].get() + std::size_t{buffer % per_arena} * buffer_bytes;
}

// A buffer with all that were to be written with it.
void Store::give_back(std::uint32_t index) {
  for (; index != none; index = buffers_[index].next) {
    buffers_[index].upload = none;
    free_buffers_.push_back(index);
  }
  counters_.buffers.set(std::int64_t{buffers_in_use()} * buffer_bytes);
}

void Store::drop_gather(Upload& upload) {
  if (upload.gather == none) return;
  give_back(upload.gather);
  upload.gather = none;
  upload.due = false;
}

// No buffer is free: whoever has held one for longest without filling it writes what there is.
void Store::make_room() {
  Upload* oldest = nullptr;
  for (const Buffer& buffer : buffers_) {
    if (buffer.upload == none) continue;
    Upload& upload = uploads_[buffer.upload];
    const bool gathers = upload.gather != none && &buffers_[upload.gather] == &buffer;
    if (!gathers || upload.due || buffer.used == 0) continue;
    if (oldest == nullptr || buffer.touched_ns < buffers_[oldest->gather].touched_ns) {
      oldest = &upload;
    }
  }
  if (oldest != nullptr) flush(*oldest);
}

// Writes what was gathered, or marks it due where it must wait: for earlier writes, and because
// bytes past the page cache and bytes through it must not be under way together in one file.
void Store::flush(Upload& upload) {
  const bool aligned = buffers_[upload.gather].offset % block_size == 0 &&
                       buffers_[upload.gather_last].used % block_size == 0;
  const bool plain = !upload.direct || !aligned;
  upload.due = true;
  if (upload.in_flight >= writes_in_flight_max) return;
  if (upload.in_flight > 0 && upload.flight_plain != plain) return;
  const int fd = descriptor_for(upload, plain);
  if (fd < 0) return fail(upload, Failure::disk_error, -fd, "cannot open it again");
  upload.due = false;
  upload.flight_plain = plain;
  submit_write(upload, fd);
}

int Store::descriptor_for(Upload& upload, bool plain) {
  if (!plain || !upload.direct) return upload.fd;
  if (upload.plain_fd < 0) upload.plain_fd = shard_.sys().open(part_path(upload), O_RDWR, 0);
  const int fd = upload.plain_fd;
  if (fd < 0) upload.plain_fd = -1;
  return fd;
}

// Everything gathered in one write.
void Store::submit_write(Upload& upload, int fd) {
  Buffer& first = buffers_[upload.gather];
  std::uint32_t count = 0;
  first.write_bytes = 0;
  for (std::uint32_t index = upload.gather; index != none; index = buffers_[index].next) {
    Buffer& buffer = buffers_[index];
    buffer.crc32c = crc32c(0, {buffer.memory, buffer.used});
    first.parts[count++] = {buffer.memory, buffer.used};
    first.write_bytes += buffer.used;
  }
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  if (count == 1) {
    io_uring_prep_write(sqe, fd, first.memory, first.used, first.offset);
  } else {
    io_uring_prep_writev(sqe, fd, first.parts.data(), count, first.offset);
  }
  sqe->user_data = data_of(Op::write, upload.gather);
  upload.gather = upload.gather_last = none;
  ++upload.in_flight;
  counters_.writes.add();
}

bool Store::may_take(const Upload& upload) const {
  if (upload.failure != Failure::none || upload.due) return false;
  if (upload.gather != none) return true;
  return upload.in_flight < writes_in_flight_max && !free_buffers_.empty();
}

bool Store::may_write(UploadId id) const {
  const Upload* upload = find(id);
  return upload != nullptr && (upload->stage == Stage::already || may_take(*upload));
}

void Store::wait_for_room(Upload& upload) {
  if (upload.waits_room) return;
  upload.waits_room = true;
  room_list_.push_back(id_of(upload));
}

// Whether full buffers wait for those that follow.
bool Store::may_gather_on(const Upload& upload) const {
  return upload.gather_count < gather_buffers_max &&
         free_buffers_.size() * gather_free_divisor > buffers_.size();
}

// Gathers bytes that are missing, in each buffer at most up to a multiple of its size so that
// writes fall on block boundaries again. False: not now.
bool Store::put_bytes(Upload& upload, std::uint64_t offset, Bytes bytes, std::size_t& taken) {
  bool full = false;
  if (upload.gather != none) {
    const Buffer& last = buffers_[upload.gather_last];
    full = last.offset + last.used == (last.offset / buffer_bytes + 1) * buffer_bytes;
    if (upload.due || last.offset + last.used != offset || (full && !may_gather_on(upload))) {
      flush(upload);
      if (upload.gather != none) return false;
    }
  }
  if ((upload.gather == none || full) && !take_buffer(upload, offset)) return false;
  Buffer& buffer = buffers_[upload.gather_last];
  const std::uint64_t end = (buffer.offset / buffer_bytes + 1) * buffer_bytes;
  taken = std::min<std::uint64_t>(bytes.size(), end - offset);
  std::memcpy(buffer.memory + buffer.used, bytes.data(), taken);
  if (offset < magic_bytes) {
    const std::size_t shown = std::min<std::size_t>(taken, magic_bytes - offset);
    std::memcpy(upload.head.data() + offset, bytes.data(), shown);
  }
  buffer.used += static_cast<std::uint32_t>(taken);
  buffers_[upload.gather].touched_ns = shard_.now();
  upload.received.add(offset, offset + taken);
  if (offset + taken == end && !may_gather_on(upload)) flush(upload);
  return true;
}

std::size_t Store::write(UploadId id, std::uint64_t offset, Bytes bytes) {
  Upload* upload = find(id);
  if (upload == nullptr || upload->stage == Stage::already) return bytes.size();
  if (upload->failure != Failure::none) return bytes.size();  // its end is on the way
  std::size_t used = 0;
  while (used < bytes.size() && offset + used < upload->info.size_bytes) {
    const std::uint64_t at = offset + used;
    const Ranges::Run run = upload->received.run_at(at);
    const std::uint64_t end =
        std::min({run.end, upload->info.size_bytes, offset + bytes.size()});
    if (run.present) {
      counters_.duplicate_bytes.add(end - at);
      used = end - offset;
      continue;
    }
    const bool scattered =
        upload->received.pieces().size() >= pieces_max && upload->received.needs_piece(at);
    if (scattered) {
      used = end - offset;  // stays missing
      continue;
    }
    std::size_t taken = 0;
    if (!put_bytes(*upload, at, bytes.subspan(used, end - at), taken)) {
      wait_for_room(*upload);
      return used;
    }
    used += taken;
  }
  return bytes.size();
}

std::vector<Gap> Store::missing(UploadId id, std::size_t max) const {
  std::vector<Gap> gaps;
  const Upload* upload = find(id);
  if (upload == nullptr || upload->stage == Stage::already) return gaps;
  std::uint64_t at = 0;
  const auto gap_up_to = [&](std::uint64_t end) {
    if (at < end && gaps.size() < max) gaps.push_back({at, end - at});
  };
  for (const Ranges::Piece& piece : upload->received.pieces()) {
    gap_up_to(piece.begin);
    at = piece.end;
  }
  gap_up_to(upload->info.size_bytes);
  return gaps;
}

// Buffers are free again, or writes have ended: those who wait go on, in their order.
void Store::tell_room() {
  for (std::size_t left = room_list_.size(); left > 0; --left) {
    const UploadId id = room_list_.front();
    room_list_.pop_front();
    Upload* upload = find(id);
    if (upload == nullptr || !upload->waits_room) continue;
    if (upload->due) flush(*upload);
    if (free_buffers_.empty() && upload->gather == none) make_room();
    if (!may_take(*upload)) {
      if (upload->failure == Failure::none) room_list_.push_back(id);
      continue;
    }
    upload->waits_room = false;
    if (!upload->whole.empty()) {
      pump(*upload);
    } else if (upload->owner != nullptr) {
      upload->owner->on_room(id);
    }
  }
}

// ---- Whole blobs ----

Uploads::Begun Store::put(const UploadInfo& info, std::vector<std::uint8_t> bytes,
                          UploadOwner& owner) {
  UploadInfo exact = info;
  exact.size_bytes = bytes.size();
  const Begun begun = begin(exact, owner);
  if (!begun.id.valid()) return begun;
  Upload& upload = uploads_[begun.id.slot];
  upload.whole = std::move(bytes);
  pump(upload);
  return begun;
}

void Store::pump(Upload& upload) {
  const Bytes rest = Bytes(upload.whole).subspan(upload.whole_at);
  upload.whole_at += write(id_of(upload), upload.whole_at, rest);
  if (upload.whole_at == upload.whole.size()) commit(id_of(upload));
}

}  // namespace ringgate::blob
