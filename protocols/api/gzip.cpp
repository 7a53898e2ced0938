#include "protocols/api/gzip.hpp"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "engine/base/check.hpp"

namespace ringgate::api {

namespace {

constexpr int level = 1;
constexpr int window_bits = 15 + 16;  // zlib's way to ask for gzip
constexpr int memory_level = 8;

}  // namespace

struct Gzip::Stream {
  z_stream zlib{};
};

bool worth_gzip(std::string_view type) {
  return type.starts_with("text/") || type.find("json") != std::string_view::npos ||
         type.find("xml") != std::string_view::npos || type.find("openmetrics") != type.npos;
}

std::string plain_fields(std::string_view fields) {
  std::string out(fields);
  out += "Vary: Accept-Encoding\r\n";
  return out;
}

std::string gzip_fields(std::string_view fields) {
  std::string out = plain_fields(fields);
  constexpr std::string_view strong = "ETag: \"";
  if (const std::size_t at = out.find(strong); at != std::string::npos) {
    out.insert(at + strong.size() - 1, "W/");
  }
  out += "Content-Encoding: gzip\r\n";
  return out;
}

Gzip::Gzip() : stream_(std::make_unique<Stream>()) {
  const int made = deflateInit2(&stream_->zlib, level, Z_DEFLATED, window_bits, memory_level,
                                Z_DEFAULT_STRATEGY);
  RG_CHECK(made == Z_OK);  // only without memory
}

Gzip::~Gzip() { deflateEnd(&stream_->zlib); }

void Gzip::put(std::string_view text, bool last, std::string& out) {
  RG_CHECK(text.size() <= std::numeric_limits<uInt>::max());
  z_stream& zlib = stream_->zlib;
  // zlib does not write what next_in points to.
  zlib.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  zlib.avail_in = static_cast<uInt>(text.size());
  constexpr std::size_t room = 16 * 1024;
  for (bool more = true; more;) {
    const std::size_t before = out.size();
    out.resize(before + room);
    zlib.next_out = reinterpret_cast<Bytef*>(out.data() + before);
    zlib.avail_out = room;
    const int done = deflate(&zlib, last ? Z_FINISH : Z_NO_FLUSH);
    RG_CHECK(done == Z_OK || done == Z_STREAM_END || done == Z_BUF_ERROR);
    out.resize(before + room - zlib.avail_out);
    more = last ? done != Z_STREAM_END : zlib.avail_out == 0;
  }
}

std::string gzipped(std::string_view text) {
  std::string out;
  Gzip gzip;
  gzip.put(text, true, out);
  return out;
}

}  // namespace ringgate::api
