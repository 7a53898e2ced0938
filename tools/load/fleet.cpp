#include "tools/load/fleet.hpp"

#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>

namespace ringgate::load {
namespace {

constexpr MonoNs drain_limit_ns = 5 * ns_per_s;
constexpr MonoNs sleep_ns_max = 100 * ns_per_ms;
constexpr std::uint32_t buffers_per_slab = 64;
// Off the powers of two, so that the buffers' first lines do not share one set of the cache.
constexpr std::uint32_t send_buffer_bytes_max = 4096 - 64;

std::int64_t own_cpu_ns() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return time.tv_sec * ns_per_s + time.tv_nsec;
}

Counts minus(Counts a, const Counts& b) {
  a.connected -= b.connected;
  a.registered -= b.registered;
  a.authenticated -= b.authenticated;
  a.sent -= b.sent;
  a.acknowledged -= b.acknowledged;
  a.sent_bytes -= b.sent_bytes;
  a.received_bytes -= b.received_bytes;
  for (std::size_t i = 0; i < a.failures.size(); ++i) a.failures[i] -= b.failures[i];
  return a;
}

}  // namespace

Fleet::Fleet(shard::Shard& shard, std::unique_ptr<io::BufferRing> buffers,
             const FleetOptions& options)
    : shard_(shard), buffers_(std::move(buffers)), options_(options), writer_(options.version),
      devices_(options.devices), window_(std::bit_ceil(options.rate > 0 ? open_window
                                                                        : options.in_flight)),
      side_writer_(options.version), uploads_(shard, *this), chance_(options.seed),
      started_ns_(shard.sys().mono_now()), pace_(started_ns_, options.connect_rate),
      progress_ns_(started_ns_) {
  for (std::uint32_t i = 0; i < options.devices; ++i) {
    devices_[i].phone = phone_from_number(options.phone_base + i);
    if (options.drive) vehicles_.emplace_back(options.phone_base + i);
  }
  const std::size_t slots_bytes = std::size_t{options.devices} * window_ * sizeof(Outstanding);
  void* pages = mmap(nullptr, slots_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  RG_CHECK(pages != MAP_FAILED);
  slots_ = static_cast<Outstanding*>(pages);
  const std::uint32_t frames = options.rate > 0 ? 4 : options.in_flight;
  constexpr auto one = static_cast<std::uint32_t>(FrameWriter::frame_bytes_max);
  send_buffer_bytes_ = std::min(send_buffer_bytes_max, one + frames * 80);
  dirty_.reserve(options.devices);
  shard.handle(io::Tag::connect, *this);
  shard.handle(io::Tag::recv, *this);
  shard.handle(io::Tag::send, *this);
  shard.add_hook(*this);
}

Fleet::~Fleet() {
  for (const Device& device : devices_) {
    if (device.fd >= 0) ::close(device.fd);
  }
  munmap(slots_, std::size_t{options_.devices} * window_ * sizeof(Outstanding));
}

void Fleet::on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) {
  const std::uint32_t index = io::slot_of(user_data);
  RG_CHECK(index < devices_.size());
  RG_CHECK(devices_[index].generation == io::generation_of(user_data));
  switch (io::tag_of(user_data)) {
    case io::Tag::connect: return on_connect(index, result);
    case io::Tag::recv: return on_recv(index, result, flags);
    case io::Tag::send: return on_send(index, result);
    default: RG_CHECK(false);
  }
}

void Fleet::before_wait() {
  step_phase();
  if (phase_ == Phase::finished) return;
  if (phase_ < Phase::draining) start_connects();
  if (reporting_ && options_.rate > 0) take_due();
  if (!sides_.empty() || options_.alarms > 0 || options_.udp) run_terminals();
  if (!dirty_.empty()) {
    send_time_ns_ = shard_.sys().mono_now();
    if (shard_.wall_now() / us_per_s != bcd_second_) {
      bcd_second_ = shard_.wall_now() / us_per_s;
      bcd_time_ = bcd_time(shard_.wall_now());
    }
    for (const std::uint32_t index : dirty_) {
      devices_[index].dirty = false;
      report(index);
    }
    dirty_.clear();
  }
  buffers_->publish();
  for (const std::uint32_t index : starved_) {
    if (devices_[index].state != State::closing && devices_[index].state != State::down) {
      arm_recv(index);
    }
  }
  starved_.clear();
  write_acked_log();
  if (!event_lines_.empty()) write_all(options_.events_fd, event_lines_, "--events");
}

