// The inside of a World: what the simulated rings, sockets and the disk share. See sim.hpp.
#pragma once

#include <cerrno>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "engine/base/check.hpp"
#include "engine/io/sim.hpp"
#include "engine/io/sim_disk.hpp"

namespace ringgate::io {

constexpr std::uint32_t sim_none = ~0U;
// Descriptors of the simulation: never those of a real process, so that a mix-up fails at once.
constexpr int sim_first_fd = 1'000'000;
constexpr int sim_first_ring_fd = 2'000'000;

enum class SimEventKind : std::uint8_t {
  try_op,     // a: operation, b: its serial
  disk_done,  // likewise
  expired,    // likewise: a timeout
  deliver,    // a: receiving socket, b: its serial
  knock,      // a: connecting socket, b: its serial: its SYN arrives
  datagram,   // a: index in flight
  call,       // a: index of the function
};

struct SimEvent {
  MonoNs at = 0;
  std::uint64_t order = 0;
  SimEventKind kind = SimEventKind::call;
  std::uint32_t a = 0;
  std::uint32_t b = 0;
};

struct SimSegment {
  enum class Kind : std::uint8_t { data, fin, reset } kind = Kind::data;
  MonoNs at = 0;
  std::vector<std::uint8_t> bytes;
};

struct SimDatagram {
  sockaddr_storage from{};
  sockaddr_storage to{};
  std::vector<std::uint8_t> bytes;
};

// One end of a connection, a listener, or a socket of datagrams. Lives while descriptors,
// operations or a Peer refer to it.
struct SimSocket {
  bool used = false;
  bool listening = false;
  bool connecting = false;
  bool connected = false;
  bool refused = false;
  bool fin_in = false;
  bool reset_in = false;
  bool shut_read = false;
  bool shut_write = false;
  bool is_peer = false;
  bool reading_paused = false;
  bool vanished = false;
  bool reuse_port = false;
  bool datagram = false;
  std::uint32_t serial = 0;
  std::uint32_t references = 0;
  std::uint32_t other = sim_none;
  std::uint32_t knocks = 0;
  std::uint32_t backlog_max = 0;
  sockaddr_storage local{};
  sockaddr_storage remote{};
  std::vector<std::uint8_t> inbox;
  std::size_t inbox_at = 0;
  std::deque<SimSegment> wire;  // on their way to this socket
  std::size_t wire_bytes = 0;
  MonoNs last_arrival = 0;
  std::vector<std::uint8_t> unsent;  // a Peer's bytes that wait for room
  bool fin_wanted = false;           // a Peer's FIN after them
  std::map<std::pair<int, int>, int> option_values;  // by level and name
  std::deque<std::uint32_t> backlog;
  std::deque<SimDatagram> datagrams;   // arrived
  std::size_t datagram_bytes = 0;
  std::vector<std::uint32_t> waiting;  // operations

  std::size_t unread() const { return inbox.size() - inbox_at; }
};

struct SimOpenFile {
  std::uint32_t inode = 0;
  int flags = 0;
  std::uint32_t references = 0;
};

struct SimDescriptor {
  enum class Kind : std::uint8_t { free, socket, file } kind = Kind::free;
  std::uint32_t index = 0;
};

struct SimEventFd {
  std::uint64_t counter = 0;
  std::vector<std::uint32_t> waiting;
};

// What an operation refers to from its start on, whatever becomes of the descriptor.
enum class SimTarget : std::uint8_t { none, socket, file, event };

// The fields of an io_uring_sqe (which no struct can hold: it ends in a flexible array).
struct SimSqe {
  std::uint8_t opcode = 0;
  std::uint8_t flags = 0;
  std::uint16_t ioprio = 0;
  int fd = -1;
  std::uint64_t off = 0;  // addr2 as well
  std::uint64_t addr = 0;
  std::uint32_t len = 0;
  std::uint32_t op_flags = 0;  // rw_flags, msg_flags, cancel_flags, ...
  std::uint64_t user_data = 0;
  std::uint16_t buf_group = 0;
};

struct SimOp {
  bool used = false;
  bool started = false;
  bool under_way = false;      // at the disk: cannot be stopped
  bool wake_scheduled = false;
  bool was_short = false;      // breaks a link
  bool multishot_more = false; // its bundle has had its first receive
  SimTarget target = SimTarget::none;
  std::uint32_t serial = 0;
  std::uint32_t ring = 0;
  std::uint32_t object = sim_none;
  std::uint32_t next = sim_none;  // linked after this one
  std::int32_t result = 0;
  std::vector<std::uint8_t> bytes;  // of a write in flight
  SimSqe sqe;
};

struct SimWork {
  enum class Kind : std::uint8_t { try_op, finish, post } kind = Kind::try_op;
  std::uint32_t op = 0;
  std::uint32_t serial = 0;
  std::uint64_t user_data = 0;
  std::int32_t result = 0;
};

struct SimBufferGroup {
  io_uring_buf_ring* shared = nullptr;
  std::uint32_t mask = 0;
  std::uint16_t head = 0;
};

struct SimCompletion {
  std::uint64_t user_data = 0;
  std::int32_t result = 0;
  std::uint32_t flags = 0;
};

struct SimRing {
  bool used = false;
  bool deferred = false;
  std::uint32_t features = 0;
  std::vector<std::uint32_t> words;
  std::vector<io_uring_sqe> sqes;
  std::unique_ptr<std::uint64_t[]> cqe_memory;
  QueueMemory memory;
  std::deque<SimCompletion> overflow;
  std::deque<SimWork> work;  // done inside enter with defer_taskrun
  std::map<std::uint16_t, SimBufferGroup> groups;
};

class SimCore {
 public:
  SimCore(const SimOptions& options, SimDisk disk);

