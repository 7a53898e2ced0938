// Frames written from any text: what encodes obeys the law (decoded and encoded again it is the
// same bytes), what does not says why. Input: JSON; or, where it does not begin with a brace, eight
// bytes that choose edits and the body of a frame whose JSON is edited. Ten minutes by hand: as in
// jt808_framing_fuzz.cpp, with fuzz-jt808-json.
#include <algorithm>
#include <cstdint>
#include <string>

#include "engine/base/bytes.hpp"
#include "protocols/jt808/codec/writer.hpp"
#include "tests/unit/jt808/law.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

void encode_text(std::string_view text) {
  const auto frame = encode_frame(text);
  if (!frame) {
    require(!frame.error().message.empty());
  } else {
    require(test::broken_law(*frame).empty());
  }
}

// The JSON of a frame with a few characters changed, so that most of it still makes sense.
void edited(Bytes input) {
  if (input.size() < 8) return;
  const MessageSpec& message = messages()[load_be16(&input[0]) % messages().size()];
  const Version version = (input[2] & 1) != 0 ? Version::v2019 : Version::v2013;
  const std::size_t size = std::min(input.size() - 8, body_size_max);
  FrameWriter writer(make_peer(version, "13800138000"), message.id, 7);
  writer.bytes(input.subspan(8, size));
  std::string text = test::json_of_frame(writer.unescaped());
  constexpr std::string_view characters = "0123456789-.eE\"{}[],:_ naftu\\\x80";
  for (std::size_t i = 3; i + 1 < 8; i += 2) {
    const std::size_t at = (input[i] * std::size_t{257} + input[i + 1]) % text.size();
    switch (input[i] % 4) {
      case 0: text[at] = characters[input[i + 1] % characters.size()]; break;
      case 1: text.insert(at, 1, characters[input[i + 1] % characters.size()]); break;
      case 2: text.erase(at, 1); break;
      default: {
        // A whole member goes.
        const std::size_t from = text.find(",\"", at);
        const std::size_t to = from == std::string::npos ? from : text.find(",\"", from + 1);
        if (to != std::string::npos) text.erase(from, to - from);
      }
    }
  }
  encode_text(text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size != 0 && data[0] != '{') edited({data, size});
  const std::string_view text = as_text({data, size});
  encode_text(text);
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
