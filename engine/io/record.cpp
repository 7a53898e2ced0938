// The recording Sys and backend. See record.hpp.
#include "engine/io/record.hpp"

#include <fcntl.h>
#include <sys/uio.h>

#include <algorithm>
#include <deque>

namespace ringgate::io {

using Kind = TraceEvent::Kind;

// ---- Recorder

class RecordSys final : public Sys {
 public:
  explicit RecordSys(Recorder& recorder) : recorder_(recorder), real_(recorder.real_) {}

  MonoNs mono_now() override { return real_.mono_now(); }
  WallUs wall_now() override { return real_.wall_now(); }
  void random_bytes(MutableBytes out) override { real_.random_bytes(out); }

  int open(const std::string& path, int flags, unsigned mode) override {
    // Whether the open creates is known only by having looked before.
    int existing = -1;
    if ((flags & O_CREAT) != 0) existing = real_.open(path, O_RDONLY, 0);
    if (existing >= 0) real_.close(existing);
    const int fd = real_.open(path, flags, mode);
    if (fd >= 0) recorder_.opened(fd, path, flags, existing >= 0 || (flags & O_CREAT) == 0);
    return fd;
  }
  int close(int fd) override {
    {
      const std::lock_guard guard{recorder_.lock_};
      recorder_.open_.erase(fd);
    }
    return real_.close(fd);
  }
  std::int64_t pread(int fd, MutableBytes into, std::uint64_t offset) override {
    return real_.pread(fd, into, offset);
  }
  std::int64_t pwrite(int fd, Bytes from, std::uint64_t offset) override {
    TraceEvent event;
    event.kind = Kind::write_begun;
    event.offset = offset;
    event.bytes.assign(from.begin(), from.end());
    const std::size_t begun = recorder_.note_for_fd(fd, std::move(event));
    const std::int64_t result = real_.pwrite(fd, from, offset);
    recorder_.note_done(Kind::write_done, begun, result);
    return result;
  }
  int fallocate(int fd, std::uint64_t offset, std::uint64_t size_bytes) override {
    const int result = real_.fallocate(fd, offset, size_bytes);
    if (result >= 0) note_size(Kind::extended, fd, offset + size_bytes);
    return result;
  }
  int truncate(int fd, std::uint64_t size_bytes) override {
    const int result = real_.truncate(fd, size_bytes);
    if (result >= 0) note_size(Kind::resized, fd, size_bytes);
    return result;
  }
  int data_sync(int fd) override {
    TraceEvent event;
    event.kind = Kind::sync_begun;
    const std::size_t begun = recorder_.note_for_fd(fd, std::move(event));
    const int result = real_.data_sync(fd);
    recorder_.note_done(Kind::sync_done, begun, result);
    return result;
  }
  std::int64_t file_size(int fd) override { return real_.file_size(fd); }
  int lock_exclusive(int fd) override { return real_.lock_exclusive(fd); }
  int is_named(int fd, const std::string& path) override { return real_.is_named(fd, path); }
  int is_only_ours(int fd) override { return real_.is_only_ours(fd); }

  int make_directory(const std::string& path, unsigned mode) override {
    const int result = real_.make_directory(path, mode);
    if (result >= 0) note_path(Kind::directory_made, path, {});
    return result;
  }
  int list_directory(const std::string& path, std::vector<DirectoryEntry>& out) override {
    return real_.list_directory(path, out);
  }
  int rename(const std::string& from, const std::string& to) override {
    const int result = real_.rename(from, to);
    if (result >= 0) note_path(Kind::renamed, from, to);
    return result;
  }
  int rename_new(const std::string& from, const std::string& to) override {
    const int result = real_.rename_new(from, to);
    if (result >= 0) note_path(Kind::renamed, from, to);
    return result;
  }
  int remove(const std::string& path) override {
    const int result = real_.remove(path);
    if (result >= 0) note_path(Kind::removed, path, {});
    return result;
  }
  int sync_directory(const std::string& path) override {
    const int result = real_.sync_directory(path);
    if (result >= 0) note_path(Kind::directory_synced, path, {});
    return result;
  }
  std::int64_t free_bytes(const std::string& path) override { return real_.free_bytes(path); }

