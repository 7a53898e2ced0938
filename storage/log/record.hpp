// One record of the log as it lies on disk (FORMAT.md, "A record"). Pure functions, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string_view>

#include "engine/base/bytes.hpp"
#include "engine/base/clock.hpp"
#include "engine/base/crc32c.hpp"
#include "engine/base/ids.hpp"
#include "storage/event/record_view.hpp"
#include "storage/log/limits.hpp"

namespace ringgate::log {

using Kind = event::RecordKind;
// "frame-up"; "unknown" for a number that has no name.
std::string_view kind_name(Kind kind);

// Messages of the log's own state records (namespace none).
constexpr std::uint16_t end_mark = 1;
constexpr std::uint16_t commit_mark = 2;
constexpr std::uint16_t gap_mark = 3;  // of `ringgate-log repair`

using event::flag_duplicate;
using event::flag_outcome;
using event::flag_whole;

struct RecordHeader {
  std::uint32_t crc;
  std::uint32_t size_bytes;
  std::uint64_t position;
  std::int64_t received_us;
  std::int32_t wall_delta_ms;
  std::uint32_t committed_back;
  std::uint64_t link;
  std::uint8_t kind;
  std::uint8_t ns;
  std::uint8_t device_size;
  std::uint8_t flags;
  std::uint16_t message;
  std::uint16_t serial;
};
static_assert(sizeof(RecordHeader) == 48);
static_assert(offsetof(RecordHeader, size_bytes) == 4);
static_assert(offsetof(RecordHeader, position) == 8);
static_assert(offsetof(RecordHeader, received_us) == 16);
static_assert(offsetof(RecordHeader, wall_delta_ms) == 24);
static_assert(offsetof(RecordHeader, committed_back) == 28);
static_assert(offsetof(RecordHeader, link) == 32);
static_assert(offsetof(RecordHeader, kind) == 40);
static_assert(offsetof(RecordHeader, device_size) == 42);
static_assert(offsetof(RecordHeader, message) == 44);
static_assert(offsetof(RecordHeader, serial) == 46);

constexpr std::uint32_t record_header_size = sizeof(RecordHeader);

// What a caller says of a record; the writer adds the rest.
struct RecordInfo {
  Kind kind = Kind::frame_up;
  Namespace ns = Namespace::none;
  std::uint8_t flags = 0;
  std::uint16_t message = 0;
  std::uint16_t serial = 0;
  std::uint64_t link = 0;   // LinkId::packed()
  std::string_view device;  // at most 255 bytes
};

// A record found in memory. `device` and `payload` point there.
struct Record {
  RecordHeader header{};
  std::string_view device;
  Bytes payload;

  Kind kind() const { return static_cast<Kind>(header.kind); }
  Namespace ns() const { return static_cast<Namespace>(header.ns); }
  bool outcome() const { return (header.flags & flag_outcome) != 0; }
  bool duplicate() const { return (header.flags & flag_duplicate) != 0; }
  bool whole() const { return (header.flags & flag_whole) != 0; }
  WallUs wall_us() const { return header.received_us + std::int64_t{header.wall_delta_ms} * 1000; }
  Position end() const { return header.position + align_up(header.size_bytes, 8); }
  Position proves() const { return header.position - header.committed_back; }
  bool is_mark(std::uint16_t mark) const {
    return header.kind == static_cast<std::uint8_t>(Kind::state) && header.ns == 0 &&
           header.message == mark;
  }
  // The log's own book-keeping: not for readers of content.
  bool is_own() const { return is_mark(end_mark) || is_mark(commit_mark) || is_mark(gap_mark); }
  event::RecordView view() const {
    return {kind(),      ns(),                header.flags, header.message, header.serial,
            header.link, header.received_us, wall_us(),    device,         payload};
  }
};

// What the CRCs of an epoch start with.
inline std::uint32_t crc_seed(std::uint64_t epoch) {
  std::uint8_t bytes[8];
  store_native(bytes, epoch);
  return crc32c(0, bytes);
}

constexpr std::uint64_t padded_size(std::uint64_t size_bytes) { return align_up(size_bytes, 8); }

// CRC of a record whose `size_bytes` bytes lie at `at`.
inline std::uint32_t record_crc(std::uint32_t seed, const std::uint8_t* at,
                                std::uint32_t size_bytes) {
  return crc32c(seed, {at + 4, size_bytes - 4});
}

// Writes the record at `at` (8-aligned, padded_size(header.size_bytes) bytes of room): header with
// its CRC, device, payload, zeros. header.crc is ignored. Copies and checks in one pass.
void put_record(std::uint8_t* at, const RecordHeader& header, std::string_view device,
                Bytes payload, std::uint32_t seed);

// The record that should begin at bytes.data() with this position, if it is whole and valid.
std::optional<Record> parse_record(Bytes bytes, Position position, std::uint32_t seed);

// The size a record at bytes.data() claims (0 where it can't be one): tells a scanner how much to
// read.
inline std::uint32_t claimed_size(Bytes bytes, Position position) {
  if (bytes.size() < record_header_size) return 0;
  if (load_native<std::uint64_t>(bytes.data() + 8) != position) return 0;
  const auto size = load_native<std::uint32_t>(bytes.data() + 4);
  return size >= record_header_size && size <= record_size_max ? size : 0;
}

}  // namespace ringgate::log
