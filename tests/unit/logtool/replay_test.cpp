// How replay speaks to a gateway, without one: signing in, stored frames, answers.
#include <doctest/doctest.h>

#include <array>

#include "protocols/jt808/codec/ids.hpp"
#include "protocols/jt808/codec/writer.hpp"
#include "tools/log/replay_protocol.hpp"

using namespace ringgate;
using namespace ringgate::log_tool;

namespace {

namespace id = jt808::id;
using Wire = std::array<std::uint8_t, jt808::wire_size_max>;

struct Heard {
  std::vector<std::uint8_t> frame;
  jt808::Header header{};
};

// The one frame in `text`.
Heard only(const std::string& text) {
  std::array<std::uint8_t, jt808::scratch_size> scratch;
  const auto next = jt808::next_frame(as_bytes(text), scratch);
  REQUIRE(next.kind == jt808::NextFrame::Kind::frame);
  CHECK(next.consumed == text.size());
  Heard heard;
  heard.frame.assign(next.frame.begin(), next.frame.end());
  REQUIRE(jt808::parse_header(heard.frame, heard.header) == jt808::BadReason::none);
  return heard;
}

std::vector<std::uint8_t> stored(const jt808::Peer& peer, std::uint16_t message,
                                 std::uint16_t serial, std::string_view body) {
  jt808::FrameWriter frame(peer, message, serial);
  frame.text(body);
  const Bytes bytes = frame.unescaped();
  return {bytes.begin(), bytes.end()};
}

}  // namespace

TEST_CASE("a terminal of JT/T 808 registers, authenticates and gets its answers") {
  for (const auto version : {jt808::Version::v2013, jt808::Version::v2019}) {
    const jt808::Peer peer = jt808::make_peer(version, "13800138000");
    const auto terminal = replay_jt808().terminal("13800138000");
    const auto frame = stored(peer, id::location, 500, "\x7e\x7d body");
    std::string out;
    terminal->connected(frame, out);
    const Heard registration = only(out);
    CHECK(registration.header.message_id == id::registration);
    CHECK(registration.header.version == version);
    CHECK(registration.header.phone.text() == "13800138000");
    CHECK_FALSE(terminal->ready());

    Wire room;
    std::vector<ReplayAnswer> answers;
    out.clear();
    std::size_t size = jt808::write_register_reply(room, peer, 0, registration.header.serial,
                                                   jt808::RegisterResult::ok, "secret-code");
    // In two pieces.
    CHECK(terminal->receive(Bytes(room.data(), 5), answers, out) == 0);
    CHECK(terminal->receive(Bytes(room.data(), size), answers, out) == size);
    const Heard authentication = only(out);
    CHECK(authentication.header.message_id == id::authentication);
    CHECK(as_text(authentication.frame).find("secret-code") != std::string_view::npos);
    CHECK_FALSE(terminal->ready());
    size = jt808::write_ack(room, peer, 1, authentication.header.serial, id::authentication,
                            jt808::AckResult::ok);
    terminal->receive(Bytes(room.data(), size), answers, out);
    CHECK(terminal->ready());
    CHECK(answers.empty());

    out.clear();
    const auto key = terminal->send(frame, out);
    REQUIRE(key);
    CHECK(only(out).frame == frame);
    for (const auto result : {jt808::AckResult::ok, jt808::AckResult::failed}) {
      answers.clear();
      size = jt808::write_ack(room, peer, 2, 500, id::location, result);
      terminal->receive(Bytes(room.data(), size), answers, out);
      REQUIRE(answers.size() == 1);
      CHECK(answers[0].key.fits(*key));
      CHECK(answers[0].ok == (result == jt808::AckResult::ok));
    }
    CHECK_FALSE(terminal->send(stored(peer, id::terminal_reply, 501, "12345"), out));
  }
}

TEST_CASE("a refused registration says so, and frames that sign in are not replayed") {
  const jt808::Peer peer = jt808::make_peer(jt808::Version::v2013, "1");
  const auto terminal = replay_jt808().terminal("1");
  std::string out;
  terminal->connected(stored(peer, id::location, 1, "x"), out);
  Wire room;
  std::vector<ReplayAnswer> answers;
  const std::size_t size = jt808::write_register_reply(
      room, peer, 0, 0, jt808::RegisterResult::no_such_vehicle, "");
  terminal->receive(Bytes(room.data(), size), answers, out);
  CHECK(terminal->refusal().find("result 2") != std::string::npos);
  event::RecordView record;
  for (const std::uint16_t message : {id::registration, id::authentication, id::logout}) {
    record.message = message;
    CHECK_FALSE(replay_jt808().replays(record));
  }
  record.message = id::location;
  CHECK(replay_jt808().replays(record));
}

TEST_CASE("an upload in one frame is answered by 0x8800, a part of one by 0x8001") {
  const jt808::Peer peer = jt808::make_peer(jt808::Version::v2013, "1");
  const auto terminal = replay_jt808().terminal("1");
  std::string out;
  const auto whole = terminal->send(stored(peer, id::media_upload, 9, "12345678"), out);
  jt808::FrameWriter part(peer, id::media_upload, 10, 2, 1);
  const auto key = terminal->send(part.unescaped(), out);
  REQUIRE(whole);
  REQUIRE(key);
  Wire room;
  std::vector<ReplayAnswer> answers;
  std::size_t size = jt808::write_media_reply(room, peer, 0, {.media_id = 1});
  terminal->receive(Bytes(room.data(), size), answers, out);
  REQUIRE(answers.size() == 1);
  CHECK(answers[0].key.fits(*whole));
  CHECK_FALSE(answers[0].key.fits(*key));
  answers.clear();
  size = jt808::write_ack(room, peer, 1, 10, id::media_upload, jt808::AckResult::ok);
  terminal->receive(Bytes(room.data(), size), answers, out);
  CHECK(answers[0].key.fits(*key));
}

TEST_CASE("jsonl: an answer names its line") {
  const auto terminal = replay_jsonl().terminal("truck");
  std::string out;
  terminal->connected({}, out);
  CHECK(terminal->ready());
  const auto first = terminal->send(as_bytes(std::string_view(R"({"id":"truck"})")), out);
  const auto second = terminal->send(as_bytes(std::string_view(R"({"id":"truck","a":1})")), out);
  CHECK(out == "{\"id\":\"truck\"}\n{\"id\":\"truck\",\"a\":1}\n");
  std::vector<ReplayAnswer> answers;
  const std::string_view in = "{\"ok\":1}\n{\"error\":\"not_stored\",\"line\":2}\n{\"ok\"";
  CHECK(terminal->receive(as_bytes(in), answers, out) == in.size() - 5);
  REQUIRE(answers.size() == 2);
  CHECK((answers[0].key.fits(*first) && answers[0].ok));
  CHECK((answers[1].key.fits(*second) && !answers[1].ok));
}
