#include "protocols/jt808/codec/form.hpp"

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "protocols/jt808/codec/explain.hpp"
#include "protocols/jt808/codec/values.hpp"
#include "protocols/jt808/codec/walk.hpp"

namespace ringgate::jt808 {

namespace {

// "speed_limit_kmh" is "Speed limit": its unit stands beside it.
std::string title_of(std::string_view key) {
  if (const auto unit = unit_of(key); !unit.empty() && key.rfind('_') != std::string_view::npos) {
    key = key.substr(0, key.rfind('_'));
  }
  std::string out(key);
  for (char& c : out) {
    if (c == '_') c = ' ';
  }
  if (!out.empty() && out[0] >= 'a' && out[0] <= 'z') out[0] = static_cast<char>(out[0] - 32);
  return out;
}

std::string_view test_name(When::Test test) {
  switch (test) {
    case When::Test::always: break;
    case When::Test::equal: return "equal";
    case When::Test::not_equal: return "not-equal";
    case When::Test::bit: return "bit";
    case When::Test::no_bit: return "no-bit";
    case When::Test::at_least: return "at-least";
  }
  return {};
}

std::size_t count_max(Extent extent) {
  return extent == Extent::prefix1 ? 0xff : extent == Extent::prefix2 ? 0xffff : 0;
}

class FormWriter {
 public:
  FormWriter(Layout layout, JsonWriter& out) : layout_(layout), out_(out) {}

  // The members of `fields`, as an object's.
  void object(Fields fields) {
    out_.key("type").text("object").key("properties").begin_object();
    std::vector<std::string> required;
    properties(fields, false, required);
    out_.end_object();
    require(required);
  }

 private:
  bool applies(const Field& field) const { return (field.layouts & mask_of(layout_)) != 0; }

  void require(const std::vector<std::string>& keys) {
    out_.key("required").begin_array();
    for (const std::string& key : keys) out_.text(key);
    out_.end_array();
  }

  // `maybe`: they are part of what need not be there.
  void properties(Fields fields, bool maybe, std::vector<std::string>& required) {
    for (const Field& field : fields) {
      if (!applies(field)) continue;
      const When* const outer = when_;
      const bool conditional = field.when.test != When::Test::always;
      if (conditional) when_ = &field.when;
      if (field.kind == Kind::group && field.key.empty()) {
        properties(field.fields, maybe || conditional, required);
      } else {
        property(field, maybe || conditional, required);
      }
      when_ = outer;
    }
  }

  void property(const Field& field, bool maybe, std::vector<std::string>& required) {
    const bool needed = !maybe && !field.is_optional && !field.has_default && field.counts.empty();
    if (!field.key.empty() || field.parts.empty()) {
      const std::string key = field.key.empty() ? "value" : std::string(field.key);
      if (needed) required.push_back(key);
      out_.key(key).begin_object();
      out_.key("title").text(title_of(key));
      about(field);
      schema(field);
      out_.end_object();
    }
    for (const Part& part : field.parts) {
      // The first part of a number without a name stands for it.
      if (needed && field.key.empty() && &part == &field.parts[0]) {
        required.emplace_back(part.key);
      }
      part_schema(part);
    }
  }

  void about(const Field& field) {
    if (!field.note.empty()) out_.key("description").text(field.note);
    if (const auto unit = unit_of(field.key); !unit.empty()) out_.key("x-unit").text(unit);
    if (field.is_secret) out_.key("x-secret").boolean(true);
    if (!field.counts.empty()) out_.key("x-counts").text(field.counts);
    if (field.has_default) initial(field);
    condition();
  }

  void condition() {
    if (when_ == nullptr) return;
    out_.key("x-when").begin_object().key("key").text(when_->key);
    out_.key("test").text(test_name(when_->test));
    out_.key("value").unsigned_integer(when_->value).end_object();
  }

  // What it is where it is left out.
  void initial(const Field& field) {
    switch (field.kind) {
      case Kind::number:
        out_.key("default");
        if (const auto name = name_of(field.names, field.default_value); !name.empty()) {
          return static_cast<void>(out_.text(name));
        }
        if (field.is_hex) return static_cast<void>(out_.text(hex_text(field.default_value,
                                                                      field.size)));
        return static_cast<void>(out_.number(scaled(field.default_value, field.decimals),
                                             field.decimals));
      case Kind::bits:
        if (field.default_value == 0) out_.key("default").begin_array().end_array();
        return;
      case Kind::list:
      case Kind::items: return static_cast<void>(out_.key("default").begin_array().end_array());
      case Kind::text: return static_cast<void>(out_.key("default").text(""));
      case Kind::time:
      case Kind::time_utc:
      case Kind::date: return static_cast<void>(out_.key("default").null());
      default: return;
    }
  }

