#include "protocols/websocket/deflate.hpp"

#include <algorithm>
#include <array>

#include "engine/base/check.hpp"
#include "protocols/http/codec/head.hpp"
#include "protocols/http/codec/words.hpp"

namespace ringgate::websocket {

namespace {

// RFC 7692 7.2.1: what a sender cuts off a message's end, and a receiver puts back.
constexpr std::array<std::uint8_t, 4> tail = {0x00, 0x00, 0xff, 0xff};
constexpr int window_bits = 15;

// Takes what stands before the next semicolon.
std::string_view next_part(std::string_view& text) {
  const std::size_t end = std::min(text.find(';'), text.size());
  const std::string_view part = http::trimmed(text.substr(0, end));
  text.remove_prefix(std::min(end + 1, text.size()));
  return part;
}

bool is_window(std::string_view value) {
  if (value.size() >= 2 && value.front() == '"' && value.back() == '"') {
    value = value.substr(1, value.size() - 2);
  }
  constexpr std::string_view known[] = {"8", "9", "10", "11", "12", "13", "14", "15"};
  return std::ranges::find(known, value) != std::end(known);
}

// Whether one offer can be taken as it is: a smaller window for what we send would need streams of
// other sizes, so such an offer is left.
bool takes(std::string_view offer) {
  if (!http::same_word(next_part(offer), "permessage-deflate")) return false;
  while (!offer.empty()) {
    const std::string_view part = next_part(offer);
    const std::size_t equals = std::min(part.find('='), part.size());
    const std::string_view name = http::trimmed(part.substr(0, equals));
    const std::string_view value =
        equals == part.size() ? std::string_view{} : http::trimmed(part.substr(equals + 1));
    const bool plain = equals == part.size();
    if (name == "server_no_context_takeover" || name == "client_no_context_takeover") {
      if (!plain) return false;
    } else if (name == "client_max_window_bits") {
      if (!plain && !is_window(value)) return false;
    } else if (name != "server_max_window_bits" || (value != "15" && value != "\"15\"")) {
      return false;
    }
  }
  return true;
}

}  // namespace

std::string_view agree_on_deflate(std::string_view offers) {
  std::string_view offer;
  while (http::next_member(offers, offer)) {
    if (takes(offer)) {
      return "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    }
  }
  return {};
}

Deflater::Deflater() {
  // Level 1 and a small memory: what is sent is short, many, and from a shard.
  constexpr int memory_level = 6;
  RG_CHECK(deflateInit2(&out_, Z_BEST_SPEED, Z_DEFLATED, -window_bits, memory_level,
                        Z_DEFAULT_STRATEGY) == Z_OK);
  RG_CHECK(inflateInit2(&in_, -window_bits) == Z_OK);
}

Deflater::~Deflater() {
  deflateEnd(&out_);
  inflateEnd(&in_);
}

Bytes Deflater::deflate(Bytes message) {
  RG_CHECK(deflateReset(&out_) == Z_OK);
  buffer_.resize(deflateBound(&out_, message.size()) + 16);
  out_.next_in = const_cast<std::uint8_t*>(message.data());
  out_.avail_in = static_cast<uInt>(message.size());
  out_.next_out = buffer_.data();
  out_.avail_out = static_cast<uInt>(buffer_.size());
  RG_CHECK(::deflate(&out_, Z_SYNC_FLUSH) == Z_OK && out_.avail_in == 0 && out_.avail_out > 0);
  const std::size_t size = buffer_.size() - out_.avail_out;
  RG_CHECK(size >= tail.size());
  return {buffer_.data(), size - tail.size()};
}

Deflater::Inflated Deflater::inflate(Bytes payload, std::size_t max,
                                     std::vector<std::uint8_t>& out) {
  RG_CHECK(inflateReset(&in_) == Z_OK);
  out.clear();
  std::uint8_t piece[16 * 1024];
  for (const Bytes input : {payload, Bytes(tail)}) {
    in_.next_in = const_cast<std::uint8_t*>(input.data());
    in_.avail_in = static_cast<uInt>(input.size());
    for (;;) {
      in_.next_out = piece;
      in_.avail_out = sizeof piece;
      const int result = ::inflate(&in_, Z_SYNC_FLUSH);
      const std::size_t made = sizeof piece - in_.avail_out;
      if (out.size() + made > max) return Inflated::too_big;
      out.insert(out.end(), piece, piece + made);
      // RFC 7692 7.2.3.5: a final block ends a message too; nothing but padding may follow.
      if (result == Z_STREAM_END) return Inflated::ok;
      if (result == Z_BUF_ERROR) break;
      if (result != Z_OK) return Inflated::bad;
      if (in_.avail_in == 0 && in_.avail_out > 0) break;
    }
  }
  return Inflated::ok;
}

}  // namespace ringgate::websocket
