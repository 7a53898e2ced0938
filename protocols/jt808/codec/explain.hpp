// A frame byte by byte for people: what stands where, and what the table says about it. Allocates;
// any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.hpp"

namespace ringgate::jt808 {

struct ExplainLine {
  enum class Kind {
    title,    // of what follows; no bytes
    field,    // bytes with a name
    length,   // bytes that count others
    item,     // id and length of an item
    unknown,  // bytes that nothing names
    problem,  // what is wrong here; no bytes
  };
  Kind kind = Kind::field;
  unsigned depth = 0;      // of nesting
  std::size_t offset = 0;  // in the frame (header to body, unescaped)
  Bytes bytes;             // in `frame`
  std::string name;
  std::string value;
  std::string_view unit;    // "km/h"
  std::string_view source;  // "JT/T 808-2019 8.12"
  std::string_view note;
  bool is_secret = false;
};

// Lines in the order of the bytes; together they cover the frame. A frame whose header can't be
// read is one problem and its bytes.
std::vector<ExplainLine> explain(Bytes frame, bool secrets);

// "km/h" for "speed_kmh"; empty for a key without a unit.
std::string_view unit_of(std::string_view key);

}  // namespace ringgate::jt808
