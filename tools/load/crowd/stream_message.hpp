// What the gateway says to a subscriber: one JSON message of the live stream
// (protocols/api/STREAM.md). Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/clock.hpp"

namespace ringgate::load {

struct StreamEvent {
  std::string record;    // "NODE/STREAM/POSITION"
  std::string type;
  std::string alarm;     // of an alarm: which
  std::int64_t sub = 0;  // of several of one record
  WallUs received_us = 0;  // when the gateway received it, to the millisecond; 0: not told
};

struct StreamMessage {
  bool subscribed = false;
  bool live = false;
  bool gap = false;
  bool slow = false;
  bool error = false;
  std::string detail;            // of the error
  std::uint64_t coalesced = 0;   // positions that were left out
  std::uint64_t lost_bytes = 0;  // of a gap
  std::string cursor;            // empty: none
  std::vector<StreamEvent> events;
};

// Nothing: this is no JSON object. What it does not know is read over. `out` is filled anew.
bool read_stream_message(std::string_view json, StreamMessage& out);

// "2026-11-21T05:00:00.123Z"; 0: it is none.
WallUs read_utc(std::string_view text);

// Events of a subscriber come in the order of the log, each once. A record's place in its stream.
struct RecordPlace {
  std::string stream;  // node and stream
  std::uint64_t position = 0;
};
std::optional<RecordPlace> read_record(std::string_view record);

// The message that subscribes: `query` as of GET /api/v1/events, "devices=1,2&types=position".
std::string subscribe_message(std::string_view query, std::string_view from);

}  // namespace ringgate::load
