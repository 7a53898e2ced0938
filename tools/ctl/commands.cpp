#include "tools/ctl/commands.hpp"

#include <fmt/core.h>

#include <charconv>
#include <cstdio>
#include <map>

#include "engine/config/units.hpp"
#include "tools/ctl/show.hpp"

namespace ringgate::ctl {

namespace {

// A gateway answers what it knows at once, also a busy one.
constexpr int patience = 30'000;

void print_json(const Json& value) {
  fmt::print("{}\n", value.dump(-1, ' ', false, Json::error_handler_t::replace));
}

void ignore(const Json&) {}

std::string filter_of(const Options& options) {
  if (!options.online) return options.filter;
  return options.filter.empty() ? "online" : "online and " + options.filter;
}

// 60000 for "1m"; < 0 and a message where it is no time span.
double seconds_of(const std::string& text, const char* option) {
  const auto span = config::parse_duration(text);
  if (span) return static_cast<double>(*span) / 1e9;
  fmt::print(stderr, "ringgate-ctl: {} '{}': {}\n", option, text, span.error().message);
  return -1;
}

int act(Client& client, const Options& options, Json request, std::string_view done) {
  request["device"] = options.words[0];
  if (!options.why.empty()) request["why"] = options.why;
  const int code = converse(client, options, request, patience, ignore);
  if (code == 0 && !options.json) fmt::print("{} {}\n", options.words[0], done);
  if (code == 0 && options.json) fmt::print("{{\"ok\":true}}\n");
  return code;
}

}  // namespace

int print_error(const Options& options, const Json& answer) {
  const Json error = answer.value("error", Json::object());
  const std::string code = error.value("code", "");
  if (options.json) print_json(answer);
  if (error.contains("column")) {
    const std::string filter = filter_of(options);
    const auto column = error.value("column", std::size_t{1});
    fmt::print(stderr, "ringgate-ctl: filter, column {}: {}\n  {}\n  {:>{}}\n", column,
               error.value("message", ""), filter, '^', column);
  } else {
    fmt::print(stderr, "ringgate-ctl: {}\n", error.value("message", "the gateway refused"));
  }
  const bool usage = code == "bad-filter" || code == "bad-request" || code == "bad-command" ||
                     code == "unknown-op";
  return usage ? exit_usage : exit_failed;
}

int unreachable(const Options& options, Client::Got got) {
  if (got == Client::Got::interrupted) {
    fmt::print(stderr, "ringgate-ctl: interrupted\n");
    return exit_failed;
  }
  if (got == Client::Got::timed_out) {
    fmt::print(stderr, "ringgate-ctl: the gateway at {} does not answer; see its log\n",
               options.socket);
  } else {
    fmt::print(stderr, "ringgate-ctl: the gateway at {} ended before it answered; see its log\n",
               options.socket);
  }
  return exit_unreachable;
}

int devices(Client& client, const Options& options) {
  Json request{{"op", "devices"}, {"filter", filter_of(options)}};
  if (options.limit != 0) request["limit"] = options.limit;
  Table table({{"PHONE", 14}, {"STATE", 7}, {"VER", 4}, {"HEARD", 6, true}, {"FRAMES", 9, true},
               {"KM/H", 6, true}, {"LATITUDE", 10, true}, {"LONGITUDE", 11, true},
               {"ALARMS", 10, true}, {"PEER", 21}});
  Json end;
  const int code = converse(client, options, request, patience, [&](const Json& line) {
    const Json& row = line["device"];
    if (options.json) return print_json(row);
    const bool online = row.value("online", false);
    const bool banned = row.value("banned", false);
    char alarms[16];
    std::snprintf(alarms, sizeof alarms, "0x%x", row.value("alarm_bits", 0U));
    const auto degrees = [&](const char* key) {
      return row.contains(key) ? fmt::format("{:.6f}", row[key].get<double>()) : std::string("-");
    };
    table.row({plain(row, "phone"), banned ? "banned" : online ? "online" : "offline",
               plain(row, "version"), ago(row, "last_heard_us"), plain(row, "frames"),
               plain(row, "speed_kmh"), degrees("latitude_deg"), degrees("longitude_deg"),
               row.contains("alarm_bits") ? alarms : "-", plain(row, "peer")},
              banned ? Colour::bad : online ? Colour::plain : Colour::dim);
  }, &end);
  if (code == 0 && !options.json) {
    fmt::print(stderr, "{} devices, {} looked at\n", plain(end, "devices"),
               plain(end, "looked_at"));
  }
  return code;
}

int device(Client& client, const Options& options) {
  Json end;
  const int code = converse(client, options, {{"op", "device"}, {"device", options.words[0]}},
                            patience, ignore, &end);
  if (code != 0) return code;
  if (options.json) {
    print_json(end["device"]);
  } else {
    print_object(end["device"]);
  }
  return 0;
}

int kick(Client& client, const Options& options) {
  return act(client, options, {{"op", "kick"}}, "kicked");
}

int ban(Client& client, const Options& options) {
  Json request{{"op", "ban"}};
  if (!options.ban_for.empty()) {
    const double seconds = seconds_of(options.ban_for, "--for");
    if (seconds < 0) return exit_usage;
    request["for_s"] = seconds;
  }
  return act(client, options, std::move(request),
             options.ban_for.empty() ? "banned until it is unbanned"
                                     : "banned for " + options.ban_for);
}

int unban(Client& client, const Options& options) {
  return act(client, options, {{"op", "unban"}}, "unbanned; it must register anew");
}

int bans(Client& client, const Options& options) {
  Table table({{"PHONE", 14}, {"SINCE", 24}, {"UNTIL", 24}, {"BY", 30}, {"WHY", 10}});
  return converse(client, options, {{"op", "bans"}}, patience, [&](const Json& line) {
    const Json& row = line["ban"];
    if (options.json) return print_json(row);
    table.row({plain(row, "phone"), plain(row, "since"),
               row["until"].is_null() ? "for good" : plain(row, "until"), plain(row, "by"),
               plain(row, "why")});
  });
}

int pending(Client& client, const Options& options) {
  Json request{{"op", "pending"}};
  if (!options.words.empty()) request["device"] = options.words[0];
  if (options.limit != 0) request["limit"] = options.limit;
  Table table({{"PHONE", 14}, {"ID", 15, true}, {"MESSAGE", 22}, {"SUBMITTED", 24},
               {"EXPIRES", 24}, {"SENT", 4, true}, {"BY", 10}});
  Json end;
  const int code = converse(client, options, request, patience, [&](const Json& line) {
    const Json& row = line["pending"];
    if (options.json) return print_json(row);
    table.row({plain(row, "phone"), plain(row, "id"), plain(row, "message"),
               plain(row, "submitted"), plain(row, "expires"), plain(row, "tries"),
               plain(row, "by")},
              row.value("under_way", false) ? Colour::good : Colour::plain);
  }, &end);
  if (code == 0 && !options.json) {
    fmt::print(stderr, "{} commands wait\n", plain(end, "pending"));
  }
  return code;
}

int cancel(Client& client, const Options& options) {
  const std::string& text = options.words[1];
  std::uint64_t id = 0;
  const auto [end_at, wrong] = std::from_chars(text.data(), text.data() + text.size(), id);
  if (wrong != std::errc() || end_at != text.data() + text.size()) {
    fmt::print(stderr, "ringgate-ctl: '{}' is no id; pending shows them\n", text);
    return exit_usage;
  }
  Json request{{"op", "cancel"}, {"device", options.words[0]}, {"id", id}};
  if (!options.why.empty()) request["why"] = options.why;
  Json end;
  const int code = converse(client, options, request, patience, ignore, &end);
  if (code != 0) return code;
  if (options.json) {
    print_json(end);
  } else {
    fmt::print("{} cancelled{}\n", id,
               end.value("was_sent", false)
                   ? "; it was sent before and may be done, and is not sent again" : "");
  }
  return 0;
}

int status(Client& client, const Options& options) {
  Json end;
  const int code = converse(client, options, {{"op", "status"}}, patience, ignore, &end);
  if (code != 0) return code;
  Json status = end["status"];
  if (options.json) {
    print_json(status);
    return 0;
  }
  const Json sinks = status.value("sinks", Json::array());
  status.erase("sinks");
  print_object(status);
  for (const Json& one : sinks) {
    const bool trouble = one.value("trouble", false);
    std::string text = fmt::format("sink {} {}, {:.1f} s behind", printable(plain(one, "name")),
                                   printable(plain(one, "state")), one.value("lag_s", 0.0));
    if (trouble) text += ": " + printable(plain(one, "error"));
    fmt::print("{}\n", coloured(trouble ? Colour::bad : Colour::good, text));
  }
  return 0;
}

int sink(Client& client, const Options& options) {
  const std::string action = options.words.empty() ? "list" : options.words[0];
  const std::size_t wanted = action == "list" ? 1 : action == "seek" ? 3 : 2;
  const bool known = action == "list" || action == "seek" || action == "pause" ||
                     action == "resume";
  if (!known || (!options.words.empty() && options.words.size() != wanted)) {
    std::fprintf(stderr,
                 "ringgate-ctl: sink [list] | pause NAME | resume NAME | seek NAME PLACE\n");
    return exit_usage;
  }
  Json request{{"op", "sink"}, {"action", action}};
  if (options.words.size() > 1) request["name"] = options.words[1];
  if (options.words.size() > 2) request["to"] = options.words[2];
  std::size_t count = 0;
  const int code = converse(client, options, request, patience, [&](const Json& line) {
    const Json row = line.value("sink", Json::object());
    if (options.json) return print_json(row);
    if (count++ == 0) {
      std::printf("%-10s %-12s %12s %9s %14s %9s  %s\n", "NAME", "STATE", "RECORDS", "SKIPPED",
                  "LAG BYTES", "LAG S", "ERROR");
    }
    std::printf("%-10s %-12s %12s %9s %14s %9.1f  %s\n",
                printable(plain(row, "name")).c_str(), printable(plain(row, "state")).c_str(),
                plain(row, "records").c_str(), plain(row, "skipped").c_str(),
                plain(row, "lag_bytes").c_str(), row.value("lag_s", 0.0),
                printable(plain(row, "error")).c_str());
  });
  if (code == 0 && action == "list" && count == 0 && !options.json) std::puts("no sink is on");
  return code;
}

int reload(Client& client, const Options& options) {
  Json end;
  // What it waits for is the gateway's main thread, which may just look at certificates.
  constexpr int longest_ms = 60'000;
  const int code = converse(client, options, {{"op", "reload"}}, longest_ms, [&](const Json& line) {
    if (options.json) return print_json(line);
    const bool problem = line.contains("problem");
    fmt::print(problem ? stderr : stdout, "{}\n",
               printable(plain(line, problem ? "problem" : "changed")));
  }, &end);
  if (code != 0 || options.json) return code;
  fmt::print("reloaded, {} changed\n", end.value("changes", 0));
  return code;
}

int trace(Client& client, const Options& options) {
  if (!client.send({{"op", "trace"}, {"device", options.words[0]}})) {
    return unreachable(options, Client::Got::ended);
  }
  for (Json line;;) {
    const Client::Got got = client.next(line, -1);
    if (got == Client::Got::interrupted) return 0;  // how a trace is ended
    if (got != Client::Got::line) return unreachable(options, got);
    if (line.contains("ok")) return print_error(options, line);
    if (options.json) {
      print_json(line);
    } else if (line.contains("tracing")) {
      fmt::print(stderr, "tracing {}; Ctrl-C ends it\n", options.words[0]);
    } else if (line.contains("dropped")) {
      fmt::print("{}\n", coloured(Colour::bad, fmt::format("... {} frames not shown in all: too "
                                                           "many at a time",
                                                           plain(line, "dropped"))));
    } else {
      const Json& frame = line["frame"];
      const Json message = frame.value("body", Json::object());
      const Json body = message.value("body", Json::object());
      const bool up = frame.value("direction", "") == "up";
      const std::string time = frame.value("time", "");
      fmt::print("{} {} {} {} #{} {}\n", time.size() > 23 ? time.substr(11, 12) : time,
                 coloured(up ? Colour::good : Colour::strong, up ? "up  " : "down"),
                 plain(frame, "message_id"), message.value("message", "unknown"),
                 plain(message, "serial"),
                 body.is_object() ? one_line(body) : plain(body));
    }
    if (std::fflush(stdout) != 0) return 0;  // nobody reads any more
  }
}

int bad_frames(Client& client, const Options& options) {
  Table table({{"TIME", 24}, {"PEER", 21}, {"PHONE", 13}, {"REASON", 9}, {"AT", 5, true},
               {"SIZE", 5, true}, {"FIRST BYTES", 10}});
  const std::uint64_t limit = options.limit != 0 ? options.limit : 20;
  return converse(client, options, {{"op", "badframes"}, {"limit", limit}}, patience,
                  [&](const Json& line) {
    const Json& row = line["bad_frame"];
    if (options.json) return print_json(row);
    table.row({plain(row, "time"), plain(row, "peer"), plain(row, "phone"), plain(row, "reason"),
               plain(row, "offset"), plain(row, "size"), plain(row, "bytes")});
  });
}

namespace {

void print_stats(const Json& metrics, const std::map<std::string, double>& before, double seconds,
                 bool zeros) {
  for (const auto& [name, metric] : metrics.items()) {
    const std::string kind = metric.value("kind", "");
    if (kind == "histogram") {
      const auto count = metric.value("count", std::uint64_t{0});
      if (count == 0 && !zeros) continue;
      const auto ms = [&fields = metric](const char* key) { return fields.value(key, 0.0) * 1e3; };
      fmt::print("{:<48} {:>14}  p50 {:.3f} ms  p99 {:.3f} ms  max {:.3f} ms\n", name, count,
                 ms("p50_s"), ms("p99_s"), ms("max_s"));
      continue;
    }
    const auto value = metric.value("value", std::int64_t{0});
    if (value == 0 && !zeros) continue;
    std::string rate;
    const auto old = before.find(name);
    if (kind == "counter" && old != before.end() && seconds > 0) {
      rate = fmt::format("  {:.1f}/s", (static_cast<double>(value) - old->second) / seconds);
    }
    fmt::print("{:<48} {:>14}{}\n", name, value, coloured(Colour::good, rate));
    for (const auto& [key, parts] : metric.items()) {
      if (!key.starts_with("by_") || key == "by_shard") continue;
      for (const auto& [label, part] : parts.items()) {
        if (part == 0 && !zeros) continue;
        fmt::print("  {:<46} {:>14}\n", label, part.get<std::int64_t>());
      }
    }
  }
}

}  // namespace

int stats(Client& client, const Options& options) {
  double interval = 0;
  if (!options.watch.empty()) {
    interval = seconds_of(options.watch, "--watch");
    if (interval < 0) return exit_usage;
    if (interval < 0.1) interval = 0.1;
  }
  std::map<std::string, double> before;
  for (;;) {
    Json end;
    const int code = converse(client, options, {{"op", "stats"}}, patience, ignore, &end);
    if (code != 0) return interrupted() ? 0 : code;
    const Json& metrics = end["metrics"];
    if (options.json) {
      print_json(metrics);
    } else {
      if (interval > 0) fmt::print("{}", ansi_clear());
      print_stats(metrics, before, interval, options.zeros);
    }
    if (interval == 0) return 0;
    if (std::fflush(stdout) != 0) return 0;  // nobody reads any more
    for (const auto& [name, metric] : metrics.items()) before[name] = metric.value("value", 0.0);
    Json line;
    const Client::Got got = client.next(line, static_cast<int>(interval * 1000));
    if (got == Client::Got::interrupted) return 0;
    if (got == Client::Got::ended) return unreachable(options, got);
  }
}

}  // namespace ringgate::ctl
