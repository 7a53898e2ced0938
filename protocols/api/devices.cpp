// Devices: a list in pages, and one of them.
#include <fmt/format.h>

#include <charconv>

#include "engine/base/json_writer.hpp"
#include "engine/io/sys.hpp"
#include "protocols/api/plane.hpp"
#include "protocols/api/routes.hpp"
#include "storage/event/json_fields.hpp"

namespace ringgate::api {

namespace {

// Devices that one errand looks at: some 100 us of their shard.
constexpr std::uint32_t devices_per_errand = 64;
// Of a page; and how many devices are looked at for it, so that a filter that fits nobody does not
// walk a million of them for one request.
constexpr std::uint64_t page_max = 10'000;
constexpr std::uint64_t page_default = 100;
constexpr std::uint32_t looked_at_max = 200'000;

// One page on its way: "SHARD.PLACE" is where it goes on.
class Listing : public std::enable_shared_from_this<Listing> {
 public:
  Listing(Plane& plane, CallPtr call, event::DeviceFilter filter, std::uint64_t limit)
      : plane_(plane), call_(std::move(call)), filter_(std::move(filter)), limit_(limit) {}

  bool begin_at(std::string_view cursor) {
    if (cursor.empty()) return true;
    const char* const last = cursor.data() + cursor.size();
    const auto shard = std::from_chars(cursor.data(), last, shard_);
    if (shard.ec != std::errc() || shard.ptr == last || *shard.ptr != '.') return false;
    const auto place = std::from_chars(shard.ptr + 1, last, place_);
    return place.ec == std::errc() && place.ptr == last && shard_ < plane_.parts().shards;
  }

  void next() {
    if (shard_ == plane_.parts().shards || looked_at_ >= looked_at_max) return finish();
    const auto most =
        static_cast<std::uint32_t>(std::min<std::uint64_t>(devices_per_errand, limit_ - found_));
    plane_.ask(
        call_, shard_,
        [place = place_, most](event::DeviceGate& gate, ShardAnswer& answer) {
          answer.cursor = gate.list(place, most, answer.lines);
        },
        [self = shared_from_this()](ShardAnswer& answer) { self->take(answer); });
  }

 private:
  void take(const ShardAnswer& answer) {
    for (const std::string& row : answer.lines) {
      ++looked_at_;
      if (!filter_.matches(event::JsonFields(row), io::real_sys().wall_now())) continue;
      if (found_++ > 0) rows_ += ',';
      rows_ += row;
    }
    place_ = answer.cursor;
    if (place_ == 0) ++shard_;
    if (found_ >= limit_) return finish();
    next();
  }

  void finish() {
    std::string body = "{\"devices\":[" + rows_ + "]";
    if (shard_ < plane_.parts().shards) body += fmt::format(",\"next\":\"{}.{}\"", shard_, place_);
    call_->answer(body + "}");
  }

  Plane& plane_;
  CallPtr call_;
  event::DeviceFilter filter_;
  std::uint64_t limit_;
  ShardIndex shard_ = 0;
  std::uint32_t place_ = 0;
  std::uint64_t found_ = 0;
  std::uint32_t looked_at_ = 0;
  std::string rows_;
};

void list_devices(Plane& plane, const CallPtr& call) {
  const auto limit = call->number("limit", page_default, 1, page_max);
  if (!limit) return;
  auto filter = event::DeviceFilter::parse(call->parameter("filter").value_or(""),
                                           plane.parts().devices.list_keys());
  if (!filter) {
    return call->problem(400, fmt::format("filter, column {}: {}", filter.error().column,
                                          filter.error().message));
  }
  const auto listing =
      std::make_shared<Listing>(plane, call, std::move(*filter), *limit);
  if (!listing->begin_at(call->parameter("cursor").value_or(""))) {
    return call->problem(400, "cursor is not one that \"next\" gave");
  }
  listing->next();
}

void get_device(Plane& plane, const CallPtr& call) {
  const auto device = plane.device_of(call);
  if (!device) return;
  plane.ask(
      call, plane.home_of(*device),
      [device = *device](event::DeviceGate& gate, ShardAnswer& answer) {
        JsonWriter json(answer.text);
        json.begin_object();
        answer.done = gate.describe(device, json);
        json.end_object();
      },
      [call](ShardAnswer& answer) {
        if (answer.done) return call->answer(std::move(answer.text));
        call->problem(404, fmt::format("no device {} is known here", call->value(0)));
      });
}

constexpr Parameter list_parameters[] = {
    {.name = "filter",
     .doc = "Which devices: as ringgate-ctl devices --filter takes it, 'online and speed>80'."},
    {.name = "limit",
     .doc = "Devices of a page.",
     .schema = R"({"type":"integer","minimum":1,"maximum":10000,"default":100})"},
    {.name = "cursor", .doc = "The page's place: \"next\" of the page before."},
};
constexpr Parameter device_parameters[] = {
    {.name = "id",
     .in = Parameter::In::path,
     .doc = "The device's number, as the list has it.",
     .required = true},
};

constexpr Route routes[] = {
    {.path = "/api/v1/devices",
     .summary = "The devices that are known, page by page.",
     .parameters = list_parameters,
     .response_schema = R"({"type":"object","required":["devices"],"properties":{)"
                        R"("devices":{"type":"array","items":{"type":"object"}},)"
                        R"("next":{"type":"string"}},"additionalProperties":false})",
     .run = list_devices},
    {.path = "/api/v1/devices/{id}",
     .summary = "One device: its session, its last state and its counters.",
     .parameters = device_parameters,
     .response_schema = R"({"type":"object"})",
     .run = get_device},
};

}  // namespace

const std::span<const Route> device_routes = routes;

}  // namespace ringgate::api
