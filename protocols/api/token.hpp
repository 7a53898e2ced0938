// The text of a token, and what is kept of it. Pure but for the making; any thread.
//
// "rg_" + 256 random bits + a CRC of both, in hex: a mistyped or cut token is told from one that is
// unknown, and searches for leaked secrets find it by its beginning. Kept is its SHA-256 alone: of
// so many random bits nobody finds the text again, so no salt and no slow hash are needed.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "engine/base/bytes.hpp"
#include "engine/io/sys.hpp"
#include "protocols/api/route.hpp"

namespace ringgate::api {

constexpr std::string_view token_prefix = "rg_";
constexpr std::size_t token_secret_bytes = 32;
constexpr std::size_t token_size = token_prefix.size() + 2 * token_secret_bytes + 2 * 4;
// As the state keeps names: they stand where devices have their id.
constexpr std::size_t token_name_max = 32;
// Tokens of one gateway: people and programs, not devices.
constexpr std::size_t tokens_max = 1000;

using Digest = std::array<std::uint8_t, 32>;
Digest sha256(std::string_view text);
// In a time that does not tell where they differ.
bool same_digest(const Digest& one, const Digest& other);

std::string make_token(io::Sys& sys);

enum class TokenText : std::uint8_t {
  good,
  malformed,  // no token at all
  mistyped,   // its checksum is wrong: a digit is, or some are missing
};
// Fills `digest` where it is good.
TokenText read_token(std::string_view text, Digest& digest);

// 1 to token_name_max letters, digits, "-", "_" and ".".
bool is_token_name(std::string_view name);

// Which scopes somebody has.
class ScopeSet {
 public:
  constexpr ScopeSet() = default;
  static constexpr ScopeSet all() { return ScopeSet(7); }
  // "read,command"; "" and what names no scope: nothing.
  static std::optional<ScopeSet> parse(std::string_view text);
  constexpr bool has(Scope scope) const { return (bits_ >> static_cast<unsigned>(scope) & 1) != 0; }
  constexpr void add(Scope scope) {
    bits_ = static_cast<std::uint8_t>(bits_ | 1U << static_cast<unsigned>(scope));
  }
  bool empty() const { return bits_ == 0; }
  std::string text() const;  // "read,command"
  friend bool operator==(ScopeSet, ScopeSet) = default;

 private:
  explicit constexpr ScopeSet(std::uint8_t bits) : bits_(bits) {}
  std::uint8_t bits_ = 0;
};

}  // namespace ringgate::api
