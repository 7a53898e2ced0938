// The two head blocks of a segment and the names of its files (FORMAT.md). Pure functions, any
// thread.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/bytes.hpp"
#include "engine/base/clock.hpp"
#include "engine/base/ids.hpp"
#include "engine/base/result.hpp"
#include "storage/log/limits.hpp"

namespace ringgate::log {

using NodeId = std::array<std::uint8_t, 16>;
std::string to_text(const NodeId& node);  // 8-4-4-4-12
std::optional<NodeId> node_from_text(std::string_view text);

struct StreamId {
  std::uint32_t run = 0;
  ShardIndex shard = 0;
  friend bool operator==(const StreamId&, const StreamId&) = default;
  friend auto operator<=>(const StreamId&, const StreamId&) = default;
};

constexpr std::uint64_t seal_offset = block_size;
constexpr std::uint64_t records_offset = 2 * block_size;

struct SegmentHeader {
  NodeId node{};
  StreamId stream;
  std::uint64_t epoch = 0;
  Position base = 0;
  std::uint64_t size_bytes = 0;
  WallUs created_us = 0;
  Position committed = 0;

  // Where the next segment of a full one begins.
  Position next_base() const { return base + size_bytes - records_offset; }
  std::uint64_t offset_of(Position position) const { return position - base + records_offset; }
};

enum class SealKind : std::uint32_t { full = 1, stopped = 2, recovered = 3, replaced = 4 };
std::string_view seal_kind_name(SealKind kind);

struct Seal {
  SealKind kind = SealKind::full;
  Position end = 0;
  std::uint64_t records = 0;
  WallUs first_received_us = 0;
  WallUs last_received_us = 0;
  std::uint64_t damaged = 0;
};

// Each fills exactly one block.
void encode_header(const SegmentHeader& header, MutableBytes block);
void encode_seal(const Seal& seal, std::uint64_t epoch, MutableBytes block);
// Error: what is wrong with the block, for people.
Result<SegmentHeader> decode_header(Bytes block);
// Nothing where there is no valid seal of this epoch.
std::optional<Seal> decode_seal(Bytes block, std::uint64_t epoch);

std::string segment_file_name(const StreamId& stream, Position base);
struct SegmentName {
  StreamId stream;
  Position base = 0;
  bool compressed = false;
};
// Of a plain ("….seg") or a compressed ("….segz") segment.
std::optional<SegmentName> parse_segment_file_name(std::string_view name);
// Of an index ("….idx"): the segment that it belongs to.
std::optional<SegmentName> parse_index_file_name(std::string_view name);
// The names of a segment's other files, from that of its plain one.
inline std::string compressed_name_of(std::string_view plain) { return std::string(plain) + "z"; }
inline std::string index_name_of(std::string_view plain) {
  return std::string(plain.substr(0, plain.size() - 4)).append(".idx");
}

// "node/run-shard/position"
std::string record_id(const NodeId& node, const StreamId& stream, Position position);

}  // namespace ringgate::log
