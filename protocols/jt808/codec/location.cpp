#include "protocols/jt808/codec/location.hpp"

namespace ringgate::jt808 {

namespace {

// Lengths that the standard gives to the items that are not simple numbers.
bool right_length(std::uint8_t id, Bytes value) {
  switch (id) {
    case 0x05: return value.size() == 30;
    case 0x11: return value.size() == 5 || (value.size() == 1 && value[0] == 0);
    case 0x12: return value.size() == 6;
    case 0x13: return value.size() == 7;
    default: return false;
  }
}

bool standard_id(std::uint8_t id) {
  return detail::item_rules.of[id].size != detail::ItemRule::not_simple || id == 0x05 ||
         (id >= 0x11 && id <= 0x13);
}

void set_present(Location& out, Item item) {
  out.present = static_cast<std::uint16_t>(out.present | 1U << static_cast<unsigned>(item));
}

void count(std::uint8_t& counter) {
  if (counter != 0xff) ++counter;
}

}  // namespace

void detail::read_other_item(Bytes body, std::size_t offset, Location& out) {
  const std::uint8_t id = body[offset];
  const Bytes value = body.subspan(offset + 2, body[offset + 1]);
  if (!right_length(id, value)) {
    if (out.other_offset == 0) out.other_offset = static_cast<std::uint16_t>(offset);
    count(standard_id(id) ? out.bad_count : out.other_count);
    return;
  }
  switch (id) {
    case 0x05:
      out.tyre_offset = static_cast<std::uint16_t>(offset + 2);
      set_present(out, Item::tyre_pressure);
      return;
    case 0x11:
      out.overspeed_area_type = value[0];
      out.overspeed_area_id = value.size() == 5 ? load_be32(&value[1]) : 0;
      set_present(out, Item::overspeed);
      return;
    case 0x12:
      out.area_type = value[0];
      out.area_id = load_be32(&value[1]);
      out.area_leaving = value[5];
      set_present(out, Item::area);
      return;
    default:
      out.segment_id = load_be32(&value[0]);
      out.segment_time_s = load_be16(&value[4]);
      out.segment_too_long = value[6];
      set_present(out, Item::segment);
      return;
  }
}

bool next_item(Bytes body, std::size_t& at, RawItem& out) {
  if (at + 2 > body.size() || at + 2 + body[at + 1] > body.size()) return false;
  out.id = body[at];
  out.offset = static_cast<std::uint16_t>(at);
  out.value = body.subspan(at + 2, body[at + 1]);
  out.known = detail::item_rules.of[out.id].size == out.value.size() ||
              right_length(out.id, out.value);
  out.bad = !out.known && standard_id(out.id);
  at += 2 + out.value.size();
  return true;
}

}  // namespace ringgate::jt808
