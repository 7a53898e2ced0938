// A simulated machine: rings, network, disk and clocks of one or more shards in one thread, driven
// by one seed. The same seed and the same calls give the same run, bit for bit (trace_hash()).
//
// Fault model.
// Time: virtual; it moves inside enter() (a little each time; up to the timeout while it waits) and
// by
//   World::step(). Nothing moves by itself.
// Rings: completions of independent operations come in any order; those of one socket direction or
// of
//   one multishot keep theirs. With defer_taskrun, completions of a ring appear only inside its own
//   enter(). Multishots end early (no F_MORE) by chance and when the completion queue is full; a
//   full queue loses nothing, but the rest appears only after a drain and another enter(). A buffer
//   ring that is empty, or by chance any, ends a receive with ENOBUFS. Cancelling completes the
//   target and the cancel in either order; an operation that is done already is not found (ENOENT),
//   a file operation that is under way cannot be stopped (EALREADY). Closing an fd ends no
//   operation.
// Network: bytes of one direction arrive in order, after a delay, cut anywhere; a window bounds
// what
//   is under way. Receives and sends may be short. A connection may be reset at any delivery. A
//   socket that is closed while it has unread bytes resets its peer. A peer may vanish: nothing
//   arrives from it any more and nothing is acknowledged (half-open). Datagrams arrive whole and in
//   order, or, by chance: not, twice, or late; where a socket's queue is full they are lost.
// Disk: a write in flight has no effect yet, and at a crash any subset of its 512-byte sectors is
// there;
//   a sector itself is never torn. A completed RWF_DSYNC or O_DSYNC write is durable; any other
//   stays volatile until a later fsync, fdatasync or data_sync of that file completes, and at a
//   crash each of its sectors holds the durable or any later content. The file's size is volatile
//   likewise. Directory entries are durable only after sync_directory, or a sync of the directory
//   through a ring: a crash keeps the changes of each directory since then up to some point, and of
//   a rename between two directories both halves or none. Writes may fail (EIO, ENOSPC) or be
//   short, at any place, having stored any subset of their sectors. A failed sync leaves what it
//   should have
//   stored volatile for good: later syncs do not bring it back. Durable bytes never rot. The buffer
//   of a write in flight must not change: the world checks that.
//
// Not simulated: IPv6 scopes, urgent data, direct descriptors, drain flags. An operation that the
// simulation does not know completes with EINVAL, as in the kernel.
//
// One thread: whatever works in a thread of its own must have a mode without. A World outlives its
// rings, its Sys users and its Peers.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/io/ring.hpp"
#include "engine/io/sys.hpp"

namespace ringgate::io {

class SimCore;
class SimDisk;

constexpr std::uint32_t sim_all_features =
    bit(Feature::single_issuer) | bit(Feature::defer_taskrun) | bit(Feature::no_sqarray) |
    bit(Feature::registered_ring) | bit(Feature::multishot_accept) | bit(Feature::multishot_recv) |
    bit(Feature::recv_bundle) | bit(Feature::msg_ring) | bit(Feature::multishot_recvmsg);

// Chances are per thousand, of each occasion. The defaults are a machine where nothing goes wrong.
struct SimOptions {
  std::uint64_t seed = 1;
  std::uint32_t features = sim_all_features;
  MonoNs enter_cost_ns = 1'000;

  MonoNs net_delay_min_ns = 20'000;
  MonoNs net_delay_max_ns = 200'000;
  MonoNs wake_delay_max_ns = 20'000;    // from readiness to completion
  std::uint32_t window_bytes = 65'536;  // of each direction of a connection
  std::uint32_t short_receive = 0;
  std::uint32_t short_send = 0;
  std::uint32_t end_multishot = 0;
  std::uint32_t no_buffers = 0;
  std::uint32_t reset = 0;              // per delivery
  std::uint32_t datagram_loss = 0;
  std::uint32_t datagram_twice = 0;
  std::uint32_t datagram_late = 0;        // behind some of those sent after it
  std::uint32_t datagram_no_buffers = 0;  // a send fails with ENOBUFS
  std::uint32_t open_max = 1U << 20;    // EMFILE beyond

  MonoNs disk_delay_min_ns = 50'000;
  MonoNs disk_delay_max_ns = 500'000;
  std::uint32_t write_error = 0;     // EIO
  std::uint32_t write_no_space = 0;  // ENOSPC
  std::uint32_t write_short = 0;
  std::uint32_t sync_error = 0;      // EIO
  std::uint64_t capacity_bytes = std::uint64_t{1} << 40;
  bool direct_io = true;             // false: O_DIRECT is refused with EINVAL

