// Commands that wait for their device: order, repetition, time, ends, and what a start finds. A
// gate that the test plays by hand stands for a protocol.
#include "storage/state/pending.hpp"

#include <doctest/doctest.h>

#include <set>

#include "storage/log/reader.hpp"
#include "storage/state/records.hpp"
#include "tests/unit/log/log_rig.hpp"
#include "tests/unit/shard/manual_sys.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::state;
using event::CommandOutcome;
using event::CommandStatus;

DeviceKey key(std::string_view phone) { return {Namespace::phone, phone}; }
const DeviceKey phone = key("13800138000");

struct Sys final : unit::ManualSys {
  WallUs wall_now() override { return 1'795'000'000 * us_per_s + unit::ManualSys::wall_now(); }
};

struct Text final : event::PreparedCommand {
  std::string json;
};

// Takes everything but {"bad":...}.
class Protocol final : public event::DeviceProtocol {
 public:
  Namespace ns() const override { return Namespace::phone; }
  std::span<const std::string_view> list_keys() const override { return {}; }
  Result<DeviceKey> parse_device(std::string_view text) const override { return key(text); }
  Result<std::shared_ptr<const event::PreparedCommand>> prepare(
      std::string_view json) const override {
    if (json.starts_with("{\"bad\"")) return Error{0, "there is no such message any more"};
    auto made = std::make_shared<Text>();
    made->json = json;
    return std::shared_ptr<const event::PreparedCommand>(std::move(made));
  }
};

class Gate final : public event::DeviceGate {
 public:
  struct Sent {
    DeviceKey device;
    std::string json;
    MonoNs wait_ns;
    std::unique_ptr<event::CommandWaiter> waiter;

    void ends(CommandStatus status, std::uint32_t transmissions = 1) {
      CommandOutcome outcome;
      outcome.status = status;
      outcome.transmissions = transmissions;
      outcome.intent = 64;
      std::move(waiter)->on_outcome(device, std::move(outcome));
    }
  };
  Namespace ns() const override { return Namespace::phone; }
  void send(const DeviceKey& device, std::shared_ptr<const event::PreparedCommand> command,
            MonoNs wait_ns, std::unique_ptr<event::CommandWaiter> waiter) override {
    sent.push_back({device, dynamic_cast<const Text&>(*command).json, wait_ns, std::move(waiter)});
  }
  bool online(const DeviceKey& device) override {
    return here.contains(std::string(device.id()));
  }
  std::uint32_t list(std::uint32_t, std::uint32_t, std::vector<std::string>&) override { return 0; }
  bool describe(const DeviceKey&, JsonWriter&) override { return false; }
  void audit(const DeviceKey&, std::string_view, const event::Act&) override {}
  bool kick(const DeviceKey&, const event::Act&) override { return false; }
  bool ban(const DeviceKey&, WallUs, const event::Act&) override { return false; }
  bool unban(const DeviceKey&, const event::Act&) override { return false; }
  void bans(std::vector<std::string>&) override {}
  bool trace(const DeviceKey&, event::TraceWatcher*) override { return false; }
  void watch_presence(event::PresenceWatcher& watcher) override { watcher_ = &watcher; }
  void bad_frames(std::uint32_t, std::vector<std::string>&) override {}

  void comes(const DeviceKey& device) {
    here.emplace(device.id());
    watcher_->on_presence(device, true);
  }
  void goes(const DeviceKey& device) {
    here.erase(std::string(device.id()));
    watcher_->on_presence(device, false);
  }
  // What is under way, and forgets it.
  std::vector<Sent> take() { return std::exchange(sent, {}); }

  std::set<std::string> here;
  std::vector<Sent> sent;

 private:
  event::PresenceWatcher* watcher_ = nullptr;
};

using Told = std::vector<CommandOutcome>;
class Waiter final : public event::CommandWaiter {
 public:
  explicit Waiter(std::shared_ptr<Told> told) : told_(std::move(told)) {}
  void on_outcome(const DeviceKey&, CommandOutcome outcome) override {
    told_->push_back(std::move(outcome));
  }

