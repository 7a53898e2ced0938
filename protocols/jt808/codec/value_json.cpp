#include "protocols/jt808/codec/value_json.hpp"

#include "engine/base/hex.hpp"
#include "engine/base/json_writer.hpp"

namespace ringgate::jt808 {

std::string stars(std::size_t size) { return std::string(size, '*'); }

namespace {

std::string quoted(std::string_view text) {
  std::string out;
  JsonWriter(out).text(text);
  return out;
}

ValueJson shown(const Shown& value) {
  return {.value = value.is_null ? "null" : quoted(value.text), .exact = value.exact};
}

ValueJson number_json(const FieldSeen& seen) {
  const Field& field = seen.field;
  const std::uint64_t mask = UINT64_MAX >> (64U - 8U * field.size);
  if (field.has_invalid && seen.number == (field.invalid_value & mask)) return {.value = "null"};
  if (const std::string_view name = value_name(field.names, seen.number, seen.layout);
      !name.empty()) {
    return {.value = quoted(name),
            .exact = named_value(field.names, name, seen.layout) == seen.number};
  }
  if (field.is_hex) return {.value = quoted(hex_text(seen.number, field.size))};
  if (field.kind == Kind::number) {
    constexpr std::uint64_t double_max = std::uint64_t{1} << 53;
    return {.value = decimal_text(seen.number, seen.negative, field.decimals),
            .exact = seen.number < double_max || (field.decimals == 0 && !seen.negative)};
  }
  const std::int64_t value = signed_value(field, seen.number);
  const auto magnitude = static_cast<std::uint64_t>(value < 0 ? -value : value);
  return {.value = decimal_text(magnitude, value < 0, field.decimals),
          .exact = wire_number(field, value) == seen.number};
}

ValueJson bits_json(const FieldSeen& seen) {
  const Field& field = seen.field;
  ValueJson out;
  std::uint64_t left = seen.number;
  for (const Part& part : field.parts) {
    const std::uint64_t mask = (std::uint64_t{1} << part.width) - 1;
    const std::uint64_t value = seen.number >> part.shift & mask;
    left &= ~(mask << part.shift);
    const std::string_view name = value_name(part.names, value, seen.layout);
    out.exact = out.exact && (name.empty() || named_value(part.names, name, seen.layout) == value);
    out.parts.emplace_back(part.key, name.empty() ? decimal_text(value, false, part.decimals)
                                                  : quoted(name));
  }
  JsonWriter json(out.value);
  json.begin_array();
  for (unsigned bit = 0; bit < 8U * field.size; ++bit) {
    if ((left >> bit & 1) == 0) continue;
    const std::string_view name = value_name(field.names, bit, seen.layout);
    out.exact = out.exact && (name.empty() || named_value(field.names, name, seen.layout) == bit);
    json.text(name.empty() ? cat({"bit-", std::to_string(bit)}) : std::string(name));
  }
  json.end_array();
  return out;
}

}  // namespace

ValueJson value_json(const FieldSeen& seen) {
  switch (seen.field.kind) {
    case Kind::bits: return bits_json(seen);
    case Kind::number:
    case Kind::integer:
    case Kind::sign_number: return number_json(seen);
    case Kind::text: return shown(show_text(seen.field, seen.bytes));
    case Kind::bytes: return {.value = quoted(to_hex(seen.bytes))};
    default: return shown(show_digits(seen.field, seen.bytes));
  }
}

ValueJson hidden_value(std::size_t size) { return {.value = quoted(stars(size))}; }

}  // namespace ringgate::jt808
