// Commands: who is told what and when, what the terminal sees, and what the log tells afterwards.
#include "protocols/jt808/commands.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include "tests/unit/jt808/command_rig.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;
using namespace ringgate::jt808::test;
using unit::Stored;
using Rule = Answer::Rule;

const Raw text_body = hex("0048656c6c6f");
constexpr std::uint16_t text_message = 0x8300;

std::vector<Stored> command_records(const std::vector<Stored>& all) {
  std::vector<Stored> out;
  std::copy_if(all.begin(), all.end(), std::back_inserter(out),
               [](const Stored& r) { return r.kind == log::Kind::command; });
  return out;
}

TEST_CASE("a command: intent, frame, answer, outcome") {
  for (const Version version : {Version::v2013, Version::v2019}) {
    Commanded on({}, version);
    const Prepared what = command(text_message, text_body);
    const auto told = on.send(what);
    CHECK(on.gateway.device(on.terminal.phone)->has_commands);
    const std::uint16_t serial = on.sees(what);
    CHECK(serial == 1);
    CHECK(told->times == 0);
    on.gateway.advance(3 * ns_per_s);
    on.replies(serial, text_message);
    CHECK(on.ends(told, CommandStatus::answered));
    CHECK(told->outcome.detail == "terminal answered 0x0001: ok");
    CHECK(told->outcome.answer_message == id::terminal_reply);
    CHECK(told->outcome.transmissions == 1);
    CHECK(told->outcome.elapsed_ns == 3 * ns_per_s);
    CHECK_FALSE(on.gateway.device(on.terminal.phone)->has_commands);
    CHECK(on.commands().count() == 0);
    CHECK(on.strays() == 0);

    const auto all = on.gateway.stored();
    const auto records = command_records(all);
    REQUIRE(records.size() == 2);
    FrameWriter writer(on.terminal.peer, text_message, serial);
    writer.bytes(text_body);
    CHECK(to_hex(as_bytes(records[0].payload)) == to_hex(writer.unescaped()));
    CHECK(records[0].message == text_message);
    CHECK(records[0].serial == serial);
    CHECK(records[0].device == on.terminal.phone);
    CHECK_FALSE(records[0].outcome);
    CHECK(records[0].position == told->outcome.intent);
    CHECK(records[1].outcome);
    CHECK(records[1].message == text_message);
    CHECK(records[1].serial == serial);
    CHECK(records[1].payload ==
          "{\"status\":\"answered\",\"intent\":" + std::to_string(told->outcome.intent) +
              ",\"answer\":\"0x0001\",\"answer_serial\":1,\"transmissions\":1,"
              "\"elapsed_ms\":3000,\"detail\":\"terminal answered 0x0001: ok\"}");
    const auto answer = std::find_if(all.begin(), all.end(), [](const Stored& r) {
      return r.message == id::terminal_reply && r.kind == log::Kind::frame_up;
    });
    REQUIRE(answer != all.end());
    CHECK(to_hex(told->outcome.answer) == to_hex(as_bytes(answer->payload)));
  }
}

TEST_CASE("a terminal says no") {
  Commanded on;
  const std::pair<std::uint8_t, const char*> cases[] = {
      {1, "failed"}, {2, "bad message"}, {3, "unsupported"}, {9, "result 9"}};
  for (const auto& [result, text] : cases) {
    const Prepared what = command(text_message, text_body);
    const auto told = on.send(what);
    on.replies(on.sees(what), text_message, result);
    CHECK(on.ends(told, CommandStatus::refused));
    CHECK(told->outcome.detail == std::string("terminal answered 0x0001: ").append(text));
  }
}

