#include "tools/analyze/history.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

namespace ringgate::analyze {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// "+Inf", "NaN", "1e-05"; false: no number.
bool parse_value(std::string_view text, double& out) {
  const std::string copy(text);
  char* end = nullptr;
  out = std::strtod(copy.c_str(), &end);
  return !copy.empty() && end == copy.c_str() + copy.size();
}

// name="value",name="value"; `at` stands behind the {. False: it is none.
bool parse_labels(std::string_view line, std::size_t& at, Labels& out) {
  while (at < line.size() && line[at] != '}') {
    const std::size_t equals = line.find('=', at);
    if (equals == std::string_view::npos || equals + 1 >= line.size() || line[equals + 1] != '"') {
      return false;
    }
    std::string name(line.substr(at, equals - at));
    std::string value;
    at = equals + 2;
    for (; at < line.size() && line[at] != '"'; ++at) {
      if (line[at] == '\\' && at + 1 < line.size()) {
        ++at;
        value += line[at] == 'n' ? '\n' : line[at];
      } else {
        value += line[at];
      }
    }
    if (at >= line.size()) return false;
    ++at;
    out.emplace(std::move(name), std::move(value));
    if (at < line.size() && line[at] == ',') ++at;
  }
  if (at >= line.size()) return false;
  ++at;
  return true;
}

}  // namespace

Result<std::vector<Sample>> parse_exposition(std::string_view text) {
  std::vector<Sample> out;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    ++number;
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    const auto wrong = [&] {
      return Error{0, fmt::format("line {} is no metric: \"{}\"", number, line.substr(0, 80))};
    };
    std::size_t at = line.find_first_of("{ ");
    if (at == std::string_view::npos || at == 0) return wrong();
    Sample sample;
    sample.name = std::string(line.substr(0, at));
    if (line[at] == '{' && !parse_labels(line, ++at, sample.labels)) return wrong();
    const std::size_t first = line.find_first_not_of(' ', at);
    if (first == std::string_view::npos) return wrong();
    const std::size_t last = std::min(line.find(' ', first), line.size());  // a time may follow
    if (!parse_value(line.substr(first, last - first), sample.value)) return wrong();
    out.push_back(std::move(sample));
  }
  return out;
}

void History::add(double at_s, const std::vector<Sample>& samples) {
  times_.push_back(at_s);
  for (const Sample& sample : samples) {
    std::vector<Series>& all = series_[sample.name];
    auto found = std::find_if(all.begin(), all.end(),
                              [&](const Series& one) { return one.labels == sample.labels; });
    if (found == all.end()) found = all.insert(all.end(), Series{sample.labels, {}});
    found->values.resize(times_.size(), nan);
    found->values.back() = sample.value;
  }
  for (auto& [name, all] : series_) {
    for (Series& one : all) one.values.resize(times_.size(), nan);
  }
}

void History::add_range(const std::string& name, const Labels& labels,
                        const std::vector<std::pair<double, double>>& points) {
  ranges_.push_back({name, labels, points});
}

void History::finish() {
  std::set<double> all;
  for (const Range& range : ranges_) {
    for (const auto& [at, value] : range.points) all.insert(at);
  }
  times_.assign(all.begin(), all.end());
  for (Range& range : ranges_) {
    Series series{range.labels, std::vector<double>(times_.size(), nan)};
    for (const auto& [at, value] : range.points) {
      const auto place = std::lower_bound(times_.begin(), times_.end(), at);
      series.values[static_cast<std::size_t>(place - times_.begin())] = value;
    }
    series_[range.name].push_back(std::move(series));
  }
  ranges_.clear();
}

std::vector<double> History::interval_times_s() const {
  return times_.empty() ? std::vector<double>() : std::vector<double>(times_.begin() + 1,
                                                                      times_.end());
}

bool History::fits(const Series& series, const std::vector<Wanted>& wanted) {
  return std::all_of(wanted.begin(), wanted.end(), [&](const Wanted& one) {
    const auto found = series.labels.find(one.label);
    return found != series.labels.end() && found->second == one.value;
  });
}

std::vector<std::string> History::values_of(std::string_view name, std::string_view label) const {
  std::set<std::string> out;
  const auto found = series_.find(name);
  if (found == series_.end()) return {};
  for (const Series& one : found->second) {
    const auto value = one.labels.find(label);
    if (value != one.labels.end()) out.insert(value->second);
  }
  return {out.begin(), out.end()};
}

namespace {

// Of a counter between two samples.
double growth(double before, double after) {
  if (std::isnan(after)) return nan;
  if (std::isnan(before)) return nan;
  return after >= before ? after - before : after;
}

void add_known(double& sum, double part) {
  if (std::isnan(part)) return;
  sum = std::isnan(sum) ? part : sum + part;
}

}  // namespace

std::vector<double> History::rate(std::string_view name, const std::vector<Wanted>& wanted) const {
  const std::size_t count = times_.empty() ? 0 : times_.size() - 1;
  std::vector<double> out(count, nan);
  const auto found = series_.find(name);
  if (found == series_.end()) return out;
  for (const Series& one : found->second) {
    if (!fits(one, wanted)) continue;
    for (std::size_t i = 0; i < count; ++i) {
      const double seconds = times_[i + 1] - times_[i];
      add_known(out[i], growth(one.values[i], one.values[i + 1]) / std::max(seconds, 1e-9));
    }
  }
  return out;
}

std::vector<double> History::gauge(std::string_view name,
                                   const std::vector<Wanted>& wanted) const {
  const std::size_t count = times_.empty() ? 0 : times_.size() - 1;
  std::vector<double> out(count, nan);
  const auto found = series_.find(name);
  if (found == series_.end()) return out;
  for (const Series& one : found->second) {
    if (!fits(one, wanted)) continue;
    for (std::size_t i = 0; i < count; ++i) {
      const double value = one.values[i + 1];
      if (!std::isnan(value) && !(out[i] >= value)) out[i] = value;
    }
  }
  return out;
}

std::vector<double> History::percentile(std::string_view name, double percent,
                                        const std::vector<Wanted>& wanted) const {
  const std::size_t count = times_.empty() ? 0 : times_.size() - 1;
  std::vector<double> out(count, nan);
  const auto found = series_.find(fmt::format("{}_bucket", name));
  if (found == series_.end()) return out;
  // Bound of a bucket -> its cumulative growth in each interval.
  std::map<double, std::vector<double>> buckets;
  for (const Series& one : found->second) {
    const auto bound = one.labels.find("le");
    double le = 0;
    if (bound == one.labels.end() || !parse_value(bound->second, le)) continue;
    if (!fits(one, wanted)) continue;
    std::vector<double>& cells = buckets.try_emplace(le, count, 0.0).first->second;
    for (std::size_t i = 0; i < count; ++i) {
      const double grown = growth(one.values[i], one.values[i + 1]);
      if (!std::isnan(grown)) cells[i] += grown;
    }
  }
  if (buckets.empty()) return out;
  for (std::size_t i = 0; i < count; ++i) {
    const double all = buckets.rbegin()->second[i];
    if (!(all > 0)) continue;
    const double rank = percent / 100 * all;
    double lower = 0;
    double before = 0;
    for (const auto& [bound, cells] : buckets) {
      if (cells[i] >= rank && cells[i] > before) {
        const double share = (rank - before) / (cells[i] - before);
        out[i] = std::isinf(bound) ? lower : lower + (bound - lower) * share;
        break;
      }
      lower = std::isinf(bound) ? lower : bound;
      before = cells[i];
    }
  }
  return out;
}

}  // namespace ringgate::analyze