  std::string_view name_of(Names names, std::uint32_t value) const {
    for (const Name& name : names) {
      if (name.value == value && (name.layouts & mask_of(layout_)) != 0) return name.name;
    }
    return {};
  }

  static double scaled(double value, unsigned decimals) {
    for (; decimals > 0; --decimals) value /= 10;
    return value;
  }

  // An enum and its numbers under `key`.
  bool names(Names all, std::string_view key) {
    std::vector<const Name*> here;
    for (const Name& name : all) {
      if ((name.layouts & mask_of(layout_)) != 0) here.push_back(&name);
    }
    if (here.empty()) return false;
    out_.key("enum").begin_array();
    for (const Name* name : here) out_.text(name->name);
    out_.end_array().key(key).begin_array();
    for (const Name* name : here) out_.unsigned_integer(name->value);
    out_.end_array();
    return true;
  }

  void type(std::string_view name, bool may_be_null) {
    out_.key("type");
    if (!may_be_null) return static_cast<void>(out_.text(name));
    out_.begin_array().text(name).text("null").end_array();
  }

  void schema(const Field& field) {
    switch (field.kind) {
      case Kind::number:
      case Kind::integer:
      case Kind::sign_number: return number_schema(field);
      case Kind::bits: return bits_schema(field);
      case Kind::digits:
        type("string", false);
        out_.key("pattern").text("^[0-9]*$").key("maxLength").unsigned_integer(2U * field.size);
        return;
      case Kind::time:
      case Kind::time_utc:
        type("string", true);
        out_.key("format").text("date-time");
        return;
      case Kind::date:
        type("string", true);
        out_.key("format").text("date");
        return;
      case Kind::clock_ms:
        type("string", false);
        out_.key("pattern").text(R"(^\d\d:\d\d:\d\d\.\d{4}$)");
        return;
      case Kind::text: return text_schema(field);
      case Kind::bytes: return bytes_schema(field);
      case Kind::list: return list_schema(field);
      case Kind::group: return object(field.fields);
      case Kind::items: return items_schema(field);
    }
  }

  void number_schema(const Field& field) {
    if (field.is_hex) {
      type("string", false);
      out_.key("pattern").text(cat({"^0x[0-9a-fA-F]{1,", std::to_string(2 * field.size), "}$"}));
      return;
    }
    if (names(field.names, "x-values")) return;
    type(field.decimals == 0 ? "integer" : "number", field.has_invalid);
    if (field.decimals != 0) out_.key("x-decimals").unsigned_integer(field.decimals);
    bounds(field);
  }

  void bounds(const Field& field) {
    const bool is_signed = field.kind != Kind::number;
    const double most = is_signed ? std::ldexp(1.0, 8 * field.size - 1) - 1
                                  : std::ldexp(1.0, 8 * field.size) - 1;
    double high = scaled(most, field.decimals);
    double low = field.kind == Kind::integer ? scaled(-most - 1, field.decimals)
                 : is_signed                 ? -high
                                             : 0;
    if (field.negative.test != When::Test::always || is_signed || field.decimals == 6) {
      const double turn = field.key.ends_with("latitude_deg")    ? 90
                          : field.key.ends_with("longitude_deg") ? 180
                                                                 : 0;
      if (turn != 0) high = turn;
      if (field.negative.test != When::Test::always) low = -high;
    }
    if (field.size == 8) return;  // beyond what numbers of JSON hold exactly
    out_.key("minimum").number(low, field.decimals);
    out_.key("maximum").number(high, field.decimals);
  }

  void bits_schema(const Field& field) {
    type("array", false);
    out_.key("uniqueItems").boolean(true).key("items").begin_object();
    if (!names(field.names, "x-bits")) {
      out_.key("type").text("string").key("pattern").text("^bit-[0-9]{1,2}$");
    }
    out_.end_object();
  }

  void part_schema(const Part& part) {
    out_.key(part.key).begin_object().key("title").text(title_of(part.key));
    if (const auto unit = unit_of(part.key); !unit.empty()) out_.key("x-unit").text(unit);
    condition();
    if (!names(part.names, "x-values")) {
      const double most = scaled(std::ldexp(1.0, part.width) - 1, part.decimals);
      type(part.decimals == 0 ? "integer" : "number", false);
      if (part.decimals != 0) out_.key("x-decimals").unsigned_integer(part.decimals);
      out_.key("minimum").unsigned_integer(0).key("maximum").number(most, part.decimals);
    }
    out_.end_object();
  }

