#include "engine/observe/kept_lines.hpp"

#include <algorithm>

namespace ringgate::observe {

namespace {

// Both forms quote with ", logfmt only where it must. Messages are constants without escapes.
std::string_view unquoted(std::string_view value) {
  if (value.size() < 2 || value.front() != '"') return value;
  return value.substr(1, value.size() - 2);
}

// What is behind the message: ` bytes=12\n`, or `,"bytes":12}\n`.
std::string fields_of(std::string_view rest) {
  while (rest.ends_with('\n')) rest.remove_suffix(1);
  if (rest.empty() || rest == "}") return {};
  const bool json = rest.front() == ',';
  std::string out(json ? "{" : "");
  out += rest.substr(1);
  return out;
}

}  // namespace

void KeptLines::keep(WallUs time, Level level, std::string_view source, const char* text,
                     LineExtent extent, std::uint64_t repeats) {
  if (level < Level::warn) return;
  const std::string_view line(text, extent.size);
  const std::string_view message = unquoted(
      line.substr(extent.message_begin, extent.message_end - extent.message_begin));
  const std::lock_guard lock(mutex_);
  auto place = std::ranges::find_if(lines_, [&](const KeptLine& one) {
    return one.level == level && one.source == source && one.message == message;
  });
  if (place == lines_.end()) {
    if (lines_.size() == lines_max) lines_.erase(lines_.begin());
    lines_.push_back({.time = time,
                      .first = time,
                      .level = level,
                      .source = std::string(source),
                      .message = std::string(message),
                      .fields = {},
                      .count = 0});
  } else {
    std::rotate(place, place + 1, lines_.end());
  }
  KeptLine& one = lines_.back();
  one.time = time;
  one.count += repeats;
  one.fields = fields_of(line.substr(extent.message_end));
}

std::vector<KeptLine> KeptLines::all() const {
  const std::lock_guard lock(mutex_);
  return {lines_.rbegin(), lines_.rend()};
}

}  // namespace ringgate::observe
