#include "protocols/api/fleet.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>

#include "engine/io/sys.hpp"
#include "protocols/api/feed.hpp"
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

// Gathers what happens and brings it to the plane with every tick, so that a position costs the
// feed a copy of it. Every method on the feed's thread.
class Fleet::Ears final : public FeedListener {
 public:
  // More is not kept: the next round of walks has what was missed.
  static constexpr std::size_t events_max = 65'536;

  Ears(Fleet& fleet, std::uint64_t life) : fleet_(&fleet), life_(life) {}
  void hold(std::shared_ptr<Ears> self) { self_ = std::move(self); }

  void on_position(const DeviceKey& device, const event::PositionRow& row,
                   WallUs received) override {
    const auto whole = [](double value, double unit) {
      return std::isfinite(value) ? std::lround(value * unit) : 0L;
    };
    const bool on_earth = std::abs(row.latitude_deg) <= 90 && std::abs(row.longitude_deg) <= 180;
    const double known = on_earth ? 1e6 : 0;
    Event event{.device = device};
    event.moved = {
        .received_us = received,
        .position_time_s = row.device_time_us / us_per_s,
        .latitude_deg_x1e6 = static_cast<std::int32_t>(whole(row.latitude_deg, known)),
        .longitude_deg_x1e6 = static_cast<std::int32_t>(whole(row.longitude_deg, known)),
        .alarm_bits = row.alarm_bits,
        .speed_kmh_x10 = static_cast<std::uint16_t>(whole(row.speed_kmh, 10)),
        .heading_deg = static_cast<std::uint16_t>(whole(row.heading_deg, 1))};
    put(event);
  }
  void on_session(const DeviceKey& device, const event::SessionRow& row,
                  WallUs received) override {
    using What = event::SessionRow::What;
    if (row.what != What::online && row.what != What::offline && row.what != What::logged_out) {
      return;
    }
    Event event{.kind = row.what == What::online ? Kind::online : Kind::offline, .device = device};
    event.moved.received_us = received;
    put(event);
  }
  void on_end() override {
    fleet_ = nullptr;
    events_.clear();
    const std::shared_ptr<Ears> self = std::move(self_);  // until the end of this call
  }
  void flush() {
    if (fleet_ == nullptr || events_.empty()) return;
    fleet_->plane_.letter([fleet = fleet_, life = life_, events = std::move(events_)] {
      if (fleet->life_ == life) apply(*fleet->mirror_, events);
    });
    events_ = {};
  }

 private:
  enum class Kind : std::uint8_t { moved, online, offline };
  struct Event {
    Kind kind = Kind::moved;
    DeviceKey device;
    Mirror::Moved moved;
  };
  void put(const Event& event) {
    if (events_.size() < events_max) events_.push_back(event);
  }
  static void apply(Mirror& mirror, const std::vector<Event>& events) {
    for (const Event& event : events) {
      if (event.kind == Kind::moved) {
        mirror.apply(event.device, event.moved);
      } else {
        mirror.apply_presence(event.device, event.moved.received_us, event.kind == Kind::online);
      }
    }
  }

  Fleet* fleet_;
  std::uint64_t life_;
  std::vector<Event> events_;
  std::shared_ptr<Ears> self_;  // until the feed knows it no more
};

// The feed ends after the plane: what it was asked before is done when this is.
Fleet::~Fleet() {
  unlisten();
  if (!feed_knows_) return;
  const auto done = std::make_shared<std::atomic<bool>>(false);
  plane_.parts().feed->run([done] {
    done->store(true, std::memory_order_release);
    done->notify_all();
  });
  done->wait(false, std::memory_order_acquire);
}

void Fleet::consumers(std::function<void(const std::vector<Consumer>&)> then) {
  asking_.push_back(std::move(then));
  if (asking_.size() > 1) return;
  feed_knows_ = true;
  plane_.parts().feed->consumers([this](std::vector<Consumer> found) {
    plane_.letter([this, found = std::move(found)] {
      for (const auto& one : std::exchange(asking_, {})) one(found);
    });
  });
}

void Fleet::listen() {
  Feed* const feed = plane_.parts().feed;
  if (feed == nullptr) return;
  feed_knows_ = true;
  ears_ = std::make_shared<Ears>(*this, life_);
  ears_->hold(ears_);
  feed->add(*ears_);
}

void Fleet::unlisten() {
  if (ears_ != nullptr) plane_.parts().feed->remove(*ears_);
  ears_.reset();
}

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
  listen();  // before the walk: what happens meanwhile is heard
  tick();
}

void Fleet::drop() {
  unlisten();
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
  if (ears_ != nullptr) plane_.parts().feed->run([ears = ears_] { ears->flush(); });
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
