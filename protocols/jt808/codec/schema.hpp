// The words in which message tables are written. A body is a list of fields; one table drives
// decoding (walk.hpp), JSON (body_json.hpp), encoding (encode.hpp), explanation (explain.hpp) and
// the documentation page. Everything is constexpr data: no code per message. Any thread.
//
// JSON keys are the field keys; units stand in the key (speed_kmh, validity_s). A value whose bytes
// can't be rebuilt from what JSON shows (odd padding, impossible times, bytes that are no GBK) is
// shown as well as it can be and followed by "<key>_raw" with its hex; encoding prefers that.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace ringgate::jt808 {

// What a body may look like. 2011 and 2013 share a header; alarm signs of T/JSATL 12 have
// provincial variants. The first layout, in the order of the header's version, that uses up a body
// exactly is taken.
enum class Layout : std::uint8_t {
  v2011,
  v2013,
  v2019,
  js,   // T/JSATL 12-2017: alarm sign of 16 bytes
  gd,   // T/GDRTA 002-2020 (Guangdong): 40 bytes
  sc,   // Sichuan: 39
  hlj,  // Heilongjiang: 38
  odd,  // seen in the field, in no standard
  count,
};
std::string_view name_of(Layout layout);  // as in JSON: "2011", "2013", "2019", "js", ... "odd"

using LayoutMask = std::uint8_t;
constexpr LayoutMask mask_of(Layout layout) {
  return static_cast<LayoutMask>(1U << static_cast<unsigned>(layout));
}
constexpr LayoutMask in_2011 = mask_of(Layout::v2011);
constexpr LayoutMask in_2013 = mask_of(Layout::v2013);
constexpr LayoutMask in_2019 = mask_of(Layout::v2019);
constexpr LayoutMask in_js = mask_of(Layout::js);
constexpr LayoutMask in_gd = mask_of(Layout::gd);
constexpr LayoutMask in_sc = mask_of(Layout::sc);
constexpr LayoutMask in_hlj = mask_of(Layout::hlj);
constexpr LayoutMask in_odd = mask_of(Layout::odd);
constexpr LayoutMask before_2019 = in_2011 | in_2013;
constexpr LayoutMask in_all = 0xff;

enum class Kind : std::uint8_t {
  number,       // unsigned, big-endian, `size` 1, 2, 4 or 8; shown divided by 10^decimals
  integer,      // two's complement, `size` 1, 2 or 4
  sign_number,  // WORD whose top bit is the sign (cabin temperature)
  bits,         // number shown as the names of its set bits; parts of it as numbers of their own;
                // without a key, only the parts are shown (they cover all bits then)
  digits,       // BCD of `size` bytes, shown as text with its zeros
  time,         // BCD YYMMDDhhmmss, GMT+8, shown in UTC ("2026-01-31T08:00:00Z"); zeros: null;
                // 000000hhmmss (every day): "08:00:00"
  time_utc,     // the same in UTC (0x8004)
  date,         // BCD YYYYMMDD: "2026-01-31"
  clock_ms,     // BCD hhmmss and four digits of milliseconds: "08:00:00.1230" (0x0705)
  text,         // GBK, shown as UTF-8
  bytes,        // shown as hex
  list,         // of `fields`
  group,        // `fields` in an object of their own; without a key: in this object
  items,        // {id, length, value}* by `registry`
};

// How long a text, bytes, list or items is.
enum class Extent : std::uint8_t {
  fixed,    // `size` bytes (text: padded with 00), or `size` elements
  rest,     // to the end of what encloses it
  prefix1,  // a BYTE, WORD, DWORD before it: bytes, or elements of a list
  prefix2,
  prefix4,
  counted,  // a list: as many elements as the field named `by` says
};

struct Name {
  std::uint32_t value;
  std::string_view name;
  LayoutMask layouts = in_all;
};
using Names = std::span<const Name>;

