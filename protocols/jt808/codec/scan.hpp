// Finds the end of a frame in one pass: where the next delimiter (7E) is, the XOR of the bytes
// before it, and whether an escape (7D) is among them. Never reads outside [from, from + size).
// Pure; any thread. JT/T 808-2019 4.4.2.
//
// SSE2 belongs to every x86-64; other CPUs take the portable path, which the tests compare with the
// fast one. AVX2 behind a run-time switch is slower at the length of a position (8.0 ns instead of
// 7.5 per frame on an EPYC, perf/micro/codec_bench.cpp): the call can then not be inlined.
#pragma once

#include <cstddef>
#include <cstdint>

#include "engine/base/bytes.hpp"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace ringgate::jt808 {

constexpr std::uint8_t delimiter = 0x7e;
constexpr std::uint8_t escape_mark = 0x7d;

struct Scan {
  std::size_t size = 0;     // bytes before the delimiter; all of them when there is none
  bool found = false;       // a delimiter follows those bytes
  bool escaped = false;     // there is a 7D among them
  std::uint8_t check = 0;   // XOR of them, as they stand
};

// True when one of the eight bytes of `word` is `byte` (Hacker's Delight 6-1).
constexpr bool has_byte(std::uint64_t word, std::uint8_t byte) {
  constexpr std::uint64_t ones = 0x0101010101010101ULL;
  const std::uint64_t zeroed = word ^ (ones * byte);
  return ((zeroed - ones) & ~zeroed & (ones << 7)) != 0;
}

inline std::uint8_t fold_xor(std::uint64_t word) {
  word ^= word >> 32;
  word ^= word >> 16;
  word ^= word >> 8;
  return static_cast<std::uint8_t>(word);
}

inline Scan scan_portable(const std::uint8_t* from, std::size_t size) {
  Scan out;
  std::uint64_t sum = 0;
  std::size_t at = 0;
  for (; at + 8 <= size; at += 8) {
    const auto word = load_native<std::uint64_t>(from + at);
    if (has_byte(word, delimiter)) break;
    out.escaped |= has_byte(word, escape_mark);
    sum ^= word;
  }
  std::uint8_t check = fold_xor(sum);
  for (; at < size; ++at) {
    if (from[at] == delimiter) {
      out.found = true;
      break;
    }
    out.escaped |= from[at] == escape_mark;
    check = static_cast<std::uint8_t>(check ^ from[at]);
  }
  out.size = at;
  out.check = check;
  return out;
}

#if defined(__SSE2__)

namespace detail {
// 16 bytes of FF, then 16 of 00: a load at 16 - n keeps the first n bytes of a block.
alignas(16) inline constexpr std::uint8_t keep_first[32] = {
    0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

inline __m128i load16(const std::uint8_t* from) {
  __m128i block;
  std::memcpy(&block, from, sizeof block);
  return block;
}
inline std::uint8_t fold_xor(__m128i block) {
  block = _mm_xor_si128(block, _mm_srli_si128(block, 8));
  return jt808::fold_xor(static_cast<std::uint64_t>(_mm_cvtsi128_si64(block)));
}
inline unsigned mask_of(__m128i block, char byte) {
  return static_cast<unsigned>(_mm_movemask_epi8(_mm_cmpeq_epi8(block, _mm_set1_epi8(byte))));
}
}  // namespace detail

inline Scan scan_frame(const std::uint8_t* from, std::size_t size) {
  using namespace detail;
  if (size < 16) return scan_portable(from, size);
  const __m128i mark = _mm_set1_epi8(static_cast<char>(escape_mark));
  __m128i sum = _mm_setzero_si128();
  __m128i marks = _mm_setzero_si128();
  Scan out;
  std::size_t at = 0;
  __m128i block;
  for (;;) {
    block = load16(from + at);
    const unsigned ends = mask_of(block, static_cast<char>(delimiter));
    if (ends != 0) {
      const auto keep = static_cast<std::size_t>(__builtin_ctz(ends));
      block = _mm_and_si128(block, load16(keep_first + 16 - keep));
      out.found = true;
      at += keep;
      break;
    }
    at += 16;
    if (at + 16 <= size) {
      sum = _mm_xor_si128(sum, block);
      marks = _mm_or_si128(marks, _mm_cmpeq_epi8(block, mark));
      continue;
    }
    // Fewer than 16 bytes are left: load the last 16 and blank what was already seen.
    sum = _mm_xor_si128(sum, block);
    marks = _mm_or_si128(marks, _mm_cmpeq_epi8(block, mark));
    const std::size_t left = size - at;
    block = _mm_andnot_si128(load16(keep_first + left), load16(from + size - 16));
    const unsigned tail_ends = mask_of(block, static_cast<char>(delimiter));
    if (tail_ends == 0) {
      at = size;
      break;
    }
    const auto keep = static_cast<std::size_t>(__builtin_ctz(tail_ends));
    block = _mm_and_si128(block, load16(keep_first + 16 - keep));
    out.found = true;
    at = size - 16 + keep;
    break;
  }
  sum = _mm_xor_si128(sum, block);
  marks = _mm_or_si128(marks, _mm_cmpeq_epi8(block, mark));
  out.size = at;
  out.check = detail::fold_xor(sum);
  out.escaped = _mm_movemask_epi8(marks) != 0;
  return out;
}

#else

inline Scan scan_frame(const std::uint8_t* from, std::size_t size) {
  return scan_portable(from, size);
}

#endif

}  // namespace ringgate::jt808
