#include "tools/load/crowd/subscriber_crowd.hpp"

#include <fmt/format.h>
#include <openssl/evp.h>

#include <algorithm>
#include <array>

namespace ringgate::load {
namespace {

using Answer = tool::HttpAnswerReader::Step;

constexpr std::uint8_t op_text = 1, op_close = 8, op_pong = 10;
constexpr std::uint16_t code_try_later = 1013;  // how the gateway ends who is too slow
// Slow ones: so much, so often, from a small buffer.
constexpr std::uint32_t sip_bytes = 1024;
constexpr MonoNs sip_every_ns = ns_per_s;
constexpr std::uint32_t slow_buffer_bytes = 4096;
// A time of another century is no delay.
constexpr WallUs late_max_us = WallUs{1000} * 24 * 3600 * us_per_s;

std::string base64(Bytes bytes) {
  std::string out(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size = EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()), bytes.data(),
                                   static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

// RFC 6455 4.2.2.
std::string accept_of(const std::string& key) {
  const std::string text = key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha1(), nullptr);
  return base64({digest.data(), size});
}

std::vector<std::uint64_t> places_of(std::string_view cursor) {
  std::vector<std::uint64_t> out;
  while (!cursor.empty()) {
    const std::size_t dash = std::min(cursor.find('-'), cursor.size());
    out.push_back(std::strtoull(std::string(cursor.substr(0, dash)).c_str(), nullptr, 16));
    cursor.remove_prefix(std::min(dash + 1, cursor.size()));
  }
  return out;
}

}  // namespace

SubscriberCrowd::SubscriberCrowd(const CrowdPlace& place, TargetAddress target,
                                 std::vector<in_addr> sources)
    : WireCrowd(place, std::move(sources)), target_(std::move(target)), users_(place.users_max) {
  if (place.tokens != nullptr && !place.tokens->empty()) token_ = place.tokens->front();
}

// ---- coming and going --------------------------------------------------------------------------

void SubscriberCrowd::come(std::uint32_t user) {
  users_[user].link = std::make_unique<Link>();
  limits_.push_back({now() + patience_ns, user, since(user)});
  wires().connect(user, {.target = &target_, .source = source_of(user),
                         .receive_buffer = class_of().slow ? slow_buffer_bytes : 0,
                         .pulls = class_of().slow});
}

void SubscriberCrowd::on_open(std::uint32_t user) {
  ++tally().connected;
  User& who = users_[user];
  Link& link = *who.link;
  link.answer.begin(false, true);
  std::string path = "/api/v1/stream";
  std::string fields;
  if (is_websocket()) {
    std::array<std::uint8_t, 16> bytes{};
    for (std::uint8_t& byte : bytes) byte = chance().byte();
    link.key = base64(bytes);
    fields = fmt::format("Upgrade: websocket\r\nConnection: Upgrade\r\n"
                         "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {}\r\n", link.key);
  } else {
    path = "/api/v1/events";
    if (!class_of().filter.empty()) path += "?" + class_of().filter;
    fields = "Accept: text/event-stream\r\n";
    if (!who.cursor.empty()) fields += fmt::format("Last-Event-ID: {}\r\n", who.cursor);
  }
  if (!token_.empty()) fields += fmt::format("Authorization: Bearer {}\r\n", token_);
  link.catching_up = !who.cursor.empty();
  wires().send(user, fmt::format("GET {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: ringgate-load\r\n{}"
                                 "\r\n", path, target_.text, fields));
  if (class_of().slow) sips_.emplace_back(now(), user);
}

void SubscriberCrowd::go(std::uint32_t user) {
  if (users_[user].link != nullptr && users_[user].link->step != Step::asked && is_websocket()) {
    send_frame(user, op_close, std::string_view("\x03\xe8", 2));
  }
  wires().close(user, false);
}

MonoNs SubscriberCrowd::gone(std::uint32_t user, Wires::End end, int error) {
  User& who = users_[user];
  if (who.link != nullptr && who.link->is_ready) not_ready();
  const bool was_slow = who.link != nullptr && who.link->was_slow;
  who.link.reset();
  if (!was_slow && is_wanted(user)) fail_end(end, error);
  if (!is_wanted(user)) {  // should it come again, it is another one
    who.cursor.clear();
    who.told.clear();
  }
  return class_of().reconnect ? reconnect_delay_ns : -1;
}

void SubscriberCrowd::give_up(std::uint32_t user, std::string_view kind, std::string sentence) {
  fail(kind, std::string(kind) + ": " + std::move(sentence));
  wires().close(user, true);
}

void SubscriberCrowd::stands(std::uint32_t user) {
  Link& link = *users_[user].link;
  if (link.is_ready) return;
  link.step = Step::told;
  link.is_ready = true;
  ready(user);
}

void SubscriberCrowd::act() {
  while (!limits_.empty() && limits_.front().limit_ns <= now()) {
    const Waiting one = limits_.front();
    limits_.pop_front();
    const User& who = users_[one.user];
    if (who.link == nullptr || who.link->is_ready || since(one.user) != one.since_ns) continue;
    if (!class_of().slow) give_up(one.user, "timeout", "a subscription that does not begin");
  }
  while (!sips_.empty() && sips_.front().first <= now()) {
    const std::uint32_t user = sips_.front().second;
    sips_.pop_front();
    if (!wires().is_open(user)) continue;
    wires().pull(user, sip_bytes);
    // Until its subscription stands it reads like others.
    const bool waits = users_[user].link != nullptr && !users_[user].link->is_ready;
    const MonoNs next_ns = now() + (waits ? 10 * ns_per_ms : sip_every_ns);
    sips_.insert(std::upper_bound(sips_.begin(), sips_.end(), std::pair(next_ns, user)),
                 {next_ns, user});
  }
}

MonoNs SubscriberCrowd::next_act() const {
  MonoNs until = limits_.empty() ? INT64_MAX : limits_.front().limit_ns;
  if (!sips_.empty()) until = std::min(until, sips_.front().first);
  return until;
}

// ---- bytes -------------------------------------------------------------------------------------

void SubscriberCrowd::on_bytes(std::uint32_t user, Bytes bytes) {
  Link& link = *users_[user].link;
  if (link.step == Step::asked) {
    const Answer step = link.answer.feed(bytes, nullptr);
    if (step == Answer::bad) return give_up(user, "bad_answer", link.answer.problem());
    if (step == Answer::more) return;
    end_head(user);
    if (!wires().is_open(user)) return;
  }
  if (is_websocket()) {
    link.frames.add(bytes);
    return take_frames(user);
  }
  std::string body;
  const Answer step = link.answer.feed(bytes, &body);
  link.lines.add(body);
  take_lines(user);
  if (!wires().is_open(user)) return;
  if (step == Answer::bad) give_up(user, "bad_answer", link.answer.problem());
  if (step == Answer::done) give_up(user, "link_closed", "the gateway ended the stream");
}

void SubscriberCrowd::end_head(std::uint32_t user) {
  User& who = users_[user];
  Link& link = *who.link;
  const std::uint16_t status = link.answer.status();
  if (status != (is_websocket() ? 101 : 200)) {
    return give_up(user, fmt::format("http_{}", status), "no stream for this request");
  }
  link.step = Step::open;
  if (!is_websocket()) {
    if (!link.answer.field("content-type").starts_with("text/event-stream")) {
      return give_up(user, "bad_answer", "no text/event-stream");
    }
    return stands(user);
  }
  if (link.answer.field("sec-websocket-accept") != accept_of(link.key)) {
    return give_up(user, "bad_answer", "a wrong Sec-WebSocket-Accept");
  }
  send_frame(user, op_text, subscribe_message(class_of().filter, who.cursor));
}

// Masked, as a client's are. RFC 6455 5.2, 5.3.
void SubscriberCrowd::send_frame(std::uint32_t user, std::uint8_t opcode,
                                 std::string_view payload) {
  std::string frame;
  frame += static_cast<char>(0x80 | opcode);
  if (payload.size() < 126) {
    frame += static_cast<char>(0x80 | payload.size());
  } else {
    frame += static_cast<char>(0x80 | (payload.size() <= 0xffff ? 126 : 127));
    const unsigned bytes = payload.size() <= 0xffff ? 2 : 8;
    for (unsigned i = bytes; i-- > 0;) {
      frame += static_cast<char>(static_cast<std::uint64_t>(payload.size()) >> (8 * i) & 0xff);
    }
  }
  std::array<char, 4> mask{};
  for (char& byte : mask) byte = static_cast<char>(chance().byte());
  frame.append(mask.data(), mask.size());
  for (std::size_t i = 0; i < payload.size(); ++i) {
    frame += static_cast<char>(payload[i] ^ mask[i % 4]);
  }
  wires().send(user, frame);
}

void SubscriberCrowd::take_frames(std::uint32_t user) {
  FrameReader& frames = users_[user].link->frames;
  while (true) {
    const FeedItem item = frames.next();
    switch (item.kind) {
      case FeedItem::Kind::more: return;
      case FeedItem::Kind::message: take_message(user, item.payload); break;
      case FeedItem::Kind::ping: send_frame(user, op_pong, item.payload); break;
      case FeedItem::Kind::close: return closed_with(user, item.payload);
      case FeedItem::Kind::bad: return give_up(user, "bad_frame", std::string(item.payload));
    }
    if (!wires().is_open(user)) return;
  }
}

void SubscriberCrowd::closed_with(std::uint32_t user, std::string_view payload) {
  Link& link = *users_[user].link;
  const auto* bytes = reinterpret_cast<const std::uint8_t*>(payload.data());
  const std::uint16_t code = payload.size() >= 2 ? load_be16(bytes) : 0;
  link.was_slow = link.was_slow || code == code_try_later;
  if (!link.was_slow) {
    return give_up(user, "link_closed", fmt::format("the gateway closed it with {}", code));
  }
  if (class_of().slow) note("closed_as_slow");
  else fail("closed_as_slow", "closed_as_slow: the gateway has more than this tool takes");
  wires().close(user, false);
}

void SubscriberCrowd::take_lines(std::uint32_t user) {
  LineReader& lines = users_[user].link->lines;
  while (wires().is_open(user)) {
    const FeedItem item = lines.next();
    if (item.kind == FeedItem::Kind::more) return;
    if (item.kind == FeedItem::Kind::bad) {
      return give_up(user, "bad_message", std::string(item.payload));
    }
    take_message(user, item.payload);
  }
}

// ---- messages ----------------------------------------------------------------------------------

void SubscriberCrowd::take_message(std::uint32_t user, std::string_view text) {
  User& who = users_[user];
  if (!read_stream_message(text, message_)) {
    return give_up(user, "bad_message", "no JSON object");
  }
  if (message_.error) return give_up(user, "stream_error", message_.detail);
  if (message_.subscribed) stands(user);
  if (message_.live) who.link->catching_up = false;
  if (message_.gap) {
    fail("gap", fmt::format("gap: {} bytes of log were not told", message_.lost_bytes));
  }
  if (message_.slow) {
    who.link->was_slow = true;
    if (!is_websocket()) {
      if (class_of().slow) note("closed_as_slow");
      else fail("closed_as_slow", "closed_as_slow: the gateway has more than this tool takes");
    }
  }
  if (message_.coalesced > 0) tally().notes["coalesced"] += message_.coalesced;
  for (const StreamEvent& event : message_.events) {
    take_event(who, event, message_.coalesced == 0);
    if (event.received_us == 0 || who.link->catching_up) continue;
    const WallUs late_us = shard().wall_now() - event.received_us;
    delivery().record(std::clamp<WallUs>(late_us, 0, late_max_us) * 1'000);
  }
  tally().delivered += message_.events.size();
  if (!message_.cursor.empty()) take_cursor(who, message_.cursor);
}

// `in_order`: nothing was coalesced.
void SubscriberCrowd::take_event(User& who, const StreamEvent& event, bool in_order) {
  const std::optional<RecordPlace> place = read_record(event.record);
  if (!place) return fail("bad_message", "bad_message: an event without a record");
  for (Told& last : who.told) {
    if (last.place.stream != place->stream) continue;
    const bool again = place->position == last.place.position && event.type == last.type &&
                       event.alarm == last.alarm && event.sub == last.sub;
    if (in_order && (again || place->position < last.place.position)) {
      return fail("duplicate", "duplicate: " + event.record + " came again, or after a later one");
    }
    last.place.position = std::max(last.place.position, place->position);
    last.type = event.type;
    last.alarm = event.alarm;
    last.sub = event.sub;
    return;
  }
  who.told.push_back({*place, event.type, event.alarm, event.sub});
}

// "NODE-RUN-POSITION-POSITION...", in hexadecimal: no position ever becomes less.
void SubscriberCrowd::take_cursor(User& who, const std::string& cursor) {
  const std::vector<std::uint64_t> before = places_of(who.cursor);
  const std::vector<std::uint64_t> after = places_of(cursor);
  if (before.size() == after.size() && before.size() > 2 &&
      std::equal(before.begin(), before.begin() + 2, after.begin())) {
    for (std::size_t i = 2; i < after.size(); ++i) {
      if (after[i] >= before[i]) continue;
      fail("cursor_went_back", "cursor_went_back: " + who.cursor + " to " + cursor);
      break;
    }
  }
  who.cursor = cursor;
}

}  // namespace ringgate::load
