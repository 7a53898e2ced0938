// Keeps a Mirror of all devices while somebody asks for maps or sorted lists: filled on first use
// by errands that walk the shards' tables in short pages, kept by the feed of committed records
// where there is one and by walking on at leisure, dropped after a minute without use. With nobody
// looking it costs nothing.
//
// Plane thread only.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/observe/counter.hpp"
#include "engine/observe/histogram.hpp"
#include "protocols/api/mirror.hpp"
#include "protocols/api/route.hpp"

namespace ringgate::api {

// What /metrics says of it.
inline constexpr observe::MetricSpec mirror_devices{
    .name = "ringgate_api_mirror_devices",
    .help = "Devices that the API keeps for maps and sorted lists; none while nobody asks.",
    .kind = observe::MetricKind::gauge};
inline constexpr observe::MetricSpec mirror_bytes{
    .name = "ringgate_api_mirror_bytes",
    .help = "Memory of the devices that the API keeps for maps and sorted lists.",
    .kind = observe::MetricKind::gauge};

struct Consumer;
struct Insight;

// The gateway's figures at one moment.
struct Moment {
  WallUs at_us = 0;  // 0: before it started
  std::vector<observe::Sample> samples;
  observe::HistogramSnapshot commits;
  observe::HistogramSnapshot acks;
  observe::HistogramSnapshot turns;
};

class Fleet {
 public:
  explicit Fleet(Plane& plane);
  ~Fleet();
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  // Runs `then` when the mirror is whole: at once, or some tenths of a second after the first use.
  // Answers the call with 503 where the shards do not answer.
  void use(const CallPtr& call, std::function<void(const Mirror&)> then);

  // What of the gateway may be shown; before the plane serves, then on its thread.
  void use(std::shared_ptr<const Insight> insight) { insight_ = std::move(insight); }
  const std::shared_ptr<const Insight>& insight() const { return insight_; }
  // Who takes the stream; `then` is called here, or not at all where the feed ends before.
  void consumers(std::function<void(const std::vector<Consumer>&)> then);

  // Figures that rates are counted from: a second or more apart.
  Moment before;
  Moment last;

 private:
  struct Walk {  // of one shard's table
    std::uint32_t cursor = 0;
    bool out = false;      // an errand is under way
    bool once = false;     // it has been to the end
    MonoNs round_ns = 0;   // when it began
  };
  class Ears;  // hears the feed, on its thread
  void start();
  void drop();
  void listen();
  void unlisten();
  void tick();
  void walk(ShardIndex shard);
  void took(ShardIndex shard, std::uint32_t cursor,
            const std::vector<event::DeviceSnapshot>& devices);
  void failed();
  bool whole() const;

  Plane& plane_;
  observe::Gauge devices_;
  observe::Gauge bytes_;
  std::shared_ptr<const Insight> insight_;
  std::vector<std::function<void(const std::vector<Consumer>&)>> asking_;
  bool feed_knows_ = false;  // it may have something for us
  std::unique_ptr<Mirror> mirror_;
  std::shared_ptr<Ears> ears_;  // null: nothing is heard
  std::uint64_t life_ = 0;  // of the mirror: an errand of an earlier one is nobody's
  std::vector<Walk> walks_;
  struct Waiting {
    CallPtr call;
    std::function<void(const Mirror&)> then;
  };
  std::vector<Waiting> waiting_;
  MonoNs used_ns_ = 0;
};

}  // namespace ringgate::api
