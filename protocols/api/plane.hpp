// The API's thread: requests come to it as letters from the shards, their handlers reach devices by
// errands, and answers go back to the shard of their link. No shard ever waits for it.
//
// Life: made before the shards; Fronts attach while their shards are wired; serve() when they run;
// ended after they have stopped.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine/observe/counter.hpp"
#include "engine/observe/logger.hpp"
#include "engine/shard/errand.hpp"
#include "protocols/api/call.hpp"
#include "protocols/api/outflow.hpp"
#include "protocols/api/command_store.hpp"
#include "protocols/api/failures.hpp"
#include "protocols/api/runs.hpp"
#include "storage/event/catalog.hpp"
#include "storage/event/device_gates.hpp"
#include "storage/state/audit.hpp"
#include "storage/state/shard_host.hpp"

namespace ringgate::api {

class Feed;
class Fleet;
class Front;
class Query;
class QueryPool;
struct QueryPoolParts;

// Answers that other threads make, at a time: each costs at most 0.6 MiB.
constexpr std::size_t flows_max = 256;

struct PlaneParts {
  shard::ErrandHub& errands;
  std::uint32_t producer = 0;
  ShardIndex shards = 1;
  const event::DeviceProtocol& devices;   // whose devices the API is about
  const event::MessageCatalog& catalog;   // their messages
  Feed* feed = nullptr;  // null: nobody follows the log
  const observe::Registry& registry;
  observe::CounterGroup& counters;  // of the plane's thread alone
  observe::LogSource& logs;
  Access& access;
};

// What an errand found on a shard. Filled there, read here.
struct ShardAnswer {
  bool done = false;
  bool durably = false;  // home only when what it changed is durable
  std::uint32_t cursor = 0;
  std::uint64_t place = 0;  // in a table that is listed
  std::string text;
  std::vector<std::string> lines;
};

class Plane {
 public:
  explicit Plane(const PlaneParts& parts);
  // After all shards have stopped.
  ~Plane();
  Plane(const Plane&) = delete;
  Plane& operator=(const Plane&) = delete;

  // Wiring: without them requests about the past are answered with 503.
  void use_queries(const QueryPoolParts& parts);
  // The shards run: starts the thread.
  void serve();
  // One turn of it, for tests without a thread. `longest_ms` as for poll().
  void turn(int longest_ms);

  // Of a shard's thread -------------------------------------------------------------------------

  void attach(ShardIndex shard, Front* front);  // wiring; null: it ends
  // Takes a request; the answer comes to its Front's session.
  void submit(CallData data);
  void gone(http::ExchangeId id);
  void note_log(ShardIndex shard, bool takes_data);
  bool logs_take_data() const { return logs_closed_.load(std::memory_order_relaxed) == 0; }
  // Whether all shards run.
  bool serving() const { return serving_.load(std::memory_order_acquire); }

  // Of any thread -------------------------------------------------------------------------------

  // Has `arrive` called on the plane's thread.
  template <class Arrive>
  void letter(Arrive arrive) {
    class One final : public shard::Letter {
     public:
      explicit One(Arrive&& how) : how_(std::move(how)) {}
      void arrive() override { how_(); }

     private:
      Arrive how_;
    };
    post_.inbox().push(std::make_unique<One>(std::move(arrive)));
  }

  // For flows (outflow.hpp) ---------------------------------------------------------------------

  // Of a shard, on its thread; null: it has ended.
  Front* front(ShardIndex shard) const { return fronts_[shard]; }
  // Null: there are flows_max.
  std::shared_ptr<Flow> add_flow(http::ExchangeId id, const Route& route);
  void pump_later(std::shared_ptr<Flow> flow) { full_.push_back(std::move(flow)); }
  void flow_over(const Flow& flow);

  // For handlers, on the plane's thread ---------------------------------------------------------

  const PlaneParts& parts() const { return parts_; }
  CommandStore& commands() { return commands_; }
  const CommandStore& commands() const { return commands_; }
  using Work = std::function<void(event::DeviceGate& gate, ShardAnswer& answer)>;
  using Then = std::function<void(ShardAnswer& answer)>;
  // Has `work` done on a shard's gate, then `then` here. Where the shard is busy or has stopped the
  // call is answered with 503.
  void ask(const CallPtr& call, ShardIndex shard, Work work, Then then);
  // The same on all that a shard shows to errands.
  using HostWork = std::function<void(state::ShardHost& host, ShardAnswer& answer)>;
  void ask_host(const CallPtr& call, ShardIndex shard, HostWork work, Then then);
  // The same on all shards; `then` follows once, with their answers in the order of the shards.
  void ask_all(const CallPtr& call, Work work,
               std::function<void(std::vector<ShardAnswer>& answers)> then);
  // Has a query answer the call, on its thread (query_pool.hpp).
  void ask_log(const CallPtr& call, std::unique_ptr<Query> query);
  // Leaves an audit record of what was done by the call and concerns no device.
  void note_deed(const Call& call, std::string_view action,
                 std::vector<std::pair<std::string, std::string>> details = {});
  // For errands of what outlives its call.
  shard::ErrandPost& post() { return post_; }
  // 503 where an errand could not be sent.
  static void refuse(const CallPtr& call, shard::Posted posted);
  // Has `what` done here after this time; not at all where the plane ends before.
  using TimerId = std::pair<MonoNs, std::uint64_t>;
  TimerId after(MonoNs delay, std::function<void()> what);
  // Nothing happens where it was done already.
  void cancel(const TimerId& timer) { timers_.erase(timer); }
  Fleet& fleet() { return *fleet_; }
  Failures& failures() { return failures_; }
  LoadRuns& load_runs() { return load_runs_; }
  ShardIndex home_of(const DeviceKey& device) const { return home_shard(device, parts_.shards); }
  // The device that the path names first. Answers 400 and gives nothing where it is none.
  std::optional<DeviceKey> device_of(const CallPtr& call) const;

 private:
  friend class Call;
  struct Reply {
    http::ExchangeId id;
    std::uint16_t status = 200;
    std::string type;
    std::string fields;
    std::shared_ptr<const std::string> body;
  };
  void run();
  void begin(CallData data);
  void client_gone(http::ExchangeId id);
  void call_over(http::ExchangeId id);
  void send(Reply reply);
  void audit(const Call& call, std::uint16_t status);
  void send_waiting();
  void send_deeds();
  int wait_ms(int longest_ms) const;
  void run_timers();
  static std::uint64_t key_of(http::ExchangeId id) { return id.link.packed(); }

  PlaneParts parts_;
  shard::ErrandPost post_;
  state::AuditTrail deeds_;
  std::vector<Front*> fronts_;  // by shard; each touched only on its shard
  std::unordered_map<std::uint64_t, std::weak_ptr<Call>> calls_;  // by link
  std::unique_ptr<Fleet> fleet_;
  std::deque<Reply> replies_;   // their shard's column was full
  std::map<TimerId, std::function<void()>> timers_;
  std::uint64_t timers_made_ = 0;
  std::unordered_map<std::uint64_t, std::shared_ptr<Flow>> flows_;  // by link
  std::vector<std::shared_ptr<Flow>> full_;  // their shard's column was full
  CommandStore commands_;
  Failures failures_;
  LoadRuns load_runs_;
  std::unique_ptr<QueryPool> queries_;
  std::atomic<std::uint64_t> logs_closed_{0};  // a bit for each shard
  static_assert(limits::shards_max <= 64);
  std::atomic<bool> serving_{false};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace ringgate::api
