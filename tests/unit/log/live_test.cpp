// A log that is being written, seen from outside: what is counted, what is read of it, and whether
// somebody writes it.
#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <utility>

#include "storage/log/reader.hpp"
#include "tests/unit/log/log_rig.hpp"

using namespace ringgate;
using namespace ringgate::log;

namespace {

// Calls something just before a directory is listed.
class HookedSys final : public io::Sys {
 public:
  std::function<void()> before_listing;

  MonoNs mono_now() override { return real_.mono_now(); }
  WallUs wall_now() override { return real_.wall_now(); }
  void random_bytes(MutableBytes out) override { real_.random_bytes(out); }
  int open(const std::string& path, int flags, unsigned mode) override {
    return real_.open(path, flags, mode);
  }
  int close(int fd) override { return real_.close(fd); }
  std::int64_t pread(int fd, MutableBytes into, std::uint64_t offset) override {
    return real_.pread(fd, into, offset);
  }
  std::int64_t pwrite(int, Bytes, std::uint64_t) override { return -EROFS; }
  int fallocate(int, std::uint64_t, std::uint64_t) override { return -EROFS; }
  int truncate(int, std::uint64_t) override { return -EROFS; }
  int data_sync(int) override { return -EROFS; }
  std::int64_t file_size(int fd) override { return real_.file_size(fd); }
  int lock_exclusive(int fd) override { return real_.lock_exclusive(fd); }
  int is_named(int fd, const std::string& path) override { return real_.is_named(fd, path); }
  int is_only_ours(int fd) override { return real_.is_only_ours(fd); }
  int make_directory(const std::string&, unsigned) override { return -EROFS; }
  int list_directory(const std::string& path, std::vector<io::DirectoryEntry>& out) override {
    if (const auto hook = std::exchange(before_listing, {})) hook();
    return real_.list_directory(path, out);
  }
  int rename(const std::string&, const std::string&) override { return -EROFS; }
  int rename_new(const std::string&, const std::string&) override { return -EROFS; }
  int remove(const std::string&) override { return -EROFS; }
  int sync_directory(const std::string&) override { return -EROFS; }
  std::int64_t free_bytes(const std::string& path) override { return real_.free_bytes(path); }
  int socket(int, int, int) override { return -EROFS; }
  int set_option(int, int, int, const void*, socklen_t) override { return -EROFS; }
  int get_option(int, int, int, void*, socklen_t*) override { return -EROFS; }
  int bind(int, const sockaddr*, socklen_t) override { return -EROFS; }
  int listen(int, int) override { return -EROFS; }
  int local_address(int, sockaddr_storage&) override { return -EROFS; }
  int peer_address(int, sockaddr_storage&) override { return -EROFS; }

 private:
  io::Sys& real_ = io::real_sys();
};

void append(Rig& rig, std::uint64_t from, std::uint64_t to) {
  for (std::uint64_t i = from; i < to; ++i) {
    if (!rig.writer->has_room(200)) rig.commit();
    REQUIRE(append_sample(*rig.writer, i) != 0);
  }
  rig.commit();
}

std::uint64_t read_all(Reader& reader) {
  std::uint64_t count = 0;
  for (Entry entry; reader.next(entry);) ++count;
  return count;
}

}  // namespace

TEST_CASE("a gateway that starts just before a reader lists is not taken for dead") {
  const ScratchDir dir;
  std::make_unique<Rig>(small_options(dir.path()));
  HookedSys sys;
  const auto reader = Reader::open(sys, dir.path(), {});
  REQUIRE(reader.ok());
  CHECK_FALSE((*reader)->live());
  std::unique_ptr<Rig> gateway;
  sys.before_listing = [&] {
    gateway = std::make_unique<Rig>(small_options(dir.path()));
    append(*gateway, 0, 10);
  };
  REQUIRE((*reader)->refresh());
  CHECK((*reader)->live());
}

TEST_CASE("what a gateway left that ended while a reader lists is read at once") {
  const ScratchDir dir;
  auto gateway = std::make_unique<Rig>(small_options(dir.path()));
  append(*gateway, 0, 10);
  HookedSys sys;
  const auto reader = Reader::open(sys, dir.path(), {});
  REQUIRE(reader.ok());
  REQUIRE((*reader)->live());
  std::uint64_t seen = read_all(**reader);
  sys.before_listing = [&] {
    // The first listing is over, the second lacks nothing.
    sys.before_listing = [&] {
      append(*gateway, 10, 5000);  // several segments
      gateway.reset();
    };
  };
  REQUIRE((*reader)->refresh());
  seen += read_all(**reader);
  REQUIRE((*reader)->refresh());
  CHECK_FALSE((*reader)->live());
  seen += read_all(**reader);
  CHECK(seen == 5000);
}

TEST_CASE("of a growing log as much is counted as a reader shows; what is made ahead is not read") {
  const ScratchDir dir;
  LogOptions options = small_options(dir.path());
  options.segment_size = 16 << 20;
  Rig rig(options);
  for (std::uint64_t i = 0; i < 20; ++i) append(rig, i * 50, i * 50 + 50);
  const auto reader = Reader::open(io::real_sys(), dir.path(), {});
  REQUIRE(reader.ok());
  const std::uint64_t shown = read_all(**reader);
  CHECK(shown >= 950);  // all but the last batch are proven
  CHECK(shown < 1000);
  auto inventory = take_inventory(io::real_sys(), dir.path());
  REQUIRE(inventory.ok());
  std::uint64_t counted = 0;
  std::uint64_t bytes = 0;
  std::uint64_t size = 0;
  for (auto& [id, stream] : inventory->streams) {
    examine(stream, true, false, {});
    for (const SegmentState& segment : stream.segments) {
      bytes += segment.file->bytes_read();
      size += segment.file->file_bytes();
    }
    count_proven(stream);
    for (const SegmentState& segment : stream.segments) counted += segment.records;
  }
  CHECK(counted == shown);
  CHECK(size >= 16 << 20);
  CHECK(bytes < 4 << 20);
}
