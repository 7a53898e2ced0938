#include "protocols/websocket/session.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "protocols/websocket/handshake.hpp"

namespace ringgate::websocket {

Session::Session(net::Links& links, observe::CounterGroup& counters, const SessionOptions& options)
    : links_(links), counters_(counters), options_(options) {
  links_.shard().arm(timer_, limits::look_every_ns);
}

Session::~Session() { links_.shard().cancel(timer_); }

// Opening ---------------------------------------------------------------------------------------

std::optional<LinkId> Session::accept(http::Session& http, const http::Request& request,
                                      Handler& handler, const Acceptance& acceptance) {
  const Handshake handshake = check_handshake(request.head);
  const auto refuse = [&](std::uint16_t status, std::string_view detail, std::string_view fields) {
    counters_.refused.add();
    http.problem(request.id, status, detail, fields);
    return std::optional<LinkId>{};
  };
  if (handshake.status != 101) {
    const bool version = handshake.status == 426;
    return refuse(handshake.status, handshake.detail,
                  version ? "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n" : "");
  }
  if (!origin_allowed(request.head, acceptance.origins)) {
    return refuse(403, "pages of this origin may not connect here", {});
  }
  std::string fields = fmt::format(
      "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: {}\r\n",
      accept_value(handshake.key));
  const std::string_view wanted = request.head.value("sec-websocket-protocol");
  for (const std::string_view known : acceptance.protocols) {
    std::string_view list = wanted;
    std::string_view member;
    bool found = false;
    while (!found && http::next_member(list, member)) found = member == known;
    if (!found) continue;
    fields += fmt::format("Sec-WebSocket-Protocol: {}\r\n", known);
    break;
  }
  std::string_view deflate;
  if (acceptance.deflate) {
    deflate = agree_on_deflate(request.head.value("sec-websocket-extensions"));
  }
  if (!deflate.empty()) fields += fmt::format("Sec-WebSocket-Extensions: {}\r\n", deflate);
  net::Link* const link = http.upgrade(request.id, number_, fields);
  if (link == nullptr) return {};
  State& state = link->session<State>();
  state = {};
  state.handler = &handler;
  state.heard_ns = links_.shard().now();
  state.deflates = !deflate.empty();
  // Silence is for pings to find; nothing else may end it.
  links_.set_idle_timeout(*link, 0);
  sockets_.push_back(link->id());
  counters_.open.set(static_cast<std::int64_t>(sockets_.size()));
  return link->id();
}

// Receiving -------------------------------------------------------------------------------------

std::size_t Session::on_bytes(net::Link& link, Bytes bytes) {
  State& state = link.session<State>();
  state.heard_ns = links_.shard().now();
  state.pinged_ns = 0;
  std::size_t used = 0;
  while (link.readable() && used < bytes.size()) {
    if (state.close_heard) return bytes.size();
    const Bytes rest = bytes.subspan(used);
    const std::size_t taken = state.in_frame ? take_payload(link, rest) : begin_frame(link, rest);
    if (taken == 0) break;
    used += taken;
  }
  return used;
}

// 0: the head, or a control frame, is incomplete.
std::size_t Session::begin_frame(net::Link& link, Bytes bytes) {
  State& state = link.session<State>();
  FrameHead head;
  const FrameResult parsed = parse_frame_head(bytes, state.deflates, head);
  if (parsed.error != FrameError::none) {
    counters_.failed.add(Failure::bad_frame);
    fail(link, CloseCode::protocol_error,
         frame_error_names[static_cast<std::size_t>(parsed.error)]);
    return bytes.size();
  }
  if (!parsed.complete) return 0;
  if (!head.masked) {  // RFC 6455 5.1
    counters_.failed.add(Failure::not_masked);
    fail(link, CloseCode::protocol_error, "frames of clients are masked");
    return bytes.size();
  }
  if (!check_order(link, head)) return bytes.size();
  const auto size = static_cast<std::size_t>(head.size + head.payload_bytes);
  if (is_control(head.opcode)) {
    if (bytes.size() < size) return 0;
    std::uint8_t payload[control_payload_max];
    const auto payload_size = static_cast<std::size_t>(head.payload_bytes);
    unmask(&bytes[head.size], payload_size, head.mask, 0, payload);
    control(link, head.opcode, {payload, payload_size});
    return size;
  }
  state.frame = head;
  state.left = head.payload_bytes;
  state.offset = 0;
  state.in_frame = true;
  if (state.left == 0) end_frame(link);
  return head.size;
}

// RFC 6455 5.4: fragments follow their first, nothing between but control frames.
bool Session::check_order(net::Link& link, const FrameHead& head) {
  State& state = link.session<State>();
  if (is_control(head.opcode)) return true;
  const bool continues = head.opcode == Opcode::continuation;
  if (continues != state.in_message) {
    counters_.failed.add(Failure::bad_frame);
    fail(link, CloseCode::protocol_error,
         continues ? "a continuation of nothing" : "a message within a message");
    return false;
  }
  const auto found = messages_.find(link.slot);
  const std::size_t before = found == messages_.end() ? 0 : found->second.size();
  if (head.payload_bytes > options_.message_bytes_max - before) {
    counters_.failed.add(Failure::too_big);
    fail(link, CloseCode::too_big, fmt::format("at most {} bytes", options_.message_bytes_max));
    return false;
  }
  if (!continues) {
    state.in_message = true;
    state.is_text = head.opcode == Opcode::text;
    state.compressed = head.compressed;
    state.text.reset();
  }
  return true;
}

std::size_t Session::take_payload(net::Link& link, Bytes bytes) {
  State& state = link.session<State>();
  const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(state.left, bytes.size()));
  if (scratch_.size() < size) scratch_.resize(size);
  unmask(bytes.data(), size, state.frame.mask, state.offset, scratch_.data());
  const Bytes piece{scratch_.data(), size};
  if (state.is_text && !state.compressed && !state.text.take(piece)) {
    counters_.failed.add(Failure::bad_text);
    fail(link, CloseCode::bad_text, "no UTF-8");
    return bytes.size();
  }
  const bool whole = state.frame.fin && state.offset == 0 && state.left == size &&
                     state.frame.opcode != Opcode::continuation;
  if (!whole) {
    std::vector<std::uint8_t>& message = messages_[link.slot];
    links_.budget().charge(size);
    message.insert(message.end(), piece.begin(), piece.end());
  }
  state.left -= size;
  state.offset += size;
  if (state.left == 0) end_frame(link);
  return size;
}

