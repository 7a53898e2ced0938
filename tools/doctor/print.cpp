#include "tools/doctor/print.hpp"

#include <fmt/core.h>

#include <array>
#include <nlohmann/json.hpp>

#include "tools/doctor/text.hpp"

namespace ringgate::doctor {

namespace {

constexpr std::size_t text_columns = 96;
constexpr std::size_t indent_columns = 28;

std::string painted(State state, std::string_view text, bool colours) {
  constexpr std::string_view codes[] = {"32", "33", "31;1", "36"};
  if (!colours) return std::string(text);
  return fmt::format("\033[{}m{}\033[0m", codes[static_cast<std::size_t>(state)], text);
}

// Words broken at the right edge, all lines but the first after `indent_columns` blanks. A command
// stays on one line, so that it can be copied.
std::string broken(std::string_view text) {
  std::string out;
  std::size_t column = indent_columns;
  for (const std::string_view word : words(text)) {
    if (column > indent_columns && column + 1 + word.size() > text_columns) {
      out += "\n" + std::string(indent_columns, ' ');
      column = indent_columns;
    } else if (column > indent_columns) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  return out;
}

std::string row(std::string_view label, std::string_view text) {
  return fmt::format("{:8}{:<20}{}\n", "", label, text);
}

}  // namespace

std::string finding_text(const Finding& finding, bool colours) {
  std::string out =
      painted(finding.state, fmt::format("{:<8}", state_name(finding.state)), colours);
  out += fmt::format("{:<20}{}\n", finding.id, broken(finding.found));
  if (!finding.costs.empty()) {
    const std::string basis =
        finding.basis == Basis::none ? "" : fmt::format(" ({})", basis_name(finding.basis));
    out += row("  costs", broken(finding.costs + basis));
  }
  for (const Cure& cure : finding.cures) {
    out += row("  cure", cure.command);
    if (!cure.keep.empty()) out += row("  to keep it", cure.keep);
    if (!cure.place.empty() && cure.keep.empty()) out += row("  lasts in", cure.place);
  }
  return out;
}

namespace {

std::array<std::size_t, 4> counts_of(const std::vector<Finding>& findings) {
  std::array<std::size_t, 4> out{};
  for (const Finding& finding : findings) ++out[static_cast<std::size_t>(finding.state)];
  return out;
}

}  // namespace

std::string summary_text(const std::vector<Finding>& findings, bool colours) {
  const auto counts = counts_of(findings);
  std::string out;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    const auto state = static_cast<State>(i);
    const std::string one = fmt::format("{} {}", counts[i], state_name(state));
    out += (i == 0 ? "" : ", ") + (counts[i] == 0 ? one : painted(state, one, colours));
  }
  return out + "\n";
}

std::string findings_json(const Fleet& fleet, const std::vector<Finding>& findings) {
  using nlohmann::json;
  json rows = json::array();
  for (const Finding& finding : findings) {
    json cures = json::array();
    for (const Cure& cure : finding.cures) {
      cures.push_back({{"command", cure.command},
                       {"keep", cure.keep.empty() ? json() : json(cure.keep)},
                       {"place", cure.place.empty() ? json() : json(cure.place)},
                       {"automatic", cure.automatic}});
    }
    rows.push_back({{"check", finding.id},
                    {"state", state_name(finding.state)},
                    {"found", finding.found},
                    {"costs", finding.costs.empty() ? json() : json(finding.costs)},
                    {"basis", finding.basis == Basis::none ? json()
                                                           : json(basis_name(finding.basis))},
                    {"cures", std::move(cures)}});
  }
  const auto counts = counts_of(findings);
  const json all = {{"fleet",
                     {{"devices", fleet.devices},
                      {"devices_from", fleet.devices_from},
                      {"reports_per_device_per_s", fleet.rate},
                      {"shards", fleet.shards},
                      {"data_dir", fleet.data_dir}}},
                    {"findings", std::move(rows)},
                    {"good", counts[0]},
                    {"costs", counts[1]},
                    {"blocks", counts[2]},
                    {"unknown", counts[3]}};
  return all.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

bool anything_wrong(const std::vector<Finding>& findings) {
  const auto counts = counts_of(findings);
  return counts[1] + counts[2] > 0;
}

namespace {

bool run_one(Machine& machine, const std::string& command, bool dry, std::FILE* out) {
  fmt::print(out, "  {}\n", command);
  std::fflush(out);
  if (dry) return true;
  const auto code = machine.run(command);
  if (code && *code == 0) return true;
  fmt::print(out, "  failed: {}\n",
             code ? fmt::format("exit code {}", *code) : code.error().message);
  return false;
}

}  // namespace

bool apply_cures(const Patient& patient, std::vector<Finding>& findings, bool dry,
                 std::FILE* out) {
  bool well = true;
  for (Finding& finding : findings) {
    if (finding.state != State::costs && finding.state != State::blocks) continue;
    std::size_t taken = 0;
    for (const Cure& cure : finding.cures) {
      if (!cure.automatic) continue;
      if (taken++ == 0) fmt::print(out, "{} {}:\n", dry ? "would cure" : "curing", finding.id);
      // What could not be done now is not kept either.
      const bool done = run_one(patient.machine, cure.command, dry, out);
      well = well && done;
      if (done && !cure.keep.empty()) well = run_one(patient.machine, cure.keep, dry, out) && well;
    }
    if (taken == 0) fmt::print(out, "{}: none of its cures can be run here\n", finding.id);
    if (taken == 0 || dry) continue;
    const Check* check = find_check(finding.id);
    if (check == nullptr) continue;
    finding = check->look(patient);
    finding.id = check->id;
    fmt::print(out, "  now {}: {}\n", state_name(finding.state), finding.found);
  }
  return well;
}

}  // namespace ringgate::doctor
