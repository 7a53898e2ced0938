// The report as one page: styles and drawings are in it, nothing is fetched.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tools/analyze/report.hpp"

namespace ringgate::analyze {

namespace {

constexpr double width = 420;
constexpr double height = 120;
constexpr double left = 62;
constexpr double bottom = 18;
constexpr double top = 8;
// More points than pixels say nothing; each keeps the highest of those it stands for.
constexpr std::size_t points_max = 480;

constexpr const char* style = R"css(
:root{--bg:#fbfbfa;--card:#fff;--ink:#1d2733;--dim:#5d6b7a;--line:#dfe3e8;--curve:#1769aa;
--limit:#c0392b;--none:#2e7d4f;--low:#1769aa;--medium:#a86a00;--high:#c2410c;--critical:#b3122f}
@media (prefers-color-scheme:dark){:root{--bg:#12161b;--card:#1a2027;--ink:#e4e9ef;--dim:#97a5b4;
--line:#2c3540;--curve:#6cb4f5;--limit:#ff7b6b;--none:#5fc48a;--low:#6cb4f5;--medium:#f0b95a;
--high:#ff9a5c;--critical:#ff6f86}}
*{box-sizing:border-box}
body{margin:0;background:var(--bg);color:var(--ink);font:15px/1.5 system-ui,sans-serif}
main{max-width:1200px;margin:0 auto;padding:24px 20px 60px}
h1{font-size:22px;margin:0 0 2px}h2{font-size:17px;margin:32px 0 10px}
p{margin:4px 0}.dim{color:var(--dim)}
.card{background:var(--card);border:1px solid var(--line);border-left:5px solid var(--tone);
border-radius:6px;padding:14px 18px;margin:12px 0}
.card h3{margin:0 0 4px;font-size:17px}.tag{color:var(--tone);font-weight:600}
dl{display:grid;grid-template-columns:110px 1fr;gap:3px 12px;margin:10px 0 0}
dt{color:var(--dim)}dd{margin:0}code{font:13px/1.4 ui-monospace,monospace}
.grid{display:grid;grid-template-columns:repeat(auto-fill,minmax(360px,1fr));gap:14px}
figure{margin:0;background:var(--card);border:1px solid var(--line);border-radius:6px;padding:10px}
figcaption{font-size:13px;color:var(--dim);margin-bottom:4px}
figcaption b{color:var(--ink)}svg{width:100%;height:auto;display:block}
svg text{fill:var(--dim);font:11px system-ui,sans-serif}.axis{stroke:var(--line)}
.curve{fill:none;stroke:var(--curve);stroke-width:1.6;stroke-linejoin:round}
.limit{stroke:var(--limit);stroke-dasharray:5 4}
.scroll{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:14px}
th,td{text-align:left;padding:5px 14px 5px 0;border-bottom:1px solid var(--line)}
th{color:var(--dim);font-weight:500}td.number{text-align:right;white-space:nowrap}
.none{--tone:var(--none)}.low{--tone:var(--low)}.medium{--tone:var(--medium)}
.high{--tone:var(--high)}.critical{--tone:var(--critical)}
)css";

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '&': out += "&amp;"; break;
      case '"': out += "&quot;"; break;
      default: out += c;
    }
  }
  return out;
}

double highest_of(const std::vector<double>& values) {
  double out = 0;
  for (const double value : values) {
    if (std::isfinite(value)) out = std::max(out, value);
  }
  return out;
}

// Pieces of a line; a gap where nothing is known.
std::string path_of(const std::vector<double>& times, const std::vector<double>& values,
                    double highest) {
  const double begin = times.front();
  const double span = std::max(times.back() - begin, 1e-9);
  const std::size_t each = (values.size() + points_max - 1) / points_max;
  std::string out;
  bool drawing = false;
  for (std::size_t i = 0; i < values.size(); i += each) {
    double value = std::numeric_limits<double>::quiet_NaN();
    for (std::size_t j = i; j < std::min(i + each, values.size()); ++j) {
      if (std::isfinite(values[j]) && !(value >= values[j])) value = values[j];
    }
    if (std::isnan(value)) {
      drawing = false;
      continue;
    }
    const double x = left + (width - left - 6) * (times[i] - begin) / span;
    const double y = height - bottom - (height - bottom - top) * value / highest;
    out += fmt::format("{}{:.1f} {:.1f}", drawing ? "L" : "M", x, y);
    drawing = true;
  }
  return out;
}

std::string drawing(const Case& subject, const std::vector<double>& values, Unit unit,
                    double limit) {
  if (values.size() < 2 || subject.times_s.size() != values.size()) return {};
  // Of what is never more than nothing a drawing still needs a scale.
  const double most = std::max(highest_of(values), limit);
  const double highest = (most > 0 ? most : 1) * 1.08;
  const auto y_of = [&](double value) {
    return height - bottom - (height - bottom - top) * value / highest;
  };
  std::string out = fmt::format("<svg viewBox=\"0 0 {:.0f} {:.0f}\" role=\"img\">", width, height);
  for (const double share : {0.0, 0.5, 1.0}) {
    const double value = highest / 1.08 * share;
    out += fmt::format("<line class=\"axis\" x1=\"{:.0f}\" x2=\"{:.0f}\" y1=\"{:.1f}\" "
                       "y2=\"{:.1f}\"/><text x=\"{:.0f}\" y=\"{:.1f}\" text-anchor=\"end\">{}"
                       "</text>",
                       left, width - 6, y_of(value), y_of(value), left - 6, y_of(value) + 4,
                       escaped(value_text(unit, value)));
  }
  out += fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\">{:.0f} s</text>", left, height - 4,
                     subject.times_s.front());
  out += fmt::format("<text x=\"{:.0f}\" y=\"{:.0f}\" text-anchor=\"end\">{:.0f} s</text>",
                     width - 6, height - 4, subject.times_s.back());
  if (limit > 0) {
    out += fmt::format("<line class=\"limit\" x1=\"{:.0f}\" x2=\"{:.0f}\" y1=\"{:.1f}\" "
                       "y2=\"{:.1f}\"/>", left, width - 6, y_of(limit), y_of(limit));
  }
  out += fmt::format("<path class=\"curve\" d=\"{}\"/></svg>",
                     path_of(subject.times_s, values, highest));
  return out;
}

