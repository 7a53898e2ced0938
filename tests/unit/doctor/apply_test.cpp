// --apply: what is run, what is left alone; and how findings are printed.
#include <doctest/doctest.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "tests/unit/doctor/fake_machine.hpp"
#include "tools/doctor/print.hpp"

using namespace ringgate::doctor;

namespace {

std::vector<Finding> all_of(const Patient& patient) {
  std::vector<Finding> out;
  for (const Check& check : all_checks()) {
    out.push_back(check.look(patient));
    out.back().id = check.id;
  }
  return out;
}

struct Paper {
  std::FILE* file = std::tmpfile();
  ~Paper() { std::fclose(file); }
  std::string text() {
    std::string out(64 * 1024, '\0');
    std::rewind(file);
    out.resize(std::fread(out.data(), 1, out.size(), file));
    return out;
  }
};

const Finding& of(const std::vector<Finding>& findings, std::string_view id) {
  for (const Finding& finding : findings) {
    if (finding.id == id) return finding;
  }
  FAIL("no such finding");
  return findings.front();
}

}  // namespace

TEST_CASE("apply: what is good is not touched") {
  FakeMachine machine = well_machine();
  const Fleet fleet = usual_fleet();
  const Patient patient{.machine = machine, .fleet = fleet};
  std::vector<Finding> findings = all_of(patient);
  Paper paper;
  CHECK(apply_cures(patient, findings, false, paper.file));
  CHECK(machine.commands.empty());
  CHECK(paper.text().empty());
  CHECK_FALSE(anything_wrong(findings));
}

TEST_CASE("apply: runs what is automatic, prints each, looks again") {
  FakeMachine machine = well_machine();
  machine.files["/proc/sys/net/core/somaxconn"] = "128\n";
  // No systemd here: this one has to be cured by hand.
  machine.files["/proc/self/limits"] = "Max open files  1024  4096  files\n";
  machine.after_run = [](FakeMachine& m) { m.files["/proc/sys/net/core/somaxconn"] = "4096\n"; };
  const Fleet fleet = usual_fleet();
  const Patient patient{.machine = machine, .fleet = fleet};
  std::vector<Finding> findings = all_of(patient);
  CHECK(of(findings, "backlog").state == State::costs);
  Paper dry;
  CHECK(apply_cures(patient, findings, true, dry.file));
  CHECK(machine.commands.empty());
  CHECK(of(findings, "backlog").state == State::costs);
  CHECK(says(dry.text(), "would cure backlog:\n  sysctl -w net.core.somaxconn=4096\n  mkdir -p"));
  Paper wet;
  CHECK(apply_cures(patient, findings, false, wet.file));
  REQUIRE(machine.commands.size() == 2);
  CHECK(machine.commands[0] == "sysctl -w net.core.somaxconn=4096");
  CHECK(machine.commands[1].find("/etc/sysctl.d/90-ringgate.conf") != std::string::npos);
  CHECK(of(findings, "backlog").state == State::good);
  CHECK(of(findings, "nofile").state == State::blocks);
  CHECK(says(wet.text(), "now good"));
  CHECK(says(wet.text(), "nofile: none of its cures can be run here"));
}

TEST_CASE("apply: a cure that fails is told, and is not kept") {
  FakeMachine machine = well_machine();
  machine.files["/proc/sys/net/core/somaxconn"] = "128\n";
  machine.exit_code = 255;
  const Fleet fleet = usual_fleet();
  const Patient patient{.machine = machine, .fleet = fleet};
  std::vector<Finding> findings = all_of(patient);
  Paper paper;
  CHECK_FALSE(apply_cures(patient, findings, false, paper.file));
  CHECK(machine.commands.size() == 1);
  CHECK(says(paper.text(), "failed: exit code 255"));
  CHECK(says(paper.text(), "now costs"));
}

TEST_CASE("print: text and JSON say the same") {
  FakeMachine machine = well_machine();
  machine.files["/proc/sys/net/core/somaxconn"] = "128\n";
  const Fleet fleet = usual_fleet();
  std::vector<Finding> findings = all_of(Patient{.machine = machine, .fleet = fleet});
  const std::string text = finding_text(of(findings, "backlog"), false);
  CHECK(text.find("costs   backlog             net.core.somaxconn 128; ") == 0);
  CHECK(says(text, "(arithmetic)"));
  CHECK(says(text, "  cure              sysctl -w net.core.somaxconn=4096\n"));
  CHECK_FALSE(says(text, "\033"));
  CHECK(says(finding_text(of(findings, "backlog"), true), "\033[33mcosts"));
  CHECK(says(summary_text(findings, false), "1 costs, 0 blocks"));
  const auto json = nlohmann::json::parse(findings_json(fleet, findings));
  CHECK(json["costs"] == 1);
  CHECK(json["fleet"]["devices"] == 10'000);
  CHECK(json["findings"].size() == all_checks().size());
  for (const auto& row : json["findings"]) {
    if (row["check"] != "backlog") continue;
    CHECK(row["state"] == "costs");
    CHECK(row["basis"] == "arithmetic");
    CHECK(row["cures"][0]["automatic"] == true);
  }
}
