// gzip (RFC 1952) of answers, made off the shards. One thread each.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace ringgate::api {

// Of a shorter body the head costs more than it saves.
constexpr std::size_t gzip_bytes_min = 1024;

// Whether a body of this content type gets smaller: text and JSON; media is compressed already.
bool worth_gzip(std::string_view type);

// The fields of an answer that comes gzipped: Content-Encoding and Vary behind its own, and a
// strong ETag among them made weak: the bytes are others, what they say is the same (RFC 9110
// 8.8.1).
std::string gzip_fields(std::string_view fields);
// Those of one that could have: Vary.
std::string plain_fields(std::string_view fields);

// A stream of it, some 256 KiB of memory. Level 1: a track falls to a fifth at 150 MB/s of a core;
// level 6 gains another tenth for three times the time.
class Gzip {
 public:
  Gzip();
  ~Gzip();
  Gzip(const Gzip&) = delete;
  Gzip& operator=(const Gzip&) = delete;
  // Appends to `out` what comes of `text`; with `last` the end.
  void put(std::string_view text, bool last, std::string& out);

 private:
  struct Stream;
  std::unique_ptr<Stream> stream_;
};

std::string gzipped(std::string_view text);

}  // namespace ringgate::api
