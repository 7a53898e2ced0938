// Parameters that questions about the past share: times, areas, kinds. Each answers the call with
// 400 and gives nothing (or false) where what it reads is wrong. Plane thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "engine/base/clock.hpp"
#include "protocols/api/call.hpp"
#include "storage/query/selection.hpp"

namespace ringgate::api {

// Where nothing else is said, questions are about the last day.
constexpr WallUs asked_default_us = 24LL * 3600 * us_per_s;

struct TimeRange {
  WallUs from_us = 0;
  WallUs to_us = 0;  // before this
};
// "from" and "to" in any form of parse_time; the last day where they are not there.
std::optional<TimeRange> asked_times(Call& call);
// "30s" of a parameter.
std::optional<WallUs> asked_duration(Call& call, std::string_view name, WallUs otherwise);
// One of `values` (an enum in order); the first where it is not there.
std::optional<std::size_t> asked_choice(Call& call, std::string_view name,
                                        std::span<const std::string_view> values);
std::optional<bool> asked_flag(Call& call, std::string_view name, bool otherwise);
// False: it was wrong.
bool asked_area(Call& call, std::optional<query::Area>& area);
// "device" into the selection, where it is there.
bool asked_device(Plane& plane, Call& call, query::Selection& selection);

// Documentation of those parameters, for tables of routes.
inline constexpr std::string_view from_doc =
    "At or after: 2026-11-20, 2026-11-20T22:00:00Z, seconds since 1970, or an age like -15m "
    "(default -1d).";
inline constexpr std::string_view to_doc = "Before: likewise (default: now).";
inline constexpr std::string_view area_doc =
    "LAT,LON,LAT,LON in degrees WGS-84: two opposite corners.";

}  // namespace ringgate::api
