// A link: one TCP connection of a device, or its address where it sends datagrams. 256 bytes, owns
// no buffer while idle. Lives in a slot of its shard's Links and is only touched there; a reference
// stays valid until on_close of its protocol has returned.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include "engine/base/ids.hpp"
#include "engine/base/limits.hpp"
#include "engine/net/out_chunk.hpp"
#include "engine/shard/timer_wheel.hpp"

namespace ringgate::net {

enum class CloseReason : std::uint8_t {
  peer_closed,    // FIN
  peer_reset,     // RST, or the network gave up
  idle,           // nothing received for the idle time-out
  frame_timeout,  // a frame began and did not end
  bad_frames,     // past the protocol's limit of bad frames
  oversize,       // a frame longer than the spill
  replaced,       // the device authenticated on another link
  draining,       // this server stops
  send_failed,    // the peer takes no more
  filter_broken,  // the peer broke TLS
  kicked,         // somebody asked for it
  crowded_out,    // the oldest of too many strangers that send datagrams
  finished,       // the protocol has said what there was to say
  refused,        // by the listener's lists, or for its PROXY header
  count,
};
std::string_view name_of(CloseReason reason);

// Why we do not read from a link. Bits.
enum class Pause : std::uint8_t {
  credit = 1,   // too many bytes that are not durable yet
  out_full = 2, // the peer does not take its replies
  memory = 4,   // memory level 2
  log_hold = 8, // log.on_failure = hold
  session = 16, // the protocol has something of its own to finish first
};

enum class LinkState : std::uint8_t {
  free,
  open,
  moving,     // stopped; leaves for another shard when nothing is outstanding
  flushing,   // reads no more; held replies still go out
  lingering,  // our FIN is out; input is discarded until the peer's
  closing,    // operations are cancelled; then the descriptor closes
};

// Where the peer is, packed.
struct PeerAddress {
  std::uint8_t ip[16] = {};  // IPv4 in the first four
  std::uint16_t port = 0;
  std::uint8_t family = 0;  // AF_INET, AF_INET6, 0 unknown
  std::uint8_t unused = 0;
};
static_assert(sizeof(PeerAddress) == 20);

// Received bytes that wait for the rest of their frame, or for credit.
struct Spill {
  std::uint32_t capacity;
  std::uint32_t begin;
  std::uint32_t end;
  std::uint32_t unused;
  std::uint8_t* data() { return reinterpret_cast<std::uint8_t*>(this + 1); }
  std::uint32_t size() const { return end - begin; }
};
static_assert(sizeof(Spill) == 16);

// Bytes are left over that are not the beginning of a frame: kept, without a time-out.
constexpr MonoNs no_frame_yet = -1;

class OrderQueue;

struct Link : shard::TimerNode {
  int fd = -1;
  std::uint32_t slot = 0;
  std::uint16_t generation = 0;
  ShardIndex shard = 0;
  LinkState state = LinkState::free;
  std::uint8_t pauses = 0;       // Pause bits
  std::uint8_t outstanding = 0;  // operations in the kernel
  std::uint8_t protocol = 0;     // index in Links
  bool recv_armed = false;
  bool recv_cancelled = false;  // a cancel is on its way
  bool send_busy = false;
  bool queued_send = false;  // in the turn's send list
  bool wants_recv = false;   // in the list of links to (re-)arm
  bool peer_done = false;    // FIN seen
  bool filtered = false;     // has a filter, in Links
  bool blocked = false;      // a mail column was full: its frame is shown again next turn
  std::uint8_t move_to = 0;  // shard, while moving
  bool datagram = false;     // has no descriptor; net/datagrams.hpp
  bool trusted = false;      // a datagram link that somebody has authenticated on
  bool wants_room = false;   // its protocol waits to write on

  Position last_position = 0;       // of its latest logged frame; replies wait for it
  std::uint32_t uncommitted_bytes = 0;
  std::uint32_t awaiting = 0;       // entries in the shard's list of held replies
  OutChunk* out_head = nullptr;
  OutChunk* out_tail = nullptr;
  // Reply bytes since the link opened, modulo 2^32: written, allowed to leave, sent.
  std::uint32_t out_end = 0;
  std::uint32_t out_released = 0;
  std::uint32_t out_sent = 0;
  std::uint32_t out_queued = 0;     // written and covered by a held-replies entry

  std::uint32_t idle_timeout_ms = 0;
  Spill* spill = nullptr;
  OrderQueue* order = nullptr;      // only while frames of other shards are under way
  MonoNs last_receive_ns = 0;
  MonoNs partial_since_ns = 0;      // 0: nothing left over, or not looked at; < 0: no_frame_yet
  PeerAddress peer;
  std::uint16_t listener = 0;
  bool shaking = false;  // counts among the handshakes under way
  std::uint64_t received_bytes = 0;

  LinkId id() const { return {slot, generation, shard}; }
  // Whether the protocol may have its bytes. A pause for memory only stops receiving: frames that
  // are there already go on, since that is what gives memory back.
  bool readable() const {
    return state == LinkState::open && (pauses & ~static_cast<std::uint8_t>(Pause::memory)) == 0;
  }
  // Received bytes lie here because of us: a pause that has just ended, or a full mail column.
  bool has_unread() const { return spill != nullptr && partial_since_ns == 0; }

  // The protocol's own state: trivially copyable, so that it can move to another shard.
  template <class State>
  State& session() {
    static_assert(std::is_trivially_copyable_v<State> && sizeof(State) <= sizeof session_bytes);
    static_assert(alignof(State) <= 8);
    return *reinterpret_cast<State*>(session_bytes);
  }
  alignas(8) std::uint8_t session_bytes[limits::session_state_bytes] = {};
};
static_assert(sizeof(Link) <= 256);

}  // namespace ringgate::net
