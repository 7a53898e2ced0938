// What the kernel gives for many durable files on a bare ring, for attachment-bench: files of one
// size in O_DIRECT writes of 256 KiB, each file synced (fdatasync), then renamed, then its
// directory synced once for all that were renamed meanwhile. In new space, which is removed again,
// or written over files that are there, as the store does with expired ones. No socket, no log, no
// copying.
#pragma once

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/io/ring.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/segment_file.hpp"

namespace ringgate::bench {

class BareFiles {
 public:
  enum class Space : std::uint8_t { fresh, again };

  BareFiles(std::string directory, std::unique_ptr<io::Ring> ring, std::uint32_t file_bytes,
            std::size_t at_once, Space space)
      : directory_(std::move(directory)), ring_(std::move(ring)), file_bytes_(file_bytes),
        space_(space), content_(log::aligned_memory(file_bytes)), files_(at_once) {
    std::memset(content_.get(), 0x5a, file_bytes);
    std::filesystem::create_directories(directory_);
    directory_fd_ = check(::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (space_ == Space::again) {
      while (old_.size() < 2 * at_once) make_old();
    }
  }
  ~BareFiles() {
    ::close(directory_fd_);
    std::filesystem::remove_all(directory_);
  }
  BareFiles(const BareFiles&) = delete;
  BareFiles& operator=(const BareFiles&) = delete;

  // MB/s of files that became durable.
  double run(double seconds) {
    const MonoNs start = io::real_sys().mono_now();
    const std::uint64_t before = done_;
    for (bool enough = false;;) {
      bool live = false;
      for (std::size_t i = 0; i < files_.size(); ++i) {
        if (files_[i].fd < 0 && !enough) begin(files_[i]);
        if (files_[i].fd < 0) continue;
        live = true;
        write_more(i);
      }
      if (!live) break;
      ring_->submit_and_wait(1, io::wait_forever);
      take_completions();
      sync_names();
      const auto passed = static_cast<double>(io::real_sys().mono_now() - start);
      enough = passed > seconds * 1e9;
    }
    const auto took = static_cast<double>(io::real_sys().mono_now() - start) / 1e9;
    return static_cast<double>(done_ - before) * file_bytes_ / 1e6 / took;
  }

 private:
  static constexpr std::uint32_t write_bytes = 256 << 10;
  static constexpr std::uint32_t in_flight_max = 4;
  enum class Op : std::uint64_t { write, sync, names };
  struct File {
    int fd = -1;
    std::string name;
    std::uint32_t next = 0;
    std::uint32_t in_flight = 0;
  };

  static int check(int result) {
    if (result >= 0) return result;
    fmt::print(stderr, "bare files: {}\n", std::strerror(errno));
    std::exit(1);
  }
  std::string new_name() { return fmt::format("{}/{}", directory_, number_++); }
  void make_old() {
    old_.push_back(new_name());
    const int fd = check(::open(old_.back().c_str(), O_RDWR | O_CREAT | O_DIRECT, 0600));
    check(static_cast<int>(::pwrite(fd, content_.get(), file_bytes_, 0)));
    check(::fsync(fd));
    ::close(fd);
  }
  void begin(File& file) {
    file.next = 0;
    if (space_ == Space::again) {
      file.name = old_.front();
      old_.pop_front();
      file.fd = check(::open(file.name.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC));
    } else {
      file.name = new_name();
      file.fd = check(::open(file.name.c_str(), O_RDWR | O_CREAT | O_DIRECT | O_CLOEXEC, 0600));
      check(::fallocate(file.fd, 0, 0, file_bytes_));
    }
  }
  void submit(io_uring_sqe* sqe, Op op, std::size_t index) {
    sqe->user_data = static_cast<std::uint64_t>(op) << 32 | index;
  }
  void write_more(std::size_t index) {
    File& file = files_[index];
    while (file.next < file_bytes_ && file.in_flight < in_flight_max) {
      const std::uint32_t size = std::min(write_bytes, file_bytes_ - file.next);
      io_uring_sqe* sqe = ring_->next_sqe();
      io_uring_prep_write(sqe, file.fd, content_.get() + file.next, size, file.next);
      submit(sqe, Op::write, index);
      file.next += size;
      ++file.in_flight;
    }
  }
  void take_completions() {
    io_uring_cqe batch[64];
    for (std::size_t count = 64; count == 64;) {
      count = ring_->drain(batch, 64);
      for (std::size_t i = 0; i < count; ++i) complete(batch[i]);
    }
  }
  void complete(const io_uring_cqe& cqe) {
    errno = -cqe.res;
    check(cqe.res);
    const auto index = static_cast<std::uint32_t>(cqe.user_data);
    switch (static_cast<Op>(cqe.user_data >> 32)) {
      case Op::write:
        if (--files_[index].in_flight == 0 && files_[index].next == file_bytes_) {
          io_uring_sqe* sqe = ring_->next_sqe();
          io_uring_prep_fsync(sqe, files_[index].fd, IORING_FSYNC_DATASYNC);
          submit(sqe, Op::sync, index);
        }
        return;
      case Op::sync: {
        const std::string name = new_name();
        check(::rename(files_[index].name.c_str(), name.c_str()));
        files_[index].name = name;
        named_.push_back(index);
        return;
      }
      case Op::names:
        names_busy_ = false;
        for (const std::uint32_t one : syncing_) finish(files_[one]);
        syncing_.clear();
    }
  }
  void sync_names() {
    if (names_busy_ || named_.empty()) return;
    names_busy_ = true;
    syncing_.swap(named_);
    io_uring_sqe* sqe = ring_->next_sqe();
    io_uring_prep_fsync(sqe, directory_fd_, 0);
    submit(sqe, Op::names, 0);
  }
  void finish(File& file) {
    ::close(file.fd);
    file.fd = -1;
    ++done_;
    old_.push_back(file.name);
    if (space_ == Space::again || old_.size() <= 2 * files_.size()) return;
    check(::unlink(old_.front().c_str()));
    old_.pop_front();
  }

  std::string directory_;
  std::unique_ptr<io::Ring> ring_;
  std::uint32_t file_bytes_;
  Space space_;
  log::AlignedMemory content_;
  std::vector<File> files_;
  std::deque<std::string> old_;
  std::vector<std::uint32_t> named_;    // their directory is not synced yet
  std::vector<std::uint32_t> syncing_;
  bool names_busy_ = false;
  int directory_fd_ = -1;
  std::uint64_t number_ = 0;
  std::uint64_t done_ = 0;
};

}  // namespace ringgate::bench
