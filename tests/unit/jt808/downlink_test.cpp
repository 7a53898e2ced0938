// Long messages to terminals: cut, paced, logged, and sent again byte for byte.
#include "protocols/jt808/downlink.hpp"

#include "tests/unit/jt808/terminal.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;
using namespace ringgate::jt808::test;

constexpr std::uint16_t message = 0x8108;

SharedBody body_of_size(std::size_t size) {
  auto body = std::make_shared<std::vector<std::uint8_t>>(size);
  for (std::size_t i = 0; i < size; ++i) (*body)[i] = static_cast<std::uint8_t>(i * 7 + i / 256);
  return body;
}

// The wire bytes of one part as the terminal must see them.
Raw part(const Terminal& terminal, const SharedBody& body, std::uint16_t first_serial,
         std::uint16_t number) {
  const auto total = static_cast<std::uint16_t>((body->size() + 1022) / 1023);
  FrameWriter writer(terminal.peer, message,
                     static_cast<std::uint16_t>(first_serial + number - 1), total, number);
  const std::size_t begin = (number - 1) * std::size_t{1023};
  writer.bytes(Bytes(*body).subspan(begin, std::min<std::size_t>(1023, body->size() - begin)));
  return written([&](MutableBytes out) { return writer.finish(out); });
}

struct Down {
  explicit Down(Version version = Version::v2013)
      : terminal(gateway, gateway.jt808(), "13800138000", version) {
    REQUIRE(terminal.goes_online());
    room = &gateway.rooms[0];
  }
  net::Link& link() { return *room->links->find(gateway.device(terminal.phone)->link); }
  TerminalState& state() { return link().session<TerminalState>(); }
  DeviceKey key() { return {Namespace::phone, terminal.phone}; }
  Sent write(const SharedBody& body) {
    return room->jt808->downlink().write(link(), state(), key(), message, body);
  }
  // Lets time pass until so many bytes have come.
  void until_size(std::size_t size) {
    for (int i = 0; i < 100'000 && terminal.link->in.size() < size; ++i) {
      gateway.advance(10 * ns_per_ms);
    }
  }

  Gateway gateway;
  Terminal terminal;
  Gateway::Room* room;
};

TEST_CASE("a message that fits leaves in one frame, and again with the same serial") {
  Down down;
  const SharedBody body = body_of_size(1023);
  const Sent sent = down.write(body);
  CHECK(sent.parts == 1);
  CHECK(sent.first_serial == 1);  // 0 was the answer to 0x0102
  FrameWriter writer(down.terminal.peer, message, 1);
  writer.bytes(*body);
  const Raw frame = written([&](MutableBytes out) { return writer.finish(out); });
  CHECK(down.terminal.hears(frame));
  CHECK(down.room->jt808->downlink().write_again(down.link(), down.state(), down.key(), message,
                                                 body, sent));
  CHECK(down.terminal.hears(frame));
  CHECK(down.state().next_serial == 2);
  CHECK(down.room->jt808->downlink().kept_count() == 0);
}

