// The statistics that verdicts rest on. Pure; spans of equal length without NaN unless said
// otherwise.
//
// Samples of a gateway, second by second, resemble their neighbours, and two series that merely
// both drift look related. So every significance here counts not the samples but how many
// independent ones they are worth (by their autocorrelation at lag 1), and a lag that was chosen
// among many is judged by as much stricter a measure.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

namespace ringgate::analyze {

double mean_of(std::span<const double> values);
// 0 to 100, between neighbours; NaN when empty.
double percentile_of(std::vector<double> values, double percent);

// -1 to 1; NaN where one of them does not change.
double pearson(std::span<const double> a, std::span<const double> b);
double spearman(std::span<const double> a, std::span<const double> b);
std::vector<double> ranks_of(std::span<const double> values);  // ties share the mean of theirs

double autocorrelation(std::span<const double> values);  // at lag 1; 0 where nothing changes

// P(|T| >= |t|) of Student's t with `freedom` degrees (> 0).
double student_two_sided(double t, double freedom);
// Of a correlation r over `independent` samples; 1 where there are too few.
double correlation_p(double r, double independent);

// A p below this is called significant.
constexpr double significant_p = 0.01;

struct Trend {
  double slope_per_s = 0;
  double p = 1;             // that a slope so steep is chance
  double change = 0;        // along the line, from the first sample to the last
  bool significant = false;  // p, and the change is worth a word: 10 % of the mean or more
};
// Least squares; nullopt for fewer than `trend_samples_min`.
constexpr std::size_t trend_samples_min = 10;
std::optional<Trend> trend_of(std::span<const double> times_s, std::span<const double> values);

struct Correlation {
  double r = 0;
  std::string_view method;  // "pearson", "spearman"
  int lag = 0;              // samples that the second comes after the first; negative: before
  double p = 1;             // corrected for the lags and methods tried
};
// The best of both methods and of lags to `lag_max` either way, if it is significant and |r| is 0.3
// or more: weaker ones explain less than a tenth. NaN is left out in pairs.
constexpr std::size_t correlation_samples_min = 20;
std::optional<Correlation> correlate(std::span<const double> a, std::span<const double> b,
                                     int lag_max);

}  // namespace ringgate::analyze
