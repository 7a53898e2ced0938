// The trace that a recorder keeps, and the disk images that it allows at each cut.
#include <doctest/doctest.h>
#include <fcntl.h>

#include <cstring>

#include "tests/unit/io/rig.hpp"

using namespace ringgate;
using namespace ringgate::io;
using test::Completion;
using test::id;
using test::pattern;
using test::Rig;

namespace {

constexpr std::size_t block = 4096;

// Records over the simulation: quick, and no file is left behind.
struct RecordedWorld {
  World world{SimOptions{}};
  std::unique_ptr<Recorder> recorder;
  std::unique_ptr<Ring> ring;

  RecordedWorld() {
    Sys& sys = world.sys();
    REQUIRE(sys.make_directory("/data", 0700) == 0);
    const int old = sys.open("/data/old", O_RDWR | O_CREAT, 0600);
    REQUIRE(sys.pwrite(old, as_bytes("before"), 0) == 6);
    REQUIRE(sys.close(old) == 0);
    recorder = std::make_unique<Recorder>(sys, "/data");
    Result<std::unique_ptr<Ring>> opened = Ring::open(recorder->wrap(world.make_backend()),
                                                      {.sq_entries = 64, .cq_entries = 128});
    REQUIRE(opened.ok());
    ring = std::move(*opened);
  }

  void wait(std::uint64_t data) {
    for (int i = 0; i < 100; ++i) {
      REQUIRE(ring->submit_and_wait(1, ns_per_s) == 0);
      io_uring_cqe cqe;
      while (ring->drain(&cqe, 1) == 1) {
        if (cqe.user_data == data) return;
      }
    }
    FAIL("no completion");
  }
  void write(int fd, Bytes bytes, std::uint64_t offset, bool dsync) {
    io_uring_sqe* sqe = ring->next_sqe();
    io_uring_prep_write(sqe, fd, bytes.data(), static_cast<unsigned>(bytes.size()), offset);
    if (dsync) sqe->rw_flags = RWF_DSYNC;
    sqe->user_data = id(1);
    wait(id(1));
  }
};

bool holds(const std::map<std::string, std::vector<std::uint8_t>>& image, const std::string& path,
           Bytes bytes) {
  const auto found = image.find(path);
  return found != image.end() && found->second.size() >= bytes.size() &&
         std::memcmp(found->second.data(), bytes.data(), bytes.size()) == 0;
}

std::size_t find(const Trace& trace, TraceEvent::Kind kind) {
  for (std::size_t i = 0; i < trace.size(); ++i) {
    if (trace.events()[i].kind == kind) return i;
  }
  FAIL("no such event");
  return 0;
}

constexpr Survival survivals[] = {Survival::chance, Survival::nothing,     Survival::everything,
                                  Survival::any,    Survival::last_sector, Survival::first_sector};

}  // namespace

TEST_CASE("a DSYNC write is in every image from its completion on, and without DSYNC it is not") {
  RecordedWorld recorded;
  Sys& sys = recorded.recorder->sys();
  const int fd = sys.open("/data/log", O_RDWR | O_CREAT, 0600);
  REQUIRE(sys.sync_directory("/data") == 0);
  const std::vector<std::uint8_t> content = pattern(block, 3);
  recorded.write(fd, content, 0, true);
  const Trace& trace = recorded.recorder->trace();
  const std::size_t begun = find(trace, TraceEvent::Kind::write_begun);
  const std::size_t done = find(trace, TraceEvent::Kind::write_done);
  REQUIRE(begun < done);
  CHECK(trace.events()[begun].bytes == content);
  for (const Survival survival : survivals) {
    CHECK(holds(trace.image_at(done + 1, {.survival = survival}), "/data/log", content));
    CHECK(holds(trace.image_at(0, {.survival = survival}), "/data/old", as_bytes("before")));
    CHECK_FALSE(holds(trace.image_at(begun, {.survival = survival}), "/data/log", content));
  }
  CHECK(holds(trace.image_at(done, {.survival = Survival::everything}), "/data/log", content));
  CHECK_FALSE(holds(trace.image_at(done, {.survival = Survival::nothing}), "/data/log", content));
  const CutPolicy pretended{.survival = Survival::nothing, .seed = 1, .pretend_no_dsync = true};
  CHECK_FALSE(holds(trace.image_at(trace.size(), pretended), "/data/log", content));
}