TEST_CASE("answers of other serials and ids, and broken ones, answer nothing") {
  Commanded on;
  const Prepared what = command(text_message, text_body);
  const auto told = on.send(what);
  const std::uint16_t serial = on.sees(what);
  on.replies(static_cast<std::uint16_t>(serial + 1), text_message);
  on.replies(serial, 0x8400);
  on.says(id::terminal_reply, hex("0001"));
  on.gateway.settle();
  on.gateway.advance(ns_per_ms);
  CHECK(told->times == 0);
  CHECK(on.strays() == 3);
  on.replies(serial, text_message);
  on.replies(serial, text_message);  // once more
  CHECK(on.ends(told, CommandStatus::answered));
  on.gateway.settle();
  on.gateway.advance(ns_per_ms);
  CHECK(told->times == 1);
  CHECK(on.strays() == 4);
}

TEST_CASE("a dedicated reply with our serial") {
  Commanded on;
  const Prepared what = command(0x8104, {}, {.rule = Rule::own, .id = 0x0104});
  auto told = on.send(what);
  std::uint16_t serial = on.sees(what);
  on.says(0x0104, hex("ffff00"));  // another serial
  on.gateway.settle();
  on.gateway.turn();
  CHECK(told->times == 0);
  CHECK(on.strays() == 1);
  on.says(0x0104, Raw{0, static_cast<std::uint8_t>(serial), 0});
  CHECK(on.ends(told, CommandStatus::answered));
  CHECK(told->outcome.answer_message == 0x0104);
  CHECK(told->outcome.detail == "terminal answered 0x0104");

  // A 0x0001 before it says that the terminal has it: nothing is sent again.
  on.passes(0.1);
  told = on.send(what);
  serial = on.sees(what);
  on.replies(serial, 0x8104);
  CHECK(on.passes(50).empty());
  CHECK(told->times == 0);
  on.says(0x0104, Raw{0, static_cast<std::uint8_t>(serial), 0});
  CHECK(on.ends(told, CommandStatus::answered));
  CHECK(told->outcome.transmissions == 1);

  on.passes(0.1);
  told = on.send(what);
  serial = on.sees(what);
  on.replies(serial, 0x8104);
  on.passes(61);
  CHECK(on.ends(told, CommandStatus::timed_out));
  CHECK(told->outcome.detail == "terminal answered 0x0001: ok, but 0x0104 did not come");

  told = on.send(what);
  on.replies(on.sees(what), 0x8104, 3);
  CHECK(on.ends(told, CommandStatus::refused));
}

TEST_CASE("a dedicated reply without our serial goes to the command that waits for it") {
  Commanded on;
  const Prepared what = command(0x8201, {}, {.rule = Rule::own, .id = 0x0107, .has_serial = false});
  const auto first = on.send(what);
  const auto second = on.send(what);
  on.sees(what);
  on.says(0x0107, hex("0001"));
  CHECK(on.ends(first, CommandStatus::answered));
  CHECK(second->times == 0);
  // The answer's answer is the next, and then the second command.
  const std::string came = to_hex(on.passes(0.1));
  CAPTURE(came);
  CHECK(came.ends_with(to_hex(on.frame(what, 3))));
  on.says(0x0107, hex("0002"));
  CHECK(on.ends(second, CommandStatus::answered));
}

TEST_CASE("two answers: a 0x0001 and then the dedicated reply") {
  const Prepared what = command(0x8801, hex("01"), {.rule = Rule::both, .id = 0x0805});
  const auto own = [](std::uint16_t serial, std::uint8_t result) {
    return Raw{0, static_cast<std::uint8_t>(serial), result};
  };
  {
    Commanded on;
    const auto told = on.send(what);
    const std::uint16_t serial = on.sees(what);
    on.replies(serial, 0x8801);
    on.gateway.settle();
    on.gateway.turn();
    CHECK(told->times == 0);
    on.says(0x0805, own(serial, 0));
    CHECK(on.ends(told, CommandStatus::answered));
    CHECK(told->outcome.detail == "terminal answered 0x0805: ok");
  }
  {  // only the second
    Commanded on;
    const auto told = on.send(what);
    on.says(0x0805, own(on.sees(what), 0));
    CHECK(on.ends(told, CommandStatus::answered));
  }
  {  // only the first
    Commanded on;
    const auto told = on.send(what, 20 * ns_per_s);
    on.replies(on.sees(what), 0x8801);
    CHECK(on.passes(21).empty());
    CHECK(on.ends(told, CommandStatus::answered));
    CHECK(told->outcome.detail == "terminal answered 0x0001: ok; 0x0805 did not come");
    CHECK(told->outcome.answer_message == id::terminal_reply);
  }
  {  // a no in either
    Commanded on;
    auto told = on.send(what);
    on.replies(on.sees(what), 0x8801, 1);
    CHECK(on.ends(told, CommandStatus::refused));
    told = on.send(what);
    on.says(0x0805, own(on.sees(what), 2));
    CHECK(on.ends(told, CommandStatus::refused));
    CHECK(told->outcome.detail == "terminal answered 0x0805: result 2");
  }
}

