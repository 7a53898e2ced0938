// JSON to bytes along the tables. The only file that knows the JSON library, which is asked nothing
// that throws.
#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "engine/base/hex.hpp"
#include "engine/base/json_scan.hpp"
#include "protocols/jt808/codec/body_json.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/codec/values.hpp"
#include "protocols/jt808/codec/walk.hpp"
#include "protocols/jt808/codec/whole.hpp"

namespace ringgate::jt808 {

namespace {

using Json = nlohmann::json;
using Raw = std::vector<std::uint8_t>;

// One JSON object, and which of its keys were of use.
class Object {
 public:
  explicit Object(const Json& value, Fields known = {}) : fields(known), value_(value) {}
  const Json* get(std::string_view key) {
    const auto at = value_.find(std::string(key));
    if (at == value_.end()) return nullptr;
    used_.insert(at.key());
    return &*at;
  }
  bool has(std::string_view key) const { return value_.contains(std::string(key)); }
  const std::string* unused() const {
    for (auto at = value_.begin(); at != value_.end(); ++at) {
      if (used_.find(at.key()) == used_.end()) return &at.key();
    }
    return nullptr;
  }
  const Json& value() const { return value_; }

  Fields fields;           // that its keys may belong to
  bool ended = false;      // an optional field was missing: nothing may follow
  std::string ended_by;

 private:
  const Json& value_;
  std::set<std::string> used_;
};

// What stands behind the fields of a body or of an element with a size.
struct Context {
  bool has_rest = false;
  std::size_t offset = SIZE_MAX;  // where it stood: a field that is missing from there on is in it
  Raw rest;
  bool stopped = false;
};

class Encoder {
 public:
  explicit Encoder(Layout layout) : layout_(layout) {}

  bool body(Fields fields_of_body, const Json& value) {
    Object object(value, fields_of_body);
    object.get("layout");
    return context(object);
  }
  Raw& bytes() { return out_; }
  const std::string& error() const { return error_; }

 private:
  bool fail(std::string_view key, std::string_view what) {
    if (!error_.empty()) return false;
    for (const std::string& step : path_) error_ += step;
    error_ += key;
    if (error_.ends_with('.')) error_.pop_back();
    if (!error_.empty()) error_ += ": ";
    error_ += what;
    return false;
  }

  // The fields and what could not be read behind them. Every key must be of use.
  bool context(Object& object) {
    Context own;
    if (!unparsed(object, own)) return false;
    Context* const outer = std::exchange(context_, &own);
    const bool ok = each_field(object.fields, object) && nothing_unknown(object);
    context_ = outer;
    if (!ok) return false;
    out_.insert(out_.end(), own.rest.begin(), own.rest.end());
    return true;
  }

  bool unparsed(Object& object, Context& out) {
    object.get("error");
    object.get("error_offset");
    const Json* value = object.get("unparsed");
    if (value == nullptr) return true;
    if (!value->is_object()) return fail("unparsed", "wants an object with bytes");
    Object inside(*value);
    const Json* offset = inside.get("offset");
    if (!hex_bytes("unparsed.bytes", inside.get("bytes"), out.rest)) return false;
    if (const std::string* key = inside.unused()) {
      return fail(cat({"unparsed.", *key}), "unknown key");
    }
    if (offset != nullptr && offset->is_number_unsigned()) {
      out.offset = offset->get<std::size_t>();
    }
    out.has_rest = true;
    return true;
  }

  bool hex_bytes(std::string_view key, const Json* value, Raw& out) {
    const auto bytes = value != nullptr && value->is_string()
                           ? from_hex(value->get_ref<const std::string&>())
                           : std::nullopt;
    if (!bytes) return fail(key, "wants bytes in hex, in quotes");
    out = *bytes;
    return true;
  }

  bool applies(const Field& field) const {
    return (field.layouts & mask_of(layout_)) != 0 && scope_.holds(field.when);
  }

