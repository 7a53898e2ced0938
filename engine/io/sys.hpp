// Cold system calls -- files, directories, sockets before they carry bytes, clocks, randomness --
// behind one interface, so that a simulation or a recorder can stand in. Never called per message.
//
// Every call returns >= 0 or -errno unless said otherwise. Any thread, unless an implementation
// says otherwise.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/clock.hpp"

namespace ringgate::io {

struct DirectoryEntry {
  std::string name;
  std::uint64_t size_bytes = 0;
  bool is_directory = false;
};

class Sys {
 public:
  virtual ~Sys() = default;

  // Clocks and chance.
  virtual MonoNs mono_now() = 0;
  virtual WallUs wall_now() = 0;
  virtual void random_bytes(MutableBytes out) = 0;

  // Files. `open` takes open(2) flags (O_CLOEXEC is added); O_DIRECT may be refused with -EINVAL.
  virtual int open(const std::string& path, int flags, unsigned mode) = 0;
  virtual int close(int fd) = 0;
  virtual std::int64_t pread(int fd, MutableBytes into, std::uint64_t offset) = 0;
  // The range will be read soon: whoever can, begins to fetch it. A hint, and no error.
  virtual void will_need(int fd, std::uint64_t offset, std::uint64_t size_bytes) {
    static_cast<void>(fd);
    static_cast<void>(offset);
    static_cast<void>(size_bytes);
  }
  virtual std::int64_t pwrite(int fd, Bytes from, std::uint64_t offset) = 0;
  virtual int fallocate(int fd, std::uint64_t offset, std::uint64_t size_bytes) = 0;
  virtual int truncate(int fd, std::uint64_t size_bytes) = 0;
  virtual int data_sync(int fd) = 0;  // fdatasync(2)
  virtual std::int64_t file_size(int fd) = 0;
  virtual int lock_exclusive(int fd) = 0;  // flock(LOCK_EX | LOCK_NB); -EWOULDBLOCK when held
  // Whether `path` still leads to this open file: a lock is worth nothing on one that was renamed
  // or removed meanwhile. 1, 0 or -errno.
  virtual int is_named(int fd, const std::string& path) = 0;
  // Whether this open file has one name and nobody else has it open, so that overwriting it changes
  // nothing for anybody. 1, 0 or -errno; what can't be told counts as no.
  virtual int is_only_ours(int fd) = 0;

  // Directories. `sync_directory` makes creations, renames and removals in it durable.
  // -EEXIST of make_directory is for the caller.
  virtual int make_directory(const std::string& path, unsigned mode) = 0;
  virtual int list_directory(const std::string& path, std::vector<DirectoryEntry>& out) = 0;
  virtual int rename(const std::string& from, const std::string& to) = 0;
  virtual int rename_new(const std::string& from, const std::string& to) = 0;  // -EEXIST: `to` is
  virtual int remove(const std::string& path) = 0;
  virtual int sync_directory(const std::string& path) = 0;
  virtual std::int64_t free_bytes(const std::string& path) = 0;  // statvfs f_bavail

  // Sockets, until they are handed to a ring.
  virtual int socket(int domain, int type, int protocol) = 0;
  virtual int set_option(int fd, int level, int name, const void* value, socklen_t size_bytes) = 0;
  virtual int get_option(int fd, int level, int name, void* value, socklen_t* size_bytes) = 0;
  virtual int bind(int fd, const sockaddr* address, socklen_t size_bytes) = 0;
  virtual int listen(int fd, int backlog) = 0;
  virtual int local_address(int fd, sockaddr_storage& out) = 0;
  virtual int peer_address(int fd, sockaddr_storage& out) = 0;
};

// The real thing. Lives as long as the process.
Sys& real_sys();

}  // namespace ringgate::io