void Session::end_frame(net::Link& link) {
  State& state = link.session<State>();
  state.in_frame = false;
  if (state.frame.fin) end_message(link);
}

void Session::end_message(net::Link& link) {
  State& state = link.session<State>();
  state.in_message = false;
  std::vector<std::uint8_t> assembled;
  Bytes message{scratch_.data(), static_cast<std::size_t>(state.offset)};
  if (const auto found = messages_.find(link.slot); found != messages_.end()) {
    assembled = std::move(found->second);
    messages_.erase(found);
    links_.budget().release(assembled.size());
    message = assembled;
  }
  if (state.compressed) {
    const auto result = deflater_.inflate(message, options_.message_bytes_max, inflated_);
    if (result != Deflater::Inflated::ok) {
      const bool big = result == Deflater::Inflated::too_big;
      counters_.failed.add(big ? Failure::too_big : Failure::bad_deflate);
      return fail(link, big ? CloseCode::too_big : CloseCode::bad_text,
                  big ? "too long when inflated" : "no deflate");
    }
    message = inflated_;
    if (state.is_text && !state.text.take(message)) {
      counters_.failed.add(Failure::bad_text);
      return fail(link, CloseCode::bad_text, "no UTF-8");
    }
  }
  if (state.is_text && !state.text.at_end()) {
    counters_.failed.add(Failure::bad_text);
    return fail(link, CloseCode::bad_text, "the last character is cut");
  }
  counters_.received.add();
  if (state.close_sent) return;
  state.handler->on_message(link.id(), state.is_text ? Opcode::text : Opcode::binary, message);
}