// A part of a `bits` field that is a number: shown beside it under its own key.
struct Part {
  std::uint8_t shift;
  std::uint8_t width;
  std::string_view key;
  std::uint8_t decimals = 0;
  Names names = {};
};

// When a field is there, by a number that came before it in the same object or one around it.
struct When {
  enum class Test : std::uint8_t { always, equal, not_equal, bit, no_bit, at_least };
  Test test = Test::always;
  std::string_view key = {};
  std::uint32_t value = 0;  // or the bit's number
};

struct Registry;

struct Field {
  std::string_view key = {};
  Kind kind = Kind::number;
  Extent extent = Extent::fixed;
  std::uint8_t size = 1;
  std::uint8_t decimals = 0;
  LayoutMask layouts = in_all;
  bool is_optional = false;    // may be missing, with all behind it, where the body ends
  bool is_secret = false;      // blanked out by redact()
  bool has_default = false;    // encoding may leave it out (bytes: zeros; text, lists: none)
  bool has_invalid = false;    // `invalid_value` is shown as null
  bool front_padded = false;   // text: 00 in front
  bool space_padded = false;   // text: filled up with spaces instead of 00 (2011)
  bool is_hex = false;         // number shown as "0x0200": ids; a DWORD too where it fits
  bool is_proof = false;       // time: the layout does not fit if it is neither a time nor zeros
  std::uint8_t element_prefix = 0;  // list: each element stands behind its size, in so many bytes
  std::uint32_t default_value = 0;
  std::uint32_t invalid_value = 0;
  When when = {};
  // number: shown negative where this earlier number has this bit (latitude: south).
  // When::Test::bit or always (never negative). Encoding writes the magnitude, and refuses a sign
  // that disagrees with the bit (0 never does).
  When negative = {};
  std::string_view counts = {};  // number: of the elements of that list; shown where it disagrees
  std::string_view by = {};      // list, Extent::counted: the number that counts it
  Names names = {};              // of values, or of bits (value = bit number)
  std::span<const Part> parts = {};
  std::span<const Field> fields = {};
  const Registry* registry = nullptr;
  std::string_view note = {};  // for the documentation: what the key does not say

  // A copy with one member changed.
  template <class Member, class Value>
  constexpr Field with(Member member, Value value) const {
    Field copy = *this;
    copy.*member = value;
    return copy;
  }

  // Words to put behind a field: u8("type").named(types).in(in_2019)
  constexpr Field in(LayoutMask mask) const { return with(&Field::layouts, mask); }
  constexpr Field named(Names table) const { return with(&Field::names, table); }
  constexpr Field tenths() const { return with(&Field::decimals, std::uint8_t{1}); }
  constexpr Field scaled(std::uint8_t digits) const { return with(&Field::decimals, digits); }
  constexpr Field optional() const { return with(&Field::is_optional, true); }
  constexpr Field secret() const { return with(&Field::is_secret, true); }
  constexpr Field padded_in_front() const { return with(&Field::front_padded, true); }
  constexpr Field padded_with_spaces() const { return with(&Field::space_padded, true); }
  constexpr Field hex() const { return with(&Field::is_hex, true); }
  constexpr Field proving_layout() const { return with(&Field::is_proof, true); }
  constexpr Field noted(std::string_view text) const { return with(&Field::note, text); }
  constexpr Field counting(std::string_view list) const { return with(&Field::counts, list); }
  constexpr Field with_parts(std::span<const Part> p) const { return with(&Field::parts, p); }
  constexpr Field sized_elements(std::uint8_t prefix) const {
    return with(&Field::element_prefix, prefix);
  }
  constexpr Field or_else(std::uint32_t value) const {
    return with(&Field::has_default, true).with(&Field::default_value, value);
  }
  constexpr Field invalid(std::uint32_t value) const {
    return with(&Field::has_invalid, true).with(&Field::invalid_value, value);
  }
  constexpr Field if_bit(std::string_view other, std::uint32_t bit) const {
    return with(&Field::when, When{When::Test::bit, other, bit});
  }
  constexpr Field negative_if_bit(std::string_view other, std::uint32_t bit) const {
    return with(&Field::negative, When{When::Test::bit, other, bit});
  }
  constexpr Field if_no_bit(std::string_view other, std::uint32_t bit) const {
    return with(&Field::when, When{When::Test::no_bit, other, bit});
  }
  constexpr Field if_is(std::string_view other, std::uint32_t value) const {
    return with(&Field::when, When{When::Test::equal, other, value});
  }
  constexpr Field if_not(std::string_view other, std::uint32_t value) const {
    return with(&Field::when, When{When::Test::not_equal, other, value});
  }
  constexpr Field if_at_least(std::string_view other, std::uint32_t value) const {
    return with(&Field::when, When{When::Test::at_least, other, value});
  }
};