MonoNs Fleet::sleep_budget() const {
  const MonoNs now = shard_.now();
  MonoNs until = now + sleep_ns_max;
  if (phase_ != Phase::connecting) until = std::min(until, phase_end_ns_);
  if (phase_ < Phase::draining) {
    if (connects_started_ < devices_.size()) until = std::min(until, pace_.due(connects_started_));
    if (!reconnects_.empty()) until = std::min(until, reconnects_.front().first);
  }
  if (reporting_ && options_.rate > 0) until = std::min(until, schedule_.next_due());
  if (alarms_run()) until = std::min(until, alarm_schedule_.next_due());
  if (!terminal_due_.empty()) until = std::min(until, terminal_due_.top().first);
  until = std::min({until, uploads_.next_due(), retransmission_.next_due()});
  // Something already due that could not be started waits for a completion, not for the clock.
  return std::max<MonoNs>(until - now, handshakes_ > 0 ? 50 * ns_per_us : 0);
}

// ---- phases ------------------------------------------------------------------------------------

std::string_view Fleet::phase_name() const {
  constexpr std::string_view names[] = {"connecting", "warming up", "measuring",
                                        "waiting for answers", "closing", "finished"};
  return names[static_cast<std::size_t>(phase_)];
}

void Fleet::stop() { stop_asked_ = true; }

void Fleet::step_phase() {
  const MonoNs now = shard_.now();
  if (phase_ == Phase::connecting) {
    give_up_on_silent();
    if (settled_ == devices_.size()) {
      connected_ns_ = now;
      phase_ = Phase::warming;
      phase_end_ns_ = now + options_.warmup_ns;
      reporting_ = !options_.idle;
      if (options_.alarms > 0) {
        alarm_schedule_ = OpenSchedule(now, options_.devices, options_.alarms);
      }
      if (options_.rate > 0) {
        schedule_ = OpenSchedule(now, static_cast<std::uint32_t>(devices_.size()), options_.rate);
      } else if (reporting_) {
        for (std::uint32_t i = 0; i < devices_.size(); ++i) mark(i);
      }
    }
  }
  if (phase_ == Phase::warming && now >= phase_end_ns_) start_window();
  const bool nobody_left = open_links_ == 0 && handshakes_ == 0 && !options_.reconnect &&
                           reconnects_.empty() && connects_started_ == devices_.size();
  const bool over = phase_ == Phase::measuring && now >= phase_end_ns_;
  const bool ends = stop_asked_ || over || (nobody_left && phase_ != Phase::connecting);
  if (phase_ < Phase::draining && ends) {
    interrupted_ = !over;
    if (phase_ == Phase::measuring) end_window();
    reporting_ = false;
    phase_ = Phase::draining;
    phase_end_ns_ = now + drain_limit_ns;
  }
  if (phase_ == Phase::draining &&
      ((outstanding_ == 0 && held_back_ == 0) || now >= phase_end_ns_)) {
    fail(Failure::unanswered, outstanding_ + held_back_);
    close_all();
    uploads_.stop();
    phase_ = Phase::closing;
    phase_end_ns_ = now + drain_limit_ns;
  }
  const bool all_closed = open_links_ == 0 && uploads_.idle();
  if (phase_ == Phase::closing && (all_closed || now >= phase_end_ns_)) {
    phase_ = Phase::finished;
  }
}

void Fleet::start_window() {
  phase_ = Phase::measuring;
  phase_end_ns_ = options_.duration_ns > 0 ? shard_.now() + options_.duration_ns : INT64_MAX;
  window_start_ns_ = shard_.now();
  window_start_counts_ = counts_;
  own_cpu_start_ns_ = own_cpu_ns();
  if (options_.server_pid != 0) {
    const Result<std::int64_t> ns = server_cpu_ns(options_.server_pid);
    if (ns.ok()) server_cpu_start_ns_ = ns.value();
    else last_error_ = ns.error().message;
  }
}