  int socket(int domain, int type, int protocol) override {
    return real_.socket(domain, type, protocol);
  }
  int set_option(int fd, int level, int name, const void* value, socklen_t size_bytes) override {
    return real_.set_option(fd, level, name, value, size_bytes);
  }
  int get_option(int fd, int level, int name, void* value, socklen_t* size_bytes) override {
    return real_.get_option(fd, level, name, value, size_bytes);
  }
  int bind(int fd, const sockaddr* address, socklen_t size_bytes) override {
    return real_.bind(fd, address, size_bytes);
  }
  int listen(int fd, int backlog) override { return real_.listen(fd, backlog); }
  int local_address(int fd, sockaddr_storage& out) override { return real_.local_address(fd, out); }
  int peer_address(int fd, sockaddr_storage& out) override { return real_.peer_address(fd, out); }

 private:
  void note_size(Kind kind, int fd, std::uint64_t size_bytes) {
    TraceEvent event;
    event.kind = kind;
    event.offset = size_bytes;
    recorder_.note_for_fd(fd, std::move(event));
  }
  void note_path(Kind kind, const std::string& path, const std::string& to) {
    if (!recorder_.inside(path)) return;
    TraceEvent event;
    event.kind = kind;
    event.path = path;
    event.to = to;
    const std::lock_guard guard{recorder_.lock_};
    if (kind == Kind::renamed) {
      if (const auto found = recorder_.files_.find(path); found != recorder_.files_.end()) {
        const std::uint32_t file = found->second;
        recorder_.files_.erase(found);
        recorder_.files_[to] = file;
      }
    }
    if (kind == Kind::removed) recorder_.files_.erase(path);
    recorder_.append(std::move(event));
  }

  Recorder& recorder_;
  Sys& real_;
};

Recorder::Recorder(Sys& real, std::string root) : real_(real), root_(std::move(root)) {
  while (root_.size() > 1 && root_.back() == '/') root_.pop_back();
  trace_.initial_directories_.push_back(root_);
  snapshot(root_);
  sys_ = std::make_unique<RecordSys>(*this);
}

Recorder::~Recorder() = default;
Sys& Recorder::sys() { return *sys_; }

void Recorder::snapshot(const std::string& directory) {
  std::vector<DirectoryEntry> entries;
  if (real_.list_directory(directory, entries) < 0) return;
  for (const DirectoryEntry& entry : entries) {
    const std::string path = directory + "/" + entry.name;
    if (entry.is_directory) {
      trace_.initial_directories_.push_back(path);
      snapshot(path);
      continue;
    }
    const int fd = real_.open(path, O_RDONLY, 0);
    if (fd < 0) continue;
    std::vector<std::uint8_t> bytes(entry.size_bytes);
    const std::int64_t got = real_.pread(fd, bytes, 0);
    real_.close(fd);
    bytes.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
    trace_.initial_[path] = std::move(bytes);
    trace_.initial_files_[path] = next_file_;
    files_[path] = next_file_++;
  }
}

bool Recorder::inside(const std::string& path) const {
  return path == root_ || path.starts_with(root_ + "/");
}

std::size_t Recorder::note(TraceEvent event) {
  const std::lock_guard guard{lock_};
  return append(std::move(event));
}

std::size_t Recorder::append(TraceEvent event) {
  trace_.events_.push_back(std::move(event));
  return trace_.events_.size() - 1;
}

std::size_t Recorder::note_for_fd(int fd, TraceEvent event) {
  const std::lock_guard guard{lock_};
  const auto found = open_.find(fd);
  if (found == open_.end()) return no_event;
  event.fd = fd;
  event.file = found->second.file;
  event.dsync = event.dsync || found->second.dsync;
  return append(std::move(event));
}

void Recorder::note_done(Kind kind, std::size_t begun, std::int64_t result) {
  if (begun == no_event) return;
  TraceEvent event;
  event.kind = kind;
  event.begun = begun;
  event.result = static_cast<std::int32_t>(result);
  note(std::move(event));
}

void Recorder::opened(int fd, const std::string& path, int flags, bool existed) {
  if (!inside(path)) return;
  const std::lock_guard guard{lock_};
  auto found = files_.find(path);
  if (found == files_.end()) {
    if (existed) return;  // a directory
    found = files_.emplace(path, next_file_++).first;
    TraceEvent event;
    event.kind = Kind::created;
    event.path = path;
    event.file = found->second;
    append(std::move(event));
  } else if ((flags & O_TRUNC) != 0) {
    TraceEvent event;
    event.kind = Kind::resized;
    event.file = found->second;
    append(std::move(event));
  }
  open_[fd] = {found->second, (flags & (O_DSYNC | O_SYNC)) != 0};
}

// ---- Backend

class RecordBackend final : public Backend {
 public:
  RecordBackend(Recorder& recorder, std::unique_ptr<Backend> inner)
      : recorder_(recorder), inner_(std::move(inner)) {}

