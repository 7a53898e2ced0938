#include "tools/chaos/desk.hpp"

#include <algorithm>

#include "engine/base/check.hpp"
#include "tools/chaos/limits.hpp"

namespace ringgate::chaos {

namespace {

// Groups 0 and 1 are those of the engine's links.
constexpr std::uint16_t stream_group = 100;
constexpr std::uint16_t datagram_group = 101;

// tag | op | generation | slot.
std::uint64_t data_of(std::uint8_t op, std::uint16_t generation, std::uint32_t slot) {
  return io::user_data(io::Tag::tool, generation, slot) | std::uint64_t{op} << 48;
}

}  // namespace

Operand::Operand(Desk& desk) : desk_(desk) { desk.enroll(*this); }
Operand::~Operand() { desk_.retire(*this); }
MonoNs Operand::now() const { return desk_.shard().now(); }
void Operand::wake(MonoNs at) { desk_.wake(*this, at); }

Result<std::unique_ptr<Desk>> Desk::create(shard::Shard& shard) {
  auto buffers = io::BufferRing::open(shard.ring(), stream_group, limits::read_buffers,
                                      limits::read_bytes);
  if (!buffers) return buffers.error();
  return std::unique_ptr<Desk>(new Desk(shard, std::move(*buffers)));
}

Desk::Desk(shard::Shard& shard, std::unique_ptr<io::BufferRing> buffers)
    : shard_(shard), buffers_(std::move(buffers)) {
  static_assert(pinned_max == limits::read_buffers / 2);
  shard_.handle(io::Tag::tool, *this);
  shard_.add_hook(*this);
}

Desk::~Desk() = default;

io::BufferRing* Desk::datagram_buffers() {
  if (!datagram_buffers_) {
    auto opened = io::BufferRing::open(shard_.ring(), datagram_group, limits::datagram_buffers,
                                       limits::datagram_bytes);
    if (opened) datagram_buffers_ = std::move(*opened);
  }
  return datagram_buffers_.get();
}

void Desk::enroll(Operand& operand) {
  if (free_places_.empty()) {
    free_places_.push_back(static_cast<std::uint32_t>(places_.size()));
    places_.emplace_back();
  }
  operand.slot_ = free_places_.back();
  free_places_.pop_back();
  places_[operand.slot_].operand = &operand;
  ++enrolled_;
}

void Desk::retire(Operand& operand) {
  RG_CHECK(operand.outstanding_ == 0);
  Place& place = places_[operand.slot_];
  place.operand = nullptr;
  ++place.generation;
  free_places_.push_back(operand.slot_);
  --enrolled_;
}

void Desk::submit(io_uring_sqe* sqe, Operand& operand, std::uint8_t op) {
  sqe->user_data = data_of(op, places_[operand.slot_].generation, operand.slot_);
  ++operand.outstanding_;
}

void Desk::cancel_all(int fd, Operand& operand, std::uint8_t op) {
  io_uring_sqe* const sqe = next_sqe();
  io_uring_prep_cancel_fd(sqe, fd, IORING_ASYNC_CANCEL_ALL);
  submit(sqe, operand, op);
}

void Desk::on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) {
  const std::uint32_t slot = io::slot_of(user_data);
  RG_CHECK(slot < places_.size());
  Operand* const operand = places_[slot].operand;
  // Nothing dies before its operations.
  RG_CHECK(operand != nullptr && places_[slot].generation == io::generation_of(user_data));
  if ((flags & IORING_CQE_F_MORE) == 0) --operand->outstanding_;
  operand->on_done(static_cast<std::uint8_t>(user_data >> 48), result, flags);
}

void Desk::before_enter() {
  buffers_->publish();
  if (datagram_buffers_) datagram_buffers_->publish();
}

void Desk::bury(std::unique_ptr<Operand> operand) {
  operand->buried_ = true;
  buried_.push_back(std::move(operand));
}

void Desk::wake(Operand& operand, MonoNs at) {
  if (at >= operand.wake_ns_) return;
  operand.wake_ns_ = at;
  deadlines_.push_back({at, operand.slot_, places_[operand.slot_].generation});
  std::ranges::push_heap(deadlines_, &later);
}

void Desk::advance() {
  const MonoNs now = shard_.now();
  for (std::size_t i = 0; i < limits::deadlines_per_turn && !deadlines_.empty(); ++i) {
    const Deadline next = deadlines_.front();
    if (next.at_ns > now) break;
    std::ranges::pop_heap(deadlines_, &later);
    deadlines_.pop_back();
    const Place& place = places_[next.slot];
    if (place.operand == nullptr || place.generation != next.generation) continue;
    if (place.operand->wake_ns_ != next.at_ns) continue;  // an earlier one took its place
    place.operand->wake_ns_ = Schedule::never;
    if (!place.operand->buried_) place.operand->on_due();
  }
  std::erase_if(buried_, [](const auto& one) { return one->outstanding_ == 0; });
}

MonoNs Desk::sleep_budget(MonoNs longest_ns) const {
  if (deadlines_.empty()) return longest_ns;
  return std::clamp<MonoNs>(deadlines_.front().at_ns - shard_.sys().mono_now(), 0, longest_ns);
}

}  // namespace ringgate::chaos
