#include "tools/load/crowd/acked.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <memory>

namespace ringgate::load {
namespace {

constexpr std::size_t entry_bytes = AckedWriter::entry_bytes;
constexpr std::size_t read_bytes = entry_bytes * 65'536;

}  // namespace

Result<AckedWriter> AckedWriter::open(const std::string& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) return errno_error(errno, path);
  return AckedWriter(fd, path);
}

AckedWriter::AckedWriter(AckedWriter&& other) noexcept
    : fd_(other.fd_), path_(std::move(other.path_)), pending_(std::move(other.pending_)),
      count_(other.count_) {
  other.fd_ = -1;
}

AckedWriter::~AckedWriter() {
  if (fd_ < 0) return;
  static_cast<void>(flush());
  ::close(fd_);
}

void AckedWriter::add(const Acked& one) {
  if (fd_ < 0) return;
  const std::size_t at = pending_.size();
  pending_.resize(at + entry_bytes);
  store_native(&pending_[at], one.phone);
  const auto ms = static_cast<std::uint64_t>(std::max<WallUs>(one.wall_us, 0) / 1'000);
  store_native(&pending_[at + 8], ms << 16 | one.serial);
  ++count_;
}

Result<void> AckedWriter::flush() {
  std::size_t done = 0;
  while (fd_ >= 0 && done < pending_.size()) {
    const ssize_t wrote = ::write(fd_, pending_.data() + done, pending_.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      const int error = errno;
      ::close(fd_);
      fd_ = -1;
      pending_.clear();
      return errno_error(error, path_);
    }
    done += static_cast<std::size_t>(wrote);
  }
  pending_.clear();
  return {};
}

Result<std::vector<Acked>> read_acked(const std::string& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno_error(errno, path);
  std::vector<Acked> out;
  const auto bytes = std::make_unique_for_overwrite<std::uint8_t[]>(read_bytes);
  std::size_t kept = 0;
  while (true) {
    const ssize_t got = ::read(fd, bytes.get() + kept, read_bytes - kept);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) {
      const int error = errno;
      ::close(fd);
      return errno_error(error, path);
    }
    if (got == 0) break;
    kept += static_cast<std::size_t>(got);
    std::size_t at = 0;
    for (; at + entry_bytes <= kept; at += entry_bytes) {
      const auto low = load_native<std::uint64_t>(bytes.get() + at + 8);
      out.push_back({.phone = load_native<std::uint64_t>(bytes.get() + at),
                     .wall_us = static_cast<WallUs>(low >> 16) * 1'000,
                     .serial = static_cast<std::uint16_t>(low)});
    }
    std::copy(bytes.get() + at, bytes.get() + kept, bytes.get());
    kept -= at;
  }
  ::close(fd);
  return out;
}

}  // namespace ringgate::load
