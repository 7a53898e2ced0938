// The contract of the ring seam for sockets of datagrams, on the kernel, the recorder and the
// simulation; and what the simulation alone promises of them.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>

#include <cerrno>
#include <cstring>
#include <map>
#include <set>

#include "tests/unit/io/rig.hpp"

using namespace ringgate;
using namespace ringgate::io;
using namespace ringgate::io::test;

namespace {

constexpr std::uint16_t group = 9;
constexpr std::uint32_t buffer_bytes = 512;
constexpr std::uint32_t name_bytes = sizeof(sockaddr_in6);
constexpr std::uint32_t payload_room = buffer_bytes - sizeof(io_uring_recvmsg_out) - name_bytes;

template <class Body>
void everywhere(Body&& body) {
  for (const Kind kind : {Kind::uring, Kind::record, Kind::sim}) {
    for (const std::uint32_t without :
         {0U, bit(Feature::multishot_recvmsg), bit(Feature::defer_taskrun)}) {
      const int kind_number = static_cast<int>(kind);
      CAPTURE(kind_number);
      CAPTURE(without);
      const std::unique_ptr<Rig> rig =
          Rig::make(kind, without, {.sq_entries = 64, .cq_entries = 256});
      CHECK(rig->ring().has(Feature::multishot_recvmsg) ==
            ((without & bit(Feature::multishot_recvmsg)) == 0));
      body(*rig);
    }
  }
}

struct Got {
  std::uint16_t port = 0;
  bool truncated = false;
  std::vector<std::uint8_t> bytes;
};

// Receives datagrams as a user of the seam does: multishot on a buffer ring, or one by one.
class Receiver {
 public:
  Receiver(Rig& rig, int fd, std::uint32_t count = 16) : rig_(rig), fd_(fd), single_(payload_room) {
    auto opened = BufferRing::open(rig.ring(), group, count, buffer_bytes);
    REQUIRE(opened.ok());
    buffers_ = std::move(*opened);
  }
  // Cancels what is armed and waits for it.
  void stop() {
    if (!armed_) return;
    io_uring_sqe* sqe = rig_.ring().next_sqe();
    io_uring_prep_cancel64(sqe, id(1), 0);
    sqe->user_data = id(2);
    Completion last;
    REQUIRE(rig_.wait_for(id(2), last));
    REQUIRE(rig_.until([&] {
      take_all();
      return !armed_;
    }));
  }
  bool until(std::size_t count) {
    return rig_.until([&] {
      take_all();
      if (!armed_) arm();
      return got.size() >= count;
    });
  }
  // Takes what comes until nothing does for some turns.
  void settle() {
    for (int idle = 0; idle < 20; ++idle) {
      take_all();
      if (!armed_) arm();
      if (rig_.turn() > 0) idle = 0;
    }
  }
  void take_all() {
    for (const Completion& one : rig_.seen) {
      if (one.user_data == id(1)) take(one);
    }
    std::erase_if(rig_.seen, [](const Completion& one) { return one.user_data == id(1); });
  }

  std::vector<Got> got;
  std::vector<std::int32_t> errors;
  bool keep = false;  // buffers
  std::vector<std::uint16_t> kept;

  void give_back() {
    for (const std::uint16_t bid : kept) buffers_->give_back(bid);
    kept.clear();
    buffers_->publish();
  }

 private:
  void arm() {
    message_ = {};
    message_.msg_namelen = name_bytes;
    io_uring_sqe* sqe = rig_.ring().next_sqe();
    if (rig_.ring().has(Feature::multishot_recvmsg)) {
      io_uring_prep_recvmsg_multishot(sqe, fd_, &message_, 0);
      sqe->flags |= IOSQE_BUFFER_SELECT;
      sqe->buf_group = group;
    } else {
      part_ = {single_.data(), single_.size()};
      message_.msg_name = &from_;
      message_.msg_iov = &part_;
      message_.msg_iovlen = 1;
      io_uring_prep_recvmsg(sqe, fd_, &message_, 0);
    }
    sqe->user_data = id(1);
    armed_ = true;
  }
  void take(const Completion& one) {
    armed_ = one.more();
    if (one.result < 0) return errors.push_back(one.result);
    const auto port_at = [](const void* name) {
      sockaddr_in from;
      std::memcpy(&from, name, sizeof from);
      CHECK(from.sin_family == AF_INET);
      CHECK(from.sin_addr.s_addr == htonl(INADDR_LOOPBACK));
      return ntohs(from.sin_port);
    };
    const auto size_bytes = static_cast<std::uint32_t>(one.result);
    if (!rig_.ring().has(Feature::multishot_recvmsg)) {
      CHECK(message_.msg_namelen == sizeof(sockaddr_in));
      got.push_back({port_at(&from_), (message_.msg_flags & MSG_TRUNC) != 0,
                     {single_.begin(), single_.begin() + size_bytes}});
      return;
    }
    REQUIRE((one.flags & IORING_CQE_F_BUFFER) != 0);
    const auto bid = static_cast<std::uint16_t>(one.flags >> abi::cqe_buffer_shift);
    const std::uint8_t* data = buffers_->data(bid);
    const auto out = load_native<io_uring_recvmsg_out>(data);
    constexpr std::uint32_t before = sizeof out + name_bytes;
    CHECK(out.namelen == sizeof(sockaddr_in));
    CHECK(out.controllen == 0);
    REQUIRE(size_bytes == before + out.payloadlen);
    got.push_back({port_at(data + sizeof out), (out.flags & MSG_TRUNC) != 0,
                   {data + before, data + size_bytes}});
    CHECK(buffers_->consume(bid, size_bytes, [](std::uint16_t, Bytes) {}) == 1);
    kept.push_back(bid);
    if (!keep) give_back();
  }

