#include "storage/sink/cursor_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <cerrno>
#include <string_view>

#include "storage/log/data_dir.hpp"

namespace ringgate::sink {

namespace {

constexpr std::string_view sought_line = "sought\n";

Bytes bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

}  // namespace

CursorFile::CursorFile(io::Sys& sys, const std::string& data_dir, const std::string& name,
                       const log::NodeId& node)
    : sys_(sys), folder_(data_dir + "/sink"), path_(fmt::format("{}/{}.cursor", folder_, name)),
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
  const std::string beside = path_ + ".new";
  const int fd = sys_.open(beside, O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd < 0) {
    folder_made_ = false;  // somebody may have removed it
    return errno_error(-fd, beside + ": open");
  }
  const std::int64_t written = sys_.pwrite(fd, bytes_of(text), 0);
  int failed = 0;
  if (written < 0) {
    failed = static_cast<int>(-written);
  } else if (static_cast<std::size_t>(written) != text.size()) {
    failed = ENOSPC;
  } else if (const int synced = sys_.data_sync(fd); synced < 0) {
    failed = -synced;
  }
  sys_.close(fd);
  if (failed != 0) return errno_error(failed, beside + ": write");
  if (const int renamed = sys_.rename(beside, path_); renamed < 0) {
    return errno_error(-renamed, path_ + ": rename");
  }
  return {};
}

}  // namespace ringgate::sink
