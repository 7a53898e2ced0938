// Terminals: traffic, reports out and answers in.
#include "tools/load/crowd/terminals.hpp"

#include <algorithm>
#include <bit>
#include <cerrno>

namespace ringgate::load {
namespace {

constexpr std::uint32_t buffers_per_slab = 64;
// Off the powers of two, so that the buffers' first lines do not share one set of the cache.
constexpr std::uint32_t send_buffer_bytes_max = 4096 - 64;
// A frame in a send of several takes about so much.
constexpr std::uint32_t frame_bytes = 80;
// So many sends are timed as one: the clock costs as much as the third part of a report.
constexpr std::uint32_t sends_per_clock = 16;

}  // namespace

Terminals::Terminals(shard::Shard& shard, Desk& desk, io::BufferRing& buffers,
                     const TerminalsOptions& options, Owner& owner)
    : shard_(shard), buffers_(buffers), options_(options), owner_(owner),
      member_(desk.join(*this)), writer_(options.version), devices_(options.devices),
      serial_span_(static_cast<std::uint16_t>(std::bit_ceil(options.window))),
      side_writer_(options.version), uploads_(shard, member_, *this), chance_(options.seed),
      progress_ns_(shard.sys().mono_now()) {
  RG_CHECK(options.devices <= Desk::index_limit && options.window <= 4096);
  for (std::uint32_t i = 0; i < options.devices; ++i) {
    devices_[i].phone = phone_from_number(number_of(i));
    if (options.drive) vehicles_.emplace_back(number_of(i));
  }
  std::uint8_t scratch[FrameWriter::report_bytes_max];  // all reports have this position
  writer_.report(scratch, Phone{}, 0, BcdTime{}, options.position);
  constexpr auto one = static_cast<std::uint32_t>(FrameWriter::frame_bytes_max);
  send_buffer_bytes_ =
      std::min(send_buffer_bytes_max, one + options.frames_per_send * frame_bytes);
}

Terminals::~Terminals() {
  for (const Device& device : devices_) {
    if (device.fd >= 0) shard_.sys().close(device.fd);
  }
}

void Terminals::on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) {
  if (io::tag_of(user_data) == io::Tag::tool) {
    return uploads_.on_completion(user_data, result, flags);
  }
  const std::uint32_t index = Desk::index_of(user_data);
  RG_CHECK(index < devices_.size());
  RG_CHECK(devices_[index].generation == io::generation_of(user_data));
  switch (io::tag_of(user_data)) {
    case io::Tag::connect: return on_connect(index, result);
    case io::Tag::recv: return on_recv(index, result, flags);
    case io::Tag::send: return on_send(index, result);
    default: RG_CHECK(false);
  }
}

void Terminals::turn() {
  if (options_.handshake_limit_ns > 0) expire_handshakes();
  run_terminals();
  if (!dirty_.empty()) {
    if (shard_.wall_now() / us_per_s != bcd_second_) {
      bcd_second_ = shard_.wall_now() / us_per_s;
      bcd_time_ = bcd_time(shard_.wall_now());
    }
    for (std::size_t i = 0; i < dirty_.size(); ++i) {
      if (i % sends_per_clock == 0) send_time_ns_ = shard_.sys().mono_now();
      devices_[dirty_[i]].dirty = false;
      report(dirty_[i]);
    }
    dirty_.clear();
  }
  for (const std::uint32_t index : starved_) {
    if (devices_[index].state != State::closing && devices_[index].state != State::down) {
      arm_recv(index);
    }
  }
  starved_.clear();
}

MonoNs Terminals::next_due() const {
  MonoNs until = std::min(uploads_.next_due(), retransmission_.next_due());
  if (!terminal_due_.empty()) until = std::min(until, terminal_due_.top().first);
  if (!handshake_limits_.empty()) until = std::min(until, handshake_limits_.front().limit_ns);
  return until;
}

