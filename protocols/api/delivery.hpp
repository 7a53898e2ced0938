// What the Feed hands over to a shard for its subscribers: bytes as they go on the wire, and to
// whom. Made on the Feed's thread, carried out on the shard's, which notes what it saw; then it
// goes back.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/ids.hpp"
#include "protocols/websocket/codec/frame.hpp"

namespace ringgate::api {

// A client of one shard: a place in its StreamRoom, and which client of that place.
struct ClientRef {
  std::uint32_t slot = 0;
  std::uint32_t serial = 0;
  friend bool operator==(const ClientRef&, const ClientRef&) = default;
};
struct ClientKey {
  ShardIndex shard = 0;
  ClientRef ref;
  friend bool operator==(const ClientKey&, const ClientKey&) = default;
};

// How a message looks on the wire.
enum class Form : std::uint8_t {
  plain,     // a WebSocket frame
  deflated,  // the same by permessage-deflate
  events,    // a server-sent event
};
constexpr std::size_t forms = 3;

struct Delivery {
  enum class What : std::uint8_t {
    send,
    close,   // the bytes are the reason of a WebSocket's close; an SSE stream just ends
    begin,   // an SSE stream begins; the bytes are its first
    refuse,  // an SSE request is answered with `status`; the bytes are the problem's detail
  };
  struct Item {
    What what = What::send;
    websocket::CloseCode code = websocket::CloseCode::normal;
    std::uint16_t status = 0;
    std::uint32_t offset = 0;  // in `bytes`
    std::uint32_t size = 0;
    std::uint32_t first_ref = 0;
    std::uint32_t refs = 0;
  };
  struct Slow {
    ClientRef ref;
    std::uint32_t queued_bytes = 0;
  };

  std::vector<std::uint8_t> bytes;
  std::vector<Item> items;
  std::vector<ClientRef> refs;
  std::vector<std::uint64_t> jobs;  // readers of old log that wait until this has arrived
  std::vector<Slow> slow;           // from the shard: whose queue is too long now
  std::uint64_t sent_bytes = 0;     // memory_bytes() when it was sent

  bool empty() const { return items.empty() && jobs.empty(); }
  std::uint64_t memory_bytes() const {
    return bytes.capacity() + items.capacity() * sizeof(Item) + refs.capacity() * sizeof(ClientRef);
  }
  void clear() {
    bytes.clear();
    items.clear();
    refs.clear();
    jobs.clear();
    slow.clear();
  }
};

}  // namespace ringgate::api
