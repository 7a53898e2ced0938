#include "storage/state/loader.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "storage/log/format_version.hpp"
#include "storage/log/segment_list.hpp"
#include "storage/log/segment_records.hpp"
#include "storage/state/covered.hpp"
#include "storage/state/devices.hpp"
#include "storage/state/records.hpp"
#include "storage/state/snapshot.hpp"

namespace ringgate::state {

namespace {

// What the snapshot says of the devices that it holds.
class Seen {
 public:
  void clear() { *this = {}; }
  void as_of(const AsOf& now) {
    now_ = now;
    run_ = std::max(run_, now.stream.run);
  }
  // Devices are restored into slots in order, so `slot` is at most one behind the last.
  void restored(ShardIndex home, device::DeviceSlot slot, bool whole) {
    if (home >= shards_.size()) shards_.resize(home + std::size_t{1});
    auto& places = shards_[home];
    if (slot >= places.size()) places.resize(slot + std::size_t{1});
    places[slot] = {now_.position, whole};
  }
  // Whether the device had seen the record when it was written to the snapshot.
  bool has_seen(ShardIndex home, device::DeviceSlot slot, const log::StreamId& stream,
                Position position) const {
    const Place* const place = find(home, slot);
    if (place == nullptr || stream.run > run_) return false;
    // A device has one stream in a run.
    return stream.run < run_ || position < place->position;
  }
  bool whole(ShardIndex home, device::DeviceSlot slot) const {
    const Place* const place = find(home, slot);
    return place == nullptr || place->whole;
  }

 private:
  struct Place {
    Position position = 0;
    bool whole = true;  // its last state too
  };
  const Place* find(ShardIndex home, device::DeviceSlot slot) const {
    if (home >= shards_.size() || slot >= shards_[home].size()) return nullptr;
    return &shards_[home][slot];
  }
  AsOf now_;
  std::uint32_t run_ = 0;  // that wrote the snapshot
  std::vector<std::vector<Place>> shards_;
};

class Loader {
 public:
  Loader(io::Sys& sys, const std::string& data_dir, const log::NodeId& node,
         std::vector<flow::Budget>& budgets, const event::DeviceFolders& folders)
      : sys_(sys), data_dir_(data_dir), node_(node), budgets_(budgets), folders_(folders) {
    make_tables();
  }

  Result<Loaded> run() {
    if (auto taken = take_snapshot(); !taken) return taken.error();
    for (const auto& folder : folders_.all()) out_.rebuilt |= !holds_devices_of(folder->ns());
    out_.rebuilt |= out_.other_layout > 0;
    out_.rebuilt &= !out_.snapshot.empty();  // without one the whole log is read in any case
    if (auto read = read_log(); !read) return read.error();
    for (const auto& table : out_.devices) out_.known_devices += table->size();
    return std::move(out_);
  }

 private:
  void make_tables() {
    out_.tables.clear();
    out_.devices.clear();
    for (flow::Budget& budget : budgets_) {
      out_.tables.push_back(std::make_unique<Table>(budget));
      out_.devices.push_back(std::make_unique<device::DeviceTable>(budget));
    }
    out_.from_snapshot = out_.not_understood = out_.other_layout = out_.no_room = 0;
    seen_.clear();
    devices_of_.clear();
  }

  ShardIndex home_of(const DeviceKey& key) const {
    return home_shard(key, static_cast<unsigned>(budgets_.size()));
  }
  bool holds_devices_of(Namespace ns) const {
    return std::ranges::find(devices_of_, ns) != devices_of_.end();
  }

  bool apply_to_home(const event::RecordView& record) {
    if (!DeviceKey::fits(record.device)) return false;
    return apply(record, *out_.tables[home_of({record.ns, record.device})]);
  }

  // --- the snapshot ---

  // Error: there is one of a later version. The log alone may not do: retention has gone by it.
  Result<void> take_snapshot() {
    const std::string directory = data_dir_ + "/state";
    const std::vector<std::string> names = list_snapshots(sys_, directory);
    for (std::size_t i = 0; i < names.size(); ++i) {
      const auto cursor = read_snapshot(
          sys_, directory + "/" + names[i], node_, [&](const event::RecordView& record) {
            if (!take(record)) ++out_.not_understood;
          });
      if (cursor) {
        out_.snapshot = names[i];
        out_.cursor = *cursor;
        // What had not changed since was noted beside it.
        const auto later = read_covered(sys_, directory, node_, names[i]);
        out_.covered = later ? *later : *cursor;
        if (i + 1 == names.size()) return {};  // the first of all: the log has to do for it
        const auto before = read_snapshot_cursor(sys_, directory + "/" + names[i + 1], node_);
        out_.held = before ? *before : *cursor;
        return {};
      }
      if (cursor.error().code == log::newer_format) return cursor.error();
      out_.problems.push_back(cursor.error().message);
      make_tables();
    }
    return {};
  }

  bool take(const event::RecordView& record) {
    switch (static_cast<Note>(record.message)) {
      case Note::as_of: {
        const auto as_of = decode_as_of(record.payload);
        if (as_of) seen_.as_of(*as_of);
        return as_of.has_value();
      }
      case Note::devices_of:
        devices_of_.push_back(record.ns);
        return true;
      case Note::device:
        return restore(record);
    }
    ++out_.from_snapshot;
    return apply_to_home(record);
  }