TEST_CASE("either of two answers") {
  const Prepared what = command(0x9201, hex("01"), {.rule = Rule::either, .id = 0x1205});
  Commanded on;
  auto told = on.send(what);
  on.replies(on.sees(what), 0x9201);
  CHECK(on.ends(told, CommandStatus::answered));
  CHECK(told->outcome.answer_message == id::terminal_reply);
  told = on.send(what);
  const std::uint16_t serial = on.sees(what);
  on.says(0x1205, Raw{0, static_cast<std::uint8_t>(serial), 0, 0, 0, 0});
  CHECK(on.ends(told, CommandStatus::answered));
  CHECK(told->outcome.answer_message == 0x1205);
}

TEST_CASE("nothing is waited for where there is no answer, or nobody waits") {
  Commanded on;
  const Prepared silent = command(0x8204, {}, {.rule = Rule::none});
  auto told = on.send(silent);
  on.sees(silent);
  CHECK(on.ends(told, CommandStatus::sent));
  const Prepared what = command(text_message, text_body);
  told = on.send(what, 0);
  const std::uint16_t serial = on.sees(what);
  CHECK(on.ends(told, CommandStatus::sent));
  CHECK(told->outcome.transmissions == 1);
  CHECK(told->outcome.intent > 0);
  on.replies(serial, text_message);
  CHECK(on.gateway.until([&] { return on.strays() == 1; }));
}

TEST_CASE("no answer: the same bytes after T, 2T, 6T, then it is given up") {
  GatewayOptions options;
  options.jt808.commands = {.timeout_ns = 4 * ns_per_s, .retries = 3};
  Commanded on(options);
  const Prepared what = command(text_message, text_body);
  const auto told = on.send(what, 3600 * ns_per_s);
  on.sees(what);
  const Raw frame = on.frame(what, 1);
  double late = 0;
  for (const double pause : {4.0, 8.0, 24.0}) {  // T, 2T, 6T
    CHECK(on.passes(pause - 0.2 - late).empty());
    CHECK(to_hex(on.passes(0.4)) == to_hex(frame));
    late = 0.2;
  }
  CHECK(on.passes(96 - 0.2 - late).empty());  // 24T
  CHECK(told->times == 0);
  on.passes(0.4);
  CHECK(on.ends(told, CommandStatus::timed_out));
  CHECK(told->outcome.transmissions == 4);
  CHECK(told->outcome.detail == "no answer to 4 transmissions");
  // An answer that comes now comes too late.
  on.replies(1, text_message);
  CHECK(on.gateway.until([&] { return on.strays() == 1; }));
}

TEST_CASE("the caller's wait is the end of it") {
  Commanded on;
  const Prepared what = command(text_message, text_body);
  const auto told = on.send(what, 5 * ns_per_s);
  on.sees(what);
  on.passes(4.9);
  CHECK(told->times == 0);
  on.passes(0.2);
  CHECK(on.ends(told, CommandStatus::timed_out));
  CHECK(told->outcome.transmissions == 1);
}

