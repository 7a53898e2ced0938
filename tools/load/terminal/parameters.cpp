#include "tools/load/terminal/parameters.hpp"

#include <algorithm>
#include <string>
#include <utility>

namespace ringgate::load {
namespace {

enum class Type : std::uint8_t { dword, word, byte, text, bytes };
enum class In : std::uint8_t { both, v2013, v2019 };

struct Known {
  std::uint32_t id;
  Type type;
  std::uint32_t value = 0;  // of a number; of bytes: how many, all zero
  std::string_view text = {};
  In in = In::both;
};

// Sorted by id. What a new terminal has.
constexpr Known known[] = {
    {0x0001, Type::dword, 60},
    {0x0002, Type::dword, 10},  // seconds until an answer over TCP is missed
    {0x0003, Type::dword, 3},
    {0x0004, Type::dword, 2},  // the same over UDP
    {0x0005, Type::dword, 5},
    {0x0006, Type::dword, 30},
    {0x0007, Type::dword, 2},
    {0x0010, Type::text, 0, "cmnet"},
    {0x0011, Type::text},
    {0x0012, Type::text},
    {0x0013, Type::text, 0, "127.0.0.1"},
    {0x0014, Type::text, 0, "cmnet"},
    {0x0015, Type::text},
    {0x0016, Type::text},
    {0x0017, Type::text, 0, "127.0.0.2"},
    {0x0018, Type::dword, 7808, {}, In::v2013},
    {0x0019, Type::dword, 7808, {}, In::v2013},
    {0x001a, Type::text, 0, "127.0.0.1"},
    {0x001b, Type::dword, 7809},
    {0x001c, Type::dword, 7809},
    {0x001d, Type::text},
    {0x0020, Type::dword, 0},
    {0x0021, Type::dword, 0},
    {0x0022, Type::dword, 30},
    {0x0023, Type::text, 0, "cmnet", In::v2019},
    {0x0024, Type::text, 0, {}, In::v2019},
    {0x0025, Type::text, 0, {}, In::v2019},
    {0x0026, Type::text, 0, "127.0.0.3:7808", In::v2019},
    {0x0027, Type::dword, 300},
    {0x0028, Type::dword, 5},
    {0x0029, Type::dword, 10},
    {0x002c, Type::dword, 200},
    {0x002d, Type::dword, 500},
    {0x002e, Type::dword, 2000},
    {0x002f, Type::dword, 50},
    {0x0030, Type::dword, 30},
    {0x0031, Type::word, 300},
    {0x0032, Type::bytes, 4, {}, In::v2019},
    {0x0040, Type::text, 0, "02112345678"},
    {0x0041, Type::text},
    {0x0042, Type::text},
    {0x0043, Type::text},
    {0x0044, Type::text},
    {0x0045, Type::dword, 1},
    {0x0046, Type::dword, 300},
    {0x0047, Type::dword, 3600},
    {0x0048, Type::text},
    {0x0049, Type::text},
    {0x0050, Type::dword, 0},
    {0x0051, Type::dword, 0},
    {0x0052, Type::dword, 1},
    {0x0053, Type::dword, 1},
    {0x0054, Type::dword, 1},
    {0x0055, Type::dword, 100},
    {0x0056, Type::dword, 10},
    {0x0057, Type::dword, 14'400},
    {0x0058, Type::dword, 28'800},
    {0x0059, Type::dword, 1'200},
    {0x005a, Type::dword, 7'200},
    {0x005b, Type::word, 50},
    {0x005c, Type::word, 1'800},
    {0x005d, Type::word, 0x0a04},
    {0x005e, Type::word, 30},
    {0x0064, Type::dword, 0},
    {0x0065, Type::dword, 0},
    {0x0070, Type::dword, 5},
    {0x0071, Type::dword, 128},
    {0x0072, Type::dword, 64},
    {0x0073, Type::dword, 64},
    {0x0074, Type::dword, 128},
    {0x0075, Type::bytes, 21},
    {0x0076, Type::bytes, 3},
    {0x0077, Type::bytes, 1},
    {0x0079, Type::bytes, 3},
    {0x007a, Type::dword, 0},
    {0x007b, Type::bytes, 2},
    {0x007c, Type::bytes, 20},
    {0x0080, Type::dword, 123'456},
    {0x0081, Type::word, 31},
    {0x0082, Type::word, 104},
    {0x0083, Type::text},  // the plate
    {0x0084, Type::byte, 2},
    {0x0090, Type::byte, 3},
    {0x0091, Type::byte, 1},
    {0x0092, Type::byte, 1},
    {0x0093, Type::dword, 1},
    {0x0094, Type::byte, 0},
    {0x0095, Type::dword, 1},
    {0x0100, Type::dword, 0},
    {0x0101, Type::word, 0},
    {0x0102, Type::dword, 0},
    {0x0103, Type::word, 0},
    {0x0110, Type::bytes, 8},
    {0xf364, Type::bytes, 56},
    {0xf365, Type::bytes, 49},
    {0xf366, Type::bytes, 36},
    {0xf367, Type::bytes, 2},
};

// Those of 1078 that hold lists are as long as they say.
bool is_list(std::uint32_t id) { return id == 0x0076 || id == 0x0077; }
bool is_vendor(std::uint32_t id) { return id >= 0xf000 && id <= 0xffff; }
bool is_can(std::uint32_t id) { return id >= 0x0110 && id <= 0x01ff; }

const Known* find_known(std::uint32_t id, Version version) {
  const auto at = std::lower_bound(std::begin(known), std::end(known), id,
                                   [](const Known& one, std::uint32_t k) { return one.id < k; });
  if (at == std::end(known) || at->id != id) return nullptr;
  const In other = version == Version::v2019 ? In::v2013 : In::v2019;
  return at->in == other ? nullptr : at;
}

bool length_fits(const Known& one, std::size_t size) {
  switch (one.type) {
    case Type::dword: return size == 4;
    case Type::word: return size == 2;
    case Type::byte: return size == 1;
    case Type::text: return true;
    case Type::bytes: return size == one.value || is_list(one.id);
  }
  return false;
}

Body factory_value(const Known& one, std::string_view plate) {
  BodyWriter out;
  switch (one.type) {
    case Type::dword: out.u32(one.value); break;
    case Type::word: out.u16(one.value); break;
    case Type::byte: out.u8(one.value); break;
    case Type::text: out.text(one.id == 0x0083 ? plate : one.text); break;
    case Type::bytes: out.fixed({}, one.value); break;
  }
  return out.take();
}

}  // namespace

Parameters::Parameters(Version version, std::string_view plate)
    : version_(version), plate_(plate) {}

bool Parameters::find(std::uint32_t id, Body& value) const {
  const auto changed = changed_.find(id);
  const Known* one = find_known(id, version_);
  if (changed != changed_.end()) value = changed->second;
  else if (one != nullptr) value = factory_value(*one, plate_);
  else return false;
  return true;
}

std::uint8_t Parameters::set(Bytes body) {
  BodyReader in(body);
  std::vector<std::pair<std::uint32_t, Body>> taken;
  bool all_known = true;
  const std::uint8_t items = in.u8();
  for (int i = 0; i < items && in.ok(); ++i) {
    const std::uint32_t id = in.u32();
    const Bytes value = in.take(in.u8());
    const Known* one = find_known(id, version_);
    if (one != nullptr && !length_fits(*one, value.size())) return 2;
    if (one == nullptr && !is_vendor(id) && !(is_can(id) && value.size() == 8)) {
      all_known = false;
      continue;
    }
    taken.emplace_back(id, Body(value.begin(), value.end()));
  }
  if (!in.ended()) return 2;
  for (auto& [id, value] : taken) changed_[id] = std::move(value);
  return all_known ? 0 : 1;
}

Body Parameters::all(std::uint16_t reply_serial) const {
  std::map<std::uint32_t, Body> values = changed_;
  for (const Known& one : known) {
    if (find_known(one.id, version_) == nullptr) continue;
    values.try_emplace(one.id, factory_value(one, plate_));
  }
  BodyWriter out;
  out.u16(reply_serial).u8(std::min<std::size_t>(values.size(), 255));
  std::size_t left = 255;
  for (const auto& [id, value] : values) {
    if (left-- == 0) break;
    out.u32(id).u8(value.size()).bytes(value);
  }
  return out.take();
}

bool Parameters::some(std::uint16_t reply_serial, Bytes body, Body& out) const {
  BodyReader in(body);
  BodyWriter items;
  const std::uint8_t asked = in.u8();
  std::size_t told = 0;
  for (int i = 0; i < asked && in.ok(); ++i) {
    const std::uint32_t id = in.u32();
    Body value;
    if (!in.ok() || !find(id, value)) continue;
    items.u32(id).u8(value.size()).bytes(value);
    ++told;
  }
  if (!in.ended()) return false;
  BodyWriter head;
  head.u16(reply_serial).u8(told).bytes(items.body());
  out = head.take();
  return true;
}

std::uint32_t Parameters::number(std::uint32_t id) const {
  Body value;
  if (!find(id, value)) return 0;
  BodyReader in(value);
  switch (value.size()) {
    case 1: return in.u8();
    case 2: return in.u16();
    case 4: return in.u32();
    default: return 0;
  }
}

}  // namespace ringgate::load