using Fields = std::span<const Field>;

// Keys that mean something of their own and may not be used by fields: in every object "error",
// "error_offset", "unparsed", "layout" and what ends in "_raw" or "_count" of another key; in an
// item also "id", "name", "offset", "bytes" and "problem". tests/unit/jt808 looks for them.

// One kind of item in a list of {id, length, value}: an additional item of a position, a parameter.
struct ItemSpec {
  std::uint32_t id;
  std::string_view name;    // "odometer"
  std::string_view source;  // "JT/T 808-2019 table 27"
  Fields fields;            // its value. Used up exactly in one layout, else it is shown as hex
  // Those in which the value differs; in_2013: one for all. The body's layout is tried first, then
  // the others from the first to the last; "layout" is in the item's JSON where it is not the first
  // that was tried.
  LayoutMask layouts = in_2013;
  std::uint32_t last_id = 0;  // of a range of ids (0x0111 to 0x01ff); 0: only `id`
};

// How items stand on the wire, and which are known. JSON: an array of {"id": "0x01", "name": ...,
// fields of the value}; what is unknown or does not fit is {"id", "offset", "bytes", "problem"}.
struct Registry {
  std::string_view name;            // "location items"
  std::uint8_t id_size;             // bytes
  std::uint8_t length_size;         // bytes
  bool length_first = false;        // {length, id, value}, and length counts the id too (EB items)
  std::span<const ItemSpec> items;  // sorted by id
};

