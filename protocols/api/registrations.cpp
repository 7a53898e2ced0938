// The registry: which devices the operator knows. Each change is answered once it is durable.
#include <fmt/format.h>

#include <charconv>
#include <map>

#include "engine/base/json_writer.hpp"
#include "engine/io/sys.hpp"
#include "protocols/api/body.hpp"
#include "protocols/api/plane.hpp"
#include "protocols/api/routes.hpp"
#include "storage/event/json_fields.hpp"
#include "storage/state/registry_errand.hpp"

namespace ringgate::api {

namespace {

using state::RegistryErrand;
using state::RegistryOutcome;
using state::RegistryWish;

// Places of the table that one errand looks at: some 100 us of their shard.
constexpr std::uint32_t places_per_errand = 256;
constexpr std::uint64_t page_max = 10'000;
constexpr std::uint64_t page_default = 100;
// And for one page, so that a filter that fits nobody does not walk a million for one request.
constexpr std::uint64_t looked_at_max = 1'000'000;
constexpr std::size_t import_rows_max = 10'000;
constexpr std::uint64_t import_body_max = 8U << 20;
constexpr std::uint64_t entry_body_max = 16 * 1024;
constexpr MonoNs retry_after = 10 * ns_per_ms;  // where the gateway is busy

std::vector<std::string_view> filter_keys(const event::DeviceProtocol& devices) {
  std::vector<std::string_view> keys{devices.id_key()};
  for (const std::string_view key : state::registration_keys()) keys.push_back(key);
  return keys;
}

// ---- Reading

// One page on its way: "SHARD.PLACE" is where it goes on.
class Page : public std::enable_shared_from_this<Page> {
 public:
  Page(Plane& plane, CallPtr call, event::DeviceFilter filter, std::uint64_t limit)
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
    const auto most = static_cast<std::uint32_t>(
        std::min<std::uint64_t>(places_per_errand, limit_ - found_));
    looked_at_ += most;
    plane_.ask_host(
        call_, shard_,
        [place = place_, most, key = plane_.parts().devices.id_key()](state::ShardHost& host,
                                                                      ShardAnswer& answer) {
          answer.place = host.store().table().list(
              place, most, [&](const state::Table::Entry& entry) {
                if (!entry.registration) return;
                answer.lines.push_back(
                    state::registration_row(key, entry.device.id(), *entry.registration));
              });
        },
        [self = shared_from_this()](ShardAnswer& answer) { self->take(answer); });
  }

 private:
  void take(const ShardAnswer& answer) {
    for (const std::string& row : answer.lines) {
      if (!filter_.matches(event::JsonFields(row), io::real_sys().wall_now())) continue;
      if (found_++ > 0) rows_ += ',';
      rows_ += row;
    }
    place_ = answer.place;
    if (place_ == 0) ++shard_;
    if (found_ >= limit_) return finish();
    next();
  }

  void finish() {
    std::string body = fmt::format("{{\"registrations\":[{}]", rows_);
    if (shard_ < plane_.parts().shards) body += fmt::format(",\"next\":\"{}.{}\"", shard_, place_);
    call_->answer(body + "}");
  }

