// What tests of HTTP and of what comes after an upgrade play on: one shard that serves HTTP, on the
// real ring or the simulated one. The test brings the handler.
#pragma once

#include <netinet/in.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "protocols/http/session.hpp"
#include "tests/unit/net/stage.hpp"

namespace ringgate::unit {

class Web {
 public:
  explicit Web(std::unique_ptr<Ground> ground) : ground_(std::move(ground)), hub_(1, 1) {
    auto ring = io::Ring::open(ground_->make_backend(),
                               {.sq_entries = 1024, .cq_entries = 8192, .without = 0});
    REQUIRE(ring.ok());
    shard = std::make_unique<shard::Shard>(shard::ShardOptions{.index = 0, .count = 1, .cpu = -1},
                                           std::move(*ring), ground_->sys());
    mail_ = std::make_unique<shard::MailRoom>(*shard, hub_);
    auto made = net::Links::create(*shard, *mail_, group, {});
    REQUIRE(made.ok());
    links = std::move(*made);
    session = std::make_unique<http::Session>(*links, group, http::SessionOptions{});
    const std::uint8_t number = links->add_protocol(*session);
    links->add_listener({.fd = listen_here(), .protocol = number, .idle_timeout_ms = 60'000,
                         .frame_timeout_ms = 10'000});
  }
  ~Web() {
    far_.clear();
    stop();
  }

  Far& connect() {
    far_.push_back(ground_->connect(port_));
    return *far_.back();
  }
  int too_many_bytes() const { return ground_->too_many_bytes(); }
  void turn() { shard->turn(ground_->turn_ns()); }
  template <class Done>
  bool until(Done&& done) {
    for (int i = 0; i < 20'000; ++i) {
      if (done()) return true;
      turn();
    }
    return done();
  }
  void pass(MonoNs time_ns) {
    for (MonoNs passed = 0; passed < time_ns; passed += 50 * ns_per_ms) {
      ground_->advance(50 * ns_per_ms);
      turn();
    }
  }
  // Turns until `end` has come `count` times; what comes is appended to `text`.
  void hear(Far& far, std::string& text, std::string_view end, int count = 1) {
    CHECK(until([&] {
      text += far.take();
      int found = 0;
      for (std::size_t at = text.find(end); at != std::string::npos; at = text.find(end, at + 1)) {
        ++found;
      }
      return found >= count;
    }));
  }
  bool ends(Far& far, std::string& text) {
    return until([&] {
      text += far.take();
      return far.ended() || far.was_reset();
    });
  }
  void stop() {
    if (stopped_) return;
    stopped_ = true;
    shard->request_stop();
    CHECK(until([&] { return !shard->turn(ground_->turn_ns()); }));
    CHECK(links->memory_bytes() == links->idle_memory_bytes());
    CHECK(session->counters().open.value() == 0);
  }

  // For rigs with more on the shard.
  shard::MailHub& hub() { return hub_; }
  shard::MailRoom& mail() { return *mail_; }

  // In the order in which they are built; they end in reverse.
 private:
  std::unique_ptr<Ground> ground_;
  shard::MailHub hub_;
  observe::Registry registry_;

 public:
  observe::CounterGroup& group = registry_.add_shard(0);
  std::unique_ptr<shard::Shard> shard;

 private:
  std::unique_ptr<shard::MailRoom> mail_;

 public:
  std::unique_ptr<net::Links> links;
  std::unique_ptr<http::Session> session;

 private:
  int listen_here() {
    io::Sys& sys = ground_->sys();
    const int fd = sys.socket(AF_INET, SOCK_STREAM, 0);
    REQUIRE(fd >= 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(sys.bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) >= 0);
    REQUIRE(sys.listen(fd, 1024) >= 0);
    sockaddr_storage bound{};
    REQUIRE(sys.local_address(fd, bound) >= 0);
    port_ = ntohs(reinterpret_cast<const sockaddr_in&>(bound).sin_port);
    return fd;
  }

  std::vector<std::unique_ptr<Far>> far_;
  std::uint16_t port_ = 0;
  bool stopped_ = false;
};

// On the real machine, and on rough simulated ones.
inline void on_all_grounds(const std::function<void(std::unique_ptr<Ground>)>& scene) {
  scene(make_real_ground());
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    scene(make_sim_ground(io::SimOptions::rough(seed)));
  }
}

}  // namespace ringgate::unit
