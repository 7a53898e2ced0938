// Frames written from any text: what encodes obeys the law (decoded and encoded again it is the
// same bytes), what does not says why. Ten minutes by hand: as in jt808_framing_fuzz.cpp, with
// fuzz-jt808-json.
#include <cstdint>
#include <string>

#include "engine/base/bytes.hpp"
#include "tests/unit/jt808/law.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text = as_text({data, size});
  const auto frame = encode_frame(text);
  if (!frame) {
    require(!frame.error().message.empty());
  } else {
    require(test::broken_law(*frame).empty());
  }
  // The text as the body of a message that its bytes choose.
  std::size_t sum = size;
  for (const char c : text) sum = 31 * sum + static_cast<unsigned char>(c);
  const MessageSpec& message = messages()[sum % messages().size()];
  for (const Version version : {Version::v2013, Version::v2019}) {
    const auto body = encode_body(message, version, text);
    require(body.ok() || !body.error().message.empty());
  }
  return 0;
}
