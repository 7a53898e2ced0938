// 0x0801: where the data begins, what goes to the store, and what is answered when. The store is a
// stand-in that keeps what it is given until the test says that it is durable.
#include "protocols/jt808/media.hpp"

#include <map>

#include "tests/unit/jt808/terminal.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;
using namespace ringgate::jt808::test;

struct Store final : blob::Uploads {
  struct Upload {
    blob::UploadInfo info;
    Raw bytes;
    blob::UploadOwner* owner = nullptr;
  };
  Begun begin(const blob::UploadInfo&, blob::UploadOwner&) override { return {}; }
  std::size_t write(blob::UploadId, std::uint64_t, Bytes) override { return 0; }
  bool may_write(blob::UploadId) const override { return false; }
  std::vector<blob::Gap> missing(blob::UploadId, std::size_t) const override { return {}; }
  void commit(blob::UploadId) override {}
  void suspend(blob::UploadId) override {}
  void discard(blob::UploadId id) override { open.erase(id.slot); }
  Begun put(const blob::UploadInfo& info, std::vector<std::uint8_t> bytes,
            blob::UploadOwner& owner) override {
    Begun begun;
    begun.failure = refuse;
    if (refuse != blob::Failure::none) return begun;
    begun.id = {++last, 1};
    begun.already = done.contains(info.resume_key);
    open[last] = {info, std::move(bytes), &owner};
    return begun;
  }
  void finish(std::uint32_t slot) {
    const Upload upload = open.at(slot);
    open.erase(slot);
    ++done[upload.info.resume_key];
    upload.owner->on_stored({slot, 1}, {.id = "x"});
  }
  void fail(std::uint32_t slot) {
    const Upload upload = open.at(slot);
    open.erase(slot);
    upload.owner->on_failed({slot, 1}, blob::Failure::disk_error);
  }

  std::map<std::uint32_t, Upload> open;
  std::map<std::string, int> done;
  std::uint32_t last = 0;
  blob::Failure refuse = blob::Failure::none;
};

Raw jpeg(std::size_t size) {
  Raw out(size);
  for (std::size_t i = 0; i < size; ++i) out[i] = static_cast<std::uint8_t>(i * 13 + i / 200);
  const std::uint8_t magic[] = {0xff, 0xd8, 0xff, 0xe0, 0, 16, 'J', 'F', 'I', 'F', 0};
  std::copy(std::begin(magic), std::end(magic), out.begin());
  return out;
}

