#include "storage/log/side_file.hpp"

#include <fcntl.h>

#include <utility>

namespace ringgate::log {

SideFile::SideFile(io::Sys& sys, std::string directory, std::string temporary)
    : sys_(sys), directory_(std::move(directory)), path_(directory_ + "/" + temporary) {}

SideFile::~SideFile() {
  if (fd_ >= 0) sys_.close(fd_);
  if (made_) sys_.remove(path_);
}

Result<void> SideFile::open() {
  fd_ = sys_.open(path_, O_RDWR | O_CREAT | O_TRUNC, 0640);
  if (fd_ < 0) return errno_error(-fd_, "cannot write " + path_);
  made_ = true;
  return {};
}

Result<void> SideFile::write(std::uint64_t offset, Bytes bytes) {
  std::int64_t result = sys_.pwrite(fd_, bytes, offset);
  if (result >= 0 && result != static_cast<std::int64_t>(bytes.size())) result = -ENOSPC;
  if (result < 0) return errno_error(static_cast<int>(-result), "cannot write " + path_);
  return {};
}

Result<void> SideFile::sync() {
  if (const int result = sys_.data_sync(fd_); result < 0) {
    return errno_error(-result, "cannot sync " + path_);
  }
  return {};
}

Result<void> SideFile::name_as(const std::string& name) {
  const std::string path = directory_ + "/" + name;
  int result = sys_.rename(path_, path);
  if (result >= 0) {
    made_ = false;
    result = sys_.sync_directory(directory_);
  }
  if (result < 0) return errno_error(-result, "cannot put " + path + " in place");
  return {};
}

Result<void> put_side_file(io::Sys& sys, const std::string& directory, const std::string& temporary,
                           const std::string& name, Bytes bytes) {
  SideFile file(sys, directory, temporary);
  if (auto done = file.open(); !done) return done;
  if (auto done = file.write(0, bytes); !done) return done;
  if (auto done = file.sync(); !done) return done;
  return file.name_as(name);
}

}  // namespace ringgate::log