  // Keys that the fields know, whatever the layout and the conditions.
  static void keys_of(Fields fields, std::vector<std::string>& out) {
    for (const Field& field : fields) {
      if (field.kind == Kind::group && field.key.empty()) {
        keys_of(field.fields, out);
        continue;
      }
      if (!field.key.empty() || field.parts.empty()) out.push_back(key_of(field));
      for (const Part& part : field.parts) out.emplace_back(part.key);
    }
  }
  static std::string key_of(const Field& field) {
    if (!field.key.empty()) return std::string(field.key);
    return field.parts.empty() ? "value" : std::string(field.parts[0].key);
  }

  bool nothing_unknown(const Object& object) {
    const std::string* key = object.unused();
    if (key == nullptr) return true;
    std::vector<std::string> known;
    keys_of(object.fields, known);
    if (std::ranges::find(known, *key) != known.end()) {
      return fail(*key, cat({"has no place here (layout ", name_of(layout_),
                             ", and what the fields before it say)"}));
    }
    return unknown(*key, known);
  }

  bool unknown(std::string_view key, const std::vector<std::string>& known) {
    std::string list;
    for (const std::string& name : known) {
      if (!list.empty()) list += ", ";
      list += name;
    }
    return fail(key, known.empty() ? "unknown key; this has none"
                                   : cat({"unknown key; known are: ", list}));
  }

  // Where a key is missing, one that nobody knows is what was meant.
  bool misspelt(const Object& object) {
    std::vector<std::string> known;
    keys_of(object.fields, known);
    const auto is_known = [&](std::string_view key) {
      for (const std::string_view end : {"", "_raw", "_count"}) {
        if (key.ends_with(end) &&
            std::ranges::find(known, key.substr(0, key.size() - end.size())) != known.end()) {
          return true;
        }
      }
      constexpr std::string_view own[] = {"layout", "error", "error_offset", "unparsed", "id",
                                          "name"};
      return std::ranges::find(own, key) != std::end(own);
    };
    for (auto at = object.value().begin(); at != object.value().end(); ++at) {
      if (!is_known(at.key())) return !unknown(at.key(), known);
    }
    return false;
  }

  bool each_field(Fields fields, Object& object) {
    for (const Field& field : fields) {
      if (!applies(field)) continue;
      if (field.kind == Kind::group && field.key.empty()) {
        if (!each_field(field.fields, object)) return false;
      } else if (!one_field(field, object)) {
        return false;
      }
      if (context_->stopped) return true;
    }
    return true;
  }

  bool one_field(const Field& field, Object& object) {
    const std::string key = key_of(field);
    const bool is_object = field.kind == Kind::list || field.kind == Kind::items ||
                           field.kind == Kind::group;
    const Json* value = object.get(key);
    const Json* raw = is_object ? nullptr : object.get(raw_key(field));
    if (object.ended) {
      if (value == nullptr && raw == nullptr) return true;
      return fail(key, cat({"can't be there without ", object.ended_by, " before it"}));
    }
    if (value == nullptr && raw == nullptr) return missing(field, object);
    if (field.kind == Kind::group) return keyed_group(field, key, *value);
    if (is_object) return elements(field, *value, object.get(key + "_count"));
    // Parts of bits belong to them even where raw bytes say it all.
    std::vector<const Json*> parts;
    for (const Part& part : field.parts) parts.push_back(object.get(part.key));
    Raw bytes;
    if (raw != nullptr) {
      if (!hex_bytes(raw_key(field), raw, bytes)) return false;
      if (field.extent == Extent::fixed && bytes.size() != field.size) {
        return fail(raw_key(field), cat({"wants ", std::to_string(field.size), " bytes"}));
      }
    } else if (!leaf(field, key, *value, parts, bytes)) {
      return false;
    }
    return put(field, key, bytes);
  }

  bool keyed_group(const Field& field, const std::string& key, const Json& value) {
    if (!value.is_object()) return fail(key, "wants an object");
    path_.push_back(key + ".");
    Object inside(value, field.fields);
    if (!each_field(field.fields, inside) || !nothing_unknown(inside)) return false;
    path_.pop_back();
    return true;
  }

  bool put(const Field& field, std::string_view key, const Raw& bytes) {
    const std::size_t prefix = prefix_size(field.extent);
    if (prefix != 0 && !number(key, bytes.size(), prefix)) return false;
    out_.insert(out_.end(), bytes.begin(), bytes.end());
    if (has_number(field.kind) && !scope_.add(field, load_number(bytes))) {
      return fail(key, "is one number too many");
    }
    return true;
  }

