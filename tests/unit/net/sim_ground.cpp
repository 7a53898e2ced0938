// Links on the simulated ring.
#include "engine/io/sim.hpp"
#include "tests/unit/net/stage.hpp"

namespace ringgate::unit {

namespace {

class SimFar final : public Far {
 public:
  explicit SimFar(io::Peer peer) : peer_(peer) {}
  ~SimFar() override { peer_.close(); }
  SimFar(const SimFar&) = delete;
  SimFar& operator=(const SimFar&) = delete;
  void send(std::string_view text) override {
    if (!text.empty()) peer_.send_sliced(as_bytes(text), 0);
  }
  std::string take() override {
    const auto bytes = peer_.take();
    return {bytes.begin(), bytes.end()};
  }
  void shut() override { peer_.shutdown(); }
  void reset() override { peer_.reset(); }
  bool ended() override { return peer_.ended(); }
  bool was_reset() override { return peer_.was_reset(); }
  void pause_reading(bool pause) override { peer_.pause_reading(pause); }

 private:
  io::Peer peer_;
};

class SimFarDatagrams final : public FarDatagrams {
 public:
  explicit SimFarDatagrams(io::DatagramPeer peer) : peer_(peer) {}
  ~SimFarDatagrams() override { peer_.close(); }
  SimFarDatagrams(const SimFarDatagrams&) = delete;
  SimFarDatagrams& operator=(const SimFarDatagrams&) = delete;
  void send(std::string_view text) override { peer_.send(as_bytes(text)); }
  std::vector<std::string> take() override {
    std::vector<std::string> all;
    for (const auto& one : peer_.take()) all.emplace_back(as_text(one));
    return all;
  }

 private:
  io::DatagramPeer peer_;
};

class SimGround final : public Ground {
 public:
  explicit SimGround(const io::SimOptions& options) : world_(options) {}
  io::Sys& sys() override { return world_.sys(); }
  std::unique_ptr<io::Backend> make_backend() override { return world_.make_backend(); }
  MonoNs turn_ns() const override { return ns_per_ms; }
  std::uint64_t random(std::uint64_t bound) override { return world_.random(bound); }
  int too_many_bytes() const override { return 600'000; }
  void advance(MonoNs by) override {
    const MonoNs until = world_.now() + by;
    while (world_.now() < until) world_.step(until - world_.now());
  }
  std::unique_ptr<Far> connect(std::uint16_t port) override {
    return std::make_unique<SimFar>(world_.connect_ipv4(port));
  }
  std::unique_ptr<FarDatagrams> open_datagrams(std::uint16_t port) override {
    return std::make_unique<SimFarDatagrams>(world_.open_datagrams_ipv4(port));
  }

 private:
  io::World world_;
};

}  // namespace

std::unique_ptr<Ground> make_sim_ground(const io::SimOptions& options) {
  return std::make_unique<SimGround>(options);
}

}  // namespace ringgate::unit
