// Devices in snapshots: what the device table of a shard knows, and how far its stream was when
// that was so (FORMAT.md, "Devices"). Pure functions, any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/device/device_table.hpp"
#include "storage/event/device_folder.hpp"
#include "storage/event/record_view.hpp"
#include "storage/log/segment.hpp"

namespace ringgate::state {

// Messages of records that only snapshots hold.
enum class Note : std::uint16_t {
  as_of = 0x8000,       // which records the devices behind it have seen
  device = 0x8001,      // what the table knows of a device
  devices_of = 0x8002,  // of this namespace every known device is in the snapshot
};

// Each is appended to `out` as a snapshot holds it, and counts as one record.
void encode_devices_of(const event::DeviceFolder& folder, std::vector<std::uint8_t>& out);
// The devices that follow have seen the records of `stream` below `position`, and no other.
void encode_as_of(const log::StreamId& stream, Position position, std::vector<std::uint8_t>& out);
void encode_device(const device::Device& device, const event::DeviceFolder& folder,
                   std::vector<std::uint8_t>& out);

struct AsOf {
  log::StreamId stream;
  Position position = 0;
};
// Nothing: its payload is not as it should be.
std::optional<AsOf> decode_as_of(Bytes payload);

enum class Decoded : std::uint8_t {
  all,
  other_layout,  // the protocol's bytes are of another layout, and were not put back
  bad,           // its payload is not as it should be; `device` is as it was
};
// Puts a device back, but for its key. `folder`: null where the namespace has none now.
Decoded decode_device(Bytes payload, const event::DeviceFolder* folder, device::Device& device);

}  // namespace ringgate::state
