// A simulated machine with a crowd on one shard and a scripted server on another: JT/T 808 answers
// that come when the script says so, on a clock that only the simulation moves.
#pragma once

#include <arpa/inet.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/io/sim.hpp"
#include "engine/shard/shard.hpp"
#include "tools/load/crowd/crowd.hpp"
#include "tools/load/crowd/desk.hpp"
#include "tools/load/crowd/targets.hpp"
#include "tools/load/frames.hpp"
#include "tools/load/run/aim.hpp"
#include "tools/load/run/tally.hpp"

namespace ringgate::unit {

// When the server's answer to something that arrived at `now` leaves.
using Script = std::function<MonoNs(MonoNs now)>;

// Takes connections on 127.0.0.1:7808. What `respond` makes of what arrives is said at the time of
// the script; answers of a connection keep their order.
class ScriptedServer final : public shard::CompletionHandler {
 public:
  static constexpr std::uint16_t port = 7808;
  // Takes what it answers off the front of what has arrived; empty: wait for more.
  using Respond = std::function<std::string(std::string& in)>;

  ScriptedServer(io::World& world, Script script, Respond respond)
      : world_(world), script_(std::move(script)), respond_(std::move(respond)) {
    Result<std::unique_ptr<io::Ring>> ring =
        io::Ring::open(world.make_backend(), {.sq_entries = 256, .cq_entries = 1024});
    REQUIRE(ring.ok());
    shard_ = std::make_unique<shard::Shard>(shard::ShardOptions{}, std::move(*ring), world.sys());
    for (const io::Tag tag : {io::Tag::accept, io::Tag::recv, io::Tag::send}) {
      shard_->handle(tag, *this);
    }
    listener_ = world.sys().socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(world.sys().bind(listener_, reinterpret_cast<sockaddr*>(&at), sizeof at) == 0);
    REQUIRE(world.sys().listen(listener_, 512) == 0);
    accept();
  }

  void turn() {
    for (std::uint32_t i = 0; i < links_.size(); ++i) pump(i);
    shard_->turn(0);
  }
  std::uint64_t taken() const { return taken_; }

  void on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t) override {
    const std::uint32_t index = io::slot_of(user_data);
    switch (io::tag_of(user_data)) {
      case io::Tag::accept:
        REQUIRE(result >= 0);
        links_.push_back(std::make_unique<Link>());
        links_.back()->fd = result;
        receive(static_cast<std::uint32_t>(links_.size() - 1));
        return accept();
      case io::Tag::recv: return on_receive(index, result);
      default: return on_send(index, result);
    }
  }

 private:
  struct Link {
    int fd = -1;
    bool open = true;
    bool sending = false;
    std::string in;
    std::string out;  // in the kernel's hands
    std::vector<std::pair<MonoNs, std::string>> answers;
    std::uint8_t buffer[2048];
  };

  void accept() {
    io_uring_sqe* sqe = shard_->ring().next_sqe();
    io_uring_prep_accept(sqe, listener_, nullptr, nullptr, 0);
    sqe->user_data = io::user_data(io::Tag::accept, 0, 0);
  }
  void receive(std::uint32_t index) {
    Link& link = *links_[index];
    io_uring_sqe* sqe = shard_->ring().next_sqe();
    io_uring_prep_recv(sqe, link.fd, link.buffer, sizeof link.buffer, 0);
    sqe->user_data = io::user_data(io::Tag::recv, 0, index);
  }
  void on_receive(std::uint32_t index, std::int32_t result) {
    Link& link = *links_[index];
    if (result <= 0) {
      link.open = false;
      if (!link.sending) world_.sys().close(link.fd);
      return;
    }
    link.in.append(reinterpret_cast<char*>(link.buffer), static_cast<std::size_t>(result));
    for (std::string said; !(said = respond_(link.in)).empty();) {
      ++taken_;
      link.answers.emplace_back(script_(world_.now()), std::move(said));
    }
    receive(index);
  }
  void on_send(std::uint32_t index, std::int32_t result) {
    Link& link = *links_[index];
    link.sending = false;
    if (!link.open) return static_cast<void>(world_.sys().close(link.fd));
    if (result > 0) link.out.erase(0, static_cast<std::size_t>(result));
    if (!link.out.empty()) submit(index);
  }
  void pump(std::uint32_t index) {
    Link& link = *links_[index];
    if (link.sending || !link.open) return;
    while (!link.answers.empty() && link.answers.front().first <= world_.now()) {
      link.out += link.answers.front().second;
      link.answers.erase(link.answers.begin());
    }
    if (!link.out.empty()) submit(index);
  }
  void submit(std::uint32_t index) {
    Link& link = *links_[index];
    link.sending = true;
    io_uring_sqe* sqe = shard_->ring().next_sqe();
    io_uring_prep_send(sqe, link.fd, link.out.data(), link.out.size(), MSG_NOSIGNAL);
    sqe->user_data = io::user_data(io::Tag::send, 0, index);
  }

