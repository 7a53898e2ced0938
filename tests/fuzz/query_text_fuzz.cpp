// Texts that people and files give to queries: cursors of the log and areas on the map.
// What must hold: a cursor that was read is written as a text that reads as the same cursor; an
// area lies on Earth and contains its corners.
// By hand as jt808_framing_fuzz.cpp says.
#include <cstdint>
#include <string_view>

#include "storage/log/cursor.hpp"
#include "storage/query/selection.hpp"

namespace {

using namespace ringgate;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

void read_cursor(std::string_view text) {
  const auto read = log::cursor_from_text(text);
  if (!read) return require(!read.error().message.empty());
  const std::string written = log::to_text(read->node, read->cursor);
  const auto again = log::cursor_from_text(written);
  require(again.ok());
  require(again->node == read->node && again->cursor == read->cursor);
  require(log::to_text(again->node, again->cursor) == written);
}

void read_area(std::string_view text) {
  const auto area = query::parse_area(text);
  if (!area) return require(!area.error().message.empty());
  require(area->south_deg >= -90 && area->south_deg <= area->north_deg && area->north_deg <= 90);
  require(area->west_deg >= -180 && area->west_deg <= 180);
  require(area->east_deg >= -180 && area->east_deg <= 180);
  require(area->contains(area->south_deg, area->west_deg));
  require(area->contains(area->north_deg, area->east_deg));
  require(!area->contains(91, 0) && !area->contains(-91, 0));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  read_cursor(text);
  read_area(text);
  return 0;
}