TEST_CASE("a small window: one of a kind, a few in all, in order; a full queue is busy") {
  GatewayOptions options;
  options.jt808.commands.queue = 6;
  Commanded on(options);
  std::vector<Prepared> what;
  std::vector<std::shared_ptr<Told>> told;
  for (std::uint16_t i = 0; i < 6; ++i) {
    what.push_back(command(static_cast<std::uint16_t>(0x8f00 + (i < 5 ? i : 4)), hex("01")));
    told.push_back(on.send(what.back()));
  }
  const auto refused = on.send(command(0x8f10, {}));
  on.gateway.until([&] { return refused->times > 0; });
  CHECK(refused->outcome.status == CommandStatus::busy);
  CHECK(refused->outcome.intent == 0);
  Raw expected;
  for (std::uint16_t i = 0; i < 4; ++i) expected = expected + on.frame(what[i], 1 + i);
  CHECK(on.terminal.hears(expected));
  on.terminal.reply_serial = 5;
  on.gateway.settle();
  CHECK(on.passes(0.1).empty());
  on.replies(3, 0x8f02);
  CHECK(on.ends(told[2], CommandStatus::answered));
  on.sees(what[4]);
  // The fifth and sixth are of one kind: room in the window is not enough.
  on.replies(1, 0x8f00);
  CHECK(on.ends(told[0], CommandStatus::answered));
  CHECK(on.passes(0.1).empty());
  on.replies(5, 0x8f04);
  CHECK(on.ends(told[4], CommandStatus::answered));
  on.sees(what[5]);
  on.replies(2, 0x8f01);
  on.replies(4, 0x8f03);
  on.replies(6, 0x8f04);
  for (const auto& one : told) CHECK(on.ends(one, CommandStatus::answered));
  CHECK(on.commands().count() == 0);
}

TEST_CASE("long messages that use up all serials do not hold up the shard") {
  GatewayOptions options;
  options.jt808.commands.window = 64;
  Commanded on(options);
  std::vector<std::shared_ptr<Told>> told;
  const Raw body(downlink_body_max, 0x41);
  const Prepared first = command(0x8f00, body);
  for (std::uint16_t i = 0; i < 10; ++i) {
    auto what = std::make_shared<PreparedMessage>(*first);  // the same bytes
    what->id = static_cast<std::uint16_t>(0x8f00 + i);
    told.push_back(on.send(what, 30 * ns_per_s));
  }
  const CommandCounters counters(*on.gateway.rooms[0].counters);
  for (int i = 0; i < 200 && counters.in_flight.value() < 10; ++i) on.passes(0.1);
  CHECK(counters.in_flight.value() == 10);
  on.gateway.rooms[0].jt808->commands().start_drain();
  for (const auto& one : told) {
    CHECK(on.gateway.until([&] { return one->times > 0; }));
    CHECK(one->outcome.intent > 0);
  }
}

TEST_CASE("a command is not told as sent where its link ended before its intent was durable") {
  Commanded on;
  const Prepared silent = command(0x8204, {}, {.rule = Rule::none});
  const auto told = on.send(silent, 20 * ns_per_s);
  net::Links& links = *on.gateway.rooms[0].links;
  links.close(*links.find(on.gateway.device(on.terminal.phone)->link), net::CloseReason::kicked);
  on.passes(10);
  CHECK(told->times == 0);
  on.passes(11);
  CHECK(on.ends(told, CommandStatus::link_lost));
}

TEST_CASE("a command that waits behind others too long has no records") {
  Commanded on;
  const Prepared what = command(text_message, text_body);
  const auto first = on.send(what, 5 * ns_per_s);
  const auto second = on.send(what, 2 * ns_per_s);
  const auto third = on.send(what, 0);  // for the time of one retransmission
  on.sees(what);
  on.passes(2.1);
  CHECK(on.ends(second, CommandStatus::expired));
  CHECK(second->outcome.intent == 0);
  CHECK(on.passes(3).size() > 0);  // the third, after the first has timed out
  CHECK(on.ends(first, CommandStatus::timed_out));
  CHECK(on.ends(third, CommandStatus::sent));
  CHECK(command_records(on.gateway.stored()).size() == 4);
}