  Plane& plane_;
  CallPtr call_;
  event::DeviceFilter filter_;
  std::uint64_t limit_;
  ShardIndex shard_ = 0;
  std::uint64_t place_ = 0;
  std::uint64_t found_ = 0;
  std::uint64_t looked_at_ = 0;
  std::string rows_;
};

void list_registrations(Plane& plane, const CallPtr& call) {
  const auto limit = call->number("limit", page_default, 1, page_max);
  if (!limit) return;
  auto filter = event::DeviceFilter::parse(call->parameter("filter").value_or(""),
                                           filter_keys(plane.parts().devices));
  if (!filter) {
    return call->problem(400, fmt::format("filter, column {}: {}", filter.error().column,
                                          filter.error().message));
  }
  const auto page = std::make_shared<Page>(plane, call, std::move(*filter), *limit);
  if (!page->begin_at(call->parameter("cursor").value_or(""))) {
    return call->problem(400, "cursor is not one that \"next\" gave");
  }
  page->next();
}

void answer_registration(Plane& plane, const CallPtr& call, const DeviceKey& device) {
  plane.ask_host(
      call, plane.home_of(device),
      [device, key = plane.parts().devices.id_key()](state::ShardHost& host,
                                                     ShardAnswer& answer) {
        const auto found = host.store().registration(device);
        if (found) answer.text = state::registration_row(key, device.id(), *found);
      },
      [call](ShardAnswer& answer) {
        if (!answer.text.empty()) return call->answer(std::move(answer.text));
        call->problem(404, fmt::format("{} is not registered", call->value(0)));
      });
}

void get_registration(Plane& plane, const CallPtr& call) {
  const auto device = plane.device_of(call);
  if (device) answer_registration(plane, call, *device);
}

// ---- Changing

// What a body says of a device; `device`: whose it must be where it names one. Error: names the
// key.
Result<state::RegistrationPatch> read_entry(const event::DeviceProtocol& devices, const Json& body,
                                            const DeviceKey& device, bool whole) {
  Members members(body);
  for (const std::string_view key : state::registration_keys()) members.get(key);
  if (const Json* const named = members.get(devices.id_key()); named != nullptr) {
    const bool is_text = named->is_string();
    const auto same = devices.parse_device(is_text ? named->get<std::string>() : "");
    if (!same || *same != device) members.wrong(devices.id_key(), "is not that of the path");
  }
  if (!members.error().empty()) return Error{0, members.error()};
  return state::read_registration(body, whole);
}

void refuse(const CallPtr& call, RegistryOutcome outcome) {
  switch (outcome) {
    case RegistryOutcome::done: return;
    case RegistryOutcome::not_stored:
      return call->problem(503, "the log takes nothing now", "Retry-After: 1\r\n");
    case RegistryOutcome::full: return call->problem(507, "too many devices are known");
    case RegistryOutcome::unknown:
      return call->problem(404, fmt::format("{} is not registered", call->value(0)));
  }
}

void change(Plane& plane, const CallPtr& call, RegistryWish wish) {
  const DeviceKey device = wish.device;
  const bool removes = !wish.put.has_value();
  std::unique_ptr<shard::Errand> errand = std::make_unique<RegistryErrand>(
      std::vector<RegistryWish>{std::move(wish)}, call->who(),
      [&plane, call, device, removes](const std::vector<RegistryWish>&,
                                      const std::vector<RegistryOutcome>& outcomes, bool ran) {
        if (!ran) return call->problem(503, "the gateway is stopping");
        if (outcomes[0] != RegistryOutcome::done) return refuse(call, outcomes[0]);
        plane.parts().logs.info("command",
                                {{"action", removes ? "registry remove" : "registry put"},
                                 {"device", device.id()},
                                 {"by", call->who()}});
        if (removes) return call->answer({}, 204, {});
        answer_registration(plane, call, device);
      });
  Plane::refuse(call, plane.post().send(plane.home_of(device), errand));
}

void write_registration(Plane& plane, const CallPtr& call, bool whole) {
  const auto device = plane.device_of(call);
  if (!device) return;
  const auto body = call->json();
  if (!body) return;
  auto entry = read_entry(plane.parts().devices, *body, *device, whole);
  if (!entry) return call->problem(400, entry.error().message);
  change(plane, call, {.device = *device, .put = std::move(*entry), .must_exist = !whole});
}

void put_registration(Plane& plane, const CallPtr& call) {
  write_registration(plane, call, true);
}

void patch_registration(Plane& plane, const CallPtr& call) {
  write_registration(plane, call, false);
}

void delete_registration(Plane& plane, const CallPtr& call) {
  const auto device = plane.device_of(call);
  if (device) change(plane, call, {.device = *device, .put = {}});
}

// ---- Many at once

// The rows of an import on their way to their shards. What is wrong with one holds up no other.
class Import : public std::enable_shared_from_this<Import> {
 public:
  Import(Plane& plane, CallPtr call) : plane_(plane), call_(std::move(call)) {}