void Fleet::end_window() {
  window_end_ns_ = shard_.now();
  window_end_counts_ = counts_;
  own_cpu_end_ns_ = own_cpu_ns();
  if (options_.server_pid != 0) {
    const Result<std::int64_t> ns = server_cpu_ns(options_.server_pid);
    // A server that is gone has no figure.
    server_cpu_end_ns_ = ns.ok() ? ns.value() : server_cpu_start_ns_;
    const Result<ServerUse> use = server_use(options_.server_pid);
    if (use.ok()) server_end_ = use.value();
  }
}

void Fleet::fill(Report& report) const {
  report.interrupted = interrupted_;
  report.total = counts_;
  const MonoNs settled_ns = connected_ns_ > 0 ? connected_ns_ : shard_.now();
  report.connect_s = static_cast<double>(settled_ns - started_ns_) / static_cast<double>(ns_per_s);
  if (window_end_ns_ == 0) return;
  report.window = minus(window_end_counts_, window_start_counts_);
  const double window_ns = static_cast<double>(window_end_ns_ - window_start_ns_);
  if (window_ns <= 0) return;
  report.window_s = window_ns / static_cast<double>(ns_per_s);
  report.response = response_.snapshot();
  report.service = service_.snapshot();
  report.lag = lag_.snapshot();
  report.own_cpu_share = static_cast<double>(own_cpu_end_ns_ - own_cpu_start_ns_) / window_ns;
  report.server_end = server_end_;
  report.server_cpu_ns = server_cpu_end_ns_ - server_cpu_start_ns_;
}

// ---- reports out -------------------------------------------------------------------------------

void Fleet::mark(std::uint32_t index) {
  if (devices_[index].dirty) return;
  devices_[index].dirty = true;
  dirty_.push_back(index);
}

void Fleet::take_due() {
  const MonoNs now = shard_.sys().mono_now();
  for (; schedule_.next_due() <= now; schedule_.take()) {
    Device& who = device(schedule_.next_device());
    ++who.due;
    if (who.state == State::ready) {
      ++held_back_;
      mark(schedule_.next_device());
    } else {
      ++who.taken;
      if (!is_leaving(schedule_.next_device())) fail(Failure::missed);
    }
  }
}

void Fleet::drop_held_back(Device& device, Failure as) {
  const std::uint32_t count = device.due - device.taken;
  device.taken = device.due;
  held_back_ -= count;
  if (count > 0) fail(as, count);
}

bool Fleet::may_report(std::uint32_t index) {
  const Device& who = device(index);
  if (options_.rate > 0) {
    if (who.taken == who.due || who.outstanding >= open_window) return false;
  } else if (!reporting_ || who.outstanding >= options_.in_flight) {
    return false;
  }
  return !slot(index, who.next_serial).live;  // an answer is missing from a window ago: wait for it
}

// Fills one send with what this device may report now.
void Fleet::report(std::uint32_t index) {
  Device& who = device(index);
  if (who.buffer != no_buffer) return;
  if (who.has_side && send_queued(index)) return;
  if (who.state != State::ready || !may_report(index)) return;
  std::uint8_t* buffer = take_buffer(index);
  std::size_t size = 0;
  do {
    const std::uint16_t serial = who.next_serial++;
    Outstanding& place = slot(index, serial);
    place.due_ns = options_.rate > 0 ? schedule_.due(index, who.taken++) : send_time_ns_;
    if (options_.rate > 0) --held_back_;
    place.lag_ns = static_cast<std::uint32_t>(
        std::clamp<MonoNs>(send_time_ns_ - place.due_ns, 0, UINT32_MAX));
    place.serial = serial;
    place.live = true;
    ++who.outstanding;
    ++outstanding_;
    if (who.has_side) {
      size += side_writer_.report(buffer + size, who.phone, serial, bcd_time_,
                                  moment_of(index).position);
    } else if (options_.drive) {
      size += writer_.report(buffer + size, who.phone, serial, bcd_time_,
                             vehicles_[index].drive_to(shard_.now()));
    } else {
      size += writer_.report(buffer + size, who.phone, serial, bcd_time_);
    }
    ++counts_.sent;
  } while (!options_.udp && size + FrameWriter::report_bytes_max <= send_buffer_bytes_ &&
           may_report(index));
  if (!options_.udp) return send(index, size);
  const Body wire(buffer, buffer + size);
  free_buffer(who);
  queue_datagram(index, static_cast<std::uint16_t>(who.next_serial - 1), wire);
  send_queued(index);
}

