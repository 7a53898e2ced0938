#include "tools/load/report.hpp"

#include <fmt/core.h>

#include <iterator>
#include <numeric>

#include "engine/base/json_writer.hpp"

namespace ringgate::load {
namespace {

// Above this share of its CPU the generator can't be trusted to have sent or taken things in time.
constexpr double cpu_share_limit = 0.95;
// Open model: sending this late at p99 says that the schedule was not kept.
constexpr double lag_limit_us = 2'000;

double us(std::uint64_t ns) { return static_cast<double>(ns) / 1'000; }

void row(std::string& out, std::string_view name, const observe::HistogramSnapshot& values) {
  fmt::format_to(std::back_inserter(out), "  {:<22}", name);
  for (const auto& [percent, label] : percentiles) {
    fmt::format_to(std::back_inserter(out), "{:>12.1f}", us(values.percentile(percent)));
  }
  out += '\n';
}

void latency(JsonWriter& writer, std::string_view name, const observe::HistogramSnapshot& values) {
  writer.key(name).begin_object().key("count").unsigned_integer(values.count());
  for (const auto& [percent, label] : percentiles) {
    writer.key(label).number(us(values.percentile(percent)), 1);
  }
  writer.key("mean_us").number(values.mean_ns() / 1'000, 1).end_object();
}

void counts(JsonWriter& writer, std::string_view name, const Counts& values) {
  writer.key(name).begin_object();
  writer.key("connected").unsigned_integer(values.connected);
  writer.key("registered").unsigned_integer(values.registered);
  writer.key("authenticated").unsigned_integer(values.authenticated);
  writer.key("sent").unsigned_integer(values.sent);
  writer.key("acknowledged").unsigned_integer(values.acknowledged);
  writer.key("sent_bytes").unsigned_integer(values.sent_bytes);
  writer.key("received_bytes").unsigned_integer(values.received_bytes);
  writer.key("errors").begin_object();
  for (std::size_t i = 0; i < values.failures.size(); ++i) {
    writer.key(name_of(static_cast<Failure>(i))).unsigned_integer(values.failures[i]);
  }
  writer.end_object().end_object();
}

}  // namespace

std::string_view name_of(Failure failure) {
  constexpr std::string_view names[] = {"connect_failed",  "link_closed",  "link_broken",
                                        "register_refused", "auth_refused", "report_refused",
                                        "bad_frame",        "stray_reply",  "unanswered",
                                        "missed"};
  static_assert(std::size(names) == static_cast<std::size_t>(Failure::count));
  return names[static_cast<std::size_t>(failure)];
}

std::uint64_t Counts::errors() const {
  return std::accumulate(failures.begin(), failures.end(), std::uint64_t{0});
}

double Report::server_us_per_ack() const {
  if (window.acknowledged == 0) return 0;
  return static_cast<double>(server_cpu_ns) / 1'000 / static_cast<double>(window.acknowledged);
}

std::string Report::bottleneck() const {
  if (idle || window_s <= 0) return {};
  const double lag_us = us(lag.percentile(99));
  if (rate_per_device > 0 && lag_us > lag_limit_us) {
    return fmt::format("THE LOAD GENERATOR WAS LATE: 1 % of reports left {:.1f} ms or more after "
                       "they were due; give it a CPU of its own (--cpu) or lower --rate",
                       lag_us / 1'000);
  }
  if (own_cpu_share > cpu_share_limit) {
    return fmt::format("THE LOAD GENERATOR WAS THE BOTTLENECK: it used {:.0f} % of its CPU; rates "
                       "and latencies are bounded by it (the server's CPU per acknowledgement "
                       "is not)",
                       own_cpu_share * 100);
  }
  return {};
}

std::string table(const Report& report) {
  std::string out;
  const auto put = [&out](std::string_view name, const auto& value, std::string_view unit) {
    fmt::format_to(std::back_inserter(out), "  {:<22}{:>12} {}\n", name, value, unit);
  };
  fmt::format_to(std::back_inserter(out), "\n{} device{} on {}{}\n", report.devices,
                 report.devices == 1 ? "" : "s", report.target,
                 report.interrupted ? " (ended early)" : "");
  put("connected", report.total.connected, "");
  put("registered", report.total.registered, "");
  put("authenticated", report.total.authenticated,
      report.connect_s > 0
          ? fmt::format("in {:.2f} s: {:.0f}/s", report.connect_s,
                        static_cast<double>(report.total.authenticated) / report.connect_s)
          : "");
  put("sent", report.total.sent, "reports");
  put("acknowledged", report.total.acknowledged, "reports");
  if (!report.idle && report.window_s > 0) {
    put("measured for", fmt::format("{:.2f}", report.window_s), "s");
    put("acknowledged per s", fmt::format("{:.0f}", report.rate()), "");
    out += "\n  microseconds                   p50         p90         p99       p99.9"
           "         max\n";
    row(out, report.rate_per_device > 0 ? "due to acknowledged" : "sent to acknowledged",
        report.response);
    if (report.rate_per_device > 0) {
      row(out, "sent to acknowledged", report.service);
      row(out, "own lag (due to sent)", report.lag);
    }
    out += '\n';
  }
  put("own CPU", fmt::format("{:.0f}", report.own_cpu_share * 100), "%");
  if (report.server_pid != 0) {
    put("server CPU per ack", fmt::format("{:.3f}", report.server_us_per_ack()), "us");
    put("server memory", report.server_end.rss_bytes / 1024,
        fmt::format("KiB resident, {} KiB its own, {} KiB anonymous",
                    report.server_end.uss_bytes / 1024, report.server_end.anonymous_bytes / 1024));
  }
  put("errors", report.total.errors(), "");
  for (std::size_t i = 0; i < report.total.failures.size(); ++i) {
    if (report.total.failures[i] == 0) continue;
    put(fmt::format("  {}", name_of(static_cast<Failure>(i))), report.total.failures[i], "");
  }
  const std::string warning = report.bottleneck();
  if (!warning.empty()) out += "\n*** " + warning + " ***\n";
  return out;
}

std::string json(const Report& report) {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object();
  writer.key("target").text(report.target);
  writer.key("devices").unsigned_integer(report.devices);
  writer.key("in_flight").unsigned_integer(report.in_flight);
  writer.key("rate_per_device").number(report.rate_per_device, 6);
  writer.key("idle").boolean(report.idle);
  writer.key("interrupted").boolean(report.interrupted);
  counts(writer, "total", report.total);
  counts(writer, "window", report.window);
  writer.key("window_s").number(report.window_s, 6);
  writer.key("connect_s").number(report.connect_s, 6);
  writer.key("acknowledged_per_s").number(report.rate(), 1);
  latency(writer, "response", report.response);
  latency(writer, "service", report.service);
  latency(writer, "lag", report.lag);
  writer.key("own_cpu_share").number(report.own_cpu_share, 4);
  writer.key("bottleneck").text(report.bottleneck());
  if (report.server_pid != 0) {
    writer.key("server").begin_object();
    writer.key("cpu_us").number(static_cast<double>(report.server_cpu_ns) / 1'000, 1);
    writer.key("cpu_us_per_ack").number(report.server_us_per_ack(), 4);
    writer.key("rss_bytes").unsigned_integer(report.server_end.rss_bytes);
    writer.key("uss_bytes").unsigned_integer(report.server_end.uss_bytes);
    writer.key("anonymous_bytes").unsigned_integer(report.server_end.anonymous_bytes);
    writer.end_object();
  }
  writer.key("errors").unsigned_integer(report.total.errors());
  writer.end_object();
  out += '\n';
  return out;
}

}  // namespace ringgate::load
