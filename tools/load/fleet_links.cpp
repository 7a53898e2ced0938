// Fleet: the life of its links.
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "engine/io/abi.hpp"
#include "tools/load/fleet.hpp"

namespace ringgate::load {
namespace {

// Devices between connect and their authentication: below every server's usual backlog.
constexpr std::uint32_t handshakes_max = 512;
constexpr MonoNs reconnect_delay_ns = ns_per_s;
constexpr MonoNs silence_limit_ns = 10 * ns_per_s;
// Longer than any frame (JT/T 808: 2,092 bytes escaped): what does not end by then is no frame.
constexpr std::size_t rest_bytes_max = 4096;

}  // namespace

void Fleet::start_connects() {
  const MonoNs now = shard_.now();
  const std::uint64_t allowed = pace_.allowed(now);
  while (connects_started_ < devices_.size() && connects_started_ < allowed &&
         handshakes_ < handshakes_max) {
    connect(static_cast<std::uint32_t>(connects_started_++));
  }
  while (!reconnects_.empty() && reconnects_.front().first <= now && handshakes_ < handshakes_max) {
    const std::uint32_t index = reconnects_.front().second;
    reconnects_.pop_front();
    connect(index);
  }
}

void Fleet::connect(std::uint32_t index) {
  Device& who = device(index);
  io::Sys& sys = shard_.sys();
  ++who.generation;
  ++handshakes_;
  ++open_links_;
  who.state = State::connecting;
  who.next_serial = 0;
  const int type = options_.udp ? SOCK_DGRAM : SOCK_STREAM;
  who.fd = sys.socket(options_.target.ss_family, type | SOCK_CLOEXEC, 0);
  if (who.fd < 0) {
    const int error = -who.fd;
    who.fd = -1;
    return lose(index, Failure::connect_failed, error);
  }
  const int on = 1;
  if (!options_.udp) sys.set_option(who.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (!options_.sources.empty()) {
    sys.set_option(who.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    sockaddr_in source{};
    source.sin_family = AF_INET;
    source.sin_addr = options_.sources[index % options_.sources.size()];
    const int error = sys.bind(who.fd, reinterpret_cast<const sockaddr*>(&source), sizeof source);
    if (error < 0) return lose(index, Failure::connect_failed, -error);
  }
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  io_uring_prep_connect(sqe, who.fd, reinterpret_cast<const sockaddr*>(&options_.target),
                        options_.target_bytes);
  sqe->user_data = data_for(io::Tag::connect, index);
  ++who.operations;
}

void Fleet::on_connect(std::uint32_t index, std::int32_t result) {
  Device& who = device(index);
  --who.operations;
  if (who.state == State::closing) return close_if_idle(index);
  if (result < 0) return lose(index, Failure::connect_failed, -result);
  ++counts_.connected;
  arm_recv(index);
  if (options_.tls) return begin_tls(index);
  register_device(index);
}

void Fleet::register_device(std::uint32_t index) {
  Device& who = device(index);
  who.state = State::registering;
  const std::uint16_t serial = who.next_serial++;
  if (!options_.udp) {
    std::uint8_t* buffer = take_buffer(index);
    return send(index, writer_.register_terminal(buffer, who.phone, serial));
  }
  std::uint8_t wire[FrameWriter::frame_bytes_max];
  queue_datagram(index, serial, {wire, writer_.register_terminal(wire, who.phone, serial)});
  mark(index);
}

void Fleet::arm_recv(std::uint32_t index) {
  Device& who = device(index);
  const io::Ring& ring = shard_.ring();
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  if (ring.has(io::Feature::multishot_recv)) {
    io_uring_prep_recv_multishot(sqe, who.fd, nullptr, 0, 0);
    // A bundle would run datagrams together.
    if (ring.has(io::Feature::recv_bundle) && !options_.udp) {
      sqe->ioprio |= io::abi::recvsend_bundle;
    }
  } else {
    io_uring_prep_recv(sqe, who.fd, nullptr, 0, 0);
  }
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = buffers_->group();
  sqe->user_data = data_for(io::Tag::recv, index);
  ++who.operations;
}

void Fleet::on_recv(std::uint32_t index, std::int32_t result, std::uint32_t flags) {
  Device& who = device(index);
  const bool ended = (flags & IORING_CQE_F_MORE) == 0;
  if (ended) --who.operations;
  if (result > 0) {
    counts_.received_bytes += static_cast<std::uint64_t>(result);
    const auto bid = static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
    buffers_->consume(bid, static_cast<std::uint32_t>(result),
                      [this, index](std::uint16_t used, Bytes bytes) {
                        if (options_.tls) {
                          feed_tls(index, bytes);
                        } else {
                          feed(index, bytes);
                        }
                        if (options_.udp) drop_rest(index);  // a datagram ends what is in it
                        buffers_->give_back(used);
                      });
  } else if ((flags & IORING_CQE_F_BUFFER) != 0) {
    buffers_->consume(static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT), 0,
                      [this](std::uint16_t used, Bytes) { buffers_->give_back(used); });
  }
  if (!ended) return;
  if (who.state == State::closing) return close_if_idle(index);
  if (result > 0 || result == -ENOBUFS) {
    starved_.push_back(index);
  } else if (result == 0) {
    lose(index, Failure::link_closed, 0);
  } else {
    lose(index, Failure::link_broken, -result);
  }
}

void Fleet::drop_rest(std::uint32_t index) {
  if (!devices_[index].has_rest) return;
  devices_[index].has_rest = false;
  rests_.erase(index);
}

// Cuts what arrived at 7E. A frame that has not ended is kept until the rest of it comes.
void Fleet::feed(std::uint32_t index, Bytes bytes) {
  Device& who = device(index);
  const std::uint8_t* at = bytes.data();
  const std::uint8_t* end = at + bytes.size();
  const auto find = [&end](const std::uint8_t* from) {
    const void* found = std::memchr(from, 0x7e, static_cast<std::size_t>(end - from));
    return found == nullptr ? end : static_cast<const std::uint8_t*>(found);
  };
  if (who.has_rest) {
    std::vector<std::uint8_t>& rest = rests_[index];
    const std::uint8_t* stop = find(at);
    rest.insert(rest.end(), at, stop);
    if (stop == end && rest.size() <= rest_bytes_max) return;
    if (rest.size() > rest_bytes_max) {
      fail(Failure::bad_frame);
    } else if (!rest.empty()) {
      on_reply(index, rest);
    }
    at = rest.empty() ? stop : std::min(stop + 1, end);
    who.has_rest = false;
    rests_.erase(index);
  }
  while (at < end) {
    if (*at != 0x7e) {
      fail(Failure::bad_frame);
      at = find(at);
      continue;
    }
    const std::uint8_t* inside = at + 1;
    const std::uint8_t* stop = find(inside);
    if (stop == end) {
      rests_[index].assign(inside, end);
      who.has_rest = true;
      return;
    }
    if (stop == inside) {  // a doubled 7E: the second one opens
      at = stop;
      continue;
    }
    on_reply(index, {inside, static_cast<std::size_t>(stop - inside)});
    at = stop + 1;
  }
}

// The link is of no more use, and not because we wanted it so.
void Fleet::lose(std::uint32_t index, Failure failure, int error) {
  Device& who = device(index);
  if (phase_ < Phase::closing) {
    fail(failure);
    last_error_ = std::string(name_of(failure));
    if (error != 0) last_error_ += ": " + std::string(std::strerror(error));
    if (error == EADDRNOTAVAIL) last_error_ += " (no free port: spread over --source-ips)";
    if (error == EMFILE) last_error_ += " (raise the limit of open files: ulimit -n)";
  }
  if (who.outstanding > 0) {
    fail(Failure::unanswered, who.outstanding);
    outstanding_ -= who.outstanding;
    who.outstanding = 0;
    std::fill_n(slots_ + std::size_t{index} * window_, window_, Outstanding{});
  }
  drop_held_back(who, Failure::missed);
  hang_up(index);
}

void Fleet::hang_up(std::uint32_t index) {
  Device& who = device(index);
  if (who.state == State::down || who.state == State::closing) return;
  if (who.state == State::ready) --ready_;
  else --handshakes_;
  who.state = State::closing;
  if (who.has_side) on_side_down(index);
  if (who.operations > 0) {
    io_uring_sqe* sqe = shard_.ring().next_sqe();
    io_uring_prep_cancel_fd(sqe, who.fd, IORING_ASYNC_CANCEL_ALL);
    sqe->user_data = io::user_data(io::Tag::none, 0, 0);
  }
  close_if_idle(index);
}

void Fleet::close_if_idle(std::uint32_t index) {
  Device& who = device(index);
  if (who.state != State::closing || who.operations > 0) return;
  if (who.fd >= 0) shard_.sys().close(who.fd);
  who.fd = -1;
  who.state = State::down;
  --open_links_;
  free_buffer(who);
  if (options_.tls) secured_[index].reset();
  drop_rest(index);
  settle(who);
  if (phase_ >= Phase::draining) return;
  const MonoNs away_ns = who.has_side ? sides_[index].away_ns : -1;  // it was told to
  if (away_ns < 0 && !options_.reconnect) return;
  const MonoNs back_ns = shard_.now() + (away_ns < 0 ? reconnect_delay_ns : away_ns);
  const auto later = [](MonoNs due, const auto& other) { return due < other.first; };
  reconnects_.emplace(std::upper_bound(reconnects_.begin(), reconnects_.end(), back_ns, later),
                      back_ns, index);
}

void Fleet::settle(Device& device) {
  if (device.settled) return;
  device.settled = true;
  ++settled_;
  progress_ns_ = shard_.now();
}

// A server that neither answers nor closes must not hold up the run for ever.
void Fleet::give_up_on_silent() {
  if (handshakes_ == 0 || shard_.now() - progress_ns_ < silence_limit_ns) return;
  if (connects_started_ < devices_.size() && handshakes_ < handshakes_max) return;  // slow pace
  for (std::uint32_t i = 0; i < devices_.size(); ++i) {
    const State state = devices_[i].state;
    if (state == State::down || state == State::ready || state == State::closing) continue;
    lose(i, Failure::connect_failed, ETIMEDOUT);
  }
}

void Fleet::close_all() {
  outstanding_ = 0;
  for (std::uint32_t i = 0; i < devices_.size(); ++i) {
    devices_[i].outstanding = 0;
    devices_[i].taken = devices_[i].due;
    hang_up(i);
  }
  held_back_ = 0;
}

}  // namespace ringgate::load
