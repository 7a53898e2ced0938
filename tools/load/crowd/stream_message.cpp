#include "tools/load/crowd/stream_message.hpp"

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>

#include "engine/base/json_writer.hpp"

namespace ringgate::load {
namespace {

using json = nlohmann::json;

// Takes what is wanted out of a message as it is parsed; nothing is built of the rest.
class Taker final : public nlohmann::json_sax<json> {
 public:
  explicit Taker(StreamMessage& out) : out_(out) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool number_integer(number_integer_t value) override { return number(value); }
  bool number_unsigned(number_unsigned_t value) override {
    return number(static_cast<std::int64_t>(value));
  }
  bool binary(binary_t&) override { return true; }
  bool string(string_t& value) override {
    if (depth_ == 1 && key_ == "cursor") out_.cursor = value;
    if (depth_ == 2 && is_object_ && key_ == "cursor") out_.cursor = value;
    if (depth_ == 2 && member_ == "error" && key_ == "detail") out_.detail = value;
    if (depth_ != 3 || !in_event_) return true;
    StreamEvent& event = out_.events.back();
    if (key_ == "record") event.record = value;
    else if (key_ == "type") event.type = value;
    else if (key_ == "alarm") event.alarm = value;
    else if (key_ == "received") event.received_us = read_utc(value);
    return true;
  }
  bool start_object(std::size_t) override {
    ++depth_;
    if (depth_ == 1) seen_object_ = true;
    if (depth_ == 2) is_object_ = true;
    if (depth_ == 3) {
      in_event_ = !is_object_ && member_ == "events";
      if (in_event_) out_.events.emplace_back();
    }
    return true;
  }
  bool end_object() override { return leave(); }
  bool start_array(std::size_t) override {
    ++depth_;
    if (depth_ == 2) is_object_ = false;
    if (depth_ == 3) in_event_ = false;
    return true;
  }
  bool end_array() override { return leave(); }
  bool key(string_t& value) override {
    key_ = value;
    if (depth_ != 1) return true;
    member_ = value;
    out_.subscribed |= value == "subscribed";
    out_.live |= value == "live";
    out_.gap |= value == "gap";
    out_.slow |= value == "slow";
    out_.error |= value == "error";
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const nlohmann::detail::exception&) override {
    return false;
  }
  bool seen_object() const { return seen_object_; }

 private:
  bool leave() {
    --depth_;
    return true;
  }
  bool number(std::int64_t value) {
    const auto count = static_cast<std::uint64_t>(std::max<std::int64_t>(value, 0));
    if (depth_ == 1 && key_ == "coalesced") out_.coalesced = count;
    if (depth_ == 2 && member_ == "gap" && key_ == "lost_bytes") out_.lost_bytes = count;
    if (depth_ == 3 && in_event_ && key_ == "sub") out_.events.back().sub = value;
    return true;
  }

  StreamMessage& out_;
  int depth_ = 0;
  bool is_object_ = false;  // what stands at depth 2
  bool in_event_ = false;   // what stands at depth 3
  bool seen_object_ = false;
  std::string member_;      // of the top object
  std::string key_;
};

bool read_digits(std::string_view text, std::size_t at, std::size_t count, int& out) {
  const auto end = std::from_chars(text.data() + at, text.data() + at + count, out);
  return text[at] != '-' && end.ec == std::errc{} && end.ptr == text.data() + at + count;
}

}  // namespace

bool read_stream_message(std::string_view text, StreamMessage& out) {
  out = StreamMessage{};
  Taker taker(out);
  return json::sax_parse(text.begin(), text.end(), &taker) && taker.seen_object();
}

WallUs read_utc(std::string_view text) {
  int year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, ms = 0;
  if (text.size() < 20 || text.back() != 'Z' || !read_digits(text, 0, 4, year) ||
      !read_digits(text, 5, 2, month) || !read_digits(text, 8, 2, day) ||
      !read_digits(text, 11, 2, hour) || !read_digits(text, 14, 2, minute) ||
      !read_digits(text, 17, 2, second)) {
    return 0;
  }
  if (text.size() == 24 && !read_digits(text, 20, 3, ms)) return 0;
  if (month < 1 || month > 12 || day < 1 || day > 31) return 0;
  // Days since 1970 of a Gregorian date (days_from_civil, H. Hinnant).
  const int y = month <= 2 ? year - 1 : year;
  const int era = y / 400;
  const int of_era = y - era * 400;
  const int of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const std::int64_t days =
      std::int64_t{era} * 146'097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719'468;
  const std::int64_t seconds = days * 86'400 + hour * 3'600 + minute * 60 + second;
  return seconds * us_per_s + std::int64_t{ms} * 1'000;
}

std::optional<RecordPlace> read_record(std::string_view record) {
  const std::size_t slash = record.rfind('/');
  if (slash == std::string_view::npos || slash == 0) return {};
  const std::string_view digits = record.substr(slash + 1);
  RecordPlace out;
  const auto end = std::from_chars(digits.data(), digits.data() + digits.size(), out.position);
  if (digits.empty() || end.ec != std::errc{} || end.ptr != digits.data() + digits.size()) {
    return {};
  }
  out.stream = record.substr(0, slash);
  return out;
}

std::string subscribe_message(std::string_view query, std::string_view from) {
  std::string out;
  JsonWriter writer(out);
  writer.begin_object().key("subscribe").begin_object().key("id").text("load");
  if (!from.empty()) writer.key("from").text(from);
  while (!query.empty()) {
    const std::size_t end = std::min(query.find('&'), query.size());
    const std::string_view pair = query.substr(0, end);
    query.remove_prefix(std::min(end + 1, query.size()));
    const std::size_t equals = std::min(pair.find('='), pair.size());
    const std::string_view name = pair.substr(0, equals);
    std::string_view value = pair.substr(std::min(equals + 1, pair.size()));
    if (name.empty() || name == "id" || name == "from") continue;
    writer.key(name);
    if (name == "decode") {
      writer.boolean(value == "true" || value == "1");
    } else if (name == "batch_max") {
      std::int64_t number = 0;
      std::from_chars(value.data(), value.data() + value.size(), number);
      writer.integer(number);
    } else if (name == "devices" || name == "types" || name == "messages" || name == "alarms") {
      writer.begin_array();
      while (!value.empty()) {
        const std::size_t comma = std::min(value.find(','), value.size());
        writer.text(value.substr(0, comma));
        value.remove_prefix(std::min(comma + 1, value.size()));
      }
      writer.end_array();
    } else {
      writer.text(value);
    }
  }
  writer.end_object().end_object();
  return out;
}

}  // namespace ringgate::load
