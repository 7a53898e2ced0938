#include "protocols/api/subscription.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "engine/base/json_scan.hpp"
#include "engine/base/utf8.hpp"
#include "engine/config/units.hpp"
#include "protocols/http/codec/target.hpp"

namespace ringgate::api {

namespace {

using Json = nlohmann::json;
using Texts = std::vector<std::string>;

bool earlier(const DeviceKey& a, const DeviceKey& b) { return a.id() < b.id(); }

template <class List, class Less>
void make_set(List& list, Less less) {
  std::ranges::sort(list, less);
  const auto same = [&](const auto& a, const auto& b) { return !less(a, b) && !less(b, a); };
  list.erase(std::unique(list.begin(), list.end(), same), list.end());
}

// Takes one member after the other; the first that is wrong is said.
class Reader {
 public:
  explicit Reader(const SubscriptionWords& words) : words_(words) {}

  Subscription made;
  std::string wrong;

  bool id(std::string_view text) {
    const bool good = !text.empty() && text.size() <= stream_limits::id_bytes_max;
    made.id = text;
    return good || fail(fmt::format("id must have 1 to {} bytes", stream_limits::id_bytes_max));
  }
  bool devices(const Texts& texts) {
    if (texts.size() > stream_limits::devices_max) {
      return fail(fmt::format("at most {} devices; leave them out for all",
                              stream_limits::devices_max));
    }
    for (const std::string& text : texts) {
      const auto key = words_.devices.parse_device(text);
      if (!key) return fail(key.error().message);
      made.devices.push_back(*key);
    }
    make_set(made.devices, earlier);
    return !texts.empty() || fail("devices must name at least one; leave it out for all");
  }
  bool area(std::string_view text) {
    const auto area = query::parse_area(text);
    if (!area) return fail(area.error().message);
    made.area = *area;
    return true;
  }
  bool messages(const Texts& texts) {
    if (texts.empty() || texts.size() > stream_limits::messages_max) {
      return fail(fmt::format("messages must name 1 to {}", stream_limits::messages_max));
    }
    for (const std::string& text : texts) {
      const auto message = message_of(text);
      if (!message) return fail(fmt::format("there is no message \"{}\"", shown(text)));
      made.messages.push_back(*message);
    }
    make_set(made.messages, std::less<>());
    return true;
  }
  bool types(const Texts& texts) {
    for (const std::string& text : texts) {
      const auto found = std::ranges::find(event_type_names, std::string_view(text));
      if (found == std::end(event_type_names)) {
        std::string what = fmt::format("there is no type \"{}\"; there are", shown(text));
        for (const std::string_view name : event_type_names) what.append(" ").append(name);
        return fail(std::move(what));
      }
      made.types |= 1U << (found - std::begin(event_type_names));
    }
    return !texts.empty() || fail("types must name at least one");
  }
  bool alarms(Texts texts) {
    if (texts.empty() || texts.size() > stream_limits::alarms_max) {
      return fail(fmt::format("alarms must name 1 to {}", stream_limits::alarms_max));
    }
    made.alarms = std::move(texts);
    make_set(made.alarms, std::less<>());
    return true;
  }
  bool batch_max(std::uint64_t count) {
    if (count < 1 || count > stream_limits::batch_max_most) return batch_max_wrong();
    made.batch_max = static_cast<std::uint32_t>(count);
    return true;
  }
  bool batch_max_wrong() {
    return fail(fmt::format("batch_max must be a whole number from 1 to {}",
                            stream_limits::batch_max_most));
  }
  bool batch_delay(std::string_view text) {
    const auto delay = config::parse_duration(text);
    if (!delay || *delay < 0 || *delay > stream_limits::batch_delay_most) {
      return fail(fmt::format("batch_delay must be a duration from \"0ms\" to \"{}ms\"",
                              stream_limits::batch_delay_most / ns_per_ms));
    }
    made.batch_delay_ns = *delay;
    return true;
  }
  bool from(std::string_view text) {
    if (text.empty() || text.size() > 4096) return fail("from must be a cursor or a record's id");
    made.from = text;
    return true;
  }
  bool fail(std::string what) {
    if (wrong.empty()) wrong = std::move(what);
    return false;
  }
  void finish() {
    if (made.types != 0) return;
    made.types = all_event_types & ~bit_of(EventType::message);
    if (made.decode) made.types = all_event_types;
  }
  static std::string shown(std::string_view text) { return std::string(text.substr(0, 40)); }