  bool number(std::string_view key, std::uint64_t value, std::size_t size) {
    if (size < 8 && value >> (8 * size) != 0) {
      return fail(key, cat({"is too long: ", std::to_string(value), " does not fit its count"}));
    }
    for (std::size_t i = size; i-- > 0;) out_.push_back(static_cast<std::uint8_t>(value >> 8 * i));
    return true;
  }

  bool missing(const Field& field, Object& object) {
    const std::string key = key_of(field);
    if (!field.counts.empty() && object.has(field.counts)) {
      const Json& list = *object.get(field.counts);
      if (list.is_array()) return count(field, key, list.size());
    }
    if (context_->has_rest && out_.size() >= context_->offset) {
      context_->stopped = true;
      return true;
    }
    if (field.has_default) return count(field, key, field.default_value);
    if (field.is_optional) {
      object.ended = true;
      object.ended_by = key;
      return true;
    }
    return misspelt(object) ? false : fail(key, "is missing");
  }

  bool count(const Field& field, std::string_view key, std::uint64_t value) {
    const std::size_t start = out_.size();
    if (!has_number(field.kind)) {
      // The default of texts, times and lists is that there is nothing in them.
      const std::size_t prefix = prefix_size(field.extent);
      out_.resize(start + (field.extent == Extent::fixed ? field.size : prefix));
      return true;
    }
    if (!number(key, value, field.size)) return false;
    return scope_.add(field, value) || fail(key, "is one number too many");
  }

  bool elements(const Field& field, const Json& value, const Json* declared) {
    const std::string key = key_of(field);
    if (!value.is_array()) return fail(key, "wants an array");
    std::uint64_t wanted = value.size();
    const std::size_t prefix = prefix_size(field.extent);
    if (prefix != 0) {
      if (declared != nullptr) {
        if (!declared->is_number_unsigned()) return fail(key + "_count", "wants a number");
        wanted = declared->get<std::uint64_t>();
      }
      if (!number(key, wanted, prefix)) return false;
    } else if (field.extent == Extent::fixed) {
      wanted = field.size;
    } else if (field.extent == Extent::counted && !scope_.find(field.by, wanted)) {
      wanted = 0;
    }
    for (std::size_t i = 0; i < value.size(); ++i) {
      path_.push_back(key + "[" + std::to_string(i) + "].");
      const std::size_t mark = scope_.mark();
      const bool ok = field.kind == Kind::items ? item(*field.registry, value[i])
                                                : element(field, value[i]);
      if (!ok) return false;
      scope_.back_to(mark);
      path_.pop_back();
    }
    return right_count(field, key, value.size(), wanted);
  }

  bool right_count(const Field& field, const std::string& key, std::size_t size,
                   std::uint64_t wanted) {
    if (size == wanted || field.kind == Kind::items) return true;
    if (size < wanted && context_->has_rest) {
      context_->stopped = true;
      return true;
    }
    return fail(key, cat({"wants ", std::to_string(wanted), " elements, has ",
                          std::to_string(size),
                          prefix_size(field.extent) != 0 ? "; without its _count they are counted"
                                                         : ""}));
  }

  bool element(const Field& list, const Json& value) {
    const std::size_t start = out_.size();
    out_.resize(start + list.element_prefix);
    const Json* object = &value;
    Json wrapped;
    if (has_plain_elements(list) && !value.is_object()) {
      wrapped["value"] = value;
      object = &wrapped;
    }
    if (!object->is_object()) return fail("", "wants an object");
    Object inside(*object, list.fields);
    if (list.element_prefix == 0) {
      return each_field(list.fields, inside) && nothing_unknown(inside);
    }
    if (!context(inside)) return false;
    return patch(start, list.element_prefix, out_.size() - start - list.element_prefix);
  }

  bool patch(std::size_t at, std::size_t size, std::uint64_t value) {
    if (size < 8 && value >> (8 * size) != 0) {
      return fail("", cat({"is too long: ", std::to_string(value), " bytes"}));
    }
    for (std::size_t i = 0; i < size; ++i) {
      out_[at + i] = static_cast<std::uint8_t>(value >> 8 * (size - 1 - i));
    }
    return true;
  }

