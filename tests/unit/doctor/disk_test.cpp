// The data directory: what it lies on, what fits, how fast it is.
#include <doctest/doctest.h>

#include "tests/unit/doctor/fake_machine.hpp"

using namespace ringgate::doctor;

namespace {

Finding on(const std::string& mounts, const std::string& directory = "/srv/ringgate") {
  FakeMachine machine = well_machine();
  machine.files["/proc/self/mountinfo"] = mounts;
  Fleet fleet = usual_fleet();
  fleet.data_dir = directory;
  return check_filesystem(Patient{.machine = machine, .fleet = fleet});
}

std::string mount(const std::string& point, const std::string& type,
                  const std::string& options = "rw,relatime", const std::string& super = "rw") {
  return "22 1 254:0 / " + point + " " + options + " shared:1 - " + type + " dev " + super + "\n";
}

}  // namespace

TEST_CASE("file system: the mount that the directory lies on") {
  CHECK(on(mount("/", "ext4")).state == State::good);
  CHECK(says(on(mount("/", "ext4") + mount("/srv", "xfs")).found, "xfs on dev (/srv)"));
  CHECK(says(on(mount("/", "ext4") + mount("/sr", "xfs")).found, "ext4"));  // not a parent
  CHECK(says(on(mount("/", "ext4") + mount("/srv", "xfs") + mount("/srv", "btrfs")).found,
             "btrfs"));  // mounted over it
  CHECK(says(on(mount("/", "ext4") + mount("/a\\040b", "xfs"), "/a b/c").found, "xfs"));
  CHECK(on("nonsense\n").state == State::unknown);
}

TEST_CASE("file system: those that cost, those that lose") {
  CHECK(on(mount("/", "tmpfs")).state == State::blocks);
  CHECK(on(mount("/", "nfs4")).state == State::costs);
  CHECK(on(mount("/", "overlay")).state == State::costs);
  CHECK(says(on(mount("/", "btrfs")).cures[0].command, "chattr +C"));
  CHECK(on(mount("/", "zfs")).state == State::costs);
  CHECK(on(mount("/", "ext4", "ro,relatime")).state == State::blocks);
  CHECK(on(mount("/", "ext4", "rw", "rw,barrier=0")).state == State::blocks);
  CHECK(on(mount("/", "xfs", "rw", "rw,nobarrier")).state == State::blocks);
  CHECK(on(mount("/", "ext4", "rw,sync")).state == State::costs);
}

TEST_CASE("disk space: against segments, retention and what the fleet logs") {
  FakeMachine machine = well_machine();
  Fleet fleet = usual_fleet();
  const Patient patient{.machine = machine, .fleet = fleet};
  // 1,000 records of 120 bytes a second are 9.7 GiB a day: 500 GiB are 51 days.
  Finding found = check_disk_space(patient);
  CHECK(found.state == State::good);
  CHECK(says(found.found, "full in 52 days"));
  fleet.devices = 100'000;
  found = check_disk_space(patient);
  CHECK(found.state == State::costs);
  CHECK(says(found.cures[0].command, "log.retention_bytes"));
  fleet.retention_bytes = 100ULL << 30;
  CHECK(check_disk_space(patient).state == State::good);
  machine.disk->free_bytes = 150ULL << 30;  // less than hard, more than kept
  CHECK(check_disk_space(patient).state == State::good);
  machine.disk->free_bytes = 50ULL << 30;
  CHECK(check_disk_space(patient).state == State::costs);
  machine.disk->free_bytes = 100 << 20;  // 4 shards need 512 MiB
  CHECK(check_disk_space(patient).state == State::blocks);
  machine.disk.reset();
  CHECK(check_disk_space(patient).state == State::unknown);
}

TEST_CASE("disk speed: late, too slow for the fleet, not direct, not writable") {
  FakeMachine machine = well_machine();
  Fleet fleet = usual_fleet();
  double progress = 0;
  const Patient patient{.machine = machine,
                        .fleet = fleet,
                        .progress = [&](double done) { progress = done; }};
  CHECK(check_disk_speed(patient).state == State::good);
  CHECK(progress == 1);
  machine.small->p99_ns = 30e6;
  Finding found = check_disk_speed(patient);
  CHECK(found.state == State::costs);
  CHECK(says(found.costs, "waits 60 ms or more"));
  machine = well_machine();
  machine.large->p50_ns = 50e6;  // 1.25 MiB/s
  fleet.devices = 300'000;       // 0.86 MiB/s a shard
  found = check_disk_speed(patient);
  CHECK(found.state == State::costs);
  CHECK(says(found.costs, "69 %"));
  fleet.devices = 1'000'000;
  CHECK(check_disk_speed(patient).state == State::blocks);
  machine = well_machine();
  fleet.devices = 10;
  machine.small->direct = false;
  CHECK(says(check_disk_speed(patient).costs, "O_DIRECT is refused"));
  machine.small.reset();
  CHECK(check_disk_speed(patient).state == State::unknown);
}
