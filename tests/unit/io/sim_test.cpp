// What only the simulation promises: determinism, faults within their bounds, the disk's durability
// rules.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <set>

#include "engine/io/abi.hpp"
#include "engine/io/sim.hpp"
#include "tests/unit/io/rig.hpp"

using namespace ringgate;
using namespace ringgate::io;

namespace {

using test::id;
using test::pattern;

constexpr std::size_t block = 4096;

struct AlignedBlock {
  explicit AlignedBlock(std::size_t blocks)
      : bytes(static_cast<std::uint8_t*>(std::aligned_alloc(block, blocks * block))) {}
  ~AlignedBlock() { std::free(bytes); }
  AlignedBlock(const AlignedBlock&) = delete;
  AlignedBlock& operator=(const AlignedBlock&) = delete;
  std::uint8_t* bytes;
};

std::unique_ptr<Ring> open_ring(World& world) {
  Result<std::unique_ptr<Ring>> ring =
      Ring::open(world.make_backend(), {.sq_entries = 64, .cq_entries = 128});
  REQUIRE(ring.ok());
  return std::move(*ring);
}

std::int32_t wait_result(Ring& ring, std::uint64_t data) {
  for (int i = 0; i < 1000; ++i) {
    REQUIRE(ring.submit_and_wait(1, ns_per_s) == 0);
    io_uring_cqe cqe;
    while (ring.drain(&cqe, 1) == 1) {
      if (cqe.user_data == data) return cqe.res;
    }
  }
  FAIL("no completion");
  return 0;
}

void submit_write(Ring& ring, int fd, const std::uint8_t* bytes, std::size_t size_bytes,
                  std::uint64_t offset, bool dsync, std::uint64_t data) {
  io_uring_sqe* sqe = ring.next_sqe();
  io_uring_prep_write(sqe, fd, bytes, static_cast<unsigned>(size_bytes), offset);
  if (dsync) sqe->rw_flags = RWF_DSYNC;
  sqe->user_data = data;
}

std::vector<std::uint8_t> read_all(Sys& sys, const std::string& path) {
  const int fd = sys.open(path, O_RDONLY, 0);
  if (fd < 0) return {};
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(sys.file_size(fd)));
  const std::int64_t got = sys.pread(fd, bytes, 0);
  REQUIRE(got == static_cast<std::int64_t>(bytes.size()));
  sys.close(fd);
  return bytes;
}

// An echo server with four peers that send slices, on a rough machine. Returns the trace's hash.
struct EchoRun {
  std::uint64_t hash = 0;
  std::uint64_t echoed = 0;
  std::uint32_t leftovers = 0;
};