  bool item(const Registry& registry, const Json& value) {
    if (!value.is_object()) return fail("", "wants an object with id or name");
    Object object(value);
    std::uint32_t id = 0;
    const ItemSpec* spec = nullptr;
    if (!item_id(registry, object, id, spec)) return false;
    const std::size_t start = out_.size();
    out_.resize(start + registry.id_size + registry.length_size);
    if (!item_value(spec, object)) return false;
    const std::size_t value_at = start + registry.id_size + registry.length_size;
    const std::size_t counted_id = registry.length_first ? registry.id_size : 0U;
    const std::size_t size = out_.size() - value_at + counted_id;
    const std::size_t id_at = start + (registry.length_first ? registry.length_size : 0U);
    const std::size_t length_at = start + (registry.length_first ? 0U : registry.id_size);
    return patch(id_at, registry.id_size, id) && patch(length_at, registry.length_size, size);
  }

  bool item_id(const Registry& registry, Object& object, std::uint32_t& id,
               const ItemSpec*& spec) {
    const Json* by_id = object.get("id");
    const Json* by_name = object.get("name");
    if (by_name != nullptr && by_name->is_string()) {
      const auto& name = by_name->get_ref<const std::string&>();
      const auto at = std::ranges::find(registry.items, name, &ItemSpec::name);
      if (at == registry.items.end()) {
        return fail("name", cat({"there are no ", registry.name, " called ", name}));
      }
      spec = &*at;
      id = spec->id;
    }
    if (by_id == nullptr) return spec != nullptr || fail("id", "is missing (or name)");
    std::optional<std::uint64_t> number;
    if (by_id->is_string()) number = hex_value(by_id->get_ref<const std::string&>());
    if (by_id->is_number_unsigned()) number = by_id->get<std::uint64_t>();
    if (!number || *number >> (8 * registry.id_size) != 0) {
      return fail("id", cat({"wants an id such as ", quoted_id(registry)}));
    }
    id = static_cast<std::uint32_t>(*number);
    const ItemSpec* named = std::exchange(spec, find_item(registry, id));
    if (named != nullptr && named != spec) {
      return fail("name", cat({"is that of ", hex_text(named->id, registry.id_size)}));
    }
    return true;
  }

  static std::string quoted_id(const Registry& registry) {
    const std::uint32_t id = registry.items.empty() ? 1 : registry.items.front().id;
    return cat({"\"", hex_text(id, registry.id_size), "\""});
  }

  bool item_value(const ItemSpec* spec, Object& object) {
    if (spec == nullptr || object.has("bytes")) {
      Raw bytes;
      object.get("offset");
      object.get("problem");
      if (!hex_bytes("bytes", object.get("bytes"), bytes)) return false;
      out_.insert(out_.end(), bytes.begin(), bytes.end());
      const std::string* key = object.unused();
      return key == nullptr || fail(*key, "unknown key; an item with bytes has id and bytes");
    }
    Layout layout = *ItemLayouts(spec->layouts, layout_).begin();
    if (!layout_named(object.get("layout"), spec->layouts, layout)) return false;
    const Layout outer = std::exchange(layout_, layout);
    Context own;
    Context* const around = std::exchange(context_, &own);
    object.fields = spec->fields;
    const bool ok = each_field(spec->fields, object) && nothing_unknown(object);
    context_ = around;
    layout_ = outer;
    return ok;
  }

 public:
  bool layout_named(const Json* value, LayoutMask layouts, Layout& out) {
    if (value == nullptr) return true;
    std::string known;
    for (unsigned i = 0; i < static_cast<unsigned>(Layout::count); ++i) {
      const auto layout = static_cast<Layout>(i);
      if ((layouts & mask_of(layout)) == 0) continue;
      if (value->is_string() && value->get_ref<const std::string&>() == name_of(layout)) {
        out = layout;
        return true;
      }
      if (!known.empty()) known += ", ";
      known += cat({"\"", name_of(layout), "\""});
    }
    return fail("layout", cat({"wants one of ", known}));
  }

