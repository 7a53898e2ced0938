// The fabric's thread and what it keeps. Everything on that thread, but send() and watcher().
#pragma once

#include <deque>
#include <future>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <vector>

#include "engine/observe/counter.hpp"
#include "engine/observe/logger.hpp"
#include "engine/shard/errand.hpp"
#include "protocols/fabric/presence.hpp"
#include "protocols/fabric/router.hpp"
#include "protocols/fabric/watch.hpp"
#include "storage/sink/nats_link.hpp"
#include "storage/state/send_errand.hpp"
#include "storage/state/shard_host.hpp"

namespace ringgate::fabric {

using Json = nlohmann::json;

struct Parts {
  shard::ErrandHub& errands;
  std::uint32_t producer = 0;
  ShardIndex shards = 0;
  const event::DeviceProtocol& devices;  // whose devices it reaches
  const event::MessageCatalog& catalog;  // their messages
  observe::CounterGroup& counters;  // of the fabric's thread
  observe::LogSource& logs;
  sink::NatsLinkOptions link;
  std::string node_name;
  std::string node_id;
  std::uint64_t run = 0;
};

std::unique_ptr<Router> make_router(const Parts& parts);

enum class Answered : std::uint8_t { ours, stand_in, theirs, bad, busy, forwarded, count };
inline constexpr std::string_view answered_names[] = {"ours", "stand_in", "theirs",
                                                      "bad",  "busy",     "forwarded"};

struct FabricCounters {
  explicit FabricCounters(observe::CounterGroup& group);
  observe::Family<Answered> requests;
  observe::Counter presence_messages;
  observe::Counter connects;
  observe::Gauge connected;
  observe::Gauge nodes;
  observe::Gauge devices;
};

class Node final : public Router {
 public:
  explicit Node(const Parts& parts);
  ~Node() override;

  event::PresenceWatcher& watcher(ShardIndex shard) override { return *watches_[shard]; }
  void serve() override;
  void send(Ask ask, Done done) override;

 private:
  friend class NodeProbe;  // of tests: turns without a thread

  // One request: from NATS (`reply`), or of our own process (`done`).
  struct Request {
    DeviceKey device;
    std::string json;
    std::string by;
    std::string reply;
    Done done;
    bool looked = false;  // it has waited whether somebody else has the device
    MonoNs due = 0;
  };
  using Link = std::unique_ptr<sink::NatsLink>;

  // fabric_node.cpp: the thread, the connection
  void run();
  void turn();
  void connect();
  void take_connection();
  void lose_connection(const sink::Trouble& trouble);
  void look_at_link(bool readable);
  void take_messages();
  void timers();
  void say_goodbye();

  // fabric_news.cpp: presence
  void on_changes(const Changes& changes);
  void on_presence(const sink::NatsMessage& message);
  void on_claims(NodeNumber node, const Json& claims, bool online);
  void tell_changes();
  void tell_list();
  void tell(std::string_view what, std::string_view rest = {});

  // fabric_commands.cpp: requests
  void on_command(const sink::NatsMessage& message);
  void on_answer(const sink::NatsMessage& message);
  void decide(Request request);
  void wait_and_look(Request request);
  void forward(Request request);
  void execute(Request request);
  void came_home(const Request& request, const event::CommandOutcome* outcome);
  void forget(const DeviceKey& device, std::uint64_t pending);

  // fabric_moves.cpp: waiting commands of devices that came to other nodes
  struct Waiting {
    DeviceKey device;
    std::uint64_t id = 0;
  };
  struct Sweep {
    state::Pending::Place place;
    bool asked = false;
  };
  void sweep();
  void sweep_shard(ShardIndex shard);
  void move(const Waiting& one);
  void offer(const Waiting& one, const state::PendingCommand& command);

  void answer(const Request& request, const std::string& text);
  void fail(const Request& request, std::string_view code, std::string_view message);

  Parts parts_;
  FabricCounters counters_;
  shard::ErrandPost post_;
  std::vector<std::unique_ptr<ShardWatch>> watches_;
  Presence presence_;
  sink::StopSignal stop_;

  std::future<Result<Link, sink::Trouble>> connecting_;
  Link link_;
  std::size_t commands_ = 0;  // subscriptions
  std::size_t news_ = 0;
  MonoNs retry_at_ = 0;
  MonoNs retry_after_ = 0;
  std::string told_trouble_;

  std::uint64_t sequence_ = 0;
  MonoNs told_at_ = 0;
  MonoNs listed_at_ = 0;
  bool list_due_ = false;
  bool more_ = false;  // messages are left for the next turn
  std::vector<std::pair<DeviceKey, std::int64_t>> came_;
  std::vector<std::pair<DeviceKey, std::int64_t>> went_;

  std::vector<Sweep> sweeps_;                  // by shard
  MonoNs sweep_at_ = 0;
  std::map<std::uint64_t, MonoNs> moving_;     // by command: not to be offered before

  std::size_t executing_ = 0;
  std::deque<Request> waiting_;              // by due
  std::map<std::string, Request> forwarded_;  // by the subject of their answer
  std::uint64_t forwards_ = 0;
  std::thread thread_;
};

inline MonoNs mono_now() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}
inline WallUs wall_now() {
  return std::chrono::duration_cast<std::chrono::microseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

}  // namespace ringgate::fabric
