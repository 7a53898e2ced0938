// A program of somebody else's: built with nothing but what `meson install` and pkg-config give.
#include <cstdio>
#include <string>

#include "engine/base/crc32c.hpp"
#include "engine/base/hex.hpp"
#include "engine/base/json_writer.hpp"

int main() {
  const std::string digits = "123456789";
  std::string out;
  ringgate::JsonWriter json(out);
  json.begin_object().key("bytes").hex(ringgate::as_bytes(digits));
  json.key("crc32c").unsigned_integer(ringgate::crc32c(0, ringgate::as_bytes(digits))).end_object();
  std::puts(out.c_str());
}