  // Everything that goes wrong without losing a connection or a write, at chances drawn from the
  // seed.
  static SimOptions rough(std::uint64_t seed);
};

// The far end of a connection: a device or client outside the simulated server. A value that names
// it; bytes that reach it are kept until taken.
class Peer {
 public:
  Peer() = default;

  bool connected() const;  // accepted by the listener's queue (not necessarily by accept)
  bool refused() const;    // nobody listens, or the queue stayed full
  bool ended() const;      // the server shut its direction down (FIN), all before it has arrived
  bool was_reset() const;

  // Sends `bytes` as one segment, or as many as `slice_bytes` makes of them (0: sizes drawn from
  // the seed). Everything is taken; what the window has no room for follows when it has.
  void send(Bytes bytes);
  void send_sliced(Bytes bytes, std::uint32_t slice_bytes);
  // What has arrived and was not taken yet.
  Bytes received() const;
  std::vector<std::uint8_t> take();
  void shutdown();                 // FIN after what was sent
  void reset();                    // RST, now
  void vanish();                   // half-open from now on
  void pause_reading(bool pause);  // the window fills up
  void close();                    // FIN (RST with bytes not taken); the Peer is of no more use

 private:
  friend class World;
  Peer(SimCore* core, std::uint32_t socket) : core_(core), socket_(socket) {}
  SimCore* core_ = nullptr;
  std::uint32_t socket_ = 0;
};

// A device or client outside the simulated server that sends and receives datagrams, from a port of
// its own at 127.0.0.1. A value that names it, like Peer.
class DatagramPeer {
 public:
  DatagramPeer() = default;
  std::uint16_t port() const;
  void send(Bytes datagram);  // at most 65,507 bytes
  // What has arrived since the last call, in the order of arrival.
  std::vector<std::vector<std::uint8_t>> take();
  // From another port from now on, as behind a NAT that has forgotten; what is on its way to the
  // old one is lost.
  void rebind();
  void close();  // the DatagramPeer is of no more use

 private:
  friend class World;
  DatagramPeer(SimCore* core, std::uint32_t socket) : core_(core), socket_(socket) {}
  SimCore* core_ = nullptr;
  std::uint32_t socket_ = 0;
};

class World {
 public:
  explicit World(const SimOptions& options);
  World(const SimOptions& options,
        SimDisk disk);  // sim_disk.hpp: a machine that starts on this disk
  ~World();
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  Sys& sys();
  std::unique_ptr<Backend> make_backend();

  MonoNs now() const;
  // Advances to the next event, at most by `limit_ns`. False: no event up to there.
  bool step(MonoNs limit_ns = ns_per_s);
  // Calls `what` after `delay_ns`, from within step() or enter(): to script peers, not to enter
  // rings.
  void after(MonoNs delay_ns, std::function<void()> what);
  // A number below `bound` from the world's seed, for the test's own choices.
  std::uint64_t random(std::uint64_t bound);

  // Connects from outside to a listening address of the server.
  Peer connect(const sockaddr* address, socklen_t size_bytes);
  Peer connect_ipv4(std::uint16_t port);  // to 127.0.0.1
  // A peer that sends datagrams to this port of 127.0.0.1, whether anybody is there or not.
  DatagramPeer open_datagrams_ipv4(std::uint16_t port);

  // Pulls the plug: the machine that comes up again on what the disk kept, with a new seed. This
  // world must not be used further, except to be destroyed.
  std::unique_ptr<World> crash(const SimOptions& next);
  std::unique_ptr<World> crash();  // same options, a seed derived from this one

  // Changes chances and capacity from now on (space returns, the disk fails).
  SimOptions& options();
  // Of all completions, deliveries, writes and clock values so far.
  std::uint64_t trace_hash() const;
  // The wake-up of an eventfd (a real fd or not) that a simulated ring reads or polls.
  void signal_event(int fd, std::uint64_t value = 1);
  // Operations that some ring has outstanding: 0 after an orderly end.
  std::uint32_t operations_outstanding() const;
  std::uint32_t descriptors_open() const;

 private:
  struct Parts;
  explicit World(std::unique_ptr<SimCore> core);
  SimCore& core() const;
  std::unique_ptr<Parts> parts_;
};

}  // namespace ringgate::io