TEST_CASE("a long message leaves in parts with consecutive serials, each a durable record") {
  for (const Version version : {Version::v2013, Version::v2019}) {
    Down down(version);
    const SharedBody body = body_of_size(100'001);
    down.state().next_serial = 65'530;  // the serials come round in the middle
    const Sent sent = down.write(body);
    REQUIRE(sent.parts == 98);
    CHECK(sent.first_serial == 65'530);
    CHECK(sent.last_serial() == 91);
    CHECK(sent.has(65'535));
    CHECK(sent.has(91));
    CHECK(!sent.has(92));
    CHECK(down.state().next_serial == 92);
    CHECK(down.room->jt808->downlink().in_progress(down.key(), sent));
    // Never more than the window and one frame at a time.
    CHECK(down.room->links->unsent_bytes(down.link()) <= downlink_window_bytes + wire_size_max);
    Raw all;
    for (std::uint16_t number = 1; number <= sent.parts; ++number) {
      const Raw one = part(down.terminal, body, sent.first_serial, number);
      all.insert(all.end(), one.begin(), one.end());
    }
    down.until_size(all.size());
    CHECK(down.terminal.link->in == all);
    CHECK(!down.room->jt808->downlink().in_progress(down.key(), sent));
    std::string together;
    std::uint16_t number = 0;
    for (const unit::Stored& record : down.gateway.stored()) {
      if (record.kind != log::Kind::frame_down) continue;
      Header header;
      REQUIRE(parse_header(as_bytes(record.payload), header) == BadReason::none);
      CHECK(header.packet_number == ++number);
      CHECK(record.serial == static_cast<std::uint16_t>(sent.first_serial + number - 1));
      together += record.payload.substr(header.size);
    }
    CHECK(together == as_text(*body));
  }
}

TEST_CASE("0x0005 gets the parts byte for byte, also on the next link, and not for ever") {
  Down down(Version::v2019);
  Terminal& terminal = down.terminal;
  const SharedBody body = body_of_size(5 * 1023);
  const Sent sent = down.write(body);
  REQUIRE(sent.parts == 5);
  Raw all;
  for (std::uint16_t n = 1; n <= 5; ++n) {
    const Raw one = part(terminal, body, sent.first_serial, n);
    all.insert(all.end(), one.begin(), one.end());
  }
  down.until_size(all.size());
  CHECK(terminal.link->in == all);
  terminal.link->in.clear();
  terminal.reply_serial = down.state().next_serial;

  const auto expected = [&](std::initializer_list<std::uint16_t> numbers) {
    Raw bytes;
    for (const std::uint16_t n : numbers) {
      const Raw one = part(terminal, body, sent.first_serial, n);
      bytes.insert(bytes.end(), one.begin(), one.end());
    }
    const Raw ack = terminal.ack(id::resend_request, AckResult::ok);
    bytes.insert(bytes.end(), ack.begin(), ack.end());
    return bytes;
  };
  // WORD count (2019), BYTE count (2013).
  const Raw ask_2019{0, 1, 0, 2, 0, 2, 0, 5};
  const Raw ask_2013{0, 1, 1, 0, 3};
  terminal.link->send(terminal.message(id::resend_request, ask_2019));
  CHECK(terminal.hears(expected({2, 5})));
  terminal.link->send(terminal.message(id::resend_request, ask_2013));
  CHECK(terminal.hears(expected({3})));

  Terminal again(down.gateway, down.gateway.jt808(), "13800138000", Version::v2019);
  REQUIRE(again.goes_online());
  again.link->send(again.message(id::resend_request, ask_2013));
  const Raw one = part(terminal, body, sent.first_serial, 3);
  Raw bytes = one;
  const Raw ack = again.ack(id::resend_request, AckResult::ok);
  bytes.insert(bytes.end(), ack.begin(), ack.end());
  CHECK(again.hears(bytes));

  down.gateway.advance(downlink_keep + 2 * ns_per_s);
  CHECK(down.room->jt808->downlink().kept_count() == 0);
  again.link->send(again.message(id::resend_request, ask_2013));
  down.gateway.until([&] { return !again.link->in.empty(); });
  CHECK(again.link->in.size() == 25);  // an acknowledgement of 2019 alone
}

TEST_CASE("a part that is asked for twice in a request is sent once; later it may be asked again") {
  Down down(Version::v2019);
  const SharedBody body = body_of_size(2000);
  const Sent sent = down.write(body);
  down.until_size(2000);
  const Raw one = part(down.terminal, body, sent.first_serial, 2);
  down.terminal.reply_serial = down.state().next_serial;
  const Raw ask{0, static_cast<std::uint8_t>(sent.first_serial), 0, 4, 0, 2, 0, 2, 0, 2, 0, 2};
  for (int i = 0; i < 2; ++i) {
    down.terminal.link->in.clear();
    down.terminal.link->send(down.terminal.message(id::resend_request, ask));
    down.gateway.advance(20 * ns_per_ms);
    CHECK(down.terminal.hears(one + down.terminal.ack(id::resend_request, AckResult::ok)));
  }
}

TEST_CASE("a terminal that asks for everything again and again is sent a bounded number of parts") {
  Down down(Version::v2019);
  const SharedBody body = body_of_size(2000);
  const Sent sent = down.write(body);
  down.until_size(2000);
  down.terminal.link->in.clear();
  const Raw ask{0, static_cast<std::uint8_t>(sent.first_serial), 0, 2, 0, 1, 0, 2};
  for (int i = 0; i < 100; ++i) {
    down.terminal.link->send(down.terminal.message(id::resend_request, ask));
    down.gateway.advance(20 * ns_per_ms);
  }
  down.gateway.settle();
  down.gateway.advance(ns_per_s);
  const std::size_t acks = 100 * 25;
  const std::size_t parts = downlink_resends_per_part * 2 * (1023 + 30);
  CHECK(down.terminal.link->in.size() <= acks + 2 * parts);
  CHECK(down.terminal.link->in.size() >= acks);
}

TEST_CASE("write_again repeats every part; too long is refused; a lost link ends the rest") {
  Down down;
  CHECK(!down.write(body_of_size(downlink_body_max + 1)).ok());
  CHECK(down.state().next_serial == 1);
  const SharedBody body = body_of_size(3000);
  const Sent sent = down.write(body);
  Raw all;
  for (std::uint16_t n = 1; n <= 3; ++n) {
    const Raw one = part(down.terminal, body, sent.first_serial, n);
    all.insert(all.end(), one.begin(), one.end());
  }
  CHECK(down.terminal.hears(all));
  CHECK(down.room->jt808->downlink().write_again(down.link(), down.state(), down.key(), message,
                                                 body, sent));
  CHECK(down.terminal.hears(all));
  const Sent large = down.write(body_of_size(1'000'000));
  CHECK(down.room->jt808->downlink().in_progress(down.key(), large));
  down.terminal.link->abort();
  down.gateway.until([&] { return down.gateway.links() == 0; });
  down.gateway.advance(ns_per_s);
  CHECK(!down.room->jt808->downlink().in_progress(down.key(), large));
  down.gateway.advance(downlink_keep + 2 * ns_per_s);
  CHECK(down.room->jt808->downlink().kept_count() == 0);
}

}  // namespace
