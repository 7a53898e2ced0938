#include "protocols/api/fleet.hpp"

#include <algorithm>

#include "engine/io/sys.hpp"
#include "protocols/api/plane.hpp"

namespace ringgate::api {

namespace {

// Devices that one errand looks at: some 100 us of their shard where all of them are cold.
constexpr std::uint32_t devices_per_walk = 256;
// Without use for so long, it goes.
constexpr MonoNs idle_ns = 60 * ns_per_s;
// Rounds over all devices after the first begin so far apart: they find what no record tells,
// heartbeats and what an operator has registered.
constexpr MonoNs round_ns = 20 * ns_per_s;
// One page of a shard in each: half a percent of it at most.
constexpr MonoNs tick_ns = 20 * ns_per_ms;

}  // namespace

Fleet::Fleet(Plane& plane)
    : plane_(plane),
      devices_(plane.parts().counters.gauge(mirror_devices)),
      bytes_(plane.parts().counters.gauge(mirror_bytes)),
      walks_(plane.parts().shards) {}

Fleet::~Fleet() = default;

bool Fleet::whole() const {
  return std::ranges::all_of(walks_, [](const Walk& walk) { return walk.once; });
}

void Fleet::use(const CallPtr& call, std::function<void(const Mirror&)> then) {
  used_ns_ = io::real_sys().mono_now();
  if (mirror_ != nullptr && whole()) return then(*mirror_);
  waiting_.push_back({call, std::move(then)});
  if (mirror_ == nullptr) start();
}

void Fleet::start() {
  mirror_ = std::make_unique<Mirror>();
  ++life_;
  std::ranges::fill(walks_, Walk{});
  tick();
}

void Fleet::drop() {
  mirror_.reset();
  ++life_;
  devices_.set(0);
  bytes_.set(0);
}

void Fleet::failed() {
  drop();
  for (const Waiting& one : std::exchange(waiting_, {})) {
    one.call->problem(503, "the shards do not answer");
  }
}

void Fleet::tick() {
  const MonoNs now = io::real_sys().mono_now();
  // Whoever still waits then has waited for too long.
  if (now - used_ns_ >= idle_ns) return failed();
  const std::uint64_t life = life_;
  for (ShardIndex shard = 0; shard < walks_.size() && life == life_; ++shard) {
    Walk& here = walks_[shard];
    const bool begins = here.cursor == 0 && (!here.once || now - here.round_ns >= round_ns);
    if (here.out || (here.cursor == 0 && !begins)) continue;
    if (begins) here.round_ns = now;
    walk(shard);
  }
  if (life != life_) return;
  plane_.after(tick_ns, [this, life] {
    if (life == life_) tick();
  });
}

void Fleet::walk(ShardIndex shard) {
  Walk& here = walks_[shard];
  struct Page {
    std::uint32_t cursor = 0;
    std::vector<event::DeviceSnapshot> devices;
  };
  const auto page = std::make_shared<Page>();
  page->cursor = here.cursor;
  auto errand = shard::make_errand(
      [page, ns = plane_.parts().devices.ns()](shard::ErrandHost& host,
                                               shard::ErrandTicket ticket) {
        event::DeviceGate* const gate = event::DeviceGates::of(host).find(ns);
        page->devices.reserve(devices_per_walk);
        page->cursor = gate == nullptr
                           ? 0
                           : gate->snapshot(page->cursor, devices_per_walk, page->devices);
        ticket.done();
      },
      [this, shard, page, life = life_](bool ran) {
        if (life != life_) return;
        if (!ran) return failed();
        took(shard, page->cursor, page->devices);
      });
  const shard::Posted posted = plane_.post().send(shard, errand);
  here.out = posted == shard::Posted::ok;  // one that is busy is asked again by the next tick
  if (posted == shard::Posted::stopped) failed();
}

void Fleet::took(ShardIndex shard, std::uint32_t cursor,
                 const std::vector<event::DeviceSnapshot>& devices) {
  Walk& here = walks_[shard];
  here.out = false;
  here.cursor = cursor;
  for (const event::DeviceSnapshot& device : devices) mirror_->apply(device);
  here.once |= cursor == 0;
  if (!here.once) return walk(shard);
  devices_.set(mirror_->size());
  bytes_.set(static_cast<std::int64_t>(mirror_->memory_bytes()));
  if (!whole()) return;
  for (const Waiting& one : std::exchange(waiting_, {})) {
    if (!one.call->over()) one.then(*mirror_);
  }
}

}  // namespace ringgate::api
