// Headers, bodies, JSON (both ways), redaction and rows of JT/T 808. Input: the stored form of a
// frame (header and body). It is taken as it is, and again with its length field put right, so that
// bodies are reached. Ten minutes by hand: as in jt808_framing_fuzz.cpp, with fuzz-jt808-messages.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/utf8.hpp"
#include "protocols/jt808/catalog.hpp"
#include "protocols/jt808/codec/location.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "tests/unit/jt808/law.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

// Strict enough for what a JSON writer can get wrong: brackets, commas, quotes. Depth is bounded by
// the writer's own nesting.
class JsonCheck {
 public:
  explicit JsonCheck(std::string_view text) : text_(text) {}
  bool ok() { return value() && at_ == text_.size(); }

 private:
  bool eat(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool string() {
    if (!eat('"')) return false;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (static_cast<unsigned char>(text_[at_]) < 0x20) return false;
      at_ += text_[at_] == '\\' ? 2 : 1;
    }
    return eat('"');
  }
  bool members(char end, bool named) {
    if (eat(end)) return true;
    do {
      if (named && !(string() && eat(':'))) return false;
      if (!value()) return false;
    } while (eat(','));
    return eat(end);
  }
  bool value() {
    if (eat('{')) return members('}', true);
    if (eat('[')) return members(']', false);
    if (at_ < text_.size() && text_[at_] == '"') return string();
    const std::size_t start = at_;
    while (at_ < text_.size() && text_.find_first_of(",]}", at_) != at_) ++at_;
    const std::string_view word = text_.substr(start, at_ - start);
    if (word == "true" || word == "false" || word == "null") return true;
    return !word.empty() && word.find_first_not_of("-.0123456789") == std::string_view::npos;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

void check_location_items(Bytes body) {
  Location location;
  if (!decode_location(body, location)) {
    require(body.size() < location_base_size);
    return;
  }
  std::size_t at = location_base_size;
  RawItem item;
  std::size_t items = 0, bad = 0, other = 0;
  while (next_item(body, at, item)) {
    ++items;
    if (item.bad) ++bad;
    if (!item.bad && !item.known) ++other;
  }
  require(location.item_count == (items < 255 ? items : 255));
  require(location.bad_count == (bad < 255 ? bad : 255));
  require(location.other_count == (other < 255 ? other : 255));
  require(((location.flags & Location::items_cut_short) != 0) == (at != body.size()));
}

// Numbers of rows count up, alarms have a type, and texts can be stored anywhere.
class RowCheck final : public event::RowVisitor {
 public:
  std::optional<event::DeviceTimes> times;
  bool any = false;

  void position(const event::PositionRow& row) override {
    require(row.sub == positions_++ && alarms_ == 0);
    require(row.latitude_deg >= -2148 && row.latitude_deg <= 2148);
    const bool on_earth = std::fabs(row.latitude_deg) <= 90 && std::fabs(row.longitude_deg) <= 180;
    require(on_earth || !row.fixed);
    any = true;
    if (row.device_time_us == 0) return;
    if (!times) times = event::DeviceTimes{row.device_time_us, row.device_time_us};
    times->first_us = std::min(times->first_us, row.device_time_us);
    times->last_us = std::max(times->last_us, row.device_time_us);
  }
  void alarm(const event::AlarmRow& row) override {
    require(row.sub == alarms_++ && positions_ != 0);
    require(!row.type.empty() && !row.source.empty());
  }
  void device(const event::DeviceRow& row) override {
    any = true;
    require(row.version == "2011" || row.version == "2013" || row.version == "2019");
    for (const std::string_view text : {row.plate, row.terminal_id, row.maker, row.model}) {
      for (std::size_t at = 0; at < text.size();) {
        const std::size_t length = utf8_length(text, at);
        require(length != 0 && (length > 1 || (text[at] >= 0x20 && text[at] != 0x7f)));
        at += length;
      }
    }
  }

 private:
  std::uint32_t positions_ = 0;
  std::uint32_t alarms_ = 0;
};

void check_rows(const Catalog& catalog, Bytes frame) {
  event::RecordView record{.ns = Namespace::phone, .payload = frame};
  if (frame.size() >= 2) record.message = load_be16(frame.data());
  RowCheck rows;
  catalog.rows(record, rows);
  const auto times = catalog.device_times(record);
  require(times.has_value() == rows.times.has_value());
  if (times) require(times->first_us == rows.times->first_us);
  if (times) require(times->last_us == rows.times->last_us);
  require(!rows.any || !catalog.is_part(record));
  event::RowVisitor nobody;
  record.kind = event::RecordKind::media;
  catalog.rows(record, nobody);
}

void check_frame(Bytes frame) {
  const Catalog catalog;
  std::string text;
  JsonWriter out(text);
  catalog.json(frame, out);
  require(JsonCheck(text).ok());
  check_rows(catalog, frame);

  require(test::broken_law(frame).empty());

  const std::vector<std::uint8_t> hidden = catalog.redact(frame);
  require(hidden.size() == frame.size());
  for (std::size_t i = 0; i < frame.size(); ++i) {
    require(hidden[i] == frame[i] || (hidden[i] == '*' && i >= header_size_min));
  }

  Header header;
  if (parse_header(frame, header) != BadReason::none) return;
  const Bytes body = body_of(frame, header);
  require(body.size() == header.body_size());
  for (const char digit : header.phone.text()) require(digit >= '0' && digit <= '9');
  require(!header.phone.text().empty());
  check_body(header, body);
  check_location_items(body);
  for_each_location(body, [&](const Location&, Bytes item, std::size_t offset) {
    require(item.data() == body.data() + offset);
    check_location_items(item);
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  check_frame({data, size});
  if (size < header_size_min || size > frame_size_max) return 0;
  std::vector<std::uint8_t> frame(data, data + size);
  const std::uint16_t attributes = load_be16(data + 2);
  const bool v2019 = (attributes & attribute_versioned) != 0;
  const std::size_t header_size =
      (v2019 ? 17U : 12U) + ((attributes & attribute_subpackage) != 0 ? 4U : 0U);
  if (size < header_size || size - header_size > body_size_max) return 0;
  store_be16(&frame[2], static_cast<std::uint16_t>((attributes & ~attribute_body_size) |
                                                   (size - header_size)));
  // Nibbles of the phone that are no digits would end most inputs here.
  for (std::size_t i = v2019 ? 5 : 4; i < (v2019 ? 15U : 10U); ++i) frame[i] &= 0x77;
  check_frame(frame);
  return 0;
}
