// Operations of the control socket that ask and act once, and the list of devices.
#include <fmt/core.h>

#include <algorithm>
#include <map>
#include <optional>

#include "storage/event/device_filter.hpp"
#include "storage/event/json_fields.hpp"
#include "tools/ringgate/control_fields.hpp"
#include "tools/ringgate/control_client.hpp"
#include "tools/ringgate/plugs.hpp"

namespace ringgate::server {

namespace {

// {"ok":true,"key":value}, `value` being JSON already.
std::string ok_with(std::string_view key, std::string_view value) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("ok").boolean(true).key(key).raw(value).end_object();
  return text;
}

// {"device", "why"}: kick, ban, unban.
class ActOp final : public ControlOp {
 public:
  enum class What : std::uint8_t { kick, ban, unban };
  ActOp(Control& control, ControlClient& client, What what)
      : ControlOp(control, client), what_(what) {}

  void start(const Json& request) override {
    DeviceKey device;
    if (!read_device(request, device)) return;
    const std::string why = request.value("why", std::string());
    const double for_s = request.value("for_s", 0.0);
    if (!(for_s >= 0) || for_s > 100.0 * 365 * 86400) {
      return fail("bad-request", "\"for_s\" is a number of seconds, at most 100 years");
    }
    const std::string who = client_.who();
    const auto span_us = static_cast<WallUs>(for_s * static_cast<double>(us_per_s));
    const WallUs until = span_us == 0 ? 0 : wall_now_us() + span_us;
    ask_or_fail(
        home_of(device),
        [what = what_, device, why, who, until](event::DeviceGate& gate, ShardAnswer& answer) {
          const event::Act act{who, why};
          switch (what) {
            case What::kick:
              answer.done = gate.kick(device, act);
              break;
            case What::ban:
              answer.done = gate.ban(device, until, act);
              answer.durably = answer.done;
              break;
            case What::unban:
              answer.done = gate.unban(device, act);
              answer.durably = answer.done;
              break;
          }
        },
        [this, id = std::string(device.id())](const ShardAnswer* answer) {
          if (answer->done) return end(R"({"ok":true})");
          switch (what_) {
            case What::kick:
              return fail("offline", fmt::format("{} has no link", id));
            case What::ban:
              return fail("not-stored",
                          "the log takes nothing now, or too many devices are banned");
            case What::unban:
              return fail("not-banned",
                          fmt::format("{} is not banned, or the log takes nothing now", id));
          }
        });
  }

 private:
  What what_;
};

class DeviceOp final : public ControlOp {
 public:
  using ControlOp::ControlOp;
  void start(const Json& request) override {
    DeviceKey device;
    if (!read_device(request, device)) return;
    ask_or_fail(
        home_of(device),
        [device](event::DeviceGate& gate, ShardAnswer& answer) {
          JsonWriter json(answer.text);
          json.begin_object();
          answer.done = gate.describe(device, json);
          json.end_object();
        },
        [this, id = std::string(device.id())](const ShardAnswer* answer) {
          if (answer->done) return end(ok_with("device", answer->text));
          fail("unknown-device", fmt::format("{} was never online since the gateway started", id));
        });
  }
};

// Lists, page by page, as fast as the client reads.
class DevicesOp final : public ControlOp {
 public:
  using ControlOp::ControlOp;
  void start(const Json& request) override {
    if (!read_whole(request, "limit", 0, UINT32_MAX, limit_)) return;
    filter_ = read_filter(request.value("filter", std::string()));
    if (filter_) pump();
  }

  void pump() override {
    while (filter_ && !ended() && !asked_ && client_.has_room()) {
      if (shard_ == control_.post().shards()) return finish();
      const shard::Posted posted = ask(
          shard_,
          [cursor = cursor_](event::DeviceGate& gate, ShardAnswer& answer) {
            answer.cursor = gate.list(cursor, control_limits::devices_per_errand, answer.lines);
          },
          [this](const ShardAnswer* answer) {
            asked_ = false;
            if (answer == nullptr) return fail_posted(shard::Posted::stopped);
            take(*answer);
          });
      if (posted == shard::Posted::stopped) return fail_posted(posted);
      if (posted == shard::Posted::busy) return control_.look_again();
      asked_ = true;
    }
  }

 private:
  std::optional<event::DeviceFilter> read_filter(const std::string& text) {
    auto filter = event::DeviceFilter::parse(text, device_plug().devices->list_keys());
    if (filter) return std::move(*filter);
    end(filter_error(filter.error()));
    return {};
  }
  void take(const ShardAnswer& answer) {
    for (const std::string& row : answer.lines) {
      ++known_;
      if (!filter_->matches(event::JsonFields(row), wall_now_us())) continue;
      line(R"({"device":)" + row + "}");
      if (++matched_ == limit_) return finish();
    }
    cursor_ = answer.cursor;
    if (cursor_ == 0) ++shard_;
  }
  void finish() {
    end(fmt::format(R"({{"ok":true,"devices":{},"looked_at":{}}})", matched_, known_));
  }

