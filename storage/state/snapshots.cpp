#include "storage/state/snapshots.hpp"

#include <algorithm>

#include "storage/state/covered.hpp"
#include "storage/state/devices.hpp"

namespace ringgate::state {

Snapshots::Snapshots(const SnapshotParts& parts, ShardAsk& shards, const Loaded& loaded)
    : parts_(parts),
      directory_(parts.data_dir + "/state"),
      shards_(shards),
      good_(loaded.snapshot),
      good_cursor_(loaded.cursor),
      records_(loaded.from_snapshot),
      devices_(loaded.known_devices) {
  parts_.holds.set("state", loaded.held);
  // What was read of the log is in no snapshot: nothing stands for this run's beginning yet.
  if (loaded.as_snapshot()) newest_ = loaded.snapshot;
}

Result<Snapshots::Kept> Snapshots::keep(Need need) {
  log::Cursor cursor;
  std::uint64_t changes = 0;
  if (begin(cursor, changes) != Got::ok) return Kept::stopped;
  if (need == Need::changes && !newest_.empty() && changes == changes_) {
    if (wait_committed() != Got::ok) return Kept::stopped;
    auto noted = write_covered(parts_.sys, directory_, parts_.node, newest_, cursor);
    if (!noted) return noted.error();
    return Kept::noted;
  }
  auto kept = write(cursor);
  if (!kept || *kept != Kept::written) return kept;
  changes_ = changes;
  remove_others(newest_, good_);
  parts_.holds.set("state", need == Need::urgent ? cursor : good_cursor_);
  good_ = newest_;
  good_cursor_ = cursor;
  return kept;
}

Snapshots::Got Snapshots::begin(log::Cursor& cursor, std::uint64_t& changes) {
  cursor.finish_runs_below(parts_.run);
  for (ShardIndex i = 0; i < shards_.shards(); ++i) {
    Position appended = 0;
    const Got got = shards_.ask(i, [&](ShardHost& host, const ShardAsk::Done& done) {
      appended = host.appended();
      changes += host.store().changes() + host.devices().changes();
      done();
    });
    if (got != Got::ok) return got;
    cursor.set({parts_.run, i}, appended);
  }
  return Got::ok;
}

// Everything that any shard has appended so far is durable.
Snapshots::Got Snapshots::wait_committed() {
  for (ShardIndex i = 0; i < shards_.shards(); ++i) {
    const Got got = shards_.ask(i, [](ShardHost& host, ShardAsk::Done done) {
      host.waits().wait(host.appended(), std::move(done));
    });
    if (got != Got::ok) return got;
  }
  return Got::ok;
}

Result<Snapshots::Kept> Snapshots::write(const log::Cursor& cursor) {
  auto writer = SnapshotWriter::create(parts_.sys, directory_, parts_.node, parts_.sync);
  if (!writer) return writer.error();
  std::vector<std::uint8_t> bytes;
  for (const auto& folder : parts_.folders.all()) encode_devices_of(*folder, bytes);
  const auto folders = static_cast<std::uint32_t>(parts_.folders.all().size());
  if (auto added = (*writer)->add(bytes, folders); !added) return added.error();
  for (ShardIndex i = 0; i < shards_.shards(); ++i) {
    auto table = add_table(**writer, i);
    if (!table) return table.error();
    if (*table != Got::ok) return Kept::stopped;
  }
  const std::uint64_t records = (*writer)->records() - folders;
  devices_ = 0;
  for (ShardIndex i = 0; i < shards_.shards(); ++i) {
    auto devices = add_devices(**writer, i);
    if (!devices) return devices.error();
    if (*devices != Got::ok) return Kept::stopped;
  }
  if (wait_committed() != Got::ok) return Kept::stopped;
  auto name = (*writer)->finish(cursor);
  if (!name) return name.error();
  newest_ = std::move(*name);
  records_ = records;
  return Kept::written;
}

Result<Snapshots::Got> Snapshots::add_table(SnapshotWriter& writer, ShardIndex shard) {
  std::uint64_t place = 0;
  do {
    std::vector<std::uint8_t> bytes;
    std::uint32_t count = 0;
    const Got got = shards_.ask(shard, [&](ShardHost& host, const ShardAsk::Done& done) {
      place = host.store().table().list(
          place, entries_per_errand,
          [&](const Table::Entry& entry) { count += encode_entry(entry, bytes); });
      done();
    });
    if (got != Got::ok) return got;
    if (auto added = writer.add(bytes, count); !added) return added.error();
  } while (place != 0);
  return Got::ok;
}

Result<Snapshots::Got> Snapshots::add_devices(SnapshotWriter& writer, ShardIndex shard) {
  device::DeviceSlot next = 0;
  do {
    std::vector<std::uint8_t> bytes;
    std::uint32_t count = 0;
    const Got got = shards_.ask(shard, [&](ShardHost& host, const ShardAsk::Done& done) {
      count = copy_devices(host, shard, next, bytes);
      done();
    });
    if (got != Got::ok) return got;
    if (auto added = writer.add(bytes, count); !added) return added.error();
  } while (next != device::no_device);
  return Got::ok;
}

// On the shard. Returns the number of records.
std::uint32_t Snapshots::copy_devices(ShardHost& host, ShardIndex shard, device::DeviceSlot& next,
                                      std::vector<std::uint8_t>& out) {
  device::DeviceTable& table = host.devices();
  const device::DeviceSlot end =
      static_cast<device::DeviceSlot>(std::min<std::uint64_t>(
          std::uint64_t{next} + devices_per_errand, table.size()));
  encode_as_of({parts_.run, shard}, host.appended(), out);
  std::uint32_t count = 1;
  const WallUs now = parts_.sys.wall_now();
  for (; next < end; ++next) {
    const device::Device& device = table.at(next);
    const event::DeviceFolder* const folder = parts_.folders.find(device.key.ns);
    if (folder == nullptr) continue;
    const bool old = parts_.forget_after_us != 0 && !device.link.valid() &&
                     now - static_cast<WallUs>(device.last_heard_us) > parts_.forget_after_us;
    if (old) continue;
    encode_device(device, *folder, out);
    ++count;
    ++devices_;
  }
  if (next >= table.size()) next = device::no_device;
  return count;
}

// Not only older ones: one that can't be read must not stand in the place of one that can.
void Snapshots::remove_others(const std::string& newest, const std::string& before) {
  for (const std::string& name : list_snapshots(parts_.sys, directory_)) {
    if (name != newest && name != before) parts_.sys.remove(directory_ + "/" + name);
  }
}

}  // namespace ringgate::state
