// How the last state of devices is made again from the log: a protocol that keeps something in
// Device::last_state implements a folder, and the executable's wiring hands it to whoever loads
// the state (storage/state) at start. What a snapshot holds is put back as bytes; the records
// behind it are folded in, in their order, and give what the session had when it appended them.
//
// One per process; used by one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "engine/base/ids.hpp"
#include "engine/device/device_table.hpp"
#include "storage/event/record_view.hpp"

namespace ringgate::event {

class DeviceFolder {
 public:
  enum class Sight : std::uint8_t {
    nothing,      // changes no device
    changes,      // changes its device where that is known
    makes_known,  // and makes it known
  };

  virtual ~DeviceFolder() = default;
  virtual Namespace ns() const = 0;
  // Number of the layout of what the protocol keeps in Device::last_state, and its bytes. Another
  // meaning takes another number: what was kept in an old layout is read from the log again.
  virtual std::uint16_t layout() const = 0;
  virtual std::size_t last_state_size() const = 0;

  // A process wrote what comes from here on; links of the one before are gone.
  virtual void next_run() = 0;
  // Shown every record of its namespace once, in the order of its stream. May remember what it says
  // of later ones.
  virtual Sight look(const RecordView& record) = 0;
  // Does to its device what the session did after it had appended the record; look() was called
  // before. Never called twice for a record, nor for one that `device` has already seen.
  virtual void fold(const RecordView& record, device::Device& device) = 0;
};

// The folders that an executable registered, by namespace.
class DeviceFolders {
 public:
  void add(std::unique_ptr<DeviceFolder> folder) { folders_.push_back(std::move(folder)); }
  DeviceFolder* find(Namespace ns) const {
    for (const auto& folder : folders_) {
      if (folder->ns() == ns) return folder.get();
    }
    return nullptr;
  }
  const std::vector<std::unique_ptr<DeviceFolder>>& all() const { return folders_; }

 private:
  std::vector<std::unique_ptr<DeviceFolder>> folders_;
};

}  // namespace ringgate::event
