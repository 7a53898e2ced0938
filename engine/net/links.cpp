#include "engine/net/links.hpp"

#include <algorithm>

#include "engine/net/order_queue.hpp"

namespace ringgate::net {

std::string_view name_of(CloseReason reason) {
  return close_reason_names[static_cast<std::size_t>(reason)];
}

Result<std::unique_ptr<Links>> Links::create(shard::Shard& shard, shard::MailRoom& mail,
                                             observe::CounterGroup& counters,
                                             const LinksOptions& options) {
  const bool bundles = shard.ring().has(io::Feature::recv_bundle);
  auto buffers = io::BufferRing::open(
      shard.ring(), 0,
      bundles ? limits::recv_buffer_count_bundle : limits::recv_buffer_count_single,
      bundles ? limits::recv_buffer_bytes_bundle : limits::recv_buffer_bytes_single);
  if (!buffers) return buffers.error();
  std::unique_ptr<Links> links(new Links(shard, mail, counters, options, std::move(*buffers)));
  if (options.datagrams) {
    auto datagrams = Datagrams::create(*links, shard, mail, counters);
    if (!datagrams) return datagrams.error();
    links->datagrams_ = std::move(*datagrams);
  }
  return links;
}

Links::Links(shard::Shard& shard, shard::MailRoom& mail, observe::CounterGroup& counters,
             const LinksOptions& options, std::unique_ptr<io::BufferRing> buffers)
    : shard_(shard), mail_(mail), options_(options), budget_(options.memory_limit_bytes),
      chunks_(budget_), group_(counters), counters_(counters), buffers_(std::move(buffers)),
      accept_timer_(*this) {
  RG_CHECK(options_.links_max <= limits::links_per_shard_max);
  for (const io::Tag tag :
       {io::Tag::accept, io::Tag::accept_cancel, io::Tag::recv, io::Tag::recv_cancel, io::Tag::send,
        io::Tag::shutdown, io::Tag::close}) {
    shard_.handle(tag, *this);
  }
  shard_.add_hook(*this);
  shard_.set_link_timer_handler(*this);
  shard_.watermark().listen(*this);
  mail_.handle(shard::MailKind::link_move, *this);
  mail_.handle(shard::MailKind::frame, *this);
  mail_.handle(shard::MailKind::frame_done, *this);
}

Links::~Links() {
  stopping_ = true;
  shard_.cancel(accept_timer_);
  for (const PendingMove& move : moves_) discard_move(move);
  for (const auto& chunk : slots_) {
    for (std::uint32_t i = 0; i < links_per_chunk; ++i) {
      Link& link = chunk[i];
      if (link.state == LinkState::free) continue;
      shard_.timers().cancel(link);
      drop_replies(link);
      free_spill(link);
      free_order(link);
      if (!link.datagram) shard_.sys().close(link.fd);
    }
  }
  for (const Listener& listener : listeners_) {
    if (listener.options.fd >= 0) shard_.sys().close(listener.options.fd);
  }
}

std::uint8_t Links::add_protocol(Protocol& protocol) {
  RG_CHECK(protocols_.size() < 255);
  protocols_.push_back(&protocol);
  return static_cast<std::uint8_t>(protocols_.size() - 1);
}

void Links::add_listener(const ListenerOptions& options) {
  RG_CHECK(options.protocol < protocols_.size());
  listeners_.push_back(Listener{options});
  if (options.filter != nullptr && filter_counters_ == nullptr) {
    filter_counters_ = std::make_unique<FilterCounters>(group_);
  }
  if (options.datagram_fd < 0) return;
  RG_CHECK(datagrams_ != nullptr);
  datagrams_->add_socket(static_cast<std::uint32_t>(listeners_.size() - 1), options.datagram_fd);
}

void Links::set_timeouts(const Protocol& protocol, std::uint32_t idle_timeout_ms,
                         std::uint32_t frame_timeout_ms) {
  for (Listener& listener : listeners_) {
    if (protocols_[listener.options.protocol] != &protocol) continue;
    listener.options.idle_timeout_ms = idle_timeout_ms;
    listener.options.frame_timeout_ms = frame_timeout_ms;
  }
}

void Links::set_rules(const Protocol& protocol, std::shared_ptr<const AccessRules> rules) {
  for (Listener& listener : listeners_) {
    if (protocols_[listener.options.protocol] == &protocol) listener.options.rules = rules;
  }
}

Link* Links::allocate() {
  if (free_slots_.empty()) {
    const auto first = static_cast<std::uint32_t>(slots_.size() * links_per_chunk);
    if (first >= limits::links_per_shard_max) return nullptr;
    slots_.push_back(std::make_unique<Link[]>(links_per_chunk));
    budget_.charge(sizeof(Link) * links_per_chunk);
    for (std::uint32_t i = links_per_chunk; i-- > 0;) {
      Link& link = slots_.back()[i];
      link.slot = first + i;
      link.generation = 1;
      free_slots_.push_back(first + i);
    }
  }
  Link& link = at(free_slots_.back());
  free_slots_.pop_back();
  const std::uint32_t slot = link.slot;
  const std::uint16_t generation = link.generation;
  link = Link{};
  link.slot = slot;
  link.generation = generation;
  link.shard = shard_.index();
  ++live_;
  return &link;
}

void Links::free_link(Link& link) {
  RG_CHECK(link.outstanding == 0 && link.out_head == nullptr);
  shard_.timers().cancel(link);
  free_spill(link);
  free_order(link);
  if (link.filtered) static_cast<void>(remove_filter(link));
  end_shaking(link);
  link.state = LinkState::free;
  link.fd = -1;
  ++link.generation;
  if (link.generation == 0) link.generation = 1;
  // A list of this turn may still name the slot; flags travel with the generation's end.
  link.queued_send = link.wants_recv = false;
  free_slots_.push_back(link.slot);
  --live_;
}

void Links::on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) {
  const io::Tag tag = io::tag_of(user_data);
  if (__builtin_expect(tag == io::Tag::recv, 1)) return on_receive(user_data, result, flags);
  const std::uint32_t slot = io::slot_of(user_data);
  if (tag == io::Tag::accept) return on_accept(slot, result, flags);
  if (tag == io::Tag::accept_cancel) {
    --accept_operations_;
    return;
  }
  Link& link = at(slot);
  RG_CHECK(link.generation == io::generation_of(user_data));
  if (tag == io::Tag::send) return on_sent(link, result);
  operation_ended(link);
  if (tag == io::Tag::close) return free_link(link);
  if (tag == io::Tag::recv_cancel) link.recv_cancelled = false;
  // A cancel that found nothing (-ENOENT, -EALREADY) was overtaken by its target's completion, and
  // a shutdown that failed met a dead peer: the receive says so itself.
  if (link.readable() && !link.recv_armed) want_receive(link);
  progress(link);
}

