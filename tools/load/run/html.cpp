#include "tools/load/run/html.hpp"

#include <fmt/core.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

namespace ringgate::load {
namespace {

// Inside a script element nothing may look like its end; JSON may write any character so.
std::string without_tags(const std::string& json) {
  std::string out;
  out.reserve(json.size());
  for (const char c : json) {
    if (c == '<') {
      out += "\\u003c";
    } else {
      out += c;
    }
  }
  return out;
}

// The page draws none of the gateway's metrics, which are most of a file.
std::string drawn_of(const std::string& file) {
  nlohmann::json run = nlohmann::json::parse(file, nullptr, false);
  if (!run.is_object() || run.erase("gateway") == 0) return file;
  return run.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string escaped(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '&') {
      out += "&amp;";
    } else {
      out += c;
    }
  }
  return out;
}

std::string title_of(const std::vector<std::string>& run_files) {
  std::string title = "ringgate-load:";
  for (const std::string& file : run_files) {
    const nlohmann::json run = nlohmann::json::parse(file, nullptr, false);
    if (run.is_object() && run.contains("scenario") && run["scenario"].is_object()) {
      title += fmt::format(" {}", run["scenario"].value("name", std::string{"a run"}));
    }
  }
  return escaped(title);
}

void put(std::string& page, std::string_view place, std::string_view text) {
  const std::size_t at = page.find(place);
  if (at != std::string::npos) page.replace(at, place.size(), text);
}

}  // namespace

std::string html_report(const std::vector<std::string>& run_files) {
  std::string runs = "[";
  for (const std::string& file : run_files) {
    if (runs.size() > 1) runs += ',';
    runs += without_tags(drawn_of(file));
  }
  runs += ']';
  std::string page{report_page()};
  put(page, "@TITLE@", title_of(run_files));
  put(page, "@RUNS@", runs);
  return page;
}

Result<std::string> read_run_file(const std::string& file) {
  std::error_code unknown;
  if (std::filesystem::is_directory(file, unknown)) return errno_error(EISDIR, file);
  std::ifstream in(file, std::ios::binary);
  if (!in) return errno_error(errno, file);
  std::string text{std::istreambuf_iterator<char>(in), {}};
  const nlohmann::json run = nlohmann::json::parse(text, nullptr, false);
  if (!run.is_object() || run.value("format", nlohmann::json{}) != "ringgate-load run") {
    return Error{0, fmt::format("{}: this is no run file (`ringgate-load run ... --json {}` "
                                "writes one)", file, file)};
  }
  if (run.value("format_version", nlohmann::json{}) != 1) {
    return Error{0, fmt::format("{}: a run file of another version; this program reads 1", file)};
  }
  for (const char* member : {"scenario", "machine", "workers", "server", "stages", "stress",
                             "faults", "thresholds", "totals", "timeline"}) {
    if (!run.contains(member)) {
      return Error{0, fmt::format("{}: it lacks \"{}\": was it cut off?", file, member)};
    }
  }
  return text;
}

}  // namespace ringgate::load
