// The contract of the ring seam: every case runs on the kernel, on the recorder and on the
// simulation, with all features and with each set that an older kernel lacks.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "tests/unit/io/rig.hpp"

using namespace ringgate;
using namespace ringgate::io;
using namespace ringgate::io::test;

namespace {

constexpr std::uint32_t linux_6_1_lacks = bit(Feature::no_sqarray) | bit(Feature::recv_bundle);
constexpr std::uint32_t feature_sets[] = {
    0,
    linux_6_1_lacks,
    bit(Feature::recv_bundle),
    linux_6_1_lacks | bit(Feature::multishot_recv) | bit(Feature::multishot_accept) |
        bit(Feature::multishot_recvmsg),
    bit(Feature::defer_taskrun) | bit(Feature::registered_ring) | bit(Feature::msg_ring),
    bit(Feature::single_issuer) | bit(Feature::defer_taskrun) | bit(Feature::coop_taskrun) |
        linux_6_1_lacks,
};

// Runs `body` on every backend and feature set.
template <class Body>
void everywhere(Body&& body, RingOptions options = {.sq_entries = 64, .cq_entries = 256}) {
  for (const Kind kind : {Kind::uring, Kind::record, Kind::sim}) {
    for (const std::uint32_t without : feature_sets) {
      const int kind_number = static_cast<int>(kind);
      CAPTURE(kind_number);
      CAPTURE(without);
      const std::unique_ptr<Rig> rig = Rig::make(kind, without, options);
      CHECK((rig->ring().features() & without) == 0);
      body(*rig);
    }
  }
}

constexpr std::uint16_t group = 7;

std::unique_ptr<BufferRing> open_buffers(Rig& rig, std::uint32_t count, std::uint32_t size_bytes) {
  Result<std::unique_ptr<BufferRing>> opened =
      BufferRing::open(rig.ring(), group, count, size_bytes);
  if (!opened) FAIL(opened.error().message);
  return std::move(*opened);
}

void arm_receive(Rig& rig, int fd, std::uint64_t data) {
  io_uring_sqe* sqe = rig.ring().next_sqe();
  if (rig.ring().has(Feature::multishot_recv)) {
    io_uring_prep_recv_multishot(sqe, fd, nullptr, 0, 0);
  } else {
    io_uring_prep_recv(sqe, fd, nullptr, 0, 0);
  }
  if (rig.ring().has(Feature::recv_bundle)) sqe->ioprio |= abi::recvsend_bundle;
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = group;
  sqe->user_data = data;
}

void cancel_fd(Rig& rig, int fd, std::uint64_t data) {
  io_uring_sqe* sqe = rig.ring().next_sqe();
  io_uring_prep_cancel_fd(sqe, fd, IORING_ASYNC_CANCEL_ALL);
  sqe->user_data = data;
}

// Receives until `size_bytes` are there, arming again whenever the receive ended.
struct Receiver {
  Rig& rig;
  BufferRing& buffers;
  int fd;
  std::uint64_t data = id(1);
  std::vector<std::uint8_t> bytes{};
  std::vector<std::uint16_t> withheld{};
  bool keep_buffers = false;
  bool armed = false;
  bool ended = false;
  int rearms = 0;
  int shortages = 0;
  std::int32_t error = 0;

