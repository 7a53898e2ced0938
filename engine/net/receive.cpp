// Links: receiving, spills, credit and time-outs.
#include <algorithm>
#include <cerrno>
#include <cstdlib>

#include "engine/io/abi.hpp"
#include "engine/net/links.hpp"

namespace ringgate::net {

void Links::arm_receive(Link& link) {
  RG_CHECK(!link.recv_armed);
  io::Ring& ring = shard_.ring();
  io_uring_sqe* sqe = ring.next_sqe();
  if (ring.has(io::Feature::multishot_recv)) {
    io_uring_prep_recv_multishot(sqe, link.fd, nullptr, 0, 0);
  } else {
    io_uring_prep_recv(sqe, link.fd, nullptr, 0, 0);
  }
  if (ring.has(io::Feature::recv_bundle)) sqe->ioprio |= io::abi::recvsend_bundle;
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = buffers_->group();
  sqe->user_data = io::user_data(io::Tag::recv, link.generation, link.slot);
  link.recv_armed = true;
  operation_started(link);
}

void Links::cancel_receive(Link& link) {
  if (!link.recv_armed || link.recv_cancelled) return;
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  io_uring_prep_cancel64(sqe, io::user_data(io::Tag::recv, link.generation, link.slot), 0);
  sqe->user_data = io::user_data(io::Tag::recv_cancel, link.generation, link.slot);
  link.recv_cancelled = true;
  operation_started(link);
}

void Links::want_receive(Link& link) {
  if (link.wants_recv) return;
  link.wants_recv = true;
  recv_list_.push_back(link.slot);
}

// Goes on with links that were paused, ran out of buffers, or whose multishot ended. In the order
// in which they asked, and not more of them than there are buffers, so that none starves.
void Links::receive_again() {
  if (__builtin_expect(recv_list_.empty(), 1)) return;
  buffers_->publish();
  recv_list_.swap(recv_list_next_);
  std::uint32_t room = std::max(buffers_->free_count(), 16U);
  for (const std::uint32_t slot : recv_list_next_) {
    Link& link = at(slot);
    if (!link.wants_recv) continue;
    if (room == 0) {
      recv_list_.push_back(slot);
      continue;
    }
    link.wants_recv = link.blocked = false;
    --room;
    if (link.state != LinkState::open) progress(link);
    if (link.datagram) continue;  // its socket is not its own
    if (link.readable() && link.has_unread()) feed_spill(link);
    if (link.readable() && link.peer_done && !link.has_unread()) {
      close(link, CloseReason::peer_closed);
    }
    const bool wanted = (link.readable() && link.pauses == 0 && !link.has_unread()) ||
                        link.state == LinkState::lingering;
    if (wanted && !link.recv_armed && !link.recv_cancelled && !link.peer_done) arm_receive(link);
  }
  recv_list_next_.clear();
}

void Links::on_receive(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) {
  Link& link = at(io::slot_of(user_data));
  RG_CHECK(link.generation == io::generation_of(user_data));
  if ((flags & IORING_CQE_F_MORE) == 0) {
    link.recv_armed = false;
    operation_ended(link);
  }
  if (__builtin_expect(result > 0, 1)) {
    RG_CHECK((flags & IORING_CQE_F_BUFFER) != 0);
    counters_.receives.add();
    counters_.received_bytes.add(static_cast<std::uint32_t>(result));
    link.received_bytes += static_cast<std::uint32_t>(result);
    link.last_receive_ns = shard_.now();
    buffers_->consume(static_cast<std::uint16_t>(flags >> io::abi::cqe_buffer_shift),
                      static_cast<std::uint32_t>(result), [&](std::uint16_t bid, Bytes bytes) {
                        if (__builtin_expect(link.filtered, 0)) {
                          filter_received(link, bytes);
                        } else {
                          take_bytes(link, bytes);
                        }
                        buffers_->give_back(bid);
                      });
  } else if (result == 0) {
    peer_ended(link);
  } else {
    switch (result) {
      case -ECANCELED:  // pause, move, close: whoever cancelled goes on in progress()
      case -EINTR:
      case -EAGAIN:
        break;
      case -ENOBUFS:  // all buffers were with us: not the peer's fault, read on when they are back
        counters_.buffer_shortages.add();
        break;
      default:  // ECONNRESET, ETIMEDOUT, EPIPE, EHOSTUNREACH, ...: the connection is gone
        if (link.state == LinkState::open || link.state == LinkState::moving) {
          leave_open(link, CloseReason::peer_reset, LinkState::flushing);
        }
        if (link.state != LinkState::closing) finish(link);
    }
  }
  if (!link.recv_armed && link.state <= LinkState::lingering) want_receive(link);
  if (link.state != LinkState::open) progress(link);
}

// Frames that came before are handled first; receive_again() closes then.
void Links::peer_ended(Link& link) {
  link.peer_done = true;
  if (link.readable() && !link.has_unread()) close(link, CloseReason::peer_closed);
}

void Links::take_bytes(Link& link, Bytes bytes) {
  if (__builtin_expect(link.readable(), 1)) {
    if (__builtin_expect(link.spill == nullptr, 1)) return feed(link, bytes);
    stash(link, bytes);
    if (link.readable() && !link.blocked) feed_spill(link);
    return;
  }
  if (link.state == LinkState::open || link.state == LinkState::moving) stash(link, bytes);
  // Else the link ends: what still comes is discarded.
}

void Links::feed(Link& link, Bytes bytes) {
  const std::uint8_t protocol = link.protocol;
  const bool filtered = link.filtered;
  const std::size_t used = protocol_of(link).on_bytes(link, bytes);
  RG_CHECK(used <= bytes.size());
  after_bytes(link, used);
  if (__builtin_expect(used == bytes.size(), 1)) return;
  if (link.filtered != filtered) return filter_received(link, bytes.subspan(used));
  if (link.state != LinkState::open && link.state != LinkState::moving) return;
  if (link.protocol != protocol && link.readable()) return feed(link, bytes.subspan(used));
  stash(link, bytes.subspan(used));
  mark_partial(link);
}

// A frame has begun and its rest is not there. A spill without this mark is bytes that wait for us,
// or no frame at all.
void Links::mark_partial(Link& link) {
  if (!link.readable() || link.blocked) return;
  const Bytes left{link.spill->data() + link.spill->begin, link.spill->size()};
  if (!protocol_of(link).is_partial_frame(left)) {
    link.partial_since_ns = no_frame_yet;
  } else if (link.partial_since_ns <= 0) {  // else its time runs: a header's, a filter's
    link.partial_since_ns = shard_.now();
  }
  arm_timer(link);
}

// Shows the spill in slices, so that a link which must pause does so after its credit and not after
// all that has piled up. A slice without the end of a frame is shown again, longer.
void Links::feed_spill(Link& link) {
  const bool was_marked = link.partial_since_ns > 0;
  std::size_t slice = limits::spill_slice_bytes;
  bool consumed = false;
  bool shown_all = false;
  while (!shown_all && link.spill != nullptr && link.readable() && !link.blocked) {
    const std::size_t size_bytes = link.spill->size();
    const Bytes bytes{link.spill->data() + link.spill->begin, std::min(size_bytes, slice)};
    const std::uint8_t protocol = link.protocol;
    const bool filtered = link.filtered;
    const std::size_t used = protocol_of(link).on_bytes(link, bytes);
    RG_CHECK(used <= bytes.size());
    after_bytes(link, used);
    if (link.filtered != filtered) return filter_spill(link, used);
    if (link.state != LinkState::open && link.state != LinkState::moving) return free_spill(link);
    shown_all = bytes.size() == size_bytes && link.protocol == protocol;
    if (used == 0 && link.protocol == protocol) {
      slice *= 2;
    } else {
      consumed = true;
      shrink_spill(link, static_cast<std::uint32_t>(used));
    }
  }
  if (link.spill == nullptr) {
    link.partial_since_ns = 0;
    if (__builtin_expect(link.pauses != 0, 0)) resume(link, Pause::memory);
  } else if (consumed || !was_marked) {
    link.partial_since_ns = 0;
    mark_partial(link);
  }
}

// What lies behind a header that came in pieces is for the filter that the link has now.
void Links::filter_spill(Link& link, std::size_t used) {
  const std::uint8_t* const first = link.spill->data() + link.spill->begin;
  const std::vector<std::uint8_t> rest(first + used, first + link.spill->size());
  free_spill(link);
  if (!rest.empty()) filter_received(link, rest);
}

// Accounts for bytes that the protocol consumed, and holds the replies it wrote.
void Links::after_bytes(Link& link, std::size_t used) {
  const bool durable = link.last_position <= shard_.watermark().committed();
  hold_replies(link, durable ? 0 : static_cast<std::uint32_t>(used));
  if (link.uncommitted_bytes > credit_bytes() && link.state == LinkState::open) {
    counters_.paused.add(PauseCount::credit);
    pause(link, Pause::credit);
  }
  if (link.out_end - link.out_sent > limits::link_out_bytes_max &&
      link.state == LinkState::open) {
    counters_.paused.add(PauseCount::out_full);
    pause(link, Pause::out_full);
  }
}

std::uint32_t Links::credit_bytes() const {
  return budget_.level() >= flow::MemoryLevel::trim ? limits::link_credit_bytes_level1
                                                    : limits::link_credit_bytes;
}

void Links::stash(Link& link, Bytes bytes) {
  const auto more = static_cast<std::uint32_t>(bytes.size());
  const std::uint32_t old = link.spill == nullptr ? 0 : link.spill->size();
  // Only what a protocol asks for is its frame. What lies here because of us is bounded by the
  // shard's receive buffers: receiving is cancelled.
  if (old > 0 && old + more > limits::link_spill_bytes_max && link.readable() &&
      !link.has_unread()) {
    close(link, CloseReason::oversize);
    return;
  }
  counters_.spilled_bytes.add(more);
  if (link.spill == nullptr || link.spill->capacity - link.spill->end < more) {
    // With its header a multiple of 256, so that frames that grow byte by byte move seldom.
    // What piles up while we pause comes in many pieces: copying all of it for each would be
    // quadratic.
    const std::uint32_t spare = !link.readable() && old >= limits::spill_slice_bytes ? old : 0;
    const auto capacity = static_cast<std::uint32_t>(
        align_up(sizeof(Spill) + old + more + spare, 256) - sizeof(Spill));
    auto* grown = static_cast<Spill*>(std::malloc(sizeof(Spill) + capacity));
    RG_CHECK(grown != nullptr);
    *grown = Spill{capacity, 0, old, 0};
    if (old > 0) std::memcpy(grown->data(), link.spill->data() + link.spill->begin, old);
    free_spill(link);
    budget_.charge(sizeof(Spill) + capacity);
    link.spill = grown;
  }
  std::memcpy(link.spill->data() + link.spill->end, bytes.data(), more);
  link.spill->end += more;
  if (__builtin_expect(budget_.level() >= flow::MemoryLevel::pause, 0)) pause_for_memory(link);
}

// Until the frame is complete, the level falls or the frame time-out ends the link: a peer that
// begins frames and never ends them must not keep the memory of others.
void Links::pause_for_memory(Link& link) {
  if (link.state != LinkState::open) return;
  if ((link.pauses & static_cast<std::uint8_t>(Pause::memory)) != 0) return;
  counters_.paused.add(PauseCount::memory);
  pause(link, Pause::memory);
}

void Links::shrink_spill(Link& link, std::uint32_t used) {
  link.spill->begin += used;
  if (link.spill->begin == link.spill->end) free_spill(link);
}

void Links::free_spill(Link& link) {
  if (link.spill == nullptr) return;
  budget_.release(sizeof(Spill) + link.spill->capacity);
  std::free(link.spill);
  link.spill = nullptr;
}

void Links::pause(Link& link, Pause why) {
  link.pauses |= static_cast<std::uint8_t>(why);
  cancel_receive(link);
}

void Links::resume(Link& link, Pause why) {
  const auto bit = static_cast<std::uint8_t>(why);
  if ((link.pauses & bit) == 0) return;
  link.pauses = static_cast<std::uint8_t>(link.pauses & ~bit);
  if (!link.readable()) return;
  // The peer's time-outs start anew: while we paused it could not reach us.
  link.last_receive_ns = shard_.now();
  link.partial_since_ns = 0;
  want_receive(link);
}

void Links::set_idle_timeout(Link& link, std::uint32_t idle_timeout_ms) {
  link.idle_timeout_ms = idle_timeout_ms;
  arm_timer(link);
}

void Links::arm_timer(Link& link) {
  if (link.state != LinkState::open) return;
  const std::uint32_t frame_timeout_ms = listeners_[link.listener].options.frame_timeout_ms;
  MonoNs due = 0;
  if (link.idle_timeout_ms > 0) due = link.last_receive_ns + link.idle_timeout_ms * ns_per_ms;
  if (link.partial_since_ns > 0 && frame_timeout_ms > 0) {
    const MonoNs frame_due = link.partial_since_ns + frame_timeout_ms * ns_per_ms;
    if (due == 0 || frame_due < due) due = frame_due;
  }
  if (due == 0) {
    shard_.timers().cancel(link);
  } else {
    shard_.timers().arm(link, due - shard_.now());
  }
}

void Links::on_link_timer(shard::TimerNode& node) {
  Link& link = static_cast<Link&>(node);
  if (link.state != LinkState::open) {
    // Flushing, lingering or moving took too long. Where our own log or another shard is late,
    // the peer has nothing to do with it.
    if (link.awaiting > 0 || link.order != nullptr) {
      shard_.timers().arm(link, limits::linger_ms * ns_per_ms);
      return;
    }
    if (link.state == LinkState::moving) {
      leave_open(link, CloseReason::send_failed, LinkState::flushing);
    }
    if (link.state != LinkState::closing) finish(link);
    return;
  }
  constexpr auto ours = static_cast<std::uint8_t>(Pause::credit) |
                        static_cast<std::uint8_t>(Pause::log_hold) |
                        static_cast<std::uint8_t>(Pause::session);
  if ((link.pauses & ours) != 0 && !link.wants_room) {
    link.last_receive_ns = shard_.now();
    return arm_timer(link);
  }
  const MonoNs now = shard_.now();
  const std::uint32_t frame_timeout_ms = listeners_[link.listener].options.frame_timeout_ms;
  if (link.partial_since_ns > 0 && frame_timeout_ms > 0 && link.readable() &&
      now - link.partial_since_ns >= frame_timeout_ms * ns_per_ms) {
    return close(link, CloseReason::frame_timeout);
  }
  if (link.idle_timeout_ms > 0 && now - link.last_receive_ns >= link.idle_timeout_ms * ns_per_ms) {
    // A peer that does not take its replies is silent too: on_sent() notes what it takes.
    return close(link, link.readable() ? CloseReason::idle : CloseReason::send_failed);
  }
  arm_timer(link);
}

}  // namespace ringgate::net
