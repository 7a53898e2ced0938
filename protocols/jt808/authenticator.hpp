// Authentication codes for terminals (JT/T 808-2019 8.9, 8.11: the text that 0x8100 gives and
// 0x0102 brings back). A code is bound to the phone number by HMAC-SHA256 and needs no storage:
//
//   key id (1 hex digit) | generation (3 hex digits) | first 96 bits of the MAC (16 base64url
//   characters)
//
// 20 characters, what the smallest terminals keep. The secret is made once in the data directory; a
// new key signs while old ones still verify; raising a device's generation revokes its codes.
//
// Constant after open(): any thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"

namespace ringgate::jt808 {

class Authenticator {
 public:
  static constexpr std::size_t code_size = 20;
  static constexpr std::uint32_t generation_max = 0xfff;
  using Code = std::array<char, code_size>;

  // Reads `data_dir`/jt808.key, or makes it (mode 0600, durable). One line a key: id and 64 hex
  // digits; the last line's key signs. Error: the file and what is wrong with it.
  static Result<std::unique_ptr<Authenticator>> open(io::Sys& sys, const std::string& data_dir);

  Code make_code(std::string_view phone, std::uint32_t generation) const;
  // In constant time for codes of the right size. `phone`: canonical digits.
  bool check(Bytes code, std::string_view phone, std::uint32_t generation) const;

 private:
  struct Key {
    std::uint8_t id = 0;
    std::array<std::uint8_t, 32> secret{};
  };
  static Code code_of(const Key& key, std::string_view phone, std::uint32_t generation);
  static Result<std::vector<Key>> parse(const std::string& text, const std::string& path);

  std::vector<Key> keys_;
};

}  // namespace ringgate::jt808
