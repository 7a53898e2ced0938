#include "protocols/jt808/codec/describe.hpp"

#include <algorithm>
#include <vector>

#include "protocols/jt808/codec/explain.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/codec/values.hpp"
#include "protocols/jt808/codec/walk.hpp"

namespace ringgate::jt808 {

namespace {

std::string_view type_name(Kind kind) {
  switch (kind) {
    case Kind::number: return "number";
    case Kind::integer: return "signed";
    case Kind::sign_number: return "sign-and-magnitude";
    case Kind::bits: return "bits";
    case Kind::digits: return "bcd";
    case Kind::time: return "time-gmt8";
    case Kind::time_utc: return "time-utc";
    case Kind::date: return "date";
    case Kind::clock_ms: return "clock-ms";
    case Kind::text: return "text-gbk";
    case Kind::bytes: return "bytes";
    case Kind::list: return "list";
    case Kind::group: return "group";
    case Kind::items: return "items";
  }
  return {};
}

std::string_view extent_name(Extent extent) {
  switch (extent) {
    case Extent::fixed: return "fixed";
    case Extent::rest: return "rest";
    case Extent::prefix1: return "behind a BYTE";
    case Extent::prefix2: return "behind a WORD";
    case Extent::prefix4: return "behind a DWORD";
    case Extent::counted: return "counted";
  }
  return {};
}

void layout_list(LayoutMask layouts, JsonWriter& out) {
  out.begin_array();
  for (unsigned i = 0; i < static_cast<unsigned>(Layout::count); ++i) {
    const auto layout = static_cast<Layout>(i);
    if ((layouts & mask_of(layout)) != 0) out.text(name_of(layout));
  }
  out.end_array();
}

void layouts_json(std::string_view key, LayoutMask layouts, JsonWriter& out) {
  out.key(key);
  layout_list(layouts, out);
}

void names_json(std::string_view key, Names names, JsonWriter& out) {
  if (names.empty()) return;
  out.key(key).begin_array();
  for (const Name& name : names) {
    out.begin_object().key("value").unsigned_integer(name.value).key("name").text(name.name);
    if (name.layouts != in_all) layouts_json("layouts", name.layouts, out);
    out.end_object();
  }
  out.end_array();
}

std::string when_text(const When& when) {
  using Test = When::Test;
  const std::string value = std::to_string(when.value);
  switch (when.test) {
    case Test::always: return {};
    case Test::equal: return cat({when.key, " is ", value});
    case Test::not_equal: return cat({when.key, " is not ", value});
    case Test::bit: return cat({"bit ", value, " of ", when.key, " is set"});
    case Test::no_bit: return cat({"bit ", value, " of ", when.key, " is not set"});
    case Test::at_least: return cat({when.key, " is at least ", value});
  }
  return {};
}

class Describer {
 public:
  explicit Describer(JsonWriter& out) : out_(out) {}

  void messages_json() {
    out_.key("messages").begin_array();
    for (const MessageSpec& message : messages()) {
      out_.begin_object().key("id").text(hex_text(message.id, 2)).key("name").text(message.name);
      out_.key("direction").text(message.from_device ? "up" : "down");
      out_.key("source").text(message.source);
      layouts_json("versions", message.versions, out_);
      layouts_json("layouts", message.layouts, out_);
      out_.key("has_secrets").boolean(has_secrets(message.fields));
      if (!message.from_device) {
        out_.key("answer");
        answer_json(message.answer, out_);
      }
      fields("fields", message.fields);
      out_.end_object();
    }
    out_.end_array();
  }

  void registries_json() {
    out_.key("item_lists").begin_array();
    for (std::size_t i = 0; i < registries_.size(); ++i) {  // grows: items may hold lists of items
      const Registry& registry = *registries_[i];
      out_.begin_object().key("name").text(registry.name);
      out_.key("id_bytes").unsigned_integer(registry.id_size);
      out_.key("length_bytes").unsigned_integer(registry.length_size);
      if (registry.length_first) out_.key("length_first").boolean(true);
      out_.key("items").begin_array();
      for (const ItemSpec& item : registry.items) {
        out_.begin_object().key("id").text(hex_text(item.id, registry.id_size));
        if (item.last_id != 0) out_.key("last_id").text(hex_text(item.last_id, registry.id_size));
        out_.key("name").text(item.name).key("source").text(item.source);
        layouts_json("layouts", item.layouts, out_);
        fields("fields", item.fields);
        out_.end_object();
      }
      out_.end_array().end_object();
    }
    out_.end_array();
  }

