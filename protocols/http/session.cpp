#include "protocols/http/session.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace ringgate::http {

namespace {

constexpr std::string_view continue_line = "HTTP/1.1 100 Continue\r\n\r\n";
constexpr std::string_view last_chunk = "0\r\n\r\n";

// What a person reads of a head that was refused.
std::string_view detail_of(HeadError error) {
  switch (error) {
    case HeadError::bad_line: return "the request line is not METHOD TARGET HTTP/1.1 and CR LF";
    case HeadError::bad_target: return "the request's target is none of RFC 9112 3.2";
    case HeadError::bad_version: return "HTTP/1.1 and HTTP/1.0 are spoken here";
    case HeadError::bad_field: return "a field line is not NAME: VALUE and CR LF";
    case HeadError::bad_host: return "exactly one Host field is needed, with a host in it";
    case HeadError::bad_length: return "Content-Length must be one number, given once";
    case HeadError::bad_framing:
      return "Transfer-Encoding goes neither with Content-Length nor with HTTP/1.0, and once";
    case HeadError::unknown_coding: return "of transfer codings only chunked is known";
    case HeadError::head_too_large: return "the head has too many bytes or fields";
    case HeadError::target_too_long: return "the target is too long";
    case HeadError::none:
    case HeadError::count: break;
  }
  return "";
}

// A head that comes byte by byte is not parsed from its beginning for each of them: only a new line
// makes a difference, after the first look.
bool worth_parsing(Bytes bytes, std::uint32_t seen, const HeadLimits& head_limits) {
  if (seen == 0 || seen > bytes.size() || bytes.size() >= head_limits.head_bytes_max) return true;
  return std::memchr(bytes.data() + seen, '\n', bytes.size() - seen) != nullptr;
}

}  // namespace

// Requests ----------------------------------------------------------------------------------------

std::size_t Session::on_bytes(net::Link& link, Bytes bytes) {
  const std::uint8_t own = link.protocol;
  std::size_t used = 0;
  while (link.readable() && link.protocol == own && used < bytes.size()) {
    const Phase phase = link.session<State>().phase;
    if (phase == Phase::endless || phase == Phase::finishing) return bytes.size();
    const Bytes rest = bytes.subspan(used);
    const std::size_t taken = phase == Phase::body ? take_body(link, rest)
                                                   : take_request(link, rest);
    if (taken == 0) break;
    used += taken;
  }
  return used;
}

// 0: the head is incomplete.
std::size_t Session::take_request(net::Link& link, Bytes bytes) {
  State& state = link.session<State>();
  if (!worth_parsing(bytes, state.seen, options_.head)) return 0;
  const HeadResult parsed = parse_head(bytes, options_.head, head_);
  state.seen = parsed.complete() ? 0 : static_cast<std::uint32_t>(bytes.size());
  if (parsed.error != HeadError::none) {
    counters_.bad_heads.add(parsed.error);
    refuse(link, status_of(parsed.error), detail_of(parsed.error));
    return bytes.size();
  }
  if (!parsed.complete()) return 0;
  ++state.serial;
  if (!head_.has_body()) {
    dispatch(link, head_, {});
    return parsed.size;
  }
  const std::uint64_t max =
      std::min(handler_->body_bytes_max(head_), limits::body_bytes_max);
  if (head_.content_length > max || (head_.chunked && max == 0)) {
    counters_.bad_bodies.add(Refusal::body_too_large);
    refuse(link, 413, fmt::format("a body here may have {} bytes", max));
    return bytes.size();
  }
  const Bytes after = bytes.subspan(parsed.size);
  if (!head_.chunked && after.size() >= head_.content_length) {
    const auto size = static_cast<std::size_t>(head_.content_length);
    dispatch(link, head_, after.first(size));
    return parsed.size + size;
  }
  if (const auto refused = handler_->refuse_body(request_of(link, head_, {}))) {
    refuse(link, refused->status, refused->detail, refused->fields);
    return bytes.size();
  }
  return begin_body(link, bytes, parsed.size, max);
}

std::size_t Session::begin_body(net::Link& link, Bytes bytes, std::size_t head_size,
                                std::uint64_t max) {
  State& state = link.session<State>();
  Arriving& arriving = arriving_[link.slot];
  arriving.head.assign(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(head_size));
  arriving.left = head_.content_length;
  arriving.max = max;
  arriving.chunked = head_.chunked;
  links_.budget().charge(head_size);
  state.phase = Phase::body;
  state.since_ns = links_.shard().now();
  // Only to who waits for it: the body of others is under way already.
  if (head_.expects_continue && bytes.size() == head_size) {
    links_.reply(link, as_bytes(continue_line));
  }
  return head_size;
}

