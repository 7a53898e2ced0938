#include "tools/log/copying.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <vector>

#include "engine/io/sys.hpp"
#include "storage/log/segment_file.hpp"
#include "tools/log/common.hpp"

namespace ringgate::log_tool {

namespace {

namespace fs = std::filesystem;

constexpr std::size_t piece = 1 << 20;

std::string temporary_name(const std::string& name) { return "new-copy-" + name; }

Error gone(const std::string& path) { return {ENOENT, path + " is gone"}; }

// An open file of ours.
class Source {
 public:
  ~Source() {
    if (fd >= 0) io::real_sys().close(fd);
  }
  Result<void> open(const std::string& path, bool want_direct) {
    bool direct = false;
    fd = want_direct ? log::open_maybe_direct(io::real_sys(), path, O_RDONLY, 0, direct)
                     : io::real_sys().open(path, O_RDONLY, 0);
    if (fd < 0) return errno_error(-fd, path);
    const std::int64_t bytes = io::real_sys().file_size(fd);
    if (bytes < 0) return errno_error(static_cast<int>(-bytes), path);
    size = static_cast<std::uint64_t>(bytes);
    return {};
  }
  int fd = -1;
  std::uint64_t size = 0;
};

Result<void> keep_mode_and_time(int from, const std::string& to) {
  struct stat info {};
  if (::fstat(from, &info) != 0 || ::chmod(to.c_str(), info.st_mode & 07777) != 0) {
    return errno_error(errno, "cannot keep the mode of " + to);
  }
  // Owner and times are kept as far as we may.
  if (::chown(to.c_str(), info.st_uid, info.st_gid) != 0) errno = 0;
  const timespec times[] = {info.st_atim, info.st_mtim};
  if (::utimensat(AT_FDCWD, to.c_str(), times, 0) != 0) errno = 0;
  return {};
}

Result<std::uint64_t> copy_bytes(const Source& source, const std::string& path, std::uint64_t from,
                                 std::uint64_t to, log::SideFile& out, const Copied& copied) {
  const log::AlignedMemory buffer = log::aligned_memory(piece);
  std::uint64_t at = from;
  while (at < to && !interrupted()) {
    const std::int64_t got = io::real_sys().pread(source.fd, {buffer.get(), piece}, at);
    if (got < 0) return errno_error(static_cast<int>(-got), "cannot read " + path);
    if (got == 0) break;  // shorter than it says: its reader's matter
    const std::uint64_t size = std::min<std::uint64_t>(static_cast<std::uint64_t>(got), to - at);
    if (auto done = out.write(at, {buffer.get(), size}); !done) return done.error();
    copied(size);
    at += size;
    // What is left of a block at the file's end can't be read past the page cache, nor needs to.
    if (static_cast<std::uint64_t>(got) % log::block_size != 0 && at < to) break;
  }
  if (interrupted()) return Error{EINTR, "interrupted"};
  return at;
}

std::vector<std::uint8_t> read_at(const Source& source, std::uint64_t offset, std::size_t size) {
  std::vector<std::uint8_t> bytes(size);
  const std::int64_t got = io::real_sys().pread(source.fd, bytes, offset);
  bytes.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return bytes;
}

}  // namespace

Result<void> make_directories(const std::string& path, const std::string& like) {
  std::error_code error;
  if (fs::is_directory(path, error)) return {};
  fs::create_directories(path, error);
  if (error) return errno_error(error.value(), "cannot make " + path);
  struct stat info {};
  if (::stat(like.c_str(), &info) == 0) {
    fs::permissions(path, fs::perms(info.st_mode & 07777), error);
  }
  return {};
}

bool lies_in(const std::string& path, const std::string& directory) {
  std::error_code error;
  const fs::path inner = fs::weakly_canonical(path, error);
  const fs::path outer = fs::weakly_canonical(directory, error);
  return std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

Result<CopyDone> copy_file(const CopyOrder& order, const Copied& copied) {
  Source source;
  if (auto opened = source.open(order.from, order.direct); !opened) return opened.error();
  const std::string path = order.to_directory + "/" + temporary_name(order.to_name);
  const std::uint64_t size = std::min(source.size, order.bytes);
  if (order.link) {
    ::unlink(path.c_str());
    if (::link(order.from.c_str(), path.c_str()) == 0) {
      const bool same = !order.still_same || order.still_same();
      const std::string name = order.to_directory + "/" + order.to_name;
      if (same && ::rename(path.c_str(), name.c_str()) == 0) {
        ::unlink(path.c_str());  // both names led to one file already: rename does nothing then
        copied(size);
        return CopyDone{size, true};
      }
      ::unlink(path.c_str());
      return gone(order.from);
    }
    if (errno == ENOENT) return gone(order.from);
  }
  log::SideFile out(io::real_sys(), order.to_directory, temporary_name(order.to_name));
  if (auto opened = out.open(); !opened) return opened.error();
  const auto done = copy_bytes(source, order.from, 0, size, out, copied);
  if (!done) return done.error();
  if (auto kept = keep_mode_and_time(source.fd, out.path()); !kept) return kept.error();
  if (auto synced = out.sync(); !synced) return synced.error();
  if (order.still_same && !order.still_same()) return gone(order.from);
  if (auto named = out.name_as(order.to_name); !named) return named.error();
  return CopyDone{*done, false};
}

bool looks_equal(const std::string& a, const std::string& b,
                 std::optional<std::uint64_t> size_bytes) {
  Source first;
  Source second;
  if (!first.open(a, false) || !second.open(b, false)) return false;
  const std::uint64_t size = size_bytes ? *size_bytes : first.size;
  if (second.size != size || first.size < size) return false;
  if (read_at(first, 0, log::records_offset) != read_at(second, 0, log::records_offset)) {
    return false;
  }
  const std::uint64_t last = size > log::block_size ? size - log::block_size : 0;
  const auto left = static_cast<std::size_t>(size - last);
  return read_at(first, last, left) == read_at(second, last, left);
}

log::Seal seal_of(const log::SegmentState& segment) {
  log::Seal seal{.kind = log::SealKind::recovered,
                 .end = segment.end,
                 .damaged = segment.damage.size()};
  log::SegmentFile& file = *segment.file;
  for (Position at = segment.header().base; at < segment.end;) {
    const auto record = file.record_at(at);
    if (!record) {
      at = find_record(file, at + 8, segment.end);
      continue;
    }
    at = record->end();
    if (record->is_own()) continue;
    if (seal.records++ == 0) seal.first_received_us = record->header.received_us;
    seal.last_received_us = record->header.received_us;
  }
  return seal;
}

Result<CopyDone> copy_open_segment(const log::SegmentState& segment, const std::string& from,
                                   const std::string& to_directory, const Copied& copied) {
  Source source;
  if (auto opened = source.open(from, true); !opened) return opened.error();
  log::SideFile out(io::real_sys(), to_directory, temporary_name(segment.name));
  if (auto opened = out.open(); !opened) return opened.error();
  const log::SegmentHeader& header = segment.header();
  const log::AlignedMemory head = log::aligned_memory(log::records_offset);
  std::fill_n(head.get(), log::records_offset, std::uint8_t{0});
  log::encode_header(header, {head.get(), log::block_size});
  log::encode_seal(seal_of(segment), header.epoch,
                   {head.get() + log::seal_offset, log::block_size});
  if (auto done = out.write(0, {head.get(), log::records_offset}); !done) return done.error();
  const std::uint64_t end = header.offset_of(segment.end);
  const auto done = copy_bytes(source, from, log::records_offset, end, out, copied);
  if (!done) return done.error();
  // The file ends at a block, as recovery would leave it.
  const std::uint64_t blocks = align_up(end, log::block_size);
  if (*done == end && blocks > end) {
    const std::vector<std::uint8_t> zeros(blocks - end);
    if (auto filled = out.write(end, zeros); !filled) return filled.error();
  }
  if (auto kept = keep_mode_and_time(source.fd, out.path()); !kept) return kept.error();
  if (auto synced = out.sync(); !synced) return synced.error();
  // Read after the copy: the same epoch then means that it was this segment all the while.
  if (!segment.file->refresh()) return gone(from);
  segment.file->release();
  if (auto named = out.name_as(segment.name); !named) return named.error();
  return CopyDone{*done, false};
}

}  // namespace ringgate::log_tool
