#include "protocols/jt808/codec/body_json.hpp"

#include <optional>

#include "engine/base/hex.hpp"
#include "protocols/jt808/codec/bcd.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/codec/value_json.hpp"
#include "protocols/jt808/codec/walk.hpp"

namespace ringgate::jt808 {

namespace {

class Writer final : public Visitor {
 public:
  Writer(JsonWriter& out, bool secrets, bool hides_unparsed)
      : out_(out), secrets_(secrets), hides_unparsed_(hides_unparsed) {
    objects_.emplace_back();
  }

  void finish() { close(); }

  void field(const FieldSeen& seen) override {
    const Field& field = seen.field;
    if (!field.counts.empty()) {
      objects_.back().counts.push_back({&field, seen.number});
      return;
    }
    const bool hidden = field.is_secret && !secrets_;
    const ValueJson json = hidden ? hidden_value(seen.bytes.size()) : value_json(seen);
    if (field.key.empty() && json.parts.empty()) {
      plain(json, seen.bytes);
      return;
    }
    if (!field.key.empty()) out_.key(field.key).raw(json.value);
    for (const auto& [key, value] : json.parts) out_.key(key).raw(value);
    if (!json.exact) out_.key(raw_key(field)).hex(seen.bytes);
  }

  void begin_group(const Field& field) override {
    if (field.key.empty()) return;
    out_.key(field.key).begin_object();
    objects_.emplace_back();
  }
  void end_group(const Field& field) override {
    if (field.key.empty()) return;
    show_counts();
    objects_.pop_back();
    out_.end_object();
  }

  void begin_list(const Field& field) override { out_.key(field.key).begin_array(); }
  void end_list(const Field& field, std::uint64_t declared, std::size_t elements) override {
    out_.end_array();
    if (prefix_size(field.extent) != 0 && declared != elements) {
      out_.key(std::string(field.key) + "_count").unsigned_integer(declared);
    }
    // A number that only counts these elements is not shown.
    std::erase_if(objects_.back().counts, [&](const Count& count) {
      return count.field->counts == field.key && count.number == elements;
    });
  }

  void begin_element(const Field& list, std::size_t, bool clean) override {
    objects_.emplace_back();
    objects_.back().is_plain = has_plain_elements(list) && clean;
    if (!objects_.back().is_plain) out_.begin_object();
  }
  void end_element(const Field&) override {
    const bool is_plain = objects_.back().is_plain;
    close();
    if (!is_plain) out_.end_object();
  }

  void begin_item(const Field&, const ItemSeen& item) override {
    objects_.emplace_back();
    out_.begin_object().key("id").text(hex_text(item.id, item.registry->id_size));
    if (item.spec != nullptr) out_.key("name").text(item.spec->name);
    if (item.fits) {
      if (!item.is_first_layout) out_.key("layout").text(name_of(item.layout));
      return;
    }
    const bool hidden = !secrets_ && item.spec != nullptr && has_secrets(item.spec->fields);
    out_.key("offset").unsigned_integer(item.offset);
    out_.key("bytes").text(hidden ? stars(item.value.size()) : to_hex(item.value));
    if (item.spec != nullptr) out_.key("problem").text("value does not fit");
  }
  void end_item(const Field&, const ItemSeen&) override {
    close();
    out_.end_object();
  }

  // Told where the object is open again that it belongs to: by unparsed() or close().
  void problem(std::string_view why, std::size_t offset) override {
    if (!problem_) problem_ = {why, offset};
  }
  void unparsed(std::size_t offset, Bytes bytes) override {
    show_counts();
    if (problem_) {
      out_.key("error").text(problem_->why);
      out_.key("error_offset").unsigned_integer(problem_->offset);
      problem_.reset();
    }
    out_.key("unparsed").begin_object().key("offset").unsigned_integer(offset);
    out_.key("bytes").text(hides_unparsed_ ? stars(bytes.size()) : to_hex(bytes)).end_object();
  }

 private:
  struct Count {
    const Field* field;
    std::uint64_t number;
  };
  struct Object {
    std::vector<Count> counts;  // read, not yet shown
    bool is_plain = false;      // an element that is written as a bare value
  };
  struct Problem {
    std::string_view why;
    std::size_t offset;
  };

  void plain(const ValueJson& json, Bytes bytes) {
    if (objects_.back().is_plain && json.exact) {
      out_.raw(json.value);
      return;
    }
    if (objects_.back().is_plain) out_.begin_object();
    out_.key("value").raw(json.value);
    if (!json.exact) out_.key("value_raw").hex(bytes);
    if (objects_.back().is_plain) out_.end_object();
  }

  void show_counts() {
    for (const Count& count : objects_.back().counts) {
      out_.key(count.field->key).unsigned_integer(count.number);
    }
    objects_.back().counts.clear();
  }

  void close() {
    if (problem_) unparsed(problem_->offset, {});
    show_counts();
    objects_.pop_back();
  }

  JsonWriter& out_;
  bool secrets_;
  bool hides_unparsed_;
  std::vector<Object> objects_;
  std::optional<Problem> problem_;
};

}  // namespace

void json_time(std::string_view key, std::int64_t unix_s, JsonWriter& out) {
  std::uint8_t bcd[6] = {};
  if (unix_s != time_invalid) write_time_utc(unix_s, bcd);
  const Shown time = show_digits(time_utc(key), bcd);
  out.key(key);
  time.is_null ? out.null() : out.text(time.text);
}

void body_json(const MessageSpec& message, const Header& header, Bytes body, bool secrets,
               JsonWriter& out) {
  const Layout layout = choose_layout(message, header.version, body);
  if (layout != own_layout(header.version, message.layouts)) {
    out.key("layout").text(name_of(layout));
  }
  Writer writer(out, secrets, !secrets && has_secrets(message.fields));
  walk(message.fields, layout, body, writer);
  writer.finish();
}

}  // namespace ringgate::jt808
