#include "storage/log/segment.hpp"

#include <fmt/format.h>

#include <charconv>

#include "engine/base/crc32c.hpp"
#include "engine/base/hex.hpp"
#include "storage/log/format_version.hpp"
#include "storage/log/record.hpp"

namespace ringgate::log {

namespace {

constexpr std::uint64_t header_magic = 0x474553474f4c4752ULL;  // "RGLOGSEG"
constexpr std::uint64_t seal_magic = 0x444e45474f4c4752ULL;    // "RGLOGEND"
constexpr std::uint32_t format_version = 1;

struct HeaderBlock {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t crc;
  std::uint8_t node[16];
  std::uint32_t run;
  std::uint16_t shard;
  std::uint16_t zero;
  std::uint64_t epoch;
  std::uint64_t base;
  std::uint64_t size_bytes;
  std::int64_t created_us;
  std::uint64_t committed;
};
static_assert(sizeof(HeaderBlock) == 80);
static_assert(offsetof(HeaderBlock, crc) == 12);
static_assert(offsetof(HeaderBlock, epoch) == 40);
static_assert(offsetof(HeaderBlock, committed) == 72);

struct SealBlock {
  std::uint64_t magic;
  std::uint32_t kind;
  std::uint32_t crc;
  std::uint64_t epoch;
  std::uint64_t end;
  std::uint64_t records;
  std::int64_t first_received_us;
  std::int64_t last_received_us;
  std::uint64_t damaged;
};
static_assert(sizeof(SealBlock) == 64);
static_assert(offsetof(SealBlock, crc) == 12);
static_assert(offsetof(SealBlock, damaged) == 56);

constexpr std::size_t crc_from = 16;  // both blocks: magic, 4 bytes, CRC come first

template <class Block>
void put(Block block, std::uint32_t seed, MutableBytes out) {
  RG_CHECK(out.size() == block_size);
  std::memset(out.data(), 0, out.size());
  std::memcpy(out.data(), &block, sizeof block);
  store_native(out.data() + offsetof(Block, crc), crc32c(seed, out.subspan(crc_from)));
}

template <class Number>
bool whole_number(std::string_view text, Number& out, int number_base) {
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), out, number_base);
  return error == std::errc() && end == text.data() + text.size();
}

}  // namespace

std::string to_text(const NodeId& node) {
  const std::string hex = to_hex(node);
  return hex.substr(0, 8) + '-' + hex.substr(8, 4) + '-' + hex.substr(12, 4) + '-' +
         hex.substr(16, 4) + '-' + hex.substr(20);
}

std::optional<NodeId> node_from_text(std::string_view text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == ' ')) text.remove_suffix(1);
  if (text.size() != 36) return std::nullopt;
  std::string digits;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool dash = i == 8 || i == 13 || i == 18 || i == 23;
    if (dash != (text[i] == '-')) return std::nullopt;
    if (!dash) digits += text[i];
  }
  const auto bytes = from_hex(digits);
  NodeId node{};
  if (!bytes || bytes->size() != node.size()) return std::nullopt;
  std::memcpy(node.data(), bytes->data(), node.size());
  return node;
}

std::string_view seal_kind_name(SealKind kind) {
  switch (kind) {
    case SealKind::full:
      return "full";
    case SealKind::stopped:
      return "stopped";
    case SealKind::recovered:
      return "recovered";
    case SealKind::replaced:
      return "replaced";
  }
  return "unknown";
}

Error version_error(std::uint64_t version, std::uint64_t known) {
  if (version <= known) {
    return {0, fmt::format("format version {}, this program reads {}", version, known)};
  }
  return {newer_format,
          fmt::format("format version {}, this program reads {}: a newer ringgate wrote it, and "
                      "that one or a later reads it",
                      version, known)};
}