std::uint8_t* Fleet::take_buffer(std::uint32_t index) {
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

const std::uint8_t* Fleet::buffer_of(std::uint32_t index) {
  const std::uint32_t buffer = devices_[index].buffer;
  if (buffer == side_buffer) return sides_.find(index)->second.sending.data();
  return slabs_[buffer / buffers_per_slab].get() +
         std::size_t{buffer % buffers_per_slab} * send_buffer_bytes_;
}

void Fleet::free_buffer(Device& device) {
  if (device.buffer == no_buffer) return;
  if (device.buffer < tls_buffer) free_buffers_.push_back(device.buffer);
  device.buffer = no_buffer;
}

void Fleet::send(std::uint32_t index, std::size_t size_bytes) {
  if (options_.tls) return send_tls(index, {buffer_of(index), size_bytes});
  Device& who = device(index);
  who.send_at = 0;
  who.send_bytes = static_cast<std::uint16_t>(size_bytes);
  counts_.sent_bytes += size_bytes;
  submit_send(index);
}

void Fleet::submit_send(std::uint32_t index) {
  Device& who = device(index);
  const std::uint8_t* from = options_.tls ? secured_[index]->sending.data() : buffer_of(index);
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  io_uring_prep_send(sqe, who.fd, from + who.send_at, who.send_bytes - who.send_at, MSG_NOSIGNAL);
  sqe->user_data = data_for(io::Tag::send, index);
  ++who.operations;
}

void Fleet::on_send(std::uint32_t index, std::int32_t result) {
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
  if (who.state == State::ready && (who.has_side || may_report(index))) mark(index);
}

// ---- answers in --------------------------------------------------------------------------------

void Fleet::on_reply(std::uint32_t index, Bytes inside) {
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
    return on_ready(index);
  }
  on_other_answer(index, reply);
}

void Fleet::on_ready(std::uint32_t index) {
  Device& who = device(index);
  who.state = State::ready;
  ++counts_.authenticated;
  ++ready_;
  --handshakes_;
  settle(who);
  if (who.has_side) come_back(index);
  if (reporting_ && options_.rate <= 0) mark(index);
}

void Fleet::on_acknowledged(std::uint32_t index, const Reply& reply) {
  Device& who = device(index);
  Outstanding& place = slot(index, reply.serial);
  if (!place.live || place.serial != reply.serial) return on_other_answer(index, reply);
  if (options_.udp) retransmission_.answered(index, reply.serial);
  place.live = false;
  --who.outstanding;
  --outstanding_;
  if (reply.result != 0) {
    fail(Failure::report_refused);
  } else {
    ++acked_now_;
    if (options_.acked_log_fd >= 0) {
      acked_lines_ += std::to_string(number_from_phone(who.phone));
      acked_lines_ += ',';
      acked_lines_ += std::to_string(reply.serial);
      acked_lines_ += '\n';
    }
    const bool in_window = phase_ == Phase::measuring || window_end_ns_ > 0;
    if (in_window && place.due_ns >= window_start_ns_ &&
        (window_end_ns_ == 0 || place.due_ns < window_end_ns_)) {
      const MonoNs response_ns = shard_.now() - place.due_ns;
      response_.record(response_ns);
      if (options_.rate > 0) {
        service_.record(response_ns - place.lag_ns);
        lag_.record(place.lag_ns);
      }
    }
  }
  if (who.buffer == no_buffer && (who.has_side || may_report(index))) mark(index);
}

// False, and the run ends, when it can't.
bool Fleet::write_all(int fd, std::string& text, std::string_view option) {
  std::size_t done = 0;
  while (done < text.size()) {
    const ssize_t wrote = ::write(fd, text.data() + done, text.size() - done);
    if (wrote < 0 && errno == EINTR) continue;
    if (wrote < 0) {
      last_error_ = std::string(option);
      last_error_ += ": ";
      last_error_ += std::strerror(errno);
      stop_asked_ = true;
      return false;
    }
    done += static_cast<std::size_t>(wrote);
  }
  text.clear();
  return true;
}

// What is counted as acknowledged is in the log first, so that a kill of this tool loses none of
// it.
void Fleet::write_acked_log() {
  if (!write_all(options_.acked_log_fd, acked_lines_, "--acked-log")) return;
  counts_.acknowledged += acked_now_;
  acked_now_ = 0;
}

}  // namespace ringgate::load
