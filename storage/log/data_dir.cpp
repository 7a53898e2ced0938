#include "storage/log/data_dir.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "storage/log/limits.hpp"

namespace ringgate::log {

namespace {

constexpr std::size_t small_file_step = 4096;
// The longest are cursors: some 25 bytes for each stream of each run that is not read to its end,
// and a sink that was away for many restarts has many.
constexpr std::size_t small_file_max = 16U << 20;
constexpr MonoNs lock_step = 50 * ns_per_ms;

std::string_view trimmed(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  return text;
}

Result<void> make_directory(io::Sys& sys, const std::string& path) {
  const int result = sys.make_directory(path, 0750);
  if (result < 0 && result != -EEXIST) {
    return errno_error(-result, "cannot make the directory " + path);
  }
  return {};
}

std::string parent_of(const std::string& path) {
  const std::size_t last = path.find_last_not_of('/');
  const std::size_t slash = path.rfind('/', last);
  if (last == std::string::npos || slash == 0) return "/";
  return slash == std::string::npos ? "." : path.substr(0, slash);
}

}  // namespace

Result<std::string> read_small_file(io::Sys& sys, const std::string& path) {
  const int fd = sys.open(path, O_RDONLY, 0);
  if (fd < 0) return errno_error(-fd, "cannot read " + path);
  std::string text;
  std::int64_t got = 0;
  do {
    const std::size_t size = text.size();
    text.resize(size + small_file_step);
    got = sys.pread(fd, {reinterpret_cast<std::uint8_t*>(text.data()) + size, small_file_step},
                    size);
    text.resize(size + static_cast<std::size_t>(std::max<std::int64_t>(got, 0)));
  } while (got > 0 && text.size() <= small_file_max);
  sys.close(fd);
  if (got < 0) return errno_error(static_cast<int>(-got), "cannot read " + path);
  if (text.size() > small_file_max) return errno_error(EFBIG, "cannot read " + path);
  return text;
}

Result<void> replace_small_file(io::Sys& sys, const std::string& directory, const std::string& name,
                                std::string_view text) {
  const std::string path = directory + "/" + name;
  const std::string fresh = path + ".new";
  const int fd = sys.open(fresh, O_WRONLY | O_CREAT | O_TRUNC, 0640);
  if (fd < 0) return errno_error(-fd, "cannot write " + fresh);
  std::int64_t result = sys.pwrite(fd, as_bytes(text), 0);
  if (result >= 0 && result != static_cast<std::int64_t>(text.size())) result = -ENOSPC;
  if (result >= 0) result = sys.data_sync(fd);
  sys.close(fd);
  if (result >= 0) result = sys.rename(fresh, path);
  if (result >= 0) result = sys.sync_directory(directory);
  if (result < 0) return errno_error(static_cast<int>(-result), "cannot write " + path);
  return {};
}

bool is_held(io::Sys& sys, const std::string& data_dir) {
  const int fd = sys.open(data_dir + "/lock", O_RDONLY, 0);
  if (fd < 0) return false;
  const bool held = sys.lock_exclusive(fd) < 0;
  sys.close(fd);
  return held;
}

Result<std::unique_ptr<DataDir>> DataDir::open(io::Sys& sys, const std::string& path) {
  std::unique_ptr<DataDir> dir(new DataDir(sys, path));
  if (auto made = make_directory(sys, path); !made) return made.error();
  if (const int result = sys.sync_directory(parent_of(path)); result < 0) {
    return errno_error(-result, "cannot sync the directory " + parent_of(path));
  }
  if (auto locked = dir->take_lock(); !locked) return locked.error();
  if (auto made = make_directory(sys, dir->log_path()); !made) return made.error();
  if (const int result = sys.sync_directory(path); result < 0) {
    return errno_error(-result, "cannot sync the directory " + path);
  }
  if (auto known = dir->load_node(); !known) return known.error();
  if (auto counted = dir->next_run(); !counted) return counted.error();
  return dir;
}

DataDir::~DataDir() {
  if (lock_fd_ >= 0) sys_.close(lock_fd_);
}

Result<void> DataDir::take_lock() {
  const std::string file = path_ + "/lock";
  lock_fd_ = sys_.open(file, O_RDWR | O_CREAT, 0640);
  if (lock_fd_ < 0) return errno_error(-lock_fd_, "cannot open " + file);
  // The patience is real time even where the clock is simulated: it waits for another process.
  int result = sys_.lock_exclusive(lock_fd_);
  for (MonoNs waited = 0; result == -EWOULDBLOCK && waited < lock_patience; waited += lock_step) {
    ::poll(nullptr, 0, static_cast<int>(lock_step / ns_per_ms));
    result = sys_.lock_exclusive(lock_fd_);
  }
  if (result == -EWOULDBLOCK) {
    const auto holder = read_small_file(sys_, file);
    const std::string pid = holder ? std::string(trimmed(*holder)) : std::string("unknown");
    return Error{
        EWOULDBLOCK,
        fmt::format("the data directory {} is in use by process {}; stop it first, or give "
                    "this one its own directory (server.data_dir)",
                    path_, pid)};
  }
  if (result < 0) return errno_error(-result, "cannot lock " + file);
  const std::string pid = fmt::format("{}\n", ::getpid());
  sys_.truncate(lock_fd_, 0);
  sys_.pwrite(lock_fd_, as_bytes(pid), 0);  // for people only: a failure changes nothing
  return {};
}

Result<void> DataDir::load_node() {
  const std::string file = path_ + "/node";
  const auto text = read_small_file(sys_, file);
  if (text) {
    const auto node = node_from_text(*text);
    if (!node) {
      return Error{0, file +
                          " holds no UUID; restore it from a copy, or move the data directory away "
                          "to start a new node"};
    }
    node_ = *node;
    return {};
  }
  if (text.error().code != ENOENT) return text.error();
  sys_.random_bytes(node_);
  node_[6] = static_cast<std::uint8_t>((node_[6] & 0x0f) | 0x40);  // RFC 9562 5.4: version 4
  node_[8] = static_cast<std::uint8_t>((node_[8] & 0x3f) | 0x80);
  return replace_small_file(sys_, path_, "node", to_text(node_) + "\n");
}

Result<void> DataDir::next_run() {
  const std::string file = path_ + "/run";
  const auto text = read_small_file(sys_, file);
  std::uint32_t last = 0;
  if (text) {
    const std::string_view digits = trimmed(*text);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), last);
    if (error != std::errc() || end != digits.data() + digits.size()) {
      return Error{0,
                   file + " holds no number; write the highest run of the files in log/ into it"};
    }
  } else if (text.error().code != ENOENT) {
    return text.error();
  } else {
    // A lost counter must not repeat a run: the files know better.
    std::vector<io::DirectoryEntry> entries;
    if (const int result = sys_.list_directory(log_path(), entries); result < 0) {
      return errno_error(-result, "cannot list " + log_path());
    }
    for (const io::DirectoryEntry& entry : entries) {
      const auto name = parse_segment_file_name(entry.name);
      if (name && name->stream.run > last) last = name->stream.run;
    }
  }
  run_ = last + 1;
  return replace_small_file(sys_, path_, "run", fmt::format("{}\n", run_));
}

}  // namespace ringgate::log