 private:
  bool leaf(const Field& field, const std::string& key, const Json& value,
            const std::vector<const Json*>& parts, Raw& out) {
    switch (field.kind) {
      case Kind::bits: return bits_value(field, key, value, parts, out);
      case Kind::number:
      case Kind::integer:
      case Kind::sign_number: {
        std::uint64_t wire = 0;
        return number_value(field, key, value, wire) && store(field, wire, out);
      }
      case Kind::bytes: {
        if (!hex_bytes(key, &value, out)) return false;
        if (field.extent == Extent::fixed && out.size() != field.size) {
          return fail(key, cat({"wants ", std::to_string(field.size), " bytes, has ",
                                std::to_string(out.size())}));
        }
        return true;
      }
      case Kind::text: {
        if (!value.is_string()) return fail(key, "wants a text in quotes");
        const std::string wrong = read_text(field, value.get_ref<const std::string&>(), out);
        return wrong.empty() || fail(key, wrong);
      }
      default: {
        out.assign(field.size, 0);
        if (value.is_null() && (field.kind == Kind::time || field.kind == Kind::time_utc ||
                                field.kind == Kind::date)) {
          return true;
        }
        if (!value.is_string()) {
          return fail(key, field.kind == Kind::digits ? "wants digits in quotes"
                                                      : "wants a time in quotes");
        }
        const std::string_view wrong = read_digits(field, value.get_ref<const std::string&>(), out);
        return wrong.empty() || fail(key, wrong);
      }
    }
  }

  static bool store(const Field& field, std::uint64_t wire, Raw& out) {
    out.clear();
    for (std::size_t i = field.size; i-- > 0;) {
      out.push_back(static_cast<std::uint8_t>(wire >> 8 * i));
    }
    return true;
  }

  std::string names_text(Names names) const {
    std::string out;
    for (const Name& name : names) {
      if ((name.layouts & mask_of(layout_)) == 0) continue;
      if (!out.empty()) out += ", ";
      out += name.name;
    }
    return out;
  }

  bool number_value(const Field& field, std::string_view key, const Json& value,
                    std::uint64_t& wire) {
    if (value.is_null()) {
      if (!field.has_invalid) return fail(key, "can't be null");
      wire = field.invalid_value & (UINT64_MAX >> (64U - 8U * field.size));
      return true;
    }
    if (value.is_string()) {
      const auto& text = value.get_ref<const std::string&>();
      if (const auto named = named_value(field.names, text, layout_)) {
        wire = *named;
        return true;
      }
      const auto hex = field.is_hex ? hex_value(text) : std::nullopt;
      if (!hex) {
        return fail(key, field.is_hex           ? "wants an id such as \"0x0200\""
                         : field.names.empty() ? "wants a number without quotes"
                                               : cat({"wants one of: ", names_text(field.names)}));
      }
      wire = *hex;
      return fits(field, key, value, wire);
    }
    if (!value.is_number()) {
      return fail(key, field.names.empty()
                           ? "wants a number"
                           : cat({"wants a number or one of: ", names_text(field.names)}));
    }
    if (field.decimals == 0 && value.is_number_unsigned() && !scope_.is_negative(field)) {
      wire = value.get<std::uint64_t>();
      return field.kind == Kind::number ? fits(field, key, value, wire)
                                        : signed_number(field, key, value, wire);
    }
    return signed_number(field, key, value, wire);
  }

  bool fits(const Field& field, std::string_view key, const Json& value, std::uint64_t wire) {
    if (wire <= UINT64_MAX >> (64U - 8U * field.size)) return true;
    return fail(key, cat({value.dump(), " is out of range"}));
  }

  bool signed_number(const Field& field, std::string_view key, const Json& value,
                     std::uint64_t& wire) {
    std::optional<std::int64_t> scaled = scaled_number(value.get<double>(), field.decimals);
    if (!scaled) {
      return fail(key, field.decimals == 0
                           ? cat({value.dump(), " is no whole number"})
                           : cat({value.dump(), " has more than ", std::to_string(field.decimals),
                                  " decimals"}));
    }
    if (field.negative.test != When::Test::always && *scaled != 0) {
      const bool wanted = scope_.is_negative(field);
      if (wanted != (*scaled < 0)) {
        return fail(key, cat({wanted ? "must be negative: bit " : "can't be negative: bit ",
                              std::to_string(field.negative.value), " of ", field.negative.key,
                              " says so"}));
      }
      if (wanted) *scaled = -*scaled;
    }
    const auto number = wire_number(field, *scaled);
    if (!number) return fail(key, cat({value.dump(), " is out of range"}));
    wire = *number;
    return true;
  }