 private:
  std::shared_ptr<Told> told_;
};

// A shard of one life of a gateway.
struct Life {
  explicit Life(const log::ScratchDir& scratch) : rig(log::small_options(scratch.path()), sys) {
    auto table = std::make_unique<Table>(budget);
    auto reader = log::Reader::open(sys, scratch.path(), {});
    REQUIRE(reader.ok());
    for (log::Entry entry; (*reader)->next(entry);) apply(entry.record.view(), *table);
    store = std::make_unique<Store>(*rig.writer, budget, std::move(table));
    waits = std::make_unique<log::CommitWaits>(rig.shard->watermark());
    pending = std::make_unique<Pending>(*rig.shard, *store, *waits, rig.writer->stream().run,
                                        counters);
    pending->add(gate, protocol);
  }
  ~Life() {
    if (!rig.stopped) rig.stop();
    pending.reset();
  }

  std::shared_ptr<Told> submit(std::string json, MonoNs lasts = 3600 * ns_per_s, MonoNs wait = 0,
                               const DeviceKey& device = phone) {
    auto told = std::make_shared<Told>();
    pending->submit(device,
                    {.json = std::move(json),
                     .by = "alice",
                     .expires_us = sys.wall_now() + lasts / ns_per_us,
                     .wait_ns = wait},
                    std::make_unique<Waiter>(told));
    turn();
    return told;
  }
  void turn() {
    for (int i = 0; i < 3; ++i) rig.shard->turn(0);
    while (!rig.writer->all_committed()) rig.shard->turn(100 * ns_per_us);
    for (int i = 0; i < 3; ++i) rig.shard->turn(0);
  }
  void pass(MonoNs time) {
    sys.advance(time);
    turn();
  }
  std::vector<std::string> under_way() {
    std::vector<std::string> out;
    for (const Gate::Sent& one : gate.sent) out.push_back(one.json);
    return out;
  }
  std::size_t waiting() { return store->table().pending_commands(); }
  std::uint64_t ended(PendingHow how) { return PendingCounters(counters).ended.value(how); }

