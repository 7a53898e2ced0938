// Conditions as people write them: "service p99.9 < 5ms". See thresholds.hpp.
#include <fmt/format.h>

#include <charconv>
#include <cmath>

#include "engine/config/schema.hpp"
#include "tools/load/scenario/measured.hpp"
#include "tools/load/scenario/thresholds.hpp"

namespace ringgate::load {

namespace {

// What a metric is called, and what its limit may be.
struct MetricWord {
  std::string_view word;
  Metric metric;
  Unit unit;         // of a plain number, or the only one
  bool share;        // a percentage is fine, too
  std::string_view example;
};
constexpr MetricWord metric_words[] = {
    {"response", Metric::response, Unit::time_ns, false, "response p99 < 20ms"},
    {"service", Metric::service, Unit::time_ns, false, "service p99.9 < 5ms"},
    {"lag", Metric::lag, Unit::time_ns, false, "lag p99 < 1ms"},
    {"connect", Metric::connect, Unit::time_ns, false, "connect p99 < 200ms"},
    {"delivery", Metric::delivery, Unit::time_ns, false, "delivery p99 < 50ms"},
    {"errors", Metric::errors, Unit::count, true, "errors < 0.1%"},
    {"dropped", Metric::dropped, Unit::count, true, "dropped == 0"},
    {"lost", Metric::lost, Unit::count, true, "lost == 0"},
    {"duplicated", Metric::duplicated, Unit::count, true, "duplicated == 0"},
    {"reordered", Metric::reordered, Unit::count, true, "reordered == 0"},
    {"acked_rate", Metric::acked_rate, Unit::per_second, false, "acked_rate > 900/s"},
    {"sent_rate", Metric::sent_rate, Unit::per_second, false, "sent_rate > 900/s"},
    {"delivered_rate", Metric::delivered_rate, Unit::per_second, false, "delivered_rate > 900/s"},
    {"connect_rate", Metric::connect_rate, Unit::per_second, false, "connect_rate > 500/s"},
    {"server_cpu", Metric::server_cpu, Unit::cpus, false, "server_cpu < 80%"},
    {"own_cpu", Metric::own_cpu, Unit::cpus, false, "own_cpu < 90%"},
    {"server_rss", Metric::server_rss, Unit::bytes, false, "server_rss < 500MiB"},
};
constexpr std::string_view all_words[] = {
    "response", "service", "lag", "connect", "delivery", "errors", "dropped", "lost", "duplicated",
    "reordered", "acked_rate", "sent_rate", "delivered_rate", "connect_rate", "server_cpu",
    "own_cpu", "server_rss", "mean", "max", "p50", "p90", "p95", "p99", "p99.9", "p99.99"};

struct ValueUnit {
  std::string_view text;
  Unit unit;
  double factor;
};
constexpr ValueUnit value_units[] = {
    {"ns", Unit::time_ns, 1},       {"us", Unit::time_ns, 1e3},   {"ms", Unit::time_ns, 1e6},
    {"s", Unit::time_ns, 1e9},      {"m", Unit::time_ns, 60e9},   {"h", Unit::time_ns, 3600e9},
    {"%", Unit::share, 0.01},       {"", Unit::count, 1},         {"/s", Unit::per_second, 1},
    {"B", Unit::bytes, 1},          {"KiB", Unit::bytes, 1024},   {"MiB", Unit::bytes, 1048576},
    {"GiB", Unit::bytes, 1073741824}, {"kB", Unit::bytes, 1e3},   {"MB", Unit::bytes, 1e6},
    {"GB", Unit::bytes, 1e9}};

constexpr struct {
  std::string_view text;
  Comparison comparison;
} comparisons[] = {{"<=", Comparison::at_most}, {">=", Comparison::at_least},
                   {"==", Comparison::equal},   {"!=", Comparison::not_equal},
                   {"<", Comparison::less},     {">", Comparison::greater}};

bool blank(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool of_operator(char c) { return c == '<' || c == '>' || c == '=' || c == '!'; }
bool digit(char c) { return c >= '0' && c <= '9'; }

std::optional<double> number_of(std::string_view text) {
  double number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number,
                                      std::chars_format::fixed);
  if (parsed.ec != std::errc{} || parsed.ptr != text.data() + text.size()) return {};
  return std::isfinite(number) ? std::optional(number) : std::nullopt;
}

const MetricWord* metric_of(std::string_view word) {
  for (const MetricWord& known : metric_words) {
    if (known.word == word) return &known;
  }
  return nullptr;
}

const MetricWord& words_of(Metric metric) {
  for (const MetricWord& known : metric_words) {
    if (known.metric == metric) return known;
  }
  return metric_words[0];
}

class Parser {
 public:
  Parser(std::string_view text, bool goal) : text_(text), goal_(goal) {
    condition_.text = std::string(text);
  }

