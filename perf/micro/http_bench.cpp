// How fast the head of a request is read, ours beside http_parser (the library that Node.js had
// for ten years, Debian's libhttp-parser-dev). http-bench [--rounds N]: JSON.
//
// Both do the same job: method, target, all fields as views, whether the body has a length or
// chunks, keep-alive. Ours looks further (Host, bytes that no field may have, smuggling), so the
// comparison errs in favour of the library. Time is the thread's CPU time, rounds alternate.
#include <http_parser.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/check.hpp"
#include "engine/base/json_writer.hpp"
#include "protocols/http/codec/head.hpp"

namespace {

using namespace ringgate;

constexpr int heads_per_round = 200'000;

struct Sample {
  const char* name;
  std::string text;
};

std::vector<Sample> samples() {
  return {
      {"probe", "GET /livez HTTP/1.1\r\nHost: 127.0.0.1:7880\r\n\r\n"},
      {"api", "POST /api/v1/devices/013812345678/commands?wait=5s HTTP/1.1\r\n"
              "Host: gateway.example:7880\r\nUser-Agent: curl/7.88.1\r\nAccept: */*\r\n"
              "Authorization: Bearer rg_3n5k8y2c7v1m4b6x9z0a3s5d7f9g1h3j5k7l9\r\n"
              "Content-Type: application/json\r\nContent-Length: 61\r\n\r\n"},
      {"browser",
       "GET /api/v1/map?area=30.9,120.8,31.6,122.1&cells=48 HTTP/1.1\r\n"
       "Host: gateway.example:7880\r\nConnection: keep-alive\r\n"
       "sec-ch-ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\n"
       "sec-ch-ua-platform: \"Linux\"\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) "
       "AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36\r\n"
       "Accept: application/json\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\n"
       "Sec-Fetch-Dest: empty\r\nReferer: http://gateway.example:7880/\r\n"
       "Accept-Encoding: gzip, deflate, br\r\nAccept-Language: zh-CN,zh;q=0.9,en;q=0.8\r\n"
       "Cookie: ringgate=6f1d0c5e8a7b4f3e9d2c1b0a6f5e4d3c\r\n"
       "If-None-Match: \"5f3a9c12\"\r\n\r\n"},
  };
}

double cpu_s() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

template <class T>
inline void use(const T& value) {
  asm volatile("" : : "m"(value) : "memory");
}

Bytes bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

double ours(const Sample& sample) {
  http::Head head;
  const double start = cpu_s();
  for (int i = 0; i < heads_per_round; ++i) {
    const http::HeadResult result = http::parse_head(bytes_of(sample.text), {}, head);
    RG_CHECK(result.size == sample.text.size());
    use(head);
  }
  return (cpu_s() - start) / heads_per_round * 1e9;
}

// What the library's callbacks put together: the same as http::Head.
struct LibraryHead {
  std::string_view target;
  std::array<http::Field, http::fields_max> fields;
  std::size_t count = 0;
  bool complete = false;
};

// A token may come in pieces; here, from one buffer, it never does.
int on_target(http_parser* parser, const char* at, std::size_t size) {
  static_cast<LibraryHead*>(parser->data)->target = {at, size};
  return 0;
}
int on_name(http_parser* parser, const char* at, std::size_t size) {
  auto& head = *static_cast<LibraryHead*>(parser->data);
  if (head.count == head.fields.size()) return 1;
  head.fields[head.count++].name = {at, size};
  return 0;
}
int on_value(http_parser* parser, const char* at, std::size_t size) {
  auto& head = *static_cast<LibraryHead*>(parser->data);
  head.fields[head.count - 1].value = {at, size};
  return 0;
}
int on_complete(http_parser* parser) {
  static_cast<LibraryHead*>(parser->data)->complete = true;
  return 0;
}

double library(const Sample& sample) {
  http_parser_settings settings;
  http_parser_settings_init(&settings);
  settings.on_url = on_target;
  settings.on_header_field = on_name;
  settings.on_header_value = on_value;
  settings.on_headers_complete = on_complete;
  LibraryHead head;
  http_parser parser;
  const double start = cpu_s();
  for (int i = 0; i < heads_per_round; ++i) {
    head.count = 0;
    head.complete = false;
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &head;
    http_parser_execute(&parser, &settings, sample.text.data(), sample.text.size());
    http_parser_url url;
    http_parser_url_init(&url);
    RG_CHECK(http_parser_parse_url(head.target.data(), head.target.size(), 0, &url) == 0);
    RG_CHECK(head.complete);
    bool keep = http_should_keep_alive(&parser) != 0;
    use(keep);
    use(url);
    use(head);
  }
  return (cpu_s() - start) / heads_per_round * 1e9;
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values[values.size() / 2];
}

}  // namespace

int main(int count, char** words) {
  int rounds = 9;
  if (count == 3 && std::strcmp(words[1], "--rounds") == 0) rounds = std::atoi(words[2]);
  if (count != 1 && (count != 3 || rounds < 1)) {
    std::fprintf(stderr, "usage: %s [--rounds N]\n", words[0]);
    return 2;
  }
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  for (const Sample& sample : samples()) {
    std::vector<double> mine;
    std::vector<double> theirs;
    for (int round = 0; round < rounds; ++round) {
      mine.push_back(ours(sample));
      theirs.push_back(library(sample));
    }
    json.key(sample.name).begin_object();
    json.key("bytes").number(static_cast<double>(sample.text.size()), 0);
    json.key("ringgate_ns").number(median(mine), 1);
    json.key("http_parser_ns").number(median(theirs), 1);
    json.end_object();
  }
  json.end_object();
  std::puts(text.c_str());
}
