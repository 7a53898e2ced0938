// State records and snapshots of any bytes. What the table takes comes back from a snapshot as it
// was, byte for byte; a snapshot with its checksums put right is read or refused, and what the
// reader hands out lies within it. By hand as jt808_framing_fuzz.cpp says.
#include <cstring>
#include <string>
#include <vector>

#include "engine/base/crc32c.hpp"
#include "engine/io/sim.hpp"
#include "engine/io/sim_disk.hpp"
#include "storage/state/loader.hpp"
#include "storage/state/records.hpp"
#include "storage/state/snapshot.hpp"
#include "storage/state/table.hpp"

using namespace ringgate;

namespace {

using Raw = std::vector<std::uint8_t>;

const log::NodeId node = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
constexpr std::size_t file_head = 24;
constexpr std::size_t block_head = 16;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

flow::Budget& budget() {
  static flow::Budget one(1ULL << 40);
  return one;
}

Raw encoded(const state::Table& table) {
  Raw out;
  std::uint64_t cursor = 0;
  do {
    cursor = table.list(cursor, 64, [&](const state::Table::Entry& entry) {
      state::encode_entry(entry, out);
    });
  } while (cursor != 0);
  return out;
}

// Records as a log would bring them: message, size of the id, size of the payload, id, payload.
void take_records(Bytes input, state::Table& table) {
  while (input.size() >= 4) {
    event::RecordView record;
    record.kind = event::RecordKind::state;
    record.ns = static_cast<Namespace>(input[0] >> 4);
    record.message = input[0] & 0x0f;
    const std::size_t id_size = std::min<std::size_t>(input[1], input.size() - 4);
    const std::size_t payload_size =
        std::min<std::size_t>(load_be16(input.data() + 2), input.size() - 4 - id_size);
    record.device = as_text(input.subspan(4, id_size));
    record.payload = input.subspan(4 + id_size, payload_size);
    state::apply(record, table);
    // Twice is as once.
    const Raw once = encoded(table);
    state::apply(record, table);
    require(encoded(table) == once);
    input = input.subspan(4 + id_size + payload_size);
  }
}

struct Disk {
  Disk() {
    io::SimDisk disk;
    disk.install_directory("/state");
    world = std::make_unique<io::World>(io::SimOptions{}, std::move(disk));
  }
  explicit Disk(Bytes snapshot) {
    io::SimDisk disk;
    disk.install_directory("/state");
    disk.install("/state/snapshot-0000000001", snapshot);
    world = std::make_unique<io::World>(io::SimOptions{}, std::move(disk));
  }
  std::unique_ptr<io::World> world;
};

void through_a_snapshot(Bytes input) {
  state::Table table(budget());
  take_records(input, table);
  const Raw before = encoded(table);
  Disk disk;
  auto writer = state::SnapshotWriter::create(disk.world->sys(), "/state", node);
  require(writer.ok());
  std::uint64_t cursor = 0;
  do {
    cursor = table.list(cursor, 64, [&](const state::Table::Entry& entry) {
      Raw records;
      const std::uint32_t count = state::encode_entry(entry, records);
      require((*writer)->add(records, count).ok());
    });
  } while (cursor != 0);
  log::Cursor until;
  until.set({3, 1}, 4096);
  const auto name = (*writer)->finish(until);
  require(name.ok());
  state::Table again(budget());
  const auto read = state::read_snapshot(
      disk.world->sys(), "/state/" + *name, node,
      [&](const event::RecordView& record) { require(state::apply(record, again)); });
  require(read.ok() && *read == until);
  require(encoded(again) == before);
}

// Puts the checksums of its blocks right where they can be.
void mend(Raw& file) {
  for (std::size_t at = file_head; at + block_head <= file.size();) {
    const std::uint64_t size = load_native<std::uint32_t>(file.data() + at);
    if (size > file.size() - at - block_head) return;
    const Bytes content{file.data() + at + block_head, static_cast<std::size_t>(size)};
    store_native(file.data() + at + 8, crc32c(crc32c(0, {file.data() + at, 8}), content));
    at += block_head + static_cast<std::size_t>(size);
  }
}

// A protocol whose last states are eight bytes.
class Folder final : public event::DeviceFolder {
 public:
  Namespace ns() const override { return Namespace::phone; }
  std::uint16_t layout() const override { return 1; }
  std::size_t last_state_size() const override { return 8; }
  void next_run() override {}
  Sight look(const event::RecordView&) override { return Sight::nothing; }
  void fold(const event::RecordView&, device::Device&) override {}
};

// With devices, on two shards, behind it a log without records.
void as_a_start_reads_it(Disk disk) {
  io::Sys& sys = disk.world->sys();
  require(sys.make_directory("/log", 0755) == 0);
  event::DeviceFolders folders;
  folders.add(std::make_unique<Folder>());
  std::vector<flow::Budget> budgets;
  for (int shard = 0; shard < 2; ++shard) budgets.emplace_back(1ULL << 40);
  const auto loaded = state::load(sys, "", node, budgets, folders);
  require(loaded.ok() && loaded->tables.size() == 2 && loaded->devices.size() == 2);
  require(!loaded->snapshot.empty() || !loaded->problems.empty());
  require(!loaded->snapshot.empty() || loaded->known_devices == 0);
}

void as_a_snapshot(Bytes input) {
  Raw file(input.begin(), input.end());
  constexpr std::string_view magic = "RGSTATE1";
  if (file.size() < file_head) file.resize(file_head);
  std::memcpy(file.data(), magic.data(), magic.size());
  std::memcpy(file.data() + magic.size(), node.data(), node.size());
  mend(file);
  Disk disk(file);
  state::Table table(budget());
  std::size_t bytes = 0;
  const auto read = state::read_snapshot(disk.world->sys(), "/state/snapshot-0000000001", node,
                                         [&](const event::RecordView& record) {
                                           bytes += record.device.size() + record.payload.size();
                                           state::apply(record, table);
                                         });
  require(bytes <= file.size());
  require(read.ok() || !read.error().message.empty());
  encoded(table);
  as_a_start_reads_it(std::move(disk));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const Bytes input{data + 1, size - 1};
  if (data[0] % 2 == 0) {
    through_a_snapshot(input);
  } else {
    as_a_snapshot(input);
  }
  return 0;
}
