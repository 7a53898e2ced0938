// Links of two shards on rough simulated machines: lines that are logged, forwarded and moved while
// peers stall, leave and reset, buffers run out and memory gets short. Answers come in line order
// and never ahead of the log; nothing is lost, and at the end nothing is left.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/sim/seeds.hpp"
#include "tests/unit/net/stage.hpp"

namespace {

using namespace ringgate;
using unit::Far;
using unit::Ground;
using unit::Stage;
using unit::StageOptions;

// One device with a script of lines, numbered from 0.
struct Client {
  std::unique_ptr<Far> far;
  std::uint32_t lines = 0;
  std::string unsent;
  std::string got;
  bool reset = false;  // by itself
  bool stalled = false;
};

std::string make_script(Ground& ground, std::uint32_t lines) {
  std::string text;
  const char kinds[] = {'L', 'L', 'L', 'H', 'F', 'F', 'M'};
  for (std::uint32_t i = 0; i < lines; ++i) {
    text += kinds[ground.random(std::size(kinds))];
    text += std::to_string(i);
    if (text.back() == '7') text.append(ground.random(6'000), ' ');
    text += '\n';
  }
  return text;
}

// The number of the line that this answer belongs to: "=0,17 L5", "-H5", "+5", "!5".
std::uint32_t line_of(const std::string& answer) {
  std::size_t at = 1;
  if (answer[0] == '=') at = answer.find(' ') + 2;
  if (answer[0] == '-') at = 2;
  return static_cast<std::uint32_t>(std::stoul(answer.substr(at)));
}

// Whole answers so far; each must be the next line's.
std::uint32_t check_order(const std::string& got) {
  std::uint32_t count = 0;
  std::size_t at = 0;
  for (std::size_t end = got.find('\n'); end != std::string::npos; end = got.find('\n', at)) {
    REQUIRE(line_of(got.substr(at, end - at)) == count);
    ++count;
    at = end + 1;
  }
  return count;
}

class Play {
 public:
  explicit Play(std::uint64_t seed)
      : quiet_(seed % 3 != 0 && seed % 5 != 0), stage_(make_ground(seed), make_options(seed)) {
    const std::uint64_t count = 3 + pick(10);
    for (std::uint64_t i = 0; i < count; ++i) {
      Client client;
      client.far = stage_.connect(static_cast<ShardIndex>(pick(2)));
      client.lines = static_cast<std::uint32_t>(pick(60));
      client.unsent = make_script(stage_.ground(), client.lines);
      clients_.push_back(std::move(client));
    }
  }

  void run() {
    const std::uint64_t turns = 100 + pick(400);
    for (std::uint64_t i = 0; i < turns; ++i) {
      stir();
      stage_.turn();
    }
    settle();
  }

 private:
  static io::SimOptions machine(std::uint64_t seed) {
    io::SimOptions options = io::SimOptions::rough(seed);
    options.reset = seed % 3 == 0 ? 2 : 0;
    return options;
  }
  static std::unique_ptr<Ground> make_ground(std::uint64_t seed) {
    return unit::make_sim_ground(machine(seed));
  }
  static StageOptions make_options(std::uint64_t seed) {
    StageOptions options{.shards = 2};
    // What the machine lacks must not be asked for.
    options.without = io::sim_all_features & ~machine(seed).features;
    if (seed % 5 == 0) {
      options.links.memory_limit_bytes = 200'000;
      options.frame_timeout_ms = 5'000;
    }
    return options;
  }
  std::uint64_t pick(std::uint64_t bound) { return stage_.ground().random(bound); }

  // What may happen in between.
  void stir() {
    Client& client = clients_[pick(clients_.size())];
    const std::size_t some = std::min<std::size_t>(client.unsent.size(), pick(3'000));
    if (!client.reset) client.far->send(client.unsent.substr(0, some));
    client.unsent.erase(0, some);
    if (pick(20) == 0) client.far->pause_reading(client.stalled = !client.stalled);
    if (pick(500) == 0) {
      client.reset = true;
      client.far->reset();
    }
    if (!client.reset) stage_.take(*client.far, client.got);
    const auto shard = static_cast<ShardIndex>(pick(2));
    Stage::Place& place = stage_.at(shard);
    if (pick(4) == 0) {
      const Position done = place.shard->watermark().committed();
      stage_.commit_to(shard, done + pick(place.log.next - done));
    }
    if (pick(60) == 0) place.log.full = !place.log.full;
    if (pick(100) == 0) place.running = !place.running;  // does not get its turn
  }

  // The machine recovers: everybody who did not reset gets every answer.
  void settle() {
    for (ShardIndex shard = 0; shard < 2; ++shard) {
      stage_.at(shard).log.full = false;
      stage_.at(shard).running = true;
    }
    for (Client& client : clients_) {
      client.far->pause_reading(false);
      if (!client.reset) client.far->send(client.unsent);
    }
    const bool settled = stage_.until([&] {
      stage_.commit(0);
      stage_.commit(1);
      return std::ranges::all_of(clients_, [&](Client& client) { return complete(client); });
    });
    CHECK(settled);
    for (Client& client : clients_) {
      if (client.reset) continue;
      if (quiet_) CHECK(check_order(client.got) == client.lines);
      client.far->shut();
    }
    const bool gone = stage_.until([&] {
      stage_.commit(0);
      stage_.commit(1);
      return stage_.live() == 0;
    });
    CHECK(gone);
    stage_.stop();
  }
  bool complete(Client& client) {
    if (client.reset) return true;
    stage_.take(*client.far, client.got);
    return check_order(client.got) == client.lines || client.far->was_reset() ||
           client.far->ended();
  }

  bool quiet_;  // nobody but the clients themselves ends a link
  Stage stage_;
  std::vector<Client> clients_;
};

TEST_CASE("links on rough machines lose nothing, mix nothing up and leave nothing behind") {
  sim::for_seeds(300, 10'000, [](std::uint64_t seed) { Play(seed).run(); });
}

}  // namespace
