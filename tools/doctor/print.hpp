// Findings for people and for programs; cures that are run. Main thread.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "tools/doctor/checks.hpp"
#include "tools/doctor/finding.hpp"

namespace ringgate::doctor {

// A block of lines each: state, id, what was found; what it costs; the cure and where it lasts.
std::string finding_text(const Finding& finding, bool colours);
// "21 good, 1 costs, 0 blocks, 1 unknown".
std::string summary_text(const std::vector<Finding>& findings, bool colours);
// One object: fleet, findings, counts. Ends with a line's end.
std::string findings_json(const Fleet& fleet, const std::vector<Finding>& findings);

// Whether something costs or blocks.
bool anything_wrong(const std::vector<Finding>& findings);

// Runs the cures of what costs or blocks that are automatic, command by command, each printed to
// `out` before; with `dry` only printed. What is good is not touched. A check whose cures were run
// is looked at again, and `findings` has what it says then. False: some command failed.
bool apply_cures(const Patient& patient, std::vector<Finding>& findings, bool dry, std::FILE* out);

}  // namespace ringgate::doctor
