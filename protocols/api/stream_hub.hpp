// Subscribers of the live stream: who wants what, batches, slow ones, and those that still read old
// log. Knows no thread, no socket and no file: the Feed brings it events and time, and takes away
// what is to be delivered. One owner.
//
// Subscriptions that are told the same share a group: its events are joined once and framed once.
// A client whose socket takes too little leaves its groups for ones of its own, where positions
// coalesce, until its socket has room again; one that reads old log gets such a group too, which
// keeps what happens until the log has been read up to there.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <vector>

#include "protocols/api/delivery.hpp"
#include "protocols/api/feed.hpp"
#include "protocols/api/group_index.hpp"
#include "protocols/api/stream_counters.hpp"
#include "protocols/api/stream_events.hpp"
#include "protocols/api/stream_place.hpp"
#include "protocols/websocket/deflate.hpp"

namespace ringgate::api {

// Readers of old log, as the hub sees them. A job goes on only when it is told to, once for each
// chunk that it gave.
class CatchUps {
 public:
  struct Start {
    StreamPlace place;
    bool skips_first = false;  // the record there is known already
  };
  virtual ~CatchUps() = default;
  // Nothing behind `until` is read: the live log has not been read further itself.
  virtual void begin(std::uint64_t job, std::shared_ptr<const Subscription> wanted,
                     const Start& start, const StreamPlace& until) = 0;
  virtual void go_on(std::uint64_t job, const StreamPlace& until) = 0;
  virtual void cancel(std::uint64_t job) = 0;
};
struct CaughtUp {
  std::uint64_t job = 0;
  std::vector<std::string> messages;  // whole, as STREAM.md has them
  std::vector<std::string> cursors;   // of each; may be empty
  std::uint64_t events = 0;
  bool done = false;   // read up to `until`
  std::string error;   // it can't be read
};

// Joins events into messages, as both the hub and the readers of old log make them.
std::string events_message(std::string_view id_json, std::string_view events,
                           std::uint64_t coalesced, std::string_view cursor);
std::string gap_message(std::string_view id_json, std::uint64_t lost_bytes);
std::string json_text(std::string_view text);  // in quotes

class StreamHub final : public EventTaker {
 public:
  StreamHub(const SubscriptionWords& words, const log::NodeId& node, ShardIndex shards,
            CatchUps& catch_ups, StreamCounters& counters);
  ~StreamHub() override;

  // Where the log is read from now on; before the first event.
  void begin_at(const StreamPlace& place) { place_ = place; }
  const StreamPlace& place() const { return place_; }
  std::size_t clients() const { return clients_.size(); }

  // Clients -------------------------------------------------------------------------------------

  void open(const ClientKey& key, const ClientInfo& info, MonoNs now);
  // An SSE stream: its subscription stands in its query, or goes on from `last_id`.
  void open_events(const ClientKey& key, const ClientInfo& info, std::string_view query,
                   std::string_view last_id, MonoNs now);
  void said(const ClientKey& key, std::string_view message);
  void gone(const ClientKey& key, std::string_view why, WallUs at_us);
  // Its queue is too long; then, that it is short again.
  void slow(const ClientKey& key, std::uint32_t queued_bytes);
  void room(const ClientKey& key);
  void close(const ClientKey& key, websocket::CloseCode code, std::string_view why);

  // The log -------------------------------------------------------------------------------------

  bool wants(const DeviceKey& device) override { return index_.wants_device(device); }
  // A record that ends here follows; take() its events; it is done.
  void begin_record(const log::StreamId& stream, Position end) {
    record_stream_ = stream;
    record_end_ = end;
  }
  void take(Event& event) override;
  void record_done();
  void lost(std::uint64_t bytes);

  void caught_up(const CaughtUp& chunk);
  // A delivery came to its shard.
  void arrived(const std::vector<std::uint64_t>& jobs);

  // Time ----------------------------------------------------------------------------------------

  // Ends the batches that are due, and what has waited too long.
  void tick(MonoNs now);
  // When tick() has something to do; may be sooner.
  MonoNs next_ns() const;

  // What is to be delivered, by shard; the owner takes it.
  std::vector<Delivery>& out() { return out_; }
  // For messages of others (traces).
  void tell(const ClientKey& key, Form form, std::string_view json, std::string_view cursor = {});
  void begin_events(const ClientKey& key);
  void refuse_events(const ClientKey& key, std::uint16_t status, std::string_view detail);
  void end_events(const ClientKey& key);

  std::vector<Consumer> consumers(WallUs now_us) const;
  // Memory of what is kept for the clients of a shard, and its share of what no one client has.
  std::uint64_t kept_bytes(ShardIndex shard) const;

 private:
  struct Group;
  struct Client;
  struct Held;  // a subscription of a client

  static std::uint64_t number_of(const ClientKey& key) {
    return std::uint64_t{key.shard} << 32 | key.ref.slot;
  }
  Client* find(const ClientKey& key);
  void subscribe(Client& client, Subscription wanted);
  void unsubscribe(Client& client, const std::string& id);
  const StreamPlace& bound_of(const Held& held) const;
  bool start_of(const Subscription& wanted, CatchUps::Start& start, std::string& wrong) const;
  void end(Client& client);
  void drop_slow(Client& client);
  void go_live(Client& client, Held& held);
  void leave(Client& client, Held& held);
  void make_own(Client& client, Held& held, bool coalesces);
  void end_own(Held& held);
  void join(Client& client, Held& held);
  void flush_own(Client& client, Held& held);
  void flush(Group& group);
  void take_into(Group& group, Event& event);
  void told(Client& client, std::string_view json, std::string_view cursor = {});
  void send(const Group& group, std::string_view json, std::string_view cursor);
  void relieve(Client& client);
  void look_at_slow();
  void tell_cursors();
  const std::string& cursor_text();
  void remember(Client& client, std::string_view why, WallUs at_us);
  void recount(Group& group);
  Consumer shown(const Client& client, WallUs now_us) const;
  std::uint64_t messages_of(const Client& client) const;

  SubscriptionWords words_;
  log::NodeId node_;
  ShardIndex shards_;
  CatchUps& catch_ups_;
  StreamCounters& counters_;
  StreamPlace place_;
  log::StreamId record_stream_;  // of the present record
  Position record_end_ = 0;
  std::string cursor_text_;  // of place_; empty: not made yet
  MonoNs now_ = 0;
  MonoNs next_look_ = 0;     // at slow clients
  MonoNs next_cursors_ = 0;

  std::unordered_map<std::uint64_t, std::unique_ptr<Client>> clients_;
  std::unordered_map<std::string, std::unique_ptr<Group>> groups_;  // shared ones, by key
  GroupIndex<Group> index_;
  std::set<std::pair<MonoNs, Group*>> deadlines_;
  std::vector<Group*> due_;          // behind the present record
  std::vector<ClientKey> over_;      // clients whose own groups are too large
  std::vector<ClientKey> slow_;
  std::unordered_map<std::uint64_t, std::pair<ClientKey, std::string>> jobs_;
  std::uint64_t next_job_ = 1;
  std::deque<Consumer> ended_;
  websocket::Deflater deflater_;
  std::vector<Delivery> out_;
  std::vector<std::uint64_t> kept_;  // of clients' own, by shard
  std::uint64_t kept_shared_ = 0;    // batches under way
};

}  // namespace ringgate::api
