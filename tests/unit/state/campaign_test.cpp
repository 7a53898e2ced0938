// One command to many devices: who is found, how many at a time, what is told, how it ends. Gates
// that the test plays by hand stand for a protocol, on two shards in one thread.
#include "storage/state/campaign.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <map>
#include <optional>

#include "engine/io/sim.hpp"
#include "engine/shard/shard.hpp"

namespace {

using namespace ringgate;
using event::CommandOutcome;
using event::CommandStatus;
using state::Campaign;

class Protocol final : public event::DeviceProtocol {
 public:
  Namespace ns() const override { return Namespace::phone; }
  std::span<const std::string_view> list_keys() const override { return {}; }
  Result<DeviceKey> parse_device(std::string_view text) const override {
    return DeviceKey(Namespace::phone, text);
  }
  Result<std::shared_ptr<const event::PreparedCommand>> prepare(std::string_view) const override {
    return std::make_shared<const event::PreparedCommand>();
  }
};

class Gate final : public event::DeviceGate {
 public:
  Namespace ns() const override { return Namespace::phone; }
  void send(const DeviceKey& device, std::shared_ptr<const event::PreparedCommand>, MonoNs,
            std::unique_ptr<event::CommandWaiter> waiter) override {
    sent.emplace_back(device, std::move(waiter));
  }
  bool online(const DeviceKey&) override { return true; }
  std::uint32_t list(std::uint32_t cursor, std::uint32_t limit,
                     std::vector<std::string>& out) override {
    for (; limit > 0 && cursor < devices.size(); --limit, ++cursor) {
      out.push_back(fmt::format("{{\"phone\":\"{}\",\"online\":{}}}", devices[cursor],
                                cursor % 2 == 0));
    }
    return cursor < devices.size() ? cursor : 0;
  }
  bool describe(const DeviceKey&, JsonWriter&) override { return false; }
  void audit(const DeviceKey&, std::string_view, const event::Act& act) override {
    by.emplace_back(act.by);
  }
  bool kick(const DeviceKey&, const event::Act&) override { return false; }
  bool ban(const DeviceKey&, WallUs, const event::Act&) override { return false; }
  bool unban(const DeviceKey&, const event::Act&) override { return false; }
  void bans(std::vector<std::string>&) override {}
  bool trace(const DeviceKey&, event::TraceWatcher*) override { return false; }
  void watch_presence(event::PresenceWatcher&) override {}
  void bad_frames(std::uint32_t, std::vector<std::string>&) override {}

  std::vector<std::string> devices;
  std::vector<std::string> by;
  std::vector<std::pair<DeviceKey, std::unique_ptr<event::CommandWaiter>>> sent;
};

struct Place {
  Place(shard::MailHub& mail, shard::ErrandHub& hub, ShardIndex index)
      : world(io::SimOptions{.seed = index + 1U}) {
    auto ring = io::Ring::open(world.make_backend(), {.sq_entries = 64, .cq_entries = 256});
    RG_CHECK(ring.ok());
    shard.emplace(shard::ShardOptions{.index = index, .count = mail.shards()}, std::move(*ring),
                  world.sys());
    room.emplace(*shard, mail);
    host.add(gate);
    errands.emplace(*shard, *room, hub, host);
  }
  ~Place() {
    gate.sent.clear();
    errands.reset();
  }
  io::World world;
  Gate gate;
  state::ShardHost host;
  std::optional<shard::Shard> shard;
  std::optional<shard::MailRoom> room;
  std::optional<shard::ErrandRoom> errands;
};

struct Rig {
  Rig() : mail(2, 1), hub(mail), post(hub, mail.control_producer(0)) {
    for (ShardIndex i = 0; i < 2; ++i) places.push_back(std::make_unique<Place>(mail, hub, i));
  }
  ~Rig() {
    campaign.reset();
    places.clear();
    post.poll();
  }
  Campaign& make(std::uint32_t parallel, std::size_t devices_max = 1000) {
    campaign = std::make_shared<Campaign>(
        Campaign::Parts{.post = post,
                        .devices = protocol,
                        .command = {.prepared = *protocol.prepare(""),
                                    .action = "send",
                                    .by = "me"},
                        .parallel = parallel,
                        .devices_max = devices_max},
        [this](const DeviceKey& device, const CommandOutcome* outcome) {
          told[std::string(device.id())] =
              outcome == nullptr ? "stopping" : event::name_of(outcome->status);
        },
        [this] { ++woken; });
    return *campaign;
  }
  void turn() {
    for (const auto& place : places) place->shard->turn(0);
    post.poll();
  }
  // Pumps until nothing moves any more.
  Campaign::State settle() {
    Campaign::State state = campaign->pump();
    for (int i = 0; i < 200; ++i) {
      turn();
      state = campaign->pump();
    }
    return state;
  }
  std::size_t under_way() const {
    return places[0]->gate.sent.size() + places[1]->gate.sent.size();
  }
  // Answers what the gates have.
  void answer(CommandStatus status) {
    for (const auto& place : places) {
      for (auto& [device, waiter] : std::exchange(place->gate.sent, {})) {
        CommandOutcome outcome;
        outcome.status = status;
        waiter->on_outcome(device, outcome);
      }
    }
  }
  std::vector<DeviceKey> keys(int count) {
    std::vector<DeviceKey> out;
    for (int i = 0; i < count; ++i) out.emplace_back(Namespace::phone, std::to_string(100 + i));
    return out;
  }
  std::string by_status() const {
    std::string text;
    JsonWriter json(text);
    campaign->by_status_json(json);
    return text;
  }