  bool bits_value(const Field& field, const std::string& key, const Json& value,
                  const std::vector<const Json*>& parts, Raw& out) {
    std::uint64_t wire = 0;
    if (field.key.empty()) {
      // Its parts say it all.
    } else if (value.is_number_unsigned()) {
      wire = value.get<std::uint64_t>();
      if (!fits(field, key, value, wire)) return false;
    } else if (!value.is_array()) {
      return fail(key, "wants an array of names, or a number");
    } else {
      for (const Json& name : value) {
        if (!one_bit(field, key, name, wire)) return false;
      }
    }
    for (std::size_t i = 0; i < parts.size(); ++i) {
      if (parts[i] != nullptr && !part_value(field.parts[i], *parts[i], wire)) return false;
    }
    return store(field, wire, out);
  }

  bool one_bit(const Field& field, const std::string& key, const Json& name, std::uint64_t& wire) {
    if (!name.is_string()) return fail(key, "wants names in quotes");
    const auto& text = name.get_ref<const std::string&>();
    std::optional<std::uint64_t> bit;
    if (const auto named = named_value(field.names, text, layout_)) bit = *named;
    for (unsigned i = 0; !bit && i < 8U * field.size; ++i) {
      if (text == cat({"bit-", std::to_string(i)})) bit = i;
    }
    if (!bit || *bit >= 8U * field.size) {
      return fail(key, cat({"there is no ", text, "; there are: ", names_text(field.names),
                            ", and bit-N"}));
    }
    wire |= std::uint64_t{1} << *bit;
    return true;
  }

  bool part_value(const Part& part, const Json& value, std::uint64_t& wire) {
    const std::uint64_t mask = (std::uint64_t{1} << part.width) - 1;
    std::uint64_t number = 0;
    if (value.is_string()) {
      const auto named = named_value(part.names, value.get_ref<const std::string&>(), layout_);
      if (!named) return fail(part.key, cat({"wants one of: ", names_text(part.names)}));
      number = *named;
    } else {
      const auto scaled = value.is_number() ? scaled_number(value.get<double>(), part.decimals)
                                            : std::nullopt;
      if (!scaled || *scaled < 0) return fail(part.key, "wants a number");
      number = static_cast<std::uint64_t>(*scaled);
    }
    if (number > mask) return fail(part.key, cat({"is out of range: 0 to ", std::to_string(mask)}));
    wire = (wire & ~(mask << part.shift)) | number << part.shift;
    return true;
  }

  Layout layout_;
  Context* context_ = nullptr;
  Scope scope_;
  Raw out_;
  std::vector<std::string> path_;
  std::string error_;
};

// Parses an object; what is wrong goes to `error`.
bool parse_object(std::string_view text, Json& out, std::string& error) {
  const JsonScan scan = scan_json_object(text, "");
  if (scan.error != JsonScan::Error::none) {
    constexpr std::string_view reasons[] = {"", "no JSON", "no object", "nested too deep"};
    error = cat({reasons[static_cast<std::size_t>(scan.error)], " at offset ",
                 std::to_string(scan.offset)});
    return false;
  }
  out = Json::parse(text, nullptr, false);
  if (out.is_object()) return true;
  error = "no JSON: text that is not UTF-8, or a number beyond all bounds";
  return false;
}

// `layouts`: those of the message that come into question without "layout" in the object.
Result<Raw> encode_object(const MessageSpec& message, Version version, LayoutMask layouts,
                          const Json& json) {
  Layout layout = own_layout(version, layouts);
  Encoder encoder(layout);
  const auto named = json.find("layout");
  const bool ok = encoder.layout_named(named == json.end() ? nullptr : &*named, message.layouts,
                                       layout);
  if (!ok) return Error{0, encoder.error()};
  Encoder in_layout(layout);
  if (!in_layout.body(message.fields, json)) return Error{0, in_layout.error()};
  return std::move(in_layout.bytes());
}

}  // namespace

Result<Raw> encode_body(const MessageSpec& message, Version version, std::string_view text) {
  Json json;
  std::string error;
  if (!parse_object(text, json, error)) return Error{0, error};
  return encode_object(message, version, message.layouts, json);
}

namespace {

// The header's part of a frame in JSON.
class FrameEncoder {
 public:
  explicit FrameEncoder(const Json& json) : object_(json) {}

