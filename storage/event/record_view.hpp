// A record of the log as those see it who make rows of it: no disk format, no stream. Views point
// into whatever holds the record.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/base/bytes.hpp"
#include "engine/base/clock.hpp"
#include "engine/base/ids.hpp"

namespace ringgate::event {

// The numbers stand in the log (storage/log/FORMAT.md) and never change their meaning.
enum class RecordKind : std::uint8_t {
  frame_up = 1,
  frame_down = 2,
  session = 3,
  command = 4,
  audit = 5,
  media = 6,
  state = 7,
};

constexpr std::uint8_t flag_duplicate = 1U << 0;
constexpr std::uint8_t flag_outcome = 1U << 1;  // of a command; without it: its intent
// Made from other records: a message whose frames (parts, encrypted ones) have their own.
constexpr std::uint8_t flag_whole = 1U << 2;

struct RecordView {
  RecordKind kind = RecordKind::frame_up;
  Namespace ns = Namespace::none;
  std::uint8_t flags = 0;
  std::uint16_t message = 0;
  std::uint16_t serial = 0;
  std::uint64_t link = 0;   // LinkId::packed()
  WallUs received_us = 0;   // never falls within a stream
  WallUs wall_us = 0;       // what the wall clock said
  std::string_view device;  // canonical id
  Bytes payload;

  bool duplicate() const { return (flags & flag_duplicate) != 0; }
  bool outcome() const { return (flags & flag_outcome) != 0; }
  bool whole() const { return (flags & flag_whole) != 0; }
};

}  // namespace ringgate::event
