// What a request for a file is answered with: all of it, a part, or that it is known already (RFC
// 9110 13 and 14). Pure; any thread.
#pragma once

#include <cstdint>
#include <string>

#include "protocols/http/codec/target.hpp"
#include "storage/blob/content.hpp"

namespace ringgate::api {

struct ContentAsked {
  std::string tag;  // the file's, strong, with its quotes
  // Fields of the request; "": not there.
  std::string range;
  std::string if_range;
  std::string if_none_match;
};

struct ContentAnswer {
  std::uint16_t status = 200;  // 206, 304, 416
  http::ByteRange part;        // of the file, what the body is
  std::string range_field;     // a whole line; empty: none
};

ContentAnswer content_answer(const ContentAsked& asked, std::uint64_t size_bytes);

}  // namespace ringgate::api
