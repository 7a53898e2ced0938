// What the gateway says of itself: figures of each shard, sinks, configuration, who takes the
// stream.
#include "protocols/api/gateway.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/json_writer.hpp"
#include "engine/base/time_text.hpp"
#include "engine/io/sys.hpp"
#include "protocols/api/feed.hpp"
#include "protocols/api/fleet.hpp"
#include "protocols/api/insight.hpp"
#include "protocols/api/plane.hpp"

namespace ringgate::api {

namespace {

using observe::MetricSpec;
using observe::Sample;

std::int64_t sum_of(const std::vector<Sample>& samples, const MetricSpec* spec,
                    std::string_view shard = {}) {
  std::int64_t sum = 0;
  for (const Sample& sample : samples) {
    const bool here = shard.empty() || (sample.group_label == "shard" &&
                                        sample.group_value == shard);
    if (here && spec != nullptr && sample.spec->name == spec->name) sum += sample.value;
  }
  return sum;
}

std::int64_t sum_of(const std::vector<Sample>& samples, const std::vector<const MetricSpec*>& specs,
                    std::string_view shard = {}) {
  std::int64_t sum = 0;
  for (const MetricSpec* spec : specs) sum += sum_of(samples, spec, shard);
  return sum;
}

// Rates need two moments: the one of now and one at least a second before it.
const Moment& moment_before(Plane& plane, Moment now) {
  Fleet& fleet = plane.fleet();
  if (now.at_us - fleet.last.at_us >= us_per_s) {
    fleet.before = std::move(fleet.last);
    fleet.last = std::move(now);
  }
  return fleet.before;
}

void write_times(std::string_view key, const observe::HistogramSnapshot& now,
                 const observe::HistogramSnapshot& before, JsonWriter& json) {
  const observe::HistogramSnapshot times = now.since(before);
  const auto seconds = [](std::uint64_t ns) { return static_cast<double>(ns) / ns_per_s; };
  json.key(key).begin_object();
  json.key("count").unsigned_integer(times.count());
  json.key("p50_s").number(seconds(times.percentile(50)), 6);
  json.key("p99_s").number(seconds(times.percentile(99)), 6);
  json.key("max_s").number(seconds(times.max_ns()), 6);
  json.end_object();
}

void write_drops(const Insight& insight, const Moment& now, JsonWriter& json) {
  json.key("drops").begin_array();
  for (const MetricSpec* spec : insight.drops) {
    const std::size_t reasons = std::max<std::size_t>(spec->values.size(), 1);
    for (std::size_t i = 0; i < reasons; ++i) {
      const std::string_view reason = spec->values.empty() ? std::string_view() : spec->values[i];
      std::int64_t count = 0;
      for (const Sample& sample : now.samples) {
        const bool same = sample.spec->name == spec->name && sample.label_value == reason;
        count += same ? sample.value : 0;
      }
      if (count == 0) continue;
      json.begin_object().key("metric").text(spec->name).key("reason").text(reason);
      json.key("count").integer(count).end_object();
    }
  }
  json.end_array();
}

void write_shards(const Insight& insight, const Moment& now, const Moment& before, double seconds,
                  ShardIndex shards, JsonWriter& json) {
  json.key("shards").begin_array();
  for (ShardIndex i = 0; i < shards; ++i) {
    const std::string shard = std::to_string(i);
    const auto frames = static_cast<double>(sum_of(now.samples, insight.frames, shard) -
                                            sum_of(before.samples, insight.frames, shard));
    json.begin_object().key("shard").unsigned_integer(i);
    json.key("links").integer(sum_of(now.samples, insight.links, shard));
    json.key("devices_online").integer(sum_of(now.samples, insight.devices_online, shard));
    json.key("frames_per_s").number(frames / seconds, 1);
    json.key("memory_bytes").integer(sum_of(now.samples, insight.memory_bytes, shard));
    json.key("memory_level").integer(sum_of(now.samples, insight.memory_level, shard));
    json.end_object();
  }
  json.end_array();
}

void get_stats(Plane& plane, const CallPtr& call) {
  const std::shared_ptr<const Insight> insight = plane.fleet().insight();
  if (insight == nullptr) return call->problem(503, "the gateway is starting");
  const observe::Registry& registry = plane.parts().registry;
  const Moment now{io::real_sys().wall_now(), registry.snapshot(),
                   registry.merged(*insight->commits), registry.merged(*insight->acks),
                   registry.merged(*insight->turns)};
  const Moment& before = moment_before(plane, now);
  const WallUs since = before.at_us == 0 ? insight->started_us : before.at_us;
  const double seconds =
      static_cast<double>(std::max<WallUs>(now.at_us - since, us_per_s / 1000)) / us_per_s;
  const auto frames = static_cast<double>(sum_of(now.samples, insight->frames) -
                                          sum_of(before.samples, insight->frames));
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("version").text(insight->version);
  json.key("started").text(time_text(insight->started_us));
  json.key("uptime_s").integer((now.at_us - insight->started_us) / us_per_s);
  json.key("interval_s").number(seconds, 3);
  json.key("links").integer(sum_of(now.samples, insight->links));
  json.key("devices_online").integer(sum_of(now.samples, insight->devices_online));
  json.key("frames").integer(sum_of(now.samples, insight->frames));
  json.key("frames_per_s").number(frames / seconds, 1);
  write_times("commit", now.commits, before.commits, json);
  write_times("ack", now.acks, before.acks, json);
  write_times("turn", now.turns, before.turns, json);
  write_shards(*insight, now, before, seconds, plane.parts().shards, json);
  write_drops(*insight, now, json);
  json.end_object();
  call->answer(std::move(text));
}

void get_sinks(Plane& plane, const CallPtr& call) {
  const std::shared_ptr<const Insight> insight = plane.fleet().insight();
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("sinks").begin_array();
  const auto* const workers = insight == nullptr ? nullptr : insight->sinks;
  for (std::size_t i = 0; workers != nullptr && i < workers->size(); ++i) {
    const sink::Worker& worker = *(*workers)[i];
    const sink::Status status = worker.status();
    json.begin_object().key("name").text(worker.name());
    json.key("state").text(sink::state_names[static_cast<std::size_t>(status.state)]);
    json.key("records").unsigned_integer(status.records);
    json.key("batches").unsigned_integer(status.batches);
    json.key("skipped").unsigned_integer(status.skipped);
    json.key("lag_bytes").unsigned_integer(status.lag_bytes);
    json.key("lag_s").number(status.lag_s, 3);
    if (status.last_confirmed_us != 0) {
      json.key("last_confirmed").text(time_text(status.last_confirmed_us));
    }
    json.key("cursor").text(status.cursor);
    json.key("error").text(status.last_error).end_object();
  }
  json.end_array().end_object();
  call->answer(std::move(text));
}

void get_config(Plane& plane, const CallPtr& call) {
  const std::shared_ptr<const Insight> insight = plane.fleet().insight();
  if (insight == nullptr) return call->problem(503, "the gateway is starting");
  const config::Settings& settings = *insight->settings;
  const config::Schema& schema = settings.schema();
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("keys").begin_array();
  for (const std::size_t index : schema.by_section()) {
    const config::KeySpec& key = schema.key(index);
    const std::string& source = settings.source(index);
    if (key.hidden && source.empty()) continue;
    std::string value = config::format_value(key, settings.data(index));
    if (key.secret && !value.empty()) value = "***";
    json.begin_object().key("key").text(key.name).key("value").text(value);
    json.key("source").text(source.empty() ? "default" : source);
    json.key("applies").text(config::apply_name(key.apply));
    json.key("doc").text(key.doc).end_object();
  }
  json.end_array().end_object();
  call->answer(std::move(text));
}

std::string consumers_json(const std::vector<Consumer>& consumers) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("consumers").begin_array();
  for (const Consumer& one : consumers) {
    json.begin_object().key("kind").text(one.kind).key("who").text(one.who);
    json.key("address").text(one.address).key("state").text(one.state);
    if (!one.why.empty()) json.key("why").text(one.why);
    json.key("since").text(time_text(one.since_us));
    if (one.ended_us != 0) json.key("ended").text(time_text(one.ended_us));
    json.key("subscriptions").unsigned_integer(one.subscriptions);
    json.key("messages").unsigned_integer(one.messages);
    json.key("queued_bytes").unsigned_integer(one.queued_bytes);
    json.key("coalesced").unsigned_integer(one.coalesced);
    json.key("lag_s").number(static_cast<double>(one.lag_us) / us_per_s, 3).end_object();
  }
  json.end_array().end_object();
  return text;
}

void get_consumers(Plane& plane, const CallPtr& call) {
  Feed* const feed = plane.parts().feed;
  if (feed == nullptr) return call->answer(consumers_json({}));
  plane.fleet().consumers([call](const std::vector<Consumer>& consumers) {
    call->answer(consumers_json(consumers));
  });
}

#define RG_COUNT R"({"type":"integer","minimum":0})"
#define RG_TEXT R"({"type":"string"})"
#define RG_NUMBER R"({"type":"number","minimum":0})"
#define RG_TIME R"({"type":"string","format":"date-time"})"
#define RG_TIMES                                                              \
  R"({"type":"object","required":["count","p50_s","p99_s","max_s"],)"         \
  R"("properties":{"count":)" RG_COUNT R"(,"p50_s":)" RG_NUMBER               \
  R"(,"p99_s":)" RG_NUMBER R"(,"max_s":)" RG_NUMBER                           \
  R"(},"additionalProperties":false})"

constexpr Route routes[] = {
    {.path = "/api/v1/stats",
     .summary = "How the gateway is: links, frames, times of commits, of acknowledgements and of "
                "the shards' turns, over the last seconds.",
     .response_schema =
         R"({"type":"object","required":["version","started","uptime_s","interval_s","links",)"
         R"("devices_online","frames","frames_per_s","commit","ack","turn","shards","drops"],)"
         R"("properties":{"version":)" RG_TEXT R"(,"started":)" RG_TIME
         R"(,"uptime_s":)" RG_COUNT R"(,"interval_s":)" RG_NUMBER R"(,"links":)" RG_COUNT
         R"(,"devices_online":)" RG_COUNT R"(,"frames":)" RG_COUNT
         R"(,"frames_per_s":)" RG_NUMBER R"(,"commit":)" RG_TIMES R"(,"ack":)" RG_TIMES
         R"(,"turn":)" RG_TIMES R"(,"shards":{"type":"array","items":{"type":"object",)"
         R"("required":["shard","links","devices_online","frames_per_s","memory_bytes",)"
         R"("memory_level"],"properties":{"shard":)" RG_COUNT R"(,"links":)" RG_COUNT
         R"(,"devices_online":)" RG_COUNT R"(,"frames_per_s":)" RG_NUMBER
         R"(,"memory_bytes":)" RG_COUNT
         R"(,"memory_level":{"type":"integer","minimum":0,"maximum":4}},)"
         R"("additionalProperties":false}},"drops":{"type":"array","items":{"type":"object",)"
         R"("required":["metric","reason","count"],"properties":{"metric":)" RG_TEXT
         R"(,"reason":)" RG_TEXT R"(,"count":)" RG_COUNT
         R"(},"additionalProperties":false}}},"additionalProperties":false})",
     .run = get_stats},
    {.path = "/api/v1/sinks",
     .summary = "The sinks: their state, how far behind they are, their last error.",
     .response_schema =
         R"({"type":"object","required":["sinks"],"properties":{"sinks":{"type":"array",)"
         R"("items":{"type":"object","required":["name","state","records","batches","skipped",)"
         R"("lag_bytes","lag_s","cursor","error"],"properties":{"name":)" RG_TEXT
         R"(,"state":)" RG_TEXT R"(,"records":)" RG_COUNT R"(,"batches":)" RG_COUNT
         R"(,"skipped":)" RG_COUNT R"(,"lag_bytes":)" RG_COUNT R"(,"lag_s":)" RG_NUMBER
         R"(,"last_confirmed":)" RG_TIME R"(,"cursor":)" RG_TEXT R"(,"error":)" RG_TEXT
         R"(},"additionalProperties":false}}},"additionalProperties":false})",
     .run = get_sinks},
    {.path = "/api/v1/config",
     .scope = Scope::admin,
     .summary = "Every setting with its value, where it came from and when a change takes effect; "
                "secrets are stars.",
     .response_schema =
         R"({"type":"object","required":["keys"],"properties":{"keys":{"type":"array",)"
         R"("items":{"type":"object","required":["key","value","source","applies","doc"],)"
         R"("properties":{"key":)" RG_TEXT R"(,"value":)" RG_TEXT R"(,"source":)" RG_TEXT
         R"(,"applies":{"enum":["live","new links","restart"]},"doc":)" RG_TEXT
         R"(},"additionalProperties":false}}},"additionalProperties":false})",
     .run = get_config},
    {.path = "/api/v1/consumers",
     .summary = "Who takes the live stream, and who took it last.",
     .response_schema =
         R"({"type":"object","required":["consumers"],"properties":{"consumers":{"type":"array",)"
         R"("items":{"type":"object","required":["kind","who","address","state","since",)"
         R"("subscriptions","messages","queued_bytes","coalesced","lag_s"],"properties":{)"
         R"("kind":)" RG_TEXT R"(,"who":)" RG_TEXT R"(,"address":)" RG_TEXT R"(,"state":)" RG_TEXT
         R"(,"why":)" RG_TEXT R"(,"since":)" RG_TIME R"(,"ended":)" RG_TIME
         R"(,"subscriptions":)" RG_COUNT R"(,"messages":)" RG_COUNT R"(,"queued_bytes":)" RG_COUNT
         R"(,"coalesced":)" RG_COUNT R"(,"lag_s":)" RG_NUMBER
         R"(},"additionalProperties":false}}},"additionalProperties":false})",
     .run = get_consumers},
};

}  // namespace

const std::span<const Route> gateway_routes = routes;

}  // namespace ringgate::api