  shard::MailHub mail;
  shard::ErrandHub hub;
  shard::ErrandPost post;
  Protocol protocol;
  std::vector<std::unique_ptr<Place>> places;
  std::shared_ptr<Campaign> campaign;
  std::map<std::string, std::string> told;
  int woken = 0;
};

TEST_CASE("never more at a time than may be; every outcome is told once") {
  Rig rig;
  rig.make(3).to(rig.keys(10));
  std::size_t rounds = 0;
  while (rig.settle() != Campaign::State::done) {
    CHECK(rig.under_way() <= 3);
    REQUIRE(++rounds < 10);
    rig.answer(rounds == 1 ? CommandStatus::offline : CommandStatus::answered);
  }
  CHECK(rounds == 4);
  CHECK(rig.told.size() == 10);
  CHECK(rig.by_status() == R"({"answered":7,"offline":3})");
  CHECK(rig.campaign->done() == 10);
  CHECK(rig.woken >= 10);
  CHECK(rig.places[0]->gate.by.size() + rig.places[1]->gate.by.size() == 10);
  CHECK(rig.places[0]->gate.by[0] == "me");
}

TEST_CASE("a filter is asked of all shards, page by page") {
  Rig rig;
  for (int i = 0; i < 150; ++i) {
    const DeviceKey device(Namespace::phone, std::to_string(100 + i));
    rig.places[home_shard(device, 2)]->gate.devices.emplace_back(device.id());
  }
  rig.make(1000).to_all(*event::DeviceFilter::parse("online"));
  CHECK(rig.campaign->gathering());
  CHECK(rig.settle() == Campaign::State::going);
  CHECK(!rig.campaign->gathering());
  CHECK(rig.under_way() == rig.campaign->targets().size());
  CHECK(rig.under_way() >= 75);
  CHECK(rig.under_way() <= 76);
  rig.answer(CommandStatus::answered);
  CHECK(rig.settle() == Campaign::State::done);

  rig.make(10, 20).to_all(*event::DeviceFilter::parse(""));
  CHECK(rig.settle() == Campaign::State::too_many);
  CHECK(rig.under_way() == 0);
}

TEST_CASE("cancelled: what is under way comes home, and no more leave") {
  Rig rig;
  rig.make(4).to(rig.keys(10));
  CHECK(rig.settle() == Campaign::State::going);
  rig.campaign->cancel();
  CHECK(rig.settle() == Campaign::State::going);
  rig.answer(CommandStatus::answered);
  CHECK(rig.settle() == Campaign::State::done);
  CHECK(rig.told.size() == 4);
}

TEST_CASE("room for outcomes is asked for; an end of the campaign leaves its errands alone") {
  Rig rig;
  rig.make(10).to(rig.keys(10));
  CHECK(rig.campaign->pump([] { return false; }) == Campaign::State::going);
  CHECK(rig.campaign->outstanding() == 0);
  CHECK(rig.settle() == Campaign::State::going);
  CHECK(rig.under_way() == 10);
  rig.campaign.reset();
  rig.answer(CommandStatus::answered);
  rig.turn();
  rig.post.poll();
  CHECK(rig.told.empty());
  CHECK(rig.post.outstanding() == 0);
}

}  // namespace
