#include "protocols/api/stream_room.hpp"

#include <arpa/inet.h>
#include <fmt/format.h>

#include "protocols/api/stream_limits.hpp"
#include "protocols/http/codec/target.hpp"

namespace ringgate::api {

namespace {

constexpr std::string_view devices_path = "/api/v1/devices/";
constexpr std::string_view trace_path = "/trace";
constexpr std::string_view event_fields = "Cache-Control: no-store\r\nX-Accel-Buffering: no\r\n";

// The device of ".../devices/{id}/trace", not decoded; empty: another path.
std::string_view traced(std::string_view path) {
  if (!path.starts_with(devices_path) || !path.ends_with(trace_path)) return {};
  if (path.size() <= devices_path.size() + trace_path.size()) return {};
  path.remove_prefix(devices_path.size());
  path.remove_suffix(trace_path.size());
  return path.find('/') == std::string_view::npos ? path : std::string_view();
}

std::string address_text(const net::PeerAddress& peer) {
  char text[INET6_ADDRSTRLEN] = "";
  if (peer.family == 0) return {};
  inet_ntop(peer.family, peer.ip, text, sizeof text);
  if (peer.family == AF_INET6) return fmt::format("[{}]:{}", text, peer.port);
  return fmt::format("{}:{}", text, peer.port);
}

}  // namespace

StreamRoom::StreamRoom(net::Links& links, http::Session& http, websocket::Session& sockets,
                       Feed& feed)
    : links_(links), http_(http), sockets_(sockets), feed_(feed) {
  feed_.attach(links_.shard().index(), this);
  links_.shard().watermark().listen(*this);
}

StreamRoom::~StreamRoom() {
  links_.shard().cancel(timer_);
  links_.budget().release(charged_bytes_);
  feed_.attach(links_.shard().index(), nullptr);
}

// Coming ----------------------------------------------------------------------------------------

bool StreamRoom::take(const http::Request& request, AccessCheck& access) {
  if (request.head.method != http::Method::get) return false;
  const std::string_view path = request.head.path;
  const bool socket = path == "/api/v1/stream";
  const bool events = path == "/api/v1/events";
  const std::string_view device = traced(path);
  if (!socket && !events && device.empty()) return false;
  access_ = &access.access();
  auto who = let_in(request, access);
  if (!who) return true;
  if (socket) {
    take_socket(request, std::move(*who));
  } else if (events) {
    take_events(request, std::move(*who));
  } else {
    take_trace(request, device, std::move(*who));
  }
  return true;
}

// Takes a place for it; else the request is answered.
std::optional<Principal> StreamRoom::let_in(const http::Request& request, AccessCheck& access) {
  Verdict verdict = access.check(request, Scope::read);
  if (!verdict.allowed()) {
    http_.problem(request.id, verdict.status, verdict.detail, verdict.fields);
    return {};
  }
  if (links_.memory_level() >= flow::MemoryLevel::refuse) {
    http_.problem(request.id, 503, "memory is short: no new streams", "Retry-After: 5\r\n");
    return {};
  }
  if (links_.shard().draining()) {
    http_.problem(request.id, 503, "the gateway is stopping");
    return {};
  }
  if (feed_.admit()) return std::move(verdict.who);
  http_.problem(request.id, 503, fmt::format("{} streams are open", stream_limits::subscribers_max),
                "Retry-After: 5\r\n");
  return {};
}

ClientInfo StreamRoom::info_of(const http::Request& request, const Principal& who) const {
  ClientInfo info;
  info.who = who.name();
  info.form = Form::events;
  info.address = address_text(request.peer);
  info.since_us = links_.shard().wall_now();
  return info;
}

ClientKey StreamRoom::add(const http::Request& request, bool socket, Principal who) {
  if (by_link_.empty()) links_.shard().arm(timer_, stream_limits::credentials_every);
  if (free_.empty()) {
    free_.push_back(static_cast<std::uint32_t>(places_.size()));
    places_.emplace_back();
  }
  const std::uint32_t slot = free_.back();
  free_.pop_back();
  Place& place = places_[slot];
  const std::uint32_t serial = place.serial + 1;
  place = {};
  place.serial = serial;
  place.used = true;
  place.socket = socket;
  place.who = std::move(who);
  place.exchange = request.id;
  if (socket) place.waiting = std::make_shared<std::atomic<std::uint32_t>>(0);
  by_link_[request.id.link.packed()] = slot;
  return key_of(slot);
}

void StreamRoom::take_socket(const http::Request& request, Principal who) {
  ClientInfo info = info_of(request, who);
  const auto socket = sockets_.accept(http_, request, *this, {});
  if (!socket) return feed_.discharge();
  info.form = sockets_.deflates(*socket) ? Form::deflated : Form::plain;
  feed_.open(add(request, true, std::move(who)), std::move(info));
}

void StreamRoom::take_events(const http::Request& request, Principal who) {
  ClientInfo info = info_of(request, who);
  feed_.open_events(add(request, false, std::move(who)), std::move(info),
                    std::string(request.head.query),
                    std::string(request.head.value("last-event-id")));
}

void StreamRoom::take_trace(const http::Request& request, std::string_view device,
                            Principal who) {
  ClientInfo info = info_of(request, who);
  feed_.open_trace(add(request, false, std::move(who)), std::move(info),
                   http::percent_decoded(device).value_or(""));
}

// What the Feed keeps for our clients is memory of this shard: its level sees it.
void StreamRoom::charge_kept() {
  const std::uint64_t kept = feed_.kept_bytes(links_.shard().index());
  if (__builtin_expect(kept == charged_bytes_, 1)) return;
  links_.budget().charge(kept);
  links_.budget().release(charged_bytes_);
  charged_bytes_ = kept;
}

// A part of the clients at a time, so that no turn is long.
void StreamRoom::on_timer() {
  charge_kept();
  if (next_look_ >= places_.size()) next_look_ = 0;
  for (std::uint32_t looks = 0;
       looks < stream_limits::credentials_looks && next_look_ < places_.size(); ++looks) {
    Place& place = places_[next_look_++];
    if (!place.used || place.closing || access_->still_valid(place.who)) continue;
    end(place, websocket::CloseCode::policy, ended_revoked);
  }
  if (!by_link_.empty() || charged_bytes_ > 0) {
    links_.shard().arm(timer_, stream_limits::credentials_every);
  }
}

// Going -------------------------------------------------------------------------------------------

std::optional<std::uint32_t> StreamRoom::slot_of(LinkId link) const {
  const auto found = by_link_.find(link.packed());
  if (found == by_link_.end()) return {};
  return found->second;
}

void StreamRoom::forget(std::uint32_t slot, std::string_view why) {
  Place& place = places_[slot];
  feed_.gone(key_of(slot), why);
  feed_.discharge();
  by_link_.erase(place.exchange.link.packed());
  place.used = false;
  place.waiting.reset();
  place.who = {};
  free_.push_back(slot);
}

bool StreamRoom::gone(http::ExchangeId id) {
  const auto slot = slot_of(id.link);
  if (!slot || places_[*slot].exchange.serial != id.serial) return false;
  forget(*slot, places_[*slot].closing ? "closed by the gateway" : "left");
  return true;
}

void StreamRoom::on_closed(LinkId socket, websocket::CloseCode code) {
  const auto slot = slot_of(socket);
  if (!slot) return;
  if (!why_.empty()) return forget(*slot, why_);
  forget(*slot, places_[*slot].closing ? "closed by the gateway"
                : code == websocket::CloseCode::none
                    ? "left"
                    : fmt::format("closed with {}", static_cast<unsigned>(code)));
}

// Ends a client ourselves; its place is free when it returns, or soon.
void StreamRoom::end(Place& place, websocket::CloseCode code, std::string_view why) {
  place.closing = true;
  if (place.socket) {
    why_ = why.empty() ? "closed by the gateway" : std::string(why);
    sockets_.close(place.exchange.link, code, why);  // on_closed comes at once
    why_.clear();
    return;
  }
  const http::ExchangeId exchange = place.exchange;
  const auto slot = slot_of(exchange.link);
  http_.end(exchange);
  if (slot) forget(*slot, why.empty() ? "closed by the gateway" : why);
}

void StreamRoom::close_slow(Place& place, std::uint32_t queued_bytes) {
  const std::string json = fmt::format(R"({{"slow":{{"queued_bytes":{},"seconds":0}}}})",
                                       queued_bytes);
  if (place.socket) {
    sockets_.send(place.exchange.link, websocket::Opcode::text, as_bytes(json));
  } else {
    http_.write(place.exchange, as_bytes(fmt::format("data: {}\n\n", json)));
  }
  end(place, websocket::CloseCode::try_again, ended_slow);
}

// What clients say ------------------------------------------------------------------------------

void StreamRoom::on_message(LinkId socket, websocket::Opcode kind, Bytes message) {
  const auto slot = slot_of(socket);
  if (!slot) return;
  Place& place = places_[*slot];
  if (kind != websocket::Opcode::text) {
    return end(place, websocket::CloseCode::unsupported, "messages are text");
  }
  if (message.size() > stream_limits::message_bytes_max) {
    return end(place, websocket::CloseCode::too_big,
               fmt::format("at most {} bytes", stream_limits::message_bytes_max));
  }
  const MonoNs now = links_.shard().now();
  if (now - place.second >= ns_per_s) {
    place.second = now;
    place.said = 0;
  }
  if (++place.said > stream_limits::messages_per_s_max ||
      place.waiting->load(std::memory_order_relaxed) >= stream_limits::messages_waiting_max) {
    return end(place, websocket::CloseCode::policy, ended_rude);
  }
  place.waiting->fetch_add(1, std::memory_order_relaxed);
  feed_.said(key_of(*slot), std::string(as_text(message)), place.waiting);
}

// What the Feed delivers --------------------------------------------------------------------------

void StreamRoom::deliver(Delivery& delivery) {
  charge_kept();
  for (const Delivery::Item& item : delivery.items) {
    const Bytes bytes = Bytes(delivery.bytes).subspan(item.offset, item.size);
    for (std::uint32_t i = 0; i < item.refs; ++i) {
      const ClientRef ref = delivery.refs[item.first_ref + i];
      if (ref.slot >= places_.size()) continue;
      Place& place = places_[ref.slot];
      if (!place.used || place.serial != ref.serial || place.closing) continue;
      carry_out(item, bytes, place, ref.slot, delivery);
    }
  }
}

void StreamRoom::carry_out(const Delivery::Item& item, Bytes bytes, Place& place,
                           std::uint32_t slot, Delivery& delivery) {
  switch (item.what) {
    case Delivery::What::send:
      return send(place, slot, bytes, delivery);
    case Delivery::What::close:
      return end(place, item.code, as_text(bytes));
    case Delivery::What::begin:
      if (!http_.begin(place.exchange, {.status = 200,
                                        .type = "text/event-stream",
                                        .fields = event_fields,
                                        .endless = true})) {
        return forget(slot, "left");
      }
      http_.write(place.exchange, bytes);
      return;
    case Delivery::What::refuse:
      http_.problem(place.exchange, item.status, as_text(bytes));
      return forget(slot, "refused");
  }
}

void StreamRoom::send(Place& place, std::uint32_t slot, Bytes bytes, Delivery& delivery) {
  std::uint32_t unsent = 0;
  if (place.socket) {
    const auto left = sockets_.send_frame(place.exchange.link, bytes);
    if (!left) return;
    unsent = *left;
  } else {
    if (!http_.write(place.exchange, bytes)) return;
    unsent = http_.unsent_bytes(place.exchange);
  }
  if (__builtin_expect(unsent <= stream_limits::queue_bytes_shed, 1)) return;
  const flow::MemoryLevel level = links_.memory_level();
  if (unsent > stream_limits::queue_bytes_hard || level >= flow::MemoryLevel::refuse) {
    return close_slow(place, unsent);
  }
  if (place.slow) return;
  if (unsent <= stream_limits::queue_bytes && level < flow::MemoryLevel::shed) return;
  const bool has_room =
      place.socket ? sockets_.room(place.exchange.link, stream_limits::queue_bytes_shed)
                   : http_.room(place.exchange);
  if (has_room) return;
  place.slow = true;
  delivery.slow.push_back({key_of(slot).ref, unsent});
}

void StreamRoom::on_room(LinkId socket) {
  const auto slot = slot_of(socket);
  if (!slot || !std::exchange(places_[*slot].slow, false)) return;
  feed_.room(key_of(*slot));
}

bool StreamRoom::room(http::ExchangeId id) {
  const auto slot = slot_of(id.link);
  if (!slot || places_[*slot].exchange.serial != id.serial) return false;
  if (std::exchange(places_[*slot].slow, false)) feed_.room(key_of(*slot));
  return true;
}

}  // namespace ringgate::api