TEST_CASE("commands that nobody can take are told so at once") {
  Commanded on;
  const Prepared what = command(text_message, text_body);
  const auto status_of = [&](const Prepared& one, std::string_view phone) {
    const auto told = on.send(one, 5 * ns_per_s, phone);
    CHECK(told->times == 0);  // not from inside
    CHECK(on.gateway.until([&] { return told->times > 0; }));
    CHECK(told->device.id() == phone);
    return event::name_of(told->outcome.status);
  };
  CHECK(status_of(what, "13900000000") == "unknown");
  auto only_2019 = std::make_shared<PreparedMessage>(*what);
  only_2019->encodings[0] = {nullptr, "2013 has no such message"};
  CHECK(status_of(only_2019, on.terminal.phone) == "unsupported");
  on.terminal.link->finish();
  CHECK(on.gateway.until([&] { return on.gateway.links() == 0; }));
  CHECK(status_of(what, on.terminal.phone) == "offline");
  CHECK(on.commands().count() == 0);
  CHECK(command_records(on.gateway.stored()).empty());
}

TEST_CASE("where the log takes nothing no command is taken") {
  Commanded on;
  on.gateway.sys.disk_full = true;
  // Fills what the log has.
  while (on.gateway.rooms[0].shard->watermark().state() == flow::LogState::accepting) {
    on.terminal.link->offer(on.terminal.location(RigSys::start_unix_s));
    on.gateway.turn();
  }
  const Prepared what = command(text_message, text_body);
  const auto told = on.send(what);
  CHECK(on.ends(told, CommandStatus::not_stored));
}

TEST_CASE("a terminal that comes back in time gets the same frame on its new link") {
  Commanded on;
  const Prepared what = command(text_message, text_body);
  const auto told = on.send(what);
  const auto hurried = on.send(command(0x8f01, {}), 0);
  on.gateway.settle();
  CHECK(on.ends(hurried, CommandStatus::sent));
  REQUIRE(on.gateway.until([&] { return on.terminal.link->in.size() > 20; }));
  on.terminal.link->in.clear();
  on.terminal.link->abort();
  CHECK(on.gateway.until([&] { return on.gateway.links() == 0; }));
  CHECK(on.passes(15).empty());  // no link, nothing is sent
  on.terminal.link = &on.gateway.jt808();
  on.terminal.reply_serial = 0;
  on.terminal.link->send(on.terminal.authentication());
  CHECK(on.terminal.hears(on.terminal.ack(id::authentication, AckResult::ok) + on.frame(what, 1)));
  CHECK(told->times == 0);
  // A new command does not take the serial that is in use.
  const Prepared other = command(0x8f02, {});
  const auto second = on.send(other);
  CHECK(on.terminal.hears(on.frame(other, 2)));
  on.gateway.settle();
  on.replies(1, text_message);
  on.replies(2, 0x8f02);
  CHECK(on.ends(told, CommandStatus::answered));
  CHECK(told->outcome.transmissions == 2);
  CHECK(on.ends(second, CommandStatus::answered));
  CHECK(command_records(on.gateway.stored()).size() == 6);
}

TEST_CASE("a replaced link hands its commands to the one that replaces it") {
  Commanded on;
  const Prepared what = command(text_message, text_body);
  const auto told = on.send(what);
  on.sees(what);
  Client* old = on.terminal.link;
  on.terminal.link = &on.gateway.jt808();
  on.terminal.reply_serial = 0;
  on.terminal.link->send(on.terminal.authentication());
  CHECK(on.terminal.hears(on.terminal.ack(id::authentication, AckResult::ok) + on.frame(what, 1)));
  CHECK(on.gateway.until([&] { return old->closed; }));
  on.replies(1, text_message);
  CHECK(on.ends(told, CommandStatus::answered));
}

