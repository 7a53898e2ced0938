// A gateway's metrics over time: the raw series, and what their differences say. Plain values.
//
// Figures of an interval stand at its end, so vectors are as long as `times_s()` less one. NaN: not
// known, or nothing to say (a percentile of nothing).
#pragma once

#include <cstddef>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"

namespace ringgate::analyze {

using Labels = std::map<std::string, std::string, std::less<>>;

struct Sample {
  std::string name;
  Labels labels;
  double value = 0;
};

// Prometheus' text format. Error: the line that is none.
Result<std::vector<Sample>> parse_exposition(std::string_view text);

class History {
 public:
  struct Wanted {
    std::string_view label;
    std::string_view value;
  };

  void add(double at_s, const std::vector<Sample>& samples);
  // One series of a range export; `times` and `values` of equal length, in order. All of an export
  // are put together by finish().
  void add_range(const std::string& name, const Labels& labels,
                 const std::vector<std::pair<double, double>>& points);
  void finish();

  std::size_t size() const { return times_.size(); }
  const std::vector<double>& times_s() const { return times_; }
  std::vector<double> interval_times_s() const;  // the ends of intervals
  bool has(std::string_view name) const { return series_.find(name) != series_.end(); }
  std::vector<std::string> values_of(std::string_view name, std::string_view label) const;

  // A counter's growth per second, summed over its series that fit. A counter that goes back has
  // begun anew.
  std::vector<double> rate(std::string_view name, const std::vector<Wanted>& wanted = {}) const;
  // The highest of a gauge's series that fit, at the end of each interval.
  std::vector<double> gauge(std::string_view name, const std::vector<Wanted>& wanted = {}) const;
  // A percentile of what a histogram took in each interval, between the bounds of its bucket.
  std::vector<double> percentile(std::string_view name, double percent,
                                 const std::vector<Wanted>& wanted = {}) const;

 private:
  struct Series {
    Labels labels;
    std::vector<double> values;  // as many as times_; NaN: was not there
  };
  static bool fits(const Series& series, const std::vector<Wanted>& wanted);

  std::vector<double> times_;
  std::map<std::string, std::vector<Series>, std::less<>> series_;
  struct Range {
    std::string name;
    Labels labels;
    std::vector<std::pair<double, double>> points;
  };
  std::vector<Range> ranges_;
};

}  // namespace ringgate::analyze