  Sys sys;
  flow::Budget budget{0};
  observe::CounterGroup counters{"shard", "0"};
  Gate gate;
  Protocol protocol;
  log::Rig rig;
  std::unique_ptr<Store> store;
  std::unique_ptr<log::CommitWaits> waits;
  std::unique_ptr<Pending> pending;
};

using Texts = std::vector<std::string>;

TEST_CASE("what waits leaves in order, some at a time, when the device comes, and ends") {
  const log::ScratchDir scratch;
  Life life(scratch);
  std::vector<std::uint64_t> ids;
  for (const char* json : {"{\"a\":1}", "{\"a\":2}", "{\"a\":3}", "{\"a\":4}", "{\"a\":5}"}) {
    const auto told = life.submit(json);
    REQUIRE(told->size() == 1);
    CHECK(told->front().status == CommandStatus::pending);
    ids.push_back(told->front().pending);
  }
  CHECK(std::is_sorted(ids.begin(), ids.end()));
  CHECK(life.gate.sent.empty());
  life.gate.comes(phone);
  life.turn();
  CHECK(life.under_way() == Texts{"{\"a\":1}", "{\"a\":2}", "{\"a\":3}", "{\"a\":4}"});
  CHECK(life.waiting() == 5);
  auto sent = life.gate.take();
  sent[1].ends(CommandStatus::refused);
  life.turn();
  CHECK(life.under_way() == Texts{"{\"a\":5}"});
  sent[0].ends(CommandStatus::answered);
  sent[2].ends(CommandStatus::sent);
  sent[3].ends(CommandStatus::unsupported, 0);
  life.gate.take()[0].ends(CommandStatus::answered);
  life.turn();
  CHECK(life.waiting() == 0);
  CHECK(life.ended(PendingHow::answered) == 2);
  CHECK(life.ended(PendingHow::refused) == 1);
  CHECK(life.ended(PendingHow::sent) == 1);
  CHECK(life.ended(PendingHow::failed) == 1);
  CHECK(PendingCounters(life.counters).repeated.value() == 0);
}

TEST_CASE("a device that is online gets it at once, and the caller is told the outcome") {
  const log::ScratchDir scratch;
  Life life(scratch);
  life.gate.comes(phone);
  const auto first = life.submit("{\"a\":1}", 3600 * ns_per_s, 5 * ns_per_s);
  CHECK(first->empty());
  REQUIRE(life.gate.sent.size() == 1);
  CHECK(life.gate.sent[0].wait_ns == pending_answer_wait);
  life.gate.take()[0].ends(CommandStatus::answered);
  REQUIRE(first->size() == 1);
  CHECK(first->front().status == CommandStatus::answered);
  // Nobody waits longer than asked for; the command goes on.
  const auto second = life.submit("{\"a\":2}", 3600 * ns_per_s, 5 * ns_per_s);
  life.pass(6 * ns_per_s);
  REQUIRE(second->size() == 1);
  CHECK(second->front().status == CommandStatus::pending);
  CHECK(life.under_way() == Texts{"{\"a\":2}"});
  // A link that ends tells whoever waits.
  const auto third = life.submit("{\"a\":3}", 3600 * ns_per_s, 5 * ns_per_s);
  life.gate.goes(phone);
  for (auto& one : life.gate.take()) one.ends(CommandStatus::link_lost);
  life.turn();
  REQUIRE(third->size() == 1);
  CHECK(third->front().status == CommandStatus::pending);
  CHECK(life.waiting() == 2);
  CHECK(life.gate.sent.empty());
}

TEST_CASE("what was not answered is repeated, in order, but not for ever") {
  const log::ScratchDir scratch;
  Life life(scratch);
  for (const char* json : {"{\"a\":1}", "{\"a\":2}"}) life.submit(json);
  for (std::uint32_t round = 1; round <= pending_tries_max; ++round) {
    life.gate.comes(phone);
    life.turn();
    CHECK(life.under_way() == Texts{"{\"a\":1}", "{\"a\":2}"});
    life.gate.goes(phone);
    auto sent = life.gate.take();
    sent[1].ends(CommandStatus::link_lost, 0);  // it never left: that does not count
    life.turn();
    sent[0].ends(CommandStatus::link_lost);
    life.turn();
  }
  CHECK(life.waiting() == 1);
  CHECK(life.ended(PendingHow::failed) == 1);
  CHECK(life.store->pending(phone)->front().tries == 0);
  // A silent device is left alone for a minute; one whose queue is full is asked sooner.
  life.gate.comes(phone);
  life.turn();
  life.gate.take()[0].ends(CommandStatus::timed_out, 3);
  life.pass(pending_retry_silent / 2);
  CHECK(life.gate.sent.empty());
  life.pass(pending_retry_silent);
  CHECK(life.gate.sent.size() == 1);
  life.gate.take()[0].ends(CommandStatus::busy, 0);
  life.turn();
  CHECK(life.gate.sent.empty());
  life.pass(2 * pending_retry_busy);
  CHECK(life.gate.sent.size() == 1);
  CHECK(life.store->pending(phone)->front().tries == 2);
}

TEST_CASE("nothing leaves after its time, and what is over ends, also at a start") {
  const log::ScratchDir scratch;
  {
    Life life(scratch);
    life.submit("{\"a\":1}", 10 * ns_per_s);
    life.submit("{\"a\":2}", 100 * ns_per_s);
    life.submit("{\"a\":3}", 1000 * ns_per_s);
    life.pass(11 * ns_per_s);
    CHECK(life.waiting() == 2);
    CHECK(life.ended(PendingHow::expired) == 1);
    life.gate.comes(phone);
    life.turn();
    REQUIRE(life.gate.sent.size() == 2);
    CHECK(life.gate.sent[0].json == "{\"a\":2}");
    CHECK(life.gate.sent[0].wait_ns <= 89 * ns_per_s);
    // Its outcome comes when its time is over: the end says that.
    life.pass(90 * ns_per_s);
    CHECK(life.waiting() == 2);
    life.gate.sent[0].ends(CommandStatus::timed_out);
    life.turn();
    CHECK(life.waiting() == 1);
    CHECK(life.ended(PendingHow::expired) == 2);
    life.rig.kill();
  }
  Life life(scratch);  // its clock begins anew, before all that
  life.turn();
  CHECK(life.waiting() == 1);
  CHECK(life.store->pending(phone)->front().tries == 1);
  life.pass(2000 * ns_per_s);
  CHECK(life.waiting() == 0);
}

TEST_CASE("what was sent before a kill is sent again and counted") {
  const log::ScratchDir scratch;
  std::uint64_t id = 0;
  {
    Life life(scratch);
    id = life.submit("{\"a\":1}")->front().pending;
    life.gate.comes(phone);
    life.turn();
    CHECK(life.gate.sent.size() == 1);
    life.rig.kill();
  }
  Life life(scratch);
  CHECK(life.submit("{\"a\":2}")->front().pending > id);
  life.gate.comes(phone);
  life.turn();
  CHECK(life.under_way() == Texts{"{\"a\":1}", "{\"a\":2}"});
  CHECK(PendingCounters(life.counters).repeated.value() == 1);
}

TEST_CASE("cancelled, unknown, no longer understood, too many") {
  const log::ScratchDir scratch;
  Life life(scratch);
  using Cancelled = Pending::Cancelled;
  const std::uint64_t first = life.submit("{\"a\":1}")->front().pending;
  const std::uint64_t second = life.submit("{\"a\":2}")->front().pending;
  life.submit("{\"bad\":1}");
  CHECK(life.pending->cancel(key("1"), first, "") == Cancelled::none);
  CHECK(life.pending->cancel(phone, 7, "") == Cancelled::none);
  CHECK(life.pending->cancel(phone, first, "by alice") == Cancelled::waiting);
  CHECK(life.pending->cancel(phone, first, "by alice") == Cancelled::none);
  life.gate.comes(phone);
  life.turn();
  CHECK(life.under_way() == Texts{"{\"a\":2}"});
  CHECK(life.ended(PendingHow::failed) == 1);
  CHECK(life.pending->cancel(phone, second, "") == Cancelled::sent);
  CHECK(life.waiting() == 0);
  life.gate.take()[0].ends(CommandStatus::link_lost);  // nobody asks any more
  life.turn();
  CHECK(life.gate.sent.empty());
  life.gate.goes(phone);
  for (std::size_t i = 0; i < pending_device_max; ++i) life.submit("{\"a\":3}");
  const auto refused = life.submit("{\"a\":4}");
  CHECK(refused->front().status == CommandStatus::busy);
  CHECK(refused->front().detail == "32 commands wait for this device already");
  CHECK(life.submit("{\"a\":4}", 3600 * ns_per_s, 0, key("2"))->front().status ==
        CommandStatus::pending);
  CHECK(life.submit("{}", -1)->front().status == CommandStatus::expired);
  const std::string wide = "{\"a\":\"" + std::string(pending_json_max, 'w') + "\"}";
  CHECK(life.submit(wide, 3600 * ns_per_s, 0, key("2"))->front().status ==
        CommandStatus::unsupported);
  CHECK(PendingCounters(life.counters).waiting.value() == 33);
}

TEST_CASE("lists go on where they stopped, the next to expire first") {
  const log::ScratchDir scratch;
  Life life(scratch);
  for (int i = 0; i < 10; ++i) {
    life.submit("{\"a\":1}", (100 - i) * ns_per_s, 0, key(std::to_string(1 + i)));
  }
  Texts seen;
  Pending::Place place;
  for (bool more = true; more;) {
    more = life.pending->list(place, 3, [&](const Pending::Listed& one) {
      seen.emplace_back(one.device.id());
      CHECK(!one.under_way);
    });
  }
  CHECK(seen == Texts{"10", "9", "8", "7", "6", "5", "4", "3", "2", "1"});
}

TEST_CASE("a log that takes nothing holds deliveries and ends back, and loses none") {
  const log::ScratchDir scratch;
  Life life(scratch);
  for (const char* json : {"{\"a\":1}", "{\"a\":2}"}) life.submit(json);
  life.gate.comes(phone);
  life.turn();
  auto sent = life.gate.take();
  const auto fill = [&] {
    for (const std::size_t size : {16 * 1024, 1}) {
      while (log::append_sample(*life.rig.writer, 1, size) != 0) {
      }
    }
  };
  fill();
  sent[0].ends(CommandStatus::answered);  // the end can't be written now
  CHECK(life.waiting() == 2);
  CHECK(life.pending->cancel(phone, life.store->pending(phone)->front().id, "") ==
        Pending::Cancelled::none);  // it has ended
  CHECK(life.submit("{\"a\":3}")->front().status == CommandStatus::not_stored);
  life.turn();
  CHECK(life.ended(PendingHow::answered) == 1);
  sent[1].ends(CommandStatus::link_lost);
  fill();
  life.pending->before_wait();
  CHECK(life.gate.sent.empty());  // nor can it be noted that it is sent again
  life.turn();
  REQUIRE(life.gate.sent.size() == 1);
  life.gate.take()[0].ends(CommandStatus::answered);
  life.turn();
  CHECK(life.waiting() == 0);
}

}  // namespace