  void text_schema(const Field& field) {
    type("string", false);
    const std::size_t most = field.extent == Extent::fixed ? field.size : count_max(field.extent);
    if (most == 0) return;
    // A character has one byte or two in GBK.
    out_.key("maxLength").unsigned_integer(most).key("x-bytes-max").unsigned_integer(most);
  }

  void bytes_schema(const Field& field) {
    type("string", false);
    out_.key("pattern").text("^([0-9a-fA-F]{2})*$").key("x-hex").boolean(true);
    if (field.extent == Extent::fixed) {
      out_.key("minLength").unsigned_integer(2U * field.size);
      out_.key("maxLength").unsigned_integer(2U * field.size);
    } else if (const std::size_t most = count_max(field.extent); most != 0) {
      out_.key("maxLength").unsigned_integer(2 * most);
    }
  }

  void list_schema(const Field& list) {
    type("array", false);
    const std::size_t most = count_max(list.extent);
    if (most != 0) out_.key("maxItems").unsigned_integer(most);
    if (list.extent == Extent::fixed) {
      out_.key("minItems").unsigned_integer(list.size).key("maxItems").unsigned_integer(list.size);
    }
    const When* const outer = std::exchange(when_, nullptr);
    out_.key("items").begin_object();
    if (has_plain_elements(list)) {
      for (const Field& field : list.fields) schema(field);
    } else {
      object(list.fields);
    }
    out_.end_object();
    when_ = outer;
  }

  // One of those that are known, by name; or any id with its bytes.
  void items_schema(const Field& field) {
    const Registry& registry = *field.registry;
    const When* const outer = std::exchange(when_, nullptr);
    type("array", false);
    out_.key("items").begin_object().key("oneOf").begin_array();
    for (const ItemSpec& item : registry.items) {
      if (item.last_id == 0) one_item(registry, item);
    }
    out_.begin_object().key("title").text("any").key("type").text("object");
    out_.key("properties").begin_object();
    out_.key("id").begin_object().key("type").text("string");
    out_.key("pattern").text("^0x[0-9a-fA-F]+$").end_object();
    out_.key("bytes").begin_object().key("type").text("string").key("x-hex").boolean(true);
    out_.key("pattern").text("^([0-9a-fA-F]{2})*$").end_object().end_object();
    require({"id", "bytes"});
    out_.end_object().end_array().end_object();
    when_ = outer;
  }

  void one_item(const Registry& registry, const ItemSpec& item) {
    const Layout outer = std::exchange(layout_, *ItemLayouts(item.layouts, layout_).begin());
    out_.begin_object().key("title").text(item.name);
    out_.key("description").text(item.source).key("type").text("object");
    out_.key("properties").begin_object();
    out_.key("name").begin_object().key("const").text(item.name).end_object();
    out_.key("id").begin_object().key("const").text(hex_text(item.id, registry.id_size));
    out_.end_object();
    std::vector<std::string> required{"name"};
    properties(item.fields, false, required);
    out_.end_object();
    require(required);
    out_.key("not").begin_object().key("required").begin_array().text("bytes").end_array();
    out_.end_object().end_object();
    layout_ = outer;
  }

  Layout layout_;
  JsonWriter& out_;
  const When* when_ = nullptr;  // of what is being written
};

}  // namespace

void form_json(const MessageSpec& message, Layout layout, JsonWriter& out) {
  out.begin_object();
  FormWriter(layout, out).object(message.fields);
  out.end_object();
}

void forms_json(const MessageSpec& message, JsonWriter& out) {
  std::string last;
  std::string versions;
  out.begin_array();
  const auto write = [&] {
    if (last.empty()) return;
    out.begin_object().key("versions").raw(cat({"[", versions, "]"})).key("fields").raw(last);
    out.end_object();
  };
  for (const Version version : {Version::v2019, Version::v2013}) {
    const bool is_2019 = version == Version::v2019;
    if ((message.versions & (is_2019 ? in_2019 : before_2019)) == 0) continue;
    std::string form;
    JsonWriter json(form);
    form_json(message, own_layout(version, message.layouts), json);
    const std::string_view name = is_2019 ? "\"2019\"" : "\"2013\"";
    if (form == last) {
      versions += cat({",", name});
      continue;
    }
    write();
    last = std::move(form);
    versions = name;
  }
  write();
  out.end_array();
}

}  // namespace ringgate::jt808
