// The thread that follows the log for everybody who watches live: subscribers of the stream and
// listeners in this process. It reads each committed record once, woken by commits, and only while
// somebody needs it: with nobody, a commit costs one load.
//
// Life: made before the shards; StreamRooms attach while their shards are wired; serve() when they
// run; ended after they have stopped.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/ids.hpp"
#include "engine/observe/counter.hpp"
#include "engine/observe/logger.hpp"
#include "engine/shard/errand.hpp"
#include "protocols/api/delivery.hpp"
#include "storage/event/device_gates.hpp"
#include "storage/event/rows.hpp"
#include "storage/query/tail.hpp"

namespace ringgate::api {

// Hears what was committed. Every call on the Feed's thread, in the order of the log; must not
// block. `received`: when the gateway received it. Retransmissions are told like others.
class FeedListener {
 public:
  virtual ~FeedListener() = default;
  // Everything that is committed after this call is told; what was before is in the state of the
  // shards already. The first call.
  virtual void on_start() {}
  virtual void on_position(const DeviceKey& device, const event::PositionRow& row,
                           WallUs received) {
    static_cast<void>(device), static_cast<void>(row), static_cast<void>(received);
  }
  virtual void on_session(const DeviceKey& device, const event::SessionRow& row, WallUs received) {
    static_cast<void>(device), static_cast<void>(row), static_cast<void>(received);
  }
  virtual void on_device(const DeviceKey& device, const event::DeviceRow& row, WallUs received) {
    static_cast<void>(device), static_cast<void>(row), static_cast<void>(received);
  }
  virtual void on_alarm(const DeviceKey& device, const event::AlarmRow& row, WallUs received) {
    static_cast<void>(device), static_cast<void>(row), static_cast<void>(received);
  }
  // Something was not told (retention took it, or damage hid it): a mirror must be filled anew.
  virtual void on_gap() {}
  // The last call: nobody refers to the listener any more.
  virtual void on_end() {}
};

// Somebody who takes the stream, as /api/v1/consumers lists them.
struct Consumer {
  std::string kind;      // "websocket", "events", "trace"
  std::string who;       // the principal's name; empty: nobody asked
  std::string address;
  std::string state;     // "live", "catching-up", "coalescing", "closed"
  std::string why;       // of closed ones
  WallUs since_us = 0;
  WallUs ended_us = 0;   // 0: it is open
  std::uint32_t subscriptions = 0;
  std::uint64_t messages = 0;      // sent to it
  std::uint64_t queued_bytes = 0;  // that it has not taken, as last seen
  std::uint64_t coalesced = 0;     // positions left out
  std::uint64_t lag_us = 0;        // of the oldest that it has not taken
};

class StreamRoom;

// Who opens a stream.
struct ClientInfo {
  Form form = Form::plain;
  std::string who;  // of Consumer
  std::string address;
  WallUs since_us = 0;
};

struct FeedParts {
  query::Scan::Parts scan;  // with the commit board
  shard::ErrandHub& errands;
  std::uint32_t producer = 0;
  ShardIndex shards = 1;
  log::NodeId node;
  const event::DeviceProtocol& devices;  // whose devices are told of
  observe::CounterGroup& counters;
  observe::LogSource& logs;
};

class Feed {
 public:
  virtual ~Feed() = default;

  // The shards run: starts the threads.
  virtual void serve() = 0;
  // One turn without a thread, for tests. `longest_ns`: as it may sleep.
  virtual void turn(MonoNs longest_ns) = 0;

  // Any thread ----------------------------------------------------------------------------------

  // Until its on_end() has been called, the listener must live. remove() of one that was not added
  // does nothing.
  virtual void add(FeedListener& listener) = 0;
  virtual void remove(FeedListener& listener) = 0;
  // Has `work` done on the Feed's thread.
  virtual void run(std::function<void()> work) = 0;
  // Who takes the stream, open ones first, then the last that were closed; `then` is called on the
  // Feed's thread.
  virtual void consumers(std::function<void(std::vector<Consumer>)> then) = 0;

  // Of a shard's thread -------------------------------------------------------------------------

  virtual void attach(ShardIndex shard, StreamRoom* room) = 0;  // wiring; null: it ends
  // After each commit.
  void committed() {
    if (wanted_.load(std::memory_order_relaxed)) wake_for_commit();
  }
  // Takes a place among stream_limits::subscribers_max, which discharge() gives back; false: there
  // is none.
  virtual bool admit() = 0;
  virtual void discharge() = 0;
  // What is kept for the subscribers of a shard, as of a moment ago: their events, batches,
  // subscriptions, deliveries. The shard's StreamRoom charges it to its memory budget.
  virtual std::uint64_t kept_bytes(ShardIndex shard) const = 0;
  // A WebSocket was accepted.
  virtual void open(const ClientKey& key, ClientInfo info) = 0;
  // Requests for server-sent events, which the Feed lets begin or refuses.
  virtual void open_events(const ClientKey& key, ClientInfo info, std::string query,
                           std::string last_id) = 0;
  virtual void open_trace(const ClientKey& key, ClientInfo info, std::string device) = 0;
  virtual void said(const ClientKey& key, std::string message,
                    std::shared_ptr<std::atomic<std::uint32_t>> waiting) = 0;
  virtual void room(const ClientKey& key) = 0;
  virtual void gone(const ClientKey& key, std::string_view why) = 0;

  static std::unique_ptr<Feed> make(const FeedParts& parts);

 protected:
  virtual void wake_for_commit() = 0;
  std::atomic<bool> wanted_{false};  // somebody needs it
};

}  // namespace ringgate::api