  Result<Raw> run() {
    if (const Json* whole = object_.get("frame_hex")) {
      object_.get("error");
      object_.get("error_offset");
      Raw frame;
      if (!hex("frame_hex", *whole, frame) || !nothing_unknown()) return Error{0, error_};
      return frame;
    }
    Raw body;
    object_.get("inflated");  // what the catalog adds to compressed data: the body has it already
    const Json* bytes = object_.get("body_hex");
    const Json* fields = object_.get("body");
    if (!message() || !version() || !header() || !nothing_unknown() ||
        !make_body(bytes, fields, body)) {
      return Error{0, error_};
    }
    const bool is_whole = body.size() > body_size_max;
    if (is_whole && has_packet_) {
      return Error{0, cat({"body: has ", std::to_string(body.size()), " bytes, a packet holds ",
                           std::to_string(body_size_max)})};
    }
    const auto size = static_cast<std::uint16_t>(is_whole ? attribute_long : body.size());
    const unsigned bits = raw_attributes_ ? *raw_attributes_ & ~attribute_body_size : attributes_;
    const auto attributes = static_cast<std::uint16_t>(bits | size);
    Raw out;
    put(out, id_, 2);
    put(out, attributes, 2);
    if (version_ == Version::v2019) put(out, version_byte_, 1);
    out.insert(out.end(), phone_.begin(), phone_.end());
    put(out, serial_, 2);
    if (has_packet_) {
      put(out, total_, 2);
      put(out, number_, 2);
    }
    out.insert(out.end(), body.begin(), body.end());
    Header check;
    const BadReason reason = parse_stored(out, check);
    if (reason != BadReason::none) {
      return Error{0, cat({"the header contradicts itself: ", name(reason)})};
    }
    return out;
  }

 private:
  bool fail(std::string_view key, std::string_view what) {
    error_ = std::string(key).append(": ").append(what);
    return false;
  }
  static void put(Raw& out, std::uint64_t value, std::size_t size) {
    for (std::size_t i = size; i-- > 0;) out.push_back(static_cast<std::uint8_t>(value >> 8 * i));
  }
  bool hex(std::string_view key, const Json& value, Raw& out) {
    const auto bytes =
        value.is_string() ? from_hex(value.get_ref<const std::string&>()) : std::nullopt;
    if (!bytes) return fail(key, "wants bytes in hex, in quotes");
    out = *bytes;
    return true;
  }
  bool number(Object& object, std::string_view key, std::uint64_t max, std::uint64_t& out) {
    const Json* value = object.get(key);
    if (value == nullptr) return true;
    if (!value->is_number_unsigned() || value->get<std::uint64_t>() > max) {
      return fail(key, cat({"wants a number from 0 to ", std::to_string(max)}));
    }
    out = value->get<std::uint64_t>();
    return true;
  }
  const std::string* text(std::string_view key) {
    const Json* value = object_.get(key);
    return value != nullptr && value->is_string() ? &value->get_ref<const std::string&>()
                                                  : nullptr;
  }
  bool nothing_unknown() {
    const std::string* key = object_.unused();
    return key == nullptr ||
           fail(*key, "unknown key; known are: message_id, message, version, version_byte, phone, "
                      "serial, packet, encryption, attributes_raw, body, body_hex, frame_hex");
  }