class EchoServer {
 public:
  explicit EchoServer(std::uint64_t seed) : world_(SimOptions::rough(seed)) {
    ring_ = open_ring(world_);
    Result<std::unique_ptr<BufferRing>> buffers = BufferRing::open(*ring_, 1, 8, 512);
    REQUIRE(buffers.ok());
    buffers_ = std::move(*buffers);
    Sys& sys = world_.sys();
    listener_ = sys.socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(7808);
    REQUIRE(sys.bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    REQUIRE(sys.listen(listener_, 16) == 0);
  }

  EchoRun run() {
    arm_accept();
    for (std::uint32_t i = 0; i < 4; ++i) {
      peers_.push_back(world_.connect_ipv4(7808));
      sent_.push_back(pattern(1000 + 700 * i, i));
      peers_[i].send_sliced(sent_[i], 0);
      peers_[i].shutdown();
    }
    EchoRun result;
    for (int turns = 0; turns < 5000 && !finished(); ++turns) {
      REQUIRE(ring_->submit_and_wait(1, 10 * ns_per_ms) == 0);
      io_uring_cqe cqe;
      while (ring_->drain(&cqe, 1) == 1) handle(cqe.user_data, cqe.res, cqe.flags);
    }
    CHECK(finished());
    for (std::uint32_t i = 0; i < 4; ++i) {
      const std::vector<std::uint8_t> got = peers_[i].take();
      CHECK(got == sent_[i]);
      result.echoed += got.size();
      peers_[i].close();
    }
    result.hash = world_.trace_hash();
    // One accept stays; the connections are closed.
    result.leftovers = world_.operations_outstanding() + world_.descriptors_open();
    return result;
  }

 private:
  struct Link {
    int fd = -1;
    bool receiving = false;
    bool sending = false;
    bool closing = false;
    bool peer_done = false;
    std::vector<std::uint8_t> out;
    std::vector<std::uint8_t> in_send;
  };

  void arm_accept() {
    io_uring_sqe* sqe = ring_->next_sqe();
    if (ring_->has(Feature::multishot_accept)) {
      io_uring_prep_multishot_accept(sqe, listener_, nullptr, nullptr, 0);
    } else {
      io_uring_prep_accept(sqe, listener_, nullptr, nullptr, 0);
    }
    sqe->user_data = user_data(Tag::accept, 0, 0);
  }

  void progress(std::uint32_t slot) {
    Link& link = links_[slot];
    if (link.fd < 0 || link.closing) return;
    if (!link.sending && !link.out.empty()) {
      link.in_send = std::move(link.out);
      link.out.clear();
      io_uring_sqe* sqe = ring_->next_sqe();
      io_uring_prep_send(sqe, link.fd, link.in_send.data(), link.in_send.size(), 0);
      sqe->user_data = user_data(Tag::send, 0, slot);
      link.sending = true;
    }
    if (!link.receiving && !link.peer_done) {
      io_uring_sqe* sqe = ring_->next_sqe();
      if (ring_->has(Feature::multishot_recv)) {
        io_uring_prep_recv_multishot(sqe, link.fd, nullptr, 0, 0);
      } else {
        io_uring_prep_recv(sqe, link.fd, nullptr, 0, 0);
      }
      if (ring_->has(Feature::recv_bundle)) sqe->ioprio |= abi::recvsend_bundle;
      sqe->flags |= IOSQE_BUFFER_SELECT;
      sqe->buf_group = 1;
      sqe->user_data = user_data(Tag::recv, 0, slot);
      link.receiving = true;
    }
    if (link.peer_done && !link.receiving && !link.sending && link.out.empty()) {
      io_uring_sqe* sqe = ring_->next_sqe();
      io_uring_prep_close(sqe, link.fd);
      sqe->user_data = user_data(Tag::close, 0, slot);
      link.closing = true;
    }
  }

  void handle(std::uint64_t data, std::int32_t result, std::uint32_t flags) {
    const std::uint32_t slot = slot_of(data);
    const bool more = (flags & IORING_CQE_F_MORE) != 0;
    switch (tag_of(data)) {
      case Tag::accept:
        REQUIRE(result >= 0);
        links_.push_back({});
        links_.back().fd = result;
        if (!more) arm_accept();
        return progress(static_cast<std::uint32_t>(links_.size() - 1));
      case Tag::recv:
        links_[slot].receiving = more;
        if (result == 0) links_[slot].peer_done = true;
        if (result > 0) {
          buffers_->consume(static_cast<std::uint16_t>(flags >> abi::cqe_buffer_shift),
                            static_cast<std::uint32_t>(result),
                            [&](std::uint16_t bid, Bytes bytes) {
                              Link& link = links_[slot];
                              link.out.insert(link.out.end(), bytes.begin(), bytes.end());
                              buffers_->give_back(bid);
                            });
          buffers_->publish();
        }
        if (result < 0) REQUIRE(result == -ENOBUFS);
        return progress(slot);
      case Tag::send: {
        Link& link = links_[slot];
        REQUIRE(result > 0);
        link.sending = false;
        link.out.insert(link.out.begin(), link.in_send.begin() + result, link.in_send.end());
        return progress(slot);
      }
      default:
        REQUIRE(result == 0);
        ++closed_;
    }
  }

  bool finished() const {
    return closed_ == 4 && std::ranges::all_of(peers_, [](const Peer& one) { return one.ended(); });
  }

  World world_;
  std::unique_ptr<Ring> ring_;
  std::unique_ptr<BufferRing> buffers_;
  int listener_ = -1;
  int closed_ = 0;
  std::vector<Link> links_;
  std::vector<Peer> peers_;
  std::vector<std::vector<std::uint8_t>> sent_;
};

}  // namespace

