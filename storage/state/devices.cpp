#include "storage/state/devices.hpp"

#include <algorithm>
#include <cstring>

#include "storage/state/snapshot.hpp"

namespace ringgate::state {

namespace {

// run, shard, zero, position
constexpr std::size_t as_of_size = 16;
// layout, size of the last state, fingerprints, frames, last heard, online since
constexpr std::size_t device_head = 28;

}  // namespace

void encode_devices_of(const event::DeviceFolder& folder, std::vector<std::uint8_t>& out) {
  encode_record(folder.ns(), {}, static_cast<std::uint16_t>(Note::devices_of), {}, out);
}

void encode_as_of(const log::StreamId& stream, Position position, std::vector<std::uint8_t>& out) {
  std::uint8_t payload[as_of_size] = {};
  store_native(payload, stream.run);
  store_native(payload + 4, stream.shard);
  store_native(payload + 8, position);
  encode_record(Namespace::none, {}, static_cast<std::uint16_t>(Note::as_of), payload, out);
}

std::optional<AsOf> decode_as_of(Bytes payload) {
  if (payload.size() != as_of_size) return {};
  return AsOf{{load_native<std::uint32_t>(payload.data()),
               load_native<ShardIndex>(payload.data() + 4)},
              load_native<Position>(payload.data() + 8)};
}

void encode_device(const device::Device& device, const event::DeviceFolder& folder,
                   std::vector<std::uint8_t>& out) {
  std::uint8_t payload[device_head + device::Device::last_state_bytes +
                       limits::recent_frames * sizeof(std::uint32_t)] = {};
  const std::size_t last_size = folder.last_state_size();
  std::uint8_t* to = payload + device_head;
  std::memcpy(to, device.last_state_storage, last_size);
  to += last_size;
  std::uint8_t fingerprints = 0;
  device.for_each_recent([&](std::uint32_t fingerprint) {
    store_native(to, fingerprint);
    to += sizeof fingerprint;
    ++fingerprints;
  });
  store_native(payload, folder.layout());
  payload[2] = static_cast<std::uint8_t>(last_size);
  payload[3] = fingerprints;
  store_native(payload + 4, device.frames);
  store_native(payload + 12, device.last_heard_us);
  store_native(payload + 20, device.online_since_us);
  encode_record(device.key.ns, device.key.id(), static_cast<std::uint16_t>(Note::device),
                {payload, static_cast<std::size_t>(to - payload)}, out);
}

Decoded decode_device(Bytes payload, const event::DeviceFolder* folder, device::Device& device) {
  if (payload.size() < device_head) return Decoded::bad;
  const auto layout = load_native<std::uint16_t>(payload.data());
  const std::size_t last_size = payload[2];
  const std::size_t fingerprints = payload[3];
  if (payload.size() != device_head + last_size + fingerprints * sizeof(std::uint32_t)) {
    return Decoded::bad;
  }
  device.frames = load_native<std::uint64_t>(payload.data() + 4);
  device.last_heard_us = load_native<std::uint64_t>(payload.data() + 12);
  device.online_since_us = load_native<std::uint64_t>(payload.data() + 20);
  const std::uint8_t* at = payload.data() + device_head;
  const bool known = folder != nullptr && folder->layout() == layout &&
                     folder->last_state_size() == last_size;
  if (known) std::memcpy(device.last_state_storage, at, last_size);
  at += last_size;
  for (std::size_t i = 0; i < fingerprints; ++i, at += sizeof(std::uint32_t)) {
    device.heard_before(load_native<std::uint32_t>(at));
  }
  return known ? Decoded::all : Decoded::other_layout;
}

}  // namespace ringgate::state