void encode_header(const SegmentHeader& header, MutableBytes block) {
  HeaderBlock out{};
  out.magic = header_magic;
  out.version = format_version;
  std::memcpy(out.node, header.node.data(), sizeof out.node);
  out.run = header.stream.run;
  out.shard = header.stream.shard;
  out.epoch = header.epoch;
  out.base = header.base;
  out.size_bytes = header.size_bytes;
  out.created_us = header.created_us;
  out.committed = header.committed;
  put(out, 0, block);
}

void encode_seal(const Seal& seal, std::uint64_t epoch, MutableBytes block) {
  SealBlock out{};
  out.magic = seal_magic;
  out.kind = static_cast<std::uint32_t>(seal.kind);
  out.epoch = epoch;
  out.end = seal.end;
  out.records = seal.records;
  out.first_received_us = seal.first_received_us;
  out.last_received_us = seal.last_received_us;
  out.damaged = seal.damaged;
  put(out, crc_seed(epoch), block);
}

Result<SegmentHeader> decode_header(Bytes block) {
  if (block.size() < block_size) return Error{0, "shorter than its header"};
  HeaderBlock in{};
  std::memcpy(&in, block.data(), sizeof in);
  if (in.magic != header_magic) return Error{0, "no segment header (wrong magic)"};
  if (in.version != format_version) {
    return version_error(in.version, format_version);
  }
  if (in.crc != crc32c(0, block.subspan(crc_from, block_size - crc_from))) {
    return Error{0, "damaged segment header (wrong checksum)"};
  }
  SegmentHeader header;
  std::memcpy(header.node.data(), in.node, sizeof in.node);
  header.stream = {in.run, in.shard};
  header.epoch = in.epoch;
  header.base = in.base;
  header.size_bytes = in.size_bytes;
  header.created_us = in.created_us;
  header.committed = in.committed;
  const bool sound = in.size_bytes > records_offset && in.size_bytes <= segment_size_max &&
                     in.size_bytes % block_size == 0 && in.base % 8 == 0 && in.base < 1ULL << 62;
  if (!sound) return Error{0, "segment header with impossible numbers"};
  return header;
}

std::optional<Seal> decode_seal(Bytes block, std::uint64_t epoch) {
  if (block.size() < block_size) return std::nullopt;
  SealBlock in{};
  std::memcpy(&in, block.data(), sizeof in);
  if (in.magic != seal_magic || in.epoch != epoch || in.kind < 1 || in.kind > 4)
    return std::nullopt;
  if (in.crc != crc32c(crc_seed(epoch), block.subspan(crc_from, block_size - crc_from))) {
    return std::nullopt;
  }
  return Seal{static_cast<SealKind>(in.kind),
              in.end,
              in.records,
              in.first_received_us,
              in.last_received_us,
              in.damaged};
}

std::string segment_file_name(const StreamId& stream, Position base) {
  return fmt::format("{:010}-{:03}-{:016x}.seg", stream.run, stream.shard, base);
}

namespace {

std::optional<SegmentName> parse_name(std::string_view name) {
  if (name.size() < 31 || name[10] != '-' || name[14] != '-') return std::nullopt;
  SegmentName out;
  if (!whole_number(name.substr(0, 10), out.stream.run, 10) ||
      !whole_number(name.substr(11, 3), out.stream.shard, 10) ||
      !whole_number(name.substr(15, 16), out.base, 16)) {
    return std::nullopt;
  }
  return out;
}

}  // namespace

std::optional<SegmentName> parse_segment_file_name(std::string_view name) {
  auto out = parse_name(name);
  if (!out) return std::nullopt;
  out->compressed = name.substr(31) == ".segz";
  if (!out->compressed && name.substr(31) != ".seg") return std::nullopt;
  return out;
}

std::optional<SegmentName> parse_index_file_name(std::string_view name) {
  if (name.size() != 35 || name.substr(31) != ".idx") return std::nullopt;
  return parse_name(name);
}

std::string record_id(const NodeId& node, const StreamId& stream, Position position) {
  return fmt::format("{}/{}-{}/{}", to_text(node), stream.run, stream.shard, position);
}

}  // namespace ringgate::log
