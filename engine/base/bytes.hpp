// Bytes on the wire and on disk: spans, and loads and stores of fixed width and byte order.
// Everything here is pure and may be called from any thread.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <type_traits>

namespace ringgate {

using Bytes = std::span<const std::uint8_t>;
using MutableBytes = std::span<std::uint8_t>;

static_assert(std::endian::native == std::endian::little, "ringgate runs on little-endian CPUs");

inline Bytes as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string_view as_text(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

// Unaligned loads and stores. The caller guarantees that sizeof(T) bytes are there.
template <class T>
inline T load_native(const std::uint8_t* from) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, from, sizeof value);
  return value;
}
template <class T>
inline void store_native(std::uint8_t* to, T value) {
  static_assert(std::is_trivially_copyable_v<T>);
  std::memcpy(to, &value, sizeof value);
}

inline std::uint16_t load_be16(const std::uint8_t* from) {
  return __builtin_bswap16(load_native<std::uint16_t>(from));
}
inline std::uint32_t load_be32(const std::uint8_t* from) {
  return __builtin_bswap32(load_native<std::uint32_t>(from));
}
inline std::uint64_t load_be64(const std::uint8_t* from) {
  return __builtin_bswap64(load_native<std::uint64_t>(from));
}
inline void store_be16(std::uint8_t* to, std::uint16_t value) {
  store_native(to, __builtin_bswap16(value));
}
inline void store_be32(std::uint8_t* to, std::uint32_t value) {
  store_native(to, __builtin_bswap32(value));
}
inline void store_be64(std::uint8_t* to, std::uint64_t value) {
  store_native(to, __builtin_bswap64(value));
}

// Rounds up or down to a power of two.
constexpr std::uint64_t align_up(std::uint64_t value, std::uint64_t power_of_two) {
  return (value + power_of_two - 1) & ~(power_of_two - 1);
}
constexpr std::uint64_t align_down(std::uint64_t value, std::uint64_t power_of_two) {
  return value & ~(power_of_two - 1);
}

}  // namespace ringgate
