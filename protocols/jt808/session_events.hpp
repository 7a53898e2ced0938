// What the session records of the log say (RecordKind::session): their message number, and a text
// for people that begins with "online" or "offline". They stand in logs: numbers and the text of a
// logout never change. Constants; any thread.
#pragma once

#include <cstdint>
#include <string_view>

namespace ringgate::jt808 {

constexpr std::uint16_t event_online = 1;
constexpr std::uint16_t event_offline = 2;

// Why a terminal that sent 0x0003 is offline; the record says "offline logout".
constexpr std::string_view why_logout = "logout";

}  // namespace ringgate::jt808
