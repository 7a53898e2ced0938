// Bounds of a simulated terminal, each with its reason.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/base/clock.hpp"

namespace ringgate::load {

// Messages that wait for an answer. A platform that answers nothing must not make a terminal grow;
// the oldest is forgotten.
constexpr std::size_t sent_max = 64;
// Commands whose answers are kept: a platform that repeats one does so before it sends many others.
constexpr std::size_t done_max = 8;
// Answers that were seen: a part that was sent twice is answered twice.
constexpr std::size_t answered_max = 1024;
// Answers that take a while: text questions, upgrades, uploads.
constexpr std::size_t later_max = 32;
// Alarms whose attachments may still be asked for.
constexpr std::size_t alarm_kinds_max = 64;
// A part is lost at most so often: what sends for it again has a limit, too.
constexpr std::uint8_t part_lost_max = 2;
// How often a vehicle looks at its areas.
constexpr MonoNs drive_period_ns = ns_per_s;
// Of a recording of sound, whatever the platform asks for.
constexpr MonoNs sound_ns_max = 3 * ns_per_s;
// How long a terminal is away after it was told to start again.
constexpr MonoNs restart_ns = 2 * ns_per_s;

}  // namespace ringgate::load