  Result<Condition, ConditionError> parse() {
    skip();
    if (at_ == text_.size()) {
      fail(0, goal_ ? "it is empty; write \"acked_rate 900/s\" or \"server_cpu 60%\""
                    : "it is empty; write something like \"p99 < 20ms\" or \"errors < 0.1%\"");
    } else if (subject() && comparison()) {
      value();
    }
    if (failed_) return std::move(error_);
    return std::move(condition_);
  }

 private:
  bool fail(std::size_t offset, std::string message) {
    if (!failed_) error_ = {offset, std::move(message)};
    failed_ = true;
    return false;
  }
  void skip() {
    while (at_ < text_.size() && blank(text_[at_])) ++at_;
  }
  std::string_view word() {
    skip();
    const std::size_t from = at_;
    while (at_ < text_.size() && !blank(text_[at_]) && !of_operator(text_[at_])) ++at_;
    return text_.substr(from, at_ - from);
  }

  bool unknown(std::size_t at, std::string_view word) {
    const std::string_view near = config::nearest(word, all_words);
    if (!near.empty()) {
      return fail(at, fmt::format("{} measures nothing{}", config::toml_quoted(word),
                                  config::meant(near)));
    }
    return fail(at, fmt::format("{} measures nothing; there are p50 to p99.99, mean and max (after "
                                "response, service, lag, connect, delivery), errors, dropped, "
                                "lost, duplicated, reordered, acked_rate, sent_rate, "
                                "delivered_rate, connect_rate, server_cpu, own_cpu, server_rss",
                                config::toml_quoted(word)));
  }

  // "p99.9", "mean", "max".
  bool statistic(std::string_view word) {
    if (word == "mean" || word == "max") {
      condition_.statistic = word == "mean" ? Statistic::mean : Statistic::max;
      return true;
    }
    if (word.size() < 2 || word[0] != 'p' || !digit(word[1])) return false;
    const std::optional<double> percent = number_of(word.substr(1));
    if (!percent || *percent > 100) return false;
    condition_.statistic = Statistic::percentile;
    condition_.percent = *percent;
    return true;
  }

  bool subject() {
    skip();
    std::size_t start = at_;
    std::string_view first = word();
    if (first.empty()) return fail(start, "what is measured is missing; write \"p99 < 20ms\"");
    condition_.unit = Unit::time_ns;
    if (statistic(first)) return true;
    const MetricWord* known = metric_of(first);
    if (known == nullptr) return unknown(start, first);
    condition_.metric = known->metric;
    condition_.unit = known->unit;
    if (known->unit != Unit::time_ns) return true;
    skip();
    start = at_;
    const std::string_view second = word();
    if (statistic(second)) return true;
    return fail(start, fmt::format("{} is many times: say which, such as \"{}\"", known->word,
                                   known->example));
  }

  bool comparison() {
    skip();
    if (goal_) return true;
    for (const auto& known : comparisons) {
      if (text_.substr(at_).starts_with(known.text)) {
        condition_.comparison = known.comparison;
        at_ += known.text.size();
        if (at_ < text_.size() && of_operator(text_[at_])) break;
        return true;
      }
    }
    const std::string_view example = words_of(condition_.metric).example;
    if (at_ == text_.size()) {
      return fail(at_, fmt::format("the comparison is missing; write \"{}\"", example));
    }
    return fail(at_, fmt::format("a comparison is expected here: <, <=, >, >=, == or != as in "
                                 "\"{}\"", example));
  }