TEST_CASE("the same seed gives the same run, another seed another") {
  std::set<std::uint64_t> hashes;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const EchoRun first = EchoServer{seed}.run();
    const EchoRun again = EchoServer{seed}.run();
    CHECK(first.hash == again.hash);
    CHECK(first.echoed == 1000 * 4 + 700 * 6);
    hashes.insert(first.hash);
  }
  CHECK(hashes.size() == 20);
}

TEST_CASE("an echo server serves four peers on 500 rough machines and leaves nothing behind") {
  for (std::uint64_t seed = 1000; seed < 1500; ++seed) {
    CAPTURE(seed);
    const EchoRun run = EchoServer{seed}.run();
    CHECK(run.leftovers == 2);  // the accept and the listener
  }
}

TEST_CASE("a completed DSYNC write survives every power cut; a write in flight any part of it") {
  std::set<std::size_t> kept_sectors;
  bool size_lost = false;
  for (std::uint64_t seed = 1; seed <= 300; ++seed) {
    World world{SimOptions{.seed = seed}};
    Sys& sys = world.sys();
    const int fd = sys.open("/log", O_RDWR | O_CREAT | O_DIRECT, 0600);
    REQUIRE(sys.sync_directory("/") == 0);
    std::unique_ptr<Ring> ring = open_ring(world);
    AlignedBlock memory{2};
    const std::vector<std::uint8_t> content = pattern(2 * block, 7);
    std::memcpy(memory.bytes, content.data(), content.size());
    submit_write(*ring, fd, memory.bytes, block, 0, true, id(1));
    REQUIRE(wait_result(*ring, id(1)) == static_cast<int>(block));
    submit_write(*ring, fd, memory.bytes + block, block, block, true, id(2));
    REQUIRE(ring->submit_and_wait(0, 0) == 0);  // in flight
    const std::unique_ptr<World> next = world.crash();
    const std::vector<std::uint8_t> found = read_all(next->sys(), "/log");
    REQUIRE(found.size() >= block);
    REQUIRE(std::equal(content.begin(), content.begin() + block, found.begin()));
    std::size_t kept = 0;
    for (std::size_t at = block; at < found.size(); at += 512) {
      const bool there = std::equal(found.begin() + static_cast<std::ptrdiff_t>(at),
                                    found.begin() + static_cast<std::ptrdiff_t>(at + 512),
                                    content.begin() + static_cast<std::ptrdiff_t>(at));
      const bool zero = std::all_of(found.begin() + static_cast<std::ptrdiff_t>(at),
                                    found.begin() + static_cast<std::ptrdiff_t>(at + 512),
                                    [](std::uint8_t byte) { return byte == 0; });
      REQUIRE((there || zero));  // a sector is never torn
      if (there) ++kept;
    }
    kept_sectors.insert(kept);
    size_lost = size_lost || found.size() == block;
  }
  CHECK(kept_sectors.contains(0));
  CHECK(kept_sectors.contains(8));
  CHECK(kept_sectors.size() > 4);
  CHECK(size_lost);
}

TEST_CASE("without DSYNC a completed write may vanish until a sync has completed") {
  bool vanished = false;
  bool stayed = false;
  for (std::uint64_t seed = 1; seed <= 100; ++seed) {
    World world{SimOptions{.seed = seed}};
    Sys& sys = world.sys();
    const int fd = sys.open("/log", O_RDWR | O_CREAT, 0600);
    REQUIRE(sys.sync_directory("/") == 0);
    const std::vector<std::uint8_t> old_content = pattern(block, 1);
    const std::vector<std::uint8_t> content = pattern(block, 2);
    REQUIRE(sys.pwrite(fd, old_content, 0) == static_cast<int>(block));
    REQUIRE(sys.data_sync(fd) == 0);
    std::unique_ptr<Ring> ring = open_ring(world);
    submit_write(*ring, fd, content.data(), block, 0, false, id(1));
    REQUIRE(wait_result(*ring, id(1)) == static_cast<int>(block));
    CHECK(read_all(sys, "/log") == content);  // but it is what everybody reads
    const bool sync = seed % 2 == 0;
    if (sync) {
      io_uring_sqe* sqe = ring->next_sqe();
      io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
      sqe->user_data = id(2);
      REQUIRE(wait_result(*ring, id(2)) == 0);
    }
    const std::vector<std::uint8_t> found = read_all(world.crash()->sys(), "/log");
    if (sync) {
      CHECK(found == content);
    } else {
      vanished = vanished || found == old_content;
      stayed = stayed || found == content;
    }
  }
  CHECK(vanished);
  CHECK(stayed);
}

