// Terminals: the life of their links.
#include <fmt/core.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

#include "engine/io/abi.hpp"
#include "tools/load/crowd/terminals.hpp"

namespace ringgate::load {
namespace {

// Devices between connect and their authentication: below every server's usual backlog.
constexpr std::uint32_t handshakes_max = 512;
// Longer than any frame (JT/T 808: 2,092 bytes escaped): what does not end by then is no frame.
constexpr std::size_t rest_bytes_max = 4096;
// A stamped receive: io_uring_recvmsg_out, no name, one control message with a timespec, payload.
constexpr std::size_t stamp_bytes = CMSG_SPACE(sizeof(timespec));
constexpr std::size_t before_payload = sizeof(io_uring_recvmsg_out) + stamp_bytes;
// A stamp that is older says that the wall clock was set: nothing lies in a socket so long.
constexpr MonoNs stamp_age_max_ns = 10 * ns_per_s;

}  // namespace

bool Terminals::can_connect() const { return handshakes_ < handshakes_max; }

void Terminals::connect(std::uint32_t index) {
  Device& who = device(index);
  io::Sys& sys = shard_.sys();
  ++who.generation;
  ++handshakes_;
  ++open_links_;
  who.state = State::connecting;
  who.next_serial = 0;
  add_pending(who, shard_.sys().mono_now());
  if (options_.handshake_limit_ns > 0) {
    handshake_limits_.push_back(
        {shard_.now() + options_.handshake_limit_ns, index, who.generation});
  }
  const int type = options_.udp ? SOCK_DGRAM : SOCK_STREAM;
  who.fd = sys.socket(options_.target.ss_family, type | SOCK_CLOEXEC, 0);
  if (who.fd < 0) {
    const int error = -who.fd;
    who.fd = -1;
    return lose(index, Failure::connect_failed, error);
  }
  ask_for_stamps(who.fd);
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

void Terminals::on_connect(std::uint32_t index, std::int32_t result) {
  Device& who = device(index);
  --who.operations;
  if (who.state == State::closing) return close_if_idle(index);
  if (result < 0) return lose(index, Failure::connect_failed, -result);
  ++counts_.connected;
  arm_recv(index);
  if (options_.tls) return begin_tls(index);
  register_device(index);
}

void Terminals::register_device(std::uint32_t index) {
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

// All links have stamps or none: a receive is read as it was armed.
void Terminals::ask_for_stamps(int fd) {
  if (!stamps_.value_or(shard_.ring().has(io::Feature::multishot_recvmsg))) return;
  const int on = 1;
  const int error = shard_.sys().set_option(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
  if (!stamps_) stamps_ = error == 0;
  stamped_message_.msg_controllen = stamp_bytes;
}

void Terminals::arm_recv(std::uint32_t index) {
  Device& who = device(index);
  const io::Ring& ring = shard_.ring();
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  if (stamps_.value_or(false)) {
    io_uring_prep_recvmsg_multishot(sqe, who.fd, &stamped_message_, 0);
  } else if (ring.has(io::Feature::multishot_recv)) {
    io_uring_prep_recv_multishot(sqe, who.fd, nullptr, 0, 0);
    // A bundle would run datagrams together.
    if (ring.has(io::Feature::recv_bundle) && !options_.udp) {
      sqe->ioprio |= io::abi::recvsend_bundle;
    }
  } else {
    io_uring_prep_recv(sqe, who.fd, nullptr, 0, 0);
  }
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = buffers_.group();
  sqe->user_data = data_for(io::Tag::recv, index);
  ++who.operations;
}

// What lies behind the head and the stamp of a stamped receive; sets received_ns_.
Bytes Terminals::unwrap(Bytes received) {
  received_ns_ = shard_.now();
  if (!stamps_.value_or(false)) return received;
  RG_CHECK(received.size() >= before_payload);
  const auto head = load_native<io_uring_recvmsg_out>(received.data());
  const Bytes payload = received.subspan(before_payload);
  if (head.controllen < CMSG_LEN(sizeof(timespec))) return payload;
  const auto control = load_native<cmsghdr>(received.data() + sizeof head);
  if (control.cmsg_level != SOL_SOCKET || control.cmsg_type != SCM_TIMESTAMPNS) return payload;
  const auto stamp = load_native<timespec>(received.data() + sizeof head + CMSG_LEN(0));
  const MonoNs ago_ns = shard_.wall_now() * ns_per_us -
                        (MonoNs{stamp.tv_sec} * ns_per_s + stamp.tv_nsec);
  // Otherwise the wall clock was set meanwhile.
  if (ago_ns > 0 && ago_ns < stamp_age_max_ns) received_ns_ -= ago_ns;
  return payload;
}

void Terminals::on_received(std::uint32_t index, Bytes bytes) {
  counts_.received_bytes += bytes.size();
  if (options_.tls) {
    feed_tls(index, bytes);
  } else {
    feed(index, bytes);
  }
  if (options_.udp) drop_rest(index);  // a datagram ends what is in it
}

void Terminals::on_recv(std::uint32_t index, std::int32_t result, std::uint32_t flags) {
  Device& who = device(index);
  const bool ended = (flags & IORING_CQE_F_MORE) == 0;
  if (ended) --who.operations;
  if ((flags & IORING_CQE_F_BUFFER) != 0) {
    const auto bid = static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT);
    const auto size = static_cast<std::uint32_t>(std::max(result, 0));
    buffers_.consume(bid, size, [&](std::uint16_t used, Bytes bytes) {
      if (!bytes.empty()) bytes = unwrap(bytes);
      // A stamped receive of nothing but its head is the end of the stream.
      if (bytes.empty()) result = std::min(result, 0);
      else on_received(index, bytes);
      buffers_.give_back(used);
    });
  }
  received_ns_ = shard_.now();
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

void Terminals::drop_rest(std::uint32_t index) {
  if (!devices_[index].has_rest) return;
  devices_[index].has_rest = false;
  rests_.erase(index);
}

// Cuts what arrived at 7E. A frame that has not ended is kept until the rest of it comes.
void Terminals::feed(std::uint32_t index, Bytes bytes) {
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
void Terminals::lose(std::uint32_t index, Failure failure, int error) {
  // A server may hang up on one that has said that it goes.
  const bool says_bye = devices_[index].logging_out && failure == Failure::link_closed;
  if (!closing_ && !says_bye) {
    fail(failure);
    last_error_ = std::string(name_of(failure));
    if (error != 0) last_error_ += ": " + std::string(std::strerror(error));
    if (error == EADDRNOTAVAIL) last_error_ += " (no free port: spread over --source-ips)";
    if (error == EMFILE) last_error_ += " (raise the limit of open files: ulimit -n)";
  }
  hang_up(index);
}

void Terminals::hang_up(std::uint32_t index, MonoNs excused_ns) {
  Device& who = device(index);
  if (who.state == State::down || who.state == State::closing) return;
  drop_pending(index, excused_ns);
  if (who.state == State::ready) --ready_;
  else --handshakes_;
  who.state = State::closing;
  if (options_.udp) retransmission_.forget(index);
  if (who.has_side) on_side_down(index);
  if (who.operations > 0) {
    io_uring_sqe* sqe = shard_.ring().next_sqe();
    io_uring_prep_cancel_fd(sqe, who.fd, IORING_ASYNC_CANCEL_ALL);
    sqe->user_data = io::user_data(io::Tag::none, 0, 0);
  }
  close_if_idle(index);
}

void Terminals::close_if_idle(std::uint32_t index) {
  Device& who = device(index);
  if (who.state != State::closing || who.operations > 0) return;
  if (who.fd >= 0) {
    if (who.leaving && who.how == Leaving::reset) {
      const linger at_once{.l_onoff = 1, .l_linger = 0};
      shard_.sys().set_option(who.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    shard_.sys().close(who.fd);
  }
  who.fd = -1;
  who.state = State::down;
  --open_links_;
  free_buffer(who);
  if (options_.tls && !secured_.empty()) secured_[index].reset();
  drop_rest(index);
  settle(who);
  if (who.leaving) {  // should it come again, it is as new
    who.leaving = who.logging_out = who.settled = false;
    --settled_;
  }
  const MonoNs away_ns = who.has_side ? sides_[index].away_ns : -1;
  owner_.on_down(index, away_ns);
}

// ---- leaving -----------------------------------------------------------------------------------

void Terminals::leave(std::uint32_t index, Leaving how) {
  Device& who = device(index);
  if (who.state == State::down || who.state == State::closing || who.leaving) return;
  who.leaving = true;
  who.how = how;
  judge_handshake(who);
  if (who.state != State::ready) return hang_up(index);
  mark(index);
}

// Of one that leaves. True: it has nothing to report any more.
bool Terminals::step_leaving(std::uint32_t index) {
  Device& who = device(index);
  if (who.state != State::ready || who.outstanding > 0 || who.waiting > 0) return false;
  if (who.how != Leaving::logout) {
    hang_up(index);
    return true;
  }
  if (who.logging_out) return true;
  who.logging_out = true;
  const std::uint16_t serial = who.next_serial++;
  if (!options_.udp) {
    std::uint8_t* buffer = take_buffer(index);
    send(index, writer_.logout(buffer, who.phone, serial));
    return true;
  }
  std::uint8_t wire[FrameWriter::frame_bytes_max];
  queue_datagram(index, serial, {wire, writer_.logout(wire, who.phone, serial)});
  send_queued(index);
  return true;
}

void Terminals::give_up(std::uint32_t index) {
  Device& who = device(index);
  if (who.state == State::down || who.state == State::closing) return;
  if (who.leaving) return hang_up(index, leave_limit_ns);
  lose(index, Failure::connect_failed, ETIMEDOUT);
}

void Terminals::give_up_all() {
  for (std::uint32_t i = 0; i < devices_.size(); ++i) {
    judge_handshake(devices_[i]);
    hang_up(i, leave_limit_ns);
  }
}

MonoNs Terminals::handshake_patience_ns() const {
  const MonoNs whole =
      options_.loss > 0 ? std::max(options_.handshake_limit_ns, leave_limit_ns) : leave_limit_ns;
  return counts_.authenticated > 0 ? whole : whole / 4;
}

// Of one that goes now. Without this a server that never answers would pass for a good one in every
// run that is over before its handshakes time out.
void Terminals::judge_handshake(const Device& who) {
  std::string_view lacks;
  if (who.state == State::connecting) lacks = options_.tls ? "connection with TLS" : "connection";
  if (who.state == State::registering) lacks = "answer to its registration";
  if (who.state == State::authenticating) lacks = "answer to its authentication";
  if (lacks.empty() || closing_) return;
  const MonoNs waited_ns = shard_.now() - pending(who.first).due_ns;
  if (waited_ns < handshake_patience_ns()) return;
  ++counts_.not_ready;
  last_error_ = fmt::format("not_ready: no {} in {:.1f} s", lacks,
                            static_cast<double>(waited_ns) / static_cast<double>(ns_per_s));
}

void Terminals::settle(Device& device) {
  if (device.settled) return;
  device.settled = true;
  ++settled_;
  progress_ns_ = shard_.now();
}

// A server that neither answers nor closes must not hold anybody up for ever.
void Terminals::give_up_handshakes() {
  for (std::uint32_t i = 0; i < devices_.size(); ++i) {
    const State state = devices_[i].state;
    if (state == State::down || state == State::ready || state == State::closing) continue;
    lose(i, Failure::connect_failed, ETIMEDOUT);
  }
}

void Terminals::expire_handshakes() {
  while (!handshake_limits_.empty() && handshake_limits_.front().limit_ns <= shard_.now()) {
    const Handshake one = handshake_limits_.front();
    handshake_limits_.pop_front();
    const Device& who = devices_[one.index];
    if (who.generation != one.generation || who.state >= State::ready) continue;
    if (who.state != State::down) lose(one.index, Failure::connect_failed, ETIMEDOUT);
  }
}

void Terminals::close_all() {
  closing_ = true;
  for (std::uint32_t i = 0; i < devices_.size(); ++i) hang_up(i);
  uploads_.stop();
}

}  // namespace ringgate::load
