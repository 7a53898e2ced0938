// The seam on the machine itself: a tree of files, and each measurement once, for a moment.
#include <doctest/doctest.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "tools/doctor/machine.hpp"

using namespace ringgate;
using namespace ringgate::doctor;

namespace {

class Folder {
 public:
  Folder() {
    char name[] = "/tmp/ringgate-doctor-test-XXXXXX";
    path_ = mkdtemp(name);
  }
  ~Folder() { std::filesystem::remove_all(path_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  const std::string& path() const { return path_; }
  void put(const std::string& name, const std::string& text) const {
    std::filesystem::create_directories(std::filesystem::path(path_ + name).parent_path());
    std::ofstream(path_ + name) << text;
  }

 private:
  std::string path_;
};

}  // namespace

TEST_CASE("real machine: files below a root") {
  const Folder folder;
  folder.put("/proc/sys/b", "2\n");
  folder.put("/proc/sys/a", std::string(100'000, 'x'));
  RealMachine machine(folder.path());
  CHECK(*machine.read("/proc/sys/b") == "2\n");
  CHECK(machine.read("/proc/sys/a")->size() == 100'000);
  CHECK(*machine.list("/proc/sys") == std::vector<std::string>{"a", "b"});
  CHECK(machine.read("/proc/sys/c").error().code == ENOENT);
  CHECK(machine.list("/proc/none").error().code == ENOENT);
  CHECK(machine.read("/proc/sys").error().code == EISDIR);
  if (geteuid() != 0) {
    std::filesystem::permissions(folder.path() + "/proc/sys/b", std::filesystem::perms::none);
    CHECK(machine.read("/proc/sys/b").error().code == EACCES);
  }
  CHECK(machine.space("/proc")->total_bytes > 0);
  CHECK(machine.space("/none").error().code == ENOENT);
}

TEST_CASE("real machine: durable writes are timed, with progress, and leave nothing") {
  const Folder folder;
  RealMachine machine;
  double last = 0;
  bool ascends = true;
  const auto times = machine.time_writes(folder.path(), 4096, 50 * ns_per_ms, [&](double done) {
    ascends = ascends && done >= last;
    last = done;
  });
  REQUIRE(times.ok());
  CHECK(times->count >= 1);
  CHECK(times->p50_ns > 0);
  CHECK(times->p50_ns <= times->p99_ns);
  CHECK(times->p99_ns <= times->max_ns * 1.01);
  CHECK(ascends);
  CHECK(last >= 1);
  CHECK(std::filesystem::is_empty(folder.path()));
  CHECK_FALSE(machine.time_writes(folder.path() + "/none", 4096, 1, [](double) {}).ok());
}

TEST_CASE("real machine: rings, clock, memory, CPUs, datagrams") {
  RealMachine machine;
  const auto features = machine.try_rings(2);
  REQUIRE(features.ok());
  CHECK(*features != 0);
  CHECK(*machine.clock_read_ns() > 0);
  const auto touch = machine.first_touch();
  REQUIRE(touch.ok());
  CHECK(touch->small_ns > 0);
  const auto cpus = machine.usable_cpus();
  REQUIRE(cpus.ok());
  REQUIRE_FALSE(cpus->empty());
  // What it is hangs on who else runs here.
  CHECK(*machine.slowdown_together(cpus->front(), cpus->back()) >= 1);
  CHECK_FALSE(machine.slowdown_together(cpus->front(), 60'000).ok());
  const auto few = machine.datagrams_held(4096);
  const auto many = machine.datagrams_held(100'000);
  REQUIRE(few.ok());
  REQUIRE(many.ok());
  CHECK(*few >= 1);
  CHECK(*many > *few);
  CHECK_FALSE(machine.kernel_release()->empty());
  CHECK(*machine.run("exit 3") == 3);
}
