// Who may drive the proxy: what a browser could send for a page of elsewhere is refused.
#include "tools/chaos/control.hpp"

#include <doctest/doctest.h>

using namespace ringgate;
using namespace ringgate::chaos;

TEST_CASE("Host and Origin") {
  const std::vector<std::string> hosts = {"test.example:8474"};
  for (const char* fine : {"127.0.0.1:8474", "localhost:8474", "localhost", "[::1]:8474",
                           "10.0.0.5:8474", "test.example:8474", ""}) {
    CHECK_MESSAGE(foreign(fine, nullptr, hosts).empty(), std::string(fine));
  }
  for (const char* bad : {"evil.example", "localhost.evil.example:8474", "test.example:80",
                          "127.0.0.1.evil.example", "127.1"}) {
    CHECK_FALSE_MESSAGE(foreign(bad, nullptr, hosts).empty(), std::string(bad));
  }
  const http::Field own{"Origin", "http://localhost:8474"};
  const http::Field other{"Origin", "https://evil.example"};
  const http::Field nobody{"Origin", "null"};
  CHECK(foreign("localhost:8474", &own, hosts).empty());
  CHECK_FALSE(foreign("localhost:8474", &other, hosts).empty());
  CHECK_FALSE(foreign("localhost:8474", &nobody, hosts).empty());
}
