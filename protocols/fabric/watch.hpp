// Brings news of devices from a shard to the fabric's thread. One letter is under way at a time;
// what happens meanwhile is kept by device, so that it is bounded by the number of devices.
#pragma once

#include <atomic>
#include <functional>
#include <memory>
#include <unordered_map>
#include <utility>

#include "engine/shard/inbox.hpp"
#include "storage/event/device_gate.hpp"

namespace ringgate::fabric {

struct KeyHash {
  std::size_t operator()(const DeviceKey& key) const { return ringgate::hash(key); }
};
// The last thing that happened to each device: it came, or it went.
using Changes = std::unordered_map<DeviceKey, bool, KeyHash>;

class ShardWatch final : public event::PresenceWatcher {
 public:
  using Arrived = std::function<void(const Changes& changes)>;
  // `arrived` is called on the inbox's thread.
  ShardWatch(shard::Inbox& inbox, Arrived arrived)
      : inbox_(inbox), arrived_(std::move(arrived)) {}

  // On the shard -----------------------------------------------------------------------------

  void on_presence(const DeviceKey& device, bool online) override {
    kept_[device] = online;
    waiting_.store(true);
    flush();
  }
  void flush() {
    if (kept_.empty() || under_way_.exchange(true)) return;
    auto letter = std::make_unique<News>(*this, std::move(kept_));
    kept_.clear();
    waiting_.store(false);
    inbox_.push(std::move(letter));
  }

  // On the inbox's thread --------------------------------------------------------------------

  // Whether something is kept that no event may ever push: have flush() called on the shard.
  bool waits() const { return !under_way_.load() && waiting_.load(); }

 private:
  class News final : public shard::Letter {
   public:
    News(ShardWatch& watch, Changes changes) : watch_(watch), changes_(std::move(changes)) {}
    void arrive() override {
      watch_.arrived_(changes_);
      watch_.under_way_.store(false);
    }

   private:
    ShardWatch& watch_;
    Changes changes_;
  };

  shard::Inbox& inbox_;
  Arrived arrived_;
  Changes kept_;  // the shard's
  std::atomic<bool> under_way_{false};
  std::atomic<bool> waiting_{false};
};

}  // namespace ringgate::fabric