std::string figure(const Case& subject, std::string_view name, std::string_view what,
                   const std::vector<double>& values, Unit unit, double limit) {
  const std::string drawn = drawing(subject, values, unit, limit);
  if (drawn.empty()) return {};
  return fmt::format("<figure><figcaption><b>{}</b> {}</figcaption>{}</figure>\n", escaped(name),
                     escaped(what), drawn);
}

std::string term(std::string_view name, std::string_view what) {
  return fmt::format("<dt>{}</dt><dd>{}</dd>", name, escaped(what));
}

std::string card(const Case& subject, const Verdict& verdict, std::size_t place) {
  const SignalSpec& spec = *verdict.main.signal->spec;
  std::string out = fmt::format(
      "<section class=\"card {}\"><h3>{}. {} <span class=\"tag\">{}</span></h3><p>{}</p><dl>",
      severity_name(verdict.severity), place, cause_name(verdict.cause),
      severity_name(verdict.severity), escaped(cause_words(verdict.cause)));
  out += term("measured", reading_text(verdict.main));
  out += term("threshold", fmt::format("{}: {}", value_text(spec.unit,
                                                            verdict.main.signal->threshold),
                                       spec.why));
  for (const Reading& other : verdict.others) out += term("also", reading_text(other));
  if (verdict.follows) {
    out += term("follows", fmt::format("from {}, which explains it", cause_name(*verdict.follows)));
  }
  if (verdict.first_seen_s >= 0) {
    out += term("first seen", moment_text(subject, verdict.first_seen_s));
  }
  if (verdict.trend) out += term("trend", trend_text(verdict));
  const double step = interval_s(subject);
  if (verdict.errors) out += term("goes with", correlation_text(*verdict.errors, "errors", step));
  if (verdict.replies) {
    out += term("goes with", correlation_text(*verdict.replies, "the time to a reply", step));
  }
  for (const Advice& advice : verdict.advice) {
    if (advice.key.empty()) {
      out += term("change", advice.why);
      continue;
    }
    out += fmt::format("<dt>change</dt><dd><code>{} = {}</code>{}: {}</dd>", escaped(advice.key),
                       escaped(advice.proposed),
                       advice.present.empty()
                           ? ""
                           : fmt::format(" (is <code>{}</code>)", escaped(advice.present)),
                       escaped(advice.why));
  }
  return out + "</dl></section>\n";
}

