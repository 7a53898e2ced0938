// Whole shards in one thread, as the gateway wires them: the real ring, real loopback sockets, a
// real log in a scratch directory, both protocols, and a clock that stands until the test moves it.
// Clients are plain sockets; Gateway::until turns the shards and reads what came for them.
#pragma once

#include <arpa/inet.h>
#include <cerrno>
#include <deque>
#include <memory>
#include <netinet/tcp.h>
#include <string>
#include <sys/socket.h>
#include <unistd.h>
#include <vector>

#include <doctest/doctest.h>

#include "engine/base/hex.hpp"
#include "engine/device/device_table.hpp"
#include "engine/net/links.hpp"
#include "protocols/jsonl/session.hpp"
#include "protocols/jt808/session.hpp"
#include "storage/log/reader.hpp"
#include "tests/unit/log/log_rig.hpp"
#include "tests/unit/shard/manual_sys.hpp"

namespace ringgate::unit {

using Raw = std::vector<std::uint8_t>;

// The clock begins in November 2026; the disk can be declared full.
class RigSys final : public ManualSys {
 public:
  static constexpr std::int64_t start_unix_s = 1'795'000'000;
  bool disk_full = false;

  WallUs wall_now() override { return start_unix_s * us_per_s + ManualSys::wall_now(); }
  std::int64_t pwrite(int fd, Bytes from, std::uint64_t offset) override {
    return disk_full ? -ENOSPC : ManualSys::pwrite(fd, from, offset);
  }
  int fallocate(int fd, std::uint64_t offset, std::uint64_t size_bytes) override {
    return disk_full ? -ENOSPC : ManualSys::fallocate(fd, offset, size_bytes);
  }
};

struct GatewayOptions {
  ShardIndex shards = 1;
  jt808::SessionOptions jt808 = {.commit = true,
                                 .log_heartbeats = false,
                                 .idle_timeout_ms = 300'000,
                                 .auth_timeout_ms = 60'000,
                                 .max_bad_frames = 20,
                                 .bad_frame_window_ns = 60 * ns_per_s};
  std::uint32_t frame_timeout_ms = 30'000;
  log::OnFailure on_failure = log::OnFailure::refuse;
};

// A peer. `in` is what has arrived and was not looked at.
class Client {
 public:
  explicit Client(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0);
  }
  ~Client() {
    if (fd_ >= 0) ::close(fd_);
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  void send(Bytes bytes) {
    REQUIRE(::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL) ==
            static_cast<ssize_t>(bytes.size()));
    sent += bytes.size();
  }
  void send(std::string_view text) { send(as_bytes(text)); }
  // As much as the socket takes.
  std::size_t offer(Bytes bytes) {
    const ssize_t taken = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (taken <= 0) return 0;
    sent += static_cast<std::uint64_t>(taken);
    return static_cast<std::size_t>(taken);
  }
  void finish() { ::shutdown(fd_, SHUT_WR); }
  // Ends with a reset.
  void abort() {
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    ::close(fd_);
    fd_ = -1;
    closed = true;
  }
  void poll() {
    std::uint8_t buffer[16 * 1024];
    while (!closed) {
      const ssize_t got = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
      if (got > 0) {
        in.insert(in.end(), buffer, buffer + got);
      } else if (got == 0 || errno != EAGAIN) {
        closed = true;
        reset = got != 0;
      } else {
        return;
      }
    }
  }

  Raw in;
  std::uint64_t sent = 0;
  bool closed = false;  // the gateway's FIN, or a reset
  bool reset = false;

 private:
  int fd_;
};

// One record as it was read back.
struct Stored {
  log::Kind kind;
  Namespace ns;
  std::uint16_t message;
  std::uint16_t serial;
  bool duplicate;
  ShardIndex shard;
  std::uint64_t link;
  std::string device;
  std::string payload;
  bool whole;
  bool outcome;  // of a command
  Position position;
};

class Gateway {
 public:
  struct Room {
    std::unique_ptr<observe::CounterGroup> counters;
    std::unique_ptr<shard::Shard> shard;
    std::unique_ptr<shard::MailRoom> mail;
    std::unique_ptr<net::Links> links;
    std::unique_ptr<log::Writer> writer;
    std::unique_ptr<device::DeviceTable> devices;
    std::unique_ptr<jt808::Session> jt808;
    std::unique_ptr<jsonl::Session> jsonl;
    std::uint16_t jt808_port = 0;
    std::uint16_t jsonl_port = 0;
  };

  explicit Gateway(const GatewayOptions& chosen = {})
      : options(chosen),
        logger_({.delivery = observe::Delivery::immediate,
                 .site_limit_per_s = 0,
                 .sink = [this](std::string_view line) { lines.emplace_back(line); },
                 .clock = [this] { return sys.wall_now(); }}),
        logs_(logger_.add_source("shard-0")), hub_(chosen.shards, 1) {
    log::LogOptions log_options = log::small_options(scratch_.path());
    log_options.on_failure = options.on_failure;
    auto opened = log::DataDir::open(sys, log_options.data_dir);
    REQUIRE(opened.ok());
    dir_ = std::move(*opened);
    REQUIRE(log::recover(sys, *dir_).ok());
    supply_ = std::make_unique<log::SegmentSupply>(sys, log_options, dir_->log_path(), dir_->node(),
                                                   dir_->run(),
                                                   log::SegmentSupply::Mode::inline_now);
    auto made = jt808::Authenticator::open(sys, scratch_.path());
    REQUIRE(made.ok());
    authenticator = std::move(*made);
    for (ShardIndex i = 0; i < options.shards; ++i) rooms.push_back(build(i, log_options));
  }
  ~Gateway() { stop(); }
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  const std::string& data_dir() const { return scratch_.path(); }
  Client& jt808(ShardIndex shard = 0) { return connect(rooms[shard].jt808_port); }
  Client& jsonl(ShardIndex shard = 0) { return connect(rooms[shard].jsonl_port); }