 private:
  std::optional<std::uint16_t> message_of(std::string_view text) const {
    if (text.starts_with("0x") || text.starts_with("0X")) {
      std::uint16_t id = 0;
      const char* const last = text.data() + text.size();
      const auto [end, error] = std::from_chars(text.data() + 2, last, id, 16);
      if (error == std::errc() && end == last) return id;
      return {};
    }
    if (words_.catalog == nullptr) return {};
    for (const event::MessageInfo& info : words_.catalog->list()) {
      if (info.name == text) return info.id;
    }
    return {};
  }

  const SubscriptionWords& words_;
};

bool take_texts(const Json& value, Texts& out) {
  if (!value.is_array()) return false;
  for (const Json& one : value) {
    if (!one.is_string() || one.get_ref<const std::string&>().size() > 256) return false;
    out.push_back(one.get<std::string>());
  }
  return true;
}

bool take_list(Reader& reader, const std::string& name, const Json& value) {
  Texts texts;
  if (!take_texts(value, texts)) return reader.fail(name + " must be an array of texts");
  if (name == "devices") return reader.devices(texts);
  if (name == "messages") return reader.messages(texts);
  if (name == "types") return reader.types(texts);
  return reader.alarms(std::move(texts));
}

bool take_member(Reader& reader, const std::string& name, const Json& value) {
  if (name == "devices" || name == "messages" || name == "types" || name == "alarms") {
    return take_list(reader, name, value);
  }
  if (name == "batch_max") {
    if (!value.is_number_unsigned()) return reader.batch_max_wrong();
    return reader.batch_max(value.get<std::uint64_t>());
  }
  if (name == "decode") {
    if (!value.is_boolean()) return reader.fail("decode must be true or false");
    reader.made.decode = value.get<bool>();
    return true;
  }
  if (name != "id" && name != "area" && name != "from" && name != "batch_delay") {
    return reader.fail(fmt::format("there is no member \"{}\"", Reader::shown(name)));
  }
  if (!value.is_string()) return reader.fail(name + " must be a text");
  const std::string& text = value.get_ref<const std::string&>();
  if (name == "id") return reader.id(text);
  if (name == "area") return reader.area(text);
  if (name == "from") return reader.from(text);
  return reader.batch_delay(text);
}

Texts split(std::string_view list) {
  Texts out;
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(','), list.size());
    out.emplace_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return out;
}

bool take_parameter(Reader& reader, std::string_view name, const std::string& value) {
  if (name == "id") return reader.id(value);
  if (name == "devices") return reader.devices(split(value));
  if (name == "area") return reader.area(value);
  if (name == "messages") return reader.messages(split(value));
  if (name == "types") return reader.types(split(value));
  if (name == "alarms") return reader.alarms(split(value));
  if (name == "from") return reader.from(value);
  if (name == "batch_delay") return reader.batch_delay(value);
  if (name == "batch_max") {
    std::uint64_t count = 0;
    const char* const last = value.data() + value.size();
    const auto [end, error] = std::from_chars(value.data(), last, count);
    if (value.empty() || error != std::errc() || end != last) return reader.batch_max_wrong();
    return reader.batch_max(count);
  }
  if (name == "decode") {
    reader.made.decode = value == "true";
    if (value == "true" || value == "false") return true;
    return reader.fail("decode must be true or false");
  }
  return reader.fail(fmt::format("there is no parameter \"{}\"", Reader::shown(name)));
}

}  // namespace

bool Subscription::wants_device(const DeviceKey& device) const {
  if (devices.empty()) return true;
  const auto at = std::lower_bound(devices.begin(), devices.end(), device, earlier);
  return at != devices.end() && *at == device;
}

bool Subscription::wants(const EventFacts& event) const {
  if ((types & bit_of(event.type)) == 0) return false;
  if (!messages.empty() &&
      !(event.has_message && std::ranges::binary_search(messages, event.message))) {
    return false;
  }
  if (event.type == EventType::alarm && !alarms.empty() &&
      !std::binary_search(alarms.begin(), alarms.end(), event.alarm, std::less<>())) {
    return false;
  }
  if (area && !(event.has_place && area->contains(event.latitude_deg, event.longitude_deg))) {
    return false;
  }
  return wants_device(event.device);
}