TEST_CASE("of a write in flight the last sector alone may be there") {
  RecordedWorld recorded;
  Sys& sys = recorded.recorder->sys();
  const int fd = sys.open("/data/log", O_RDWR | O_CREAT, 0600);
  REQUIRE(sys.sync_directory("/data") == 0);
  const std::vector<std::uint8_t> content = pattern(block, 3);
  recorded.write(fd, content, 0, true);
  const Trace& trace = recorded.recorder->trace();
  const std::size_t done = find(trace, TraceEvent::Kind::write_done);
  const auto image = trace.image_at(done, {.survival = Survival::last_sector});
  const std::vector<std::uint8_t>& file = image.at("/data/log");
  REQUIRE(file.size() == block);
  CHECK(std::memcmp(file.data() + block - 512, content.data() + block - 512, 512) == 0);
  for (std::size_t i = 0; i < block - 512; ++i) REQUIRE(file[i] == 0);
}

TEST_CASE(
    "a sync stores what had completed before it began, and a linked one the write before it") {
  RecordedWorld recorded;
  Sys& sys = recorded.recorder->sys();
  const int fd = sys.open("/data/log", O_RDWR | O_CREAT, 0600);
  REQUIRE(sys.sync_directory("/data") == 0);
  const std::vector<std::uint8_t> content = pattern(2 * block, 3);
  const CutPolicy nothing{.survival = Survival::nothing};
  recorded.write(fd, Bytes{content}.first(block), 0, false);
  const Trace& trace = recorded.recorder->trace();
  CHECK_FALSE(holds(trace.image_at(trace.size(), nothing), "/data/log",
                    Bytes{content}.first(block)));
  REQUIRE(sys.data_sync(fd) == 0);
  CHECK(holds(trace.image_at(trace.size(), nothing), "/data/log", Bytes{content}.first(block)));
  CHECK_FALSE(holds(trace.image_at(trace.size() - 1, nothing), "/data/log",
                    Bytes{content}.first(block)));
  // write -> fdatasync in one chain.
  io_uring_sqe* sqe = recorded.ring->next_sqe();
  io_uring_prep_write(sqe, fd, content.data() + block, block, block);
  sqe->flags |= IOSQE_IO_LINK;
  sqe->user_data = id(5);
  sqe = recorded.ring->next_sqe();
  io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
  sqe->user_data = id(6);
  recorded.wait(id(6));
  CHECK(holds(trace.image_at(trace.size(), nothing), "/data/log", content));
  CHECK_FALSE(holds(trace.image_at(trace.size() - 1, nothing), "/data/log", content));
}

TEST_CASE("names in an image follow sync_directory, and sends are listed by cut") {
  RecordedWorld recorded;
  Sys& sys = recorded.recorder->sys();
  REQUIRE(sys.rename("/data/old", "/data/new") == 0);
  const Trace& trace = recorded.recorder->trace();
  CHECK(trace.image_at(1, {.survival = Survival::nothing}).contains("/data/old"));
  CHECK(trace.image_at(1, {.survival = Survival::everything}).contains("/data/new"));
  REQUIRE(sys.sync_directory("/data") == 0);
  for (const Survival survival : survivals) {
    CHECK(trace.image_at(2, {.survival = survival}).contains("/data/new"));
    CHECK_FALSE(trace.image_at(2, {.survival = survival}).contains("/data/old"));
  }
  // A send is noted with its bytes, whatever becomes of it.
  io_uring_sqe* sqe = recorded.ring->next_sqe();
  io_uring_prep_send(sqe, -1, "reply", 5, 0);
  sqe->user_data = id(8);
  recorded.wait(id(8));
  REQUIRE(trace.sends_before(trace.size()).size() == 1);
  const std::size_t send = trace.sends_before(trace.size())[0];
  CHECK(as_text(trace.events()[send].bytes) == "reply");
  CHECK(trace.events()[send].user_data == id(8));
  CHECK(trace.sends_before(send).empty());
}

TEST_CASE("a simulated machine starts on an image") {
  RecordedWorld recorded;
  World next{SimOptions{}, recorded.recorder->trace().disk_at(0, {})};
  const int fd = next.sys().open("/data/old", O_RDONLY, 0);
  REQUIRE(fd >= 0);
  CHECK(next.sys().file_size(fd) == 6);
}