 private:
  void fields(std::string_view key, Fields all) {
    out_.key(key).begin_array();
    for (const Field& one : all) field(one);
    out_.end_array();
  }

  void field(const Field& field) {
    out_.begin_object().key("key").text(field.key).key("type").text(type_name(field.kind));
    if (field.kind != Kind::group) {
      out_.key("extent").text(extent_name(field.extent));
      if (field.extent == Extent::fixed) {
        out_.key(field.kind == Kind::list ? "elements" : "bytes").unsigned_integer(field.size);
      }
    }
    if (const auto unit = unit_of(field.key); !unit.empty()) out_.key("unit").text(unit);
    if (field.decimals != 0) out_.key("decimals").unsigned_integer(field.decimals);
    if (field.layouts != in_all) layouts_json("layouts", field.layouts, out_);
    conditions(field);
    names_json(field.kind == Kind::bits ? "bits" : "names", field.names, out_);
    if (!field.parts.empty()) parts(field);
    if (!field.note.empty()) out_.key("note").text(field.note);
    if (!field.fields.empty()) fields("fields", field.fields);
    if (field.registry != nullptr) {
      out_.key("item_list").text(field.registry->name);
      if (std::ranges::find(registries_, field.registry) == registries_.end()) {
        registries_.push_back(field.registry);
      }
    }
    out_.end_object();
  }

  void conditions(const Field& field) {
    if (field.when.test != When::Test::always) out_.key("when").text(when_text(field.when));
    if (field.negative.test != When::Test::always) {
      out_.key("negative_when").text(when_text(field.negative));
    }
    if (field.is_optional) out_.key("optional").boolean(true);
    if (field.has_default) out_.key("default").unsigned_integer(field.default_value);
    if (field.has_invalid) out_.key("invalid").unsigned_integer(field.invalid_value);
    if (field.is_secret) out_.key("secret").boolean(true);
    if (field.is_hex) out_.key("hex").boolean(true);
    if (!field.counts.empty()) out_.key("counts").text(field.counts);
    if (!field.by.empty()) out_.key("counted_by").text(field.by);
    if (field.element_prefix != 0) {
      out_.key("element_size_bytes").unsigned_integer(field.element_prefix);
    }
  }

  void parts(const Field& field) {
    out_.key("parts").begin_array();
    for (const Part& part : field.parts) {
      out_.begin_object().key("key").text(part.key).key("shift").unsigned_integer(part.shift);
      out_.key("bits").unsigned_integer(part.width);
      if (part.decimals != 0) out_.key("decimals").unsigned_integer(part.decimals);
      if (const auto unit = unit_of(part.key); !unit.empty()) out_.key("unit").text(unit);
      names_json("names", part.names, out_);
      out_.end_object();
    }
    out_.end_array();
  }

  JsonWriter& out_;
  std::vector<const Registry*> registries_;
};

}  // namespace

void versions_json(const MessageSpec& message, JsonWriter& out) {
  layout_list(message.versions, out);
}

void answer_json(const Answer& answer, JsonWriter& out) {
  constexpr std::string_view rules[] = {"none", "general", "own", "both", "either"};
  out.begin_object().key("rule").text(rules[static_cast<std::size_t>(answer.rule)]);
  if (answer.id != 0) out.key("id").text(hex_text(answer.id, 2));
  out.end_object();
}

void describe_json(JsonWriter& out) {
  Describer describer(out);
  out.begin_object().key("protocol").text("jt808");
  describer.messages_json();
  describer.registries_json();
  out.end_object();
}

}  // namespace ringgate::jt808
