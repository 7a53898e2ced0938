// What the state says of a device, and the messages of the records that change it. Plain values,
// any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "engine/base/clock.hpp"
#include "engine/base/ids.hpp"
#include "engine/base/utf8.hpp"
#include "storage/event/registration.hpp"
#include "storage/state/limits.hpp"

namespace ringgate::state {

using event::Registration;
using event::RegistrationView;

// Messages of state records that carry a device. Their payload is a JSON object, so that a dump
// shows it; FORMAT.md of this room names the members.
enum class Change : std::uint16_t {
  registration_put = 1,
  registration_removed = 2,
  banned = 3,
  unbanned = 4,
  generation = 5,
  command_pending = 6,
  command_ended = 7,
  command_tried = 8,
};

struct Ban {
  WallUs since_us = 0;
  WallUs until_us = 0;  // 0: for good
  std::string by;
  std::string why;

  bool over(WallUs now_us) const { return until_us != 0 && until_us <= now_us; }
  friend bool operator==(const Ban&, const Ban&) = default;
};

// Texts cut to their bounds (limits.hpp).
inline RegistrationView cut(RegistrationView one) {
  for (std::string_view* text : {&one.plate, &one.terminal_id, &one.maker, &one.model}) {
    *text = cut_utf8(*text, text_size_max);
  }
  one.note = cut_utf8(one.note, note_size_max);
  return one;
}
inline void cut(Ban& ban) {
  ban.by.resize(cut_utf8(ban.by, reason_size_max).size());
  ban.why.resize(cut_utf8(ban.why, reason_size_max).size());
}

// A command that waits for its device to come online.
struct PendingCommand {
  std::uint64_t id = 0;  // of the node, never used twice
  WallUs submitted_us = 0;
  WallUs expires_us = 0;
  std::string by;
  std::string json;  // an object, as DeviceProtocol::prepare takes it
  std::uint32_t tries = 0;  // how often it may have reached the device; its end is not known

  friend bool operator==(const PendingCommand&, const PendingCommand&) = default;
};

// What became of it.
struct PendingEnd {
  std::string_view how;     // "answered", "expired", ...
  std::string_view detail;  // for people; may be empty
  Position intent = 0;      // record of the command that was sent last; 0: it was never sent
};

}  // namespace ringgate::state
