// One value of a body as JSON text. Allocates; any thread.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "protocols/jt808/codec/values.hpp"
#include "protocols/jt808/codec/walk.hpp"

namespace ringgate::jt808 {

struct ValueJson {
  std::string value;  // JSON
  std::vector<std::pair<std::string_view, std::string>> parts;  // of bits: key, JSON
  bool exact = true;  // the bytes can be had back from it
};
ValueJson value_json(const FieldSeen& seen);

// What is shown of a secret: as many stars as it has bytes.
ValueJson hidden_value(std::size_t size);
std::string stars(std::size_t size);

}  // namespace ringgate::jt808
