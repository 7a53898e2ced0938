#include "protocols/jt808/session.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/inflate.hpp"
#include "protocols/jt808/session_events.hpp"

namespace ringgate::jt808 {

namespace {

constexpr std::uint16_t attribute_rsa = 1U << 10;

}  // namespace

SessionOptions session_options(const config::Settings& settings) {
  const auto milliseconds = [&](const char* key) {
    return static_cast<std::uint32_t>(settings.duration_ns(key) / ns_per_ms);
  };
  SessionOptions options;
  options.admission = static_cast<Admission>(settings.choice_index("jt808.admission"));
  options.commit = settings.text("jt808.durability") == "commit";
  options.log_heartbeats = settings.boolean("jt808.log_heartbeats");
  options.idle_timeout_ms = milliseconds("jt808.idle_timeout");
  options.auth_timeout_ms = milliseconds("jt808.auth_timeout");
  options.max_bad_frames = static_cast<std::uint32_t>(settings.integer("jt808.max_bad_frames"));
  options.bad_frame_window_ns = settings.duration_ns("jt808.bad_frame_window");
  options.commands = command_options(settings);
  options.rsa_key_file = settings.text("jt808.rsa_key_file");
  options.rsa_padding = static_cast<RsaPadding>(settings.choice_index("jt808.rsa_padding"));
  options.part_timeout_ns = settings.duration_ns("jt808.part_timeout");
  options.part_requests = static_cast<std::uint32_t>(settings.integer("jt808.part_requests"));
  return options;
}

Session::Session(net::Links& links, log::Writer& log, device::DeviceTable& devices,
                 const Authenticator& authenticator, observe::CounterGroup& counters,
                 observe::LogSource& logs, const SessionOptions& options)
    : links_(links),
      log_(log),
      devices_(devices),
      authenticator_(authenticator),
      counters_(counters),
      logs_(logs),
      options_(options),
      scratch_(std::make_unique<std::uint8_t[]>(scratch_size)),
      oversight_(links, log),
      downlink_(links, log, counters),
      commands_(links, log, devices, downlink_, counters, options.commands),
      parts_(links, log, devices, counters, logs),
      media_(links, devices, counters, logs) {
  downlink_.set_tracer(oversight_.tracer);
  parts_.set_tracer(oversight_.tracer);
  media_.set_tracer(oversight_.tracer);
  parts_.set_options(options.part_timeout_ns, options.part_requests);
  if (options.rsa_key_file.empty()) return;
  auto key = RsaKey::open(options.rsa_key_file, options.rsa_padding);
  if (key) {
    rsa_ = std::move(*key);
  } else {  // it was there when the configuration was checked
    logs.error("no RSA key", {{"why", key.error().message}});
  }
}

void Session::on_settings(const config::Settings& settings) {
  options_ = session_options(settings);
  commands_.set_options(options_.commands);
  parts_.set_options(options_.part_timeout_ns, options_.part_requests);
}

void Session::on_open(net::Link& link) {
  State& state = link.session<State>();
  state.device = device::no_device;
  state.stranger_since_ns = links_.shard().now();
  links_.set_idle_timeout(link, std::min(options_.auth_timeout_ms, options_.idle_timeout_ms));
}

void Session::on_close(net::Link& link, net::CloseReason reason) {
  State& state = link.session<State>();
  if (state.authenticated) detach(link, state, net::name_of(reason));
}

std::size_t Session::on_bytes(net::Link& link, Bytes bytes) {
  std::size_t used = 0;
  while (link.readable()) {
    const NextFrame next = next_frame(bytes.subspan(used), {scratch_.get(), scratch_size});
    if (next.kind == NextFrame::Kind::frame) [[likely]] {
      if (handle(link, next.frame) == Taken::no) return used;
      used += next.consumed;
      continue;
    }
    const Bytes segment = bytes.subspan(used, next.consumed);
    used += next.consumed;
    if (next.kind == NextFrame::Kind::need_more) break;
    oversight_.bad_frames.note(link, links_.shard().wall_now(), next.reason, segment);
    bad(link, next.reason);
  }
  return used;
}

Session::Taken Session::handle(net::Link& link, Bytes frame) {
  Incoming in{frame, {}};
  const BadReason reason = parse_header(frame, in.header);
  if (reason != BadReason::none) [[unlikely]] {
    oversight_.bad_frames.note_header(link, links_.shard().wall_now(), reason, frame);
    bad(link, reason);
    return Taken::yes;
  }
  if (oversight_.tracer.watching()) [[unlikely]] return handle_watched(link, in);
  return handle_frame(link, in);
}

Session::Taken Session::handle_watched(net::Link& link, const Incoming& in) {
  oversight_.tracer.frame_begins(link, in.header);
  const Taken taken = handle_frame(link, in);
  oversight_.tracer.frame_ends(link, in.frame, taken == Taken::yes);
  return taken;
}

Session::Taken Session::handle_frame(net::Link& link, const Incoming& in) {
  State& state = link.session<State>();
  if (state.authenticated && is_from(in.header, state.peer)) [[likely]] {
    return handle_known(link, state, in);
  }
  // The version is told per frame: the same phone in another layout is the same terminal.
  if (state.authenticated && devices_.at(state.device).key.id() == in.header.phone.text()) {
    state.peer = peer_of(in.header);
    return handle_known(link, state, in);
  }
  return handle_stranger(link, state, in);
}

Session::Taken Session::handle_known(net::Link& link, State& state, const Incoming& in) {
  const std::uint16_t id = in.header.message_id;
  if (id == id::registration) return registration(link, state, in);
  if (id == id::authentication) return authentication(link, state, in);
  device::Device& device = devices_.at(state.device);
  device.last_heard_us = static_cast<std::uint64_t>(links_.shard().wall_now());
  devices_.note_change();
  talkers_.note(state.device, in.frame.size(), links_.shard().now());
  if (id == id::heartbeat && !options_.log_heartbeats) {
    counters_.frames.add();
    ack(link, state, state.peer, in.header, AckResult::ok);
    return Taken::yes;
  }
  if (in.header.fragment() || in.header.encrypted()) [[unlikely]] {
    return take_part(link, state, in);
  }
  if (!log_.has_room(device.key.size + in.frame.size())) [[unlikely]] {
    return not_stored(link, state, in);
  }
  const bool duplicate = device.heard_before(fingerprint(in.header, in.body()));
  if (duplicate) counters_.duplicates.add();
  RG_CHECK(store(link, device.key.id(), in, duplicate));
  ++device.frames;
  counters_.frames.add();
  if (id == id::terminal_reply) {  // an answer is not answered
    take_answer(state.device, in);
    return Taken::yes;
  }
  if (id == id::time_query) {
    reply_time(link, state, state.peer);
    return Taken::yes;
  }
  if (id == id::terminal_rsa_key && rsa_ != nullptr && in.body().size() >= 132) {
    reply_key(link, state);
    return Taken::yes;
  }
  if (id == id::media_upload) {
    media_.take(link, state.device, in.body(), in.header.serial);
    return Taken::yes;
  }
  const AckResult result = id == id::resend_request
                               ? resend(link, device, in.body())
                               : take_message(state, in);
  if (result == AckResult::bad_message) [[unlikely]] bad_body(link, in);
  const bool awaited = device.has_commands && id != id::location && take_answer(state.device, in);
  ack(link, state, state.peer, in.header,
      awaited && result == AckResult::unsupported ? AckResult::ok : result);
  if (id == id::logout) {
    detach(link, state, why_logout);
    state.stranger_since_ns = links_.shard().now();
    links_.set_idle_timeout(link, std::min(options_.auth_timeout_ms, options_.idle_timeout_ms));
  }
  return Taken::yes;
}

// A part is logged and acknowledged as it comes. The one that makes its message whole is
// acknowledged after the record of the whole. So is an encrypted frame that opens: what it says is
// a whole of its own.
Session::Taken Session::take_part(net::Link& link, State& state, const Incoming& in) {
  device::Device& device = devices_.at(state.device);
  Incoming opened = in;
  std::vector<std::uint8_t> plain;
  // The terminal keeps it and sends it again.
  if (opens(in) && !dear_.open(state.dear_ns, links_.shard().now())) {
    refuse(link, state, in, Refusal::too_dear, AckResult::failed);
    return Taken::yes;
  }
  const Bytes body = decrypt(state, opened, plain) ? Bytes(plain) : in.body();
  const Header& header = opened.header;  // without encryption bits where it opened
  if (!log_.has_room(device.key.size + in.frame.size() +
                     parts_.log_room(state.device, header, body))) {
    return not_stored(link, state, in);
  }
  const bool heard = device.heard_before(fingerprint(in.header, in.body()));
  Whole whole;
  PartVerdict verdict = PartVerdict::kept;
  if (header.fragment()) {
    verdict = parts_.take(state.device, header, body, whole);
  } else if (!header.encrypted()) {
    whole = whole_of(header, body);
  }
  const bool duplicate = heard || verdict == PartVerdict::duplicate;
  if (duplicate) counters_.duplicates.add();
  RG_CHECK(store(link, device.key.id(), in, duplicate));
  ++device.frames;
  counters_.frames.add();
  if (in.header.encrypted()) counters_.encrypted.add(encrypted_outcome(in.header, header));
  if (!whole.frame.empty()) {
    const Position position = parts_.store_whole(link.id(), state.device, whole,
                                                 in.header.packet_total);
    if (position != 0 && options_.commit) links_.logged(link, position);
  }
  std::optional<AckResult> result = AckResult::ok;
  if (verdict == PartVerdict::mismatch) result = AckResult::bad_message;
  if (!header.fragment()) {
    result = AckResult::unsupported;
    if (!whole.frame.empty()) result = take_whole(link, state, whole);
  }
  if (result && in.header.message_id != id::terminal_reply) {
    ack(link, state, state.peer, in.header, *result);
  }
  if (header.fragment() && !whole.frame.empty()) {
    static_cast<void>(take_whole(link, state, whole));
  } else if (verdict == PartVerdict::duplicate && header.message_id == id::media_upload) {
    media_.on_repeated_part(state.device, header);
  }
  return Taken::yes;
}

// Goes where a message in one frame goes. What to answer; nothing where that is done.
std::optional<AckResult> Session::take_whole(net::Link& link, State& state, const Whole& whole) {
  const Incoming in{whole.frame, whole.header};
  const std::uint16_t id = in.header.message_id;
  if (id == id::media_upload && !in.header.encrypted()) {
    media_.take(link, state.device, in.body(), whole.last_serial);
    return std::nullopt;
  }
  const AckResult result = take_message(state, in);
  if (result == AckResult::bad_message) bad_body(link, in);
  const bool awaited = take_answer(state.device, in);
  return awaited && result == AckResult::unsupported ? AckResult::ok : result;
}

Encrypted Session::encrypted_outcome(const Header& came, const Header& opened) const {
  if (!opened.encrypted()) return Encrypted::decrypted;
  if ((came.attributes & attribute_encryption) != attribute_rsa) return Encrypted::unknown_method;
  return rsa_ == nullptr ? Encrypted::no_key : Encrypted::failed;
}

// JT/T 808-2013 4.4.3: bit 10 of the attributes says RSA, the other methods are reserved.
bool Session::opens(const Incoming& in) const {
  return (in.header.attributes & attribute_encryption) == attribute_rsa && rsa_ != nullptr;
}

// True: the body is `plain`, and the header of `in` says no encryption.
bool Session::decrypt(State& state, Incoming& in, std::vector<std::uint8_t>& plain) {
  if (!opens(in)) return false;
  const auto blocks = static_cast<MonoNs>(in.body().size() / RsaKey::block_size);
  dear_.charge(blocks * rsa_block_cost, state.dear_ns, links_.shard().now());
  auto opened = rsa_->decrypt(in.body());
  if (!opened) return false;
  plain = std::move(*opened);
  in.header.attributes &= static_cast<std::uint16_t>(~attribute_encryption);
  return true;
}

// 0x8A00, JT/T 808-2013 8.66.
void Session::reply_key(net::Link& link, State& state) {
  const RsaKey::PublicKey& key = rsa_->public_key();
  FrameWriter frame(state.peer, id::platform_rsa_key, state.next_serial++);
  frame.u32(key.exponent).bytes(key.modulus);
  std::uint8_t* room = links_.reply_room(link, wire_size_max);
  links_.reply_done(link, static_cast<std::uint32_t>(frame.finish({room, wire_size_max})));
}

// 0x0005, JT/T 808-2019 8.6.
AckResult Session::resend(net::Link& link, const device::Device& device, Bytes body) {
  const bool kept = downlink_.on_resend_request(link, device.key, body);
  return kept ? AckResult::ok : AckResult::failed;
}

// Whether a command waited for it.
bool Session::take_answer(device::DeviceSlot slot, const Incoming& in) {
  if (in.header.fragment() || in.header.encrypted()) return false;
  return commands_.on_message(slot, in.header, in.body(), in.frame);
}

// What a stored message says and how it is answered.
AckResult Session::take_message(State& state, const Incoming& in) {
  device::Device& device = devices_.at(state.device);
  const Header& header = in.header;
  if (header.fragment() || header.encrypted()) return AckResult::unsupported;
  switch (header.message_id) {
    case id::location: {
      Location location;
      if (!decode_location(in.body(), location)) return AckResult::bad_message;
      take_position(device, location);
      return AckResult::ok;
    }
    case id::location_batch: {
      const BatchSummary batch = for_each_location(
          in.body(),
          [&](const Location& location, Bytes, std::size_t) { take_position(device, location); });
      const bool usable = !batch.malformed && batch.bad == 0;
      return usable ? AckResult::ok : AckResult::bad_message;
    }
    case id::heartbeat:
    case id::logout:
      return AckResult::ok;
    case id::compressed:
      return take_compressed(state, in.body());
    default: {
      const MessageSpec* message = find_message(header.message_id);
      if (message == nullptr || !message->from_device) return AckResult::unsupported;
      const bool decodes = check_body(*message, header.version, in.body()).ok();
      return decodes ? AckResult::ok : AckResult::bad_message;
    }
  }
}

// It is logged as it came; who sends more than can be checked is believed.
AckResult Session::take_compressed(State& state, Bytes body) {
  const MonoNs now = links_.shard().now();
  Inflated content = Inflated::unchecked;
  if (dear_.open(state.dear_ns, now)) {
    std::uint64_t made = 0;
    content = check_gzip(gzip_of(body), &made);
    const auto cost = inflate_cost + static_cast<MonoNs>(made) * inflated_byte_cost;
    dear_.charge(cost, state.dear_ns, now);
  }
  counters_.compressed.add(content);
  const bool bad = content == Inflated::broken || content == Inflated::bomb;
  return bad ? AckResult::bad_message : AckResult::ok;
}

void Session::take_position(device::Device& device, const Location& location) {
  counters_.positions.add();
  jt808::take_position(device.last_state<LastState>(), location, links_.shard().wall_now());
}

// Before authentication, and frames of another phone than the link's.
Session::Taken Session::handle_stranger(net::Link& link, State& state, const Incoming& in) {
  // Talking on does not keep a stranger: only silence has a timer, so the time is looked at here.
  const MonoNs since = links_.shard().now() - state.stranger_since_ns;
  if (!state.authenticated && since > options_.auth_timeout_ms * ns_per_ms &&
      in.header.message_id != id::authentication) {
    counters_.frames.add();
    counters_.refused.add(Refusal::unauthenticated);
    links_.close(link, net::CloseReason::idle);
    return Taken::yes;
  }
  switch (in.header.message_id) {
    case id::registration:
      return registration(link, state, in);
    case id::authentication:
      return authentication(link, state, in);
    case id::time_query:
      counters_.frames.add();
      reply_time(link, state, peer_of(in.header));
      return Taken::yes;
    default:
      refuse(link, state, in, Refusal::unauthenticated, AckResult::failed);
      return Taken::yes;
  }
}

// Whether the terminal's home is here; if not, the link is on its way.
bool Session::at_home(net::Link& link, State& state, const DeviceKey& key) {
  const ShardIndex home = home_shard(key, links_.shard().count());
  if (home == links_.shard().index()) return true;
  // Of datagrams only the rest of this one goes.
  if (state.authenticated && !link.datagram) detach(link, state, "another terminal on its link");
  links_.request_move(link, home);
  return false;
}

Session::Taken Session::registration(net::Link& link, State& state, const Incoming& in) {
  const DeviceKey key(Namespace::phone, in.header.phone.text());
  if (!at_home(link, state, key)) return Taken::no;
  if (const auto why = barred(key)) [[unlikely]] return refuse_entry(link, state, in, *why);
  Registration fields;
  if (in.header.fragment() || in.header.encrypted() ||
      !decode_registration(in.header, in.body(), fields)) {
    refuse(link, state, in, Refusal::malformed, AckResult::bad_message);
    return Taken::yes;
  }
  if (is_other_terminal(key, fields.terminal_id)) {
    return refuse_entry(link, state, in, Refusal::other_terminal);
  }
  if (!log_.has_room(key.size + in.frame.size())) return not_stored(link, state, in);
  const device::DeviceSlot slot = devices_.find(key);
  device::Device* device = slot == device::no_device ? nullptr : &devices_.at(slot);
  const bool duplicate =
      device != nullptr && device->heard_before(fingerprint(in.header, in.body()));
  devices_.note_change();
  if (duplicate) counters_.duplicates.add();
  RG_CHECK(store(link, key.id(), in, duplicate));
  counters_.frames.add();
  counters_.registrations.add();
  using Registered = TerminalState::Registered;
  const bool of_2011 = fields.layout == Registration::Layout::v2011;
  state.registered = of_2011 ? Registered::v2011 : Registered::later;
  const Authenticator::Code code =
      authenticator_.make_code(key.id(), oversight_.state->generation(key));
  std::uint8_t* room = links_.reply_room(link, 128);
  links_.reply_done(link, static_cast<std::uint32_t>(write_register_reply(
                              {room, 128}, peer_of(in.header), state.next_serial++,
                              in.header.serial, RegisterResult::ok, {code.data(), code.size()})));
  return Taken::yes;
}

Session::Taken Session::authentication(net::Link& link, State& state, const Incoming& in) {
  const DeviceKey key(Namespace::phone, in.header.phone.text());
  if (!at_home(link, state, key)) return Taken::no;
  if (const auto why = barred(key)) [[unlikely]] return refuse_entry(link, state, in, *why);
  Authentication fields;
  if (in.header.fragment() || in.header.encrypted() ||
      !decode_authentication(in.header, in.body(), fields)) {
    refuse(link, state, in, Refusal::malformed, AckResult::bad_message);
    return Taken::yes;
  }
  device::DeviceSlot slot = devices_.find(key);
  if (!authenticator_.check(fields.code, key.id(), oversight_.state->generation(key))) {
    logs_.warn("authentication refused", {{"device", key.id()}, {"peer", peer_text(link.peer)}});
    refuse(link, state, in, Refusal::wrong_code, AckResult::failed);
    count_bad(link);
    return Taken::yes;
  }
  // Two records: the frame, and that the device is online.
  if (!log_.has_room(2 * key.size + in.frame.size() + 512)) return not_stored(link, state, in);
  if (slot == device::no_device) slot = devices_.find_or_add(key);
  if (slot == device::no_device) {
    logs_.error("device table is full; the terminal is refused", {{"device", key.id()}});
    refuse(link, state, in, Refusal::table_full, AckResult::failed);
    return Taken::yes;
  }
  const bool duplicate = devices_.at(slot).heard_before(fingerprint(in.header, in.body()));
  if (duplicate) counters_.duplicates.add();
  if (duplicate && is_late_copy(link, devices_.at(slot))) {
    counters_.frames.add();
    counters_.refused.add(Refusal::late_copy);
    return Taken::yes;
  }
  RG_CHECK(store(link, key.id(), in, duplicate));
  counters_.frames.add();
  attach(link, state, slot, in);
  ack(link, state, state.peer, in.header, AckResult::ok);
  return Taken::yes;
}

// The terminal speaks on this link from now on; a link it had before ends. JT/T 808-2019 5.4.
void Session::attach(net::Link& link, State& state, device::DeviceSlot slot, const Incoming& in) {
  if (state.authenticated && state.device != slot) {
    detach(link, state, "another terminal on its link");
  }
  device::Device& device = devices_.at(slot);
  const bool again = state.authenticated;
  if (device.link.valid() && !(device.link == link.id())) {
    net::Link* old = links_.find(device.link);
    if (old != nullptr) {
      counters_.replaced.add();
      links_.close(*old, net::CloseReason::replaced);  // detaches it
    }
  }
  state.peer = peer_of(in.header);
  state.device = slot;
  state.authenticated = true;
  if (state.registered != TerminalState::Registered::unknown) {
    device.last_state<LastState>().layout_2011 =
        state.registered == TerminalState::Registered::v2011 ? 1 : 0;
  }
  state.bound_ns = links_.shard().now();
  devices_.note_change();
  links_.trust(link);
  device.link = link.id();
  device.last_heard_us = static_cast<std::uint64_t>(links_.shard().wall_now());
  device.last_state<LastState>().version =
      in.header.version == Version::v2019 ? LastState::v2019 : LastState::v2013;
  counters_.authentications.add();
  if (!again) {
    device.online_since_us = device.last_heard_us;
    counters_.online.add();
    store_session(link, device.key.id(), event_online,
                  "online " + peer_text(link.peer) + (link.datagram ? " udp" : ""));
    commands_.on_attached(slot);
    for (event::PresenceWatcher* watcher : presence_) watcher->on_presence(device.key, true);
  }
  links_.set_idle_timeout(link, options_.idle_timeout_ms);
}

void Session::detach(net::Link& link, State& state, std::string_view why) {
  device::Device& device = devices_.at(state.device);
  if (device.link == link.id()) device.link = {};
  store_session(link, device.key.id(), event_offline, "offline " + std::string(why));
  commands_.on_detached(state.device);
  if (!device.link.valid()) {
    for (event::PresenceWatcher* watcher : presence_) watcher->on_presence(device.key, false);
  }
  state.authenticated = false;
  state.device = device::no_device;
  counters_.online.sub();
}

bool Session::store(net::Link& link, std::string_view device, const Incoming& in, bool duplicate) {
  const log::RecordInfo info{.kind = log::Kind::frame_up,
                             .ns = Namespace::phone,
                             .flags = duplicate ? log::flag_duplicate : std::uint8_t{0},
                             .message = in.header.message_id,
                             .serial = in.header.serial,
                             .link = link.id().packed(),
                             .device = device};
  const Position position = log_.append(info, in.frame);
  if (position == 0) return false;
  if (options_.commit) links_.logged(link, position);
  return true;
}

// Best effort where the log takes nothing: the frames themselves say who was there.
void Session::store_session(net::Link& link, std::string_view device, std::uint16_t event,
                            std::string_view text) {
  const log::RecordInfo info{.kind = log::Kind::session,
                             .ns = Namespace::phone,
                             .message = event,
                             .link = link.id().packed(),
                             .device = device};
  if (!log_.has_room(device.size() + text.size())) return;
  const Position position = log_.append(info, as_bytes(text));
  if (position != 0 && options_.commit) links_.logged(link, position);
}

// log.on_failure = refuse answers "failed", so that the terminal keeps the frame and sends it
// again; in every other case the frame waits with us until the log takes it.
Session::Taken Session::not_stored(net::Link& link, State& state, const Incoming& in) {
  if (links_.shard().watermark().state() == flow::LogState::refusing) {
    refuse(link, state, in, Refusal::log, AckResult::failed);
    return Taken::yes;
  }
  links_.wait_for_log(link);
  return Taken::no;
}

// JT/T 808-2019 8.5.
void Session::reply_time(net::Link& link, State& state, const Peer& peer) {
  constexpr std::uint32_t room_size = 64;  // 2019 with every byte escaped is 50
  const auto now_s = links_.shard().wall_now() / us_per_s;
  std::uint8_t* room = links_.reply_room(link, room_size);
  links_.reply_done(link, static_cast<std::uint32_t>(write_time_reply(
                              {room, room_size}, peer, state.next_serial++, now_s)));
}

void Session::ack(net::Link& link, State& state, const Peer& peer, const Header& header,
                  AckResult result) {
  counters_.acks.add(result);
  std::uint8_t* room = links_.reply_room(link, ack_size_max);
  const std::size_t size = write_ack({room, ack_size_max}, peer, state.next_serial++, header.serial,
                                     header.message_id, result);
  links_.reply_done(link, static_cast<std::uint32_t>(size));
}

void Session::refuse(net::Link& link, State& state, const Incoming& in, Refusal why,
                     AckResult result) {
  counters_.frames.add();
  counters_.refused.add(why);
  if (in.header.message_id == id::terminal_reply) return;
  ack(link, state, peer_of(in.header), in.header, result);
}

// Why the terminal may neither register nor authenticate; nothing: it may.
std::optional<Refusal> Session::barred(const DeviceKey& key) const {
  if (oversight_.state->ban_of(key, links_.shard().wall_now()) != nullptr) return Refusal::banned;
  if (options_.admission == Admission::open) return {};
  const auto registration = oversight_.state->registration(key);
  if (registration && registration->enabled) return {};
  return Refusal::unregistered;
}

// Where the operator has named a terminal, another one with the same phone number is refused: the
// card may have been taken out. Plates are not compared: people write them in many ways.
bool Session::is_other_terminal(const DeviceKey& key, Bytes terminal_id) const {
  if (options_.admission == Admission::open) return false;
  const auto registration = oversight_.state->registration(key);
  if (!registration || registration->terminal_id.empty()) return false;
  std::string_view said = as_text(terminal_id);
  // Filled up with zeros in front (2019) or behind, or with blanks.
  constexpr std::string_view filling("\0 ", 2);
  const std::size_t begin = std::min(said.find_first_not_of(filling), said.size());
  said.remove_prefix(begin);
  said = said.substr(0, said.find_last_not_of(filling) + 1);
  return said != registration->terminal_id;
}

// gate.hpp says what a terminal that may not come is told, and why.
Session::Taken Session::refuse_entry(net::Link& link, State& state, const Incoming& in,
                                     Refusal why) {
  logs_.warn("terminal refused",
             {{"device", in.header.phone.text()}, {"peer", peer_text(link.peer)},
              {"why", refusal_names[static_cast<std::size_t>(why)]}});
  if (in.header.message_id == id::authentication) {
    refuse(link, state, in, why, AckResult::failed);
    return Taken::yes;
  }
  counters_.frames.add();
  counters_.refused.add(why);
  std::uint8_t* room = links_.reply_room(link, 128);
  links_.reply_done(link, static_cast<std::uint32_t>(write_register_reply(
                              {room, 128}, peer_of(in.header), state.next_serial++,
                              in.header.serial, RegisterResult::no_such_terminal, {})));
  return Taken::yes;
}

void Session::bad_body(const net::Link& link, const Incoming& in) {
  const BodyCheck check = check_body(in.header, in.body());
  oversight_.bad_frames.note_body(link, links_.shard().wall_now(), in.header.phone.text(),
                                  in.frame, in.header.size + check.offset);
}

void Session::bad(net::Link& link, BadReason reason) {
  counters_.bad.add(reason);
  if (logs_.enabled(observe::Level::debug)) {
    logs_.debug("bad frame", {{"peer", peer_text(link.peer)}, {"reason", jt808::name(reason)}});
  }
  count_bad(link);
}

void Session::count_bad(net::Link& link) {
  State& state = link.session<State>();
  const std::uint32_t count =
      state.bad_frames.add(links_.shard().now(), options_.bad_frame_window_ns);
  if (count <= options_.max_bad_frames) return;
  logs_.warn("too many bad frames; link closed", {{"peer", peer_text(link.peer)}});
  links_.close(link, net::CloseReason::bad_frames);
}

}  // namespace ringgate::jt808
