#include "tools/load/crowd/wires.hpp"

#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>

#include "engine/io/abi.hpp"

namespace ringgate::load {

Wires::Wires(shard::Shard& shard, Desk& desk, io::BufferRing& buffers, std::uint32_t users,
             Owner& owner)
    : shard_(shard), buffers_(buffers), owner_(owner), member_(desk.join(*this)), wires_(users) {
  RG_CHECK(users <= Desk::index_limit);
}

Wires::~Wires() {
  for (const Wire& wire : wires_) {
    if (wire.fd >= 0) shard_.sys().close(wire.fd);
  }
}

void Wires::on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) {
  const std::uint32_t user = Desk::index_of(user_data);
  RG_CHECK(user < wires_.size());
  RG_CHECK(wires_[user].generation == io::generation_of(user_data));
  switch (io::tag_of(user_data)) {
    case io::Tag::connect: return on_connect(user, result);
    case io::Tag::recv: return on_receive(user, result, flags);
    case io::Tag::send: return on_send(user, result);
    default: RG_CHECK(false);
  }
}

void Wires::turn() {
  for (std::size_t i = 0; i < starved_.size(); ++i) {
    Wire& wire = wires_[starved_[i]];
    if (wire.state == State::open && !wire.receiving && !wire.pulls) arm_receive(starved_[i], 0);
  }
  starved_.clear();
}