TEST_CASE(
    "injected write failures: EIO with any part stored, ENOSPC with none, short at a sector") {
  const auto run = [](const SimOptions& options, std::int32_t& result, std::size_t& stored) {
    World world{options};
    Sys& sys = world.sys();
    const int fd = sys.open("/log", O_RDWR | O_CREAT, 0600);
    std::unique_ptr<Ring> ring = open_ring(world);
    const std::vector<std::uint8_t> content(block, 0xaa);
    submit_write(*ring, fd, content.data(), block, 0, true, id(1));
    result = wait_result(*ring, id(1));
    const std::vector<std::uint8_t> found = read_all(sys, "/log");
    stored = static_cast<std::size_t>(std::ranges::count(found, std::uint8_t{0xaa}));
  };
  std::set<std::size_t> stored_by_failure;
  std::set<std::int32_t> short_results;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    std::int32_t result = 0;
    std::size_t stored = 0;
    run({.seed = seed, .write_error = 1000}, result, stored);
    CHECK(result == -EIO);
    stored_by_failure.insert(stored);
    run({.seed = seed, .write_no_space = 1000}, result, stored);
    CHECK(result == -ENOSPC);
    CHECK(stored == 0);
    run({.seed = seed, .write_short = 1000}, result, stored);
    CHECK(result % 512 == 0);
    CHECK(result > 0);
    CHECK(stored >= static_cast<std::size_t>(result));
    short_results.insert(result);
  }
  CHECK(stored_by_failure.size() > 3);
  CHECK(short_results.size() > 3);
}

TEST_CASE("a failed sync loses what it should have stored, whatever later syncs say") {
  bool lost = false;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    World world{SimOptions{.seed = seed}};
    Sys& sys = world.sys();
    const int fd = sys.open("/log", O_RDWR | O_CREAT, 0600);
    REQUIRE(sys.sync_directory("/") == 0);
    const std::vector<std::uint8_t> content = pattern(block, 2);
    REQUIRE(sys.pwrite(fd, content, 0) == static_cast<int>(block));
    world.options().sync_error = 1000;
    CHECK(sys.data_sync(fd) == -EIO);
    world.options().sync_error = 0;
    CHECK(sys.data_sync(fd) == 0);
    lost = lost || read_all(world.crash()->sys(), "/log") != content;
  }
  CHECK(lost);
}

TEST_CASE("creations, renames and removals are durable only after sync_directory") {
  bool before_rename = false;
  bool after_rename = false;
  for (std::uint64_t seed = 1; seed <= 60; ++seed) {
    World world{SimOptions{.seed = seed}};
    Sys& sys = world.sys();
    REQUIRE(sys.make_directory("/d", 0700) == 0);
    REQUIRE(sys.sync_directory("/") == 0);
    const int fd = sys.open("/d/a", O_RDWR | O_CREAT, 0600);
    REQUIRE(sys.pwrite(fd, as_bytes("content"), 0) == 7);
    REQUIRE(sys.data_sync(fd) == 0);
    REQUIRE(sys.sync_directory("/d") == 0);
    REQUIRE(sys.rename("/d/a", "/d/b") == 0);
    CHECK(sys.open("/d/a", O_RDONLY, 0) == -ENOENT);
    if (seed % 2 == 0) REQUIRE(sys.sync_directory("/d") == 0);
    const std::unique_ptr<World> next = world.crash();
    const std::vector<std::uint8_t> a = read_all(next->sys(), "/d/a");
    const std::vector<std::uint8_t> b = read_all(next->sys(), "/d/b");
    REQUIRE(a.size() + b.size() == 7);  // under one name or the other, never none
    if (seed % 2 == 0) {
      CHECK(b.size() == 7);
    } else {
      before_rename = before_rename || a.size() == 7;
      after_rename = after_rename || b.size() == 7;
    }
  }
  CHECK(before_rename);
  CHECK(after_rename);
}