  bool message() {
    const std::string* by_id = text("message_id");
    const std::string* by_name = text("message");
    if (by_id == nullptr && by_name == nullptr) {
      return fail("message_id", "is missing: \"0x8300\", or message: \"text-message\"");
    }
    if (by_name != nullptr) {
      spec_ = find_message(*by_name);
      if (spec_ == nullptr) return fail("message", cat({"no message is called ", *by_name}));
      id_ = spec_->id;
    }
    if (by_id == nullptr) return true;
    const auto id = hex_value(*by_id);
    if (!id || *id > 0xffff) return fail("message_id", "wants four hex digits: \"0x8300\"");
    if (spec_ != nullptr && spec_->id != *id) return fail("message", "has another message_id");
    id_ = static_cast<std::uint16_t>(*id);
    spec_ = find_message(id_);
    return true;
  }

  bool version() {
    if (const Json* value = object_.get("version")) {
      const std::string name = value->is_string() ? value->get<std::string>() : value->dump();
      if (name == "2019") {
        version_ = Version::v2019;
      } else if (name != "2013" && name != "2011") {
        return fail("version", "wants \"2011\", \"2013\" or \"2019\"");
      }
      is_2011_ = name == "2011";  // the header of 2013, bodies of their own
    }
    if (version_ == Version::v2019) {
      attributes_ = attribute_versioned;
      return number(object_, "version_byte", 0xff, version_byte_);
    }
    return true;
  }

  bool header() {
    const std::string* phone = text("phone");
    if (phone == nullptr) return fail("phone", "wants digits in quotes");
    phone_.resize(version_ == Version::v2019 ? 10 : 6);
    const std::string_view wrong =
        read_digits(digits("phone", static_cast<std::uint8_t>(phone_.size())), *phone, phone_);
    if (!wrong.empty()) return fail("phone", wrong);
    std::uint64_t encryption = 0;
    if (!number(object_, "serial", 0xffff, serial_) ||
        !number(object_, "encryption", 7, encryption)) {
      return false;
    }
    attributes_ |= static_cast<std::uint16_t>(encryption << 10);
    if (const Json* packet = object_.get("packet")) {
      has_packet_ = true;
      attributes_ |= attribute_subpackage;
      if (!packet->is_object()) return fail("packet", "wants an object with total and number");
      Object inside(*packet);
      if (!inside.has("total") || !inside.has("number")) {
        return fail("packet", "wants an object with total and number");
      }
      if (!number(inside, "total", 0xffff, total_) || !number(inside, "number", 0xffff, number_)) {
        return false;
      }
      if (const std::string* key = inside.unused()) {
        return fail(cat({"packet.", *key}), "unknown key");
      }
    }
    if (const Json* raw = object_.get("attributes_raw")) {
      Raw bytes;
      if (!hex("attributes_raw", *raw, bytes)) return false;
      if (bytes.size() != 2) return fail("attributes_raw", "wants two bytes");
      raw_attributes_ = load_be16(bytes.data());
    }
    return true;
  }

  bool make_body(const Json* bytes, const Json* body, Raw& out) {
    if (bytes != nullptr && body != nullptr) return fail("body_hex", "stands beside a body");
    if (bytes != nullptr) return hex("body_hex", *bytes, out);
    static const Json nothing = Json::object();
    if (body == nullptr) body = &nothing;
    if (!body->is_object()) return fail("body", "wants an object");
    if (spec_ == nullptr) return fail("message_id", "is not known: its body must be body_hex");
    const bool in_old = is_2011_ && (spec_->layouts & in_2011) != 0;
    Result<Raw> made = encode_object(*spec_, version_, in_old ? in_2011 : spec_->layouts, *body);
    if (!made) return fail(body == &nothing ? "body is missing" : "body", made.error().message);
    out = std::move(*made);
    return true;
  }

  Object object_;
  std::string error_;
  const MessageSpec* spec_ = nullptr;
  std::uint16_t id_ = 0;
  Version version_ = Version::v2013;
  bool is_2011_ = false;
  std::uint64_t version_byte_ = 1;
  std::uint64_t serial_ = 0;
  std::uint64_t total_ = 0;
  std::uint64_t number_ = 0;
  bool has_packet_ = false;
  std::uint16_t attributes_ = 0;
  std::optional<std::uint16_t> raw_attributes_;
  Raw phone_;
};

}  // namespace

Result<Raw> encode_frame(std::string_view text) {
  Json json;
  std::string error;
  if (!parse_object(text, json, error)) return Error{0, error};
  return FrameEncoder(json).run();
}

}  // namespace ringgate::jt808
