// Reads and writes message bodies by hand, apart from the gateway's codec on purpose (frames.hpp
// says why). Pure; allocates: commands are rare. Any thread.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "engine/base/bytes.hpp"

namespace ringgate::load {

using Body = std::vector<std::uint8_t>;

// Takes fields from the front. Reading past the end gives zeros and makes ok() false for good.
class BodyReader {
 public:
  explicit BodyReader(Bytes body) : left_(body) {}

  bool ok() const { return ok_; }
  bool ended() const { return ok_ && left_.empty(); }
  std::size_t left() const { return left_.size(); }
  Bytes rest() { return take(left_.size()); }
  Bytes take(std::size_t size) {
    if (size > left_.size()) {
      ok_ = false;
      left_ = {};
      return {};
    }
    const Bytes taken = left_.first(size);
    left_ = left_.subspan(size);
    return taken;
  }
  std::uint8_t u8() { return static_cast<std::uint8_t>(number(1)); }
  std::uint16_t u16() { return static_cast<std::uint16_t>(number(2)); }
  std::uint32_t u32() { return static_cast<std::uint32_t>(number(4)); }
  std::uint64_t u64() { return number(8); }

 private:
  std::uint64_t number(std::size_t size) {
    std::uint64_t value = 0;
    for (const std::uint8_t byte : take(size)) value = value << 8 | byte;
    return value;
  }

  Bytes left_;
  bool ok_ = true;
};

class BodyWriter {
 public:
  BodyWriter& u8(std::uint64_t value) { return number(value, 1); }
  BodyWriter& u16(std::uint64_t value) { return number(value, 2); }
  BodyWriter& u32(std::uint64_t value) { return number(value, 4); }
  BodyWriter& u64(std::uint64_t value) { return number(value, 8); }
  BodyWriter& bytes(Bytes value);
  BodyWriter& text(std::string_view value) { return bytes(as_bytes(value)); }
  // Cut or filled up with 00 behind.
  BodyWriter& fixed(std::string_view value, std::size_t size);
  BodyWriter& text1(std::string_view value) { return u8(value.size()).text(value); }

  const Body& body() const { return body_; }
  Body take() { return std::move(body_); }

 private:
  BodyWriter& number(std::uint64_t value, int size);

  Body body_;
};

}  // namespace ringgate::load