  Result<std::uint32_t> setup(const RingOptions& options, QueueMemory& memory) override {
    Result<std::uint32_t> features = inner_->setup(options, memory);
    if (features) {
      memory_ = memory;
      cq_seen_ = *memory.cq_tail;
    }
    return features;
  }
  int do_register(unsigned opcode, const void* argument, unsigned count) override {
    return inner_->do_register(opcode, argument, count);
  }
  int enter(std::uint32_t to_submit, std::uint32_t min_complete, MonoNs timeout_ns) override {
    // Completions that came by themselves first, since what is submitted now may answer them.
    note_completions();
    const std::uint32_t tail = *memory_.sq_tail;
    std::size_t previous = Recorder::no_event;
    for (std::uint32_t at = tail - to_submit; at != tail; ++at) {
      if (static_cast<std::int32_t>(at - sq_noted_) < 0) continue;  // noted, but not taken then
      previous = note_submission(memory_.sqes[at & memory_.sq_mask], previous);
    }
    sq_noted_ = tail;
    const int result = inner_->enter(to_submit, min_complete, timeout_ns);
    note_completions();
    return result;
  }
  int ring_fd() const override { return inner_->ring_fd(); }

 private:
  struct Begun {
    std::size_t event = 0;
    Kind done = Kind::write_done;
  };

  std::size_t note_submission(const io_uring_sqe& sqe, std::size_t previous);
  void note_completions();

  Recorder& recorder_;
  std::unique_ptr<Backend> inner_;
  QueueMemory memory_;
  std::uint32_t cq_seen_ = 0;
  std::uint32_t sq_noted_ = 0;
  bool links_ = false;  // the SQE before this one links to it
  std::map<std::uint64_t, std::deque<Begun>> begun_;  // by user_data
};

std::unique_ptr<Backend> Recorder::wrap(std::unique_ptr<Backend> inner) {
  return std::make_unique<RecordBackend>(*this, std::move(inner));
}

namespace {

void gather(const iovec* parts, std::size_t count, std::vector<std::uint8_t>& out) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto* begin = static_cast<const std::uint8_t*>(parts[i].iov_base);
    out.insert(out.end(), begin, begin + parts[i].iov_len);
  }
}

}  // namespace

