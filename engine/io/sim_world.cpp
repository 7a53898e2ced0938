// World and Peer, time, events and descriptors of the simulation.
#include <arpa/inet.h>
#include <netinet/in.h>

#include <algorithm>

#include "engine/io/sim_core.hpp"

namespace ringgate::io {
namespace {

// The heap's order: what comes later sinks.
bool later(const SimEvent& left, const SimEvent& right) {
  return left.at != right.at ? left.at > right.at : left.order > right.order;
}

}  // namespace

SimOptions SimOptions::rough(std::uint64_t seed) {
  SimRandom random{seed ^ 0x5eed5eed5eedU};
  const auto up_to = [&random](std::uint64_t bound) {
    return static_cast<std::uint32_t>(random.below(bound));
  };
  SimOptions options;
  options.seed = seed;
  if (random.below(4) == 0) options.features &= ~bit(Feature::recv_bundle);
  if (random.below(8) == 0) options.features &= ~bit(Feature::multishot_recv);
  if (random.below(8) == 0) options.features &= ~bit(Feature::multishot_accept);
  if (random.below(8) == 0) options.features &= ~bit(Feature::defer_taskrun);
  if (random.below(8) == 0) options.features &= ~bit(Feature::msg_ring);
  options.net_delay_max_ns = random.between(50'000, 20'000'000);
  options.wake_delay_max_ns = random.between(1'000, 1'000'000);
  options.window_bytes = 2048U << up_to(6);
  options.short_receive = up_to(300);
  options.short_send = up_to(300);
  options.end_multishot = up_to(200);
  options.no_buffers = up_to(100);
  options.disk_delay_max_ns = random.between(60'000, 20'000'000);
  options.direct_io = random.below(4) != 0;
  if (random.below(8) == 0) options.features &= ~bit(Feature::multishot_recvmsg);
  options.datagram_loss = up_to(100);
  options.datagram_twice = up_to(100);
  options.datagram_late = up_to(200);
  options.datagram_no_buffers = up_to(50);
  return options;
}

// ---- SimCore: time

SimCore::SimCore(const SimOptions& chosen, SimDisk kept)
    : options(chosen), random(chosen.seed), disk(std::move(kept)) {
  RG_CHECK((options.features & ~sim_all_features & ~bit(Feature::coop_taskrun)) == 0);
}

void SimCore::schedule(MonoNs delay, SimEventKind kind, std::uint32_t a, std::uint32_t b) {
  events_.push_back({now + delay, event_order_++, kind, a, b});
  std::push_heap(events_.begin(), events_.end(), later);
}

bool SimCore::next_event_at(MonoNs& at) const {
  if (events_.empty()) return false;
  at = events_.front().at;
  return true;
}

void SimCore::run_due() {
  while (!events_.empty() && events_.front().at <= now) {
    std::pop_heap(events_.begin(), events_.end(), later);
    const SimEvent event = events_.back();
    events_.pop_back();
    handle_event(event);
  }
}

void SimCore::handle_event(const SimEvent& event) {
  const auto op_lives = [this, &event] {
    return ops_[event.a].used && ops_[event.a].serial == event.b;
  };
  const auto socket_lives = [this, &event] {
    return sockets_[event.a]->used && sockets_[event.a]->serial == event.b;
  };
  switch (event.kind) {
    case SimEventKind::try_op:
      if (!op_lives()) break;
      ops_[event.a].wake_scheduled = false;
      enqueue_work(ops_[event.a].ring, {SimWork::Kind::try_op, event.a, event.b, 0, 0});
      break;
    case SimEventKind::disk_done:
      if (!op_lives()) break;
      disk_done(event.a);
      enqueue_work(ops_[event.a].ring, {SimWork::Kind::finish, event.a, event.b, 0, 0});
      break;
    case SimEventKind::expired:
      if (!op_lives()) break;
      ops_[event.a].result = -ETIME;
      enqueue_work(ops_[event.a].ring, {SimWork::Kind::finish, event.a, event.b, 0, 0});
      break;
    case SimEventKind::deliver:
      if (socket_lives()) deliver(event.a);
      break;
    case SimEventKind::knock:
      if (socket_lives()) knock(event.a);
      break;
    case SimEventKind::datagram:
      deliver_datagram(event.a);
      break;
    case SimEventKind::call: {
      const std::function<void()> what = std::move(calls_[event.a]);
      what();
      break;
    }
  }
}

void SimCore::call_later(MonoNs delay, std::function<void()> what) {
  calls_.push_back(std::move(what));
  schedule(delay, SimEventKind::call, static_cast<std::uint32_t>(calls_.size() - 1), 0);
}

// ---- SimCore: descriptors

int SimCore::add_descriptor(SimDescriptor::Kind kind, std::uint32_t index) {
  std::size_t at = 0;
  while (at < descriptors_.size() && descriptors_[at].kind != SimDescriptor::Kind::free) ++at;
  if (at >= options.open_max) return -EMFILE;
  if (at == descriptors_.size()) descriptors_.emplace_back();
  descriptors_[at] = {kind, index};
  return sim_first_fd + static_cast<int>(at);
}

SimDescriptor* SimCore::descriptor(int fd) {
  const std::int64_t at = std::int64_t{fd} - sim_first_fd;
  if (at < 0 || at >= static_cast<std::int64_t>(descriptors_.size())) return nullptr;
  SimDescriptor& found = descriptors_[static_cast<std::size_t>(at)];
  return found.kind == SimDescriptor::Kind::free ? nullptr : &found;
}

int SimCore::close_descriptor(int fd) {
  SimDescriptor* found = descriptor(fd);
  if (found == nullptr) return -EBADF;
  const SimDescriptor was = *found;
  *found = {};
  if (was.kind == SimDescriptor::Kind::socket) {
    release_socket(was.index);
  } else {
    release_file(was.index);
  }
  return 0;
}

std::uint32_t SimCore::descriptors_open() const {
  return static_cast<std::uint32_t>(std::ranges::count_if(
      descriptors_, [](const auto& one) { return one.kind != SimDescriptor::Kind::free; }));
}

// ---- World

struct World::Parts {
  std::unique_ptr<SimCore> core;
  std::unique_ptr<Sys> sys;
};

World::World(const SimOptions& options)
    : World(std::make_unique<SimCore>(options, SimDisk{})) {}

World::World(const SimOptions& options, SimDisk disk)
    : World(std::make_unique<SimCore>(options, std::move(disk))) {}

World::World(std::unique_ptr<SimCore> core) : parts_(std::make_unique<Parts>()) {
  parts_->core = std::move(core);
  parts_->sys = make_sim_sys(*parts_->core);
}

World::~World() = default;

SimCore& World::core() const { return *parts_->core; }
Sys& World::sys() { return *parts_->sys; }
std::unique_ptr<Backend> World::make_backend() { return make_sim_backend(core()); }
MonoNs World::now() const { return core().now; }
SimOptions& World::options() { return core().options; }
std::uint64_t World::trace_hash() const { return core().trace_hash(); }
std::uint64_t World::random(std::uint64_t bound) { return core().random.below(bound); }
std::uint32_t World::operations_outstanding() const { return core().operations_outstanding(); }
std::uint32_t World::descriptors_open() const { return core().descriptors_open(); }

bool World::step(MonoNs limit_ns) {
  SimCore& inside = core();
  const MonoNs limit = inside.now + limit_ns;
  MonoNs at = 0;
  const bool found = inside.next_event_at(at) && at <= limit;
  inside.now = found ? std::max(inside.now, at) : limit;
  inside.run_due();
  return found;
}

void World::after(MonoNs delay_ns, std::function<void()> what) {
  core().call_later(delay_ns, std::move(what));
}

void World::signal_event(int fd, std::uint64_t value) {
  SimEventFd& event = core().event_fd(fd);
  event.counter += value;
  core().wake(event.waiting);
}

std::unique_ptr<World> World::crash(const SimOptions& next) {
  SimCore& inside = core();
  inside.crashed = true;
  SimDisk kept = inside.disk.survivor(inside.writes_in_flight(), Survival::chance, inside.random);
  auto after_cut = std::make_unique<SimCore>(next, std::move(kept));
  after_cut->now = inside.now + ns_per_s;
  return std::unique_ptr<World>{new World{std::move(after_cut)}};
}

std::unique_ptr<World> World::crash() {
  SimOptions next = core().options;
  next.seed = core().random.next();
  return crash(next);
}

Peer World::connect(const sockaddr* address, socklen_t size_bytes) {
  SimCore& inside = core();
  const std::uint32_t index = inside.new_socket();
  SimSocket& socket = inside.socket(index);
  socket.is_peer = true;
  socket.references = 1;
  sockaddr_storage to{};
  RG_CHECK(size_bytes <= sizeof to);
  std::memcpy(&to, address, size_bytes);
  inside.start_connect(index, to);
  return Peer{&inside, index};
}

Peer World::connect_ipv4(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return connect(reinterpret_cast<const sockaddr*>(&address), sizeof address);
}

DatagramPeer World::open_datagrams_ipv4(std::uint16_t port) {
  return DatagramPeer{&core(), core().open_datagram_peer(port)};
}

// ---- Peer

bool Peer::connected() const { return core_->socket(socket_).connected; }
bool Peer::refused() const { return core_->socket(socket_).refused; }
bool Peer::ended() const { return core_->socket(socket_).fin_in; }
bool Peer::was_reset() const { return core_->socket(socket_).reset_in; }

void Peer::send(Bytes bytes) {
  SimSocket& socket = core_->socket(socket_);
  socket.unsent.insert(socket.unsent.end(), bytes.begin(), bytes.end());
  core_->flush_peer(socket_);
}

void Peer::send_sliced(Bytes bytes, std::uint32_t slice_bytes) {
  while (!bytes.empty()) {
    std::size_t size_bytes = slice_bytes;
    if (slice_bytes == 0) size_bytes = 1 + core_->random.below(bytes.size());
    size_bytes = std::min(size_bytes, bytes.size());
    send(bytes.first(size_bytes));
    bytes = bytes.subspan(size_bytes);
  }
}

Bytes Peer::received() const {
  const SimSocket& socket = core_->socket(socket_);
  return Bytes{socket.inbox}.subspan(socket.inbox_at);
}

std::vector<std::uint8_t> Peer::take() {
  const Bytes all = received();
  std::vector<std::uint8_t> bytes{all.begin(), all.end()};
  SimSocket& socket = core_->socket(socket_);
  socket.inbox.clear();
  socket.inbox_at = 0;
  core_->made_room(socket_);
  return bytes;
}

void Peer::shutdown() {
  core_->socket(socket_).fin_wanted = true;
  core_->flush_peer(socket_);
}

void Peer::reset() { core_->reset_connection(socket_); }
void Peer::vanish() { core_->socket(socket_).vanished = true; }

void Peer::pause_reading(bool pause) {
  core_->socket(socket_).reading_paused = pause;
  core_->made_room(socket_);
}

void Peer::close() {
  SimSocket& socket = core_->socket(socket_);
  if (socket.connected && !socket.vanished && !socket.unsent.empty()) {
    core_->transmit(socket_, SimSegment::Kind::data, socket.unsent);
    socket.unsent.clear();
  }
  core_->release_socket(socket_);
  core_ = nullptr;
}

}  // namespace ringgate::io
