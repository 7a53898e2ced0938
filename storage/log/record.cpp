#include "storage/log/record.hpp"

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace ringgate::log {

std::string_view kind_name(Kind kind) {
  switch (kind) {
    case Kind::frame_up:
      return "frame-up";
    case Kind::frame_down:
      return "frame-down";
    case Kind::session:
      return "session";
    case Kind::command:
      return "command";
    case Kind::audit:
      return "audit";
    case Kind::media:
      return "media";
    case Kind::state:
      return "state";
  }
  return "unknown";
}

namespace {

void put_record_portable(std::uint8_t* at, const RecordHeader& header, std::string_view device,
                         Bytes payload, std::uint32_t seed) {
  std::uint8_t* to = at + record_header_size;
  std::memset(at + padded_size(header.size_bytes) - 8, 0, 8);
  std::memcpy(at, &header, record_header_size);
  std::memcpy(to, device.data(), device.size());
  if (!payload.empty()) std::memcpy(to + device.size(), payload.data(), payload.size());
  store_native(at, record_crc(seed, at, header.size_bytes));
}

#if defined(__x86_64__)
// Copies while it checks: reading back what was just stored in other widths would stall.
__attribute__((target("sse4.2"), always_inline)) inline std::uint64_t copy_and_check(
    std::uint8_t* to, const std::uint8_t* from, std::size_t size, std::uint64_t state) {
  for (; size >= 8; from += 8, to += 8, size -= 8) {
    const auto word = load_native<std::uint64_t>(from);
    store_native(to, word);
    state = _mm_crc32_u64(state, word);
  }
  auto narrow = static_cast<std::uint32_t>(state);
  if ((size & 4) != 0) {
    const auto word = load_native<std::uint32_t>(from);
    store_native(to, word);
    narrow = _mm_crc32_u32(narrow, word);
    from += 4;
    to += 4;
  }
  if ((size & 2) != 0) {
    const auto word = load_native<std::uint16_t>(from);
    store_native(to, word);
    narrow = _mm_crc32_u16(narrow, word);
    from += 2;
    to += 2;
  }
  if ((size & 1) != 0) {
    *to = *from;
    narrow = _mm_crc32_u8(narrow, *from);
  }
  return narrow;
}

__attribute__((target("sse4.2"))) void put_record_sse42(std::uint8_t* at,
                                                        const RecordHeader& header,
                                                        std::string_view device, Bytes payload,
                                                        std::uint32_t seed) {
  std::uint64_t words[6];
  std::memcpy(words, &header, sizeof words);
  std::uint64_t state = _mm_crc32_u32(~seed, header.size_bytes);
  for (int i = 1; i < 6; ++i) state = _mm_crc32_u64(state, words[i]);
  store_native<std::uint64_t>(at + padded_size(header.size_bytes) - 8, 0);
  std::memcpy(at, words, sizeof words);
  std::uint8_t* to = at + record_header_size;
  state = copy_and_check(to, as_bytes(device).data(), device.size(), state);
  state = copy_and_check(to + device.size(), payload.data(), payload.size(), state);
  store_native(at, ~static_cast<std::uint32_t>(state));
}
const bool has_sse42 = __builtin_cpu_supports("sse4.2") != 0;
#endif

}  // namespace

void put_record(std::uint8_t* at, const RecordHeader& header, std::string_view device,
                Bytes payload, std::uint32_t seed) {
#if defined(__x86_64__)
  if (has_sse42) return put_record_sse42(at, header, device, payload, seed);
#endif
  put_record_portable(at, header, device, payload, seed);
}

std::optional<Record> parse_record(Bytes bytes, Position position, std::uint32_t seed) {
  const std::uint32_t size = claimed_size(bytes, position);
  if (size == 0 || size > bytes.size()) return std::nullopt;
  Record record;
  std::memcpy(&record.header, bytes.data(), record_header_size);
  if (record.header.crc != record_crc(seed, bytes.data(), size)) return std::nullopt;
  const std::uint32_t device_end = record_header_size + record.header.device_size;
  if (device_end > size || record.header.committed_back > position) return std::nullopt;
  record.device = as_text(bytes.subspan(record_header_size, record.header.device_size));
  record.payload = bytes.subspan(device_end, size - device_end);
  return record;
}

}  // namespace ringgate::log