std::size_t Session::take_body(net::Link& link, Bytes bytes) {
  Arriving& arriving = arriving_.at(link.slot);
  const auto keep = [&](Bytes piece) {
    links_.budget().charge(piece.size());
    arriving.body.insert(arriving.body.end(), piece.begin(), piece.end());
  };
  std::size_t used = 0;
  bool done = false;
  if (arriving.chunked) {
    for (bool more = true; more && !done;) {
      const ChunkedDecoder::Step step = arriving.decoder.take(bytes.subspan(used));
      if (step.state == ChunkedDecoder::State::bad) {
        counters_.bad_bodies.add(Refusal::bad_chunk);
        refuse(link, 400, "the body is not in the chunked coding");
        return bytes.size();
      }
      if (arriving.body.size() + step.data.size() > arriving.max) {
        counters_.bad_bodies.add(Refusal::body_too_large);
        refuse(link, 413, fmt::format("a body here may have {} bytes", arriving.max));
        return bytes.size();
      }
      keep(step.data);
      used += step.used;
      done = step.state == ChunkedDecoder::State::done;
      more = step.used > 0 && used < bytes.size();
    }
  } else {
    used = static_cast<std::size_t>(std::min<std::uint64_t>(bytes.size(), arriving.left));
    keep(bytes.first(used));
    arriving.left -= used;
    done = arriving.left == 0;
  }
  if (!done) {
    if (too_slow(link, arriving)) {
      counters_.bad_bodies.add(Refusal::body_too_slow);
      refuse(link, 408, "the body comes too slowly");
      return bytes.size();
    }
    return used;
  }
  const Arriving whole = std::move(arriving);
  arriving_.erase(link.slot);
  links_.budget().release(whole.head.size() + whole.body.size());
  const HeadResult parsed = parse_head(whole.head, options_.head, head_);
  RG_CHECK(parsed.complete());
  dispatch(link, head_, whole.body);
  return used;
}

bool Session::too_slow(const net::Link& link, const Arriving& arriving) const {
  const MonoNs elapsed =
      links_.shard().now() - const_cast<net::Link&>(link).session<State>().since_ns;
  const auto allowed = static_cast<MonoNs>(arriving.body.size() / limits::body_bytes_per_s_min);
  return elapsed > options_.head_timeout_ns + allowed * ns_per_s;
}

Request Session::request_of(net::Link& link, const Head& head, Bytes body) {
  return {{link.id(), link.session<State>().serial}, head, body, link.peer, link.listener,
          link.filtered, links_.secure_peer(link)};
}

void Session::dispatch(net::Link& link, const Head& head, Bytes body) {
  State& state = link.session<State>();
  state.phase = Phase::answering;
  state.minor = head.minor;
  state.keep_alive = head.keep_alive && !links_.shard().draining();
  state.head_only = head.method == Method::head;
  state.since_ns = links_.shard().now();
  counters_.open.add();
  const std::uint32_t serial = state.serial;
  const std::uint8_t own = link.protocol;
  handler_->on_request(request_of(link, head, body));
  if (link.protocol != own || state.serial != serial) return;
  if (state.phase == Phase::answering || state.phase == Phase::streaming) hold(link);
}

// The answer is not complete: what comes behind the request waits.
void Session::hold(net::Link& link) {
  State& state = link.session<State>();
  if (state.held || link.state != net::LinkState::open) return;
  state.held = true;
  links_.hold(link);
}

// An answer to what is no request; the connection ends behind it.
void Session::refuse(net::Link& link, std::uint16_t status, std::string_view detail,
                     std::string_view fields) {
  State& state = link.session<State>();
  forget(link);
  state.phase = Phase::answering;
  state.minor = 1;
  state.keep_alive = state.head_only = false;
  state.since_ns = links_.shard().now();
  counters_.open.add();
  problem({link.id(), state.serial}, status, detail, fields);
}

// Answers -----------------------------------------------------------------------------------------

net::Link* Session::find(ExchangeId id, Phase phase) {
  net::Link* const link = links_.find(id.link);
  if (link == nullptr || link->state != net::LinkState::open) return nullptr;
  State& state = link->session<State>();
  if (state.serial != id.serial) return nullptr;
  const bool right = state.phase == phase ||
                     (phase == Phase::streaming && state.phase == Phase::endless);
  return right ? link : nullptr;
}

bool Session::body_allowed(const State& state, std::uint16_t status) const {
  return !state.head_only && status >= 200 && status != 204 && status != 304;
}

