// What `verify --deep` looks at beyond checksums: does what records say hold together? Reads the
// whole log once more. Memory: some 40 bytes for each device and message that it has, and for each
// command.
#pragma once

#include <string>
#include <vector>

#include "engine/base/json_writer.hpp"
#include "engine/base/result.hpp"

namespace ringgate::log_tool {

struct DeepReport {
  std::uint64_t records = 0;
  std::uint64_t frames = 0;
  std::uint64_t bad_bodies = 0;  // that do not decode
  std::uint64_t unknown = 0;     // of namespaces that nobody here knows
  std::uint64_t parts = 0;
  std::uint64_t wholes = 0;
  std::uint64_t wholes_alone = 0;  // whose frames retention took
  std::uint64_t intents = 0;
  std::uint64_t outcomes = 0;
  std::uint64_t open_intents = 0;   // the gateway did not live to see the end
  std::uint64_t outcomes_alone = 0;  // whose intent retention took
  std::uint64_t blobs = 0;
  std::uint64_t blobs_checked = 0;
  std::uint64_t blob_bytes = 0;
  std::uint64_t blobs_gone = 0;  // retention took them, or a backup went without
  std::uint64_t indexes = 0;     // made again and compared
  std::uint64_t compressed = 0;  // segments inflated in full
  std::vector<std::string> problems;

  std::string text() const;
  void put(JsonWriter& json) const;
};

// Error: the directory can't be read.
Result<DeepReport> look_deep(const std::string& directory);

}  // namespace ringgate::log_tool
