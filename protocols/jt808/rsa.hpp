// The platform's RSA key (JT/T 808-2013 8.65, 8.66): what 0x8A00 tells terminals, and what opens
// bodies that they encrypt for it. Constant after open(): any thread.
//
// The standard says 1024 bits and an exchange of {e, n}; of padding and of bodies longer than a
// block it says nothing. Assumed is what terminals' libraries do by default: the body is a row of
// blocks of 128 bytes, each encrypted by itself with PKCS#1 v1.5 (or what jt808.rsa_padding says),
// and their contents one after the other are the plain body.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/result.hpp"

namespace ringgate::jt808 {

enum class RsaPadding : std::uint8_t { pkcs1, oaep, none };
inline constexpr std::string_view rsa_paddings[] = {"pkcs1", "oaep", "none"};

class RsaKey {
 public:
  static constexpr std::size_t block_size = 128;
  struct PublicKey {
    std::uint32_t exponent = 0;
    std::array<std::uint8_t, block_size> modulus{};
  };

  // Reads a private key of 1024 bits from the PEM file. Error: the file and what is wrong with it.
  static Result<std::unique_ptr<RsaKey>> open(const std::string& path, RsaPadding padding);
  ~RsaKey();
  RsaKey(const RsaKey&) = delete;
  RsaKey& operator=(const RsaKey&) = delete;

  const PublicKey& public_key() const { return public_; }
  // Nothing where the size is no row of blocks, or a block does not open. Some 100 us a block.
  std::optional<std::vector<std::uint8_t>> decrypt(Bytes body) const;

 private:
  struct Impl;
  RsaKey(std::unique_ptr<Impl> impl, RsaPadding padding);

  std::unique_ptr<Impl> impl_;
  RsaPadding padding_;
  PublicKey public_;
};

// For the configuration: empty, or a file that open() takes.
Result<void> check_rsa_key_file(std::string_view path);

}  // namespace ringgate::jt808