// The head, and `body` with it where both fit one reply.
void Session::write_head(net::Link& link, std::uint16_t status, std::string_view type,
                         std::string_view fields, std::uint64_t length, std::string_view body) {
  RG_CHECK(fields.size() <= limits::fields_bytes_max);
  State& state = link.session<State>();
  constexpr std::size_t body_inline_max = 1024;
  const std::size_t with = body.size() <= body_inline_max ? body.size() : 0;
  const auto room = static_cast<std::uint32_t>(limits::head_bytes + fields.size() + with);
  std::uint8_t* const out = links_.reply_room(link, room);
  HeadWriter head({out, room});
  head.status(status).line(date_.at(links_.shard().wall_now()));
  if (!type.empty()) head.field("Content-Type", type);
  state.chunked = false;
  if (length != StreamHead::unknown_length) {
    if (status >= 200 && status != 204 && status != 304) head.field("Content-Length", length);
  } else if (state.minor != 0) {
    state.chunked = true;
    head.line("Transfer-Encoding: chunked\r\n");
  } else {
    state.keep_alive = false;  // the end of the connection is the end of the body
  }
  if (!state.keep_alive) {
    head.line("Connection: close\r\n");
  } else if (state.minor == 0) {
    head.line("Connection: keep-alive\r\n");
  }
  std::size_t size = head.line(fields).end();
  if (with > 0) std::memcpy(out + size, body.data(), with);
  size += with;
  links_.reply_done(link, static_cast<std::uint32_t>(size));
  if (with < body.size()) links_.reply(link, as_bytes(body.substr(with)));
  counters_.responses.add(static_cast<StatusClass>(status / 100 - 1));
}

void Session::answer(ExchangeId id, const Answer& answer) {
  net::Link* const link = find(id, Phase::answering);
  if (link == nullptr) return;
  State& state = link->session<State>();
  const std::string_view body = answer.shared != nullptr ? *answer.shared : answer.body;
  const std::string_view sent = body_allowed(state, answer.status) ? body : std::string_view{};
  if (answer.shared == nullptr || sent.size() <= limits::answer_piece_bytes) {
    write_head(*link, answer.status, answer.type, answer.fields, body.size(), sent);
    return complete(*link);
  }
  write_head(*link, answer.status, answer.type, answer.fields, body.size(), {});
  rests_[link->slot] = {answer.shared, 0};
  state.has_rest = true;
  state.phase = Phase::streaming;
  hold(*link);
  write_rest(*link);
}

void Session::write_rest(net::Link& link) {
  Rest& rest = rests_.at(link.slot);
  const std::string_view left = std::string_view(*rest.body).substr(rest.at);
  const std::string_view piece = left.substr(0, limits::answer_piece_bytes);
  links_.reply(link, as_bytes(piece));
  rest.at += piece.size();
  if (piece.size() == left.size()) {
    link.session<State>().has_rest = false;
    rests_.erase(link.slot);
    return complete(link);
  }
  links_.push(link);
  links_.ask_room(link);
}

void Session::problem(ExchangeId id, std::uint16_t status, std::string_view detail,
                      std::string_view fields) {
  const std::string body = problem_body(status, detail);
  answer(id, {.status = status, .type = "application/problem+json", .fields = fields,
              .body = body, .shared = nullptr});
}

bool Session::begin(ExchangeId id, const StreamHead& head) {
  net::Link* const link = find(id, Phase::answering);
  if (link == nullptr) return false;
  State& state = link->session<State>();
  if (head.endless) {
    state.keep_alive = false;
    links_.set_idle_timeout(*link, 0);  // nothing is to come from the peer any more
  }
  write_head(*link, head.status, head.type, head.fields, head.length, {});
  state.body_left = head.length;
  state.phase = head.endless ? Phase::endless : Phase::streaming;
  links_.push(*link);
  if (head.endless && state.held) {
    state.held = false;
    links_.release(*link);
  }
  return true;
}

bool Session::write(ExchangeId id, Bytes piece) {
  net::Link* const link = find(id, Phase::streaming);
  if (link == nullptr) return false;
  State& state = link->session<State>();
  if (piece.empty() || state.head_only) return true;
  if (state.body_left != StreamHead::unknown_length) {
    RG_CHECK(piece.size() <= state.body_left);
    state.body_left -= piece.size();
  }
  if (state.chunked) {
    std::uint8_t* const out = links_.reply_room(*link, 20);
    const auto end = fmt::format_to_n(reinterpret_cast<char*>(out), 20, "{:x}\r\n", piece.size());
    links_.reply_done(*link, static_cast<std::uint32_t>(end.size));
  }
  links_.reply(*link, piece);
  if (state.chunked) links_.reply(*link, as_bytes("\r\n"));
  links_.push(*link);
  return true;
}