  std::optional<event::DeviceFilter> filter_;
  std::uint64_t limit_ = 0;  // 0: none
  std::uint64_t matched_ = 0;
  std::uint64_t known_ = 0;
  ShardIndex shard_ = 0;
  std::uint32_t cursor_ = 0;
  bool asked_ = false;
};

// {"bans":[...]}: one line a ban, then the end.
class BansOp final : public ControlOp {
 public:
  using ControlOp::ControlOp;
  void start(const Json&) override {
    ask_all([](event::DeviceGate& gate, ShardAnswer& answer) { gate.bans(answer.lines); },
            [this](const std::vector<ShardAnswer>& answers) {
              std::size_t count = 0;
              for (const ShardAnswer& answer : answers) {
                for (const std::string& ban : answer.lines) line(R"({"ban":)" + ban + "}");
                count += answer.lines.size();
              }
              end(fmt::format(R"({{"ok":true,"bans":{}}})", count));
            });
  }
};

class BadFramesOp final : public ControlOp {
 public:
  using ControlOp::ControlOp;
  void start(const Json& request) override {
    std::uint64_t asked = 20;
    if (!read_whole(request, "limit", 0, UINT32_MAX, asked)) return;
    const auto limit = static_cast<std::uint32_t>(std::min<std::uint64_t>(asked, 10'000));
    ask_all(
        [limit](event::DeviceGate& gate, ShardAnswer& answer) {
          gate.bad_frames(limit, answer.lines);
        },
        [this, limit](const std::vector<ShardAnswer>& answers) {
          std::multimap<std::int64_t, const std::string*, std::greater<>> newest;
          for (const ShardAnswer& answer : answers) {
            for (const std::string& text : answer.lines) {
              const Json row = Json::parse(text, nullptr, false);
              if (!row.is_object()) continue;
              newest.emplace(row.value("time_us", std::int64_t{0}), &text);
            }
          }
          std::uint32_t shown = 0;
          for (const auto& [time, text] : newest) {
            if (shown == limit) break;
            line(R"({"bad_frame":)" + *text + "}");
            ++shown;
          }
          end(fmt::format(R"({{"ok":true,"bad_frames":{}}})", shown));
        });
  }
};

class StatsOp final : public ControlOp {
 public:
  using ControlOp::ControlOp;
  void start(const Json& request) override {
    if (request.value("format", std::string("json")) == "prometheus") {
      std::string text;
      control_.registry().print(text);
      std::string quoted;
      JsonWriter(quoted).text(text);
      return end(ok_with("text", quoted));
    }
    Json metrics = Json::object();
    for (const observe::Sample& sample : control_.registry().snapshot()) {
      Json& metric = metrics[std::string(sample.spec->name)];
      if (metric.is_null()) {
        metric["help"] = sample.spec->help;
        metric["kind"] = sample.spec->kind == observe::MetricKind::gauge ? "gauge" : "counter";
        metric["value"] = 0;
      }
      metric["value"] = metric["value"].get<std::int64_t>() + sample.value;
      if (!sample.label_value.empty()) {
        add(metric["by_" + std::string(sample.spec->label)], sample.label_value, sample.value);
      }
      add(metric["by_" + std::string(sample.group_label)], sample.group_value, sample.value);
    }
    for (const observe::MetricSpec* spec : control_.registry().histograms()) {
      const observe::HistogramSnapshot all = control_.registry().merged(*spec);
      const auto seconds = [](std::uint64_t ns) { return static_cast<double>(ns) / ns_per_s; };
      metrics[std::string(spec->name)] = {{"help", spec->help},
                                          {"kind", "histogram"},
                                          {"count", all.count()},
                                          {"sum_s", seconds(all.sum_ns())},
                                          {"p50_s", seconds(all.percentile(50))},
                                          {"p99_s", seconds(all.percentile(99))},
                                          {"max_s", seconds(all.max_ns())}};
    }
    end(ok_with("metrics", metrics.dump()));
  }

 private:
  static void add(Json& object, std::string_view key, std::int64_t value) {
    Json& place = object[std::string(key)];
    place = (place.is_null() ? 0 : place.get<std::int64_t>()) + value;
  }
};

class HelloOp final : public ControlOp {
 public:
  using ControlOp::ControlOp;
  void start(const Json&) override {
    end(fmt::format(R"({{"ok":true,"version":"{}","shards":{}}})", RINGGATE_VERSION,
                    control_.post().shards()));
  }
};

}  // namespace

std::shared_ptr<ControlOp> make_control_op(std::string_view name, Control& control,
                                           ControlClient& client) {
  using What = ActOp::What;
  if (name == "hello") return std::make_shared<HelloOp>(control, client);
  if (name == "devices") return std::make_shared<DevicesOp>(control, client);
  if (name == "device") return std::make_shared<DeviceOp>(control, client);
  if (name == "send") return make_send_op(control, client);
  if (name == "kick") return std::make_shared<ActOp>(control, client, What::kick);
  if (name == "ban") return std::make_shared<ActOp>(control, client, What::ban);
  if (name == "unban") return std::make_shared<ActOp>(control, client, What::unban);
  if (name == "bans") return std::make_shared<BansOp>(control, client);
  if (name == "reload") return make_reload_op(control, client);
  if (name == "sink") return make_sink_op(control, client);
  if (name == "status") return make_status_op(control, client);
  if (name == "trace") return make_trace_op(control, client);
  if (name == "badframes") return std::make_shared<BadFramesOp>(control, client);
  if (name == "stats") return std::make_shared<StatsOp>(control, client);
  if (auto op = make_pending_op(name, control, client); op != nullptr) return op;
  if (auto op = make_token_op(name, control, client); op != nullptr) return op;
  return make_registry_op(name, control, client);
}

}  // namespace ringgate::server