TEST_CASE("the disk fills up, refuses O_DIRECT when told, and holds one lock a file") {
  SimOptions options;
  options.capacity_bytes = 64 * 1024;
  options.direct_io = false;
  World world{options};
  Sys& sys = world.sys();
  CHECK(sys.open("/a", O_RDWR | O_CREAT | O_DIRECT, 0600) == -EINVAL);
  const int fd = sys.open("/a", O_RDWR | O_CREAT, 0600);
  REQUIRE(fd >= 0);
  CHECK(sys.fallocate(fd, 0, 40 * 1024) == 0);
  CHECK(sys.free_bytes("/") == 24 * 1024);
  CHECK(sys.fallocate(fd, 0, 80 * 1024) == -ENOSPC);
  CHECK(sys.pwrite(fd, pattern(32 * 1024), 40 * 1024) == 24 * 1024);
  CHECK(sys.pwrite(fd, pattern(512), 64 * 1024) == -ENOSPC);
  const int second = sys.open("/a", O_RDONLY, 0);
  CHECK(sys.lock_exclusive(fd) == 0);
  CHECK(sys.lock_exclusive(second) == -EWOULDBLOCK);
  CHECK(sys.close(fd) == 0);
  CHECK(sys.lock_exclusive(second) == 0);
  CHECK(sys.remove("/a") == 0);
  CHECK(sys.free_bytes("/") == 0);  // it is still open
  CHECK(sys.close(second) == 0);
  CHECK(sys.free_bytes("/") == 64 * 1024);
}

TEST_CASE("a peer that vanished or stopped reading leaves sends waiting; a reset ends them") {
  World world{SimOptions{.window_bytes = 4096}};
  Sys& sys = world.sys();
  const int listener = sys.socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  REQUIRE(sys.bind(listener, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(sys.listen(listener, 4) == 0);
  sockaddr_storage local{};
  REQUIRE(sys.local_address(listener, local) == 0);
  std::unique_ptr<Ring> ring = open_ring(world);
  Peer peer =
      world.connect_ipv4(ntohs(reinterpret_cast<const sockaddr_in&>(local).sin_port));
  peer.pause_reading(true);
  io_uring_sqe* sqe = ring->next_sqe();
  io_uring_prep_accept(sqe, listener, nullptr, nullptr, 0);
  sqe->user_data = id(1);
  const int fd = wait_result(*ring, id(1));
  REQUIRE(fd >= 0);
  const std::vector<std::uint8_t> bytes = pattern(4096);
  const auto send = [&](std::uint32_t slot) {
    io_uring_sqe* next = ring->next_sqe();
    io_uring_prep_send(next, fd, bytes.data(), bytes.size(), 0);
    next->user_data = id(slot);
  };
  send(2);
  CHECK(wait_result(*ring, id(2)) == 4096);
  send(3);
  REQUIRE(ring->submit_and_wait(1, 10 * ns_per_s) == 0);
  CHECK(ring->completions_ready() == 0);
  peer.pause_reading(false);
  CHECK(wait_result(*ring, id(3)) == 4096);
  while (peer.received().size() < 2 * 4096) REQUIRE(world.step());
  peer.vanish();
  send(4);
  CHECK(wait_result(*ring, id(4)) == 4096);
  send(5);
  REQUIRE(ring->submit_and_wait(1, 100 * ns_per_s) == 0);
  CHECK(ring->completions_ready() == 0);
  peer.reset();
  CHECK(wait_result(*ring, id(5)) == -ECONNRESET);
}