  Rig& rig_;
  int fd_;
  std::unique_ptr<BufferRing> buffers_;
  msghdr message_{};
  iovec part_{};
  sockaddr_storage from_{};
  std::vector<std::uint8_t> single_;
  bool armed_ = false;
};

std::int32_t send_to(Rig& rig, int fd, std::uint16_t port, Bytes bytes) {
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  iovec part{const_cast<std::uint8_t*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_name = &to;
  message.msg_namelen = sizeof to;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  io_uring_sqe* sqe = rig.ring().next_sqe();
  io_uring_prep_sendmsg(sqe, fd, &message, MSG_NOSIGNAL);
  sqe->user_data = id(50);
  Completion sent;
  REQUIRE(rig.wait_for(id(50), sent));
  return sent.result;
}

}  // namespace

TEST_CASE("datagrams arrive whole, in order, each with its sender's address") {
  everywhere([](Rig& rig) {
    const Listener socket = bind_datagrams(rig);
    Receiver receiver(rig, socket.fd);
    const auto one = rig.open_datagrams(socket.port);
    const auto two = rig.open_datagrams(socket.port);
    REQUIRE(one->port() != two->port());
    std::map<std::uint16_t, std::vector<std::vector<std::uint8_t>>> sent;
    for (std::uint32_t i = 0; i < 60; ++i) {
      FarDatagrams& from = i % 3 == 0 ? *one : *two;
      sent[from.port()].push_back(pattern(1 + i * 7 % payload_room, i));
      from.send(sent[from.port()].back());
      if (i % 10 == 9) REQUIRE(receiver.until(i + 1));
    }
    std::map<std::uint16_t, std::vector<std::vector<std::uint8_t>>> got;
    for (const Got& datagram : receiver.got) {
      CHECK_FALSE(datagram.truncated);
      got[datagram.port].push_back(datagram.bytes);
    }
    CHECK(got == sent);
    receiver.stop();
    close_fd(rig, socket.fd);
  });
}

TEST_CASE("a datagram longer than its buffer is cut and says so; an empty one is one too") {
  everywhere([](Rig& rig) {
    const Listener socket = bind_datagrams(rig);
    Receiver receiver(rig, socket.fd);
    const auto far = rig.open_datagrams(socket.port);
    far->send(pattern(payload_room));
    far->send(pattern(payload_room + 1));
    far->send({});
    far->send(pattern(3));
    REQUIRE(receiver.until(4));
    CHECK(receiver.got[0].bytes == pattern(payload_room));
    CHECK_FALSE(receiver.got[0].truncated);
    CHECK(receiver.got[1].bytes.size() == payload_room);
    CHECK(receiver.got[1].truncated);
    CHECK(receiver.got[2].bytes.empty());
    CHECK_FALSE(receiver.got[2].truncated);
    CHECK(receiver.got[3].bytes == pattern(3));
    receiver.stop();
    close_fd(rig, socket.fd);
  });
}

TEST_CASE("an empty buffer ring ends the multishot with ENOBUFS and loses no datagram") {
  everywhere([](Rig& rig) {
    if (!rig.ring().has(Feature::multishot_recvmsg)) return;
    const Listener socket = bind_datagrams(rig);
    Receiver receiver(rig, socket.fd, 4);
    receiver.keep = true;
    const auto far = rig.open_datagrams(socket.port);
    for (std::uint32_t i = 0; i < 6; ++i) far->send(pattern(10 + i, i));
    REQUIRE(receiver.until(4));
    REQUIRE(rig.until([&] {
      receiver.take_all();
      return !receiver.errors.empty();
    }));
    CHECK(receiver.errors.front() == -ENOBUFS);
    receiver.keep = false;
    receiver.give_back();
    REQUIRE(receiver.until(6));
    for (std::uint32_t i = 0; i < 6; ++i) CHECK(receiver.got[i].bytes == pattern(10 + i, i));
    receiver.stop();
    close_fd(rig, socket.fd);
  });
}

TEST_CASE("sendmsg: one datagram each, from the bound port; too long is EMSGSIZE") {
  everywhere([](Rig& rig) {
    const Listener socket = bind_datagrams(rig);
    Receiver receiver(rig, socket.fd);
    const auto far = rig.open_datagrams(socket.port);  // takes only what comes from this port
    CHECK(send_to(rig, socket.fd, far->port(), pattern(40, 1)) == 40);
    CHECK(send_to(rig, socket.fd, far->port(), pattern(2000, 2)) == 2000);
    std::vector<std::vector<std::uint8_t>> came;
    REQUIRE(rig.until([&] {
      for (auto& one : far->take()) came.push_back(std::move(one));
      return came.size() == 2;
    }));
    CHECK(came[0] == pattern(40, 1));
    CHECK(came[1] == pattern(2000, 2));
    CHECK(send_to(rig, socket.fd, far->port(), pattern(65'508)) == -EMSGSIZE);
    close_fd(rig, socket.fd);
  });
}

TEST_CASE("sockets that share a port: one peer always meets the same of them") {
  everywhere([](Rig& rig) {
    const Listener first = bind_datagrams(rig, 0, true);
    const Listener second = bind_datagrams(rig, first.port, true);
    Receiver receiver(rig, first.fd);
    std::vector<std::unique_ptr<FarDatagrams>> far;
    std::map<std::uint16_t, std::size_t> got;
    for (std::uint32_t i = 0; i < 40; ++i) {
      far.push_back(rig.open_datagrams(first.port));
      for (int twice = 0; twice < 2; ++twice) far.back()->send(pattern(5));
    }
    // Which of them meet the first socket is the kernel's choice; with 40, some do.
    REQUIRE(receiver.until(2));
    receiver.settle();
    for (const Got& datagram : receiver.got) ++got[datagram.port];
    CHECK(got.size() < 40);
    for (const auto& [port, count] : got) CHECK(count == 2);
    // Replies of the other socket carry the shared port.
    CHECK(send_to(rig, second.fd, far[0]->port(), pattern(7)) == 7);
    CHECK(rig.until([&] { return far[0]->take().size() == 1; }));
    receiver.stop();
    close_fd(rig, second.fd);
    close_fd(rig, first.fd);
  });
}

TEST_CASE("a port without SO_REUSEPORT is taken once, and TCP does not take it") {
  everywhere([](Rig& rig) {
    const Listener tcp = listen(rig);
    const Listener socket = bind_datagrams(rig, tcp.port);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(socket.port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int fd = rig.sys().socket(AF_INET, SOCK_DGRAM, 0);
    CHECK(rig.sys().bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) ==
          -EADDRINUSE);
    rig.sys().close(fd);
    close_fd(rig, socket.fd);
    close_fd(rig, tcp.fd);
  });
}

TEST_CASE("the simulation loses, repeats and delays datagrams by its seed, and never bends one") {
  std::size_t lost = 0;
  std::size_t twice = 0;
  std::size_t late = 0;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    std::uint64_t traces[2];
    for (std::uint64_t& trace : traces) {
      World world({.seed = seed, .datagram_loss = 100, .datagram_twice = 100,
                   .datagram_late = 100});
      DatagramPeer server = world.open_datagrams_ipv4(9);
      DatagramPeer device = world.open_datagrams_ipv4(server.port());
      std::vector<std::vector<std::uint8_t>> got;
      for (std::uint32_t i = 0; i < 100; ++i) {
        device.send(pattern(1 + i, i));
        for (int steps = 0; steps < 3; ++steps) world.step(100 * ns_per_us);
      }
      while (world.step()) {}
      std::set<std::size_t> sizes;
      std::size_t longest = 0;
      for (const std::vector<std::uint8_t>& one : server.take()) {
        CHECK(one == pattern(one.size(), static_cast<std::uint32_t>(one.size() - 1)));
        if (!sizes.insert(one.size()).second) ++twice;
        late += one.size() < longest ? 1 : 0;
        longest = std::max(longest, one.size());
      }
      lost += 100 - sizes.size();
      const std::uint16_t before = device.port();
      device.rebind();
      CHECK(device.port() != before);
      trace = world.trace_hash();
      device.close();
      server.close();
    }
    CHECK(traces[0] == traces[1]);
  }
  CHECK(lost > 100);
  CHECK(twice > 100);
  CHECK(late > 100);
}
