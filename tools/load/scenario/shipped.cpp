// Finds a scenario: a file, or one that comes with the program. See scenario.hpp.
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "engine/config/schema.hpp"
#include "engine/config/toml_file.hpp"
#include "tools/load/scenario/fields.hpp"

namespace ringgate::load {

Result<std::string> scenario_text(const std::string& name_or_file) {
  const auto shipped = shipped_scenarios();
  const auto found = std::find_if(shipped.begin(), shipped.end(), [&](const auto& one) {
    return one.name == name_or_file;
  });
  if (found != shipped.end()) return std::string(found->text);
  const bool is_file = access(name_or_file.c_str(), F_OK) == 0;
  if (!is_file && name_or_file.find_first_of("/.") == std::string::npos) {
    std::vector<std::string_view> names;
    std::string list;
    for (const ShippedScenario& one : shipped) {
      names.push_back(one.name);
      list.append(list.empty() ? "" : ", ").append(one.name);
    }
    const std::string meant = config::meant(config::nearest(name_or_file, names));
    return Error{0, fmt::format("{} is neither a file nor a scenario that comes with the program{}",
                                config::toml_quoted(name_or_file),
                                meant.empty() ? fmt::format(" ({})", list) : meant)};
  }
  auto text = config::read_config_file(name_or_file);
  if (!text) return Error{0, text.error().text()};
  return std::move(text).value();
}

}  // namespace ringgate::load
