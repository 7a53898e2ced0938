// The real system calls with a clock that stands until the test moves it.
#pragma once

#include "engine/io/sys.hpp"

namespace ringgate::unit {

class ManualSys : public io::Sys {
 public:
  void advance(MonoNs by) { now_ns_ += by; }

  MonoNs mono_now() override { return now_ns_; }
  WallUs wall_now() override { return now_ns_ / ns_per_us; }
  void random_bytes(MutableBytes out) override { real_.random_bytes(out); }
  int open(const std::string& path, int flags, unsigned mode) override {
    return real_.open(path, flags, mode);
  }
  int close(int fd) override { return real_.close(fd); }
  std::int64_t pread(int fd, MutableBytes into, std::uint64_t offset) override {
    return real_.pread(fd, into, offset);
  }
  std::int64_t pwrite(int fd, Bytes from, std::uint64_t offset) override {
    return real_.pwrite(fd, from, offset);
  }
  int fallocate(int fd, std::uint64_t offset, std::uint64_t size_bytes) override {
    return real_.fallocate(fd, offset, size_bytes);
  }
  int truncate(int fd, std::uint64_t size_bytes) override { return real_.truncate(fd, size_bytes); }
  int data_sync(int fd) override { return real_.data_sync(fd); }
  std::int64_t file_size(int fd) override { return real_.file_size(fd); }
  int lock_exclusive(int fd) override { return real_.lock_exclusive(fd); }
  int is_named(int fd, const std::string& path) override { return real_.is_named(fd, path); }
  int is_only_ours(int fd) override { return real_.is_only_ours(fd); }
  int make_directory(const std::string& path, unsigned mode) override {
    return real_.make_directory(path, mode);
  }
  int list_directory(const std::string& path, std::vector<io::DirectoryEntry>& out) override {
    return real_.list_directory(path, out);
  }
  int rename(const std::string& from, const std::string& to) override {
    return real_.rename(from, to);
  }
  int rename_new(const std::string& from, const std::string& to) override {
    return real_.rename_new(from, to);
  }
  int remove(const std::string& path) override { return real_.remove(path); }
  int sync_directory(const std::string& path) override { return real_.sync_directory(path); }
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
  int local_address(int fd, sockaddr_storage& out) override {
    return real_.local_address(fd, out);
  }
  int peer_address(int fd, sockaddr_storage& out) override { return real_.peer_address(fd, out); }

 private:
  io::Sys& real_ = io::real_sys();
  MonoNs now_ns_ = 1'000 * ns_per_s;
};

}  // namespace ringgate::unit
