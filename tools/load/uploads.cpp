#include "tools/load/uploads.hpp"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tools/load/crowd/desk.hpp"

namespace ringgate::load {
namespace {

constexpr std::size_t receive_bytes = 4096;

}  // namespace

Uploads::Uploads(shard::Shard& shard, std::uint8_t member, Owner& owner)
    : shard_(shard), member_(member), owner_(owner) {}

Uploads::~Uploads() {
  for (const Slot& slot : slots_) {
    if (slot.fd >= 0) ::close(slot.fd);
  }
}

void Uploads::start(std::uint32_t device, std::unique_ptr<AttachmentUpload> upload) {
  if (stopped_) return;
  if (open_ < connections_max) return place(device, std::move(upload));
  waiting_.emplace_back(device, std::move(upload));
}

void Uploads::place(std::uint32_t device, std::unique_ptr<AttachmentUpload> upload) {
  auto free = std::find_if(slots_.begin(), slots_.end(),
                           [](const Slot& slot) { return slot.state == State::free; });
  if (free == slots_.end()) free = slots_.emplace(slots_.end());
  ++open_;
  free->upload = std::move(upload);
  free->device = device;
  free->failures = 0;
  free->problem.clear();
  free->address = {};
  free->address.sin_family = AF_INET;
  free->address.sin_port = htons(free->upload->order().tcp_port);
  const auto index = static_cast<std::uint32_t>(free - slots_.begin());
  if (inet_pton(AF_INET, free->upload->order().host.c_str(), &free->address.sin_addr) != 1) {
    // Terminals do look names up; this tool would have to stop for that.
    free->problem = "the server has to be an IPv4 address";
    return close(index, 0, true);
  }
  free->state = State::waits;
  free->due_ns = 0;
}

void Uploads::tick(MonoNs now) {
  for (std::uint32_t index = 0; index < slots_.size(); ++index) {
    Slot& slot = slots_[index];
    if (slot.due_ns > now) continue;
    if (slot.state == State::waits) connect(index);
    else if (slot.state == State::open || slot.state == State::connecting) lose(index, "no answer");
  }
}

MonoNs Uploads::next_due() const {
  MonoNs due = INT64_MAX;
  if (open_ == 0) return due;
  for (const Slot& slot : slots_) {
    if (slot.state != State::free && slot.state != State::closing) due = std::min(due, slot.due_ns);
  }
  return due;
}

void Uploads::stop() {
  stopped_ = true;
  waiting_.clear();
  for (std::uint32_t index = 0; index < slots_.size(); ++index) {
    if (slots_[index].state != State::free) close(index, 0, true);
  }
}

// `sqe` is filled: slot and kind go into its completion.
void Uploads::submitted(io_uring_sqe* sqe, std::uint32_t index, Operation what) {
  ++slots_[index].operations;
  sqe->user_data = Desk::data(io::Tag::tool, slots_[index].generation, member_,
                              index * 4 + static_cast<std::uint32_t>(what));
}

void Uploads::connect(std::uint32_t index) {
  Slot& slot = slots_[index];
  ++slot.generation;
  slot.due_ns = shard_.now() + silence_ns_max;
  slot.fd = shard_.sys().socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (slot.fd < 0) {
    slot.state = State::connecting;
    return lose(index, std::strerror(-slot.fd));
  }
  const int on = 1;
  shard_.sys().set_option(slot.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  slot.state = State::connecting;
  slot.sending = false;
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  io_uring_prep_connect(sqe, slot.fd, reinterpret_cast<const sockaddr*>(&slot.address),
                        sizeof slot.address);
  submitted(sqe, index, Operation::connect);
}

void Uploads::receive(std::uint32_t index) {
  Slot& slot = slots_[index];
  slot.in.resize(receive_bytes);
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  io_uring_prep_recv(sqe, slot.fd, slot.in.data(), slot.in.size(), 0);
  submitted(sqe, index, Operation::receive);
}

void Uploads::submit_send(std::uint32_t index) {
  Slot& slot = slots_[index];
  io_uring_sqe* sqe = shard_.ring().next_sqe();
  io_uring_prep_send(sqe, slot.fd, slot.out.data() + slot.out_at, slot.out.size() - slot.out_at,
                     MSG_NOSIGNAL);
  submitted(sqe, index, Operation::send);
}

void Uploads::on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t) {
  const std::uint32_t index = Desk::index_of(user_data) / 4;
  const auto what = static_cast<Operation>(Desk::index_of(user_data) % 4);
  RG_CHECK(index < slots_.size());
  Slot& slot = slots_[index];
  RG_CHECK(slot.generation == io::generation_of(user_data));
  --slot.operations;
  if (what == Operation::send) slot.sending = false;
  if (slot.state == State::closing) return close_if_idle(index);
  if (result < 0) return lose(index, std::strerror(-result));
  if (result == 0 && what == Operation::receive) return lose(index, "closed by the server");
  slot.due_ns = shard_.now() + silence_ns_max;
  switch (what) {
    case Operation::connect:
      slot.state = State::open;
      slot.upload->on_connected();
      receive(index);
      break;
    case Operation::receive:
      slot.failures = 0;
      slot.upload->on_bytes({slot.in.data(), static_cast<std::size_t>(result)});
      receive(index);
      break;
    case Operation::send:
      slot.out_at += static_cast<std::size_t>(result);
      if (slot.out_at < slot.out.size()) {
        slot.sending = true;
        return submit_send(index);
      }
      break;
  }
  pump(index);
}

void Uploads::pump(std::uint32_t index) {
  Slot& slot = slots_[index];
  if (slot.sending || slot.state != State::open) return;
  slot.out = slot.upload->next();
  slot.out_at = 0;
  if (!slot.out.empty()) {
    slot.sending = true;
    return submit_send(index);
  }
  if (slot.upload->wants_cut()) return close(index, cut_ns, false);
  if (slot.upload->finished()) return close(index, 0, true);
  if (!slot.upload->problem().empty()) {
    slot.problem = slot.upload->problem();
    close(index, 0, true);
  }
}

// The connection ended and should not have.
void Uploads::lose(std::uint32_t index, std::string_view why) {
  Slot& slot = slots_[index];
  const bool gives_up = ++slot.failures >= attempts_max;
  if (gives_up) slot.problem = why;
  close(index, retry_ns, gives_up);
}

void Uploads::close(std::uint32_t index, MonoNs pause_ns, bool ends) {
  Slot& slot = slots_[index];
  if (slot.state != State::closing) {
    slot.state = State::closing;
    slot.pause_ns = pause_ns;
    if (slot.operations > 0) {
      io_uring_sqe* sqe = shard_.ring().next_sqe();
      io_uring_prep_cancel_fd(sqe, slot.fd, IORING_ASYNC_CANCEL_ALL);
      sqe->user_data = io::user_data(io::Tag::none, 0, 0);
    }
  }
  slot.ends = ends || slot.ends;
  close_if_idle(index);
}

void Uploads::close_if_idle(std::uint32_t index) {
  Slot& slot = slots_[index];
  if (slot.state != State::closing || slot.operations > 0) return;
  if (slot.fd >= 0) shard_.sys().close(slot.fd);
  slot.fd = -1;
  slot.out = {};
  slot.in = {};
  if (!slot.ends) {
    slot.state = State::waits;
    slot.due_ns = shard_.now() + slot.pause_ns;
    return;
  }
  slot.ends = false;
  slot.state = State::free;
  --open_;
  const std::unique_ptr<AttachmentUpload> upload = std::move(slot.upload);
  if (!stopped_) owner_.on_upload_end(slot.device, *upload, slot.problem);
  if (!waiting_.empty() && open_ < connections_max) {
    auto [device, next] = std::move(waiting_.front());
    waiting_.pop_front();
    place(device, std::move(next));
  }
}

}  // namespace ringgate::load