  void turn() {
    for (Room& room : rooms) room.shard->turn(100 * ns_per_us);
    for (const auto& client : clients_) client->poll();
  }
  // Turns until `done` says so; false if it does not within a minute.
  template <class Done>
  bool until(Done&& done) {
    const MonoNs begun = io::real_sys().mono_now();
    while (!done()) {
      if (io::real_sys().mono_now() - begun > 60 * ns_per_s) return false;
      turn();
    }
    return true;
  }
  // Everything that clients sent was read, and everything that was logged is durable. Not for
  // links that closed with bytes unread.
  void settle() {
    std::uint64_t sent = 0;
    for (const auto& client : clients_) sent += client->sent;
    CHECK(until([&] {
      std::uint64_t received = 0;
      bool durable = true;
      for (const Room& room : rooms) {
        received += room.links->counters().received_bytes.value();
        durable &= room.writer->all_committed();
      }
      return received == sent && durable;
    }));
  }
  void advance(MonoNs by) {
    sys.advance(by);
    for (int i = 0; i < 3; ++i) turn();
  }
  std::uint32_t links() const {
    std::uint32_t count = 0;
    for (const Room& room : rooms) count += room.links->live_count();
    return count;
  }
  jt808::Counters counters(ShardIndex shard = 0) { return jt808::Counters(*rooms[shard].counters); }
  device::Device* device(std::string_view phone) {
    const DeviceKey key(Namespace::phone, phone);
    Room& room = rooms[home_shard(key, options.shards)];
    const device::DeviceSlot slot = room.devices->find(key);
    return slot == device::no_device ? nullptr : &room.devices->at(slot);
  }

  // Stops everything and reads the log back, in the order of each shard.
  std::vector<Stored> stored() {
    stop();
    std::vector<Stored> out;
    auto reader = log::Reader::open(sys, scratch_.path(), {});
    REQUIRE(reader.ok());
    for (log::Entry entry; (*reader)->next(entry);) {
      const log::Record& record = entry.record;
      out.push_back({record.kind(), record.ns(), record.header.message, record.header.serial,
                     record.duplicate(), entry.stream.shard, record.header.link,
                     std::string(record.device), std::string(as_text(record.payload)),
                     record.whole(), record.outcome(), record.header.position});
    }
    CHECK((*reader)->problems().empty());
    return out;
  }

  void stop() {
    if (stopped_) return;
    stopped_ = true;
    sys.disk_full = false;
    for (Room& room : rooms) room.shard->request_stop();
    for (bool running = true; running;) {
      running = false;
      for (Room& room : rooms) running |= room.shard->turn(100 * ns_per_us);
      sys.advance(10 * ns_per_ms);
    }
    rooms.clear();
    supply_.reset();
    dir_.reset();
  }

  GatewayOptions options;
  RigSys sys;
  std::vector<std::string> lines;  // of our own log
  std::unique_ptr<jt808::Authenticator> authenticator;
  std::vector<Room> rooms;

 private:
  Room build(ShardIndex index, const log::LogOptions& log_options) {
    Room room;
    room.counters = std::make_unique<observe::CounterGroup>("shard", std::to_string(index));
    io::RingOptions ring_options;
    ring_options.sq_entries = 64;
    ring_options.cq_entries = 1024;
    auto ring = io::Ring::open(io::make_uring_backend(), ring_options);
    REQUIRE(ring.ok());
    room.shard = std::make_unique<shard::Shard>(
        shard::ShardOptions{.index = index, .count = options.shards}, std::move(*ring), sys);
    room.mail = std::make_unique<shard::MailRoom>(*room.shard, hub_);
    auto links = net::Links::create(*room.shard, *room.mail, *room.counters, {});
    REQUIRE(links.ok());
    room.links = std::move(*links);
    auto writer = log::Writer::open(*room.shard, log_options, *supply_);
    REQUIRE(writer.ok());
    room.writer = std::move(*writer);
    room.devices = std::make_unique<device::DeviceTable>(room.links->budget());
    room.jt808 = std::make_unique<jt808::Session>(*room.links, *room.writer, *room.devices,
                                                  *authenticator, *room.counters, logs_,
                                                  options.jt808);
    room.jsonl = std::make_unique<jsonl::Session>(*room.links, *room.writer, *room.counters);
    room.jt808_port = listen(room, *room.jt808);
    room.jsonl_port = listen(room, *room.jsonl);
    return room;
  }
  std::uint16_t listen(Room& room, net::Protocol& protocol) const {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const int one = 1;  // as the server sets it: small frames must not wait for the peer's ACK
    REQUIRE(::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) == 0);
    REQUIRE(::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0);
    REQUIRE(::listen(fd, 64) == 0);
    socklen_t size = sizeof at;
    REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0);
    room.links->add_listener({.fd = fd,
                              .protocol = room.links->add_protocol(protocol),
                              .idle_timeout_ms = options.jt808.idle_timeout_ms,
                              .frame_timeout_ms = options.frame_timeout_ms});
    return ntohs(at.sin_port);
  }
  Client& connect(std::uint16_t port) {
    clients_.push_back(std::make_unique<Client>(port));
    return *clients_.back();
  }

  log::ScratchDir scratch_;
  observe::Logger logger_;
  observe::LogSource& logs_;
  shard::MailHub hub_;
  std::unique_ptr<log::DataDir> dir_;
  std::unique_ptr<log::SegmentSupply> supply_;
  std::deque<std::unique_ptr<Client>> clients_;
  bool stopped_ = false;
};

}  // namespace ringgate::unit
