// Links: replies, from the session's bytes to the socket.
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>

#include "engine/net/links.hpp"

namespace ringgate::net {

OutChunk* Links::add_chunk(Link& link, std::uint32_t room) {
  OutChunk* chunk = chunks_.take(room, link.out_tail == nullptr);
  if (link.out_tail == nullptr) {
    link.out_head = chunk;
  } else {
    link.out_tail->next = chunk;
  }
  link.out_tail = chunk;
  return chunk;
}

void Links::reply(Link& link, Bytes bytes) {
  // A datagram leaves from one chunk.
  const std::size_t piece_max = link.datagram ? OutChunkPool::large_capacity : 2048;
  while (!bytes.empty()) {
    const std::size_t piece = std::min<std::size_t>(bytes.size(), piece_max);
    const auto size_bytes = static_cast<std::uint32_t>(piece);
    std::memcpy(reply_room(link, size_bytes), bytes.data(), piece);
    reply_done(link, size_bytes);
    bytes = bytes.subspan(piece);
  }
}

void Links::written_since(const Link& link, std::uint32_t mark, std::vector<std::uint8_t>& out) {
  std::uint32_t at = link.out_sent;
  for (OutChunk* chunk = link.out_head; chunk != nullptr; chunk = chunk->next) {
    const std::uint32_t size = chunk->end - chunk->begin;
    const auto before = static_cast<std::int32_t>(mark - at);
    const std::uint32_t skip = before > 0 ? std::min(static_cast<std::uint32_t>(before), size) : 0;
    const std::uint8_t* const bytes = chunk->data() + chunk->begin;
    out.insert(out.end(), bytes + skip, bytes + size);
    at += size;
  }
}

void Links::hold_replies(Link& link, std::uint32_t credit) {
  if (link.out_end == link.out_queued && credit == 0) return;
  link.out_queued = link.out_end;
  if (link.last_position <= shard_.watermark().committed()) {
    if (link.out_released != link.out_end) release_replies(link, link.out_end);
    return;
  }
  held_.push({link.last_position, link.slot, link.generation, 0, link.out_end, credit});
  ++link.awaiting;
  link.uncommitted_bytes += credit;
}

void Links::release_replies(Link& link, std::uint32_t out_end) {
  link.out_released = out_end;
  queue_send(link);
}

void Links::queue_send(Link& link) {
  if (link.send_busy || link.queued_send) return;
  link.queued_send = true;
  send_list_.push_back(link.slot);
}

// What of the first chunk may leave.
std::uint32_t Links::sendable_bytes(const Link& link) const {
  return std::min(link.out_head->end - link.out_head->begin, link.out_released - link.out_sent);
}

void Links::start_send(Link& link) {
  if (link.state == LinkState::closing || link.state == LinkState::free) return;
  if (__builtin_expect(link.filtered, 0)) return start_filtered_send(link);
  const OutChunk* chunk = link.out_head;
  const std::uint32_t size_bytes = sendable_bytes(link);
  RG_CHECK(size_bytes > 0);
  submit_send(link, {link.out_head->data() + chunk->begin, size_bytes});
}

void Links::submit_send(Link& link, Bytes bytes) {
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  io_uring_prep_send(sqe, link.fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
  sqe->user_data = io::user_data(io::Tag::send, link.generation, link.slot);
  link.send_busy = true;
  operation_started(link);
}

// Reply bytes are on their way: their chunk is free when it was the last of it.
void Links::take_sent(Link& link, std::uint32_t size_bytes) {
  link.out_sent += size_bytes;
  OutChunk* chunk = link.out_head;
  chunk->begin += size_bytes;
  if (chunk->begin != chunk->end) return;
  link.out_head = chunk->next;
  if (link.out_head == nullptr) link.out_tail = nullptr;
  chunks_.give_back(chunk);
}

void Links::on_sent(Link& link, std::int32_t result) {
  operation_ended(link);
  link.send_busy = false;
  if (__builtin_expect(result <= 0, 0)) {
    if (link.state == LinkState::closing) return progress(link);
    if (result == -EINTR || result == -EAGAIN) return queue_send(link);
    // EPIPE, ECONNRESET, ETIMEDOUT, ...: nobody reads there any more.
    if (link.state == LinkState::open || link.state == LinkState::moving) {
      leave_open(link, CloseReason::send_failed, LinkState::flushing);
    }
    return finish(link);
  }
  const auto sent = static_cast<std::uint32_t>(result);
  counters_.sends.add();
  counters_.sent_bytes.add(sent);
  if (__builtin_expect(link.filtered, 0)) {
    filtered_sent(link, sent);
  } else {
    take_sent(link, sent);
  }
  if (link.state == LinkState::closing) return progress(link);
  if (has_to_send(link)) queue_send(link);
  if (__builtin_expect(link.pauses != 0 || link.wants_room, 0)) {
    link.last_receive_ns = shard_.now();
    if (link.out_end - link.out_sent <= limits::link_out_bytes_max / 2) {
      resume(link, Pause::out_full);
      if (link.wants_room && link.state == LinkState::open && !filter_pending(link)) {
        link.wants_room = false;
        protocol_of(link).on_writable(link);
      }
    }
  }
  if (link.state != LinkState::open) progress(link);
}

void Links::ask_room(Link& link) {
  if (link.wants_room || link.state != LinkState::open) return;
  RG_CHECK(replies_pending(link));  // else nobody would tell
  link.wants_room = true;
  link.last_receive_ns = shard_.now();
  arm_timer(link);
}

void Links::drop_replies(Link& link) {
  RG_CHECK(!link.send_busy || link.filtered || stopping_);  // a filter's bytes are its own
  while (link.out_head != nullptr) {
    OutChunk* chunk = link.out_head;
    link.out_head = chunk->next;
    counters_.reply_bytes_dropped.add(chunk->end - chunk->begin);
    chunks_.give_back(chunk);
  }
  link.out_tail = nullptr;
  link.out_released = link.out_sent = link.out_end;
}

}  // namespace ringgate::net
