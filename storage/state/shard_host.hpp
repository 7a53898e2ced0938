// What errands of control threads find on a shard: the gates of its protocols, its state and
// its devices. Filled while the shard is wired, before any errand runs.
#pragma once

#include "engine/device/device_table.hpp"
#include "storage/event/device_gates.hpp"
#include "storage/log/commit_waits.hpp"
#include "storage/state/pending.hpp"
#include "storage/state/store.hpp"

namespace ringgate::state {

class ShardHost final : public event::DeviceGates {
 public:
  static ShardHost& of(shard::ErrandHost& host) { return static_cast<ShardHost&>(host); }

  void use(Store& store, log::CommitWaits& waits, log::Writer& log,
           device::DeviceTable& devices) {
    devices_ = &devices;
    store_ = &store;
    waits_ = &waits;
    log_ = &log;
  }
  void use(Pending& pending) { pending_ = &pending; }
  Store& store() { return *store_; }
  device::DeviceTable& devices() { return *devices_; }
  log::CommitWaits& waits() { return *waits_; }
  Pending& pending() { return *pending_; }
  // For audit records (audit.hpp).
  log::Writer& log() { return *log_; }
  // Whatever was appended so far is durable once this is.
  Position appended() const { return log_->appended(); }

 private:
  Store* store_ = nullptr;
  log::CommitWaits* waits_ = nullptr;
  Pending* pending_ = nullptr;
  log::Writer* log_ = nullptr;
  device::DeviceTable* devices_ = nullptr;
};

}  // namespace ringgate::state