  io::World& world_;
  Script script_;
  Respond respond_;
  std::unique_ptr<shard::Shard> shard_;
  int listener_ = -1;
  std::vector<std::unique_ptr<Link>> links_;
  std::uint64_t taken_ = 0;
};

// Answers registrations, authentications and reports of JT/T 808-2013 with what is good news.
inline std::string good_news(std::string& in) {
  const std::size_t from = in.find('\x7e');
  const std::size_t to = from == std::string::npos ? from : in.find('\x7e', from + 1);
  if (to == std::string::npos) return {};
  std::vector<std::uint8_t> frame;
  for (std::size_t i = from + 1; i < to; ++i) {
    const bool escaped = in[i] == '\x7d';
    if (escaped) ++i;
    frame.push_back(escaped ? (in[i] == 2 ? 0x7e : 0x7d) : static_cast<std::uint8_t>(in[i]));
  }
  in.erase(0, to + 1);
  const std::uint16_t id = load_be16(frame.data());
  std::uint8_t raw[64] = {};
  const bool registers = id == 0x0100;
  store_be16(raw, registers ? 0x8100 : 0x8001);
  store_be16(raw + 2, registers ? 6 : 5);
  std::copy_n(frame.data() + 4, 6, raw + 4);
  std::copy_n(frame.data() + 10, 2, raw + 12);  // the serial that is answered
  if (registers) std::copy_n("abc", 3, raw + 15);
  else store_be16(raw + 14, id);
  std::uint8_t wire[128];
  const std::size_t size = load::write_frame(wire, raw, registers ? 18 : 17);
  return std::string(as_text({wire, size}));
}

// The shard that a crowd lives on.
class CrowdRig {
 public:
  CrowdRig(const io::SimOptions& options, Script script,
           ScriptedServer::Respond respond = good_news)
      : world(options), server(world, std::move(script), std::move(respond)) {
    Result<std::unique_ptr<io::Ring>> ring =
        io::Ring::open(world.make_backend(), {.sq_entries = 256, .cq_entries = 1024});
    REQUIRE(ring.ok());
    shard = std::make_unique<shard::Shard>(shard::ShardOptions{}, std::move(*ring), world.sys());
    desk = std::make_unique<load::Desk>(*shard);
    Result<std::unique_ptr<io::BufferRing>> opened =
        io::BufferRing::open(shard->ring(), 0, 64, 2048);
    REQUIRE(opened.ok());
    buffers = std::move(*opened);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_port = htons(ScriptedServer::port);
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    std::copy_n(reinterpret_cast<const std::uint8_t*>(&at), sizeof at,
                reinterpret_cast<std::uint8_t*>(&target.address));
    target.bytes = sizeof at;
    target.text = "127.0.0.1:7808";
  }

  load::CrowdPlace place(std::uint32_t users_max) {
    load::CrowdPlace out;
    out.shard = shard.get();
    out.desk = desk.get();
    out.buffers = buffers.get();
    out.users_max = users_max;
    return out;
  }

  // Turns of both, at most `step_ns` of the clock each.
  void run_until(load::Crowd& crowd, MonoNs until, MonoNs step_ns = 20'000) {
    while (world.now() < until && !crowd.finished()) {
      buffers->publish();
      crowd.before_wait();
      const MonoNs due_ns = std::min(crowd.next_due(), until) - world.now();
      shard->turn(std::clamp<MonoNs>(due_ns, 0, step_ns));
      server.turn();
    }
  }

  io::World world;
  ScriptedServer server;
  std::unique_ptr<shard::Shard> shard;
  std::unique_ptr<load::Desk> desk;
  std::unique_ptr<io::BufferRing> buffers;
  load::TargetAddress target;
};

}  // namespace ringgate::unit
