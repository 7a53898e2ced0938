// Links: frames whose device is at home on another shard. The frame travels there by mail, is
// logged, and when it is durable its answer comes back; answers leave the link in frame order.
#include "engine/net/links.hpp"
#include "engine/net/order_queue.hpp"

namespace ringgate::net {

namespace {

struct FrameMail {
  LinkId origin;
  std::uint32_t ticket = 0;
  std::uint8_t protocol = 0;
  std::uint8_t unused[3] = {};
};
struct DoneMail {
  LinkId origin;
  std::uint32_t ticket = 0;
  std::uint32_t taken = 0;
};
static_assert(sizeof(FrameMail) == 16 && sizeof(DoneMail) == 16);

template <class Mail>
Bytes bytes_of(const Mail& mail) {
  return {reinterpret_cast<const std::uint8_t*>(&mail), sizeof mail};
}

}  // namespace

bool Links::forward(Link& link, ShardIndex home, std::uint32_t cookie, Bytes frame) {
  RG_CHECK(home != shard_.index());
  RG_CHECK(frame.size() + sizeof(FrameMail) <= limits::mail_bytes_max);
  take_order(link);
  if (!order_room(link)) return false;
  const std::uint32_t ticket =
      link.order->push({link.last_position, cookie, OrderedFrame::State::remote});
  const FrameMail mail{link.id(), ticket, link.protocol, {}};
  if (mail_.post(home, shard::MailKind::frame, bytes_of(mail), frame)) {
    counters_.forwarded.add();
    return true;
  }
  link.order->unpush();
  if (link.order->empty()) free_order(link);
  // Shows the frame again next turn; until then no more comes in.
  link.blocked = true;
  link.partial_since_ns = 0;
  cancel_receive(link);
  want_receive(link);
  return false;
}

void Links::defer(Link& link, std::uint32_t cookie, Position position) {
  take_order(link);
  const auto state = position == 0 ? OrderedFrame::State::refused : OrderedFrame::State::local;
  if (position != 0) logged(link, position);
  link.order->push({link.last_position, cookie, state});
}

bool Links::order_room(Link& link) {
  if (link.order == nullptr || !link.order->full()) return true;
  counters_.paused.add(PauseCount::credit);
  pause(link, Pause::credit);  // until pump_order has made room
  return false;
}

void Links::take_order(Link& link) {
  if (link.order != nullptr) return;
  if (free_orders_.empty()) {
    free_orders_.push_back(std::make_unique<OrderQueue>());
    budget_.charge(OrderQueue::memory_bytes);
  }
  link.order = free_orders_.back().release();
  free_orders_.pop_back();
}

// Queues are kept by the shard: a busy link would otherwise allocate one per burst.
void Links::free_order(Link& link) {
  if (link.order == nullptr) return;
  link.order->clear();
  free_orders_.emplace_back(link.order);
  link.order = nullptr;
  if (budget_.level() >= flow::MemoryLevel::trim) drop_free_orders();
}

void Links::drop_free_orders() {
  budget_.release(free_orders_.size() * OrderQueue::memory_bytes);
  free_orders_.clear();
}

void Links::pump_order(Link& link) {
  OrderQueue& order = *link.order;
  const Position committed = shard_.watermark().committed();
  bool answered = false;
  while (!order.empty()) {
    const OrderedFrame frame = order.front();
    if (frame.state == OrderedFrame::State::remote || frame.position > committed) break;
    order.pop();
    answered = true;
    if (link.state <= LinkState::flushing) {
      protocol_of(link).on_ordered(link, frame.cookie, frame.state != OrderedFrame::State::refused);
    }
  }
  if (answered) {
    // All that was written before waited for no position above the last frame's.
    link.out_queued = link.out_end;
    if (link.out_released != link.out_end) release_replies(link, link.out_end);
  }
  if (!order.full() && link.uncommitted_bytes <= credit_bytes() / 2) resume(link, Pause::credit);
  if (order.empty()) free_order(link);
}

void Links::on_forwarded_frame(Bytes mail) {
  const auto header = load_native<FrameMail>(mail.data());
  const Position position =
      protocols_[header.protocol]->on_forwarded(header.origin, mail.subspan(sizeof header));
  const ForwardedFrame frame{position, header.origin, header.ticket, position != 0};
  if (position == 0) {
    if (!answer(frame)) unanswered_.push_back(frame);
    return;
  }
  forwarded_.push_back(frame);
  const Position committed = shard_.watermark().committed();
  if (position <= committed) answer_forwarded(committed);  // no commit will come for it
}

void Links::answer_forwarded(Position committed) {
  while (forwarded_done_ < forwarded_.size() && forwarded_[forwarded_done_].position <= committed) {
    const ForwardedFrame& frame = forwarded_[forwarded_done_++];
    if (!unanswered_.empty() || !answer(frame)) unanswered_.push_back(frame);
  }
  if (forwarded_done_ == forwarded_.size()) {
    forwarded_.clear();
    forwarded_done_ = 0;
  } else if (forwarded_done_ > 4096) {
    forwarded_.erase(forwarded_.begin(),
                     forwarded_.begin() + static_cast<std::ptrdiff_t>(forwarded_done_));
    forwarded_done_ = 0;
  }
}

bool Links::answer(const ForwardedFrame& frame) {
  const DoneMail mail{frame.origin, frame.ticket, frame.taken ? 1U : 0U};
  return mail_.post(frame.origin.shard, shard::MailKind::frame_done, bytes_of(mail));
}

void Links::retry_answers() {
  std::size_t kept = 0;
  for (const ForwardedFrame& frame : unanswered_) {
    if (!answer(frame)) unanswered_[kept++] = frame;
  }
  unanswered_.resize(kept);
}

void Links::on_frame_done(Bytes mail) {
  const auto done = load_native<DoneMail>(mail.data());
  Link* link = find(done.origin);
  if (link == nullptr || link->order == nullptr) return;  // ended meanwhile; the frame is stored
  OrderedFrame* frame = link->order->find(done.ticket);
  if (frame == nullptr) return;
  frame->state = done.taken != 0 ? OrderedFrame::State::taken : OrderedFrame::State::refused;
  pump_order(*link);
  if (link->state != LinkState::open) progress(*link);
}

}  // namespace ringgate::net
