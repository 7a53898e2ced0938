#include "protocols/jt808/inflate.hpp"

#include <zlib.h>

#include "protocols/jt808/codec/body_json.hpp"
#include "protocols/jt808/codec/framing.hpp"
#include "protocols/jt808/codec/header.hpp"
#include "protocols/jt808/limits.hpp"

namespace ringgate::jt808 {

namespace {

constexpr int gzip_window = 15 + 16;  // the largest window; a gzip header, no other

template <class Take>
Inflated run(Bytes gzip, Take&& take) {
  z_stream stream{};
  if (inflateInit2(&stream, gzip_window) != Z_OK) return Inflated::broken;
  stream.next_in = const_cast<Bytef*>(gzip.data());  // zlib reads only
  stream.avail_in = static_cast<uInt>(gzip.size());
  std::uint8_t piece[4096];
  std::uint64_t made = 0;
  Inflated result = Inflated::broken;
  for (int status = Z_OK; status == Z_OK;) {
    stream.next_out = piece;
    stream.avail_out = sizeof piece;
    status = ::inflate(&stream, Z_NO_FLUSH);
    const std::size_t size = sizeof piece - stream.avail_out;
    made += size;
    const bool blown_up = made > inflated_free && made > gzip.size() * inflated_ratio_max;
    if (made > inflated_max || blown_up) {
      result = Inflated::bomb;
      break;
    }
    take(Bytes(piece, size));
    if (status == Z_STREAM_END) result = Inflated::ok;
  }
  inflateEnd(&stream);
  return result;
}

}  // namespace

Bytes gzip_of(Bytes body) {
  const auto begins = [](Bytes at) { return at.size() >= 2 && at[0] == 0x1f && at[1] == 0x8b; };
  if (begins(body) || body.size() < 4) return body;
  const Bytes rest = body.subspan(4);
  const std::uint32_t size = load_be32(body.data());
  return size < rest.size() ? rest.first(size) : rest;
}

Inflated check_gzip(Bytes gzip, std::uint64_t* made_bytes) {
  std::uint64_t made = 0;
  const Inflated result = run(gzip, [&](Bytes piece) { made += piece.size(); });
  if (made_bytes != nullptr) *made_bytes = made;
  return result;
}

Inflated inflate_gzip(Bytes gzip, std::vector<std::uint8_t>& out) {
  return run(gzip, [&](Bytes piece) { out.insert(out.end(), piece.begin(), piece.end()); });
}

void inflated_json(Bytes body, bool secrets, JsonWriter& out) {
  std::vector<std::uint8_t> bytes;
  const Inflated result = inflate_gzip(gzip_of(body), bytes);
  out.begin_object();
  if (result != Inflated::ok) {
    out.key("error").text(result == Inflated::bomb ? "inflates beyond the bound"
                                                   : "not a whole gzip stream");
  }
  out.key("size").unsigned_integer(bytes.size());
  std::vector<std::uint8_t> scratch(scratch_size);
  const NextFrame framed = next_frame(bytes, scratch);
  Header header;
  if (framed.kind == NextFrame::Kind::frame && framed.consumed == bytes.size() &&
      parse_header(framed.frame, header) == BadReason::none) {
    out.key("as").text("frame").key("message");
    frame_json(framed.frame, secrets, out);
  } else if (parse_header(bytes, header) == BadReason::none) {
    out.key("as").text("header-and-body").key("message");
    frame_json(bytes, secrets, out);
  } else {
    out.key("as").text("bytes").key("hex").hex(bytes);
  }
  out.end_object();
}

}  // namespace ringgate::jt808
