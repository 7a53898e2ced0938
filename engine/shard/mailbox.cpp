#include "engine/shard/mailbox.hpp"

#include <sys/eventfd.h>
#include <unistd.h>

namespace ringgate::shard {

bool MailColumn::push(MailKind kind, Bytes first, Bytes second, std::uint32_t keep_bytes) {
  const auto size_bytes = static_cast<std::uint32_t>(first.size() + second.size());
  RG_CHECK(size_bytes <= limits::mail_bytes_max);
  std::uint32_t tail = tail_.load(std::memory_order_relaxed);
  const std::uint32_t span = span_of(size_bytes);
  // A mail never wraps: what is left of the column before its end may have to be skipped.
  const std::uint32_t to_end = limits::mail_column_bytes - (tail & mask);
  const std::uint32_t filler = to_end < span ? to_end : 0;
  const std::uint32_t wanted = span + filler + keep_bytes;
  if (limits::mail_column_bytes - (tail - head_seen_) < wanted) {
    head_seen_ = head_.load(std::memory_order_acquire);
    if (limits::mail_column_bytes - (tail - head_seen_) < wanted) return false;
  }
  if (filler > 0) {
    store_native(&data_[tail & mask],
                 Header{filler - static_cast<std::uint32_t>(sizeof(Header)), skip, 0});
    tail += filler;
  }
  std::uint8_t* at = &data_[tail & mask];
  store_native(at, Header{size_bytes, static_cast<std::uint16_t>(kind), 0});
  at += sizeof(Header);
  if (!first.empty()) std::memcpy(at, first.data(), first.size());
  if (!second.empty()) std::memcpy(at + first.size(), second.data(), second.size());
  tail_.store(tail + span, std::memory_order_release);
  return true;
}

MailHub::MailHub(ShardIndex shards, std::uint32_t control_producers)
    : shards_(shards), producers_(shards + control_producers) {
  RG_CHECK(shards > 0 && shards <= limits::shards_max);
  for (ShardIndex to = 0; to < shards; ++to) {
    auto receiver = std::make_unique<Receiver>();
    for (std::uint32_t from = 0; from < producers_; ++from) {
      receiver->columns.push_back(std::make_unique<MailColumn>());
    }
    receiver->event_fd = ::eventfd(0, EFD_CLOEXEC);
    RG_CHECK(receiver->event_fd >= 0);
    receivers_.push_back(std::move(receiver));
  }
}

MailHub::~MailHub() {
  for (const auto& receiver : receivers_) ::close(receiver->event_fd);
}

bool MailHub::post_from_control(std::uint32_t producer, ShardIndex to, MailKind kind, Bytes bytes) {
  RG_CHECK(producer >= shards_ && producer < producers_);
  Receiver& receiver = *receivers_[to];
  if (!receiver.columns[producer]->push(kind, bytes, {})) return false;
  if (receiver.sleep.claim_wake()) {
    const std::uint64_t one = 1;
    // Cannot fail: the counter is far from its limit and the fd lives as long as the hub.
    RG_CHECK(::write(receiver.event_fd, &one, sizeof one) == sizeof one);
  }
  return true;
}

MailRoom::MailRoom(Shard& shard, MailHub& hub)
    : shard_(shard), hub_(hub), self_(*hub.receivers_[shard.index()]), wrote_to_(hub.shards(), 0) {
  self_.ring_fd.store(shard.ring().fd(), std::memory_order_release);
  shard_.handle(io::Tag::mailbox, *this);
  shard_.add_hook(*this);
  arm_event_read();
}

bool MailRoom::post(ShardIndex to, MailKind kind, Bytes first, Bytes second,
                    std::uint32_t keep_bytes) {
  MailColumn& column = *hub_.receivers_[to]->columns[shard_.index()];
  if (!column.push(kind, first, second, keep_bytes)) return false;
  wrote_to_[to] = 1;
  owes_wakes_ = true;
  return true;
}

void MailRoom::before_wait() {
  self_.sleep.clear();
  for (std::uint32_t from = 0; from < self_.columns.size(); ++from) {
    self_.columns[from]->drain(limits::mails_per_turn, [&](MailKind kind, Bytes bytes) {
      if (kind == MailKind::wake) return;
      MailHandler* handler = handlers_[static_cast<std::size_t>(kind)];
      RG_CHECK(handler != nullptr);
      handler->on_mail(kind, from, bytes);
    });
  }
  if (stopping_ && read_armed_) {
    io_uring_sqe* sqe = shard_.ring().next_sqe();
    io_uring_prep_cancel64(sqe, io::user_data(io::Tag::mailbox, 0, 1), 0);
    sqe->user_data = io::user_data(io::Tag::none, 0, 0);
  }
}

void MailRoom::before_enter() {
  if (owes_wakes_) {
    for (ShardIndex to = 0; to < hub_.shards(); ++to) {
      if (wrote_to_[to] != 0) wake(to);
    }
    owes_wakes_ = false;
  }
  self_.sleep.announce();
}

bool MailRoom::has_work() const {
  if (owes_wakes_) return true;  // posted after before_enter
  for (const auto& column : self_.columns) {
    if (!column->empty()) return true;
  }
  return false;
}

void MailRoom::wake(ShardIndex to) {
  wrote_to_[to] = 0;
  MailHub::Receiver& receiver = *hub_.receivers_[to];
  if (!receiver.sleep.claim_wake()) return;
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  const int ring_fd = receiver.ring_fd.load(std::memory_order_acquire);
  if (shard_.ring().has(io::Feature::msg_ring) && ring_fd >= 0) {
    io_uring_prep_msg_ring(sqe, ring_fd, 0, io::user_data(io::Tag::mailbox, 0, 2), 0);
  } else {
    io_uring_prep_write(sqe, receiver.event_fd, &event_one_, sizeof event_one_, 0);
  }
  sqe->user_data = io::user_data(io::Tag::none, 0, 0);
}

void MailRoom::arm_event_read() {
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  io_uring_prep_read(sqe, self_.event_fd, &event_value_, sizeof event_value_, 0);
  sqe->user_data = io::user_data(io::Tag::mailbox, 0, 1);
  read_armed_ = true;
}

void MailRoom::on_completion(std::uint64_t user_data, std::int32_t, std::uint32_t) {
  if (io::slot_of(user_data) != 1) return;  // MSG_RING: being awake is all it was for
  read_armed_ = false;
  if (!stopping_) arm_event_read();
}

}  // namespace ringgate::shard