  bool value() {
    skip();
    const std::size_t start = at_;
    const MetricWord& metric = words_of(condition_.metric);
    std::size_t end = at_;
    while (end < text_.size() && (digit(text_[end]) || text_[end] == '.')) ++end;
    const std::optional<double> number = number_of(text_.substr(start, end - start));
    if (!number) {
      return fail(start, fmt::format("a number is expected here, as in \"{}\"",
                                     goal_ ? "acked_rate 900/s" : metric.example));
    }
    at_ = end;
    skip();
    std::string_view unit = text_.substr(at_);
    while (!unit.empty() && blank(unit.back())) unit.remove_suffix(1);
    return limit(metric, *number, unit) && possible(start);
  }

  bool limit(const MetricWord& metric, double number, std::string_view unit) {
    for (const ValueUnit& known : value_units) {
      if (known.text != unit) continue;
      condition_.limit = number * known.factor;
      if (known.unit == metric.unit) return true;
      if (known.unit == Unit::share && metric.share) {
        condition_.unit = Unit::share;
        return true;
      }
      if (known.unit == Unit::share && metric.unit == Unit::cpus) return true;
      break;
    }
    return fail(at_, fmt::format("{} is measured in {}: write something like \"{}\"", metric.word,
                                 units_of(metric), metric.example));
  }
  static std::string_view units_of(const MetricWord& metric) {
    switch (metric.unit) {
      case Unit::time_ns: return "time (ns, us, ms, s, m, h)";
      case Unit::per_second: return "something per second (/s)";
      case Unit::cpus: return "per cent of one CPU (%)";
      case Unit::bytes: return "bytes (B, KiB, MiB, GiB, kB, MB, GB)";
      case Unit::count:
      case Unit::share: break;
    }
    return "per cent (%) or as a plain number";
  }

  // What can't ever hold, or always does, is a slip.
  bool possible(std::size_t start) {
    const bool zero = condition_.limit == 0;
    if (goal_ && (zero || (condition_.metric != Metric::acked_rate &&
                           condition_.metric != Metric::server_cpu))) {
      return fail(zero ? start : 0, "a load can be held at an acked_rate (\"acked_rate 900/s\") or "
                                    "at a server_cpu (\"server_cpu 60%\"), above 0");
    }
    if (!goal_ && zero && condition_.comparison == Comparison::less) {
      return fail(start, "nothing is below 0; write == 0");
    }
    if (!goal_ && zero && condition_.comparison == Comparison::at_least) {
      return fail(start, "everything is at least 0; write > 0");
    }
    return true;
  }

