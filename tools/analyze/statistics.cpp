#include "tools/analyze/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace ringgate::analyze {

namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// The continued fraction of the incomplete beta function (Lentz), as in every textbook.
double beta_fraction(double a, double b, double x) {
  constexpr double tiny = 1e-300;
  double c = 1;
  double d = 1 - (a + b) * x / (a + 1);
  d = 1 / (std::abs(d) < tiny ? tiny : d);
  double out = d;
  for (int m = 1; m <= 300; ++m) {
    for (int odd = 0; odd < 2; ++odd) {
      const double step = odd == 0 ? m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
                                   : -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
      d = 1 + step * d;
      d = 1 / (std::abs(d) < tiny ? tiny : d);
      c = 1 + step / c;
      c = std::abs(c) < tiny ? tiny : c;
      out *= c * d;
      if (odd == 1 && std::abs(c * d - 1) < 1e-14) return out;
    }
  }
  return out;
}

double incomplete_beta(double a, double b, double x) {
  if (x <= 0) return 0;
  if (x >= 1) return 1;
  const double front = std::exp(std::lgamma(a + b) - std::lgamma(a) - std::lgamma(b) +
                                a * std::log(x) + b * std::log1p(-x));
  return x < (a + 1) / (a + b + 2) ? front * beta_fraction(a, b, x) / a
                                   : 1 - front * beta_fraction(b, a, 1 - x) / b;
}

}  // namespace

double mean_of(std::span<const double> values) {
  if (values.empty()) return nan;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double percentile_of(std::vector<double> values, double percent) {
  if (values.empty()) return nan;
  std::sort(values.begin(), values.end());
  const double at = percent / 100 * static_cast<double>(values.size() - 1);
  const auto below = static_cast<std::size_t>(at);
  const std::size_t above = std::min(below + 1, values.size() - 1);
  const double share = at - static_cast<double>(below);
  return values[below] + (values[above] - values[below]) * share;
}

double pearson(std::span<const double> a, std::span<const double> b) {
  const double mean_a = mean_of(a);
  const double mean_b = mean_of(b);
  double ab = 0;
  double aa = 0;
  double bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    ab += (a[i] - mean_a) * (b[i] - mean_b);
    aa += (a[i] - mean_a) * (a[i] - mean_a);
    bb += (b[i] - mean_b) * (b[i] - mean_b);
  }
  if (!(aa > 0) || !(bb > 0)) return nan;
  return std::clamp(ab / std::sqrt(aa * bb), -1.0, 1.0);
}

std::vector<double> ranks_of(std::span<const double> values) {
  std::vector<std::size_t> order(values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return values[a] < values[b]; });
  std::vector<double> out(values.size());
  for (std::size_t i = 0; i < order.size();) {
    std::size_t end = i + 1;
    while (end < order.size() && values[order[end]] == values[order[i]]) ++end;
    const double rank = static_cast<double>(i + end - 1) / 2 + 1;
    for (; i < end; ++i) out[order[i]] = rank;
  }
  return out;
}

double spearman(std::span<const double> a, std::span<const double> b) {
  return pearson(ranks_of(a), ranks_of(b));
}

double autocorrelation(std::span<const double> values) {
  if (values.size() < 3) return 0;
  const double mean = mean_of(values);
  double all = 0;
  double next = 0;
  for (std::size_t i = 0; i < values.size(); ++i) {
    all += (values[i] - mean) * (values[i] - mean);
    if (i > 0) next += (values[i] - mean) * (values[i - 1] - mean);
  }
  return all > 0 ? std::clamp(next / all, -0.99, 0.99) : 0;
}

double student_two_sided(double t, double freedom) {
  if (std::isnan(t) || !(freedom > 0)) return 1;
  return incomplete_beta(freedom / 2, 0.5, freedom / (freedom + t * t));
}

double correlation_p(double r, double independent) {
  if (std::isnan(r) || independent < 4) return 1;
  const double freedom = independent - 2;
  const double rest = std::max(1e-12, 1 - r * r);
  return student_two_sided(r * std::sqrt(freedom / rest), freedom);
}

