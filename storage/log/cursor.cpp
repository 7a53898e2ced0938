#include "storage/log/cursor.hpp"

#include <fmt/format.h>

#include <charconv>

namespace ringgate::log {

namespace {

template <class Number>
bool take_number(std::string_view& text, Number& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  if (error != std::errc{}) return false;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return true;
}

bool take(std::string_view& text, char wanted) {
  if (text.empty() || text.front() != wanted) return false;
  text.remove_prefix(1);
  return true;
}

}  // namespace

std::optional<Position> Cursor::find(const StreamId& stream) const {
  const auto found = positions_.find(stream);
  if (found == positions_.end()) return {};
  return found->second;
}

std::optional<Position> Cursor::start_of(const StreamId& stream) const {
  if (stream.run < done_runs_below_) return {};
  return find(stream).value_or(0);
}

void Cursor::finish_runs_below(std::uint32_t run) {
  if (run <= done_runs_below_) return;
  done_runs_below_ = run;
  positions_.erase(positions_.begin(), positions_.lower_bound(StreamId{run, 0}));
}

std::string to_text(const NodeId& node, const Cursor& cursor) {
  std::string out = fmt::format("{} <{}", to_text(node), cursor.done_runs_below());
  for (const auto& [stream, position] : cursor.positions()) {
    out += fmt::format(" {}-{}/{}", stream.run, stream.shard, position);
  }
  return out;
}

Result<NodeCursor> cursor_from_text(std::string_view text) {
  const Error bad{0, "no cursor of a log: 'NODE <RUN RUN-SHARD/POSITION ...' is expected"};
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  NodeCursor out;
  const std::size_t blank = text.find(' ');
  if (blank == std::string_view::npos) return bad;
  const auto node = node_from_text(text.substr(0, blank));
  if (!node) return bad;
  out.node = *node;
  text.remove_prefix(blank);
  std::uint32_t done = 0;
  if (!take(text, ' ') || !take(text, '<') || !take_number(text, done)) return bad;
  while (!text.empty()) {
    StreamId stream;
    Position position = 0;
    if (!take(text, ' ') || !take_number(text, stream.run) || !take(text, '-') ||
        !take_number(text, stream.shard) || !take(text, '/') || !take_number(text, position)) {
      return bad;
    }
    out.cursor.set(stream, position);
  }
  out.cursor.finish_runs_below(done);
  return out;
}

}  // namespace ringgate::log
