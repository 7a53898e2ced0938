// Sys over the running system. Stateless; any thread.
#include <fcntl.h>
#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "engine/base/check.hpp"
#include "engine/io/sys.hpp"

namespace ringgate::io {
namespace {

template <class T>
T or_errno(T result) {
  return result < 0 ? static_cast<T>(-errno) : result;
}

std::int64_t read_clock_ns(clockid_t which) {
  timespec now{};
  RG_CHECK(clock_gettime(which, &now) == 0);
  return now.tv_sec * ns_per_s + now.tv_nsec;
}

class RealSys final : public Sys {
 public:
  MonoNs mono_now() override { return read_clock_ns(CLOCK_MONOTONIC); }
  WallUs wall_now() override { return read_clock_ns(CLOCK_REALTIME) / ns_per_us; }
  void random_bytes(MutableBytes out) override {
    while (!out.empty()) {
      const ssize_t got = getrandom(out.data(), out.size(), 0);
      if (got < 0 && errno == EINTR) continue;  // a signal before the pool was ready
      RG_CHECK(got > 0);
      out = out.subspan(static_cast<std::size_t>(got));
    }
  }

  int open(const std::string& path, int flags, unsigned mode) override {
    return or_errno(::open(path.c_str(), flags | O_CLOEXEC, mode));
  }
  int close(int fd) override { return or_errno(::close(fd)); }
  std::int64_t pread(int fd, MutableBytes into, std::uint64_t offset) override {
    return again_on_signal(
        [&] { return ::pread(fd, into.data(), into.size(), static_cast<off_t>(offset)); });
  }
  std::int64_t pwrite(int fd, Bytes from, std::uint64_t offset) override {
    return again_on_signal(
        [&] { return ::pwrite(fd, from.data(), from.size(), static_cast<off_t>(offset)); });
  }
  int fallocate(int fd, std::uint64_t offset, std::uint64_t size_bytes) override {
    return static_cast<int>(again_on_signal([&] {
      return ::fallocate(fd, 0, static_cast<off_t>(offset), static_cast<off_t>(size_bytes));
    }));
  }
  void will_need(int fd, std::uint64_t offset, std::uint64_t size_bytes) override {
    ::posix_fadvise(fd, static_cast<off_t>(offset), static_cast<off_t>(size_bytes),
                    POSIX_FADV_WILLNEED);
  }
  int truncate(int fd, std::uint64_t size_bytes) override {
    return static_cast<int>(
        again_on_signal([&] { return ::ftruncate(fd, static_cast<off_t>(size_bytes)); }));
  }
  int data_sync(int fd) override { return or_errno(::fdatasync(fd)); }
  std::int64_t file_size(int fd) override {
    struct stat info {};
    if (::fstat(fd, &info) != 0) return -errno;
    return info.st_size;
  }
  int lock_exclusive(int fd) override {
    return static_cast<int>(again_on_signal([&] { return ::flock(fd, LOCK_EX | LOCK_NB); }));
  }
  int is_named(int fd, const std::string& path) override {
    struct stat open {};
    struct stat named {};
    if (::fstat(fd, &open) != 0) return -errno;
    if (::stat(path.c_str(), &named) != 0) return errno == ENOENT ? 0 : -errno;
    return open.st_dev == named.st_dev && open.st_ino == named.st_ino ? 1 : 0;
  }
  int is_only_ours(int fd) override {
    struct stat info {};
    if (::fstat(fd, &info) != 0) return -errno;
    if (info.st_nlink != 1) return 0;
    // The kernel gives such a lease only on a file that nobody else has open. Should somebody open
    // it in this moment, the signal that says so is one that is ignored.
    if (::fcntl(fd, F_SETSIG, SIGURG) != 0) return -errno;
    if (::fcntl(fd, F_SETLEASE, F_WRLCK) != 0) return errno == EAGAIN ? 0 : -errno;
    return ::fcntl(fd, F_SETLEASE, F_UNLCK) == 0 ? 1 : -errno;
  }

  int make_directory(const std::string& path, unsigned mode) override {
    return or_errno(::mkdir(path.c_str(), mode));
  }
  int list_directory(const std::string& path, std::vector<DirectoryEntry>& out) override;
  int rename_new(const std::string& from, const std::string& to) override {
    return or_errno(::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE));
  }
  int rename(const std::string& from, const std::string& to) override {
    return or_errno(::rename(from.c_str(), to.c_str()));
  }
  int remove(const std::string& path) override { return or_errno(::remove(path.c_str())); }
  int sync_directory(const std::string& path) override {
    const int fd = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return -errno;
    const int result = or_errno(::fsync(fd));
    ::close(fd);
    return result;
  }
  std::int64_t free_bytes(const std::string& path) override {
    struct statvfs info {};
    if (::statvfs(path.c_str(), &info) != 0) return -errno;
    return static_cast<std::int64_t>(info.f_bavail * info.f_frsize);
  }

  int socket(int domain, int type, int protocol) override {
    return or_errno(::socket(domain, type | SOCK_CLOEXEC, protocol));
  }
  int set_option(int fd, int level, int name, const void* value, socklen_t size_bytes) override {
    return or_errno(::setsockopt(fd, level, name, value, size_bytes));
  }
  int get_option(int fd, int level, int name, void* value, socklen_t* size_bytes) override {
    return or_errno(::getsockopt(fd, level, name, value, size_bytes));
  }
  int bind(int fd, const sockaddr* address, socklen_t size_bytes) override {
    return or_errno(::bind(fd, address, size_bytes));
  }
  int listen(int fd, int backlog) override { return or_errno(::listen(fd, backlog)); }
  int local_address(int fd, sockaddr_storage& out) override {
    socklen_t size_bytes = sizeof out;
    return or_errno(::getsockname(fd, reinterpret_cast<sockaddr*>(&out), &size_bytes));
  }
  int peer_address(int fd, sockaddr_storage& out) override {
    socklen_t size_bytes = sizeof out;
    return or_errno(::getpeername(fd, reinterpret_cast<sockaddr*>(&out), &size_bytes));
  }

 private:
  // A signal may cut a slow call short before it did anything; the caller has no use for that.
  template <class Call>
  static std::int64_t again_on_signal(Call&& call) {
    for (;;) {
      const std::int64_t result = call();
      if (result >= 0) return result;
      if (errno != EINTR) return -errno;
    }
  }
};

int RealSys::list_directory(const std::string& path, std::vector<DirectoryEntry>& out) {
  out.clear();
  DIR* directory = ::opendir(path.c_str());
  if (directory == nullptr) return -errno;
  int result = 0;
  for (;;) {
    errno = 0;
    const dirent* entry = ::readdir(directory);
    if (entry == nullptr) {
      result = -errno;
      break;
    }
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    struct stat info {};
    // Removed between readdir and here: as if it had not been there.
    if (::fstatat(::dirfd(directory), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
    out.push_back({std::string{name}, static_cast<std::uint64_t>(info.st_size),
                   S_ISDIR(info.st_mode)});
  }
  ::closedir(directory);
  return result;
}

}  // namespace

Sys& real_sys() {
  static RealSys sys;
  return sys;
}

}  // namespace ringgate::io
