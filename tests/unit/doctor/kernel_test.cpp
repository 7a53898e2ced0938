// The kernel's version, io_uring refused in each of its ways, features that are missing.
#include <doctest/doctest.h>

#include <cerrno>

#include "tests/unit/doctor/fake_machine.hpp"

using namespace ringgate;
using namespace ringgate::doctor;

namespace {

Finding kernel(const std::string& release) {
  FakeMachine machine;
  machine.release = release;
  const Fleet fleet = usual_fleet();
  return check_kernel(Patient{.machine = machine, .fleet = fleet});
}

}  // namespace

TEST_CASE("kernel: what is known of versions") {
  CHECK(kernel("6.12.9-amd64").state == State::good);
  CHECK(kernel("6.18.44-fc-v657").state == State::good);
  CHECK(kernel("7.0").state == State::good);
  CHECK(kernel("5.15.0-91-generic").state == State::blocks);
  CHECK(kernel("6.0.19").state == State::blocks);
  CHECK(kernel("6.1.0-18-amd64").state == State::costs);
  CHECK(says(kernel("6.1.7").costs, "#778"));
  CHECK_FALSE(says(kernel("6.1.8").costs, "#778"));
  CHECK(kernel("6.6.17").state == State::blocks);
  CHECK(kernel("6.6.18").state == State::costs);
  CHECK(kernel("6.7.5-200.fc39").state == State::blocks);
  CHECK(kernel("6.13.10").state == State::good);
  CHECK(says(kernel("6.13.11").costs, "out of order"));
  CHECK(says(kernel("6.14.8").costs, "out of order"));
  CHECK(kernel("6.14.9").state == State::good);
  CHECK(kernel("linux").state == State::unknown);
  CHECK(kernel("").state == State::unknown);
  // The engine's own table of them says the same.
  for (const char* release : {"6.13.10", "6.13.11", "6.14.0", "6.14.8", "6.14.9", "6.15.1"}) {
    CHECK(io::bundles_known_bad(release) == says(kernel(release).costs, "out of order"));
  }
}

TEST_CASE("io_uring: each way of refusing has its cure") {
  const Fleet fleet = usual_fleet();
  FakeMachine machine = well_machine();
  const Patient patient{.machine = machine, .fleet = fleet};
  machine.ring_error = Error{EPERM, "io_uring is refused here"};
  Finding found = check_io_uring(patient);
  CHECK(found.state == State::blocks);
  CHECK(says(found.cures[0].command, "seccomp"));
  CHECK_FALSE(found.cures[0].automatic);
  machine.files["/proc/self/status"] = "Seccomp:\t2\n";
  CHECK(says(check_io_uring(patient).found, "a seccomp filter is in force"));
  machine.files["/proc/sys/kernel/io_uring_disabled"] = "2\n";
  found = check_io_uring(patient);
  CHECK(found.cures[0].command == "sysctl -w kernel.io_uring_disabled=0");
  CHECK(found.cures[0].automatic);
  machine.files["/proc/sys/kernel/io_uring_disabled"] = "0\n";
  machine.ring_error = Error{ENOSYS, "no io_uring"};
  CHECK(says(check_io_uring(patient).cures[0].command, "CONFIG_IO_URING"));
  machine.ring_error = Error{ENOMEM, "no memory"};
  CHECK(says(check_io_uring(patient).cures[0].command, "LimitMEMLOCK=infinity"));
  CHECK(check_memlock(patient).state == State::blocks);
  CHECK(check_io_uring_features(patient).state == State::unknown);
  machine.ring_error.reset();
  // Root may although others may not.
  machine.files["/proc/sys/kernel/io_uring_disabled"] = "1\n";
  CHECK(check_io_uring(patient).state == State::costs);
  // Older kernels have no such sysctl; it may also be hidden.
  machine.files.erase("/proc/sys/kernel/io_uring_disabled");
  CHECK(check_io_uring(patient).state == State::good);
  machine.refused.insert("/proc/sys/kernel/io_uring_disabled");
  machine.files.erase("/proc/self/status");
  found = check_io_uring(patient);
  CHECK(found.state == State::good);
  CHECK(says(found.found, "permission denied"));
  CHECK(says(found.found, "seccomp unknown"));
}

TEST_CASE("io_uring features: the price of each, and those that are switched off") {
  Fleet fleet = usual_fleet();
  FakeMachine machine = well_machine();
  machine.features &= ~io::bit(io::Feature::recv_bundle) & ~io::bit(io::Feature::no_sqarray);
  Finding found = check_io_uring_features(Patient{.machine = machine, .fleet = fleet});
  CHECK(found.state == State::costs);
  CHECK(says(found.costs, "recv_bundle: up to three times"));
  CHECK(says(found.costs, "no_sqarray"));
  CHECK(says(found.cures[0].command, "kernel"));
  machine = well_machine();
  fleet.without = {"msg_ring"};
  found = check_io_uring_features(Patient{.machine = machine, .fleet = fleet});
  CHECK(says(found.costs, "msg_ring (engine.without)"));
  CHECK(says(found.cures[0].command, "engine.without"));
}

TEST_CASE("memlock: the limit may be hidden, rings are what counts") {
  const Fleet fleet = usual_fleet();
  FakeMachine machine = well_machine();
  const Patient patient{.machine = machine, .fleet = fleet};
  CHECK(says(check_memlock(patient).found, "4 rings opened at once"));
  machine.refused.insert("/proc/self/limits");
  CHECK(check_memlock(patient).state == State::good);
  machine.ring_error = Error{EPERM, "refused"};
  CHECK(check_memlock(patient).state == State::unknown);
}