// Returns the event noted, so that a sync linked to it can name it.
std::size_t RecordBackend::note_submission(const io_uring_sqe& sqe, std::size_t previous) {
  constexpr std::uint32_t rwf_dsync = 0x2;
  constexpr std::uint32_t rwf_sync = 0x4;
  TraceEvent event;
  event.fd = sqe.fd;
  event.user_data = sqe.user_data;
  event.offset = sqe.off;
  if (links_ && previous != Recorder::no_event) event.starts_after = previous + 1;
  links_ = (sqe.flags & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK)) != 0;
  const auto* memory = reinterpret_cast<const std::uint8_t*>(sqe.addr);
  Begun begun;
  switch (sqe.opcode) {
    case IORING_OP_WRITE:
    case IORING_OP_WRITEV:
      event.kind = Kind::write_begun;
      event.dsync = (static_cast<std::uint32_t>(sqe.rw_flags) & (rwf_dsync | rwf_sync)) != 0;
      if (sqe.opcode == IORING_OP_WRITE) {
        event.bytes.assign(memory, memory + sqe.len);
      } else {
        gather(reinterpret_cast<const iovec*>(sqe.addr), sqe.len, event.bytes);
      }
      begun.event = recorder_.note_for_fd(sqe.fd, std::move(event));
      begun.done = Kind::write_done;
      break;
    case IORING_OP_FSYNC:
      event.kind = Kind::sync_begun;
      begun.event = recorder_.note_for_fd(sqe.fd, std::move(event));
      begun.done = Kind::sync_done;
      break;
    case IORING_OP_SEND:
      event.kind = Kind::send_begun;
      event.bytes.assign(memory, memory + sqe.len);
      begun.event = recorder_.note(std::move(event));
      begun.done = Kind::send_done;
      break;
    case IORING_OP_SENDMSG: {
      event.kind = Kind::send_begun;
      const auto* message = reinterpret_cast<const msghdr*>(sqe.addr);
      gather(message->msg_iov, message->msg_iovlen, event.bytes);
      begun.event = recorder_.note(std::move(event));
      begun.done = Kind::send_done;
      break;
    }
    case IORING_OP_CLOSE: {
      const std::lock_guard guard{recorder_.lock_};
      recorder_.open_.erase(sqe.fd);
      return Recorder::no_event;
    }
    default:
      return Recorder::no_event;
  }
  if (begun.event != Recorder::no_event) begun_[sqe.user_data].push_back(begun);
  return begun.event;
}

void RecordBackend::note_completions() {
  const std::uint32_t tail = __atomic_load_n(memory_.cq_tail, __ATOMIC_ACQUIRE);
  for (; cq_seen_ != tail; ++cq_seen_) {
    const io_uring_cqe& cqe = memory_.cqes[cq_seen_ & memory_.cq_mask];
    const auto found = begun_.find(cqe.user_data);
    if (found == begun_.end()) continue;
    const Begun begun = found->second.front();
    found->second.pop_front();
    if (found->second.empty()) begun_.erase(found);
    recorder_.note_done(begun.done, begun.event, cqe.res);
  }
}

// ---- Building images

// Plays a trace up to a cut onto a disk.
class Replay {
 public:
  Replay(const Trace& trace, std::size_t cut, bool no_dsync)
      : trace_(trace), cut_(cut), no_dsync_(no_dsync) {
    for (const std::string& path : trace.initial_directories_) disk_.install_directory(path);
    for (const auto& [path, bytes] : trace.initial_) {
      disk_.install(path, bytes);
      inode_of_[trace.initial_files_.at(path)] = disk_.find(path);
    }
    for (const auto& [file, inode] : inode_of_) disk_.inode(inode).opens = 1;
    index_syncs();
    for (std::size_t i = 0; i < cut_; ++i) play(i);
  }

  SimDisk survivor(const CutPolicy& policy) const {
    std::vector<SimWriteInFlight> in_flight;
    for (const std::size_t index : in_flight_) {
      const TraceEvent& event = trace_.events_[index];
      in_flight.push_back({inode_of_.at(event.file), event.offset, event.bytes});
    }
    SimRandom random{policy.seed};
    return disk_.survivor(in_flight, policy.survival, random);
  }

 private:
  static constexpr std::uint64_t no_limit = ~std::uint64_t{0};