std::optional<Trend> trend_of(std::span<const double> times_s, std::span<const double> values) {
  std::vector<double> times;
  std::vector<double> kept;
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (std::isnan(values[i])) continue;
    times.push_back(times_s[i]);
    kept.push_back(values[i]);
  }
  const auto count = static_cast<double>(kept.size());
  if (kept.size() < trend_samples_min) return {};
  const double mean_t = mean_of(times);
  const double mean_v = mean_of(kept);
  double tt = 0;
  double tv = 0;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    tt += (times[i] - mean_t) * (times[i] - mean_t);
    tv += (times[i] - mean_t) * (kept[i] - mean_v);
  }
  Trend out;
  if (!(tt > 0)) return {};
  out.slope_per_s = tv / tt;
  out.change = out.slope_per_s * (times.back() - times.front());
  std::vector<double> residuals;
  double rest = 0;
  for (std::size_t i = 0; i < kept.size(); ++i) {
    residuals.push_back(kept[i] - mean_v - out.slope_per_s * (times[i] - mean_t));
    rest += residuals.back() * residuals.back();
  }
  const double r1 = std::max(0.0, autocorrelation(residuals));
  const double freedom = count * (1 - r1) / (1 + r1) - 2;
  if (freedom < 1) return out;
  const double error = std::sqrt(rest / freedom / tt);
  const bool exact = !(error > std::abs(out.slope_per_s) * 1e-9);
  out.p = out.slope_per_s == 0 ? 1
          : exact              ? 0
                               : student_two_sided(out.slope_per_s / error, freedom);
  out.significant =
      out.p < significant_p && std::abs(out.change) >= 0.1 * std::max(std::abs(mean_v), 1e-12);
  return out;
}

namespace {

struct Tried {
  double r = nan;
  double p = 1;
};

Tried try_pair(std::span<const double> a, std::span<const double> b, bool by_rank) {
  const std::vector<double> left = by_rank ? ranks_of(a) : std::vector<double>(a.begin(), a.end());
  const std::vector<double> right = by_rank ? ranks_of(b) : std::vector<double>(b.begin(), b.end());
  Tried out;
  out.r = pearson(left, right);
  if (std::isnan(out.r)) return out;
  const double product = autocorrelation(left) * autocorrelation(right);
  const auto count = static_cast<double>(a.size());
  // Bartlett: what the samples are worth, never more than they are.
  out.p = correlation_p(out.r, std::min(count, count * (1 - product) / (1 + product)));
  return out;
}

}  // namespace

std::optional<Correlation> correlate(std::span<const double> a, std::span<const double> b,
                                     int lag_max) {
  const auto size = static_cast<int>(std::min(a.size(), b.size()));
  std::optional<Correlation> best;
  int tried = 0;
  for (int lag = -lag_max; lag <= lag_max; ++lag) {
    std::vector<double> left;
    std::vector<double> right;
    for (int i = std::max(0, -lag); i < size && i + lag < size; ++i) {
      const double x = a[static_cast<std::size_t>(i)];
      const double y = b[static_cast<std::size_t>(i + lag)];
      if (std::isnan(x) || std::isnan(y)) continue;
      left.push_back(x);
      right.push_back(y);
    }
    if (left.size() < correlation_samples_min) continue;
    for (const bool by_rank : {false, true}) {
      ++tried;
      const Tried one = try_pair(left, right, by_rank);
      if (std::isnan(one.r)) continue;
      const bool stronger = !best || std::abs(one.r) > std::abs(best->r) + 1e-9;
      // Of equals the one with the smallest lag: the simplest story.
      const bool nearer = best && std::abs(std::abs(one.r) - std::abs(best->r)) <= 1e-9 &&
                          std::abs(lag) < std::abs(best->lag);
      if (stronger || nearer) {
        best = Correlation{one.r, by_rank ? "spearman" : "pearson", lag, one.p};
      }
    }
  }
  if (!best) return {};
  best->p = std::min(1.0, best->p * tried);
  if (best->p >= significant_p || std::abs(best->r) < 0.3) return {};
  return best;
}

}  // namespace ringgate::analyze
