// Datagrams of one shard's listeners, and the links of those who send them. Everything here runs on
// the shard's thread.
//
// Way of a datagram: a socket per listener and shard, all of a listener on one port. The protocol
// says which shard is home to the device whose frame it begins with; another shard's goes there by
// mail, whole, and is handled and answered there: its socket has the same port, so the peer sees
// one address. A link has no descriptor; it is found by (listener, address) and shows its protocol
// each datagram whole. What on_bytes leaves of one is not kept.
//
// Nothing queues without bound: a datagram whose link is paused, or whose home takes no mail now,
// is dropped and counted. Its sender sends again what was not acknowledged.
//
// Strangers are the links that nobody has authenticated on (Links::trust): they are sent no more
// bytes than came from them, headers of IP and UDP included, so that many short answers to one
// datagram are no gain for a forger either. They may send so much a second (StrangerLimits), and
// beyond a number the oldest of them goes.
#pragma once

#include <sys/socket.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/io/ring.hpp"
#include "engine/net/datagram_counters.hpp"
#include "engine/net/protocol.hpp"
#include "engine/net/strangers.hpp"
#include "engine/shard/mailbox.hpp"
#include "engine/shard/shard.hpp"

namespace ringgate::net {

class Links;

// Which of our addresses a datagram came to, where the listener has all of them; answers leave from
// it.
struct OwnAddress {
  std::uint8_t ip[16] = {};  // IPv4 in the first four
  std::uint8_t family = 0;   // AF_INET, AF_INET6; 0: the socket's own
};

// Where a datagram came from, and to.
struct DatagramPath {
  PeerAddress from;
  OwnAddress to;
};

class Datagrams final : public shard::CompletionHandler,
                        public shard::Hook,
                        public shard::MailHandler,
                        public shard::TimerHandler {
 public:
  // Error: no memory for buffers.
  static Result<std::unique_ptr<Datagrams>> create(Links& links, shard::Shard& shard,
                                                   shard::MailRoom& mail,
                                                   observe::CounterGroup& counters);
  ~Datagrams() override;

  // Bound; owned from here on. By Links::add_listener.
  void add_socket(std::uint32_t listener, int fd);

  // For Links --------------------------------------------------------------------------------

  void trust(Link& link);
  // The link is no longer open: what its address sends from now on is not for it.
  void forget(Link& link);
  // What on_bytes leaves of the datagram it is being shown goes to `target`.
  void move_rest(ShardIndex target) { rest_to_ = target; }
  // Sends what is released, as far as there are places; queues the link for the rest.
  void start_send(Link& link);
  // Of what is charged to the shard's budget, and kept.
  std::uint64_t memory_bytes() const {
    return places_.capacity() * sizeof(Place) + sends_.size() * sizeof(Send);
  }
  DatagramCounters& counters() { return counters_; }
  std::uint32_t strangers() const { return strangers_; }

  // Called by the loop -----------------------------------------------------------------------

  void on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) override;
  void on_mail(shard::MailKind kind, std::uint32_t producer, Bytes bytes) override;
  void on_timer() override { resting_ = false; }
  void before_wait() override;
  bool has_work() const override { return !waiting_.empty() && !free_sends_.empty(); }
  void start_drain() override;
  bool drained() const override { return sends_in_flight() == 0; }
  void start_stop() override;
  bool stopped() const override { return operations_ == 0; }

 private:
  static constexpr std::uint32_t none = ~0U;
  struct Socket {
    int fd = -1;
    std::uint32_t listener = 0;
    bool armed = false;
    // Where there is no multishot: one datagram at a time, here.
    msghdr message{};
    iovec part{};
    sockaddr_storage from{};
    alignas(cmsghdr) std::uint8_t control[64];
    std::unique_ptr<std::uint8_t[]> buffer;
  };
  // All of a datagram, or what another shard's protocol left of one.
  enum class Piece : bool { whole, rest };
  // What a link's slot has here.
  struct Place {
    std::uint32_t next = none;         // of the same bucket
    std::uint32_t older = none;        // strangers, in the order in which they came
    std::uint32_t newer = none;
    std::uint32_t replied_bytes = 0;   // to a stranger
    std::int32_t replies_ahead = 0;    // datagrams to a stranger, less those from there
    OwnAddress own;
  };
  // A datagram on its way out: its bytes are copied, so its link may go.
  struct Send {
    msghdr message{};
    iovec part{};
    sockaddr_storage to{};
    alignas(cmsghdr) std::uint8_t control[64];
    std::uint8_t bytes[limits::out_chunk_large_bytes];
  };

  Datagrams(Links& links, shard::Shard& shard, shard::MailRoom& mail,
            observe::CounterGroup& counters, std::unique_ptr<io::BufferRing> buffers,
            const AddressHash& hash);

  // Receiving (datagrams.cpp)
  void arm(std::uint32_t socket);
  void cancel(std::uint32_t socket, bool sends_too);
  void on_receive(std::uint32_t socket, std::int32_t result, std::uint32_t flags);
  void take_buffer(const Socket& socket, std::uint32_t size_bytes, std::uint16_t bid);
  void take(std::uint32_t listener, const DatagramPath& path, Bytes bytes, bool truncated);
  void post(ShardIndex to, std::uint32_t listener, const DatagramPath& path, Bytes bytes,
            Piece piece);
  void handle(std::uint32_t listener, const DatagramPath& path, Bytes bytes, bool is_frame,
              Piece piece);
  void show(Link& link, Bytes bytes, Piece piece);
  Link* open(std::uint32_t listener, const PeerAddress& from);
  void drop(DatagramDrop why) { counters_.dropped.add(why); }

  // Links by address
  std::uint64_t hash_of(std::uint32_t listener, const PeerAddress& from) const;
  Link* find(std::uint32_t listener, const PeerAddress& from);
  void insert(Link& link);
  void grow();
  void add_stranger(std::uint32_t slot);
  void remove_stranger(std::uint32_t slot);

  // Sending (datagram_send.cpp)
  void submit(const Link& link, Bytes bytes);
  void on_sent(std::uint32_t send, std::int32_t result);
  std::uint32_t sends_in_flight() const {
    return static_cast<std::uint32_t>(sends_.size() - free_sends_.size());
  }

  Links& links_;
  shard::Shard& shard_;
  shard::MailRoom& mail_;
  DatagramCounters counters_;
  std::unique_ptr<io::BufferRing> buffers_;
  AddressHash hash_;
  StrangerLimits limits_;
  std::vector<std::unique_ptr<Socket>> sockets_;
  std::vector<std::uint32_t> socket_of_;  // by listener
  std::vector<Place> places_;             // by slot
  std::vector<std::uint32_t> buckets_;    // first slot of each
  std::uint32_t count_ = 0;
  std::uint32_t oldest_ = none;
  std::uint32_t newest_ = none;
  std::uint32_t strangers_ = 0;
  std::vector<std::unique_ptr<Send>> sends_;
  std::vector<std::uint32_t> free_sends_;
  std::vector<LinkId> waiting_;  // for a place in sends_
  shard::Timer rest_timer_;
  std::uint32_t operations_ = 0;
  ShardIndex rest_to_ = no_home;
  bool resting_ = false;
  bool closing_ = false;
};

}  // namespace ringgate::net
