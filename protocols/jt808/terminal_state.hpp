// What a link carries of its terminal, also to another shard. Belongs to the session; commands take
// the terminal's address and serials from it. Lives in the link's session bytes.
#pragma once

#include <cstdint>
#include <type_traits>

#include "engine/base/clock.hpp"
#include "engine/base/limits.hpp"
#include "engine/device/device_table.hpp"
#include "protocols/jt808/bad_window.hpp"
#include "protocols/jt808/codec/writer.hpp"

namespace ringgate::jt808 {

struct TerminalState {
  Peer peer;  // of the authenticated terminal
  BadWindow bad_frames;
  MonoNs stranger_since_ns;  // when it opened, or logged out
  MonoNs bound_ns;           // when its terminal authenticated last
  MonoNs dear_ns;            // its account of dear work (allowance.hpp)
  device::DeviceSlot device;
  std::uint16_t next_serial;  // of what the platform sends on this link
  bool authenticated;
  // What the last 0x0100 on this link said of the terminal's version.
  enum class Registered : std::uint8_t { unknown, v2011, later };
  Registered registered;
};
static_assert(std::is_trivially_copyable_v<TerminalState> &&
              sizeof(TerminalState) <= limits::session_state_bytes);

}  // namespace ringgate::jt808
