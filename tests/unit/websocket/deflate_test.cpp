// permessage-deflate: which offers are taken, messages there and back, bombs and rubbish.
#include "protocols/websocket/deflate.hpp"

#include <doctest/doctest.h>

#include <random>
#include <string>

using namespace ringgate;
using namespace ringgate::websocket;

TEST_CASE("offers") {
  for (const char* offer :
       {"permessage-deflate", "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=10; server_no_context_takeover",
        "x-other, permessage-deflate;server_max_window_bits=\"15\"",
        "permessage-deflate; server_max_window_bits=10, permessage-deflate"}) {
    CAPTURE(offer);
    CHECK_FALSE(agree_on_deflate(offer).empty());
  }
  for (const char* offer :
       {"", "deflate", "permessage-deflate; server_max_window_bits=10",
        "permessage-deflate; unknown", "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; server_no_context_takeover=1"}) {
    CAPTURE(offer);
    CHECK(agree_on_deflate(offer).empty());
  }
}

TEST_CASE("messages come back as they were; each stands alone") {
  Deflater deflater;
  std::mt19937 random(7);
  std::vector<std::uint8_t> inflated;
  for (int i = 0; i < 300; ++i) {
    std::string text;
    const std::size_t size = random() % 5000;
    while (text.size() < size) text += static_cast<char>(random() % (i % 2 == 0 ? 4 : 256));
    const Bytes deflated = deflater.deflate(as_bytes(text));
    const std::vector<std::uint8_t> payload(deflated.begin(), deflated.end());
    REQUIRE(deflater.inflate(payload, 1 << 20, inflated) == Deflater::Inflated::ok);
    REQUIRE(as_text(inflated) == text);
  }
}

TEST_CASE("what is too long or no deflate") {
  Deflater deflater;
  const std::string zeros(10'000'000, '0');
  const Bytes bomb = deflater.deflate(as_bytes(zeros));
  const std::vector<std::uint8_t> payload(bomb.begin(), bomb.end());
  std::vector<std::uint8_t> inflated;
  CHECK(deflater.inflate(payload, 1 << 20, inflated) == Deflater::Inflated::too_big);
  CHECK(inflated.size() <= 1 << 20);
  const std::vector<std::uint8_t> rubbish = {0xff, 0xff, 0xff, 0xff};
  CHECK(deflater.inflate(rubbish, 1 << 20, inflated) == Deflater::Inflated::bad);
  // And the next message is none the worse.
  CHECK(deflater.inflate(payload, 1 << 24, inflated) == Deflater::Inflated::ok);
}
