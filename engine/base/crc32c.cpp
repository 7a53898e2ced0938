#include "engine/base/crc32c.hpp"

#include <array>

#if defined(__x86_64__)
#include <nmmintrin.h>
#endif

namespace ringgate {

namespace {

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0x82f63b78U : 0U);
    table[byte] = crc;
  }
  return table;
}
constexpr auto crc_table = make_table();

// Polynomials modulo the CRC's, reflected: the highest bit is x^0.
constexpr std::uint32_t one = 1U << 31;
constexpr std::uint32_t multiply(std::uint32_t a, std::uint32_t b) {
  std::uint32_t product = 0;
  for (std::uint32_t bit = one; bit != 0; bit >>= 1) {
    if ((a & bit) != 0) product ^= b;
    b = (b >> 1) ^ ((b & 1) != 0 ? 0x82f63b78U : 0U);
  }
  return product;
}
// x^(2^n).
constexpr std::array<std::uint32_t, 64> make_powers() {
  std::array<std::uint32_t, 64> table{};
  table[0] = one >> 1;
  for (std::size_t n = 1; n < table.size(); ++n) {
    table[n] = multiply(table[n - 1], table[n - 1]);
  }
  return table;
}
constexpr auto powers = make_powers();

#if defined(__x86_64__)
__attribute__((target("sse4.2"))) std::uint32_t crc32c_sse42(std::uint32_t crc, Bytes bytes) {
  std::uint64_t state = ~crc;
  const std::uint8_t* at = bytes.data();
  std::size_t left = bytes.size();
  for (; left >= 8; at += 8, left -= 8) {
    state = _mm_crc32_u64(state, load_native<std::uint64_t>(at));
  }
  auto narrow = static_cast<std::uint32_t>(state);
  if (left >= 4) {
    narrow = _mm_crc32_u32(narrow, load_native<std::uint32_t>(at));
    at += 4;
    left -= 4;
  }
  for (; left > 0; ++at, --left) narrow = _mm_crc32_u8(narrow, *at);
  return ~narrow;
}
const bool has_sse42 = __builtin_cpu_supports("sse4.2") != 0;
#endif

}  // namespace

std::uint32_t crc32c_table(std::uint32_t crc, Bytes bytes) {
  crc = ~crc;
  for (const std::uint8_t byte : bytes) crc = crc_table[(crc ^ byte) & 0xff] ^ (crc >> 8);
  return ~crc;
}

std::uint32_t crc32c(std::uint32_t crc, Bytes bytes) {
#if defined(__x86_64__)
  if (has_sse42) return crc32c_sse42(crc, bytes);
#endif
  return crc32c_table(crc, bytes);
}

std::uint32_t crc32c_join(std::uint32_t first, std::uint32_t second, std::uint64_t second_bytes) {
  // Appending n zero bits multiplies by x^n modulo the polynomial.
  std::uint32_t factor = one;
  std::uint64_t bits = second_bytes * 8;
  for (std::size_t power = 0; bits != 0; bits >>= 1, ++power) {
    if ((bits & 1) != 0) factor = multiply(powers[power], factor);
  }
  return multiply(factor, first) ^ second;
}

}  // namespace ringgate