  std::string_view text_;
  bool goal_;
  std::size_t at_ = 0;
  Condition condition_;
  ConditionError error_;
  bool failed_ = false;
};

std::optional<double> of_latency(const Latency& latency, const Condition& condition) {
  if (latency.count() == 0) return {};
  switch (condition.statistic) {
    case Statistic::percentile: return static_cast<double>(latency.percentile(condition.percent));
    case Statistic::mean: return latency.mean_ns();
    case Statistic::max:
    case Statistic::none: break;
  }
  return static_cast<double>(latency.max_ns());
}

std::optional<double> per(double count, double base) {
  return base > 0 ? std::optional(count / base) : std::nullopt;
}

// A share of what ended: answers; of those who only listen, events; of those who only come and go,
// connections.
std::optional<double> error_share(const Tally& tally, double errors) {
  double well = static_cast<double>(tally.acknowledged);
  if (well == 0) well = static_cast<double>(tally.delivered);
  if (well == 0) well = static_cast<double>(tally.connected);
  return per(errors, well + errors);
}

std::optional<double> of_verification(const std::optional<std::uint64_t>& count,
                                      const Tally& tally, Unit unit) {
  if (!count) return {};
  const double number = static_cast<double>(*count);
  return unit == Unit::share ? per(number, static_cast<double>(tally.acknowledged)) : number;
}

}  // namespace

Result<Condition, ConditionError> parse_condition(std::string_view text) {
  return Parser(text, false).parse();
}

Result<Condition, ConditionError> parse_goal(std::string_view text) {
  return Parser(text, true).parse();
}

std::optional<double> Condition::value(const Measured& measured) const {
  const Tally& tally = measured.tally;
  const bool shared = unit == Unit::share;
  switch (metric) {
    case Metric::response: return of_latency(tally.response, *this);
    case Metric::service: return of_latency(tally.service, *this);
    case Metric::lag: return of_latency(tally.lag, *this);
    case Metric::connect: return of_latency(tally.connect, *this);
    case Metric::delivery: return of_latency(tally.delivery, *this);
    case Metric::errors: {
      const double errors = static_cast<double>(tally.error_count());
      return shared ? error_share(tally, errors) : errors;
    }
    case Metric::dropped: {
      const double dropped = static_cast<double>(tally.dropped);
      return shared ? per(dropped, static_cast<double>(tally.due)) : dropped;
    }
    case Metric::lost: return of_verification(measured.lost, tally, unit);
    case Metric::duplicated: return of_verification(measured.duplicated, tally, unit);
    case Metric::reordered: return of_verification(measured.reordered, tally, unit);
    case Metric::acked_rate:
      return per(static_cast<double>(tally.acknowledged), measured.seconds);
    case Metric::sent_rate: return per(static_cast<double>(tally.sent), measured.seconds);
    case Metric::delivered_rate:
      return per(static_cast<double>(tally.delivered), measured.seconds);
    case Metric::connect_rate:
      return per(static_cast<double>(tally.connected), measured.seconds);
    case Metric::server_cpu:
      return measured.server_cpu_s ? per(*measured.server_cpu_s, measured.seconds) : std::nullopt;
    case Metric::own_cpu: return measured.own_cpu;
    case Metric::server_rss:
      if (!measured.server_rss_bytes) return {};
      return static_cast<double>(*measured.server_rss_bytes);
  }
  return {};
}

bool Condition::holds(double value) const {
  switch (comparison) {
    case Comparison::less: return value < limit;
    case Comparison::at_most: return value <= limit;
    case Comparison::greater: return value > limit;
    case Comparison::at_least: return value >= limit;
    case Comparison::equal: return value == limit;
    case Comparison::not_equal: return value != limit;
  }
  return false;
}

void Condition::scale_rate(double factor) {
  limit *= factor;
  // Without a comparison it is a goal.
  std::string sign;
  if (text.find_first_of("<>=!") != std::string::npos) {
    for (const auto& known : comparisons) {
      if (known.comparison == comparison) sign = std::string(known.text).append(" ");
    }
  }
  text = fmt::format("{} {}{:.4g}/s", words_of(metric).word, sign, limit);
}

std::string format_value(Unit unit, double value) {
  // Three significant digits, never in powers of ten.
  const auto number = [](double n) {
    const int digits = n >= 100 || n == std::floor(n) ? 0 : n >= 10 ? 1 : n >= 0.1 ? 2 : 4;
    return fmt::format("{:.{}f}", n, digits);
  };
  switch (unit) {
    case Unit::time_ns:
      if (value < 1e3) return number(value).append(" ns");
      if (value < 1e6) return number(value / 1e3).append(" us");
      if (value < 1e9) return number(value / 1e6).append(" ms");
      return number(value / 1e9).append(" s");
    case Unit::share: return number(value * 100).append(" %");
    case Unit::count: return fmt::format("{:.0f}", value);
    case Unit::per_second: return number(value).append("/s");
    case Unit::cpus: return number(value * 100).append(" % CPU");
    case Unit::bytes:
      if (value < 1024.0) return number(value).append(" B");
      if (value < 1048576.0) return number(value / 1024).append(" KiB");
      if (value < 1073741824.0) return number(value / 1048576).append(" MiB");
      return number(value / 1073741824).append(" GiB");
  }
  return {};
}

}  // namespace ringgate::load
