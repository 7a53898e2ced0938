// A terminal for the session's tests: a phone number and version, a link, and what the platform
// must answer, byte for byte.
#pragma once

#include <string>

#include "protocols/jt808/codec/messages.hpp"
#include "tests/unit/jt808/support.hpp"
#include "tests/unit/protocol_rig.hpp"

namespace ringgate::jt808::test {

using unit::Client;
using unit::Gateway;
using unit::GatewayOptions;
using unit::RigSys;

template <class Write>
Raw written(Write&& write) {
  Raw out(wire_size_max);
  out.resize(write(MutableBytes(out)));
  return out;
}

// A phone number whose home is `shard`.
inline std::string phone_of(ShardIndex shard, unsigned shards, unsigned number = 0) {
  for (std::uint64_t phone = 13800000000ULL;; ++phone) {
    const std::string text = std::to_string(phone);
    const bool at_home = home_shard(DeviceKey(Namespace::phone, text), shards) == shard;
    if (at_home && number-- == 0) return text;
  }
}

struct Terminal {
  Terminal(Gateway& of, Client& on, std::string_view digits, Version version = Version::v2013)
      : gateway(of), link(&on), phone(digits), peer(make_peer(version, digits)) {}

  // What it sends. Each takes the next serial.
  Raw registration(const RegisterFields& fields = {.province = 44, .city = 300, .maker = "ABCDE",
                                                   .model = "M1", .terminal_id = "T1",
                                                   .plate_color = 1, .plate_gbk = "A88888"}) {
    return written([&](MutableBytes out) { return write_register(out, peer, serial++, fields); });
  }
  Raw authentication(std::string_view code) {
    return written([&](MutableBytes out) {
      return write_auth(out, peer, serial++, code, "123456789012345", "v1.2");
    });
  }
  Raw authentication() { return authentication(code()); }
  Raw empty(std::uint16_t id) {
    return written([&](MutableBytes out) { return write_empty(out, peer, id, serial++); });
  }
  Raw location(std::int64_t time_unix_s, std::uint32_t latitude = 22'500'000) {
    const LocationFields fields{.status_bits = 3,
                                .latitude_deg_x1e6 = latitude,
                                .longitude_deg_x1e6 = 114'000'000,
                                .speed_kmh_x10 = 600,
                                .heading_deg = 90,
                                .time_unix_s = time_unix_s,
                                .items = {}};
    return written([&](MutableBytes out) { return write_location(out, peer, serial++, fields); });
  }
  Raw message(std::uint16_t id, Bytes body = {}) {
    FrameWriter writer(peer, id, serial++);
    writer.bytes(body);
    return written([&](MutableBytes out) { return writer.finish(out); });
  }
  std::string code(std::uint32_t generation = 0) const {
    const Authenticator::Code code = gateway.authenticator->make_code(phone, generation);
    return {code.data(), code.size()};
  }

  // What must come back; replies are numbered per link.
  Raw ack(std::uint16_t of_serial, std::uint16_t of_id, AckResult result) {
    return written([&](MutableBytes out) {
      return write_ack(out, peer, reply_serial++, of_serial, of_id, result);
    });
  }
  // The ack of what was sent last.
  Raw ack(std::uint16_t of_id, AckResult result) {
    return ack(static_cast<std::uint16_t>(serial - 1), of_id, result);
  }
  bool hears(const Raw& expected) const {
    gateway.until([&] { return link->in.size() >= expected.size() || link->closed; });
    const std::string got = to_hex(link->in);
    link->in.clear();
    CHECK(got == to_hex(expected));
    return got == to_hex(expected);
  }
  bool says(const Raw& frame, std::uint16_t id, AckResult result) {
    link->send(frame);
    return hears(ack(id, result));
  }
  bool goes_online() { return says(authentication(), id::authentication, AckResult::ok); }

  Gateway& gateway;
  Client* link;
  std::string phone;
  Peer peer;
  std::uint16_t serial = 0;
  std::uint16_t reply_serial = 0;
};

}  // namespace ringgate::jt808::test
