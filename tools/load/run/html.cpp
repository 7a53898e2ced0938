#include "tools/load/run/html.hpp"

#include <fmt/core.h>

#include <cerrno>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>

#include "tools/load/run/tally.hpp"

namespace ringgate::load {
namespace {

using nlohmann::json;

// Inside a script element nothing may look like its end; JSON may write any character so.
std::string without_tags(const std::string& text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c == '<') {
      out += "\\u003c";
    } else {
      out += c;
    }
  }
  return out;
}

// What the page draws of a second: a few counts, and four points of each distribution.
json drawn_of(const Tally& tally) {
  json out = json::object();
  const auto put = [&](const char* name, std::uint64_t value) {
    if (value != 0) out[name] = value;
  };
  put("users_wanted", tally.users_wanted);
  put("users", tally.users);
  put("ready", tally.ready);
  put("sent", tally.sent);
  put("acknowledged", tally.acknowledged);
  put("delivered", tally.delivered);
  if (!tally.errors.empty()) out["errors"] = tally.errors;
  const auto put_times = [&](const char* name, const Latency& times) {
    if (times.count() == 0) return;
    out[name] = {times.percentile(50), times.percentile(90), times.percentile(99),
                 times.max_ns()};
  };
  put_times("response", tally.response.count() > 0 ? tally.response : tally.delivery);
  put_times("service", tally.service);
  put_times("lag", tally.lag);
  return out;
}

// The histograms of each second and class are most of a run file; the page has `all` instead, the
// same of all classes together.
void thin(json& row) {
  const auto classes = row.find("classes");
  if (!row.is_object() || classes == row.end() || !classes->is_array()) return;
  Tally all;
  for (json& one : *classes) {
    const Result<Tally> tally = tally_from(one);
    if (tally.ok()) all.merge(*tally);
    one = drawn_of(tally.ok() ? *tally : Tally{});
  }
  row["all"] = drawn_of(all);
}

// Nor does it draw any of the gateway's metrics.
void thin_run(json& run) {
  run.erase("gateway");
  const auto timeline = run.find("timeline");
  if (timeline == run.end() || !timeline->is_array()) return;
  for (json& row : *timeline) thin(row);
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

std::string name_of(const json& run) {
  const auto scenario = run.find("scenario");
  if (scenario == run.end() || !scenario->is_object()) return {};
  return fmt::format(" {}", scenario->value("name", std::string{"a run"}));
}

void put(std::string& page, std::string_view place, std::string_view text) {
  const std::size_t at = page.find(place);
  if (at != std::string::npos) page.replace(at, place.size(), text);
}

}  // namespace

std::string html_report(const std::vector<std::string>& run_files) {
  std::string runs = "[";
  std::string title = "ringgate-load:";
  for (const std::string& file : run_files) {
    json run = json::parse(file, nullptr, false);
    if (!run.is_object()) continue;  // read_run_file() lets none pass
    thin_run(run);
    title += name_of(run);
    if (runs.size() > 1) runs += ',';
    runs += without_tags(run.dump(-1, ' ', false, json::error_handler_t::replace));
  }
  runs += ']';
  std::string page{report_page()};
  put(page, "@TITLE@", escaped(title));
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