void Terminals::set_reporting(bool reporting) {
  reporting_ = reporting;
  if (!reporting) return;
  for (std::uint32_t i = 0; i < devices_.size(); ++i) {
    if (devices_[i].state == State::ready) mark(i);
  }
}

// ---- reports out -------------------------------------------------------------------------------

void Terminals::mark(std::uint32_t index) {
  if (devices_[index].dirty) return;
  devices_[index].dirty = true;
  dirty_.push_back(index);
}

Terminals::Due Terminals::report_due(std::uint32_t index, MonoNs due_ns) {
  Device& who = device(index);
  if (who.leaving || !who.settled) return Due::excused;
  if (who.state != State::ready) return is_sent_away(index) ? Due::excused : Due::missed;
  if (options_.due_max > 0 && who.outstanding + who.waiting >= options_.due_max) {
    return Due::full;
  }
  const std::uint32_t number = add_pending(who, due_ns);
  if (who.first_waiting == no_pending) who.first_waiting = number;
  ++who.waiting;
  ++held_back_;
  mark(index);
  return Due::taken;
}

std::uint32_t Terminals::add_pending(Device& who, MonoNs due_ns) {
  if (free_pending_ == no_pending) {
    const auto first = static_cast<std::uint32_t>(pending_slabs_.size()) * pendings_per_slab;
    pending_slabs_.push_back(std::make_unique<Pending[]>(pendings_per_slab));
    for (std::uint32_t i = pendings_per_slab; i-- > 0;) free_pending(first + i);
  }
  const std::uint32_t number = free_pending_;
  Pending& one = pending(number);
  free_pending_ = one.next;
  one = Pending{.due_ns = due_ns};
  if (who.first == no_pending) who.first = number;
  else pending(who.last).next = number;
  who.last = number;
  return number;
}

void Terminals::free_pending(std::uint32_t number) {
  pending(number).next = free_pending_;
  free_pending_ = number;
}

// The report that is outstanding under this serial, and the one before it.
std::uint32_t Terminals::find_sent(Device& who, std::uint16_t serial, std::uint32_t& before) {
  before = no_pending;
  for (std::uint32_t at = who.first; at != who.first_waiting; at = pending(at).next) {
    if (pending(at).serial == serial) return at;
    before = at;
  }
  return no_pending;
}

// Its link is gone: nothing of it will be answered, and nothing more be sent.
void Terminals::drop_pending(std::uint32_t index, MonoNs excused_ns) {
  Device& who = device(index);
  std::uint32_t excused = 0;
  bool was_sent = true;
  for (std::uint32_t at = who.first; at != no_pending;) {
    const std::uint32_t next = pending(at).next;
    was_sent = was_sent && at != who.first_waiting;
    if (was_sent && who.state == State::ready && shard_.now() - pending(at).due_ns < excused_ns) {
      ++excused;
    }
    free_pending(at);
    at = next;
  }
  who.first = who.last = who.first_waiting = no_pending;
  if (!closing_) {
    counts_.cut_off += excused;
    fail(Failure::unanswered, who.outstanding - excused);
  }
  if (!closing_ && !is_sent_away(index)) fail(Failure::missed, who.waiting);
  outstanding_ -= who.outstanding;
  held_back_ -= who.waiting;
  who.outstanding = 0;
  who.waiting = 0;
}

bool Terminals::may_report(const Device& who) {
  if (who.outstanding >= options_.window) return false;
  if (who.first_waiting == no_pending && !(options_.closed && reporting_ && !who.leaving)) {
    return false;
  }
  // An answer is missing from a window ago: wait for it.
  return who.outstanding == 0 ||
         static_cast<std::uint16_t>(who.next_serial - pending(who.first).serial) < serial_span_;
}

