// Heads of responses: dates against the C library, fields, room.
#include "protocols/http/codec/response.hpp"

#include <doctest/doctest.h>

#include <ctime>
#include <string>

using namespace ringgate;
using namespace ringgate::http;

namespace {

std::string date_of(std::int64_t unix_s) {
  char text[date_size];
  write_date(unix_s, text);
  return {text, sizeof text};
}

}  // namespace

TEST_CASE("dates are those of the C library") {
  CHECK(date_of(784'111'777) == "Sun, 06 Nov 1994 08:49:37 GMT");
  // Some 30,000 moments of 250 years, no two of the same time of day.
  for (std::int64_t at = -2'208'988'800; at < 5'680'281'600; at += 263'437) {
    const std::time_t time = at;
    std::tm parts{};
    gmtime_r(&time, &parts);
    char expected[64];
    std::strftime(expected, sizeof expected, "%a, %d %b %Y %H:%M:%S GMT", &parts);
    REQUIRE(date_of(at) == expected);
  }
}

TEST_CASE("the date line is renewed with the second") {
  DateLine line;
  CHECK(line.at(784'111'777 * us_per_s) == "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
  CHECK(line.at(784'111'777 * us_per_s + 999'999) == "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n");
  CHECK(line.at(784'111'778 * us_per_s) == "Date: Sun, 06 Nov 1994 08:49:38 GMT\r\n");
}

TEST_CASE("a head") {
  std::uint8_t room[256];
  HeadWriter head({room, sizeof room});
  const std::size_t size =
      head.status(404).field("Content-Length", std::uint64_t{0}).line("X: y\r\n").end();
  CHECK(as_text({room, size}) == "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nX: y\r\n\r\n");
  HeadWriter other({room, sizeof room});
  CHECK(as_text({room, other.status(299).end()}) == "HTTP/1.1 299 \r\n\r\n");
}
