#include "protocols/jt808/codec/explain.hpp"

#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/codec/value_json.hpp"
#include "protocols/jt808/codec/walk.hpp"
#include "protocols/jt808/codec/whole.hpp"

namespace ringgate::jt808 {

namespace {

using Mark = ExplainLine::Kind;

std::string bytes_text(std::uint64_t size) {
  return cat({std::to_string(size), size == 1 ? " byte" : " bytes"});
}

class Explainer final : public Visitor {
 public:
  Explainer(std::vector<ExplainLine>& out, Bytes frame, std::size_t body_at, bool secrets,
            bool hides_unparsed)
      : out_(out),
        frame_(frame),
        body_at_(body_at),
        secrets_(secrets),
        hides_unparsed_(hides_unparsed) {}

  void field(const FieldSeen& seen) override {
    const Field& field = seen.field;
    const bool hidden = field.is_secret && !secrets_;
    const ValueJson json = hidden ? hidden_value(seen.bytes.size()) : value_json(seen);
    std::string_view key = field.key;
    std::string_view value = json.value;
    std::size_t first = 0;
    if (key.empty() && !json.parts.empty()) {
      key = json.parts[0].first;
      value = json.parts[0].second;
      first = 1;
    }
    add({.offset = seen.offset,
         .bytes = bytes(seen.offset, seen.bytes.size()),
         .name = key.empty() ? index_text() : std::string(key),
         .value = json.exact ? std::string(value) : cat({value, "  (not as it should be)"}),
         .unit = value == "null" ? std::string_view{} : unit_of(key),
         .note = field.note,
         .is_secret = field.is_secret});
    for (std::size_t i = first; i < json.parts.size(); ++i) {
      add({.offset = seen.offset,
           .name = std::string(json.parts[i].first),
           .value = json.parts[i].second,
           .unit = unit_of(json.parts[i].first)});
    }
  }

  void length(const Field& of, std::size_t offset, std::size_t size, std::uint64_t value) override {
    const bool is_list = of.kind == Kind::list || of.kind == Kind::items;
    const bool counts = is_list && (lists_.empty() || lists_.back() != &of);
    add({.kind = Mark::length,
         .offset = offset,
         .bytes = bytes(offset, size),
         .name = counts ? cat({"count of ", of.key}) : "size",
         .value = counts ? std::to_string(value) : bytes_text(value)});
  }

  void begin_group(const Field& field) override {
    if (field.key.empty()) return;
    title(field.key);
    ++depth_;
  }
  void end_group(const Field& field) override {
    if (!field.key.empty()) --depth_;
  }
  void begin_list(const Field& field) override {
    title(field.key);
    ++depth_;
    lists_.push_back(&field);
  }
  void end_list(const Field&, std::uint64_t, std::size_t) override {
    --depth_;
    lists_.pop_back();
  }
  void begin_element(const Field& list, std::size_t index, bool) override {
    elements_.push_back(index);
    if (has_plain_elements(list)) return;
    title(index_text());
    ++depth_;
  }
  void end_element(const Field& list) override {
    elements_.pop_back();
    if (!has_plain_elements(list)) --depth_;
  }
  void begin_item(const Field&, const ItemSeen& item) override {
    const std::string id = hex_text(item.id, item.registry->id_size);
    const std::string_view name = item.spec != nullptr ? item.spec->name : "unknown";
    add({.kind = Mark::item,
         .offset = item.offset,
         .bytes = bytes(item.offset, item.value_offset - item.offset),
         .name = cat({id, " ", name}),
         .value = bytes_text(item.value.size()),
         .source = item.spec != nullptr ? item.spec->source : std::string_view{}});
    elements_.push_back(0);
    ++depth_;
    if (item.fits) {
      if (!item.is_first_layout) title(cat({"layout ", name_of(item.layout)}));
      return;
    }
    const bool hidden = !secrets_ && item.spec != nullptr && has_secrets(item.spec->fields);
    add({.kind = Mark::unknown,
         .offset = item.value_offset,
         .bytes = bytes(item.value_offset, item.value.size()),
         .name = "value",
         .value = item.spec != nullptr ? "does not fit" : "unknown",
         .is_secret = hidden});
  }
  void end_item(const Field&, const ItemSeen&) override {
    elements_.pop_back();
    --depth_;
  }
  void problem(std::string_view why, std::size_t offset) override {
    add({.kind = Mark::problem, .offset = offset, .name = std::string(why)});
  }
  void unparsed(std::size_t offset, Bytes left) override {
    add({.kind = Mark::unknown,
         .offset = offset,
         .bytes = bytes(offset, left.size()),
         .name = "unparsed",
         .value = bytes_text(left.size()),
         .is_secret = hides_unparsed_});
  }

 private:
  // Offsets and spans of the body are turned into those of the frame.
  Bytes bytes(std::size_t offset, std::size_t size) const {
    return frame_.subspan(body_at_ + offset, size);
  }
  void add(ExplainLine line) {
    line.offset += body_at_;
    line.depth = depth_;
    last_ = line.offset + line.bytes.size();
    out_.push_back(std::move(line));
  }
  void title(std::string_view name) {
    out_.push_back({.kind = Mark::title, .depth = depth_, .offset = last_,
                    .name = std::string(name)});
  }
  std::string index_text() const {
    return elements_.empty() ? "value" : cat({"[", std::to_string(elements_.back()), "]"});
  }

