// A machine whose every file holds the input, or a piece of it: what ringgate-doctor makes of it.
// What must hold: each check ends and says something; what costs or blocks says what it costs, and
// what is good or unknown has nothing to cure; the JSON parses.
// By hand as jt808_framing_fuzz.cpp says.
#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "tests/unit/doctor/fake_machine.hpp"
#include "tools/doctor/print.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::doctor;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  FakeMachine machine = well_machine();
  const std::string folder = "/sys/devices/system/cpu/cpu0/cpufreq/scaling_";
  for (const char* leaf : {"governor", "min_freq", "max_freq"}) machine.files[folder + leaf] = "1";
  machine.files["/proc/sys/net/netfilter/nf_conntrack_max"] = "1";
  machine.files["/sys/class/net/eth0/device/msi_irqs/30"] = "1";
  machine.files["/sys/class/net/eth0/queues/rx-0/rps_cpus"] = "1";
  machine.files["/proc/irq/30/effective_affinity_list"] = "1";
  // One file after the other, then all.
  const std::map<std::string, std::string> well = machine.files;
  Fleet fleet = usual_fleet();
  fleet.devices = size % 2 == 0 ? 1'000'000 : 100;
  machine.release = text;
  std::size_t number = 0;
  for (const auto& [path, content] : well) {
    machine.files = well;
    machine.files[path] = text;
    if (++number % 7 == size % 7) {
      for (auto& [other, all] : machine.files) all = text;
    }
    std::vector<Finding> findings;
    for (const Check& check : all_checks()) {
      Finding found = check.look(Patient{.machine = machine, .fleet = fleet});
      found.id = check.id;
      const bool wrong = found.state == State::costs || found.state == State::blocks;
      require(!found.found.empty());
      require(wrong == !found.costs.empty());
      require(wrong == !found.cures.empty());
      require(wrong == (found.basis != Basis::none));
      require(!finding_text(found, true).empty());
      findings.push_back(std::move(found));
    }
    require(nlohmann::json::parse(findings_json(fleet, findings), nullptr, false).is_object());
  }
  require(machine.commands.empty());
  return 0;
}
