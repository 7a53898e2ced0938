// Links: the bytes of links that have a filter.
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <utility>

#include "engine/net/links.hpp"

namespace ringgate::net {

class Links::LinkSink final : public FilterSink {
 public:
  LinkSink(Links& links, Link& link, FilterState& state)
      : links_(links), link_(link), state_(state) {}
  void plain(Bytes bytes) override {
    if (!bytes.empty()) links_.take_bytes(link_, bytes);
  }
  void wire(Bytes bytes) override {
    const bool in_use = link_.send_busy || !state_.next.empty();
    std::vector<std::uint8_t>& to = in_use ? state_.next : state_.sending;
    to.insert(to.end(), bytes.begin(), bytes.end());
    links_.queue_send(link_);
  }
  void established(const Handshake& handshake) override {
    FilterCounters& counters = *links_.filter_counters_;
    state_.counted = true;
    links_.end_shaking(link_);
    counters.handshakes.add(handshake.resumed ? HandshakeResult::resumed : HandshakeResult::full);
    counters.versions.add(handshake.version);
    counters.live.add();
    // What the protocol wrote before it may leave now.
    if (links_.has_to_send(link_)) links_.queue_send(link_);
  }
  void ended() override { links_.peer_ended(link_); }
  void broken(FilterFault why) override { links_.count_fault(state_, why); }