  bool restore(const event::RecordView& record) {
    if (!DeviceKey::fits(record.device)) return false;
    const DeviceKey key(record.ns, record.device);
    const ShardIndex home = home_of(key);
    device::DeviceTable& table = *out_.devices[home];
    const device::DeviceSlot slot = table.find_or_add(key);
    if (slot == device::no_device) {
      ++out_.no_room;
      return true;
    }
    const Decoded decoded = decode_device(record.payload, folders_.find(record.ns), table.at(slot));
    seen_.restored(home, slot, decoded == Decoded::all);
    if (decoded == Decoded::other_layout) ++out_.other_layout;
    return decoded != Decoded::bad;
  }

  // --- the log behind it ---

  Result<void> read_log() {
    std::vector<log::SegmentEntry> segments;
    const std::string directory = data_dir_ + "/log";
    const int listed = log::list_segments(sys_, directory, segments);
    if (listed < 0) return errno_error(-listed, directory);
    // Runs follow one another, and a device is in one stream of a run.
    for (std::size_t i = 0; i < segments.size(); ++i) {
      const log::StreamId stream = segments[i].id.stream;
      const auto from = out_.covered.start_of(stream);
      const bool first = i == 0 || segments[i - 1].id.stream != stream;
      if (from && first) look_for_gap(stream, *from, segments[i].id.base);
      if (first && (i == 0 || segments[i - 1].id.stream.run != stream.run)) {
        for (const auto& folder : folders_.all()) folder->next_run();
      }
      if (!from && !out_.rebuilt) continue;
      const bool last = i + 1 == segments.size() || segments[i + 1].id.stream != stream;
      const bool below = from && !last && segments[i + 1].id.base <= *from;
      if (below && !out_.rebuilt) continue;
      read_segment(directory + "/" + segments[i].name, stream, from);
    }
    return {};
  }

  void look_for_gap(const log::StreamId& stream, Position from, Position base) {
    if (base <= from) return;
    out_.missing_bytes += base - from;
    out_.problems.push_back(fmt::format(
        "{} bytes of the log that no snapshot stands for are gone (run {}, shard {}, from {} on): "
        "registrations, bans and commands of that time are lost, and what devices sent; has "
        "log.retention_hard_bytes taken them?",
        base - from, stream.run, stream.shard, from));
  }

  // `from`: nothing where the snapshot covers all of the stream.
  void read_segment(const std::string& path, const log::StreamId& stream,
                    std::optional<Position> from) {
    log::Wanted wanted;
    wanted.from = out_.rebuilt ? 0 : *from;
    auto records = log::SegmentRecords::open(sys_, path, wanted);
    if (!records) return out_.problems.push_back(records.error().message);
    log::Record record;
    while ((*records)->next(record)) {
      if (record.is_own()) continue;
      const bool covered = !from || record.header.position < *from;
      if (record.kind() != log::Kind::state) {
        fold(stream, record, covered);
      } else if (!covered) {
        ++out_.from_log;
        if (!apply_to_home(record.view())) ++out_.not_understood;
      }
    }
    out_.log_bytes += (*records)->bytes_read();
    if (!(*records)->problem().empty()) out_.problems.push_back((*records)->problem());
  }

  // `covered`: the snapshot stands for the record, which is read to make something anew.
  void fold(const log::StreamId& stream, const log::Record& record, bool covered) {
    event::DeviceFolder* const folder = folders_.find(record.ns());
    if (folder == nullptr || !DeviceKey::fits(record.device)) return;
    const event::RecordView view = record.view();
    const auto sight = folder->look(view);
    if (sight == event::DeviceFolder::Sight::nothing) return;
    const DeviceKey key(view.ns, view.device);
    const ShardIndex home = home_of(key);
    device::DeviceTable& table = *out_.devices[home];
    device::DeviceSlot slot = table.find(key);
    if (slot == device::no_device) {
      if (sight != event::DeviceFolder::Sight::makes_known) return;
      // Of a device that the snapshot has left out.
      if (covered && holds_devices_of(view.ns)) return;
      slot = table.find_or_add(key);
      if (slot == device::no_device) {
        ++out_.no_room;
        return;
      }
    }
    device::Device& device = table.at(slot);
    if (!seen_.has_seen(home, slot, stream, record.header.position)) {
      folder->fold(view, device);
      ++out_.folded;
    } else if (!seen_.whole(home, slot)) {
      // What the table itself keeps is there; only the protocol's own is made anew.
      device::Device again = device;
      folder->fold(view, again);
      std::ranges::copy(again.last_state_storage, device.last_state_storage);
    }
  }

  io::Sys& sys_;
  const std::string& data_dir_;
  const log::NodeId& node_;
  std::vector<flow::Budget>& budgets_;
  const event::DeviceFolders& folders_;
  Seen seen_;
  std::vector<Namespace> devices_of_;  // what the snapshot holds all devices of
  Loaded out_;
};

}  // namespace

Result<Loaded> load(io::Sys& sys, const std::string& data_dir, const log::NodeId& node,
                    std::vector<flow::Budget>& budgets, const event::DeviceFolders& folders) {
  return Loader(sys, data_dir, node, budgets, folders).run();
}

}  // namespace ringgate::state
