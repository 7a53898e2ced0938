// Who handles a message in the gateway, one phrase each, for the documentation
// (`ringgate-codec list jt808 --markdown`). Constants; any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "protocols/jt808/codec/schema.hpp"

namespace ringgate::jt808 {

struct Handled {
  std::uint16_t id;
  std::string_view where;
};

// What has something of its own. Of the other messages those of terminals are recorded and
// acknowledged by the session, and those of the platform are sent as commands.
// tests/unit/jt808/handled_test.cpp sends all of them.
inline constexpr Handled handled_apart[] = {
    {0x0001, "commands: an answer"},
    {0x0002, "session: link is alive"},
    {0x0003, "session: offline"},
    {0x0004, "session: 0x8004"},
    {0x0005, "downlink: parts again"},
    {0x0100, "session: 0x8100"},
    {0x0102, "session: online"},
    {0x0200, "session: last state"},
    {0x0704, "session: last state"},
    {0x0801, "media: a file, 0x8800"},
    {0x0901, "session: inflated to check"},
    {0x0a00, "session: 0x8a00 or 0x8001"},
    {0x1210, "attachment server: 0x8001"},
    {0x1211, "attachment server: 0x8001"},
    {0x1212, "attachment server: 0x9212"},
    {0x8001, "session, attachment server"},
    {0x8003, "parts: gaps"},
    {0x8004, "session: to 0x0004"},
    {0x8100, "session: to 0x0100"},
    {0x8800, "media: to 0x0801"},
    {0x8a00, "session: to 0x0a00"},
    {0x9208, "command; its files are expected"},
    {0x9212, "attachment server: to 0x1212"},
};
inline constexpr std::string_view handled_recorded = "recorded";
inline constexpr std::string_view handled_as_command = "command";

constexpr std::string_view where_handled(const MessageSpec& message) {
  for (const Handled& handled : handled_apart) {
    if (handled.id == message.id) return handled.where;
  }
  return message.from_device ? handled_recorded : handled_as_command;
}

}  // namespace ringgate::jt808
