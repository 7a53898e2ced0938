// The hash by which files of the log find a device (FORMAT.md, "Hash of a device"): it stands on
// disk and never changes. A pure function.
#pragma once

#include <cstdint>
#include <string_view>

namespace ringgate::log {

inline std::uint64_t device_hash(std::uint8_t ns, std::string_view id) {
  std::uint64_t state = (0xcbf29ce484222325ULL ^ ns) * 0x100000001b3ULL;  // FNV-1a
  for (const char byte : id) {
    state = (state ^ static_cast<std::uint8_t>(byte)) * 0x100000001b3ULL;
  }
  // FNV leaves the high bits of short texts alike; the directory is searched by them.
  state ^= state >> 32;
  state *= 0xd6e8feb86659fd93ULL;
  state ^= state >> 32;
  return state;
}

}  // namespace ringgate::log
