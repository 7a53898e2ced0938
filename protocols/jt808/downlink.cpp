#include "protocols/jt808/downlink.hpp"

#include <algorithm>

namespace ringgate::jt808 {

namespace {

constexpr observe::MetricSpec down_parts{
    .name = "ringgate_jt808_down_parts_total",
    .help = "Parts of long messages sent to terminals, repetitions not counted."};
constexpr observe::MetricSpec down_parts_resent{
    .name = "ringgate_jt808_down_parts_resent_total",
    .help = "Parts that were sent again because the terminal asked or did not answer."};

// Serials come round and begin anew with every link, so the latest message is meant.
template <class List>
auto* latest(List& kept, const DeviceKey& device, std::uint16_t first_serial) {
  const auto at = std::find_if(kept.rbegin(), kept.rend(), [&](const auto& one) {
    return one.sent.first_serial == first_serial && one.device == device;
  });
  return at == kept.rend() ? nullptr : &*at;
}

}  // namespace

Downlink::Downlink(net::Links& links, log::Writer& log, observe::CounterGroup& counters)
    : links_(links), log_(log), parts_(counters.counter(down_parts)),
      resent_(counters.counter(down_parts_resent)) {}

Downlink::~Downlink() {
  links_.shard().cancel(timer_);
  for (auto at = kept_.begin(); at != kept_.end();) at = drop(at);
}

Sent Downlink::write(net::Link& link, TerminalState& state, const DeviceKey& device,
                     std::uint16_t message_id, const SharedBody& body) {
  if (link.state != net::LinkState::open || body->size() > downlink_body_max) return {};
  const Sent sent{state.next_serial, static_cast<std::uint16_t>(parts_of(body->size()))};
  if (sent.parts == 1) {
    write_frame_of(link, state.peer, device, message_id, sent.first_serial, *body);
  } else {
    Kept* kept = keep(link, state.peer, device, message_id, body, sent);
    if (kept == nullptr) return {};
    pump(*kept);
  }
  state.next_serial = static_cast<std::uint16_t>(state.next_serial + sent.parts);
  links_.push(link);
  return sent;
}

bool Downlink::write_again(net::Link& link, TerminalState& state, const DeviceKey& device,
                           std::uint16_t message_id, const SharedBody& body, Sent sent) {
  if (link.state != net::LinkState::open || sent.parts != parts_of(body->size())) return false;
  if (sent.parts == 1) {
    write_frame_of(link, state.peer, device, message_id, sent.first_serial, *body);
    links_.push(link);
    return true;
  }
  Kept* kept = latest(kept_, device, sent.first_serial);
  if (kept == nullptr || kept->message_id != message_id) {
    kept = keep(link, state.peer, device, message_id, body, sent);
    if (kept == nullptr) return false;
    kept->logged = sent.parts;
  } else if (kept->next == sent.parts) {
    kept->next = 0;
    kept->again.clear();
    kept->asked.clear();
  }
  kept->link = link.id();
  kept->peer = state.peer;
  pump(*kept);
  links_.push(link);
  return true;
}

bool Downlink::in_progress(const DeviceKey& device, Sent sent) const {
  const Kept* kept = latest(kept_, device, sent.first_serial);
  return kept != nullptr && !kept->idle();
}

// 0: WORD serial of the first part | 2: WORD count | 4: WORD numbers. The count is a BYTE in the
// message of 2013 that this one mirrors (0x8003); whichever fits the size is meant.
bool Downlink::on_resend_request(net::Link& link, const DeviceKey& device, Bytes body) {
  if (body.size() < 3) return false;
  std::size_t at = 0;
  if (body.size() >= 4 && body.size() == 4 + 2 * std::size_t{load_be16(&body[2])}) at = 4;
  if (at == 0 && body.size() == 3 + 2 * std::size_t{body[2]}) at = 3;
  if (at == 0) return false;
  Kept* kept = latest(kept_, device, load_be16(body.data()));
  if (kept == nullptr) return false;
  if (kept->asked.empty()) kept->asked.resize(kept->sent.parts + 1U);
  for (; at < body.size(); at += 2) {
    const std::uint16_t number = load_be16(&body[at]);
    if (number == 0 || number > kept->sent.parts) return false;
    // One that was never written comes anyway.
    if (number > kept->next) continue;
    if (kept->resent >= downlink_resends_per_part * kept->sent.parts) break;
    if (kept->asked[number]) continue;
    kept->asked[number] = true;
    ++kept->resent;
    kept->again.push_back(number);
  }
  kept->link = link.id();  // the terminal may have come back on another
  kept->expires_ns = links_.shard().now() + downlink_keep;
  pump(*kept);
  links_.push(link);
  return true;
}

void Downlink::write_frame_of(net::Link& link, const Peer& peer, const DeviceKey& device,
                              std::uint16_t message_id, std::uint16_t serial, Bytes body) {
  FrameWriter frame(peer, message_id, serial);
  frame.bytes(body);
  finish(link, device, frame);
}

void Downlink::finish(net::Link& link, const DeviceKey& device, FrameWriter& frame) {
  if (tracer_ != nullptr && tracer_->watching()) tracer_->sent(link, device, frame.unescaped());
  std::uint8_t* room = links_.reply_room(link, wire_size_max);
  links_.reply_done(link, static_cast<std::uint32_t>(frame.finish({room, wire_size_max})));
}

// False: the log takes nothing now.
bool Downlink::write_part(net::Link& link, Kept& kept, std::uint32_t part) {
  const std::size_t begin = std::size_t{part} * body_size_max;
  const Bytes body = Bytes(*kept.body).subspan(
      begin, std::min(body_size_max, kept.body->size() - begin));
  const auto serial = static_cast<std::uint16_t>(kept.sent.first_serial + part);
  FrameWriter frame(kept.peer, kept.message_id, serial, kept.sent.parts,
                    static_cast<std::uint16_t>(part + 1));
  frame.bytes(body);
  if (part >= kept.logged) {
    const log::RecordInfo info{.kind = log::Kind::frame_down,
                               .ns = kept.device.ns,
                               .message = kept.message_id,
                               .serial = serial,
                               .link = link.id().packed(),
                               .device = kept.device.id()};
    const Position position = log_.append(info, frame.unescaped());
    if (position == 0) return false;
    links_.logged(link, position);
    kept.logged = part + 1;
    parts_.add();
  } else {
    resent_.add();
  }
  finish(link, kept.device, frame);
  return true;
}

// As much as the terminal's window takes; the timer goes on with the rest.
void Downlink::pump(Kept& kept) {
  net::Link* link = links_.find(kept.link);
  if (link == nullptr || link->state != net::LinkState::open) {
    // What was not written stays unwritten; what was can still be asked for on the next link.
    kept.again.clear();
    kept.asked.clear();
    kept.next = kept.sent.parts;
    return;
  }
  std::size_t asked = 0;
  while (!kept.idle() && links_.unsent_bytes(*link) < downlink_window_bytes) {
    const bool more = asked < kept.again.size();
    if (!more && kept.next == kept.sent.parts) break;
    const std::uint32_t part = more ? kept.again[asked] - 1U : kept.next;
    if (!write_part(*link, kept, part)) break;
    if (more) {
      kept.asked[kept.again[asked++]] = false;
    } else {
      ++kept.next;
    }
  }
  kept.again.erase(kept.again.begin(), kept.again.begin() + static_cast<std::ptrdiff_t>(asked));
  kept.expires_ns = links_.shard().now() + downlink_keep;
  links_.push(*link);
  arm();
}

void Downlink::on_timer() {
  const MonoNs now = links_.shard().now();
  for (auto at = kept_.begin(); at != kept_.end();) {
    if (!at->idle()) pump(*at);
    at = at->idle() && at->expires_ns <= now ? drop(at) : std::next(at);
  }
  arm();
}

void Downlink::arm() {
  if (kept_.empty()) return links_.shard().cancel(timer_);
  const bool busy = std::any_of(kept_.begin(), kept_.end(),
                                [](const Kept& kept) { return !kept.idle(); });
  links_.shard().arm(timer_, busy ? downlink_pump_every : ns_per_s);
}

Downlink::Kept* Downlink::keep(net::Link& link, const Peer& peer, const DeviceKey& device,
                               std::uint16_t message_id, const SharedBody& body, Sent sent) {
  if (!make_room(body->size())) return nullptr;
  bytes_ += body->size();
  links_.budget().charge(body->size());
  Kept& kept = kept_.emplace_back();
  kept.device = device;
  kept.link = link.id();
  kept.peer = peer;
  kept.message_id = message_id;
  kept.sent = sent;
  kept.body = body;
  return &kept;
}

Downlink::List::iterator Downlink::drop(List::iterator at) {
  bytes_ -= at->body->size();
  links_.budget().release(at->body->size());
  return kept_.erase(at);
}

// Forgets the oldest messages that were written; those that are being written stay.
bool Downlink::make_room(std::size_t bytes) {
  const auto full = [&] {
    return bytes_ + bytes > downlink_bytes_max || kept_.size() >= downlink_messages_max;
  };
  for (auto at = kept_.begin(); full() && at != kept_.end();) {
    at = at->idle() ? drop(at) : std::next(at);
  }
  return !full();
}

}  // namespace ringgate::jt808
