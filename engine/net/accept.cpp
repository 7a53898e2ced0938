// Links: accepting connections.
#include <netinet/in.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

#include "engine/net/links.hpp"

namespace ringgate::net {

namespace {

PeerAddress peer_address(io::Sys& sys, int fd) {
  PeerAddress peer;
  sockaddr_storage address{};
  if (sys.peer_address(fd, address) < 0) return peer;  // gone already; the first receive tells
  peer.family = static_cast<std::uint8_t>(address.ss_family);
  if (address.ss_family == AF_INET) {
    sockaddr_in v4;
    std::memcpy(&v4, &address, sizeof v4);
    std::memcpy(peer.ip, &v4.sin_addr, 4);
    peer.port = ntohs(v4.sin_port);
  } else if (address.ss_family == AF_INET6) {
    sockaddr_in6 v6;
    std::memcpy(&v6, &address, sizeof v6);
    std::memcpy(peer.ip, &v6.sin6_addr, 16);
    peer.port = ntohs(v6.sin6_port);
  }
  return peer;
}

}  // namespace

bool Links::may_accept() const {
  return live_ < options_.links_max && !draining_ && !accept_paused_ &&
         budget_.level() < flow::MemoryLevel::pause;
}

// So many handshakes are under way as may be: who comes now waits in the kernel.
bool Links::may_shake_hands(Listener& listener) {
  if (listener.options.filter == nullptr || shaking_ < options_.handshakes_max) {
    listener.waits = false;
    return true;
  }
  // Places come back also where nothing else happens (give_up_stalled).
  if (!accept_timer_.armed()) shard_.arm(accept_timer_, limits::accept_pause_ms * ns_per_ms);
  if (!listener.waits) filter_counters_->waits.add();
  listener.waits = true;
  return false;
}

void Links::arm_accept(std::uint32_t listener) {
  Listener& which = listeners_[listener];
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  // One at a time where handshakes are counted: a multishot accept takes all that wait at once.
  const bool one = which.options.filter != nullptr;
  if (!one && shard_.ring().has(io::Feature::multishot_accept)) {
    io_uring_prep_multishot_accept(sqe, which.options.fd, nullptr, nullptr, SOCK_CLOEXEC);
  } else {
    io_uring_prep_accept(sqe, which.options.fd, nullptr, nullptr, SOCK_CLOEXEC);
  }
  sqe->user_data = io::user_data(io::Tag::accept, 0, listener);
  which.armed = true;
  which.cancelled = false;
  ++accept_operations_;
}

void Links::stop_accepting() {
  for (std::uint32_t i = 0; i < listeners_.size(); ++i) {
    Listener& listener = listeners_[i];
    if (!listener.armed || listener.cancelled) continue;
    io_uring_sqe* sqe = shard_.ring().next_sqe();
    io_uring_prep_cancel64(sqe, io::user_data(io::Tag::accept, 0, i), 0);
    sqe->user_data = io::user_data(io::Tag::accept_cancel, 0, i);
    listener.cancelled = true;
    ++accept_operations_;
  }
}

void Links::on_accept(std::uint32_t listener, std::int32_t result, std::uint32_t flags) {
  if ((flags & IORING_CQE_F_MORE) == 0) {
    listeners_[listener].armed = false;
    --accept_operations_;
  }
  if (result >= 0) return open_link(result, listener);
  switch (result) {
    case -ECANCELED:  // stop_accepting
      return;
    case -EMFILE:   // descriptors of this process
    case -ENFILE:   // descriptors of the system
    case -ENOBUFS:  // socket memory
    case -ENOMEM:
      // Nothing comes back at once: rest, instead of failing in a circle.
      counters_.accept_pauses.add();
      accept_paused_ = true;
      shard_.arm(accept_timer_, limits::accept_pause_ms * ns_per_ms);
      stop_accepting();
      return;
    default:
      // ECONNABORTED, EPROTO, network errors of that one connection (accept(2)): the next is
      // another.
      counters_.accept_errors.add();
      return;
  }
}

void Links::on_timer() { accept_paused_ = false; }

void Links::close_unopened(int fd) {
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  io_uring_prep_close(sqe, fd);
  sqe->user_data = io::user_data(io::Tag::none, 0, 0);
}

void Links::open_link(int fd, std::uint32_t listener) {
  const ListenerOptions& options = listeners_[listener].options;
  bool listed = false;
  if (__builtin_expect(options.rules != nullptr, 0)) {
    const PeerAddress peer = peer_address(shard_.sys(), fd);
    listed = options.rules->proxies.contains(peer);
    const Refusal refusal = listed ? Refusal::count : options.rules->judge(peer);
    if (refusal != Refusal::count) {
      count_refusal(refusal);
      return close_unopened(fd);
    }
  }
  Link* link = live_ < options_.links_max && !draining_ ? allocate() : nullptr;
  if (link == nullptr) {
    // Accepted before the cancel took effect. The peer sees a reset and comes again.
    counters_.accept_errors.add();
    close_unopened(fd);
    if (!draining_) stop_accepting();
    return;
  }
  counters_.accepted.add();
  link->fd = fd;
  link->listener = static_cast<std::uint16_t>(listener);
  link->peer = peer_address(shard_.sys(), fd);
  link->last_position = 0;
  link->last_receive_ns = shard_.now();
  link->idle_timeout_ms = options.idle_timeout_ms;
  link->state = LinkState::open;
  if (options.filter != nullptr) begin_shaking(*link);
  if (options.rules != nullptr && !options.rules->proxies.empty()) {
    begin_proxied(*link, listed);
  } else {
    begin_protocol(*link, options.protocol, options.filter);
  }
  hold_replies(*link, 0);
  arm_timer(*link);
  if (link->readable()) arm_receive(*link);
  if (live_ >= options_.links_max) stop_accepting();
}

void Links::begin_protocol(Link& link, std::uint8_t protocol, FilterFactory* filter) {
  link.protocol = protocol;
  if (filter != nullptr) {
    add_filter(link, filter->make());
    watch_filter(link, *filters_[link.slot]->filter);
  }
  protocol_of(link).on_open(link);
}

void Links::begin_proxied(Link& link, bool listed) {
  if (proxied_ == nullptr) {
    proxied_ = std::make_unique<Proxied>(*this);
    proxied_number_ = add_protocol(*proxied_);
  }
  link.protocol = proxied_number_;
  Proxied::begin(link, listed);
  // A header comes first of all; who sends none may take the time that the protocol gives.
  if (listed) link.partial_since_ns = shard_.now();
}

// What follows is the protocol's, or its filter's.
void Links::pass_on(Link& link) {
  const ListenerOptions& options = listeners_[link.listener].options;
  std::memset(link.session_bytes, 0, sizeof link.session_bytes);
  link.partial_since_ns = 0;
  begin_protocol(link, options.protocol, options.filter);
}

void Links::refuse(Link& link, Refusal why) {
  count_refusal(why);
  close(link, CloseReason::refused);
}

Refusal Links::judge(const Link& link) const {
  const AccessRules* rules = listeners_[link.listener].options.rules.get();
  return rules == nullptr ? Refusal::count : rules->judge(link.peer);
}

}  // namespace ringgate::net