// Fills one send with what this device may report now.
void Terminals::report(std::uint32_t index) {
  Device& who = device(index);
  if (who.buffer != no_buffer) return;
  if (who.has_side && send_queued(index)) return;
  if (who.leaving && step_leaving(index)) return;
  if (who.state != State::ready || !may_report(who)) return;
  std::uint8_t* buffer = take_buffer(index);
  std::size_t size = 0;
  do {
    if (who.first_waiting == no_pending) {
      who.first_waiting = add_pending(who, send_time_ns_);
    } else {
      --who.waiting;
      --held_back_;
    }
    Pending& one = pending(who.first_waiting);
    who.first_waiting = one.next;
    one.serial = who.next_serial++;
    one.lag_ns =
        static_cast<std::uint32_t>(std::clamp<MonoNs>(send_time_ns_ - one.due_ns, 0, UINT32_MAX));
    ++who.outstanding;
    ++outstanding_;
    size += write_report(index, buffer + size);
    ++counts_.sent;
  } while (!options_.udp && size + FrameWriter::report_bytes_max <= send_buffer_bytes_ &&
           may_report(who));
  if (!options_.udp) return send(index, size);
  const Body wire(buffer, buffer + size);
  free_buffer(who);
  queue_datagram(index, static_cast<std::uint16_t>(who.next_serial - 1), wire);
  send_queued(index);
}

std::size_t Terminals::write_report(std::uint32_t index, std::uint8_t* out) {
  const Device& who = devices_[index];
  const auto serial = static_cast<std::uint16_t>(who.next_serial - 1);
  if (who.has_side) {
    return side_writer_.report(out, who.phone, serial, bcd_time_, moment_of(index).position);
  }
  if (options_.drive) {
    return writer_.report(out, who.phone, serial, bcd_time_,
                          vehicles_[index].drive_to(shard_.now()));
  }
  return writer_.report(out, who.phone, serial, bcd_time_);
}

std::uint8_t* Terminals::take_buffer(std::uint32_t index) {
  if (free_buffers_.empty()) {
    const auto first = static_cast<std::uint32_t>(slabs_.size()) * buffers_per_slab;
    slabs_.push_back(std::make_unique_for_overwrite<std::uint8_t[]>(
        std::size_t{buffers_per_slab} * send_buffer_bytes_));
    for (std::uint32_t i = buffers_per_slab; i-- > 0;) free_buffers_.push_back(first + i);
  }
  Device& who = device(index);
  who.buffer = free_buffers_.back();
  free_buffers_.pop_back();
  return slabs_[who.buffer / buffers_per_slab].get() +
         std::size_t{who.buffer % buffers_per_slab} * send_buffer_bytes_;
}

const std::uint8_t* Terminals::buffer_of(std::uint32_t index) {
  const std::uint32_t buffer = devices_[index].buffer;
  if (buffer == side_buffer) return sides_.find(index)->second.sending.data();
  return slabs_[buffer / buffers_per_slab].get() +
         std::size_t{buffer % buffers_per_slab} * send_buffer_bytes_;
}

void Terminals::free_buffer(Device& device) {
  if (device.buffer == no_buffer) return;
  if (device.buffer < tls_buffer) free_buffers_.push_back(device.buffer);
  device.buffer = no_buffer;
}

void Terminals::send(std::uint32_t index, std::size_t size_bytes) {
  if (options_.tls) return send_tls(index, {buffer_of(index), size_bytes});
  Device& who = device(index);
  who.send_at = 0;
  who.send_bytes = static_cast<std::uint16_t>(size_bytes);
  counts_.sent_bytes += size_bytes;
  submit_send(index);
}

void Terminals::submit_send(std::uint32_t index) {
  Device& who = device(index);
  const std::uint8_t* from =
      who.buffer == tls_buffer ? secured_[index]->sending.data() : buffer_of(index);
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  io_uring_prep_send(sqe, who.fd, from + who.send_at, who.send_bytes - who.send_at, MSG_NOSIGNAL);
  sqe->user_data = data_for(io::Tag::send, index);
  ++who.operations;
}