  std::vector<ExplainLine>& out_;
  Bytes frame_;
  std::size_t body_at_;
  bool secrets_;
  bool hides_unparsed_;
  unsigned depth_ = 1;
  std::vector<const Field*> lists_;  // that are open
  std::size_t last_ = 0;
  std::vector<std::size_t> elements_;
};

std::string attributes_text(const Header& header, bool is_whole) {
  std::string out = is_whole ? std::string("body of several packets")
                             : cat({"body of ", bytes_text(header.body_size())});
  if (header.encrypted()) {
    const bool is_rsa = (header.attributes & attribute_encryption) == 0x0400;
    out += is_rsa ? ", encrypted with RSA" : ", encrypted in a way of its own";
  }
  if (header.subpackage()) out += ", part of a message";
  if ((header.attributes & attribute_versioned) != 0) {
    out += header.version == Version::v2019 ? ", version byte"
                                            : ", version bit but no version byte";
  }
  if ((header.attributes & attribute_long) != 0 && !is_whole) out += ", reserved bit 15";
  return out;
}

void explain_header(Bytes frame, const Header& header, const MessageSpec* message,
                    std::vector<ExplainLine>& out) {
  constexpr std::string_view clause = "JT/T 808-2019 4.4.3";
  out.push_back({.kind = Mark::title, .name = "header", .source = clause});
  const auto add = [&](std::size_t offset, std::size_t size, std::string_view name,
                       std::string value) {
    out.push_back({.depth = 1, .offset = offset, .bytes = frame.subspan(offset, size),
                   .name = std::string(name), .value = std::move(value)});
  };
  const std::string_view name = message != nullptr ? message->name : "unknown";
  add(0, 2, "message_id", cat({hex_text(header.message_id, 2), " ", name}));
  add(2, 2, "attributes", attributes_text(header, frame.size() - header.size > body_size_max));
  if (header.version == Version::v2019) {
    add(4, 1, "version_byte", std::to_string(header.version_byte));
  }
  add(header.phone_offset, header.phone_size, "phone", std::string(header.phone.text()));
  const std::size_t serial = header.phone_offset + std::size_t{header.phone_size};
  add(serial, 2, "serial", std::to_string(header.serial));
  if (!header.subpackage()) return;
  add(serial + 2, 2, "packet.total", std::to_string(header.packet_total));
  add(serial + 4, 2, "packet.number", std::to_string(header.packet_number));
}

}  // namespace

std::string_view unit_of(std::string_view key) {
  constexpr std::pair<std::string_view, std::string_view> units[] = {
      {"_kmh", "km/h"}, {"_deg", "\xc2\xb0"}, {"_km", "km"},     {"_m", "m"},
      {"_s", "s"},      {"_ms", "ms"},        {"_l", "l"},       {"_c", "\xc2\xb0" "C"},
      {"_pa", "Pa"},    {"_kpa", "kPa"},      {"_kbps", "kbit/s"}, {"_percent", "%"},
      {"_min", "min"},  {"_h", "h"},          {"_hz", "Hz"},     {"_rpm", "r/min"},
      {"_g", "g"},      {"_bytes", "bytes"},  {"_fps", "frames/s"}, {"_mv", "mV"},
      {"_v", "V"},
  };
  for (const auto& [end, unit] : units) {
    if (key.ends_with(end)) return unit;
  }
  return {};
}

std::vector<ExplainLine> explain(Bytes frame, bool secrets) {
  std::vector<ExplainLine> out;
  Header header;
  const BadReason reason = parse_stored(frame, header);
  const MessageSpec* message = frame.size() < 2 ? nullptr : find_message(load_be16(frame.data()));
  const bool hides = !secrets && message != nullptr && has_secrets(message->fields);
  if (reason != BadReason::none) {
    out.push_back({.kind = Mark::problem, .name = cat({"header: ", name(reason)})});
    out.push_back({.kind = Mark::unknown, .bytes = frame, .name = "frame", .is_secret = hides});
    return out;
  }
  explain_header(frame, header, message, out);
  const Bytes body = body_of(frame, header);
  const bool is_opaque = message == nullptr || header.encrypted() || header.fragment();
  std::string title = "body";
  Layout layout = Layout::v2013;
  if (!is_opaque) {
    layout = choose_layout(*message, header.version, body);
    if (layout != own_layout(header.version, message->layouts)) {
      title = cat({"body, layout ", name_of(layout)});
    }
  }
  out.push_back({.kind = Mark::title, .offset = header.size, .name = title,
                 .source = message != nullptr ? message->source : std::string_view{}});
  if (is_opaque) {
    if (body.empty()) return out;
    out.push_back({.kind = Mark::unknown, .depth = 1, .offset = header.size, .bytes = body,
                   .name = header.encrypted()  ? "encrypted"
                           : header.fragment() ? "part of a body"
                                               : "unknown",
                   .value = bytes_text(body.size()), .is_secret = hides});
    return out;
  }
  Explainer explainer(out, frame, header.size, secrets, hides);
  walk(message->fields, layout, body, explainer);
  return out;
}

}  // namespace ringgate::jt808