// A body of 0x0801 with `position` bytes between the fields and the data.
Raw media_body(std::uint32_t id, const Raw& data, std::size_t position = 28) {
  Raw body{0, 0, 0, static_cast<std::uint8_t>(id), 0, 0, 1, 3};
  FrameWriter one(make_peer(Version::v2013, "1"), id::location, 0);
  one.u32(1).u32(3).u32(22'500'000).u32(114'000'000).u16(0).u16(0).u16(0).time_gmt8(1'795'000'000);
  const Bytes place = one.unescaped().subspan(12);
  body.insert(body.end(), place.begin(), place.begin() + static_cast<std::ptrdiff_t>(position));
  body.insert(body.end(), data.begin(), data.end());
  return body;
}

TEST_CASE("the data begins where a file does, whatever stands of the position") {
  const Raw picture = jpeg(500);
  for (const std::size_t position : {28, 0, 20, 22}) {
    CAPTURE(position);
    const Raw body = media_body(9, picture, position);
    MediaBody media;
    REQUIRE(decode_media(body, media));
    CHECK(media.id == 9);
    CHECK(media.event == 1);
    CHECK(media.channel == 3);
    CHECK(media.data.size() == 500);
    CHECK(std::equal(media.data.begin(), media.data.end(), picture.begin()));
    CHECK(media.position.size() == (position == 28 ? 28 : 0));
  }
  // No magic at all: as the standard says.
  const Raw noise(400, 0x55);
  const Raw noisy = media_body(1, noise);
  MediaBody media;
  REQUIRE(decode_media(noisy, media));
  CHECK(media.data.size() == 400);
  // Too short for a position.
  REQUIRE(decode_media(Bytes(noisy).first(20), media));
  CHECK(media.data.size() == 12);
  CHECK(!decode_media(Bytes(noisy).first(7), media));
}

Raw reply(Terminal& terminal, std::uint32_t id, std::vector<std::uint16_t> missing = {},
          bool layout_2011 = false, std::uint16_t reply_serial = 0) {
  return written([&](MutableBytes out) {
    return write_media_reply(out, terminal.peer, terminal.reply_serial++,
                             {.media_id = id,
                              .missing = missing,
                              .layout_2011 = layout_2011,
                              .reply_serial = reply_serial});
  });
}

struct Camera {
  Camera() : terminal(gateway, gateway.jt808(), "13800138000") {
    gateway.rooms[0].jt808->use_uploads(store);
    REQUIRE(terminal.goes_online());
  }
  // One part of `body`, cut into pieces of 400 bytes.
  Raw part(const Raw& body, std::uint16_t first, std::uint16_t number) {
    const auto total = static_cast<std::uint16_t>((body.size() + 399) / 400);
    FrameWriter writer(terminal.peer, id::media_upload,
                       static_cast<std::uint16_t>(first + number - 1), total, number);
    const std::size_t begin = (number - 1) * std::size_t{400};
    writer.bytes(Bytes(body).subspan(begin, std::min<std::size_t>(400, body.size() - begin)));
    return written([&](MutableBytes out) { return writer.finish(out); });
  }
  bool says_part(const Raw& body, std::uint16_t first, std::uint16_t number) {
    terminal.link->send(part(body, first, number));
    return terminal.hears(terminal.ack(static_cast<std::uint16_t>(first + number - 1),
                                       id::media_upload, AckResult::ok));
  }

  Store store;
  Gateway gateway;
  Terminal terminal;
};

TEST_CASE("an upload in parts goes to the store whole; 0x8800 says so only when it is durable") {
  Camera camera;
  const Raw picture = jpeg(1200);
  const Raw body = media_body(7, picture);
  for (const std::uint16_t number : {std::uint16_t{2}, std::uint16_t{4}, std::uint16_t{1}}) {
    CHECK(camera.says_part(body, 1, number));
  }
  CHECK(camera.store.open.empty());
  // The missing one is asked for by 0x8800, since the first part says which media it is.
  camera.gateway.advance(5100 * ns_per_ms);
  CHECK(camera.terminal.hears(reply(camera.terminal, 7, {3})));
  CHECK(camera.says_part(body, 1, 3));
  REQUIRE(camera.store.open.size() == 1);
  const Store::Upload& upload = camera.store.open.at(1);
  CHECK(upload.bytes == picture);
  CHECK(upload.info.device.id() == "13800138000");
  CHECK(upload.info.message == id::media_upload);
  CHECK(upload.info.declared == blob::Content::jpeg);
  CHECK(upload.info.name.empty());
  std::map<std::string, std::string> facts(upload.info.facts.begin(), upload.info.facts.end());
  CHECK(facts.at("multimedia_id") == "7");
  CHECK(facts.at("channel") == "3");
  CHECK(facts.at("location").find("22.5") != std::string::npos);
  camera.gateway.advance(ns_per_s);
  CHECK(camera.terminal.link->in.empty());
  camera.store.finish(1);
  CHECK(camera.terminal.hears(reply(camera.terminal, 7)));
  // A terminal that did not hear it sends its last part again.
  camera.terminal.link->send(camera.part(body, 1, 4));
  Raw both = camera.terminal.ack(4, id::media_upload, AckResult::ok);
  const Raw again = reply(camera.terminal, 7);
  both.insert(both.end(), again.begin(), again.end());
  CHECK(camera.terminal.hears(both));
  CHECK(camera.says_part(body, 1, 2));
  CHECK(camera.terminal.link->in.empty());
  // The same upload again, with new serials: answered again, not stored twice by the store.
  for (std::uint16_t number = 1; number <= 4; ++number) CHECK(camera.says_part(body, 50, number));
  REQUIRE(camera.store.open.size() == 1);
  CHECK(camera.store.open.begin()->second.info.resume_key == camera.store.done.begin()->first);
  camera.store.finish(2);
  CHECK(camera.terminal.hears(reply(camera.terminal, 7)));
  CHECK(camera.gateway.rooms[0].links->budget().used_bytes() > 0);
}

TEST_CASE("one frame; no room; a disk that fails; a body that is none; a link that has gone") {
  Camera camera;
  Terminal& terminal = camera.terminal;
  const Raw body = media_body(5, jpeg(300));
  terminal.link->send(terminal.message(id::media_upload, body));
  camera.gateway.until([&] { return camera.store.open.size() == 1; });
  camera.store.finish(1);
  CHECK(terminal.hears(reply(terminal, 5)));

  camera.store.refuse = blob::Failure::disk_full;
  CHECK(terminal.says(terminal.message(id::media_upload, body), id::media_upload,
                      AckResult::failed));
  camera.store.refuse = blob::Failure::none;

  terminal.link->send(terminal.message(id::media_upload, body));
  camera.gateway.until([&] { return camera.store.open.size() == 1; });
  camera.store.fail(2);
  CHECK(terminal.hears(terminal.ack(id::media_upload, AckResult::failed)));
  CHECK(terminal.says(terminal.message(id::media_upload, Raw(8)), id::media_upload,
                      AckResult::failed));

  terminal.link->send(terminal.message(id::media_upload, body));
  camera.gateway.until([&] { return camera.store.open.size() == 1; });
  terminal.link->abort();
  camera.gateway.until([&] { return camera.gateway.links() == 0; });
  camera.store.finish(3);  // nobody to tell
  terminal.link = &camera.gateway.jt808();
  terminal.reply_serial = 0;
  CHECK(terminal.goes_online());
}

TEST_CASE("a terminal of 2011 is answered in its layout; without a store the log is the store") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  FrameWriter writer(terminal.peer, id::registration, terminal.serial++);
  writer.u16(44).u16(300).fixed("ABCDE", 5).fixed("M1", 8).fixed("T1", 7).u8(1).text("A88888");
  terminal.link->send(written([&](MutableBytes out) { return writer.finish(out); }));
  gateway.until([&] { return !terminal.link->in.empty(); });
  terminal.link->in.clear();
  ++terminal.reply_serial;
  REQUIRE(terminal.goes_online());
  terminal.link->send(terminal.message(id::media_upload, media_body(5, jpeg(300))));
  const Raw expected = reply(terminal, 5, {}, true, 2);
  CHECK(to_hex(expected).find("0002" "00000005" "00") != std::string::npos);
  CHECK(terminal.hears(expected));
}

}  // namespace