  void take(const Json& rows) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (auto wrong = take_row(i, rows[i]); !wrong.empty()) failed_.emplace(i, std::move(wrong));
    }
  }

  void pump() {
    while (!ended_ && !waiting_.empty()) {
      const auto first = waiting_.begin();
      Batch batch;
      std::vector<Row>& rows = first->second;
      const std::size_t count = std::min(RegistryErrand::wishes_max, rows.size() - sent_);
      for (std::size_t i = sent_; i < sent_ + count; ++i) {
        batch.numbers.push_back(rows[i].number);
        batch.wishes.push_back(rows[i].wish);
      }
      const shard::Posted posted = send(first->first, std::move(batch));
      if (posted == shard::Posted::busy) {
        plane_.after(retry_after, [self = shared_from_this()] { self->pump(); });
        return;
      }
      if (posted == shard::Posted::stopped) {
        ended_ = true;
        return Plane::refuse(call_, posted);
      }
      ++outstanding_;
      sent_ += count;
      if (sent_ < rows.size()) continue;
      sent_ = 0;
      waiting_.erase(first);
    }
    if (!ended_ && outstanding_ == 0) finish();
  }

 private:
  struct Row {
    std::size_t number = 0;  // in the import
    RegistryWish wish;
  };
  struct Batch {
    std::vector<std::size_t> numbers;
    std::vector<RegistryWish> wishes;
  };

  // What is wrong with it.
  std::string take_row(std::size_t number, const Json& row) {
    const event::DeviceProtocol& devices = plane_.parts().devices;
    if (!row.is_object()) return "wants an object";
    const auto id = row.find(devices.id_key());
    if (id == row.end() || !id->is_string()) {
      return fmt::format("{}: is missing: a text in quotes", devices.id_key());
    }
    const auto device = devices.parse_device(id->get_ref<const std::string&>());
    if (!device) return fmt::format("{}: {}", devices.id_key(), device.error().message);
    auto entry = read_entry(devices, row, *device, true);
    if (!entry) return entry.error().message;
    waiting_[plane_.home_of(*device)].push_back(
        {number, {.device = *device, .put = std::move(*entry)}});
    return {};
  }

  shard::Posted send(ShardIndex to, Batch batch) {
    std::unique_ptr<shard::Errand> errand = std::make_unique<RegistryErrand>(
        std::move(batch.wishes), call_->who(),
        [self = shared_from_this(), numbers = std::move(batch.numbers)](
            const std::vector<RegistryWish>&, const std::vector<RegistryOutcome>& outcomes,
            bool ran) { self->came_home(numbers, outcomes, ran); });
    return plane_.post().send(to, errand);
  }

  void came_home(const std::vector<std::size_t>& numbers,
                 const std::vector<RegistryOutcome>& outcomes, bool ran) {
    --outstanding_;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      if (ran && outcomes[i] == RegistryOutcome::done) {
        ++done_;
      } else {
        failed_.emplace(numbers[i], ran ? state::text_of(outcomes[i]) : "the gateway is stopping");
      }
    }
    if (!ended_ && outstanding_ == 0 && waiting_.empty()) finish();
  }

  void finish() {
    ended_ = true;
    plane_.parts().logs.info("command", {{"action", "registry put"},
                                         {"device", "several"},
                                         {"done", done_},
                                         {"failed", failed_.size()},
                                         {"by", call_->who()}});
    std::string text;
    JsonWriter json(text);
    json.begin_object().key("done").unsigned_integer(done_).key("failed").begin_array();
    for (const auto& [number, why] : failed_) {
      json.begin_object().key("row").unsigned_integer(number).key("why").text(why).end_object();
    }
    json.end_array().end_object();
    call_->answer(std::move(text));
  }

  Plane& plane_;
  CallPtr call_;
  std::map<ShardIndex, std::vector<Row>> waiting_;
  std::size_t sent_ = 0;  // of the first shard's
  std::size_t outstanding_ = 0;
  std::uint64_t done_ = 0;
  std::map<std::size_t, std::string> failed_;
  bool ended_ = false;
};

void import_registrations(Plane& plane, const CallPtr& call) {
  const auto rows = read_json(as_text(call->data().body));
  if (!rows) return call->problem(400, rows.error().message);
  if (!rows->is_array() || rows->size() > import_rows_max) {
    return call->problem(400, fmt::format("the body must be a JSON array of at most {} "
                                          "registrations",
                                          import_rows_max));
  }
  const auto import = std::make_shared<Import>(plane, call);
  import->take(*rows);
  import->pump();
}

