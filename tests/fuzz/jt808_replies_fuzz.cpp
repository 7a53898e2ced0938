// What the gateway writes must come back as it was put: the fast acknowledgement is the same as the
// general writer's, and any frame survives escaping, framing and the header parser. Input: 20 bytes
// for peer and numbers, the rest is a body.
// Ten minutes by hand: as in jt808_framing_fuzz.cpp, with fuzz-jt808-replies.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/codec/writer.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;
using Raw = std::vector<std::uint8_t>;

constexpr std::size_t choices_size = 20;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

// A peer as a terminal would make one: through a header that it sent.
Peer peer_from(const std::uint8_t* choices) {
  std::uint8_t frame[header_size_max] = {};
  const bool v2019 = (choices[0] & 1) != 0;
  const bool flagged = v2019 || (choices[0] & 2) != 0;
  frame[2] = flagged ? 0x40 : 0;
  std::size_t at = 4;
  if (v2019) frame[at++] = choices[1];
  const std::size_t phone_size = v2019 ? 10 : 6;
  for (std::size_t i = 0; i < phone_size; ++i) frame[at + i] = choices[2 + i] & 0x77;
  Header header;
  require(parse_header({frame, at + phone_size + 2}, header) == BadReason::none);
  return peer_of(header);
}

// `wire` must be exactly one frame; its header and body.
Bytes only_frame(Bytes wire, MutableBytes scratch, Header& header) {
  const NextFrame next = next_frame(wire, scratch);
  require(next.kind == NextFrame::Kind::frame);
  require(next.consumed == wire.size());
  require(parse_header(next.frame, header) == BadReason::none);
  return next.frame;
}

void check_peer(const Peer& peer, const Header& header) {
  const Peer back = peer_of(header);
  require(back.size == peer.size && back.versioned == peer.versioned);
  require(std::equal(back.bytes, back.bytes + back.size, peer.bytes));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < choices_size || size > choices_size + body_size_max) return 0;
  const Peer peer = peer_from(data);
  const std::uint16_t serial = load_be16(data + 12);
  const std::uint16_t reply_serial = load_be16(data + 14);
  const std::uint16_t reply_id = load_be16(data + 16);
  const std::uint8_t result = data[18];
  const Bytes body{data + choices_size, size - choices_size};
  Raw scratch(scratch_size);
  Header header;

  Raw ack(ack_size_max);
  ack.resize(write_ack(ack, peer, serial, reply_serial, reply_id, static_cast<AckResult>(result)));
  FrameWriter general(peer, id::platform_reply, serial);
  general.u16(reply_serial).u16(reply_id).u8(result);
  Raw expected(wire_size_max);
  expected.resize(general.finish(expected));
  require(ack == expected);
  GeneralReply reply;
  const Bytes ack_frame = only_frame(ack, scratch, header);
  require(decode_general_reply(body_of(ack_frame, header), reply));
  require(reply.reply_serial == reply_serial && reply.reply_id == reply_id);
  require(reply.result == result && header.serial == serial);
  check_peer(peer, header);

  Raw wire(wire_size_max);
  wire.resize(write_register_reply(wire, peer, serial, reply_serial, RegisterResult::ok,
                                   as_text(body.first(std::min<std::size_t>(body.size(), 1020)))));
  RegistrationReply registered;
  const Bytes register_frame = only_frame(wire, scratch, header);
  require(decode_registration_reply(body_of(register_frame, header), registered));
  require(as_text(registered.code) ==
          as_text(body.first(std::min<std::size_t>(body.size(), 1020))));

  FrameWriter any(peer, reply_id, serial);
  any.bytes(body);
  wire.resize(wire_size_max);
  wire.resize(any.finish(wire));
  const Bytes back = only_frame(wire, scratch, header);
  require(as_text(back) == as_text(any.unescaped()));
  require(as_text(body_of(back, header)) == as_text(body));
  require(header.message_id == reply_id && header.serial == serial);
  check_peer(peer, header);
  return 0;
}
