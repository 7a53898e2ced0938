#include "engine/base/hex.hpp"
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = ringgate::from_hex(ringgate::as_text({data, size}));
  if (bytes && ringgate::from_hex(ringgate::to_hex(*bytes)) != bytes) __builtin_trap();
  return 0;
}