std::uint64_t Subscription::memory_bytes() const {
  constexpr std::uint64_t index_bytes = 64;  // a node of a hash table
  std::uint64_t bytes = sizeof(Subscription) + id.capacity() + from.capacity() +
                        devices.capacity() * sizeof(DeviceKey) +
                        devices.size() * (sizeof(DeviceKey) + index_bytes) +
                        messages.capacity() * sizeof(std::uint16_t);
  for (const std::string& one : alarms) bytes += sizeof one + one.capacity();
  return bytes;
}

std::string Subscription::key() const {
  // Lengths stand before texts, so that no two different ones are written alike.
  std::string out = fmt::format("{}:{}/{:x}/{}/{}/{}/", id.size(), id, types, batch_max,
                                batch_delay_ns, decode ? 1 : 0);
  if (area) {
    out += fmt::format("a{},{},{},{}/", area->south_deg, area->west_deg, area->north_deg,
                       area->east_deg);
  }
  for (const std::uint16_t message : messages) out += fmt::format("m{:x}", message);
  for (const std::string& alarm : alarms) out += fmt::format("l{}:{}", alarm.size(), alarm);
  for (const DeviceKey& device : devices) {
    out += fmt::format("d{}:{}", device.size, device.id());
  }
  return out;
}

Result<StreamRequest, RequestError> parse_stream_request(std::string_view text,
                                                         const SubscriptionWords& words) {
  // Bounds the depth before anything is built.
  if (scan_json_object(text, "subscribe").error != JsonScan::Error::none) {
    return RequestError{{}, "a message is one JSON object"};
  }
  const Json json = Json::parse(text, nullptr, false);
  if (!json.is_object() || json.size() != 1) {
    return RequestError{{}, "a message has one member: subscribe or unsubscribe"};
  }
  const std::string& name = json.begin().key();
  const Json& value = json.begin().value();
  Reader reader(words);
  StreamRequest request;
  if (name == "unsubscribe") {
    request.what = StreamRequest::What::unsubscribe;
    const Json* id = &value;
    if (value.is_object() && value.size() == 1 && value.contains("id")) id = &value["id"];
    if (!id->is_string() || !reader.id(id->get_ref<const std::string&>())) {
      return RequestError{{}, "unsubscribe names the id of a subscription"};
    }
    request.subscription.id = reader.made.id;
    return request;
  }
  if (name != "subscribe" || !value.is_object()) {
    return RequestError{{}, "a message is {\"subscribe\": {...}} or {\"unsubscribe\": \"ID\"}"};
  }
  // First, so that what is wrong with the rest can name it.
  if (value.contains("id")) take_member(reader, "id", value["id"]);
  if (reader.wrong.empty() && reader.made.id.empty()) reader.fail("id is missing");
  std::string id = reader.wrong.empty() ? reader.made.id : std::string();
  for (const auto& [key, member] : value.items()) {
    if (!reader.wrong.empty()) break;
    if (key != "id") take_member(reader, key, member);
  }
  if (!reader.wrong.empty()) return RequestError{std::move(id), std::move(reader.wrong)};
  reader.finish();
  request.subscription = std::move(reader.made);
  return request;
}

Result<Subscription> subscription_from_query(std::string_view query,
                                             const SubscriptionWords& words) {
  Reader reader(words);
  std::string_view name;
  std::string_view value;
  while (http::next_parameter(query, name, value)) {
    const auto decoded_name = http::percent_decoded(name, true);
    const auto decoded = http::percent_decoded(value, true);
    if (!decoded_name || !decoded || !is_utf8(*decoded)) {
      return Error{0, "the query has a % without two hex digits, or no UTF-8"};
    }
    if (!take_parameter(reader, *decoded_name, *decoded)) return Error{0, std::move(reader.wrong)};
  }
  reader.finish();
  if (reader.made.id.empty()) reader.made.id = "events";
  return std::move(reader.made);
}

}  // namespace ringgate::api
