// Devices: a list in pages, and one of them.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "engine/base/json_writer.hpp"
#include "engine/io/sys.hpp"
#include "protocols/api/fleet.hpp"
#include "protocols/api/lookup.hpp"
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
// The same for a list that is searched or in an order, where each batch is a scan of the mirror:
// some 3 ms of 100,000 devices for the largest batch. With a filter a batch is read on the plane
// besides: a thousand rows are some 5 ms.
constexpr std::size_t found_looked_at_max = 20'000;
constexpr std::size_t batch_max = 2048;
constexpr std::size_t filtered_batch_min = 128;
constexpr std::size_t filtered_batch_max = 1024;

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

// One page of what a Lookup finds: the mirror says which devices and in what order, their shards
// have the rows.
class Finding : public std::enable_shared_from_this<Finding> {
 public:
  struct Wish {
    Lookup lookup;
    event::DeviceFilter filter;
    bool filters = false;
    std::size_t limit = 0;
  };
  Finding(Plane& plane, CallPtr call, Wish wish)
      : plane_(plane), call_(std::move(call)), wish_(std::move(wish)),
        shards_(plane.parts().shards) {}

  bool begin_at(std::string_view cursor) {
    begun_ = !cursor.empty();
    return !begun_ || Mark::read(cursor, wish_.lookup, after_);
  }

  void next() {
    plane_.fleet().use(call_, [self = shared_from_this()](const Mirror& mirror) {
      self->find(mirror);
    });
  }

 private:
  struct Share {  // of one shard
    std::vector<std::size_t> places;  // in the page
    std::size_t asked = 0;
  };

  void find(const Mirror& mirror) {
    std::size_t batch = std::min(wish_.limit - found_, batch_max);
    if (wish_.filters) batch = std::clamp(batch * 2, filtered_batch_min, filtered_batch_max);
    page_ = find_devices(mirror, wish_.lookup, begun_ ? &after_ : nullptr, batch);
    if (page_.devices.empty()) return finish(0);
    rows_.assign(page_.devices.size(), {});
    for (Share& share : shards_) share = {};
    for (std::size_t i = 0; i < page_.devices.size(); ++i) {
      shards_[plane_.home_of(page_.devices[i].key)].places.push_back(i);
    }
    missing_ = page_.devices.size();
    for (ShardIndex shard = 0; shard < shards_.size() && !call_->over(); ++shard) fetch(shard);
  }

  void fetch(ShardIndex shard) {
    Share& share = shards_[shard];
    const std::size_t end = std::min(share.places.size(), share.asked + devices_per_errand);
    if (share.asked == end) return;
    std::vector<DeviceKey> keys;
    for (std::size_t i = share.asked; i < end; ++i) {
      keys.push_back(page_.devices[share.places[i]].key);
    }
    plane_.ask(
        call_, shard,
        [keys = std::move(keys)](event::DeviceGate& gate, ShardAnswer& answer) {
          gate.list_of(keys, answer.lines);
        },
        [self = shared_from_this(), shard, end](ShardAnswer& answer) {
          self->take(shard, end, answer);
        });
  }

  void take(ShardIndex shard, std::size_t end, ShardAnswer& answer) {
    Share& share = shards_[shard];
    answer.lines.resize(end - share.asked);
    missing_ -= answer.lines.size();
    for (std::string& row : answer.lines) rows_[share.places[share.asked++]] = std::move(row);
    if (missing_ > 0) return fetch(shard);
    put_in_order();
  }

  void put_in_order() {
    const WallUs now = io::real_sys().wall_now();
    for (std::size_t i = 0; i < rows_.size(); ++i) {
      ++looked_at_;
      if (rows_[i].empty()) continue;  // its shard does not know it: no row to show
      if (wish_.filters && !wish_.filter.matches(event::JsonFields(rows_[i]), now)) continue;
      if (found_ > 0) text_ += ',';
      put(rows_[i], page_.devices[i].plate());
      if (++found_ == wish_.limit) return finish(i);
    }
    const bool enough = wish_.filters && looked_at_ >= found_looked_at_max;
    if (!page_.more || enough) return finish(rows_.size() - 1);
    after_ = page_.devices.back().mark(wish_.lookup);
    begun_ = true;
    next();
  }

