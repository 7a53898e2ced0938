// A process that dies after some calls that change something on the disk: from then on nothing it
// does there has an effect. For simulations of what works through Sys.
#pragma once

#include <fcntl.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "engine/io/sys.hpp"

namespace ringgate::sim {

class MortalSys final : public io::Sys {
 public:
  MortalSys(io::Sys& sys, std::uint64_t steps) : sys_(sys), steps_(steps) {}
  bool dead() const { return steps_ == 0; }

  MonoNs mono_now() override { return sys_.mono_now() + skipped_ns; }
  WallUs wall_now() override { return sys_.wall_now(); }
  void random_bytes(MutableBytes out) override { sys_.random_bytes(out); }
  int open(const std::string& path, int flags, unsigned mode) override {
    if (dead() && (flags & (O_CREAT | O_TRUNC)) != 0) return -EIO;
    return sys_.open(path, flags, mode);
  }
  int close(int fd) override { return sys_.close(fd); }
  std::int64_t pread(int fd, MutableBytes into, std::uint64_t offset) override {
    return sys_.pread(fd, into, offset);
  }
  std::int64_t pwrite(int fd, Bytes from, std::uint64_t offset) override {
    return step() ? sys_.pwrite(fd, from, offset) : -EIO;
  }
  int fallocate(int fd, std::uint64_t offset, std::uint64_t size) override {
    return step() ? sys_.fallocate(fd, offset, size) : -EIO;
  }
  int truncate(int fd, std::uint64_t size) override {
    return step() ? sys_.truncate(fd, size) : -EIO;
  }
  int data_sync(int fd) override { return step() ? sys_.data_sync(fd) : -EIO; }
  std::int64_t file_size(int fd) override { return sys_.file_size(fd); }
  int lock_exclusive(int fd) override { return sys_.lock_exclusive(fd); }
  int is_named(int fd, const std::string& path) override { return sys_.is_named(fd, path); }
  int is_only_ours(int fd) override { return sys_.is_only_ours(fd); }
  int make_directory(const std::string& path, unsigned mode) override {
    return step() ? sys_.make_directory(path, mode) : -EIO;
  }
  int list_directory(const std::string& path, std::vector<io::DirectoryEntry>& out) override {
    return sys_.list_directory(path, out);
  }
  int rename(const std::string& from, const std::string& to) override {
    return step() ? sys_.rename(from, to) : -EIO;
  }
  int rename_new(const std::string& from, const std::string& to) override {
    return step() ? sys_.rename_new(from, to) : -EIO;
  }
  int remove(const std::string& path) override { return step() ? sys_.remove(path) : -EIO; }
  int sync_directory(const std::string& path) override {
    return step() ? sys_.sync_directory(path) : -EIO;
  }
  std::int64_t free_bytes(const std::string& path) override { return sys_.free_bytes(path); }
  int socket(int, int, int) override { return -EIO; }
  int set_option(int, int, int, const void*, socklen_t) override { return -EIO; }
  int get_option(int, int, int, void*, socklen_t*) override { return -EIO; }
  int bind(int, const sockaddr*, socklen_t) override { return -EIO; }
  int listen(int, int) override { return -EIO; }
  int local_address(int, sockaddr_storage&) override { return -EIO; }
  int peer_address(int, sockaddr_storage&) override { return -EIO; }

  MonoNs skipped_ns = 0;

 private:
  bool step() {
    if (steps_ == 0) return false;
    --steps_;
    return true;
  }
  io::Sys& sys_;
  std::uint64_t steps_;
};

}  // namespace ringgate::sim