std::string table(const Judgement& judgement) {
  std::string out = "<div class=\"scroll\"><table><tr><th>signal</th><th>what</th><th>where</th>"
                    "<th>value</th><th>threshold</th><th></th></tr>\n";
  for (const Reading& reading : judgement.readings) {
    const SignalSpec& spec = *reading.signal->spec;
    const Severity severity = severity_of(reading.ratio);
    out += fmt::format(
        "<tr class=\"{}\"><td><code>{}</code></td><td>{}</td><td>{}</td><td class=\"number\">{}"
        "</td><td class=\"number\">{}</td><td class=\"tag\">{}</td></tr>\n",
        severity_name(severity), spec.id, escaped(spec.what), escaped(reading.signal->where),
        value_text(spec.unit, reading.value), value_text(spec.unit, reading.signal->threshold),
        severity == Severity::none ? "good" : severity_name(severity));
  }
  return out + "</table></div>\n";
}

std::string verdicts(const Case& subject, const Judgement& judgement) {
  if (!judgement.enough) {
    return fmt::format("<section class=\"card low\"><h3>Too few samples to judge</h3><p>{} "
                       "intervals are needed.</p></section>\n", intervals_min);
  }
  if (judgement.verdicts.empty()) {
    return "<section class=\"card none\"><h3>Nothing wrong</h3><p>All that was looked at is below "
           "its threshold.</p></section>\n";
  }
  std::string out;
  for (std::size_t i = 0; i < judgement.verdicts.size(); ++i) {
    out += card(subject, judgement.verdicts[i], i + 1);
  }
  return out;
}

}  // namespace

std::string report_html(const Case& subject, const Judgement& judgement) {
  std::string out = fmt::format(
      "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" "
      "content=\"width=device-width,initial-scale=1\"><title>ringgate: {}</title><style>{}</style>"
      "</head><body><main>\n<h1>{}</h1>\n<p class=\"dim\">{}{} samples, one each {:.3g} s</p>\n",
      escaped(subject.source), style, escaped(subject.source),
      subject.begin_unix_s > 0 ? fmt::format("from {}, ", moment_text(subject, 0).substr(0, 20))
                               : "",
      subject.times_s.size(), interval_s(subject));
  out += verdicts(subject, judgement);
  out += "<h2>What devices see</h2>\n<div class=\"grid\">\n";
  out += figure(subject, "messages", "a second", subject.messages, Unit::per_second, 0);
  out += figure(subject, "replies", "p99 of the time to one", subject.replies, Unit::seconds, 0);
  out += figure(subject, "errors", "a second", subject.errors, Unit::per_second, 0);
  out += "</div>\n<h2>Signals</h2>\n<p class=\"dim\">The dashed line is the threshold.</p>\n"
         "<div class=\"grid\">\n";
  for (const Reading& reading : judgement.readings) {
    const Signal& signal = *reading.signal;
    out += figure(subject, signal.spec->id, signal.spec->what, signal.values, signal.spec->unit,
                  signal.threshold);
  }
  out += "</div>\n<h2>All that was looked at</h2>\n";
  out += table(judgement);
  for (const std::string& note : subject.notes) {
    out += fmt::format("<p class=\"dim\">{}</p>\n", escaped(note));
  }
  return out + "</main></body></html>\n";
}

}  // namespace ringgate::analyze
