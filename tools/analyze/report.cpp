#include "tools/analyze/report.hpp"

#include <fmt/core.h>
#include <time.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

namespace ringgate::analyze {

namespace {

std::string seconds_text(double seconds) {
  if (seconds == 0) return "0 s";
  if (seconds < 1e-3) return fmt::format("{:.3g} us", seconds * 1e6);
  if (seconds < 1) return fmt::format("{:.3g} ms", seconds * 1e3);
  if (seconds < 120) return fmt::format("{:.3g} s", seconds);
  return fmt::format("{:.1f} min", seconds / 60);
}

std::string painted(Severity severity, std::string_view text, bool colours) {
  constexpr std::string_view codes[] = {"32", "36", "33", "31", "31;1"};
  if (!colours) return std::string(text);
  return fmt::format("\033[{}m{}\033[0m", codes[static_cast<std::size_t>(severity)], text);
}

std::string advice_text(const Advice& advice) {
  if (advice.key.empty()) return advice.why;
  const std::string present =
      advice.present.empty() ? "" : fmt::format(" (is {})", advice.present);
  return fmt::format("{} = {}{}: {}", advice.key, advice.proposed, present, advice.why);
}

// Broken at 100 columns; all lines but the first are indented.
std::string broken(std::string_view text, std::size_t indent) {
  std::string out;
  std::size_t column = indent;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(' '), text.size());
    const std::string_view word = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (column > indent && column + 1 + word.size() > 98) {
      out += "\n" + std::string(indent, ' ');
      column = indent;
    } else if (column > indent) {
      out += ' ';
      ++column;
    }
    out += word;
    column += word.size();
  }
  return out;
}

std::string row(std::string_view label, std::string_view text) {
  return fmt::format("    {:<12}{}\n", label, broken(text, 16));
}

double mean_known(const std::vector<double>& values) {
  double sum = 0;
  double count = 0;
  for (const double value : values) {
    if (std::isnan(value)) continue;
    sum += value;
    ++count;
  }
  return count > 0 ? sum / count : 0;
}

std::string verdict_text(const Case& subject, const Verdict& verdict, std::size_t place,
                         bool colours) {
  std::string out = fmt::format("{}. {} {}: {}\n", place, cause_name(verdict.cause),
                                painted(verdict.severity, severity_name(verdict.severity), colours),
                                cause_words(verdict.cause));
  out += row("measured", reading_text(verdict.main));
  out += row("threshold", fmt::format("{}: {}",
                                      value_text(verdict.main.signal->spec->unit,
                                                 verdict.main.signal->threshold),
                                      verdict.main.signal->spec->why));
  for (const Reading& other : verdict.others) out += row("also", reading_text(other));
  if (verdict.follows) {
    out += row("follows", fmt::format("from {}, which explains it", cause_name(*verdict.follows)));
  }
  if (verdict.first_seen_s >= 0) out += row("first seen", moment_text(subject,
                                                                      verdict.first_seen_s));
  if (verdict.trend) out += row("trend", trend_text(verdict));
  const double step = interval_s(subject);
  if (verdict.errors) out += row("goes with", correlation_text(*verdict.errors, "errors", step));
  if (verdict.replies) {
    out += row("goes with", correlation_text(*verdict.replies, "the time to a reply", step));
  }
  for (const Advice& advice : verdict.advice) out += row("change", advice_text(advice));
  return out + "\n";
}

}  // namespace

std::string value_text(Unit unit, double value) {
  switch (unit) {
    case Unit::share:
      return value * 100 >= 10 ? fmt::format("{:.0f} %", value * 100)
                               : fmt::format("{:.2g} %", value * 100);
    case Unit::seconds: return seconds_text(value);
    case Unit::per_second:
      if (value >= 1000) return fmt::format("{:.0f}/s", value);
      return value >= 0.1 || value == 0 ? fmt::format("{:.3g}/s", value)
                                        : fmt::format("{:.3g}/min", value * 60);
    case Unit::bytes: return fmt::format("{:.0f} bytes", value);
  }
  return {};
}

std::string reading_text(const Reading& reading) {
  const SignalSpec& spec = *reading.signal->spec;
  const std::string where =
      reading.signal->where.empty() ? "" : fmt::format("{}: ", reading.signal->where);
  return fmt::format("{}{} {}, {:.3g} times the threshold", where, spec.what,
                     value_text(spec.unit, reading.value), reading.ratio);
}

std::string trend_text(const Verdict& verdict) {
  const Trend& trend = *verdict.trend;
  const Unit unit = verdict.main.signal->spec->unit;
  return fmt::format("{} by {} a minute (least squares, p {:.1g})",
                     trend.slope_per_s > 0 ? "grows" : "falls",
                     value_text(unit, std::abs(trend.slope_per_s) * 60), trend.p);
}

std::string correlation_text(const Correlation& correlation, const char* with, double step_s) {
  const double lag = correlation.lag * step_s;
  const std::string when =
      correlation.lag == 0  ? "at the same time"
      : correlation.lag > 0 ? fmt::format("{} come {:.3g} s later", with, lag)
                            : fmt::format("{} come {:.3g} s earlier", with, -lag);
  return fmt::format("{}: {} {:.2f}, {} (p {:.1g})", with, correlation.method, correlation.r, when,
                     correlation.p);
}

