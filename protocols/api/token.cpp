#include "protocols/api/token.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <algorithm>

#include "engine/base/check.hpp"
#include "engine/base/crc32c.hpp"
#include "engine/base/hex.hpp"
#include "protocols/http/codec/head.hpp"

namespace ringgate::api {

namespace {

constexpr std::size_t checked_size = token_size - 8;

std::string checksum(std::string_view text) {
  std::uint8_t crc[4];
  store_be32(crc, crc32c(0, as_bytes(text)));
  return to_hex(crc);
}

bool is_digit(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

}  // namespace

Digest sha256(std::string_view text) {
  Digest digest;
  unsigned size = 0;
  RG_CHECK(EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr) == 1);
  return digest;
}

bool same_digest(const Digest& one, const Digest& other) {
  return CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

std::string make_token(io::Sys& sys) {
  std::uint8_t secret[token_secret_bytes];
  sys.random_bytes(secret);
  std::string text(token_prefix);
  append_hex(text, secret);
  OPENSSL_cleanse(secret, sizeof secret);
  return text.append(checksum(text));
}

TokenText read_token(std::string_view text, Digest& digest) {
  if (!text.starts_with(token_prefix)) return TokenText::malformed;
  const std::string_view digits = text.substr(token_prefix.size());
  if (!std::ranges::all_of(digits, is_digit) || text.size() != token_size ||
      text.substr(checked_size) != checksum(text.substr(0, checked_size))) {
    return TokenText::mistyped;
  }
  digest = sha256(text);
  return TokenText::good;
}

bool is_token_name(std::string_view name) {
  return !name.empty() && name.size() <= token_name_max && std::ranges::all_of(name, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           c == '-' || c == '_' || c == '.';
  });
}

std::optional<ScopeSet> ScopeSet::parse(std::string_view text) {
  ScopeSet scopes;
  std::string_view member;
  while (http::next_member(text, member)) {
    const auto* const found = std::ranges::find(scope_names, member);
    if (found == std::end(scope_names)) return {};
    scopes.add(static_cast<Scope>(found - std::begin(scope_names)));
  }
  if (scopes.empty()) return {};
  return scopes;
}

std::string ScopeSet::text() const {
  std::string out;
  for (std::size_t i = 0; i < std::size(scope_names); ++i) {
    if (!has(static_cast<Scope>(i))) continue;
    if (!out.empty()) out += ',';
    out += scope_names[i];
  }
  return out;
}

}  // namespace ringgate::api
