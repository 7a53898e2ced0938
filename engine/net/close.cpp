// Links: ending, and leaving for another shard. A link's slot is freed when no operation is
// outstanding and its descriptor is closed: cancel, wait for both completions, close.
#include <sys/socket.h>

#include <cstdlib>

#include "engine/net/links.hpp"

namespace ringgate::net {

namespace {

// What travels with a link. The unread bytes follow in the mail, or on the heap where they are
// many.
struct MoveRecord {
  static constexpr std::uint16_t current_version = 1;
  std::uint16_t version = current_version;
  std::uint16_t listener = 0;
  std::uint8_t protocol = 0;
  std::uint8_t unused[3] = {};
  std::int32_t fd = -1;
  std::uint32_t idle_timeout_ms = 0;
  std::uint32_t unread_bytes = 0;
  std::uint32_t unread_inline = 1;
  PeerAddress peer;
  std::uint32_t unused2 = 0;
  std::uint64_t filter_at = 0;  // a Filter, owned by the mail; 0: none
  std::uint64_t received_bytes = 0;
  std::uint64_t unread_at = 0;  // a malloc'ed block, owned by the mail
  std::uint8_t session_bytes[limits::session_state_bytes] = {};
};
static_assert(std::is_trivially_copyable_v<MoveRecord>);

// Unread bytes up to this travel inside the mail.
constexpr std::uint32_t inline_unread_max = 4096;
static_assert(sizeof(MoveRecord) + inline_unread_max <= limits::mail_bytes_max);

}  // namespace

void Links::leave_open(Link& link, CloseReason reason, LinkState next) {
  RG_CHECK(link.state == LinkState::open || link.state == LinkState::moving);
  link.state = next;
  counters_.closed.add(reason);
  if (link.datagram) datagrams_->forget(link);
  protocol_of(link).on_close(link, reason);
  hold_replies(link, 0);  // what was written outside of on_bytes, and last words
  if (link.filtered) leave_filter(link, reason);
}

void Links::close(Link& link, CloseReason reason) {
  if (link.state != LinkState::open && link.state != LinkState::moving) return;
  leave_open(link, reason, LinkState::flushing);
  cancel_receive(link);
  shard_.timers().arm(link, limits::linger_ms * ns_per_ms);
  // Goes on in receive_again(), not here: the protocol may be in the middle of this link's bytes.
  want_receive(link);
}

void Links::request_move(Link& link, ShardIndex target) {
  RG_CHECK(link.state == LinkState::open && target != shard_.index());
  if (link.datagram) return datagrams_->move_rest(target);
  link.state = LinkState::moving;
  link.move_to = static_cast<std::uint8_t>(target);
  cancel_receive(link);
  shard_.timers().arm(link, limits::linger_ms * ns_per_ms);
  want_receive(link);
}

// The next step of a link that is not open, as far as its operations allow.
void Links::progress(Link& link) {
  if (link.state == LinkState::closing) {
    if (link.outstanding == 0) close_descriptor(link);
    return;
  }
  const bool idle = link.outstanding == 0 && !replies_pending(link) && link.awaiting == 0 &&
                    link.order == nullptr;
  switch (link.state) {
    case LinkState::moving:
      if (!idle) break;
      if (draining_) return close(link, CloseReason::draining);
      send_move(link);
      break;
    case LinkState::flushing:
      if (!idle || (link.filtered && end_filter(link))) break;
      if (link.peer_done || link.datagram) {
        finish(link);
      } else {
        start_lingering(link);
      }
      break;
    case LinkState::lingering:
      if (link.peer_done) finish(link);
      break;
    case LinkState::free:
    case LinkState::open:
    case LinkState::closing:
      break;
  }
}

void Links::start_lingering(Link& link) {
  free_spill(link);
  link.state = LinkState::lingering;
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  io_uring_prep_shutdown(sqe, link.fd, SHUT_WR);
  sqe->user_data = io::user_data(io::Tag::shutdown, link.generation, link.slot);
  operation_started(link);
  shard_.timers().arm(link, limits::linger_ms * ns_per_ms);
  arm_receive(link);  // discards until the peer's FIN
}

void Links::finish(Link& link) {
  RG_CHECK(link.state != LinkState::open && link.state != LinkState::free);
  shard_.timers().cancel(link);
  link.state = LinkState::closing;
  if (link.datagram) {  // nothing in the kernel is its own
    link.send_busy = false;
    drop_replies(link);
    return free_link(link);
  }
  if (link.recv_armed || link.send_busy) {
    io_uring_sqe* sqe = shard_.ring().next_sqe();
    io_uring_prep_cancel_fd(sqe, link.fd, IORING_ASYNC_CANCEL_ALL);
    sqe->user_data = io::user_data(io::Tag::recv_cancel, link.generation, link.slot);
    operation_started(link);
  }
  progress(link);
}

void Links::close_descriptor(Link& link) {
  drop_replies(link);
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  io_uring_prep_close(sqe, link.fd);
  sqe->user_data = io::user_data(io::Tag::close, link.generation, link.slot);
  operation_started(link);
}

void Links::send_move(Link& link) {
  MoveRecord record;
  record.listener = link.listener;
  record.protocol = link.protocol;
  record.fd = link.fd;
  record.idle_timeout_ms = link.idle_timeout_ms;
  record.peer = link.peer;
  record.received_bytes = link.received_bytes;
  std::memcpy(record.session_bytes, link.session_bytes, sizeof record.session_bytes);
  Bytes unread;
  if (link.spill != nullptr) unread = {link.spill->data() + link.spill->begin, link.spill->size()};
  record.unread_bytes = static_cast<std::uint32_t>(unread.size());
  if (unread.size() > inline_unread_max) {
    void* block = std::malloc(unread.size());
    RG_CHECK(block != nullptr);
    std::memcpy(block, unread.data(), unread.size());
    record.unread_at = reinterpret_cast<std::uint64_t>(block);
    record.unread_inline = 0;
    unread = {};
  }
  if (link.filtered) {
    record.filter_at = reinterpret_cast<std::uint64_t>(remove_filter(link).release());
  }
  PendingMove move{link.move_to, {}};
  move.mail.resize(sizeof record + unread.size());
  std::memcpy(move.mail.data(), &record, sizeof record);
  if (!unread.empty()) std::memcpy(move.mail.data() + sizeof record, unread.data(), unread.size());
  counters_.moved_out.add();
  free_link(link);
  if (!post_move(move)) moves_.push_back(std::move(move));
}

bool Links::post_move(const PendingMove& move) {
  return mail_.post(move.target, shard::MailKind::link_move, move.mail);
}

// Never delivered: what it owns goes.
void Links::discard_move(const PendingMove& move) {
  const auto record = load_native<MoveRecord>(move.mail.data());
  shard_.sys().close(record.fd);
  if (record.unread_inline == 0) std::free(reinterpret_cast<void*>(record.unread_at));
  delete reinterpret_cast<Filter*>(record.filter_at);
}

void Links::adopt(Bytes mail) {
  const auto record = load_native<MoveRecord>(mail.data());
  RG_CHECK(record.version == MoveRecord::current_version);
  Bytes unread = mail.subspan(sizeof record);
  void* block = nullptr;
  if (record.unread_inline == 0) {
    block = reinterpret_cast<void*>(record.unread_at);
    unread = {static_cast<const std::uint8_t*>(block), record.unread_bytes};
  }
  Link* link = allocate();
  RG_CHECK(link != nullptr);  // links_max of all shards together stays below links_per_shard_max
  counters_.moved_in.add();
  link->fd = record.fd;
  link->listener = record.listener;
  link->protocol = record.protocol;
  link->idle_timeout_ms = record.idle_timeout_ms;
  link->peer = record.peer;
  link->received_bytes = record.received_bytes;
  link->last_receive_ns = shard_.now();
  std::memcpy(link->session_bytes, record.session_bytes, sizeof link->session_bytes);
  if (record.filter_at != 0) {
    add_filter(*link, std::unique_ptr<Filter>(reinterpret_cast<Filter*>(record.filter_at)));
  }
  link->state = LinkState::open;
  protocol_of(*link).on_adopted(*link);
  hold_replies(*link, 0);
  arm_timer(*link);
  if (unread.size() > limits::spill_slice_bytes) {
    stash(*link, unread);
    if (link->readable()) feed_spill(*link);
  } else if (!unread.empty()) {
    take_bytes(*link, unread);
  }
  std::free(block);
  if (draining_) {
    close(*link, CloseReason::draining);
  } else if (link->readable()) {
    want_receive(*link);
  }
}

}  // namespace ringgate::net
