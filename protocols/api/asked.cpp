#include "protocols/api/asked.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/time_text.hpp"
#include "engine/io/sys.hpp"
#include "protocols/api/plane.hpp"

namespace ringgate::api {

std::optional<TimeRange> asked_times(Call& call) {
  const WallUs now = io::real_sys().wall_now();
  constexpr std::ptrdiff_t date_size = 10;  // a blank may stand behind it
  TimeRange range{now - asked_default_us, now};
  for (const auto& [name, out] :
       {std::pair("from", &range.from_us), std::pair("to", &range.to_us)}) {
    auto text = call.parameter(name);
    if (!text) continue;
    // No zone begins with a blank: that was the + of +08:00, not written as %2B.
    if (std::ssize(*text) > date_size) {
      std::replace(text->begin() + date_size + 1, text->end(), ' ', '+');
    }
    const auto time = parse_time(*text, now);
    if (!time) {
      call.problem(400, fmt::format("{}: {}", name, time.error().message));
      return {};
    }
    *out = *time;
  }
  if (range.from_us < range.to_us) return range;
  call.problem(400, "from must be before to");
  return {};
}

std::optional<WallUs> asked_duration(Call& call, std::string_view name, WallUs otherwise) {
  const auto text = call.parameter(name);
  if (!text) return otherwise;
  const auto seconds = parse_seconds(*text);
  if (seconds) return *seconds * us_per_s;
  call.problem(400, fmt::format("{}: {}", name, seconds.error().message));
  return {};
}

std::optional<std::size_t> asked_choice(Call& call, std::string_view name,
                                        std::span<const std::string_view> values) {
  const auto text = call.parameter(name);
  if (!text) return 0;
  const auto found = std::ranges::find(values, *text);
  if (found != values.end()) return static_cast<std::size_t>(found - values.begin());
  std::string names;
  for (const std::string_view value : values) {
    if (!names.empty()) names += ", ";
    names += value;
  }
  call.problem(400, fmt::format("{} must be one of {}", name, names));
  return {};
}

std::optional<bool> asked_flag(Call& call, std::string_view name, bool otherwise) {
  const auto text = call.parameter(name);
  if (!text) return otherwise;
  if (*text == "true" || *text == "1" || text->empty()) return true;
  if (*text == "false" || *text == "0") return false;
  call.problem(400, fmt::format("{} must be true or false", name));
  return {};
}

bool asked_area(Call& call, std::optional<query::Area>& area) {
  const auto text = call.parameter("area");
  if (!text) return true;
  const auto parsed = query::parse_area(*text);
  if (!parsed) {
    call.problem(400, fmt::format("area: {}", parsed.error().message));
    return false;
  }
  area = *parsed;
  return true;
}

bool asked_device(Plane& plane, Call& call, query::Selection& selection) {
  const auto text = call.parameter("device");
  if (!text) return true;
  const auto key = plane.parts().devices.parse_device(*text);
  if (!key) {
    call.problem(400, fmt::format("device: {}", key.error().message));
    return false;
  }
  selection.devices.push_back(*key);
  return true;
}

}  // namespace ringgate::api