std::string moment_text(const Case& subject, double at_s) {
  const std::string after = fmt::format("after {:.0f} s", at_s);
  if (subject.begin_unix_s <= 0) return after;
  const auto at = static_cast<time_t>(subject.begin_unix_s + at_s);
  tm parts{};
  gmtime_r(&at, &parts);
  char text[32];
  strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return fmt::format("{} ({})", text, after);
}

double interval_s(const Case& subject) {
  const std::vector<double>& times = subject.times_s;
  return times.size() < 2 ? 1
                          : (times.back() - times.front()) / static_cast<double>(times.size() - 1);
}

std::string report_text(const Case& subject, const Judgement& judgement, bool colours) {
  const double length = subject.times_s.empty() ? 0 : subject.times_s.back();
  std::string out = fmt::format("{}: {} samples over {:.0f} s, {:.0f} messages/s, "
                                "{:.3g} errors/s\n\n",
                                subject.source, subject.times_s.size(), length,
                                mean_known(subject.messages), mean_known(subject.errors));
  if (!judgement.enough) {
    out += fmt::format("too few samples to judge: {} intervals are needed\n", intervals_min);
  } else if (judgement.verdicts.empty()) {
    out += painted(Severity::none, "nothing wrong", colours);
    out += ": all that was looked at is below its threshold\n\n";
  }
  for (std::size_t i = 0; i < judgement.verdicts.size(); ++i) {
    out += verdict_text(subject, judgement.verdicts[i], i + 1, colours);
  }
  out += "looked at:\n";
  for (const Reading& reading : judgement.readings) {
    const SignalSpec& spec = *reading.signal->spec;
    const Severity severity = severity_of(reading.ratio);
    out += fmt::format("    {:<21}{:>12} of {:<12}{:<10}{}\n", spec.id,
                       value_text(spec.unit, reading.value),
                       value_text(spec.unit, reading.signal->threshold),
                       painted(severity, severity == Severity::none ? "good"
                                                                    : severity_name(severity),
                               colours),
                       spec.what);
  }
  for (const std::string& note : subject.notes) out += row("note", note);
  return out;
}

namespace {

using nlohmann::json;

json number_or_null(double value) { return std::isfinite(value) ? json(value) : json(); }

json correlation_json(const std::optional<Correlation>& correlation, double step_s) {
  if (!correlation) return nullptr;
  return {{"r", correlation->r},
          {"method", correlation->method},
          {"lag_s", correlation->lag * step_s},
          {"p", correlation->p}};
}

json reading_json(const Reading& reading) {
  const Signal& signal = *reading.signal;
  return {{"signal", signal.spec->id},
          {"cause", cause_name(signal.spec->cause)},
          {"what", signal.spec->what},
          {"where", signal.where.empty() ? json() : json(signal.where)},
          {"value", number_or_null(reading.value)},
          {"threshold", signal.threshold},
          {"ratio", number_or_null(reading.ratio)},
          {"severity", severity_name(severity_of(reading.ratio))}};
}

json verdict_json(const Verdict& verdict, double step_s) {
  json out = reading_json(verdict.main);
  out["severity"] = severity_name(verdict.severity);
  out["why"] = verdict.main.signal->spec->why;
  out["also"] = json::array();
  for (const Reading& other : verdict.others) out["also"].push_back(reading_json(other));
  out["follows"] = verdict.follows ? json(cause_name(*verdict.follows)) : json();
  out["first_seen_s"] = verdict.first_seen_s >= 0 ? json(verdict.first_seen_s) : json();
  out["trend"] = nullptr;
  if (verdict.trend) {
    out["trend"] = {{"per_minute", verdict.trend->slope_per_s * 60}, {"p", verdict.trend->p}};
  }
  out["with_errors"] = correlation_json(verdict.errors, step_s);
  out["with_replies"] = correlation_json(verdict.replies, step_s);
  out["changes"] = json::array();
  for (const Advice& advice : verdict.advice) {
    out["changes"].push_back(
        {{"key", advice.key.empty() ? json() : json(advice.key)},
         {"present", advice.present.empty() ? json() : json(advice.present)},
         {"proposed", advice.proposed.empty() ? json() : json(advice.proposed)},
         {"why", advice.why}});
  }
  return out;
}

}  // namespace

std::string report_json(const Case& subject, const Judgement& judgement) {
  json verdicts = json::array();
  const double step = interval_s(subject);
  for (const Verdict& verdict : judgement.verdicts) verdicts.push_back(verdict_json(verdict, step));
  json readings = json::array();
  for (const Reading& reading : judgement.readings) readings.push_back(reading_json(reading));
  const json all = {
      {"source", subject.source},
      {"began_unix_s", subject.begin_unix_s > 0 ? json(subject.begin_unix_s) : json()},
      {"duration_s", subject.times_s.empty() ? 0 : subject.times_s.back()},
      {"samples", subject.times_s.size()},
      {"enough", judgement.enough},
      {"messages_per_s", mean_known(subject.messages)},
      {"errors_per_s", mean_known(subject.errors)},
      {"bottleneck", judgement.verdicts.empty() ? json()
                                                : json(cause_name(judgement.verdicts[0].cause))},
      {"verdicts", std::move(verdicts)},
      {"signals", std::move(readings)},
      {"notes", subject.notes}};
  return all.dump(2, ' ', false, json::error_handler_t::replace) + "\n";
}

}  // namespace ringgate::analyze