void Wires::connect(std::uint32_t user, const How& how) {
  Wire& wire = wires_[user];
  RG_CHECK(wire.state == State::down);
  io::Sys& sys = shard_.sys();
  ++wire.generation;
  ++connecting_;
  ++open_;
  wire.state = State::connecting;
  wire.pulls = how.pulls;
  wire.reset = false;
  wire.error = 0;
  const int family = how.target->address.ss_family;
  wire.fd = sys.socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (wire.fd < 0) {
    const int error = -wire.fd;
    wire.fd = -1;
    return end(user, End::failed, error);
  }
  const int on = 1;
  sys.set_option(wire.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (how.receive_buffer > 0) {
    const int bytes = static_cast<int>(how.receive_buffer);
    sys.set_option(wire.fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes);
  }
  if (how.source != nullptr) {
    sys.set_option(wire.fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
    sockaddr_in source{};
    source.sin_family = AF_INET;
    source.sin_addr = *how.source;
    const int error = sys.bind(wire.fd, reinterpret_cast<const sockaddr*>(&source), sizeof source);
    if (error < 0) return end(user, End::failed, -error);
  }
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  io_uring_prep_connect(sqe, wire.fd, reinterpret_cast<const sockaddr*>(&how.target->address),
                        how.target->bytes);
  sqe->user_data = data_for(io::Tag::connect, user);
  ++wire.operations;
}

void Wires::on_connect(std::uint32_t user, std::int32_t result) {
  Wire& wire = wires_[user];
  --wire.operations;
  if (wire.state == State::closing) return close_if_idle(user);
  if (result < 0) return end(user, End::failed, -result);
  --connecting_;
  wire.state = State::open;
  if (!wire.pulls) arm_receive(user, 0);
  owner_.on_open(user);
}

// ---- receiving ---------------------------------------------------------------------------------

void Wires::pull(std::uint32_t user, std::uint32_t bytes) {
  Wire& wire = wires_[user];
  if (wire.state == State::open && wire.pulls && !wire.receiving) arm_receive(user, bytes);
}

// `bytes` 0: as much as comes, again and again.
void Wires::arm_receive(std::uint32_t user, std::uint32_t bytes) {
  Wire& wire = wires_[user];
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  if (bytes == 0 && shard_.ring().has(io::Feature::multishot_recv)) {
    io_uring_prep_recv_multishot(sqe, wire.fd, nullptr, 0, 0);
    if (shard_.ring().has(io::Feature::recv_bundle)) sqe->ioprio |= io::abi::recvsend_bundle;
  } else {
    io_uring_prep_recv(sqe, wire.fd, nullptr, bytes, 0);
  }
  sqe->flags |= IOSQE_BUFFER_SELECT;
  sqe->buf_group = buffers_.group();
  sqe->user_data = data_for(io::Tag::recv, user);
  ++wire.operations;
  wire.receiving = true;
}

void Wires::on_receive(std::uint32_t user, std::int32_t result, std::uint32_t flags) {
  Wire& wire = wires_[user];
  const bool ended = (flags & IORING_CQE_F_MORE) == 0;
  if (ended) {
    --wire.operations;
    wire.receiving = false;
  }
  if ((flags & IORING_CQE_F_BUFFER) != 0) {
    const std::uint32_t size = result > 0 ? static_cast<std::uint32_t>(result) : 0;
    received_bytes_ += size;
    buffers_.consume(static_cast<std::uint16_t>(flags >> IORING_CQE_BUFFER_SHIFT), size,
                     [&](std::uint16_t used, Bytes bytes) {
                       if (wire.state == State::open && !bytes.empty()) {
                         owner_.on_bytes(user, bytes);
                       }
                       buffers_.give_back(used);
                     });
  }
  if (!ended) return;
  if (wire.state == State::closing) return close_if_idle(user);
  if (result > 0 || result == -ENOBUFS) {
    if (!wire.pulls) starved_.push_back(user);
  } else if (result == 0) {
    end(user, End::closed, 0);
  } else {
    end(user, End::broken, -result);
  }
}

// ---- sending -----------------------------------------------------------------------------------

void Wires::send(std::uint32_t user, std::string_view bytes) {
  Wire& wire = wires_[user];
  if (wire.state != State::open) return;
  if (wire.out != nullptr) {
    wire.out->next += bytes;
    return;
  }
  wire.out = std::make_unique<Out>();
  wire.out->bytes = bytes;
  submit_send(user);
}

void Wires::submit_send(std::uint32_t user) {
  Wire& wire = wires_[user];
  const Out& out = *wire.out;
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  io_uring_prep_send(sqe, wire.fd, out.bytes.data() + out.at, out.bytes.size() - out.at,
                     MSG_NOSIGNAL);
  sqe->user_data = data_for(io::Tag::send, user);
  ++wire.operations;
}

void Wires::on_send(std::uint32_t user, std::int32_t result) {
  Wire& wire = wires_[user];
  --wire.operations;
  if (wire.state == State::closing) return close_if_idle(user);
  if (result <= 0) return end(user, End::broken, -result);
  Out& out = *wire.out;
  out.at += static_cast<std::size_t>(result);
  sent_bytes_ += static_cast<std::uint64_t>(result);
  if (out.at == out.bytes.size()) {
    out.bytes.clear();
    out.bytes.swap(out.next);
    out.at = 0;
  }
  if (!out.bytes.empty()) return submit_send(user);
  wire.out.reset();
  owner_.on_sent(user);
}

// ---- the end -----------------------------------------------------------------------------------

void Wires::close(std::uint32_t user, bool reset) {
  Wire& wire = wires_[user];
  if (wire.state == State::down || wire.state == State::closing) return;
  wire.reset = reset;
  end(user, End::ours, 0);
}

void Wires::end(std::uint32_t user, End how, int error) {
  Wire& wire = wires_[user];
  if (wire.state == State::closing) return;
  if (wire.state == State::connecting) --connecting_;
  wire.state = State::closing;
  wire.end = how;
  wire.error = error;
  if (wire.operations > 0) {
    io_uring_sqe* sqe = shard_.ring().next_sqe();
    io_uring_prep_cancel_fd(sqe, wire.fd, IORING_ASYNC_CANCEL_ALL);
    sqe->user_data = io::user_data(io::Tag::none, 0, 0);
  }
  close_if_idle(user);
}

void Wires::close_if_idle(std::uint32_t user) {
  Wire& wire = wires_[user];
  if (wire.state != State::closing || wire.operations > 0) return;
  if (wire.fd >= 0) {
    if (wire.reset) {
      const linger at_once{.l_onoff = 1, .l_linger = 0};
      shard_.sys().set_option(wire.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    }
    shard_.sys().close(wire.fd);
  }
  wire.fd = -1;
  wire.out.reset();
  wire.receiving = false;
  wire.state = State::down;
  --open_;
  owner_.on_end(user, wire.end, wire.error);
}

}  // namespace ringgate::load