TEST_CASE("a terminal that does not come back loses its commands") {
  Commanded on;
  const Prepared what = command(text_message, text_body);
  const auto waits = on.send(what, 5 * ns_per_s);
  const auto queued = on.send(what, 5 * ns_per_s);
  const auto hurried = on.send(what, 0);
  on.sees(what);
  on.terminal.link->abort();
  CHECK(on.gateway.until([&] { return on.gateway.links() == 0; }));
  CHECK(on.ends(hurried, CommandStatus::offline));
  on.passes(4.8);
  CHECK(waits->times == 0);
  on.passes(0.4);
  CHECK(on.ends(waits, CommandStatus::link_lost));
  CHECK(on.ends(queued, CommandStatus::offline));
  CHECK(on.commands().count() == 0);
}

TEST_CASE("a terminal that comes back in another version gets other bytes, with an intent") {
  Commanded on;
  auto made = std::make_shared<PreparedMessage>(*command(text_message, text_body));
  made->encodings[1].body = std::make_shared<const Raw>(hex("000148656c6c6f"));
  const Prepared what = made;
  const auto told = on.send(what);
  on.sees(what);
  on.terminal.link->abort();
  CHECK(on.gateway.until([&] { return on.gateway.links() == 0; }));
  on.terminal.link = &on.gateway.jt808();
  on.terminal.peer = make_peer(Version::v2019, on.terminal.phone);
  on.terminal.reply_serial = 0;
  on.terminal.link->send(on.terminal.authentication());
  CHECK(on.terminal.hears(on.terminal.ack(id::authentication, AckResult::ok) + on.frame(what, 1)));
  on.gateway.settle();
  on.replies(1, text_message);
  CHECK(on.ends(told, CommandStatus::answered));
  const auto records = command_records(on.gateway.stored());
  REQUIRE(records.size() == 3);
  CHECK(records[0].payload != records[1].payload);
  CHECK(records[1].position == told->outcome.intent);
}

TEST_CASE("a long message: an answer for the last part, for each, or for the first alone") {
  const Prepared what = command(0x8108, Raw(3000, 0x55));
  const auto parts = [&](Commanded& on) {
    return on.gateway.until([&] { return on.terminal.link->in.size() > 3000; });
  };
  Commanded on;
  auto told = on.send(what);
  REQUIRE(parts(on));
  on.gateway.settle();
  on.terminal.link->in.clear();
  on.replies(1, 0x8108);
  on.replies(2, 0x8108);
  on.gateway.settle();
  on.gateway.turn();
  CHECK(told->times == 0);
  on.replies(3, 0x8108);
  CHECK(on.ends(told, CommandStatus::answered));
  CHECK(told->outcome.transmissions == 1);

  told = on.send(what);
  REQUIRE(parts(on));
  on.gateway.settle();
  on.terminal.link->in.clear();
  on.replies(4, 0x8108);
  CHECK(on.passes(9.5).empty());
  CHECK(told->times == 0);
  CHECK(on.passes(1).empty());
  CHECK(on.ends(told, CommandStatus::answered));
  CHECK(told->outcome.detail == "terminal answered 0x0001 for a part: ok");

  told = on.send(what);
  REQUIRE(parts(on));
  on.gateway.settle();
  on.terminal.link->in.clear();
  on.replies(8, 0x8108, 1);
  CHECK(on.ends(told, CommandStatus::refused));
  CHECK(told->outcome.detail == "terminal answered 0x0001: failed (part 2 of 3)");

  // Without an answer all parts come again, byte for byte; without a waiter it ends when it is out.
  told = on.send(what);
  REQUIRE(parts(on));
  on.gateway.settle();
  const Raw once = on.passes(5);
  CHECK(to_hex(on.passes(6)) == to_hex(once));
  on.replies(12, 0x8108);
  CHECK(on.ends(told, CommandStatus::answered));
  CHECK(told->outcome.transmissions == 2);
  told = on.send(what, 0);
  for (int i = 0; i < 1000 && told->times == 0; ++i) on.passes(0.05);
  CHECK(on.ends(told, CommandStatus::sent));
  std::size_t frames_down = 0;
  for (const Stored& record : on.gateway.stored()) {
    frames_down += record.kind == log::Kind::frame_down ? 1 : 0;
  }
  CHECK(frames_down == 15);
}