  SimOptions options;
  SimRandom random;
  SimDisk disk;
  MonoNs now = ns_per_s;
  bool crashed = false;

  // Time and trace (sim_world.cpp).
  void schedule(MonoNs delay, SimEventKind kind, std::uint32_t a, std::uint32_t b);
  bool next_event_at(MonoNs& at) const;
  void run_due();
  void trace(std::uint64_t value) { hash_ = (hash_ ^ value) * 0x100000001b3U; }
  std::uint64_t trace_hash() const { return hash_; }
  void call_later(MonoNs delay, std::function<void()> what);

  // Descriptors (sim_world.cpp). Each returns the fd or -errno.
  int add_descriptor(SimDescriptor::Kind kind, std::uint32_t index);
  SimDescriptor* descriptor(int fd);
  int close_descriptor(int fd);
  std::uint32_t descriptors_open() const;

  // Rings (sim_ring.cpp).
  std::uint32_t open_ring(const RingOptions& wanted, QueueMemory& memory);
  void close_ring(std::uint32_t ring);
  int register_with(std::uint32_t ring, unsigned opcode, const void* argument);
  int enter(std::uint32_t ring, std::uint32_t submit, std::uint32_t min_complete, MonoNs timeout);
  SimRing& ring(std::uint32_t index) { return *rings_[index]; }
  std::uint32_t ring_of_fd(int fd) const;
  std::uint32_t operations_outstanding() const;
  void wake(std::vector<std::uint32_t>& waiting);
  void wake_op(std::uint32_t op, MonoNs delay);
  void finish(std::uint32_t op, std::int32_t result, std::uint32_t flags = 0);
  // Posts a completion of a multishot that goes on. False: it must end (the queue is full).
  bool post_more(const SimOp& op, std::int32_t result, std::uint32_t flags);
  SimOp& op(std::uint32_t index) { return ops_[index]; }
  void try_op(std::uint32_t index);
  void wait_on(std::vector<std::uint32_t>& waiting, std::uint32_t op);
  void stop_waiting(std::uint32_t op);
  SimEventFd& event_fd(int fd) { return event_fds_[fd]; }
  std::vector<SimWriteInFlight> writes_in_flight() const;

  // Network (sim_net.cpp).
  std::uint32_t new_socket();
  SimSocket& socket(std::uint32_t index) { return *sockets_[index]; }
  void release_socket(std::uint32_t index);
  int bind_socket(std::uint32_t index, const sockaddr* address, socklen_t size_bytes);
  int listen_socket(std::uint32_t index, int backlog);
  void start_connect(std::uint32_t index, const sockaddr_storage& to);
  void knock(std::uint32_t index);
  void deliver(std::uint32_t index);
  std::size_t room_towards(std::uint32_t from) const;
  void transmit(std::uint32_t from, SimSegment::Kind kind, Bytes bytes);
  void flush_peer(std::uint32_t index);
  void made_room(std::uint32_t index);
  void reset_connection(std::uint32_t index);
  void shut_write(std::uint32_t index);
  void try_accept(std::uint32_t op);
  void try_receive(std::uint32_t op);
  void try_send(std::uint32_t op);
  void try_connect(std::uint32_t op);
  void try_shutdown(std::uint32_t op);
  bool pick_port(sockaddr_storage& address);