void Session::control(net::Link& link, Opcode opcode, Bytes payload) {
  State& state = link.session<State>();
  if (opcode == Opcode::close) return heard_close(link, payload);
  // RFC 6455 5.5.2. A peer that pings and never reads is paused like any other.
  if (opcode == Opcode::ping && !state.close_sent) write(link, Opcode::pong, payload);
}

// RFC 6455 5.5.1, 7.1.5.
void Session::heard_close(net::Link& link, Bytes payload) {
  State& state = link.session<State>();
  auto code = CloseCode::none;
  if (!payload.empty()) {
    Utf8Stream reason;
    const std::uint16_t number = payload.size() < 2 ? 0 : load_be16(payload.data());
    const bool good = is_close_code(number) && reason.take(payload.subspan(2)) && reason.at_end();
    if (!good) {
      counters_.failed.add(Failure::bad_close);
      return fail(link, CloseCode::protocol_error, "a close frame with a bad code or reason");
    }
    code = static_cast<CloseCode>(number);
  }
  state.close_heard = true;
  if (!state.close_sent) {
    state.close_sent = true;
    write(link, Opcode::close, payload.first(std::min<std::size_t>(payload.size(), 2)));
  }
  told(link, code);
  links_.close(link, net::CloseReason::finished);
}

// Sending ---------------------------------------------------------------------------------------

net::Link* Session::find(LinkId socket) {
  net::Link* const link = links_.find(socket);
  const bool ours = link != nullptr && link->state == net::LinkState::open &&
                    link->protocol == number_;
  return ours && !link->session<State>().close_sent ? link : nullptr;
}

void Session::write(net::Link& link, Opcode opcode, Bytes payload) {
  std::uint8_t* const out = links_.reply_room(link, frame_head_max);
  links_.reply_done(link, static_cast<std::uint32_t>(
                              write_frame_head(out, opcode, payload.size())));
  links_.reply(link, payload);
  links_.push(link);
}

bool Session::send(LinkId socket, Opcode kind, Bytes message) {
  Framed framed;
  frame(kind, message, framed);
  return send(socket, framed);
}

void Session::frame(Opcode kind, Bytes message, Framed& out) {
  const auto make = [kind](std::vector<std::uint8_t>& to, Bytes payload, bool compressed) {
    std::uint8_t head[frame_head_max];
    const std::size_t size = write_frame_head(head, kind, payload.size(), true, compressed);
    to.assign(head, head + size);
    to.insert(to.end(), payload.begin(), payload.end());
  };
  make(out.plain, message, false);
  out.deflated.clear();
  if (message.size() < limits::deflate_bytes_min) return;
  const Bytes deflated = deflater_.deflate(message);
  if (deflated.size() < message.size()) make(out.deflated, deflated, true);
}

bool Session::send(LinkId socket, const Framed& framed) {
  net::Link* const link = find(socket);
  if (link == nullptr) return false;
  const bool deflated = link->session<State>().deflates && !framed.deflated.empty();
  links_.reply(*link, deflated ? framed.deflated : framed.plain);
  links_.push(*link);
  counters_.sent.add();
  return true;
}

std::optional<std::uint32_t> Session::send_frame(LinkId socket, Bytes frame) {
  net::Link* const link = find(socket);
  if (link == nullptr) return {};
  links_.reply(*link, frame);
  links_.push(*link);
  counters_.sent.add();
  return net::Links::unsent_bytes(*link);
}

bool Session::deflates(LinkId socket) {
  net::Link* const link = find(socket);
  return link != nullptr && link->session<State>().deflates;
}

std::uint32_t Session::unsent_bytes(LinkId socket) {
  net::Link* const link = find(socket);
  return link == nullptr ? 0 : net::Links::unsent_bytes(*link);
}

