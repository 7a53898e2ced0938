#include "protocols/fabric/presence.hpp"

#include <algorithm>

namespace ringgate::fabric {

Presence::Presence(std::string id, std::string name) {
  nodes_.push_back({.id = std::move(id), .name = std::move(name), .here = true});
}

std::int64_t Presence::attached(const DeviceKey& device, WallUs now_us) {
  std::int64_t stamp = now_us;
  const auto known = claims_.find(device);
  if (known != claims_.end()) stamp = std::max(stamp, known->second.stamp_us + 1);
  own_[device] = stamp;
  if (known != claims_.end()) {
    known->second = {.node = self_node, .online = true, .stamp_us = stamp};
  } else if (claims_.size() < presence_devices_max) {
    claims_.emplace(device, Claim{.node = self_node, .online = true, .stamp_us = stamp});
  }
  return stamp;
}

std::optional<std::int64_t> Presence::detached(const DeviceKey& device) {
  const auto ours = own_.find(device);
  if (ours == own_.end()) return {};
  const std::int64_t stamp = ours->second;
  own_.erase(ours);
  const auto known = claims_.find(device);
  if (known != claims_.end() && known->second.node == self_node) known->second.online = false;
  return stamp;
}

std::optional<Presence::Heard> Presence::heard(std::string_view id, std::string_view name,
                                               std::uint64_t run, std::uint64_t sequence,
                                               MonoNs now) {
  const auto found = std::find_if(nodes_.begin() + 1, nodes_.end(),
                                  [&](const Node& node) { return node.id == id; });
  if (found == nodes_.end()) {
    const auto number = free_number(now);
    if (!number) return {};
    nodes_[*number] = {.id = std::string(id), .name = std::string(name), .run = run,
                       .sequence = sequence, .heard = now, .here = true};
    return Heard{.node = *number, .fresh = true};
  }
  Heard heard{.node = static_cast<NodeNumber>(found - nodes_.begin())};
  heard.fresh = found->run != run || !is_alive(heard.node, now);
  heard.gap = !heard.fresh && sequence != found->sequence + 1;
  if (found->run != run) forget_links(heard.node);
  found->name = name;
  found->run = run;
  found->sequence = sequence;
  found->heard = now;
  found->here = true;
  return heard;
}

std::optional<NodeNumber> Presence::free_number(MonoNs now) {
  if (nodes_.size() < nodes_max) {
    nodes_.emplace_back();
    return static_cast<NodeNumber>(nodes_.size() - 1);
  }
  std::optional<NodeNumber> longest;
  for (NodeNumber node = 1; node < nodes_.size(); ++node) {
    if (is_alive(node, now)) continue;
    if (!longest || nodes_[node].heard < nodes_[*longest].heard) longest = node;
  }
  if (longest) {
    std::erase_if(claims_, [&](const auto& known) { return known.second.node == *longest; });
  }
  return longest;
}

void Presence::left(NodeNumber node) {
  nodes_[node].here = false;
  forget_links(node);
}

void Presence::forget_links(NodeNumber node) {
  for (auto& [device, claim] : claims_) {
    if (claim.node == node) claim.online = false;
  }
}

bool Presence::newer(const Claim& one, const Claim& other) const {
  if (one.stamp_us != other.stamp_us) return one.stamp_us > other.stamp_us;
  return one.node == other.node || nodes_[one.node].id > nodes_[other.node].id;
}

std::optional<std::int64_t> Presence::claim(NodeNumber node, const DeviceKey& device, bool online,
                                            std::int64_t stamp_us, WallUs now_us) {
  if (stamp_us < 0 || stamp_us > stamp_max_us) return {};
  const Claim said{.node = node, .online = online, .mark = nodes_[node].mark,
                   .stamp_us = stamp_us};
  const auto known = claims_.find(device);
  if (known == claims_.end()) {
    if (claims_.size() < presence_devices_max) claims_.emplace(device, said);
  } else if (newer(said, known->second)) {
    known->second = said;
  } else {
    return {};
  }
  // Its link is over, and ours is older and still there: the device came back by it, or we have not
  // noticed that it is dead. Either way it is ours to answer for.
  if (online || own_.find(device) == own_.end()) return {};
  return attached(device, now_us);
}

void Presence::begin_list(NodeNumber node) { ++nodes_[node].mark; }

void Presence::end_list(NodeNumber node) {
  const std::uint8_t mark = nodes_[node].mark;
  for (auto& [device, claim] : claims_) {
    if (claim.node == node && claim.mark != mark) claim.online = false;
  }
}

bool Presence::stand_in(MonoNs now) const {
  for (NodeNumber node = 1; node < nodes_.size(); ++node) {
    if (is_alive(node, now) && nodes_[node].id < nodes_[self_node].id) return false;
  }
  return true;
}

Verdict Presence::verdict(const DeviceKey& device, MonoNs now) const {
  const auto known = claims_.find(device);
  const bool have = own_.find(device) != own_.end();
  if (known == claims_.end()) {
    if (have) return Verdict::ours;
    return stand_in(now) ? Verdict::last : Verdict::theirs;
  }
  const Claim& claim = known->second;
  if (claim.node == self_node) return have ? Verdict::ours : Verdict::last;
  if (is_alive(claim.node, now)) return Verdict::theirs;
  if (have) return Verdict::ours;
  return stand_in(now) ? Verdict::last : Verdict::theirs;
}

bool Presence::is_elsewhere(const DeviceKey& device, MonoNs now) const {
  const auto known = claims_.find(device);
  if (known == claims_.end() || known->second.node == self_node) return false;
  return known->second.online && is_alive(known->second.node, now);
}

std::string_view Presence::last_node(const DeviceKey& device) const {
  const auto known = claims_.find(device);
  return known == claims_.end() ? std::string_view() : nodes_[known->second.node].name;
}

std::size_t Presence::alive(MonoNs now) const {
  std::size_t count = 0;
  for (NodeNumber node = 0; node < nodes_.size(); ++node) count += is_alive(node, now) ? 1 : 0;
  return count;
}

}  // namespace ringgate::fabric