  // `last`: the one of the batch that was looked at last; none where the batch has none.
  void finish(std::size_t last) {
    std::string body = fmt::format("{{\"devices\":[{}]", text_);
    if (last + 1 < page_.devices.size() || page_.more) {
      body += fmt::format(",\"next\":\"{}\"",
                          page_.devices[last].mark(wish_.lookup).write(wish_.lookup));
    }
    call_->answer(body + "}");
  }

  // The rows have no plate of their own: it goes before what they have.
  void put(std::string_view row, std::string_view plate) {
    if (plate.empty()) {
      text_ += row;
      return;
    }
    JsonWriter json(text_);
    json.begin_object().key("plate").text(plate);
    text_ += ',';
    text_ += row.substr(1);
  }

  Plane& plane_;
  CallPtr call_;
  Wish wish_;
  bool begun_ = false;
  Mark after_;  // behind it the next batch begins
  FoundPage page_;
  std::vector<std::string> rows_;  // of the batch
  std::vector<Share> shards_;
  std::size_t missing_ = 0;
  std::size_t found_ = 0;
  std::size_t looked_at_ = 0;
  std::string text_;
};

// Nothing: the call has its answer.
std::optional<event::DeviceFilter> filter_of(const Plane& plane, const CallPtr& call,
                                             std::string_view text) {
  auto filter = event::DeviceFilter::parse(text, plane.parts().devices.list_keys());
  if (filter) return std::move(*filter);
  call->problem(400, fmt::format("filter, column {}: {}", filter.error().column,
                                 filter.error().message));
  return {};
}

void list_devices(Plane& plane, const CallPtr& call) {
  const auto limit = call->number("limit", page_default, 1, page_max);
  if (!limit) return;
  const std::string text = call->parameter("filter").value_or("");
  auto filter = filter_of(plane, call, text);
  if (!filter) return;
  const auto begin = [&](const auto& listing) {
    if (!listing->begin_at(call->parameter("cursor").value_or(""))) {
      return call->problem(400, "cursor is not one that \"next\" gave");
    }
    listing->next();
  };
  const std::string sort = call->parameter("sort").value_or("");
  const std::string any = call->parameter("q").value_or("");
  const std::string plate = call->parameter("plate").value_or("");
  if (sort.empty() && any.empty() && plate.empty()) {
    return begin(std::make_shared<Listing>(plane, call, std::move(*filter), *limit));
  }
  auto lookup = Lookup::parse(sort, any, plate, plane.parts().devices.id_key());
  if (!lookup) return call->problem(400, lookup.error().message);
  const bool filters = text.find_first_not_of(" \t") != std::string::npos;
  begin(std::make_shared<Finding>(
      plane, call, Finding::Wish{std::move(*lookup), std::move(*filter), filters, *limit}));
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
    {.name = "q",
     .doc = "Devices that have this in their plate or number; latin letters in either case. "
            "Without sort: those that are it, then those that begin with it, come first."},
    {.name = "plate",
     .doc = "Devices of this plate; with '*' at its end, whose plate begins with it."},
    {.name = "sort",
     .doc = "The order; '-' turns it round. Devices without a value (no plate, never heard) come "
            "last; among equals the number counts. With q, plate or sort devices have their plate, "
            "and a page may be short where a filter fits few.",
     .schema = R"({"enum":["match","phone","plate","last_heard","position_time","speed","online",)"
               R"("alarm","-match","-phone","-plate","-last_heard","-position_time","-speed",)"
               R"("-online","-alarm"]})"},
    {.name = "limit",
     .doc = "Devices of a page.",
     .schema = R"({"type":"integer","minimum":1,"maximum":10000,"default":100})"},
    {.name = "cursor", .doc = "The page's place: \"next\" of the page before."},
};
constexpr Parameter device_parameters[] = {device_parameter};

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