  // A sync stores what had completed when it began; one that is linked begins when the operation
  // before it completes. It counts from its own completion on.
  void index_syncs() {
    std::map<std::size_t, std::size_t> done_of;
    for (std::size_t i = 0; i < cut_; ++i) {
      const TraceEvent& event = trace_.events_[i];
      const bool ends = event.kind == Kind::write_done || event.kind == Kind::sync_done;
      if (ends) done_of[event.begun] = i;
      if (event.kind != Kind::sync_done || event.result < 0) continue;
      const TraceEvent& sync = trace_.events_[event.begun];
      std::size_t from = event.begun;
      if (sync.starts_after != 0) from = done_of.at(sync.starts_after - 1);
      syncs_from_[from].push_back(sync.file);
    }
  }

  void play(std::size_t index) {
    const TraceEvent& event = trace_.events_[index];
    switch (event.kind) {
      case Kind::write_begun:
        in_flight_.push_back(index);
        break;
      case Kind::write_done: {
        const TraceEvent& write = trace_.events_[event.begun];
        // A failed or short write may have stored anything: it stays as if in flight.
        if (event.result != static_cast<std::int32_t>(write.bytes.size())) break;
        std::erase(in_flight_, event.begun);
        disk_.write(inode_of_.at(write.file), write.offset, write.bytes, no_limit,
                    write.dsync && !no_dsync_);
        break;
      }
      case Kind::created:
        create(event);
        break;
      case Kind::directory_made:
        make_directory(event.path);
        break;
      case Kind::renamed:
        RG_CHECK(disk_.rename(event.path, event.to) == 0);
        break;
      case Kind::removed:
        RG_CHECK(disk_.remove(event.path) == 0);
        break;
      case Kind::directory_synced:
        disk_.sync_directory(disk_.find(event.path));
        break;
      case Kind::resized:
        disk_.truncate(inode_of_.at(event.file), event.offset);
        break;
      case Kind::extended: {
        SimInode& inode = disk_.inode(inode_of_.at(event.file));
        inode.size = std::max(inode.size, event.offset);
        break;
      }
      case Kind::sync_begun:
      case Kind::sync_done:
      case Kind::send_begun:
      case Kind::send_done:
        break;
    }
    if (const auto found = syncs_from_.find(index); found != syncs_from_.end()) {
      for (const std::uint32_t file : found->second) disk_.sync(inode_of_.at(file));
    }
  }

  void create(const TraceEvent& event) {
    std::string name;
    const std::uint32_t parent = disk_.find_parent(event.path, name);
    RG_CHECK(parent != SimDisk::none);
    inode_of_[event.file] = disk_.create(parent, name, false);
    disk_.inode(inode_of_[event.file]).opens = 1;  // the trace may write to it after its removal
  }

  void make_directory(const std::string& path) {
    std::string name;
    const std::uint32_t parent = disk_.find_parent(path, name);
    RG_CHECK(parent != SimDisk::none);
    disk_.create(parent, name, true);
  }

  const Trace& trace_;
  std::size_t cut_;
  bool no_dsync_;
  SimDisk disk_;
  std::map<std::uint32_t, std::uint32_t> inode_of_;  // by the trace's file number
  std::map<std::size_t, std::vector<std::uint32_t>> syncs_from_;
  std::vector<std::size_t> in_flight_;
};

SimDisk Trace::disk_at(std::size_t cut, const CutPolicy& policy) const {
  RG_CHECK(cut <= events_.size());
  return Replay{*this, cut, policy.pretend_no_dsync}.survivor(policy);
}

std::map<std::string, std::vector<std::uint8_t>> Trace::image_at(std::size_t cut,
                                                                 const CutPolicy& policy) const {
  return disk_at(cut, policy).files();
}

std::vector<std::size_t> Trace::sends_before(std::size_t cut) const {
  std::vector<std::size_t> sends;
  for (std::size_t i = 0; i < cut && i < events_.size(); ++i) {
    if (events_[i].kind == Kind::send_begun) sends.push_back(i);
  }
  return sends;
}

}  // namespace ringgate::io