void Links::on_mail(shard::MailKind kind, std::uint32_t, Bytes bytes) {
  if (kind == shard::MailKind::link_move) return adopt(bytes);
  if (kind == shard::MailKind::frame) return on_forwarded_frame(bytes);
  RG_CHECK(kind == shard::MailKind::frame_done);
  on_frame_done(bytes);
}

void Links::on_commit(Position committed) {
  while (!held_.empty() && held_.front().position <= committed) {
    const HeldReply entry = held_.front();
    held_.pop();
    Link& link = at(entry.slot);
    if (link.generation != entry.generation) continue;
    --link.awaiting;
    link.uncommitted_bytes -= entry.credit_bytes;
    if (static_cast<std::int32_t>(entry.out_end - link.out_released) > 0) {
      release_replies(link, entry.out_end);
    }
    if (__builtin_expect(link.order != nullptr, 0)) pump_order(link);
    if (link.uncommitted_bytes <= credit_bytes() / 2 &&
        (link.order == nullptr || !link.order->full())) {
      resume(link, Pause::credit);
    }
    if (link.state != LinkState::open) progress(link);
  }
  answer_forwarded(committed);
  wake_log_waiters();
}

void Links::on_log_state(flow::LogState state) {
  if (state != flow::LogState::holding) wake_log_waiters();
}

void Links::hold(Link& link) {
  if ((link.pauses & static_cast<std::uint8_t>(Pause::session)) != 0) return;
  counters_.paused.add(PauseCount::session);
  pause(link, Pause::session);
}

void Links::wait_for_log(Link& link) {
  if ((link.pauses & static_cast<std::uint8_t>(Pause::log_hold)) != 0) return;
  counters_.paused.add(PauseCount::log);
  pause(link, Pause::log_hold);
  log_waiters_.push_back(link.id());
}

