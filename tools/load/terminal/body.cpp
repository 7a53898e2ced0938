#include "tools/load/terminal/body.hpp"

namespace ringgate::load {

BodyWriter& BodyWriter::number(std::uint64_t value, int size) {
  for (int i = size - 1; i >= 0; --i) body_.push_back(static_cast<std::uint8_t>(value >> (8 * i)));
  return *this;
}

BodyWriter& BodyWriter::bytes(Bytes value) {
  body_.insert(body_.end(), value.begin(), value.end());
  return *this;
}

BodyWriter& BodyWriter::fixed(std::string_view value, std::size_t size) {
  const std::size_t taken = value.size() < size ? value.size() : size;
  text(value.substr(0, taken));
  body_.resize(body_.size() + size - taken);
  return *this;
}

}  // namespace ringgate::load
