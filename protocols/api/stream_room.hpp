// The live stream's end on one shard: lets clients in, hands what they say to the Feed, and copies
// to their sockets what it delivers. Decodes nothing, keeps no queue of its own: what a socket has
// not taken waits in its link, and a socket with too much is reported to the Feed.
//
// Lives on the shard; every call on its thread.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "protocols/api/access.hpp"
#include "protocols/api/delivery.hpp"
#include "protocols/api/feed.hpp"
#include "protocols/api/stream_counters.hpp"
#include "protocols/http/session.hpp"
#include "protocols/websocket/session.hpp"

namespace ringgate::api {

class StreamRoom final : public websocket::Handler,
                         public flow::CommitListener,
                         public shard::TimerHandler {
 public:
  StreamRoom(net::Links& links, http::Session& http, websocket::Session& sockets, Feed& feed);
  // After the Feed's thread has ended, or with its shard.
  ~StreamRoom() override;

  // Of the shard's Front -------------------------------------------------------------------------

  // False: the request is not for a stream.
  bool take(const http::Request& request, AccessCheck& access);
  // False: the exchange is none of a stream's.
  bool gone(http::ExchangeId id);
  bool room(http::ExchangeId id);

  // Of the Feed's errands -----------------------------------------------------------------------

  void deliver(Delivery& delivery);

  std::size_t clients() const { return by_link_.size(); }

  void on_message(LinkId socket, websocket::Opcode kind, Bytes message) override;
  void on_room(LinkId socket) override;
  void on_closed(LinkId socket, websocket::CloseCode code) override;
  void on_commit(Position) override {
    feed_.committed();
    charge_kept();
  }
  void on_timer() override;  // looks at credentials

 private:
  struct Place {
    http::ExchangeId exchange;  // its link is the WebSocket's, too
    std::uint32_t serial = 0;
    bool used = false;
    bool socket = false;
    bool slow = false;
    bool closing = false;
    MonoNs second = 0;        // within which it said
    std::uint32_t said = 0;   // so many messages
    std::shared_ptr<std::atomic<std::uint32_t>> waiting;  // that the Feed has not read
    Principal who;
  };

  std::optional<Principal> let_in(const http::Request& request, AccessCheck& access);
  ClientInfo info_of(const http::Request& request, const Principal& who) const;
  ClientKey add(const http::Request& request, bool socket, Principal who);
  void take_socket(const http::Request& request, Principal who);
  void take_events(const http::Request& request, Principal who);
  void take_trace(const http::Request& request, std::string_view device, Principal who);
  void carry_out(const Delivery::Item& item, Bytes bytes, Place& place, std::uint32_t slot,
                 Delivery& delivery);
  void send(Place& place, std::uint32_t slot, Bytes bytes, Delivery& delivery);
  void end(Place& place, websocket::CloseCode code, std::string_view why);
  void close_slow(Place& place, std::uint32_t queued_bytes);
  void forget(std::uint32_t slot, std::string_view why);
  ClientKey key_of(std::uint32_t slot) const {
    return {links_.shard().index(), {slot, places_[slot].serial}};
  }
  std::optional<std::uint32_t> slot_of(LinkId link) const;
  void charge_kept();

  net::Links& links_;
  http::Session& http_;
  websocket::Session& sockets_;
  Feed& feed_;
  std::vector<Place> places_;
  std::vector<std::uint32_t> free_;
  std::unordered_map<std::uint64_t, std::uint32_t> by_link_;
  std::string why_;  // a client that we end ourselves
  const Access* access_ = nullptr;  // that clients were let in by
  std::uint32_t next_look_ = 0;     // at credentials
  std::uint64_t charged_bytes_ = 0;  // of what the Feed keeps, to the shard's budget
  shard::Timer timer_{*this};
};

}  // namespace ringgate::api
