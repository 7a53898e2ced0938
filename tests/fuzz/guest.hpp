// A terminal at a simulated gateway for fuzzers of what reaches devices from the other side: it
// logs in, and says ok to what it is told.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "protocols/jt808/codec/messages.hpp"
#include "tests/fuzz/machine.hpp"

namespace ringgate::fuzz {

class Guest {
 public:
  Guest(io::World& world, Machine& machine) : world_(world), machine_(machine) {}

  // Leaves as whom it was here, and comes as `phone`.
  void log_in(std::string_view phone) {
    if (peer_) peer_->close();
    peer_ = world_.connect_ipv4(Machine::port);
    const DeviceKey key(Namespace::phone, phone);
    const jt808::Authenticator::Code code = machine_.authenticator->make_code(
        phone, machine_.places[0]->session->oversight().state->generation(key));
    std::vector<std::uint8_t> wire(jt808::wire_size_max);
    wire.resize(jt808::write_auth(wire, jt808::make_peer(jt808::Version::v2013, phone), 1,
                                  {code.data(), code.size()}, "123456789012345", "v"));
    peer_->send(wire);
    for (int i = 0; i < 100 && !is_online(phone); ++i) machine_.turn(ns_per_ms);
    require(is_online(phone));
  }

  bool is_online(std::string_view phone) const {
    device::DeviceTable& devices = *machine_.places[0]->devices;
    const device::DeviceSlot slot = devices.find(DeviceKey(Namespace::phone, phone));
    return slot != device::no_device && devices.at(slot).link.valid();
  }

  void answer(std::string_view phone) {
    const std::vector<std::uint8_t> bytes = peer_->take();
    std::uint8_t scratch[jt808::scratch_size];
    for (std::size_t used = 0; used < bytes.size();) {
      const jt808::NextFrame next = jt808::next_frame(Bytes(bytes).subspan(used), scratch);
      if (next.kind != jt808::NextFrame::Kind::frame) break;
      used += next.consumed;
      jt808::Header header;
      require(jt808::parse_header(next.frame, header) == jt808::BadReason::none);
      if (header.message_id == jt808::id::platform_reply) continue;
      jt808::FrameWriter frame(jt808::make_peer(jt808::Version::v2013, phone),
                               jt808::id::terminal_reply, serial_++);
      frame.u16(header.serial).u16(header.message_id).u8(0);
      std::uint8_t wire[jt808::wire_size_max];
      peer_->send({wire, frame.finish(wire)});
    }
  }

 private:
  io::World& world_;
  Machine& machine_;
  std::optional<io::Peer> peer_;  // the last that logged in
  std::uint16_t serial_ = 100;
};

}  // namespace ringgate::fuzz
