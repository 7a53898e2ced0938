// Headers, bodies, JSON (both ways) and redaction of JT/T 808. Input: the stored form of a frame
// (header and body). It is taken as it is, and again with its length field put right, so that
// bodies are reached. Ten minutes by hand: as in jt808_framing_fuzz.cpp, with fuzz-jt808-messages.
#include <cstdint>
#include <string>
#include <vector>

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

void check_frame(Bytes frame) {
  const Catalog catalog;
  std::string text;
  JsonWriter out(text);
  catalog.json(frame, out);
  require(JsonCheck(text).ok());

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
