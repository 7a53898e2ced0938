#include "protocols/api/body.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "engine/base/json_scan.hpp"

namespace ringgate::api {

namespace {

// The library's own functions recurse as deep as values nest: this one does not.
Result<void> check_shape(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  const bool is_array = first != std::string_view::npos && text[first] == '[';
  constexpr std::string_view around = "{\"a\":";
  std::string wrapped;
  if (is_array) wrapped = fmt::format("{}{}}}", around, text);
  const JsonScan scan = scan_json_object(is_array ? std::string_view(wrapped) : text, "");
  const std::size_t before = is_array ? std::min(around.size(), scan.offset) : 0;
  const std::size_t at = scan.offset - before;
  switch (scan.error) {
    case JsonScan::Error::none: break;
    case JsonScan::Error::not_json: return Error{0, fmt::format("no JSON at byte {}", at + 1)};
    case JsonScan::Error::no_object: return Error{0, "the body must be a JSON object"};
    case JsonScan::Error::too_deep:
      return Error{0, fmt::format("nested more than {} deep at byte {}", json_depth_max, at + 1)};
  }
  return {};
}

}  // namespace

Result<Json> read_json(std::string_view text) {
  if (auto shape = check_shape(text); !shape) return shape.error();
  std::vector<std::set<std::string>> keys;  // of the objects that are open
  std::string twice;
  const auto look = [&](int, Json::parse_event_t event, Json& value) {
    using Event = Json::parse_event_t;
    if (event == Event::object_start) keys.emplace_back();
    if (event == Event::object_end) keys.pop_back();
    if (event == Event::key && !keys.back().insert(value.get<std::string>()).second) {
      twice = value.get<std::string>();
    }
    return true;
  };
  Json json = Json::parse(text, look, false);
  if (json.is_discarded()) {
    return Error{0, "no JSON: text that is not UTF-8, or a number beyond all bounds"};
  }
  if (!twice.empty()) return Error{0, fmt::format("{}: stands twice", twice.substr(0, 64))};
  return json;
}

const Json* Members::get(std::string_view key) {
  asked_.emplace(key);
  const auto found = object_.find(key);
  return found == object_.end() ? nullptr : &*found;
}

void Members::text(std::string_view key, std::string& out, std::size_t bytes_max) {
  const Json* const value = get(key);
  if (value == nullptr) return;
  if (!value->is_string()) return wrong(key, "wants a text in quotes");
  const auto& text = value->get_ref<const std::string&>();
  if (text.size() > bytes_max) {
    return wrong(key, fmt::format("is longer than {} bytes", bytes_max));
  }
  out = text;
}

void Members::flag(std::string_view key, bool& out) {
  const Json* const value = get(key);
  if (value == nullptr) return;
  if (!value->is_boolean()) return wrong(key, "wants true or false");
  out = value->get<bool>();
}

void Members::number(std::string_view key, std::uint64_t& out, std::uint64_t least,
                     std::uint64_t most) {
  const Json* const value = get(key);
  if (value == nullptr) return;
  const bool whole = value->is_number_unsigned();
  if (!whole || value->get<std::uint64_t>() < least || value->get<std::uint64_t>() > most) {
    return wrong(key, fmt::format("wants a whole number from {} to {}", least, most));
  }
  out = value->get<std::uint64_t>();
}

void Members::wrong(std::string_view key, std::string_view what) {
  if (error_.empty()) error_ = fmt::format("{}: {}", key, what);
}

const std::string& Members::error() {
  for (auto at = object_.begin(); at != object_.end() && error_.empty(); ++at) {
    if (asked_.find(at.key()) != asked_.end()) continue;
    std::string known;
    for (const std::string& key : asked_) known += known.empty() ? key : ", " + key;
    wrong(at.key().substr(0, 64), fmt::format("unknown key; known are: {}", known));
  }
  return error_;
}

}  // namespace ringgate::api
