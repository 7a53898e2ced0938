// Which node of the fabric has which device: what this node knows of its own links, and what the
// others tell. Pure bookkeeping, no I/O; one thread.
//
// The newest claim wins. A claim is a stamp in microseconds: the wall clock at the moment of the
// attachment, or one more than the newest claim that the node knew of, where clocks differ. So a
// device that moves from A to B belongs to B as soon as B has seen it, whatever A's clock says and
// however long A's dead link lives on.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/ids.hpp"

namespace ringgate::fabric {

// Devices of all nodes that one node remembers: some 100 bytes each. Beyond that a device is found
// only by the node that has its link.
constexpr std::size_t presence_devices_max = 4U << 20;
// A node that was not heard of for so long is gone. Three of its heartbeats.
constexpr MonoNs node_silence_ns = 3 * ns_per_s;
// Nodes that are heard of; one that is gone makes room for a new one.
constexpr std::size_t nodes_max = 256;
// No clock goes so far (the year 148,000); a claim beyond it could not be outdone by anybody.
constexpr std::int64_t stamp_max_us = std::int64_t{1} << 62;

using NodeNumber = std::uint16_t;
constexpr NodeNumber self_node = 0;

struct Claim {
  NodeNumber node = 0;
  bool online = false;
  std::uint8_t mark = 0;  // of the last list that named it
  std::int64_t stamp_us = 0;
};

// Who answers a request for a device.
enum class Verdict : std::uint8_t {
  ours,    // now: we have its link
  theirs,  // another node has it
  last,    // nobody has it, and we saw it last (or stand in): after a moment, if still so
};

class Presence {
 public:
  // `id` tells nodes apart (the log's node id); names are for people.
  Presence(std::string id, std::string name);

  // Our own links. Returns the stamp to publish.
  std::int64_t attached(const DeviceKey& device, WallUs now_us);
  // Nothing: it was not here.
  std::optional<std::int64_t> detached(const DeviceKey& device);
  // Devices with a link here, with their stamps.
  const auto& own() const { return own_; }

  // Heard of a node. Nothing: too many nodes are there. `fresh`: it is new, or has started again;
  // then all that was known of its links is over.
  struct Heard {
    NodeNumber node = 0;
    bool fresh = false;
    bool gap = false;  // messages of it are missing
  };
  std::optional<Heard> heard(std::string_view id, std::string_view name, std::uint64_t run,
                             std::uint64_t sequence, MonoNs now);
  void left(NodeNumber node);

  // What it says of a device. Returns a new stamp of ours where our claim must be told again: the
  // other's link is over, and ours, which is older, is still there. A stamp that is none (below 0,
  // above stamp_max_us) says nothing.
  std::optional<std::int64_t> claim(NodeNumber node, const DeviceKey& device, bool online,
                                    std::int64_t stamp_us, WallUs now_us);
  // Around all claims of a whole list: what it did not name is offline.
  void begin_list(NodeNumber node);
  void end_list(NodeNumber node);

  Verdict verdict(const DeviceKey& device, MonoNs now) const;
  // Whether another node, which is alive, has the device's newest link.
  bool is_elsewhere(const DeviceKey& device, MonoNs now) const;
  // Who answers what names no device.
  bool stand_in(MonoNs now) const;
  // Where the device was seen last; empty: nobody knows.
  std::string_view last_node(const DeviceKey& device) const;
  std::size_t alive(MonoNs now) const;  // nodes, with us
  std::size_t known() const { return claims_.size(); }

 private:
  struct Node {
    std::string id;
    std::string name;
    std::uint64_t run = 0;
    std::uint64_t sequence = 0;
    MonoNs heard = 0;
    bool here = false;
    std::uint8_t mark = 0;
  };
  struct Hash {
    std::size_t operator()(const DeviceKey& key) const { return ringgate::hash(key); }
  };
  bool is_alive(NodeNumber node, MonoNs now) const {
    return node == self_node ||
           (nodes_[node].here && now - nodes_[node].heard < node_silence_ns);
  }
  bool newer(const Claim& one, const Claim& other) const;
  void forget_links(NodeNumber node);
  // A number for a new node: the next, or that of the node that is gone for the longest time.
  std::optional<NodeNumber> free_number(MonoNs now);

  std::vector<Node> nodes_;  // [0]: we
  std::unordered_map<DeviceKey, Claim, Hash> claims_;  // the newest of each device
  std::unordered_map<DeviceKey, std::int64_t, Hash> own_;
};

}  // namespace ringgate::fabric
