// Exports of Prometheus and run files of ringgate-load.
#include <fmt/core.h>

#include <algorithm>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <sstream>

#include "tools/analyze/sources.hpp"

namespace ringgate::analyze {

namespace {

using nlohmann::json;

// A day of a large gateway, second by second, is some hundred MiB.
constexpr std::uintmax_t file_bytes_max = 512U << 20;

Result<std::string> read_file(const std::string& name) {
  std::ifstream file(name, std::ios::binary);
  if (!file) return Error{0, fmt::format("{} can't be read", name)};
  std::ostringstream out;
  out << file.rdbuf();
  std::string text = out.str();
  if (text.size() > file_bytes_max) return Error{0, fmt::format("{} is too large", name)};
  return text;
}

bool is_matrix(const json& all) {
  return all.is_object() && all.contains("data") && all["data"].is_object() &&
         all["data"].value("resultType", "") == "matrix" && all["data"].contains("result") &&
         all["data"]["result"].is_array();
}

// {"metric": {"__name__": "...", labels}, "values": [[1700000000.5, "12"], ...]}
Result<void> add_series(const std::string& name, const json& row, History& history) {
  const auto wrong = [&](std::string_view what) {
    return Error{0, fmt::format("{}: {}", name, what)};
  };
  if (!row.is_object() || !row.contains("metric") || !row["metric"].is_object() ||
      !row.contains("values") || !row["values"].is_array()) {
    return wrong("a result without metric and values");
  }
  Labels labels;
  std::string metric;
  for (const auto& [key, value] : row["metric"].items()) {
    if (!value.is_string()) return wrong("a label that is no text");
    if (key == "__name__") metric = value.get<std::string>();
    else labels[key] = value.get<std::string>();
  }
  if (metric.empty()) {
    return wrong("a result has no __name__: export the metrics themselves, such as "
                 "{__name__=~\"ringgate_.*\"}, no expressions over them");
  }
  std::vector<std::pair<double, double>> points;
  for (const json& point : row["values"]) {
    if (!point.is_array() || point.size() != 2 || !point[0].is_number() || !point[1].is_string()) {
      return wrong("a value that is no [time, \"value\"]");
    }
    points.emplace_back(point[0].get<double>(),
                        std::strtod(point[1].get<std::string>().c_str(), nullptr));
  }
  history.add_range(metric, labels, points);
  return {};
}

// Gateways that one Prometheus scrapes differ in `instance`.
Result<void> check_one_gateway(const History& history) {
  const auto instances = history.values_of("ringgate_loop_turn_seconds_count", "instance");
  if (instances.size() <= 1) return {};
  return Error{0, fmt::format("the export has {} gateways ({}, {} ...): export one, with "
                              "instance=\"...\"", instances.size(), instances[0], instances[1])};
}

}  // namespace

Result<Case> prometheus_case(const std::vector<std::pair<std::string, std::string>>& texts) {
  History history;
  Case out;
  for (const auto& [name, text] : texts) {
    const json all = json::parse(text, nullptr, false);
    if (!is_matrix(all)) {
      return Error{0, fmt::format("{} is no answer of Prometheus' /api/v1/query_range", name)};
    }
    for (const json& row : all["data"]["result"]) {
      if (auto added = add_series(name, row, history); !added) return added.error();
    }
    out.source += (out.source.empty() ? "" : ", ") + name;
  }
  history.finish();
  if (history.size() < 2) return Error{0, out.source + ": fewer than two samples"};
  if (auto one = check_one_gateway(history); !one) return one.error();
  out.begin_unix_s = history.times_s().front();
  add_gateway_signals(history, {}, {}, out);
  for (double& at : out.times_s) at -= out.begin_unix_s;
  if (out.signals.empty()) {
    return Error{0, fmt::format("{} has none of the metrics that are looked at "
                                "(ringgate_loop_turn_seconds_sum, ...)", out.source)};
  }
  out.notes.push_back("of an export: waits for CPUs, the state of TCP, subscribers' queues and the "
                      "configuration are not known");
  return out;
}

Result<Case> file_case(const std::vector<std::string>& files) {
  std::vector<std::pair<std::string, std::string>> texts;
  for (const std::string& name : files) {
    auto text = read_file(name);
    if (!text) return text.error();
    texts.emplace_back(name, std::move(*text));
  }
  const json first = json::parse(texts.front().second, nullptr, false);
  if (first.is_discarded()) return Error{0, fmt::format("{} is no JSON", files.front())};
  if (is_matrix(first)) return prometheus_case(texts);
  if (texts.size() > 1) return Error{0, "one run file at a time"};
  return run_case(texts.front().first, texts.front().second);
}

}  // namespace ringgate::analyze