void Terminals::on_send(std::uint32_t index, std::int32_t result) {
  Device& who = device(index);
  --who.operations;
  if (who.state == State::closing) {
    free_buffer(who);
    return close_if_idle(index);
  }
  if (result <= 0) {
    free_buffer(who);
    return lose(index, Failure::link_broken, -result);
  }
  who.send_at = static_cast<std::uint16_t>(who.send_at + result);
  if (who.send_at < who.send_bytes) return submit_send(index);
  free_buffer(who);
  if (options_.tls) {
    secured_[index]->in_flight = false;
    flush_tls(index);
  }
  if (who.has_side) drop_idle_side(index);
  if (who.state != State::ready) return;
  if (who.has_side || who.leaving || may_report(who)) mark(index);
}

// ---- answers in --------------------------------------------------------------------------------

void Terminals::on_reply(std::uint32_t index, Bytes inside) {
  Device& who = device(index);
  Reply reply;
  const ReplyKind kind = parse_reply(inside, options_.version, scratch_, reply);
  if (kind == ReplyKind::broken) return fail(Failure::bad_frame);
  if (who.state == State::closing) return;
  if (reply.phone != who.phone) return fail(Failure::stray_reply);
  if (kind == ReplyKind::other) return on_command(index, reply);
  if (kind == ReplyKind::registered) {
    if (who.state != State::registering) {
      if (options_.udp && who.state > State::registering) return;  // to one that was sent twice
      return fail(Failure::stray_reply);
    }
    if (reply.result != 0) return lose(index, Failure::register_refused, 0);
    if (options_.udp) retransmission_.answered(index, reply.serial);
    ++counts_.registered;
    who.state = State::authenticating;
    const std::uint16_t serial = who.next_serial++;
    if (!options_.udp) {
      std::uint8_t* buffer = take_buffer(index);
      return send(index, writer_.authenticate(buffer, who.phone, serial, reply.code));
    }
    std::uint8_t wire[FrameWriter::frame_bytes_max];
    const std::size_t size = writer_.authenticate(wire, who.phone, serial, reply.code);
    queue_datagram(index, serial, {wire, size});
    return mark(index);
  }
  if (reply.answered_id == 0x0200 && who.state == State::ready) {
    return on_acknowledged(index, reply);
  }
  if (reply.answered_id == 0x0102 && who.state == State::authenticating) {
    if (reply.result != 0) return lose(index, Failure::auth_refused, 0);
    if (options_.udp) retransmission_.answered(index, reply.serial);
    return on_authenticated(index);
  }
  if (reply.answered_id == 0x0003 && who.logging_out) {
    if (options_.udp) retransmission_.answered(index, reply.serial);
    return hang_up(index);
  }
  on_other_answer(index, reply);
}

void Terminals::on_authenticated(std::uint32_t index) {
  Device& who = device(index);
  const MonoNs since_ns = shard_.now() - pending(who.first).due_ns;
  drop_pending(index, 0);
  who.state = State::ready;
  ++counts_.authenticated;
  ++ready_;
  --handshakes_;
  settle(who);
  if (who.has_side) come_back(index);
  if (who.leaving || (reporting_ && options_.closed)) mark(index);
  owner_.on_ready(index, since_ns);
}

void Terminals::on_acknowledged(std::uint32_t index, const Reply& reply) {
  Device& who = device(index);
  std::uint32_t before = no_pending;
  const std::uint32_t number = find_sent(who, reply.serial, before);
  if (number == no_pending) return on_other_answer(index, reply);
  if (options_.udp) retransmission_.answered(index, reply.serial);
  const Pending one = pending(number);
  if (before == no_pending) who.first = one.next;
  else pending(before).next = one.next;
  if (who.last == number) who.last = before;
  free_pending(number);
  --who.outstanding;
  --outstanding_;
  if (reply.result != 0) fail(Failure::report_refused);
  owner_.on_answered({index, number_of(index), one.due_ns, one.lag_ns,
                      std::max(received_ns_, one.due_ns + MonoNs{one.lag_ns}), reply.serial,
                      reply.result != 0});
  if (who.buffer == no_buffer && (who.has_side || who.leaving || may_report(who))) mark(index);
}

}  // namespace ringgate::load