  // Datagrams (sim_datagram.cpp).
  std::uint32_t open_datagram_peer(std::uint16_t to_port);
  void rebind_datagram_peer(std::uint32_t index);
  int bind_datagram_socket(std::uint32_t index);
  // From this socket. Returns -EMSGSIZE or the size.
  std::int32_t transmit_datagram(std::uint32_t from, const sockaddr_storage& to, Bytes bytes);
  void deliver_datagram(std::uint32_t flying);
  void try_receive_datagram(std::uint32_t op);
  void try_send_datagram(std::uint32_t op);

  // Files (sim_file.cpp).
  void start_file_op(std::uint32_t op);
  void disk_done(std::uint32_t op);
  int open_file(const std::string& path, int flags);
  void release_file(std::uint32_t index);
  SimOpenFile& file(std::uint32_t index) { return files_[index]; }
  std::int64_t write_file(std::uint32_t index, std::uint64_t offset, Bytes bytes, bool durable);
  int sync_file(std::uint32_t index);
  std::int32_t direct_io_error(const SimOpenFile& file, std::uint64_t address, std::uint64_t offset,
                               std::uint64_t size_bytes) const;

 private:
  void handle_event(const SimEvent& event);
  std::uint32_t submit(std::uint32_t ring, std::uint32_t count);
  std::uint32_t new_op(std::uint32_t ring, const io_uring_sqe& sqe);
  void start(std::uint32_t op);
  bool resolve_target(SimOp& op);
  void start_message(std::uint32_t op);
  void start_cancel(std::uint32_t op);
  bool cancel_matches(const SimOp& target, const SimOp& cancel) const;
  void try_event_fd(std::uint32_t op);
  void drop_target(SimOp& op);
  void run_work(std::uint32_t ring);
  void enqueue_work(std::uint32_t ring, const SimWork& work);
  void do_work(std::uint32_t ring, const SimWork& work);
  void post(std::uint32_t ring, std::uint64_t user_data, std::int32_t result, std::uint32_t flags);
  void flush_overflow(SimRing& ring);
  std::uint32_t ready(const SimRing& ring) const;
  bool push(SimRing& ring, const SimCompletion& completion);

  std::uint32_t find_listener(const sockaddr_storage& to) const;
  bool receive_into_group(std::uint32_t op, SimSocket& socket);
  std::int32_t take_buffers(SimRing& ring, std::uint16_t group, SimSocket& socket,
                            std::size_t size_bytes, std::uint32_t buffers_max, std::uint16_t& bid);
  void consume_inbox(std::uint32_t index, std::size_t size_bytes);
  void fly(MonoNs delay, const SimDatagram& datagram);
  std::uint32_t find_datagram_socket(const SimDatagram& datagram) const;
  bool datagram_into_group(std::uint32_t op, SimSocket& socket);

  std::int32_t finish_write(SimOp& op);

  std::vector<SimEvent> events_;  // a heap, earliest first
  std::uint64_t event_order_ = 0;
  std::uint64_t hash_ = 0xcbf29ce484222325U;
  std::vector<std::function<void()>> calls_;
  std::vector<SimDescriptor> descriptors_;
  std::vector<std::unique_ptr<SimRing>> rings_;
  std::deque<SimOp> ops_;
  std::vector<std::uint32_t> free_ops_;
  std::vector<std::unique_ptr<SimSocket>> sockets_;
  std::vector<std::uint32_t> free_sockets_;
  std::vector<SimDatagram> flying_;
  std::vector<std::uint32_t> free_flying_;
  std::deque<SimOpenFile> files_;
  std::map<int, SimEventFd> event_fds_;
  std::uint16_t next_port_ = 40'000;
};

// Addresses (sim_net.cpp): whether a socket bound to `bound` gets what goes to `to`.
bool sim_covers(const sockaddr_storage& bound, const sockaddr_storage& to);
std::uint16_t sim_port_of(const sockaddr_storage& address);

std::unique_ptr<Sys> make_sim_sys(SimCore& core);
std::unique_ptr<Backend> make_sim_backend(SimCore& core);

}  // namespace ringgate::io
