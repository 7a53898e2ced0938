// Who sends most: each shard's sample of the last minute's frames is copied by one errand and
// counted here; a second one asks the names of the first of them.
#include <algorithm>
#include <cmath>
#include <unordered_map>

#include "engine/base/json_writer.hpp"
#include "protocols/api/gateway.hpp"
#include "protocols/api/plane.hpp"

namespace ringgate::api {

namespace {

constexpr std::uint64_t talkers_max = 100;  // names that a shard looks up: some 10 us
constexpr std::uint64_t talkers_default = 20;

struct Talker {
  ShardIndex shard = 0;
  std::uint32_t place = 0;
  std::uint64_t frames = 0;
  std::uint64_t bytes = 0;
  double variance = 0;  // of frames: a sample of weight w has w * (w - 1)
};

struct ShardTalk {
  std::vector<event::DeviceTalk> sample;
  MonoNs covered_ns = 0;
  std::vector<std::uint32_t> places;
  std::vector<DeviceKey> keys;
};

// One answer on its way. An errand touches its shard's entry only, while this thread waits for it.
struct Asking {
  std::vector<ShardTalk> shards;
  std::vector<Talker> first;
  MonoNs covered_ns = 60 * ns_per_s;
  std::uint64_t limit = 0;
  bool by_bytes = false;
};
using AskingPtr = std::shared_ptr<Asking>;

// Has `work` done on each shard's entry, then `then` once.
void ask_each(Plane& plane, const CallPtr& call, const AskingPtr& asking,
              void (*work)(event::DeviceGate&, ShardTalk&), std::function<void()> then) {
  const auto missing = std::make_shared<std::size_t>(asking->shards.size());
  for (std::size_t i = 0; i < asking->shards.size() && !call->over(); ++i) {
    plane.ask(
        call, static_cast<ShardIndex>(i),
        [asking, work, i](event::DeviceGate& gate, ShardAnswer&) { work(gate, asking->shards[i]); },
        [asking, missing, then](ShardAnswer&) {
          if (--*missing == 0) then();
        });
  }
}

void count(Asking& asking) {
  std::vector<Talker>& all = asking.first;
  for (std::size_t i = 0; i < asking.shards.size(); ++i) {
    ShardTalk& shard = asking.shards[i];
    std::unordered_map<std::uint32_t, std::size_t> known;
    for (const event::DeviceTalk& one : shard.sample) {
      const auto [entry, fresh] = known.try_emplace(one.device, all.size());
      if (fresh) all.push_back({.shard = static_cast<ShardIndex>(i), .place = one.device});
      Talker& talker = all[entry->second];
      talker.frames += one.frames;
      talker.bytes += one.bytes;
      talker.variance += static_cast<double>(one.frames) * (one.frames - 1.0);
    }
    asking.covered_ns = std::min(asking.covered_ns, shard.covered_ns);
    shard.sample = {};
  }
  const auto more = [&](const Talker& a, const Talker& b) {
    return asking.by_bytes ? a.bytes > b.bytes : a.frames > b.frames;
  };
  const auto end = static_cast<std::ptrdiff_t>(std::min<std::size_t>(all.size(), asking.limit));
  std::partial_sort(all.begin(), all.begin() + end, all.end(), more);
  all.resize(static_cast<std::size_t>(end));
  for (const Talker& one : all) asking.shards[one.shard].places.push_back(one.place);
}

void answer(const CallPtr& call, Asking& asking) {
  const double seconds =
      std::max(static_cast<double>(asking.covered_ns) / static_cast<double>(ns_per_s), 0.001);
  std::vector<std::size_t> used(asking.shards.size());
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("seconds").number(seconds, 3);
  json.key("talkers").begin_array();
  for (const Talker& one : asking.first) {
    const DeviceKey& key = asking.shards[one.shard].keys[used[one.shard]++];
    json.begin_object().key("phone").text(key.id());
    json.key("frames").unsigned_integer(one.frames);
    json.key("bytes").unsigned_integer(one.bytes);
    json.key("frames_per_s").number(static_cast<double>(one.frames) / seconds, 2);
    json.key("frames_error").number(std::sqrt(one.variance), 1).end_object();
  }
  json.end_array().end_object();
  call->answer(std::move(text));
}

void get_talkers(Plane& plane, const CallPtr& call) {
  const auto limit = call->number("limit", talkers_default, 1, talkers_max);
  if (!limit) return;
  const std::string by = call->parameter("by").value_or("frames");
  if (by != "frames" && by != "bytes") return call->problem(400, "by is frames or bytes");
  const auto asking = std::make_shared<Asking>();
  asking->shards.resize(plane.parts().shards);
  asking->limit = *limit;
  asking->by_bytes = by == "bytes";
  ask_each(
      plane, call, asking,
      [](event::DeviceGate& gate, ShardTalk& shard) { shard.covered_ns = gate.talk(shard.sample); },
      [&plane, call, asking] {
        count(*asking);
        ask_each(
            plane, call, asking,
            [](event::DeviceGate& gate, ShardTalk& shard) {
              gate.devices_at(shard.places, shard.keys);
            },
            [call, asking] { answer(call, *asking); });
      });
}

constexpr Parameter parameters[] = {
    {.name = "limit",
     .doc = "How many.",
     .schema = R"({"type":"integer","minimum":1,"maximum":100,"default":20})"},
    {.name = "by",
     .doc = "What they are sorted by.",
     .schema = R"({"enum":["frames","bytes"],"default":"frames"})"},
};

#define RG_COUNT R"({"type":"integer","minimum":0})"
#define RG_NUMBER R"({"type":"number","minimum":0})"

constexpr Route routes[] = {
    {.path = "/api/v1/talkers",
     .summary = "The devices that sent most in the last minute (in the last `seconds` where many "
                "have just begun), most first. Beyond some 8,000 frames a minute and shard figures "
                "are of a sample; frames_error is their standard deviation.",
     .parameters = parameters,
     .response_schema =
         R"({"type":"object","required":["seconds","talkers"],"properties":{)"
         R"("seconds":)" RG_NUMBER R"(,"talkers":{"type":"array","maxItems":100,"items":{)"
         R"("type":"object","required":["phone","frames","bytes","frames_per_s","frames_error"],)"
         R"("properties":{"phone":{"type":"string"},"frames":)" RG_COUNT R"(,"bytes":)" RG_COUNT
         R"(,"frames_per_s":)" RG_NUMBER R"(,"frames_error":)" RG_NUMBER
         R"(},"additionalProperties":false}}},"additionalProperties":false})",
     .run = get_talkers},
};

}  // namespace

const std::span<const Route> talker_routes = routes;

}  // namespace ringgate::api
