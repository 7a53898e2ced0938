// A terminal that gets commands: it answers late, twice, never or to something else, and its links
// die.
#pragma once

#include <doctest/doctest.h>

#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine/base/hex.hpp"
#include "protocols/jt808/session.hpp"
#include "tests/sim/gateway.hpp"

namespace ringgate::sim {

using Raw = std::vector<std::uint8_t>;
using Frame = std::pair<std::string, std::string>;  // device, unescaped bytes in hex

constexpr std::uint16_t plain_message = 0x8300;
constexpr std::uint16_t query_message = 0x8104;
constexpr std::uint16_t query_answer = 0x0104;

// A terminal that gets commands.
class Recruit {
 public:
  Recruit(io::World& world, std::uint64_t number, jt808::Version version)
      : world_(&world), phone_(std::to_string(number)), peer_(jt808::make_peer(version, phone_)) {}

  const std::string& phone() const { return phone_; }
  void move_to(io::World& world) {
    world_ = &world;
    leave();
  }
  void leave() {
    if (stage_ != Stage::away) link_.close();
    stage_ = Stage::away;
    inbox_.clear();
    later_.clear();
  }
  // From now on it stays, and answers everything at once.
  void behave() { well_behaved_ = true; }
  // Frames of commands that have arrived.
  std::set<Frame> seen;

  void step(const jt808::Authenticator& authenticator) {
    if (stage_ == Stage::away) {
      if (!well_behaved_ && world_->random(20) != 0) return;
      link_ = world_->connect_ipv4(Gateway::port);
      stage_ = Stage::connecting;
      return;
    }
    if (link_.refused() || link_.was_reset() || link_.ended()) {
      take();
      return leave();
    }
    if (stage_ == Stage::connecting && link_.connected()) {
      const jt808::Authenticator::Code code = authenticator.make_code(phone_, 0);
      Raw out(jt808::wire_size_max);
      out.resize(jt808::write_auth(out, peer_, serial_++, {code.data(), code.size()}));
      link_.send(out);
      stage_ = Stage::online;
    }
    take();
    if (!later_.empty() && world_->random(30) == 0) {
      link_.send(later_.back());
      later_.pop_back();
    }
    if (stage_ == Stage::online && !well_behaved_ && world_->random(400) == 0) {
      if (world_->random(2) == 0) link_.reset();
      leave();
    }
  }

 private:
  enum class Stage : std::uint8_t { away, connecting, online };

  void take() {
    const Raw more = link_.take();
    inbox_.insert(inbox_.end(), more.begin(), more.end());
    Raw scratch(jt808::scratch_size);
    std::size_t used = 0;
    for (;;) {
      const jt808::NextFrame next = jt808::next_frame(Bytes(inbox_).subspan(used), scratch);
      used += next.consumed;
      if (next.kind == jt808::NextFrame::Kind::need_more) break;
      REQUIRE(next.kind == jt808::NextFrame::Kind::frame);
      jt808::Header header;
      REQUIRE(jt808::parse_header(next.frame, header) == jt808::BadReason::none);
      if (header.message_id == jt808::id::platform_reply) continue;
      seen.emplace(phone_, to_hex(next.frame));
      answer(header);
    }
    inbox_.erase(inbox_.begin(), inbox_.begin() + static_cast<std::ptrdiff_t>(used));
  }

  Raw reply(const jt808::Header& header, std::uint16_t serial, std::uint8_t result) {
    const bool own = header.message_id == query_message &&
                     (well_behaved_ || world_->random(3) != 0);
    jt808::FrameWriter writer(peer_, own ? query_answer : jt808::id::terminal_reply, serial_++);
    writer.u16(serial);
    if (own) {
      writer.u8(0);
    } else {
      writer.u16(header.message_id).u8(result);
    }
    Raw out(jt808::wire_size_max);
    out.resize(writer.finish(out));
    return out;
  }

  void answer(const jt808::Header& header) {
    const std::uint16_t serial = header.serial;
    switch (well_behaved_ ? 9 : world_->random(10)) {
      case 0:  // never
        return;
      case 1: {  // twice
        const Raw one = reply(header, serial, 0);
        link_.send(one);
        return link_.send(one);
      }
      case 2:  // late
        return later_.push_back(reply(header, serial, 0));
      case 3:  // to something else
        return link_.send(reply(header, static_cast<std::uint16_t>(serial + 7), 0));
      case 4:  // no
        return link_.send(reply(header, serial, 1));
      default:
        return link_.send(reply(header, serial, 0));
    }
  }

  io::World* world_;
  std::string phone_;
  jt808::Peer peer_;
  io::Peer link_;
  Stage stage_ = Stage::away;
  std::uint16_t serial_ = 0;
  Raw inbox_;
  std::vector<Raw> later_;
  bool well_behaved_ = false;
};

}  // namespace ringgate::sim