void Links::wake_log_waiters() {
  if (__builtin_expect(log_waiters_.empty(), 1)) return;
  if (shard_.watermark().state() == flow::LogState::holding) return;
  for (const LinkId id : log_waiters_) {
    Link* link = find(id);
    if (link != nullptr) resume(*link, Pause::log_hold);
  }
  log_waiters_.clear();
}

void Links::update_memory_level() {
  const flow::MemoryLevel before = budget_.level();
  const flow::MemoryLevel level = budget_.update();
  if (__builtin_expect(level == before, 1)) return;
  counters_.memory_level.set(static_cast<std::int64_t>(level));
  chunks_.set_keep(level >= flow::MemoryLevel::trim ? 0 : limits::out_chunks_kept);
  if (level >= flow::MemoryLevel::trim) drop_free_orders();
  if ((level >= flow::MemoryLevel::pause) != (before >= flow::MemoryLevel::pause)) {
    if (level >= flow::MemoryLevel::pause) stop_accepting();
    start_sweep();
  }
}

std::uint64_t Links::idle_memory_bytes() const {
  return slots_.size() * links_per_chunk * sizeof(Link) + chunks_.kept_bytes() +
         free_orders_.size() * OrderQueue::memory_bytes +
         (datagrams_ == nullptr ? 0 : datagrams_->memory_bytes());
}

void Links::start_sweep() {
  sweeping_ = true;
  sweep_ = 0;
}

// Looks at a bounded number of links a turn: ends them while draining, else applies the memory
// level.
void Links::sweep() {
  const auto end = static_cast<std::uint32_t>(slots_.size() * links_per_chunk);
  const std::uint32_t stop = std::min(end, sweep_ + limits::completions_per_turn);
  for (; sweep_ < stop; ++sweep_) {
    Link& link = at(sweep_);
    if (link.state != LinkState::open && (link.state != LinkState::moving || !draining_)) continue;
    if (draining_) {
      close(link, CloseReason::draining);
    } else if (budget_.level() < flow::MemoryLevel::pause) {
      resume(link, Pause::memory);
    } else if (link.spill != nullptr) {
      pause_for_memory(link);
    }
  }
  if (sweep_ >= end) sweeping_ = false;
}

void Links::before_wait() {
  update_memory_level();
  if (__builtin_expect(sweeping_, 0)) sweep();
  if (__builtin_expect(stopping_, 0)) stop_all();
  if (__builtin_expect(shaking_ >= options_.handshakes_max, 0)) give_up_stalled();
  for (std::uint32_t i = 0; i < listeners_.size(); ++i) {
    if (!listeners_[i].armed && may_accept() && may_shake_hands(listeners_[i])) arm_accept(i);
  }
  receive_again();
  for (std::size_t i = 0; i < moves_.size();) {
    if (post_move(moves_[i])) {
      moves_[i] = std::move(moves_.back());
      moves_.pop_back();
    } else {
      ++i;
    }
  }
  if (!unanswered_.empty()) retry_answers();
  for (const std::uint32_t slot : send_list_) {
    Link& link = at(slot);
    if (!link.queued_send) continue;
    link.queued_send = false;
    if (link.send_busy || !has_to_send(link)) continue;
    if (__builtin_expect(link.datagram, 0)) {
      datagrams_->start_send(link);
    } else {
      start_send(link);
    }
  }
  send_list_.clear();
  buffers_->publish();
  counters_.live.set(live_);
  counters_.memory_bytes.set(static_cast<std::int64_t>(budget_.used_bytes()));
}

bool Links::has_work() const {
  return !recv_list_.empty() || !send_list_.empty() || sweeping_ || !moves_.empty() ||
         !unanswered_.empty();
}

void Links::start_drain() {
  draining_ = true;
  stop_accepting();
  start_sweep();
}

void Links::start_stop() {
  draining_ = stopping_ = true;
  stop_accepting();
}

// Ends every link without waiting for anything but the kernel.
void Links::stop_all() {
  for (std::uint32_t slot = 0; slot < slots_.size() * links_per_chunk; ++slot) {
    Link& link = at(slot);
    if (link.state == LinkState::free || link.state == LinkState::closing) continue;
    if (link.state == LinkState::open || link.state == LinkState::moving) {
      leave_open(link, CloseReason::draining, LinkState::flushing);
    }
    finish(link);
  }
}

bool Links::stopped() const { return live_ == 0 && accept_operations_ == 0; }

}  // namespace ringgate::net
