#include "protocols/jsonl/session.hpp"

#include <algorithm>
#include <cstdio>

namespace ringgate::jsonl {

namespace {

// What a line's place in the order of answers remembers: its number and, above that, why it was
// refused.
constexpr std::uint32_t lines_max = 1U << 28;  // then numbers begin again at 0
std::uint32_t cookie_of(std::uint32_t line, LineError error) {
  return line % lines_max | static_cast<std::uint32_t>(error) << 28;
}

}  // namespace

std::size_t Session::on_bytes(net::Link& link, Bytes bytes) {
  std::size_t used = 0;
  while (link.readable() && used < bytes.size()) {
    // No more than shows that a line is too long, with a carriage return before its end.
    const std::size_t size_max = std::min(bytes.size() - used, line_size_max + 2);
    const std::string_view rest = as_text(bytes.subspan(used, size_max));
    const std::size_t size = std::min(rest.find('\n'), rest.size());
    if (size == rest.size() && size < line_size_max + 2) break;
    if (!take(link, rest.substr(0, size))) break;
    used += std::min(size + 1, rest.size());
  }
  return used;
}

// False: not now; the line is shown again.
bool Session::take(net::Link& link, std::string_view text) {
  if (!text.empty() && text.back() == '\r') text.remove_suffix(1);
  if (text.empty()) return true;  // an empty line keeps a link alive
  if (!links_.order_room(link)) return false;
  const Line line = parse_line(text);
  if (line.error != LineError::none) return refuse(link, line.error), true;
  const ShardIndex home = home_shard(DeviceKey(Namespace::json, line.id), links_.shard().count());
  if (home == links_.shard().index()) return take_here(link, line.id, text);
  State& state = link.session<State>();
  const std::uint32_t cookie = cookie_of(state.lines + 1, LineError::none);
  if (!links_.forward(link, home, cookie, as_bytes(text))) return false;
  ++state.lines;
  return true;
}

bool Session::take_here(net::Link& link, std::string_view id, std::string_view text) {
  State& state = link.session<State>();
  const Position position = store(link.id(), id, as_bytes(text));
  if (position == 0 && links_.shard().watermark().state() != flow::LogState::refusing) {
    links_.wait_for_log(link);
    return false;
  }
  ++state.lines;
  if (links_.ordered(link)) {
    links_.defer(link, cookie_of(state.lines, LineError::none), position);
  } else if (position == 0) {
    answer(link, state.lines, "not_stored");
  } else {
    links_.logged(link, position);
    answer(link, state.lines, {});
  }
  return true;
}

void Session::refuse(net::Link& link, LineError error) {
  State& state = link.session<State>();
  bad_.add(error);
  ++state.lines;
  if (links_.ordered(link)) {
    links_.defer(link, cookie_of(state.lines, error), 0);
  } else {
    answer(link, state.lines, line_error_names[static_cast<std::size_t>(error)]);
  }
  // Where would the next line begin?
  if (error == LineError::too_long) links_.close(link, net::CloseReason::oversize);
}

Position Session::store(LinkId origin, std::string_view id, Bytes line) {
  const log::RecordInfo info{
      .kind = log::Kind::frame_up, .ns = Namespace::json, .link = origin.packed(), .device = id};
  const Position position = log_.append(info, line);
  if (position != 0) lines_.add();
  return position;
}

Position Session::on_forwarded(LinkId origin, Bytes line) {
  return store(origin, parse_line(as_text(line)).id, line);
}

void Session::on_ordered(net::Link& link, std::uint32_t cookie, bool taken) {
  const auto error = static_cast<LineError>(cookie >> 28);
  const std::string_view why = taken ? std::string_view{}
                               : error == LineError::none
                                   ? "not_stored"
                                   : line_error_names[static_cast<std::size_t>(error)];
  answer(link, cookie, why);
}

void Session::answer(net::Link& link, std::uint32_t line, std::string_view error) {
  constexpr std::uint32_t room = 96;
  auto* out = reinterpret_cast<char*>(links_.reply_room(link, room));
  line %= lines_max;
  const int size = error.empty()
                       ? std::snprintf(out, room, "{\"ok\":%u}\n", line)
                       : std::snprintf(out, room, "{\"error\":\"%.*s\",\"line\":%u}\n",
                                       static_cast<int>(error.size()), error.data(), line);
  links_.reply_done(link, static_cast<std::uint32_t>(size));
}

}  // namespace ringgate::jsonl