bool Session::room(ExchangeId id) {
  net::Link* const link = find(id, Phase::streaming);
  if (link == nullptr) return false;
  if (net::Links::unsent_bytes(*link) <= limits::answer_piece_bytes) return true;
  links_.ask_room(*link);
  return false;
}

std::uint32_t Session::unsent_bytes(ExchangeId id) {
  net::Link* const link = find(id, Phase::streaming);
  return link == nullptr ? 0 : net::Links::unsent_bytes(*link);
}

void Session::end(ExchangeId id) {
  net::Link* const link = find(id, Phase::streaming);
  if (link == nullptr) return;
  State& state = link->session<State>();
  const bool short_of = state.body_left != StreamHead::unknown_length && state.body_left > 0;
  if (short_of && !state.head_only) return cut(id);
  if (state.chunked && !state.head_only) links_.reply(*link, as_bytes(last_chunk));
  complete(*link);
}

void Session::cut(ExchangeId id) {
  net::Link* const link = find(id, Phase::streaming);
  if (link != nullptr) links_.close(*link, net::CloseReason::finished);
}

// The answer is written. On to the next request, or to the end of the connection.
void Session::complete(net::Link& link) {
  State& state = link.session<State>();
  counters_.open.sub();
  const MonoNs took = links_.shard().now() - state.since_ns;
  if (took > 0) counters_.seconds.record(static_cast<std::uint64_t>(took));
  state.phase = state.keep_alive ? Phase::head : Phase::finishing;
  links_.push(link);
  if (state.keep_alive) {
    if (!state.held) return;
    state.held = false;
    return links_.release(link);
  }
  if (net::Links::unsent_bytes(link) <= limits::answer_piece_bytes) {
    return links_.close(link, net::CloseReason::finished);
  }
  links_.ask_room(link);
}

net::Link* Session::upgrade(ExchangeId id, std::uint8_t protocol, std::string_view fields) {
  net::Link* const link = find(id, Phase::answering);
  if (link == nullptr) return nullptr;
  const auto room = static_cast<std::uint32_t>(limits::head_bytes + fields.size());
  std::uint8_t* const out = links_.reply_room(*link, room);
  HeadWriter head({out, room});
  head.status(101).line(date_.at(links_.shard().wall_now())).line(fields);
  links_.reply_done(*link, static_cast<std::uint32_t>(head.end()));
  counters_.responses.add(StatusClass::informational);
  counters_.open.sub();
  links_.push(*link);
  const bool held = link->session<State>().held;
  std::memset(link->session_bytes, 0, sizeof link->session_bytes);
  links_.become(*link, protocol);
  if (held) links_.release(*link);
  return link;
}

// Links -------------------------------------------------------------------------------------------

void Session::on_writable(net::Link& link) {
  State& state = link.session<State>();
  if (state.has_rest) return write_rest(link);
  if (state.phase == Phase::finishing) return links_.close(link, net::CloseReason::finished);
  if (state.phase == Phase::streaming || state.phase == Phase::endless) {
    handler_->on_room({link.id(), state.serial});
  }
}

void Session::forget(net::Link& link) {
  State& state = link.session<State>();
  if (const auto found = arriving_.find(link.slot); found != arriving_.end()) {
    links_.budget().release(found->second.head.size() + found->second.body.size());
    arriving_.erase(found);
  }
  if (state.has_rest) rests_.erase(link.slot);
  state.has_rest = false;
}

// The last words of a link whose request has no answer yet: whoever asked may ask elsewhere.
void Session::say_stopping(net::Link& link) {
  link.session<State>().keep_alive = false;
  const std::string body = problem_body(503, "the gateway is stopping");
  const std::string_view sent =
      body_allowed(link.session<State>(), 503) ? std::string_view(body) : std::string_view{};
  write_head(link, 503, "application/problem+json", {}, body.size(), sent);
}

void Session::on_close(net::Link& link, net::CloseReason reason) {
  State& state = link.session<State>();
  const bool rest = state.has_rest;
  forget(link);
  if (state.phase == Phase::head || state.phase == Phase::body ||
      state.phase == Phase::finishing) {
    return;
  }
  if (state.phase == Phase::answering && reason == net::CloseReason::draining) say_stopping(link);
  state.phase = Phase::finishing;
  counters_.open.sub();
  if (!rest) handler_->on_gone({link.id(), state.serial});
}

}  // namespace ringgate::http
