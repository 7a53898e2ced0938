// Records as columns (FORMAT.md, "Compressed segments"): what the blocks of a compressed segment
// hold before zstd. Pure; any thread. Decoders take any bytes: what they can't be made of is false.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/clock.hpp"
#include "storage/log/record.hpp"

namespace ringgate::log {

// From a position on, until the next step: when records were received, and where their batch
// begins.
struct TimeStep {
  Position position = 0;
  WallUs received_us = 0;
  std::int32_t wall_delta_ms = 0;
  Position batch = 0;
};

// The steps of a chunk that begins at `begin`.
class Timeline {
 public:
  // Takes the chunk's records in order.
  void add(const RecordHeader& record);
  std::vector<std::uint8_t> encode(Position begin) const;
  bool decode(Bytes from, Position begin, Position end);
  // The step in force there; null: none.
  const TimeStep* at(Position position) const;
  void clear() { steps_.clear(); }

 private:
  std::vector<TimeStep> steps_;
};

// A chunk's place in the stream.
struct ChunkRange {
  Position begin = 0;
  Position end = 0;
};

// Encodes records, which lie sorted by device and then by position.
std::vector<std::uint8_t> encode_columns(std::span<const Record> records, ChunkRange chunk);

// What a block said, as records again.
class ColumnDecoder {
 public:
  struct Place {
    Position position = 0;
    std::uint32_t size_bytes = 0;
    std::uint8_t* at = nullptr;
  };
  // Where the bytes of records go: to `memory` + (position - chunk.begin), or, where `packed`, one
  // after the other.
  struct Target {
    MutableBytes memory;
    bool packed = false;
  };
  // Builds all records of the block, CRCs included; each takes padded_size() bytes.
  bool decode(Bytes from, ChunkRange chunk, const Timeline& timeline, std::uint32_t seed,
              const Target& target);
  // In the block's order: by device, then position.
  const std::vector<Place>& records() const { return places_; }
  // What detects that anything of them is not as it was: the CRC of their CRCs.
  std::uint32_t check(std::uint32_t seed) const;

 private:
  struct Shape {
    std::uint8_t kind = 0;
    std::uint8_t flags = 0;
    std::uint16_t message = 0;
    std::uint32_t payload_bytes = 0;
    std::vector<std::uint32_t> records;
  };
  struct Device {
    std::uint8_t ns = 0;
    Bytes id;
    std::uint32_t records = 0;
  };
  bool take_devices(Bytes& from, std::uint32_t records, std::uint32_t count);
  bool take_shapes(Bytes& from, std::uint32_t records, std::uint32_t count);
  bool place_records(Bytes& from, ChunkRange chunk, const Timeline& timeline,
                     const Target& target);
  bool take_payloads(Bytes& from);

  std::vector<Device> devices_;
  std::vector<Shape> shapes_;
  std::vector<std::uint64_t> shape_of_;
  std::vector<Place> places_;
};

// The same of records that are there already.
std::uint32_t check_of(std::span<const Record> records, std::uint32_t seed);

}  // namespace ringgate::log
