#include "storage/state/covered.hpp"

#include <fmt/format.h>

#include <charconv>

#include "engine/base/crc32c.hpp"
#include "storage/log/data_dir.hpp"

namespace ringgate::state {

namespace {

std::uint32_t crc_of(std::string_view text) { return crc32c(0, as_bytes(text)); }

}  // namespace

// Lines: the snapshot's name, the cursor, the CRC of both in hex.
std::optional<log::Cursor> read_covered(io::Sys& sys, const std::string& directory,
                                        const log::NodeId& node, const std::string& snapshot) {
  const auto text = log::read_small_file(sys, directory + "/covered");
  if (!text) return {};
  const std::size_t name_end = text->find('\n');
  if (name_end == std::string::npos) return {};
  const std::size_t cursor_end = text->find('\n', name_end + 1);
  if (cursor_end == std::string::npos || text->substr(0, name_end) != snapshot) return {};
  std::uint32_t crc = 0;
  const char* first = text->data() + cursor_end + 1;
  const char* last = text->data() + text->size();
  if (std::from_chars(first, last, crc, 16).ec != std::errc{}) return {};
  if (crc != crc_of(std::string_view(*text).substr(0, cursor_end + 1))) return {};
  const auto cursor = log::cursor_from_text(
      std::string_view(*text).substr(name_end + 1, cursor_end - name_end - 1));
  if (!cursor || cursor->node != node) return {};
  return cursor->cursor;
}

Result<void> write_covered(io::Sys& sys, const std::string& directory, const log::NodeId& node,
                           const std::string& snapshot, const log::Cursor& cursor) {
  std::string text = fmt::format("{}\n{}\n", snapshot, log::to_text(node, cursor));
  text += fmt::format("{:08x}\n", crc_of(text));
  return log::replace_small_file(sys, directory, "covered", text);
}

}  // namespace ringgate::state
