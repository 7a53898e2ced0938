#include "storage/sink/cursor_file.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <string_view>

#include "storage/log/data_dir.hpp"

namespace ringgate::sink {

namespace {

constexpr std::string_view sought_line = "sought\n";

}  // namespace

CursorFile::CursorFile(io::Sys& sys, const std::string& data_dir, const std::string& name,
                       const log::NodeId& node)
    : sys_(sys), folder_(data_dir + "/sink"), name_(name + ".cursor"), path_(folder_ + "/" + name_),
      node_(node) {}

Result<std::optional<KeptCursor>> CursorFile::load() const {
  auto text = log::read_small_file(sys_, path_);
  if (!text) {
    if (text.error().code == ENOENT) return std::optional<KeptCursor>{};
    return text.error();
  }
  const std::size_t end = text->find('\n');
  const auto cursor = log::cursor_from_text(std::string_view(*text).substr(0, end));
  if (end == std::string::npos || !cursor) {
    return Error{0, fmt::format("{} holds no cursor; remove it to begin anew, or put back what "
                                "`ringgate-ctl sink list` showed", path_)};
  }
  if (cursor->node != node_) {
    return Error{0, fmt::format("{} belongs to the log of node {}, and this is {}; remove it to "
                                "begin anew", path_, log::to_text(cursor->node),
                                log::to_text(node_))};
  }
  const bool sought = std::string_view(*text).substr(end + 1) == sought_line;
  return std::optional(KeptCursor{cursor->cursor, sought});
}

Result<void> CursorFile::save(const KeptCursor& kept) {
  if (!folder_made_) {
    const int made = sys_.make_directory(folder_, 0755);
    if (made < 0 && made != -EEXIST) return errno_error(-made, folder_ + ": mkdir");
    folder_made_ = true;
  }
  std::string text = log::to_text(node_, kept.cursor);
  text += '\n';
  if (kept.sought) text += sought_line;
  auto saved = log::replace_small_file(sys_, folder_, name_, text);
  if (!saved) folder_made_ = false;  // somebody may have removed it
  return saved;
}

}  // namespace ringgate::sink