  void arm() {
    arm_receive(rig, fd, data);
    armed = true;
    ++rearms;
  }
  void take(const Completion& completion) {
    armed = completion.more();
    if (completion.result == 0) ended = true;
    if (completion.result == -ENOBUFS) ++shortages;
    if (completion.result < 0) error = completion.result;
    if (completion.result <= 0) return;
    REQUIRE((completion.flags & IORING_CQE_F_BUFFER) != 0);
    buffers.consume(static_cast<std::uint16_t>(completion.flags >> abi::cqe_buffer_shift),
                    static_cast<std::uint32_t>(completion.result),
                    [this](std::uint16_t bid, Bytes piece) {
                      bytes.insert(bytes.end(), piece.begin(), piece.end());
                      if (keep_buffers) {
                        withheld.push_back(bid);
                      } else {
                        buffers.give_back(bid);
                      }
                    });
    buffers.publish();
  }
  // Handles what has come; true when `size_bytes` (0: the end of the stream) are there.
  bool progress(std::size_t size_bytes) {
    for (const Completion& completion : rig.seen) {
      if (completion.user_data == data) take(completion);
    }
    std::erase_if(rig.seen, [this](const Completion& one) { return one.user_data == data; });
    if (bytes.size() >= size_bytes && (size_bytes > 0 || ended)) return true;
    if (!armed && !ended && (!keep_buffers || buffers.free_count() > 0)) arm();
    return false;
  }
  bool receive(std::size_t size_bytes) {
    return rig.until([&] { return progress(size_bytes); });
  }
  void stop() {
    if (!armed) return;
    cancel_fd(rig, fd, id(999));
    Completion cancelled;
    REQUIRE(rig.wait_for(id(999), cancelled));
    while (armed) {
      Completion last;
      REQUIRE(rig.wait_for(data, last));
      take(last);
    }
  }
};

void send_all(Rig& rig, int fd, Bytes bytes) {
  while (!bytes.empty()) {
    io_uring_sqe* sqe = rig.ring().next_sqe();
    io_uring_prep_send(sqe, fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    sqe->user_data = id(50);
    Completion sent;
    REQUIRE(rig.wait_for(id(50), sent));
    REQUIRE(sent.result > 0);
    bytes = bytes.subspan(static_cast<std::size_t>(sent.result));
  }
}

}  // namespace

TEST_CASE("user_data comes back unchanged, each once") {
  everywhere([](Rig& rig) {
    for (std::uint32_t i = 0; i < 500; ++i) {
      io_uring_sqe* sqe = rig.ring().next_sqe();
      io_uring_prep_nop(sqe);
      sqe->user_data = user_data(Tag::first_test, static_cast<std::uint16_t>(i * 7), ~i);
      if (i % 100 == 99) rig.turn();
    }
    REQUIRE(rig.until([&] { return rig.seen.size() >= 500; }));
    REQUIRE(rig.seen.size() == 500);
    std::vector<bool> came(500);
    for (const Completion& one : rig.seen) {
      const std::uint32_t i = ~slot_of(one.user_data);
      REQUIRE(i < 500);
      CHECK_FALSE(came[i]);
      came[i] = true;
      CHECK(tag_of(one.user_data) == Tag::first_test);
      CHECK(generation_of(one.user_data) == static_cast<std::uint16_t>(i * 7));
    }
  });
}

TEST_CASE("a full submission queue submits by itself") {
  everywhere([](Rig& rig) {
    for (std::uint32_t i = 0; i < 200; ++i) {  // the queue has 64 places
      io_uring_sqe* sqe = rig.ring().next_sqe();
      io_uring_prep_nop(sqe);
      sqe->user_data = id(i);
    }
    rig.ring().reserve(64);
    CHECK_FALSE(rig.ring().has_unsubmitted());
    REQUIRE(rig.until([&] { return rig.seen.size() == 200; }));
  });
}

TEST_CASE("a full completion queue loses nothing and is noticed") {
  const auto body = [](Rig& rig) {
    for (std::uint32_t round = 0; round < 8; ++round) {
      for (std::uint32_t i = 0; i < 8; ++i) {
        io_uring_sqe* sqe = rig.ring().next_sqe();
        io_uring_prep_nop(sqe);
        sqe->user_data = id(round * 8 + i);
      }
      REQUIRE(rig.ring().submit_and_wait(0, 0) == 0);
    }
    CHECK(rig.ring().overflows() > 0);
    CHECK(rig.ring().completions_ready() == 16);
    REQUIRE(rig.until([&] { return rig.seen.size() == 64; }));
    for (std::uint32_t i = 0; i < 64; ++i) CHECK(rig.seen_any(id(i)));
  };
  everywhere(body, {.sq_entries = 8, .cq_entries = 16});
}

TEST_CASE("waiting ends at its timeout") {
  everywhere([](Rig& rig) {
    const MonoNs before = rig.sys().mono_now();
    CHECK(rig.ring().submit_and_wait(1, 3 * ns_per_ms) == 0);
    CHECK(rig.sys().mono_now() - before >= 3 * ns_per_ms);
    __kernel_timespec limit{.tv_sec = 0, .tv_nsec = 2 * ns_per_ms};
    io_uring_sqe* sqe = rig.ring().next_sqe();
    io_uring_prep_timeout(sqe, &limit, 0, 0);
    sqe->user_data = id(3);
    Completion expired;
    REQUIRE(rig.wait_for(id(3), expired));
    CHECK(expired.result == -ETIME);
  });
}

TEST_CASE("accept: one shot or multishot, with the queue's connections in it") {
  everywhere([](Rig& rig) {
    const Listener listener = listen(rig);
    std::vector<std::unique_ptr<Far>> far;
    std::vector<int> fds;
    bool armed = false;
    const bool multishot = rig.ring().has(Feature::multishot_accept);
    for (int i = 0; i < 10; ++i) far.push_back(rig.connect(listener.port));
    REQUIRE(rig.until([&] {
      for (const Completion& one : rig.seen) {
        REQUIRE(one.result >= 0);
        fds.push_back(one.result);
        armed = one.more();
        CHECK((multishot || !one.more()));
      }
      rig.seen.clear();
      if (!armed && fds.size() < 10) {
        io_uring_sqe* sqe = rig.ring().next_sqe();
        if (multishot) {
          io_uring_prep_multishot_accept(sqe, listener.fd, nullptr, nullptr, SOCK_CLOEXEC);
        } else {
          io_uring_prep_accept(sqe, listener.fd, nullptr, nullptr, SOCK_CLOEXEC);
        }
        sqe->user_data = id(1);
        armed = true;
      }
      return fds.size() == 10;
    }));
    if (armed) {
      // Cancelled by user_data: both complete, in any order.
      io_uring_sqe* sqe = rig.ring().next_sqe();
      io_uring_prep_cancel64(sqe, id(1), 0);
      sqe->user_data = id(2);
      Completion last;
      REQUIRE(rig.wait_for(id(1), last));
      CHECK(last.result == -ECANCELED);
      CHECK_FALSE(last.more());
      REQUIRE(rig.wait_for(id(2), last));
      CHECK(last.result == 0);
    }
    for (const int fd : fds) close_fd(rig, fd);
    close_fd(rig, listener.fd);
  });
}

TEST_CASE("receive: bytes in order through small buffers, then the end of the stream") {
  everywhere([](Rig& rig) {
    const std::unique_ptr<BufferRing> buffers = open_buffers(rig, 16, 256);
    const Listener listener = listen(rig);
    Connection connection = accept_one(rig, listener);
    Receiver receiver{rig, *buffers, connection.fd};
    std::vector<std::uint8_t> sent;
    for (std::uint32_t i = 0; i < 40; ++i) {
      const std::vector<std::uint8_t> piece = pattern(1 + i * 37 % 900, i);
      connection.far->send(piece);
      sent.insert(sent.end(), piece.begin(), piece.end());
      if (i % 3 == 0) REQUIRE(receiver.receive(sent.size()));
    }
    REQUIRE(receiver.receive(sent.size()));
    CHECK(receiver.bytes == sent);
    CHECK(buffers->free_count() == buffers->count());
    connection.far->shut_write();
    REQUIRE(receiver.receive(0));
    CHECK(receiver.ended);
    CHECK_FALSE(receiver.armed);
    close_fd(rig, connection.fd);
    close_fd(rig, listener.fd);
  });
}

TEST_CASE("receive: several sockets share a buffer ring") {
  everywhere([](Rig& rig) {
    const std::unique_ptr<BufferRing> buffers = open_buffers(rig, 32, 128);
    const Listener listener = listen(rig);
    std::vector<Connection> connections;
    std::vector<Receiver> receivers;
    for (std::uint32_t i = 0; i < 4; ++i) connections.push_back(accept_one(rig, listener));
    for (std::uint32_t i = 0; i < 4; ++i) {
      receivers.push_back({rig, *buffers, connections[i].fd, id(100 + i)});
    }
    std::vector<std::uint8_t> sent[4];
    for (std::uint32_t round = 0; round < 30; ++round) {
      for (std::uint32_t i = 0; i < 4; ++i) {
        const std::vector<std::uint8_t> piece = pattern(1 + (round * 53 + i * 97) % 500, round);
        connections[i].far->send(piece);
        sent[i].insert(sent[i].end(), piece.begin(), piece.end());
      }
      if (round % 5 == 4) {
        REQUIRE(rig.until([&] {
          bool all = true;
          for (std::uint32_t i = 0; i < 4; ++i) {
            if (!receivers[i].progress(sent[i].size())) all = false;
          }
          return all;
        }));
      }
    }
    for (std::uint32_t i = 0; i < 4; ++i) {
      CHECK(receivers[i].bytes == sent[i]);
      receivers[i].stop();
      close_fd(rig, connections[i].fd);
    }
    CHECK(buffers->free_count() == buffers->count());
    close_fd(rig, listener.fd);
  });
}

TEST_CASE("receive: an empty buffer ring ends it with ENOBUFS, and it goes on after give_back") {
  everywhere([](Rig& rig) {
    const std::unique_ptr<BufferRing> buffers = open_buffers(rig, 4, 64);
    const Listener listener = listen(rig);
    Connection connection = accept_one(rig, listener);
    Receiver receiver{rig, *buffers, connection.fd};
    receiver.keep_buffers = true;
    const std::vector<std::uint8_t> sent = pattern(1000);
    connection.far->send(sent);
    REQUIRE(receiver.receive(256));
    CHECK(buffers->free_count() == 0);
    // Armed on an empty ring: told at once or when bytes come, and never with bytes.
    if (!receiver.armed && receiver.shortages == 0) receiver.arm();
    REQUIRE(rig.until([&] {
      for (const Completion& one : rig.seen) receiver.take(one);
      rig.seen.clear();
      return !receiver.armed;
    }));
    CHECK(receiver.shortages > 0);
    CHECK_FALSE(receiver.armed);
    CHECK(receiver.bytes.size() == 256);
    receiver.keep_buffers = false;
    for (const std::uint16_t bid : receiver.withheld) buffers->give_back(bid);
    buffers->publish();
    REQUIRE(receiver.receive(sent.size()));
    CHECK(receiver.bytes == sent);
    receiver.stop();
    close_fd(rig, connection.fd);
    close_fd(rig, listener.fd);
  });
}

TEST_CASE("receive: the largest buffer ring, past the wrap of its 16-bit tail") {
  everywhere([](Rig& rig) {
    const std::unique_ptr<BufferRing> buffers = open_buffers(rig, 32768, 64);
    const Listener listener = listen(rig);
    Connection connection = accept_one(rig, listener);
    Receiver receiver{rig, *buffers, connection.fd};
    const std::vector<std::uint8_t> piece = pattern(60'000);
    constexpr std::size_t pieces = 75;  // more than 65536 buffers
    for (std::size_t i = 1; i <= pieces; ++i) {
      connection.far->send(piece);
      REQUIRE(receiver.receive(i * piece.size()));
      const auto tail = receiver.bytes.end() - static_cast<std::ptrdiff_t>(piece.size());
      REQUIRE(std::equal(piece.begin(), piece.end(), tail));
    }
    CHECK(receiver.bytes.size() == pieces * piece.size());
    CHECK(buffers->free_count() == buffers->count());
    receiver.stop();
    close_fd(rig, connection.fd);
    close_fd(rig, listener.fd);
  });
}

TEST_CASE("a bundle is found by its first buffer, in whatever order completions are handled") {
  const std::unique_ptr<Rig> rig = Rig::make(Kind::sim, 0, {.sq_entries = 8, .cq_entries = 16});
  const std::unique_ptr<BufferRing> buffers = open_buffers(*rig, 4, 64);
  const auto walk = [&](std::uint16_t bid, std::uint32_t size_bytes) {
    std::vector<std::uint16_t> bids;
    buffers->consume(bid, size_bytes, [&](std::uint16_t one, Bytes) {
      bids.push_back(one);
      buffers->give_back(one);
    });
    return bids;
  };
  using Bids = std::vector<std::uint16_t>;
  // Taken: 0 and 1 by one socket, then 2 by another; the second is handled first, and given again.
  CHECK(walk(2, 10) == Bids{2});
  CHECK(walk(0, 65) == Bids{0, 1});
  // The ring's order is now 3 2 0 1.
  CHECK(walk(3, 64 + 64 + 1) == Bids{3, 2, 0});
  CHECK(walk(1, 64 * 4) == Bids{1, 3, 2, 0});
  CHECK(buffers->free_count() == 4);
}

TEST_CASE("closing a descriptor ends no operation; cancelling by descriptor ends all") {
  everywhere([](Rig& rig) {
    const std::unique_ptr<BufferRing> buffers = open_buffers(rig, 8, 256);
    const Listener listener = listen(rig);
    Connection first = accept_one(rig, listener);
    arm_receive(rig, first.fd, id(1));
    rig.turn();
    close_fd(rig, first.fd);
    for (int i = 0; i < 3; ++i) rig.turn();
    CHECK(rig.seen.empty());
    // The receive still holds the connection: bytes arrive.
    first.far->send(pattern(10));
    Completion got;
    REQUIRE(rig.wait_for(id(1), got));
    CHECK(got.result == 10);
    if (got.more()) {
      io_uring_sqe* sqe = rig.ring().next_sqe();
      io_uring_prep_cancel64(sqe, id(1), 0);
      sqe->user_data = id(2);
      REQUIRE(rig.wait_for(id(1), got));
      CHECK(got.result == -ECANCELED);
      REQUIRE(rig.wait_for(id(2), got));
      CHECK(got.result == 0);
    }
    CHECK(rig.until([&] {
      first.far->take();
      return first.far->ended();
    }));

    Connection second = accept_one(rig, listener);
    arm_receive(rig, second.fd, id(3));
    rig.turn();
    cancel_fd(rig, second.fd, id(4));
    REQUIRE(rig.wait_for(id(4), got));
    CHECK(got.result == 1);  // with ALL: how many
    REQUIRE(rig.wait_for(id(3), got));
    CHECK(got.result == -ECANCELED);
    CHECK_FALSE(got.more());
    // Nothing is left to cancel.
    cancel_fd(rig, second.fd, id(5));
    REQUIRE(rig.wait_for(id(5), got));
    CHECK((got.result == 0 || got.result == -ENOENT));
    close_fd(rig, second.fd);
    close_fd(rig, listener.fd);
  });
}

TEST_CASE("cancelling what is not there says so") {
  everywhere([](Rig& rig) {
    io_uring_sqe* sqe = rig.ring().next_sqe();
    io_uring_prep_cancel64(sqe, id(77), 0);
    sqe->user_data = id(1);
    Completion got;
    REQUIRE(rig.wait_for(id(1), got));
    CHECK(got.result == -ENOENT);
    cancel_fd(rig, -1, id(2));
    REQUIRE(rig.wait_for(id(2), got));
    CHECK(got.result < 0);
  });
}

TEST_CASE("send: short where the window ends, whole in the end; then shutdown") {
  everywhere([](Rig& rig) {
    const Listener listener = listen(rig);
    Connection connection = accept_one(rig, listener);
    const std::vector<std::uint8_t> sent = pattern(3'000'000);
    std::vector<std::uint8_t> arrived;
    Bytes left{sent};
    bool busy = false;
    REQUIRE(rig.until([&] {
      const std::vector<std::uint8_t> more = connection.far->take();
      arrived.insert(arrived.end(), more.begin(), more.end());
      for (const Completion& one : rig.seen) {
        REQUIRE(one.result > 0);
        left = left.subspan(static_cast<std::size_t>(one.result));
        busy = false;
      }
      rig.seen.clear();
      if (!busy && !left.empty()) {
        io_uring_sqe* sqe = rig.ring().next_sqe();
        io_uring_prep_send(sqe, connection.fd, left.data(), left.size(), MSG_NOSIGNAL);
        sqe->user_data = id(1);
        busy = true;
      }
      return left.empty() && arrived.size() == sent.size();
    }));
    CHECK(arrived == sent);
    io_uring_sqe* sqe = rig.ring().next_sqe();
    io_uring_prep_shutdown(sqe, connection.fd, SHUT_WR);
    sqe->user_data = id(2);
    Completion shut;
    REQUIRE(rig.wait_for(id(2), shut));
    CHECK(shut.result == 0);
    CHECK(rig.until([&] {
      connection.far->take();
      return connection.far->ended();
    }));
    close_fd(rig, connection.fd);
    close_fd(rig, listener.fd);
  });
}

TEST_CASE("a reset ends receives and sends with an error") {
  everywhere([](Rig& rig) {
    const std::unique_ptr<BufferRing> buffers = open_buffers(rig, 8, 256);
    const Listener listener = listen(rig);
    Connection connection = accept_one(rig, listener);
    arm_receive(rig, connection.fd, id(1));
    rig.turn();
    connection.far->reset();
    Completion got;
    REQUIRE(rig.wait_for(id(1), got));
    CHECK(got.result == -ECONNRESET);
    CHECK_FALSE(got.more());
    const std::vector<std::uint8_t> bytes = pattern(10);
    io_uring_sqe* sqe = rig.ring().next_sqe();
    io_uring_prep_send(sqe, connection.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    sqe->user_data = id(2);
    REQUIRE(rig.wait_for(id(2), got));
    CHECK((got.result == -EPIPE || got.result == -ECONNRESET));
    close_fd(rig, connection.fd);
    close_fd(rig, listener.fd);
  });
}

TEST_CASE("connect: accepted, and refused where nobody listens") {
  everywhere([](Rig& rig) {
    const Listener listener = listen(rig);
    sockaddr_storage address{};
    REQUIRE(rig.sys().local_address(listener.fd, address) == 0);
    const auto connect_to = [&](int fd, std::uint64_t data) {
      io_uring_sqe* sqe = rig.ring().next_sqe();
      io_uring_prep_connect(sqe, fd, reinterpret_cast<sockaddr*>(&address), sizeof(sockaddr_in));
      sqe->user_data = data;
      Completion got;
      REQUIRE(rig.wait_for(data, got));
      return got.result;
    };
    const int near = rig.sys().socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(near >= 0);
    CHECK(connect_to(near, id(1)) == 0);
    io_uring_sqe* sqe = rig.ring().next_sqe();
    io_uring_prep_accept(sqe, listener.fd, nullptr, nullptr, SOCK_CLOEXEC);
    sqe->user_data = id(2);
    Completion accepted;
    REQUIRE(rig.wait_for(id(2), accepted));
    REQUIRE(accepted.result >= 0);
    const std::vector<std::uint8_t> sent = pattern(100);
    send_all(rig, near, sent);
    std::vector<std::uint8_t> into(200);
    sqe = rig.ring().next_sqe();
    io_uring_prep_recv(sqe, accepted.result, into.data(), into.size(), 0);
    sqe->user_data = id(3);
    Completion got;
    REQUIRE(rig.wait_for(id(3), got));
    REQUIRE(got.result == 100);
    into.resize(100);
    CHECK(into == sent);
    close_fd(rig, accepted.result);
    close_fd(rig, near);
    close_fd(rig, listener.fd);
    const int alone = rig.sys().socket(AF_INET, SOCK_STREAM, 0);
    CHECK(connect_to(alone, id(4)) == -ECONNREFUSED);
    close_fd(rig, alone);
  });
}

TEST_CASE("files: DSYNC writes at offsets, read back; linked syncs; descriptors that do not fit") {
  everywhere([](Rig& rig) {
    const std::string path = rig.directory() + "/file";
    const int flags = O_RDWR | O_CREAT;
    int fd = rig.sys().open(path, flags | O_DIRECT, 0600);
    if (fd == -EINVAL) fd = rig.sys().open(path, flags, 0600);
    REQUIRE(fd >= 0);
    constexpr std::size_t block = 4096;
    auto* memory = static_cast<std::uint8_t*>(std::aligned_alloc(block, 4 * block));
    const std::vector<std::uint8_t> content = pattern(4 * block);
    std::memcpy(memory, content.data(), content.size());
    // Out of order, several in flight.
    for (const std::uint32_t i : {2U, 0U, 3U, 1U}) {
      io_uring_sqe* sqe = rig.ring().next_sqe();
      io_uring_prep_write(sqe, fd, memory + i * block, block, i * block);
      sqe->rw_flags = RWF_DSYNC;
      sqe->user_data = id(i);
    }
    for (std::uint32_t i = 0; i < 4; ++i) {
      Completion got;
      REQUIRE(rig.wait_for(id(i), got));
      CHECK(got.result == static_cast<int>(block));
    }
    rig.ring().reserve(2);
    io_uring_sqe* sqe = rig.ring().next_sqe();
    io_uring_prep_write(sqe, fd, memory, block, 4 * block);
    sqe->flags |= IOSQE_IO_LINK;
    sqe->user_data = id(10);
    sqe = rig.ring().next_sqe();
    io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
    sqe->user_data = id(11);
    Completion got;
    REQUIRE(rig.wait_for(id(10), got));
    CHECK(got.result == static_cast<int>(block));
    REQUIRE(rig.wait_for(id(11), got));
    CHECK(got.result == 0);
    CHECK(rig.sys().file_size(fd) == 5 * static_cast<int>(block));
    // A chain whose first part fails does not go on.
    rig.ring().reserve(2);
    sqe = rig.ring().next_sqe();
    io_uring_prep_write(sqe, -1, memory, block, 0);
    sqe->flags |= IOSQE_IO_LINK;
    sqe->user_data = id(12);
    sqe = rig.ring().next_sqe();
    io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
    sqe->user_data = id(13);
    REQUIRE(rig.wait_for(id(12), got));
    CHECK(got.result < 0);
    REQUIRE(rig.wait_for(id(13), got));
    CHECK(got.result == -ECANCELED);
    std::memset(memory, 0, 4 * block);
    sqe = rig.ring().next_sqe();
    io_uring_prep_read(sqe, fd, memory, 4 * block, 0);
    sqe->user_data = id(14);
    REQUIRE(rig.wait_for(id(14), got));
    CHECK(got.result == static_cast<int>(4 * block));
    CHECK(std::memcmp(memory, content.data(), content.size()) == 0);
    std::free(memory);
    close_fd(rig, fd);
  });
}

TEST_CASE("an eventfd that the ring reads is woken by a write through the ring") {
  everywhere([](Rig& rig) {
    const int event = ::eventfd(0, EFD_CLOEXEC);
    REQUIRE(event >= 0);
    std::uint64_t value = 0;
    const std::uint64_t one = 1;
    io_uring_sqe* sqe = rig.ring().next_sqe();
    io_uring_prep_read(sqe, event, &value, sizeof value, 0);
    sqe->user_data = id(1);
    for (int i = 0; i < 3; ++i) rig.turn();
    CHECK(rig.seen.empty());
    sqe = rig.ring().next_sqe();
    io_uring_prep_write(sqe, event, &one, sizeof one, 0);
    sqe->user_data = id(2);
    Completion got;
    REQUIRE(rig.wait_for(id(2), got));
    CHECK(got.result == 8);
    REQUIRE(rig.wait_for(id(1), got));
    CHECK(got.result == 8);
    CHECK(value == 1);
    // A multishot poll reports each signal.
    sqe = rig.ring().next_sqe();
    io_uring_prep_poll_multishot(sqe, event, 1);
    sqe->user_data = id(3);
    rig.turn();
    sqe = rig.ring().next_sqe();
    io_uring_prep_write(sqe, event, &one, sizeof one, 0);
    sqe->user_data = id(4);
    REQUIRE(rig.wait_for(id(3), got));
    CHECK((got.result & 1) != 0);
    if (got.more()) {
      sqe = rig.ring().next_sqe();
      io_uring_prep_cancel64(sqe, id(3), 0);
      sqe->user_data = id(5);
      REQUIRE(rig.wait_for(id(5), got));
    }
    ::close(event);
  });
}

TEST_CASE("MSG_RING wakes another ring with the user_data it carries") {
  everywhere([](Rig& rig) {
    if (!rig.ring().has(Feature::msg_ring)) return;
    RingOptions options{.sq_entries = 8, .cq_entries = 16};
    Result<std::unique_ptr<Ring>> other = Ring::open(rig.make_backend(), options);
    REQUIRE(other.ok());
    io_uring_sqe* sqe = rig.ring().next_sqe();
    io_uring_prep_msg_ring(sqe, (*other)->fd(), 42, id(9), 0);
    sqe->user_data = id(1);
    Completion got;
    REQUIRE(rig.wait_for(id(1), got));
    CHECK(got.result == 0);
    REQUIRE((*other)->submit_and_wait(1, ns_per_s) == 0);
    io_uring_cqe cqe;
    REQUIRE((*other)->drain(&cqe, 1) == 1);
    CHECK(cqe.user_data == id(9));
    CHECK(cqe.res == 42);
    // A ring that is gone.
    const int gone = (*other)->fd();
    other->reset();
    sqe = rig.ring().next_sqe();
    io_uring_prep_msg_ring(sqe, gone, 0, id(9), 0);
    sqe->user_data = id(2);
    REQUIRE(rig.wait_for(id(2), got));
    CHECK(got.result < 0);
  });
}