TEST_CASE("an answer in parts answers when it is whole") {
  Commanded on;
  const Prepared what = command(0x8104, {}, {.rule = Rule::own, .id = 0x0104});
  const auto told = on.send(what);
  const std::uint16_t serial = on.sees(what);
  Raw body(1500);
  store_be16(body.data(), serial);
  const auto part = [&](std::uint16_t number, Bytes bytes) {
    FrameWriter writer(on.terminal.peer, 0x0104, on.terminal.serial++, 2, number);
    writer.bytes(bytes);
    on.terminal.link->send(written([&](MutableBytes out) { return writer.finish(out); }));
  };
  part(1, Bytes(body).first(1000));
  on.gateway.settle();
  on.gateway.turn();
  CHECK(told->times == 0);
  part(2, Bytes(body).subspan(1000));
  CHECK(on.ends(told, CommandStatus::answered));
  CHECK(told->outcome.answer_message == 0x0104);
  CHECK(told->outcome.answer.size() > body.size());
  CHECK(to_hex(told->outcome.answer).ends_with(to_hex(body)));
}

TEST_CASE("0x9208 tells the attachment server whose files to expect, before it leaves") {
  Commanded on;
  Expectations expectations(on.gateway.sys);
  on.commands().use_expectations(expectations);
  const std::string number = "ALARM-0001";
  Raw body(5 + 4 + 16);  // address, ports, sign
  body[0] = 4;
  Raw field(32);
  std::copy(number.begin(), number.end(), field.begin());
  body = body + field + Raw(16);
  const DeviceKey device(Namespace::phone, on.terminal.phone);
  const auto expected = [&](std::string_view alarm, const DeviceKey& of) {
    return expectations.expected(alarm, of, on.gateway.rooms[0].shard->wall_now());
  };
  CHECK_FALSE(expected(number, device));
  const auto told = on.send(command(0x9208, body));
  CHECK(on.terminal.link->in.empty());
  CHECK(expected(number, device));
  CHECK_FALSE(expected("ALARM-0002", device));
  CHECK_FALSE(expected(number, DeviceKey(Namespace::phone, "13900000000")));
}

TEST_CASE("a gateway that is told to stop at once tells everybody") {
  Commanded on;
  const Prepared what = command(text_message, text_body);
  const auto sent = on.send(what);
  const auto queued = on.send(what);
  on.sees(what);
  const auto records = command_records(on.gateway.stored());
  CHECK(sent->times == 1);
  CHECK(sent->outcome.status == CommandStatus::link_lost);
  CHECK(sent->outcome.detail == "the gateway stops");
  CHECK(queued->times == 1);
  CHECK(queued->outcome.status == CommandStatus::expired);
  CHECK(records.size() == 1);  // the intent; the log has ended with everything else
}

TEST_CASE("a drain ends commands and takes no more") {
  Commanded on;
  const Prepared what = command(text_message, text_body);
  const auto sent = on.send(what);
  on.sees(what);
  on.gateway.rooms[0].shard->request_drain(on.gateway.sys.mono_now() + 10 * ns_per_s);
  CHECK(on.ends(sent, CommandStatus::link_lost));
  const auto late = on.send(what);
  CHECK(on.ends(late, CommandStatus::offline));
  const auto records = command_records(on.gateway.stored());
  REQUIRE(records.size() == 2);
  CHECK(records[1].outcome);
}

TEST_CASE("commands cost memory while they last") {
  Commanded on;
  on.gateway.settle();
  net::Links& links = *on.gateway.rooms[0].links;
  const std::uint64_t before = links.memory_bytes() - links.idle_memory_bytes();
  std::vector<std::shared_ptr<Told>> told;
  for (std::uint16_t i = 0; i < 20; ++i) told.push_back(on.send(command(0x8f00, hex("01"))));
  CHECK(links.memory_bytes() - links.idle_memory_bytes() >= before + 20 * 100);
  on.passes(61);
  for (const auto& one : told) CHECK(one->times == 1);
  CHECK(on.commands().count() == 0);
  on.terminal.link->in.clear();
  CHECK(links.memory_bytes() - links.idle_memory_bytes() == before);
}

