// A simulated terminal on a bench: commands are written with the gateway's codec and what comes
// back is read with it, so that two pieces of code that were written apart must agree.
#pragma once

#include <doctest/doctest.h>

#include <array>
#include <map>
#include <string>
#include <vector>

#include "protocols/jt808/codec/body_json.hpp"
#include "protocols/jt808/codec/framing.hpp"
#include "protocols/jt808/codec/header.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/codec/writer.hpp"
#include "tools/load/terminal/terminal.hpp"

namespace ringgate::load::test {

struct Said {
  jt808::Header header;
  Body frame;  // unescaped
  Body body() const {
    const Bytes bytes = jt808::body_of(frame, header);
    return {bytes.begin(), bytes.end()};
  }
};

inline Said read(const Uplink& uplink) {
  std::array<std::uint8_t, jt808::scratch_size> scratch;
  const jt808::NextFrame next = jt808::next_frame(uplink.wire, scratch);
  REQUIRE(next.kind == jt808::NextFrame::Kind::frame);
  REQUIRE(next.consumed == uplink.wire.size());
  Said out;
  REQUIRE(jt808::parse_header(next.frame, out.header) == jt808::BadReason::none);
  out.frame.assign(next.frame.begin(), next.frame.end());
  CHECK(out.header.message_id == uplink.message_id);
  CHECK(out.header.serial == uplink.serial);
  return out;
}

// A whole message, as it is in JSON.
struct Message {
  std::uint16_t id = 0;
  Body body;
  std::string json;
  bool has(std::string_view text) const { return json.find(text) != std::string::npos; }
};

class Bench {
 public:
  static constexpr std::uint64_t phone = 13'800'001'234;

  explicit Bench(Version version, TerminalOptions options = {})
      : version_(version), terminal_([&] {
          options.version = version;
          options.has_events = true;
          return options;
        }(), phone, wall0) {}

  Terminal& terminal() { return terminal_; }
  Outbox& out() { return out_; }
  jt808::Version codec_version() const {
    return version_ == Version::v2019 ? jt808::Version::v2019 : jt808::Version::v2013;
  }
  Moment moment() {
    return {now, wall0 + now / 1000, position, &next_serial_};
  }

  // A command as JSON; the serial it went out with.
  std::uint16_t tell(std::uint16_t id, std::string_view json = "{}") {
    const jt808::MessageSpec* spec = jt808::find_message(id);
    REQUIRE(spec != nullptr);
    const auto body = jt808::encode_body(*spec, codec_version(), json);
    REQUIRE_MESSAGE(body.ok(), (body.ok() ? "" : body.error().message));
    return tell_raw(id, body.value());
  }
  std::uint16_t tell_raw(std::uint16_t id, Bytes body) {
    const std::uint16_t first = platform_serial_;
    const std::size_t part = 900;
    const auto total = static_cast<std::uint16_t>((body.size() + part - 1) / part);
    if (total <= 1) {
      tell_part(id, platform_serial_++, 0, 0, body);
    }
    for (std::uint16_t i = 0; total > 1 && i < total; ++i) {
      tell_part(id, platform_serial_++, total, static_cast<std::uint16_t>(i + 1),
                body.subspan(i * part, std::min(part, body.size() - i * part)));
    }
    return first;
  }
  void tell_part(std::uint16_t id, std::uint16_t serial, std::uint16_t total, std::uint16_t number,
                 Bytes body) {
    const jt808::Peer peer = jt808::make_peer(codec_version(), std::to_string(phone));
    jt808::FrameWriter writer = total > 0 ? jt808::FrameWriter(peer, id, serial, total, number)
                                          : jt808::FrameWriter(peer, id, serial);
    writer.bytes(body);
    terminal_.on_downlink(read_downlink(writer.unescaped(), version_), moment(), out_);
  }
  // Lets time pass until `until_ns`, in steps of what is due.
  void wait(MonoNs duration_ns) {
    const MonoNs until = now + duration_ns;
    while (terminal_.next_due() <= until) {
      now = std::max(now, terminal_.next_due());
      terminal_.on_time(moment(), out_);
    }
    now = until;
  }
  // Acknowledges everything that was said, as the gateway does; `media` with 0x8800.
  void acknowledge_all() {
    const std::vector<Uplink> frames = out_.frames;
    for (const Uplink& frame : frames) {
      if (frame.message_id == 0x0001) continue;
      CHECK(terminal_.on_answer(frame.message_id, frame.serial, 0, moment(), out_));
    }
  }

  // What was said since the last call, parts put together; parts of what is not whole stay.
  std::vector<Message> take() {
    std::vector<Message> out;
    for (const Uplink& uplink : out_.frames) {
      const Said said = read(uplink);
      if (!said.header.subpackage()) {
        out.push_back(message(said.header, said.body()));
        continue;
      }
      const std::uint32_t key =
          std::uint32_t{said.header.message_id} << 16 |
          static_cast<std::uint16_t>(said.header.serial - said.header.packet_number);
      auto& parts = parts_[key];
      parts[said.header.packet_number] = said.body();
      if (parts.size() < said.header.packet_total) continue;
      Body whole;
      for (const auto& [number, part] : parts) whole.insert(whole.end(), part.begin(), part.end());
      parts_.erase(key);
      out.push_back(message(said.header, whole));
    }
    out_.frames.clear();
    return out;
  }
  // The parts that are missing of what began with message `id`.
  std::vector<std::uint16_t> missing(std::uint16_t id, std::uint16_t total) const {
    std::vector<std::uint16_t> out;
    for (const auto& [key, parts] : parts_) {
      if (key >> 16 != id) continue;
      for (std::uint16_t n = 1; n <= total; ++n) {
        if (!parts.contains(n)) out.push_back(n);
      }
    }
    return out;
  }
  std::string events() { return std::exchange(out_.events, {}); }

  static constexpr WallUs wall0 = 1'700'000'000'000'000;
  MonoNs now = ns_per_s;
  Position position;

 private:
  Message message(jt808::Header header, const Body& body) const {
    Message out{header.message_id, body, {}};
    const jt808::MessageSpec* spec = jt808::find_message(header.message_id);
    REQUIRE(spec != nullptr);
    CHECK(spec->from_device);
    const jt808::BodyCheck check = jt808::check_body(*spec, header.version, body);
    CHECK_MESSAGE(check.ok(), header.message_id, " ", check.problem, " at ", check.offset);
    JsonWriter json(out.json);
    json.begin_object();
    jt808::body_json(*spec, header, body, true, json);
    json.end_object();
    CHECK_MESSAGE(!out.has("\"unparsed\""), out.json);
    return out;
  }

  Version version_;
  std::uint16_t next_serial_ = 100;
  std::uint16_t platform_serial_ = 7000;
  Terminal terminal_;
  Outbox out_;
  std::map<std::uint32_t, std::map<std::uint16_t, Body>> parts_;
};

inline const Message* find(const std::vector<Message>& messages, std::uint16_t id) {
  for (const Message& one : messages) {
    if (one.id == id) return &one;
  }
  return nullptr;
}

// The result of the 0x0001 to a command; -1: there is none.
inline int result_of(const std::vector<Message>& messages, std::uint16_t id, std::uint16_t serial) {
  for (const Message& one : messages) {
    BodyReader in(one.body);
    if (one.id == 0x0001 && in.u16() == serial && in.u16() == id) return in.u8();
  }
  return -1;
}

}  // namespace ringgate::load::test
