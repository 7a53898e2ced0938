// Links: the bytes of links that have a filter.
#include <sys/socket.h>

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
    state_.next.insert(state_.next.end(), bytes.begin(), bytes.end());
    links_.queue_send(link_);
  }

 private:
  Links& links_;
  Link& link_;
  FilterState& state_;
};

void Links::add_filter(Link& link, std::unique_ptr<Filter> filter) {
  if (filters_.size() <= link.slot) filters_.resize(slots_.size() * links_per_chunk);
  filters_[link.slot] = std::make_unique<FilterState>();
  filters_[link.slot]->filter = std::move(filter);
  link.filtered = true;
}

void Links::filter_received(Link& link, Bytes bytes) {
  FilterState& state = *filters_[link.slot];
  LinkSink sink(*this, link, state);
  if (!state.filter->received(bytes, sink)) close(link, CloseReason::filter_broken);
}

// Turns the replies that may leave into wire bytes and sends what there is.
void Links::start_filtered_send(Link& link) {
  FilterState& state = *filters_[link.slot];
  LinkSink sink(*this, link, state);
  link.send_busy = true;  // what the filter makes here leaves with this send: nothing is queued
  while (link.out_sent != link.out_released) {
    OutChunk* chunk = link.out_head;
    const std::uint32_t size_bytes = sendable_bytes(link);
    const Bytes plain{chunk->data() + chunk->begin, size_bytes};
    const bool ok = state.filter->sending(plain, sink);
    take_sent(link, size_bytes);
    if (!ok) close(link, CloseReason::filter_broken);
  }
  if (state.sent == state.sending.size()) {
    state.sending.swap(state.next);
    state.next.clear();
    state.sent = 0;
  }
  link.send_busy = false;
  if (state.sending.empty()) return;
  submit_send(link, {state.sending.data() + state.sent, state.sending.size() - state.sent});
}

void Links::filtered_sent(Link& link, std::uint32_t size_bytes) {
  FilterState& state = *filters_[link.slot];
  state.sent += size_bytes;
  if (state.sent != state.sending.size()) return;
  state.sending.clear();
  state.sent = 0;
}

bool Links::filter_pending(const Link& link) const {
  return link.filtered && filters_[link.slot]->pending();
}

}  // namespace ringgate::net
