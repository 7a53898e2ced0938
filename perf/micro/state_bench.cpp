// A data directory of a node that knows a fleet: one snapshot with a registration and a last state
// of each device, as a gateway leaves it. perf/run --only state starts gateways on it.
// state-bench --dir DIR [--devices N]
// Prints JSON: devices, the snapshot's bytes, and how long writing it took.
#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <string>
#include <vector>

#include "engine/io/sys.hpp"
#include "perf/micro/vehicle.hpp"
#include "protocols/jt808/device_folder.hpp"
#include "storage/log/data_dir.hpp"
#include "storage/state/devices.hpp"
#include "storage/state/snapshot.hpp"

namespace {

using namespace ringgate;

template <class T>
T need(Result<T> result) {
  if (result) return std::move(*result);
  fmt::print(stderr, "state-bench: {}\n", result.error().message);
  std::exit(1);
}
void need(Result<void> result) {
  if (result) return;
  fmt::print(stderr, "state-bench: {}\n", result.error().message);
  std::exit(1);
}

// As long as texts of registrations usually are.
void encode_registration(const DeviceKey& key, std::uint32_t number,
                         std::vector<std::uint8_t>& out) {
  const std::string plate = fmt::format("沪A{:06}", number);
  const std::string terminal = fmt::format("T{:06}", number);
  state::Table::Entry entry;
  entry.device = key;
  entry.registration = event::RegistrationView{.plate = plate,
                                               .plate_colour = 2,
                                               .terminal_id = terminal,
                                               .maker = "70111",
                                               .model = "RG-200",
                                               .note = {},
                                               .enabled = true};
  state::encode_entry(entry, out);
}

class Fleet {
 public:
  void encode(const DeviceKey& key, std::vector<std::uint8_t>& out) {
    perf::Items items;
    const jt808::LocationFields fields = vehicle_.step(items);
    device::Device device;
    device.key = key;
    device.frames = random_() % 100'000;
    device.last_heard_us = static_cast<std::uint64_t>(fields.time_unix_s * us_per_s);
    auto& last = device.last_state<jt808::LastState>();
    last.time_unix_s = fields.time_unix_s;
    last.received_us = fields.time_unix_s * us_per_s;
    last.latitude_deg_x1e6 = static_cast<std::int32_t>(fields.latitude_deg_x1e6);
    last.longitude_deg_x1e6 = static_cast<std::int32_t>(fields.longitude_deg_x1e6);
    last.version = jt808::LastState::v2013;
    for (std::size_t i = 0; i < limits::recent_frames; ++i) {
      device.heard_before(static_cast<std::uint32_t>(random_()) | 1);
    }
    state::encode_device(device, folder_, out);
  }
  const jt808::DeviceFolder& folder() const { return folder_; }

 private:
  std::mt19937_64 random_{1};
  perf::Vehicle vehicle_{random_};
  jt808::DeviceFolder folder_;
};

DeviceKey key_of(std::uint32_t number) {
  return {Namespace::phone, fmt::format("{}", 13'000'000'000ULL + number)};
}

}  // namespace

int main(int argc, char** argv) {
  std::string directory;
  std::uint32_t devices = 1'000'000;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    if (name == "--dir") directory = argv[i + 1];
    if (name == "--devices") devices = static_cast<std::uint32_t>(std::atoi(argv[i + 1]));
  }
  io::Sys& sys = io::real_sys();
  const auto dir = need(log::DataDir::open(sys, directory));
  const auto began = std::chrono::steady_clock::now();
  auto writer = need(state::SnapshotWriter::create(sys, directory + "/state", dir->node()));
  Fleet fleet;
  std::vector<std::uint8_t> bytes;
  state::encode_devices_of(fleet.folder(), bytes);
  state::encode_as_of({dir->run(), 0}, 0, bytes);
  need(writer->add(bytes, 2));
  std::uint64_t size = bytes.size();
  for (std::uint32_t i = 0; i < devices; ++i) {
    bytes.clear();
    encode_registration(key_of(i), i, bytes);
    fleet.encode(key_of(i), bytes);
    size += bytes.size();
    need(writer->add(bytes, 2));
  }
  log::Cursor cursor;
  cursor.finish_runs_below(dir->run() + 1);
  need(writer->finish(cursor));
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  fmt::print("{{\"devices\":{},\"bytes\":{},\"written_s\":{:.3f}}}\n", devices, size, took.count());
}