// ---- The table

#define RG_REGISTRATION                                                                        \
  R"("plate":{"type":"string"},"plate_colour":{"type":"integer","minimum":0,"maximum":255},)"  \
  R"("terminal_id":{"type":"string"},"maker":{"type":"string"},"model":{"type":"string"},)"    \
  R"("note":{"type":"string"},"enabled":{"type":"boolean"},"phone":{"type":"string"})"

#define RG_REGISTRATION_ROW                                                                    \
  R"({"type":"object","required":["phone","plate","plate_colour","terminal_id","maker",)"      \
  R"("model","note","enabled"],"properties":{)" RG_REGISTRATION                                \
  R"(},"additionalProperties":false})"

constexpr std::string_view entry_schema =
    R"({"type":"object","properties":{)" RG_REGISTRATION R"(},"additionalProperties":false})";

constexpr Parameter list_parameters[] = {
    {.name = "filter", .doc = "Which: 'plate~B12* and enabled'."},
    {.name = "limit",
     .doc = "Registrations of a page.",
     .schema = R"({"type":"integer","minimum":1,"maximum":10000,"default":100})"},
    {.name = "cursor", .doc = "The page's place: \"next\" of the page before."},
};
constexpr Parameter device_parameters[] = {device_parameter};

constexpr Route routes[] = {
    {.path = "/api/v1/registrations",
     .summary = "The devices that the operator knows, page by page.",
     .parameters = list_parameters,
     .response_schema = R"({"type":"object","required":["registrations"],"properties":{)"
                        R"("registrations":{"type":"array","items":)" RG_REGISTRATION_ROW
                        R"(},"next":{"type":"string"}},"additionalProperties":false})",
     .run = list_registrations},
    {.method = http::Method::post,
     .path = "/api/v1/registrations",
     .scope = Scope::admin,
     .summary = "Registers many devices, or replaces what is known of them.",
     .request_schema = R"({"type":"array","maxItems":10000,"items":{"type":"object",)"
                       R"("required":["phone"],"properties":{)" RG_REGISTRATION
                       R"(},"additionalProperties":false}})",
     .response_schema =
         R"({"type":"object","required":["done","failed"],"properties":{)"
         R"("done":{"type":"integer"},"failed":{"type":"array","items":{"type":"object",)"
         R"("required":["row","why"],"properties":{"row":{"type":"integer","description":)"
         R"("From 0."},"why":{"type":"string"}},"additionalProperties":false}}},)"
         R"("additionalProperties":false})",
     .body_bytes_max = import_body_max,
     .run = import_registrations},
    {.path = "/api/v1/registrations/{id}",
     .summary = "One device of the registry.",
     .parameters = device_parameters,
     .response_schema = RG_REGISTRATION_ROW,
     .run = get_registration},
    {.method = http::Method::put,
     .path = "/api/v1/registrations/{id}",
     .scope = Scope::admin,
     .summary = "Registers a device, or replaces what is known of it.",
     .parameters = device_parameters,
     .request_schema = entry_schema,
     .response_schema = RG_REGISTRATION_ROW,
     .body_bytes_max = entry_body_max,
     .run = put_registration},
    {.method = http::Method::patch,
     .path = "/api/v1/registrations/{id}",
     .scope = Scope::admin,
     .summary = "Changes what is named of a registered device.",
     .parameters = device_parameters,
     .request_schema = entry_schema,
     .response_schema = RG_REGISTRATION_ROW,
     .body_bytes_max = entry_body_max,
     .run = patch_registration},
    {.method = http::Method::del,
     .path = "/api/v1/registrations/{id}",
     .scope = Scope::admin,
     .summary = "Forgets a device.",
     .parameters = device_parameters,
     .success = 204,
     .run = delete_registration},
};

#undef RG_REGISTRATION
#undef RG_REGISTRATION_ROW

}  // namespace

const std::span<const Route> registration_routes = routes;

}  // namespace ringgate::api
