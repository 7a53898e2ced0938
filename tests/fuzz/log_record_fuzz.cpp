// Records, segment headers, seals, names: any bytes, also with their checksums put right, so that
// what lies behind them is reached.
#include <algorithm>
#include <cstring>
#include <vector>

#include "storage/log/record.hpp"
#include "storage/log/segment.hpp"

using namespace ringgate;
using namespace ringgate::log;

namespace {

void record(std::vector<std::uint8_t> bytes, Position position) {
  constexpr std::uint32_t seed = 7;
  for (const bool mended : {false, true}) {
    if (mended && bytes.size() >= record_header_size) {
      store_native(bytes.data() + 8, position);
      if (const std::uint32_t size = claimed_size(bytes, position);
          size <= bytes.size() && size != 0) {
        store_native(bytes.data(), record_crc(seed, bytes.data(), size));
      }
    }
    const auto found = parse_record(bytes, position, seed);
    if (!found) continue;
    if (record_header_size + found->device.size() + found->payload.size() !=
        found->header.size_bytes) {
      __builtin_trap();
    }
    if (found->proves() > position || found->end() <= position) __builtin_trap();
    // Written again it is the same record.
    std::vector<std::uint8_t> copy(padded_size(found->header.size_bytes));
    put_record(copy.data(), found->header, found->device, found->payload, seed);
    if (std::memcmp(copy.data(), bytes.data(), found->header.size_bytes) != 0) __builtin_trap();
  }
}

void head(Bytes data) {
  std::vector<std::uint8_t> block(block_size);
  std::copy_n(data.begin(), std::min(data.size(), block.size()), block.begin());
  for (const bool mended : {false, true}) {
    if (mended) {
      store_native(block.data() + 12, crc32c(0, Bytes(block).subspan(16)));
    }
    const auto header = decode_header(block);
    if (header && (header->next_base() < header->base || header->size_bytes % block_size != 0)) {
      __builtin_trap();
    }
    static_cast<void>(decode_seal(block, load_native<std::uint64_t>(block.data() + 16)));
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes{data, size};
  record({data, data + size}, size >= 16 ? load_native<std::uint64_t>(data + 8) % (1ULL << 40) : 0);
  head(bytes);
  if (const auto name = parse_segment_file_name(as_text(bytes)); name) {
    if (parse_segment_file_name(segment_file_name(name->stream, name->base))->base != name->base) {
      __builtin_trap();
    }
  }
  static_cast<void>(node_from_text(as_text(bytes)));
  return 0;
}
