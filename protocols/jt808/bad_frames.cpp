#include "protocols/jt808/bad_frames.hpp"

#include <arpa/inet.h>
#include <fmt/core.h>

#include <algorithm>
#include <cstring>

#include "engine/base/json_writer.hpp"
#include "protocols/jt808/codec/framing.hpp"
#include "protocols/jt808/json_wall.hpp"

namespace ringgate::jt808 {

namespace {

// The first escape that is none.
std::size_t escape_offset(Bytes bytes) {
  for (std::size_t i = 0; i + 1 < bytes.size(); ++i) {
    if (bytes[i] == escape_mark && bytes[i + 1] != 0x01 && bytes[i + 1] != 0x02) return i;
  }
  return bytes.empty() ? 0 : bytes.size() - 1;  // cut off by the delimiter
}

// Of the first byte that shows what is wrong.
std::size_t offset_of(BadReason reason, Bytes bytes) {
  switch (reason) {
    case BadReason::escape:
      return escape_offset(bytes);
    case BadReason::checksum: {  // the check byte, before the closing delimiter if that is there
      const std::size_t behind = !bytes.empty() && bytes.back() == delimiter ? 2 : 1;
      return bytes.size() > behind ? bytes.size() - behind : 0;
    }
    case BadReason::too_short:
      return bytes.size();
    case BadReason::oversize:
      return std::min(bytes.size(), content_size_max + 1);
    case BadReason::length:  // the attributes
      return 2;
    case BadReason::phone:
      return bytes.size() > 2 && (bytes[2] & 0x40) != 0 ? 5 : 4;
    case BadReason::header:  // packet total and number, behind the serial
      return bytes.size() > 2 && (bytes[2] & 0x40) != 0 ? 17 : 12;
    case BadReason::none:
    case BadReason::garbage:
      break;
  }
  return 0;
}

}  // namespace

std::string peer_text(const net::PeerAddress& peer) {
  char ip[INET6_ADDRSTRLEN] = "unknown";
  if (peer.family == 0) return ip;
  inet_ntop(peer.family, peer.ip, ip, sizeof ip);
  return peer.family == AF_INET6 ? fmt::format("[{}]:{}", ip, peer.port)
                                 : fmt::format("{}:{}", ip, peer.port);
}

BadFrames::Entry& BadFrames::put(const net::Link& link, WallUs at, BadReason reason, Bytes bytes,
                                 std::size_t offset) {
  if (ring_ == nullptr) ring_ = std::make_unique<Entry[]>(bad_frames_kept);
  Entry& entry = ring_[count_++ % bad_frames_kept];
  entry.at_us = at;
  entry.peer = link.peer;
  entry.size = static_cast<std::uint32_t>(bytes.size());
  entry.offset = static_cast<std::uint32_t>(offset);
  entry.reason = reason;
  entry.unescaped = false;
  entry.phone_size = 0;
  entry.kept = static_cast<std::uint8_t>(std::min(bytes.size(), bad_frame_bytes));
  if (entry.kept > 0) std::memcpy(entry.bytes, bytes.data(), entry.kept);
  return entry;
}

void BadFrames::note(const net::Link& link, WallUs at, BadReason reason, Bytes bytes) {
  put(link, at, reason, bytes, offset_of(reason, bytes));
}

void BadFrames::note_header(const net::Link& link, WallUs at, BadReason reason, Bytes frame) {
  put(link, at, reason, frame, offset_of(reason, frame)).unescaped = true;
}

void BadFrames::note_body(const net::Link& link, WallUs at, std::string_view phone, Bytes frame,
                          std::size_t offset) {
  Entry& entry = put(link, at, BadReason::none, frame, offset);
  entry.unescaped = true;
  entry.phone_size = static_cast<std::uint8_t>(std::min(phone.size(), sizeof entry.phone));
  std::memcpy(entry.phone, phone.data(), entry.phone_size);
}

void BadFrames::list(std::uint32_t limit, std::vector<std::string>& out) const {
  const std::uint64_t kept = std::min<std::uint64_t>(count_, bad_frames_kept);
  for (std::uint64_t i = 0; i < kept && i < limit; ++i) {
    const Entry& entry = ring_[(count_ - 1 - i) % bad_frames_kept];
    std::string text;
    JsonWriter json(text);
    json.begin_object();
    json_wall("time", entry.at_us, json);
    json.key("time_us").integer(entry.at_us);
    json.key("peer").text(peer_text(entry.peer));
    if (entry.phone_size > 0) json.key("phone").text({entry.phone, entry.phone_size});
    json.key("reason").text(entry.reason == BadReason::none ? "body" : name(entry.reason));
    json.key("offset").unsigned_integer(entry.offset);
    json.key("unescaped").boolean(entry.unescaped);
    json.key("size").unsigned_integer(entry.size);
    json.key("bytes").hex({entry.bytes, entry.kept});
    json.end_object();
    out.push_back(std::move(text));
  }
}

}  // namespace ringgate::jt808