bool Session::room(LinkId socket, std::uint32_t most) {
  net::Link* const link = find(socket);
  if (link == nullptr || net::Links::unsent_bytes(*link) <= most) return true;
  links_.ask_room(*link);
  return false;
}

// Closing ---------------------------------------------------------------------------------------

void Session::close(LinkId socket, CloseCode code, std::string_view reason) {
  if (net::Link* const link = find(socket); link != nullptr) begin_close(*link, code, reason);
}

// Says so and waits for the peer's close frame; look_at() ends the wait.
void Session::begin_close(net::Link& link, CloseCode code, std::string_view reason) {
  State& state = link.session<State>();
  std::uint8_t payload[control_payload_max];
  store_be16(payload, static_cast<std::uint16_t>(code));
  const std::size_t size = std::min(reason.size(), control_payload_max - 2);
  if (size > 0) std::memcpy(payload + 2, reason.data(), size);
  state.close_sent = true;
  state.pinged_ns = links_.shard().now();
  write(link, Opcode::close, {payload, size + 2});
  told(link, code);
}

// The peer broke the protocol: RFC 6455 7.1.7.
void Session::fail(net::Link& link, CloseCode code, std::string_view reason) {
  State& state = link.session<State>();
  state.close_heard = true;  // nothing it sends means anything any more
  if (!state.close_sent) begin_close(link, code, reason);
  links_.close(link, net::CloseReason::bad_frames);
}

void Session::told(net::Link& link, CloseCode code) {
  State& state = link.session<State>();
  Handler* const handler = std::exchange(state.handler, nullptr);
  if (handler != nullptr) handler->on_closed(link.id(), code);
}

void Session::on_writable(net::Link& link) {
  State& state = link.session<State>();
  if (state.handler != nullptr && !state.close_sent) state.handler->on_room(link.id());
}

void Session::forget(net::Link& link) {
  if (const auto found = messages_.find(link.slot); found != messages_.end()) {
    links_.budget().release(found->second.size());
    messages_.erase(found);
  }
  const auto at = std::ranges::find(sockets_, link.id().packed(), &LinkId::packed);
  if (at == sockets_.end()) return;
  *at = sockets_.back();
  sockets_.pop_back();
  counters_.open.set(static_cast<std::int64_t>(sockets_.size()));
}

void Session::on_close(net::Link& link, net::CloseReason reason) {
  State& state = link.session<State>();
  forget(link);
  if (reason == net::CloseReason::draining && !state.close_sent) {
    constexpr std::uint8_t going[] = {0x03, 0xe9};  // CloseCode::going_away
    state.close_sent = true;
    write(link, Opcode::close, going);
  }
  told(link, CloseCode::none);
}

// Pings -----------------------------------------------------------------------------------------

// A part of the sockets at a time, so that no turn is long.
void Session::on_timer() {
  const MonoNs now = links_.shard().now();
  std::uint32_t looks = 0;
  if (next_look_ >= sockets_.size()) next_look_ = 0;
  while (next_look_ < sockets_.size() && looks++ < limits::looks_per_turn) {
    net::Link* const link = links_.find(sockets_[next_look_++]);
    if (link != nullptr && link->state == net::LinkState::open) look_at(*link, now);
  }
  const bool more = next_look_ < sockets_.size();
  links_.shard().arm(timer_, more ? ns_per_ms : limits::look_every_ns);
}

void Session::look_at(net::Link& link, MonoNs now) {
  State& state = link.session<State>();
  if (state.close_sent) {
    if (now - state.pinged_ns >= limits::close_wait_ns) {
      links_.close(link, net::CloseReason::finished);
    }
    return;
  }
  if (state.pinged_ns != 0) {
    if (now - state.pinged_ns < options_.pong_wait_ns) return;
    counters_.failed.add(Failure::silent);
    return links_.close(link, net::CloseReason::idle);
  }
  if (options_.ping_interval_ns == 0 || now - state.heard_ns < options_.ping_interval_ns) return;
  state.pinged_ns = now;
  write(link, Opcode::ping, {});
}

}  // namespace ringgate::websocket