 private:
  Links& links_;
  Link& link_;
  FilterState& state_;
};

void Links::add_filter(Link& link, std::unique_ptr<Filter> filter) {
  if (filters_.size() <= link.slot) filters_.resize(slots_.size() * links_per_chunk);
  auto state = std::make_unique<FilterState>();
  state->filter = std::move(filter);
  state->counted = state->filter->established();
  if (state->counted) filter_counters_->live.add();
  filters_[link.slot] = std::move(state);
  link.filtered = true;
  charge_filter(*filters_[link.slot]);
}

// A link of a listener with a filter counts as a handshake from its accept on, also while it has
// yet to say a PROXY header.
void Links::begin_shaking(Link& link) {
  link.shaking = true;
  ++shaking_;
  filter_counters_->under_way.set(shaking_);
  drop_ended_shakers();
  shakers_.push_back({link.id(), shard_.now(), -1});
}

// Two looks for each that comes: so at most some half of them have ended.
void Links::drop_ended_shakers() {
  for (int looks = 0; looks < 2 && !shakers_.empty(); ++looks) {
    const Shaker shaker = shakers_.front();
    shakers_.pop_front();
    const Link* const link = find(shaker.link);
    if (link != nullptr && link->shaking) shakers_.push_back(shaker);
  }
}

// All places are taken: those whose peers are silent, or have had time enough, are for others. A
// peer counts as silent when two turns in a row found it so: what it said during a long turn is
// still to be received.
void Links::give_up_stalled() {
  const MonoNs now = shard_.now();
  for (std::size_t looks = std::min(shakers_.size(), limits::tls_stalled_looks); looks > 0;
       --looks) {
    Shaker shaker = shakers_.front();
    shakers_.pop_front();
    Link* const link = find(shaker.link);
    if (link == nullptr || !link->shaking) continue;
    const MonoNs heard = std::exchange(shaker.heard_ns, link->last_receive_ns);
    const bool stalled = heard == link->last_receive_ns &&
                         now - link->last_receive_ns >= limits::tls_stalled_ms * ns_per_ms;
    const bool late = now - shaker.since_ns >= limits::tls_crowded_ms * ns_per_ms;
    if ((stalled || late) && link->state == LinkState::open) {
      close(*link, CloseReason::frame_timeout);
    } else {
      shakers_.push_back(shaker);
    }
  }
}

void Links::end_shaking(Link& link) {
  if (!link.shaking) return;
  link.shaking = false;
  --shaking_;
  filter_counters_->under_way.set(shaking_);
}

// Gone with its link, or moves with it.
std::unique_ptr<Filter> Links::remove_filter(Link& link) {
  FilterState& state = *filters_[link.slot];
  if (state.filter->established()) filter_counters_->live.sub();
  budget_.release(state.charged_bytes);
  std::unique_ptr<Filter> filter = std::move(state.filter);
  filters_[link.slot].reset();
  link.filtered = false;
  link.filtered = false;
  return filter;
}

void Links::charge_filter(FilterState& state) {
  const std::uint64_t bytes = sizeof(FilterState) + state.filter->memory_bytes() +
                              state.sending.capacity() + state.next.capacity();
  if (bytes >= state.charged_bytes) {
    budget_.charge(bytes - state.charged_bytes);
  } else {
    budget_.release(state.charged_bytes - bytes);
  }
  state.charged_bytes = bytes;
}

void Links::filter_received(Link& link, Bytes bytes) {
  if (link.state != LinkState::open && link.state != LinkState::moving) return;
  FilterState& state = *filters_[link.slot];
  LinkSink sink(*this, link, state);
  if (!state.filter->received(bytes, sink)) {
    close(link, CloseReason::filter_broken);
  } else if (state.next.size() > limits::filter_waiting_bytes_max) {
    count_fault(state, FilterFault::flood);
    close(link, CloseReason::filter_broken);
  }
  charge_filter(state);
  if (link.spill == nullptr) watch_filter(link, *state.filter);
}

// The frame time-out of what the protocol has not seen yet. Where it has the beginning of a frame
// itself, the time runs already.
void Links::watch_filter(Link& link, const Filter& filter) {
  const bool waits = filter.partial();
  if (!waits) {
    link.partial_since_ns = 0;
  } else if (link.partial_since_ns <= 0) {
    link.partial_since_ns = shard_.now();
    arm_timer(link);
  }
}

// Turns the replies that may leave into wire bytes, a batch at a time, and sends what there is.
void Links::start_filtered_send(Link& link) {
  FilterState& state = *filters_[link.slot];
  if (state.sent == state.sending.size()) {
    state.sending.swap(state.next);
    state.next.clear();
    state.sent = 0;
    if (link.out_sent != link.out_released && state.filter->established()) {
      make_wire(link, state);
    }
  }
  charge_filter(state);
  if (!state.pending()) return;
  submit_send(link, {state.sending.data() + state.sent, state.sending.size() - state.sent});
}

void Links::make_wire(Link& link, FilterState& state) {
  LinkSink sink(*this, link, state);
  link.queued_send = true;  // what is made here leaves with this send
  const std::uint32_t all = std::min(link.out_released - link.out_sent,
                                     limits::link_out_bytes_max);
  const std::uint32_t batches = all / limits::filter_batch_bytes + 1;
  state.sending.reserve(state.sending.size() + all + batches * limits::filter_overhead_bytes);
  bool ok = true;
  for (std::uint32_t made = 0; made < all && ok;) {
    const std::uint32_t size_bytes = std::min(all - made, limits::filter_batch_bytes);
    ok = make_batch(link, state, size_bytes, sink);
    made += size_bytes;
  }
  if (!ok) close(link, CloseReason::filter_broken);
  link.queued_send = false;
}

bool Links::make_batch(Link& link, FilterState& state, std::uint32_t size_bytes,
                       FilterSink& sink) {
  if (size_bytes <= sendable_bytes(link)) {
    OutChunk* chunk = link.out_head;
    const bool ok = state.filter->sending({chunk->data() + chunk->begin, size_bytes}, sink);
    take_sent(link, size_bytes);
    return ok;
  }
  std::uint8_t plain[limits::filter_batch_bytes];
  for (std::uint32_t at = 0; at < size_bytes;) {
    OutChunk* chunk = link.out_head;
    const std::uint32_t piece = std::min(sendable_bytes(link), size_bytes - at);
    std::memcpy(plain + at, chunk->data() + chunk->begin, piece);
    take_sent(link, piece);
    at += piece;
  }
  return state.filter->sending({plain, size_bytes}, sink);
}

void Links::filtered_sent(Link& link, std::uint32_t size_bytes) {
  FilterState& state = *filters_[link.slot];
  state.sent += size_bytes;
  if (state.sent != state.sending.size()) return;
  state.sending = {};  // an idle link owns no buffer
  state.sent = 0;
  charge_filter(state);
}

bool Links::filter_pending(const Link& link) const {
  return link.filtered && filters_[link.slot]->pending();
}

// All that the link had to say has left. True: the filter's last words must leave, too.
bool Links::end_filter(Link& link) {
  FilterState& state = *filters_[link.slot];
  if (state.ended) return false;
  state.ended = true;
  if (!state.filter->established()) return false;
  LinkSink sink(*this, link, state);
  state.filter->ending(sink);
  return state.pending();
}

void Links::count_fault(FilterState& state, FilterFault why) {
  filter_counters_->faults.add(why);
  if (!state.counted) filter_counters_->handshakes.add(HandshakeResult::failed);
  state.counted = true;
}

// The link is no longer open. Before the end of its handshake nothing can be said to the peer.
void Links::leave_filter(Link& link, CloseReason reason) {
  FilterState& state = *filters_[link.slot];
  end_shaking(link);  // it lingers without a place among those under way
  if (!state.filter->established()) drop_replies(link);
  if (state.counted) return;
  count_fault(state, reason == CloseReason::frame_timeout ? FilterFault::timeout
                                                          : FilterFault::abandoned);
}

const SecurePeer* Links::secure_peer(const Link& link) const {
  return link.filtered ? filters_[link.slot]->filter->peer() : nullptr;
}

}  // namespace ringgate::net