TEST_CASE("what people write becomes a command") {
  const DeviceProtocol protocol;
  CHECK(protocol.parse_device("013800138000")->id() == "13800138000");
  CHECK(protocol.parse_device("000")->id() == "0");
  CHECK_FALSE(protocol.parse_device("").ok());
  CHECK_FALSE(protocol.parse_device("+8613800138000").ok());
  CHECK_FALSE(protocol.parse_device("123456789012345678901").ok());

  const auto made = [&](std::string_view json) -> Prepared {
    const auto result = protocol.prepare(json);
    if (!result.ok()) {
      MESSAGE(result.error().message);
      return nullptr;
    }
    return std::dynamic_pointer_cast<const PreparedMessage>(*result);
  };
  const Prepared raw = made(R"({"message": "0x8F01", "body_hex": "01 02fF"})");
  REQUIRE(raw);
  CHECK(raw->id == 0x8f01);
  CHECK(raw->answer.rule == Rule::general);
  for (const Version version : {Version::v2013, Version::v2019}) {
    CHECK(*raw->encoding(version).body == hex("0102ff"));
  }
  const Prepared none = made(R"({"message":"8f01","body_hex":"","answer":"none"})");
  REQUIRE(none);
  CHECK(none->answer.rule == Rule::none);
  CHECK(none->encoding(Version::v2013).body->empty());
  const Prepared own = made(
      R"({"message":"8F01","body_hex":"","answer":"0x0F01","answer_has_serial":false})");
  REQUIRE(own);
  CHECK(own->answer.rule == Rule::own);
  CHECK(own->answer.id == 0x0f01);
  CHECK_FALSE(own->answer.has_serial);

  // By the tables: fields inline or in "body", encoded for each version that has the message.
  for (const char* json :
       {R"({"message": "text-message", "flags": ["display"], "type": "notice", "text": "Hi"})",
        R"({"flags": ["display"], "type": "notice", "text": "Hi", "answer":"general",
            "message":"0x8300"})",
        R"({"message":"8300","body":{"flags":["display"],"type":"notice","text":"Hi"}})"}) {
    CAPTURE(json);
    const Prepared text = made(json);
    if (text == nullptr) continue;
    CHECK(text->id == 0x8300);
    CHECK(text->name == "text-message");
    REQUIRE(text->encoding(Version::v2019).body != nullptr);
    CHECK(to_hex(*text->encoding(Version::v2019).body) == "04014869");
  }
  const Prepared ask = made(R"({"message": "0x8104"})");
  REQUIRE(ask);
  CHECK(ask->answer.rule == Rule::own);
  CHECK(ask->answer.id == 0x0104);
  CHECK(ask->encoding(Version::v2013).body->empty());
  const Prepared probe = made(R"({"message": "0x8204"})");  // new in 2019
  REQUIRE(probe);
  CHECK(probe->encoding(Version::v2019).body != nullptr);
  CHECK(probe->encoding(Version::v2013).body == nullptr);
  CHECK_FALSE(probe->encoding(Version::v2013).why_not.empty());

  for (const char* bad : {"", "[]", "{", R"({"body_hex":"01"})", R"({"message":"0x8F01"})",
                          R"({"message":"0x8F012","body_hex":""})",
                          R"({"message":"0x0200","body_hex":""})",
                          R"({"message":"text-message","text":5})",
                          R"({"message":"0x8104","surplus":1})",
                          R"({"message":"no-such-message","body_hex":""})",
                          R"({"message":"0x8F01","body_hex":"0"})",
                          R"({"message":"0x8F01","body_hex":"","answer":"maybe"})"}) {
    CAPTURE(bad);
    CHECK_FALSE(protocol.prepare(bad).ok());
  }
}

}  // namespace