constexpr Field number(std::string_view key, std::uint8_t size) {
  return {.key = key, .kind = Kind::number, .size = size};
}
constexpr Field u8(std::string_view key) { return number(key, 1); }
constexpr Field u16(std::string_view key) { return number(key, 2); }
constexpr Field u32(std::string_view key) { return number(key, 4); }
constexpr Field u64(std::string_view key) { return number(key, 8); }
constexpr Field s16(std::string_view key) {
  return {.key = key, .kind = Kind::integer, .size = 2};
}
constexpr Field s32(std::string_view key) {
  return {.key = key, .kind = Kind::integer, .size = 4};
}
constexpr Field sign16(std::string_view key) {
  return {.key = key, .kind = Kind::sign_number, .size = 2};
}
constexpr Field bits(std::string_view key, std::uint8_t size, Names names) {
  return {.key = key, .kind = Kind::bits, .size = size, .names = names};
}
constexpr Field digits(std::string_view key, std::uint8_t size) {
  return {.key = key, .kind = Kind::digits, .size = size};
}
constexpr Field time(std::string_view key) {
  return {.key = key, .kind = Kind::time, .size = 6};
}
constexpr Field time_utc(std::string_view key) {
  return {.key = key, .kind = Kind::time_utc, .size = 6};
}
constexpr Field date(std::string_view key) {
  return {.key = key, .kind = Kind::date, .size = 4};
}
constexpr Field clock_ms(std::string_view key) {
  return {.key = key, .kind = Kind::clock_ms, .size = 5};
}
constexpr Field text(std::string_view key, std::uint8_t size) {
  return {.key = key, .kind = Kind::text, .size = size};
}
constexpr Field text_rest(std::string_view key) {
  return {.key = key, .kind = Kind::text, .extent = Extent::rest};
}
constexpr Field text1(std::string_view key) {  // behind its length as a BYTE
  return {.key = key, .kind = Kind::text, .extent = Extent::prefix1};
}
constexpr Field text2(std::string_view key) {
  return {.key = key, .kind = Kind::text, .extent = Extent::prefix2};
}
constexpr Field bytes(std::string_view key, std::uint8_t size) {
  return {.key = key, .kind = Kind::bytes, .size = size};
}
constexpr Field bytes_rest(std::string_view key) {
  return {.key = key, .kind = Kind::bytes, .extent = Extent::rest};
}
constexpr Field bytes1(std::string_view key) {
  return {.key = key, .kind = Kind::bytes, .extent = Extent::prefix1};
}
constexpr Field bytes2(std::string_view key) {
  return {.key = key, .kind = Kind::bytes, .extent = Extent::prefix2};
}
constexpr Field bytes4(std::string_view key) {
  return {.key = key, .kind = Kind::bytes, .extent = Extent::prefix4};
}
// An id of a message or a parameter: "0x0200".
constexpr Field id16(std::string_view key) { return u16(key).hex(); }
constexpr Field id32(std::string_view key) { return u32(key).hex(); }
// Elements with one field and no key ({u32("")}) are shown as plain values: [1, 2, 3].
constexpr Field list(std::string_view key, Extent extent, Fields fields) {
  return {.key = key, .kind = Kind::list, .extent = extent, .fields = fields};
}
constexpr Field list1(std::string_view key, Fields fields) {  // behind its count as a BYTE
  return list(key, Extent::prefix1, fields);
}
constexpr Field list2(std::string_view key, Fields fields) {
  return list(key, Extent::prefix2, fields);
}
constexpr Field list4(std::string_view key, Fields fields) {
  return list(key, Extent::prefix4, fields);
}
constexpr Field list_rest(std::string_view key, Fields fields) {
  return list(key, Extent::rest, fields);
}
constexpr Field list_of(std::string_view key, std::uint8_t count, Fields fields) {
  return {.key = key, .kind = Kind::list, .extent = Extent::fixed, .size = count, .fields = fields};
}
// As many as the earlier number `by` says (declare that one with .counting(key)).
constexpr Field list_by(std::string_view key, std::string_view by, Fields fields) {
  return {.key = key, .kind = Kind::list, .extent = Extent::counted, .by = by, .fields = fields};
}
constexpr Field group(std::string_view key, Fields fields) {
  return {.key = key, .kind = Kind::group, .fields = fields};
}
constexpr Field inline_group(Fields fields) { return group({}, fields); }
// To the end, or behind their count (extent).
constexpr Field items(std::string_view key, const Registry& registry,
                      Extent extent = Extent::rest) {
  return {.key = key, .kind = Kind::items, .extent = extent, .registry = &registry};
}

// What a terminal answers to a message of the platform.
struct Answer {
  enum class Rule : std::uint8_t {
    none,     // nothing is expected
    general,  // 0x0001 with our serial and id
    own,      // the message `id`; a 0x0001 that is not "ok" ends the wait too
    both,     // a 0x0001 first, then `id` (0x8801, 0x9206)
    either,   // `id` or a 0x0001 that says ok (0x9201)
  };
  Rule rule = Rule::general;
  std::uint16_t id = 0;
  bool has_serial = true;  // whether the body of `id` begins with our serial
};

// One message: what it is called, where it is defined, what its body is.
struct MessageSpec {
  std::uint16_t id;
  std::string_view name;    // "location-report"
  std::string_view source;  // "JT/T 808-2019 8.12"
  bool from_device;
  Fields fields = {};
  LayoutMask layouts = in_2013;  // those in which the body differs; in_2013: one for all
  LayoutMask versions = in_2011 | in_2013 | in_2019;  // those that define the message
  Answer answer = {};  // for messages of the platform
};

}  // namespace ringgate::jt808
