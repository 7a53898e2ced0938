// Photographs, sound, recordings, areas and attachments of a simulated terminal, with loss.
#include <algorithm>
#include <set>

#include "tests/unit/load/terminal_rig.hpp"

using namespace ringgate;
using namespace ringgate::load;
using namespace ringgate::load::test;

namespace {

constexpr std::string_view snapshot =
    R"({"channel":1,"command":2,"interval_s":1,"save":"upload","resolution":"640x480","quality":5,
        "brightness":128,"contrast":64,"saturation":64,"chroma":128})";

// Reads the scan as a decoder would: its two tables give each symbol a code of four bits.
std::string broken_scan(const Body& jpeg, std::size_t at, unsigned width, unsigned height) {
  constexpr std::uint8_t ac_symbols[] = {0x00, 0x01, 0x02, 0x03, 0x04, 0x11, 0x12, 0x21};
  std::vector<bool> bits;
  for (; at + 2 < jpeg.size(); ++at) {
    for (int bit = 7; bit >= 0; --bit) bits.push_back((jpeg[at] >> bit & 1) != 0);
    if (jpeg[at] == 0xff && jpeg[++at] != 0) return "a marker in the scan";
  }
  std::size_t next = 0;
  const auto take = [&](unsigned count) {
    int value = 0;
    for (; count > 0 && next < bits.size(); --count) value = value * 2 + (bits[next++] ? 1 : 0);
    return value;
  };
  int level = 0;
  for (unsigned block = 0; block < width / 8 * (height / 8); ++block) {
    const auto size = static_cast<unsigned>(take(4));
    if (size > 11) return "no such difference";
    const int value = take(size);
    level += size > 0 && value < 1 << (size - 1) ? value - (1 << size) + 1 : value;
    if (level < -64 || level > 63) return "no such level";
    for (unsigned place = 1;;) {
      const auto code = static_cast<unsigned>(take(4));
      if (code >= std::size(ac_symbols)) return "no such detail";
      if (code == 0) break;
      place += 1U + (ac_symbols[code] >> 4);
      if (place > 64) return "too many details";
      take(ac_symbols[code] & 0xfU);
    }
  }
  for (const std::size_t end = bits.size(); next < end; ++next) {
    if (!bits[next] || end - next > 7) return "bits left over";
  }
  return {};
}

// Walks the markers of a JPEG; empty if it is sound up to its end.
std::string broken_jpeg(const Body& jpeg, unsigned& width, unsigned& height) {
  if (jpeg.size() < 4 || load_be16(jpeg.data()) != 0xffd8) return "no start";
  std::size_t at = 2;
  bool has_tables[3] = {};
  while (at + 4 <= jpeg.size()) {
    const std::uint16_t marker = load_be16(jpeg.data() + at);
    const std::uint16_t size = load_be16(jpeg.data() + at + 2);
    if (marker == 0xffdb) has_tables[0] = true;
    if (marker == 0xffc4) has_tables[1] = true;
    if (marker == 0xffc0) {
      has_tables[2] = true;
      height = load_be16(jpeg.data() + at + 5);
      width = load_be16(jpeg.data() + at + 7);
    }
    at += 2 + std::size_t{size};
    if (marker != 0xffda) continue;
    if (const std::string broken = broken_scan(jpeg, at, width, height); !broken.empty()) {
      return broken;
    }
    if (!has_tables[0] || !has_tables[1] || !has_tables[2]) return "a table is missing";
    while (at + 1 < jpeg.size() && (jpeg[at] != 0xff || jpeg[at + 1] == 0)) ++at;
    if (at + 2 != jpeg.size() || jpeg[at + 1] != 0xd9) return "no end, or too early";
    return {};
  }
  return "no scan";
}

// As the gateway: acknowledges parts, asks for the missing ones, says when all is there.
Body receive_media(Bench& bench, std::uint32_t media_id) {
  std::map<std::uint16_t, Body> parts;
  std::uint16_t total = 0;
  for (int round = 0; round < 10; ++round) {
    for (const Uplink& uplink : std::exchange(bench.out().frames, {})) {
      if (uplink.message_id == 0x0001) continue;
      bench.terminal().on_answer(uplink.message_id, uplink.serial, 0, bench.moment(), bench.out());
      const Said said = read(uplink);
      if (uplink.message_id != 0x0801) continue;
      total = said.header.packet_total;
      parts[said.header.packet_number] = said.body();
    }
    BodyWriter reply;
    reply.u32(media_id);
    std::vector<std::uint16_t> missing;
    for (std::uint16_t n = 1; n <= total; ++n) {
      if (!parts.contains(n)) missing.push_back(n);
    }
    if (total == 0) missing = {1};
    if (!missing.empty()) {
      reply.u8(missing.size());
      for (const std::uint16_t n : missing) reply.u16(n);
    }
    bench.tell_raw(0x8800, reply.body());
    if (missing.empty()) break;
  }
  Body whole;
  for (const auto& [number, part] : parts) whole.insert(whole.end(), part.begin(), part.end());
  return whole;
}

}  // namespace

TEST_CASE("pictures are sound JPEGs of the size asked for, and the same for the same seed") {
  Chance chance(5), again(5);
  for (const auto& [width, height] : {std::pair{320, 240}, std::pair{704, 576}}) {
    const Body jpeg = make_jpeg(static_cast<std::uint16_t>(width),
                                static_cast<std::uint16_t>(height), chance);
    unsigned got_width = 0, got_height = 0;
    CHECK(broken_jpeg(jpeg, got_width, got_height) == "");
    CHECK(got_width == static_cast<unsigned>(width));
    CHECK(got_height == static_cast<unsigned>(height));
    CHECK(jpeg == make_jpeg(static_cast<std::uint16_t>(width),
                            static_cast<std::uint16_t>(height), again));
  }
}

TEST_CASE("0x8801: pictures are taken, told and uploaded one by one, with and without loss") {
  for (const double loss : {0.0, 0.2, 0.5}) {
    for (const Version version : {Version::v2013, Version::v2019}) {
      CAPTURE(loss);
      Bench bench(version, {.loss = loss, .seed = 3});
      const std::uint16_t serial = bench.tell(0x8801, snapshot);
      CHECK(result_of(bench.take(), 0x8801, serial) == 0);
      bench.wait(1'100 * ns_per_ms);  // two pictures, a second apart
      REQUIRE(bench.out().files.size() == 2);
      std::vector<Uplink> said = bench.out().frames;
      const auto told = std::find_if(said.begin(), said.end(),
                                     [](const Uplink& one) { return one.message_id == 0x0805; });
      REQUIRE(told != said.end());
      const Body answer = read(*told).body();
      BodyReader reply(answer);
      CHECK(reply.u16() == serial);
      CHECK(reply.u8() == 0);
      CHECK(reply.u16() == 2);
      for (std::size_t i = 0; i < 2; ++i) {
        const std::uint32_t id = reply.u32();
        CHECK(id == i + 1);
        const Body whole = receive_media(bench, id);
        BodyReader head(whole);
        CHECK(head.u32() == id);
        head.take(4 + 28);
        const Bytes content = head.rest();
        CHECK(Body(content.begin(), content.end()) == bench.out().files[i].content);
      }
      CHECK(bench.terminal().media().items().empty());  // what has arrived is removed
      const std::string events = bench.events();
      CHECK((events.find("\"lost\"") != std::string::npos) == (loss > 0));
      CHECK(events.find("\"uploaded\"") != std::string::npos);
    }
  }
}

TEST_CASE("parts are sent again byte for byte, for 0x8003 of either version") {
  for (const Version version : {Version::v2013, Version::v2019}) {
    Bench bench(version);
    bench.tell(0x9205, R"({"channel":0,"start":null,"end":null,"type":0,"stream":0,"storage":0})");
    const std::vector<Uplink> parts = std::exchange(bench.out().frames, {});
    REQUIRE(parts.size() > 2);
    BodyWriter ask;
    ask.u16(parts[0].serial);
    if (version == Version::v2013) ask.u8(2);
    else ask.u16(2);
    ask.u16(2).u16(1);
    bench.tell_raw(0x8003, ask.body());
    REQUIRE(bench.out().frames.size() == 2);
    CHECK(bench.out().frames[0].wire == parts[1].wire);
    CHECK(bench.out().frames[1].wire == parts[0].wire);
    bench.out().frames = parts;
    const std::vector<Message> said = bench.take();
    REQUIRE(said.size() == 1);
    CHECK(said[0].has("\"recordings\":["));
    BodyReader in(said[0].body);
    in.u16();
    const std::uint32_t count = in.u32();
    CHECK(count * 28 == in.left());
  }
}

TEST_CASE("a list of recordings keeps to what was asked") {
  Bench bench(Version::v2013);
  bench.tell(0x9205, R"({"channel":2,"start":null,"end":null,"type":0,"stream":0,"storage":2})");
  const std::vector<Message> said = bench.take();
  REQUIRE(said.size() == 1);
  CHECK(said[0].has("\"channel\":2"));
  CHECK(!said[0].has("\"channel\":1"));
}

TEST_CASE("stored media are found, uploaded and removed") {
  Bench bench(Version::v2013);
  bench.tell(0x8801, R"({"channel":65,"command":1,"interval_s":0,"save":"store","resolution":1,
      "quality":1,"brightness":0,"contrast":0,"saturation":0,"chroma":0})");
  CHECK(find(bench.take(), 0x0801) == nullptr);
  bench.tell(0x8802, R"({"type":0,"channel":65,"event":0,"start":null,"end":null})");
  CHECK(bench.take()[0].has("\"media_id\":1"));
  bench.tell(0x8802, R"({"type":0,"channel":1,"event":0,"start":null,"end":null})");
  CHECK(bench.take()[0].has("\"media\":[]"));
  const std::uint16_t serial = bench.tell(0x8805, R"({"media_id":2,"after":"delete"})");
  CHECK(result_of(bench.take(), 0x8805, serial) == 1);
  bench.tell(0x8805, R"({"media_id":1,"after":"delete"})");
  receive_media(bench, 1);
  CHECK(bench.terminal().media().items().empty());
}

TEST_CASE("sound is a WAV of what was heard until it is stopped") {
  Bench bench(Version::v2013);
  bench.tell(0x8804, R"({"command":1,"duration_s":0,"save":"upload","rate":"8-khz"})");
  bench.wait(ns_per_s);
  bench.tell(0x8804, R"({"command":0,"duration_s":0,"save":"upload","rate":"8-khz"})");
  REQUIRE(bench.out().files.size() == 1);
  const Body& wav = bench.out().files[0].content;
  CHECK(wav.size() == 44 + 8'000);
  CHECK(as_text(Bytes(wav).first(4)) == "RIFF");
  CHECK(receive_media(bench, 1).size() == 36 + wav.size());
}

TEST_CASE("borders, limits and routes raise alarms in items 0x12, 0x11 and 0x13") {
  Bench bench(Version::v2019);
  bench.tell(0x8600, R"({"operation":"update","areas":[{"area_id":7,
      "attributes":["speed-limit","entry-to-platform","exit-to-platform"],
      "latitude_deg":31.230416,"longitude_deg":121.473701,"radius_m":500,
      "speed_limit_kmh":50,"overspeed_s":1,"night_speed_limit_kmh":50,"area_name":"yard"}]})");
  bench.take();
  bench.wait(1'500 * ns_per_ms);  // inside, at 60 km/h
  std::vector<Message> said = bench.take();
  REQUIRE(said.size() == 2);
  CHECK(said[0].has("\"id\":\"0x12\""));
  CHECK(said[1].has("\"id\":\"0x11\""));
  // The border's alarm stands until somebody confirms it.
  bench.tell(0x8201);
  CHECK(bench.take()[0].has("area-crossed"));
  bench.tell(0x8203, R"({"alarm_serial":0,"alarms":["area-crossed"]})");
  bench.tell(0x8201);
  CHECK(!find(bench.take(), 0x0201)->has("area-crossed"));
  CHECK(bench.terminal().areas().count() == 1);
  bench.tell(0x8608, R"({"type":"circle","ids":[]})");
  CHECK(bench.take()[0].has("\"area_name\":\"yard\""));
  bench.position.latitude_udeg += 100'000;
  bench.wait(ns_per_s);
  said = bench.take();
  REQUIRE(!said.empty());
  CHECK(said[0].has("\"id\":\"0x12\""));

  bench.tell(0x8606, R"({"route_id":3,"attributes":["entry-to-platform","exit-to-platform"],
      "points":[{"point_id":1,"segment_id":11,"latitude_deg":31.33,"longitude_deg":121.4,
      "width_m":100,"segment_attributes":["time"],"driving_time_max_s":3,"driving_time_min_s":1},
      {"point_id":2,"segment_id":12,"latitude_deg":31.33,"longitude_deg":121.5,
      "width_m":50,"segment_attributes":[]}],"area_name":""})");
  bench.take();
  bench.position.latitude_udeg = 31'330'000;
  bench.wait(5 * ns_per_s);
  CHECK(find(bench.take(), 0x0200)->has("\"id\":\"0x12\""));
  bench.position.latitude_udeg = 31'350'000;
  bench.wait(ns_per_s);
  said = bench.take();
  CHECK(std::any_of(said.begin(), said.end(),
                    [](const Message& one) { return one.has("\"id\":\"0x13\""); }));
  bench.tell(0x8601, R"({"area_ids":[]})");
  bench.tell(0x8607, R"({"route_ids":[3]})");
  CHECK(bench.terminal().areas().count() == 0);
}

TEST_CASE("an alarm of a driver assistant carries a sign by which its files are asked for") {
  for (const Version version : {Version::v2013, Version::v2019}) {
    Bench bench(version);
    bench.terminal().raise_alarm(bench.moment(), bench.out());
    const std::vector<Message> said = bench.take();
    REQUIRE(said.size() == 1);
    CHECK((said[0].has("\"id\":\"0x64\"") || said[0].has("\"id\":\"0x65\"")));
    CHECK(said[0].has("alarm_sign"));
    const Body& body = said[0].body;
    const std::size_t sign_bytes = version == Version::v2019 ? 40 : 16;
    BodyWriter order;
    order.text1("127.0.0.1").u16(7'611).u16(0).bytes(Bytes(body).last(sign_bytes));
    order.fixed("A-1", 32).fixed({}, 16);
    const std::uint16_t serial = bench.tell_raw(0x9208, order.body());
    CHECK(result_of(bench.take(), 0x9208, serial) == 0);
    REQUIRE(bench.out().uploads.size() == 1);
    const AttachmentUpload& upload = *bench.out().uploads[0];
    CHECK(upload.files().size() == upload.order().attachments());
    CHECK(upload.files()[0].name.ends_with("_A-1.jpg"));
    CHECK(bench.out().files.size() == upload.files().size());
  }
}

namespace {

// The attachment server, as T/JSATL 12 has it: takes what comes, asks for the gaps.
class Server {
 public:
  std::map<std::string, Body> files;
  std::map<std::string, std::vector<bool>> have;
  std::set<std::string> done;
  int lists = 0;

  Body take(Bytes bytes) {
    in_.insert(in_.end(), bytes.begin(), bytes.end());
    Body out;
    while (!in_.empty()) {
      const std::size_t used = in_[0] == 0x30 ? block() : frame(out);
      if (used == 0) break;
      in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(used));
    }
    return out;
  }
  void cut() { in_.clear(); }

 private:
  std::size_t block() {
    if (in_.size() < 62) return 0;
    BodyReader head(in_);
    CHECK(head.u32() == 0x30316364);
    std::string name(as_text(head.take(50)));
    name.resize(std::min(name.find('\0'), name.size()));
    const std::uint32_t offset = head.u32(), size = head.u32();
    if (head.left() < size) return 0;
    const Bytes data = head.take(size);
    Body& file = files.at(name);
    REQUIRE(offset + size <= file.size());
    std::copy(data.begin(), data.end(), file.begin() + offset);
    std::fill_n(have.at(name).begin() + offset, size, true);
    return 62 + size;
  }

  std::size_t frame(Body& out) {
    std::array<std::uint8_t, jt808::scratch_size> scratch;
    const jt808::NextFrame next = jt808::next_frame(in_, scratch);
    if (next.kind != jt808::NextFrame::Kind::frame) return 0;
    jt808::Header header;
    REQUIRE(jt808::parse_header(next.frame, header) == jt808::BadReason::none);
    const Bytes body = jt808::body_of(next.frame, header);
    CHECK(jt808::check_body(header, body).ok());
    jt808::Peer peer = jt808::peer_of(header);
    std::array<std::uint8_t, jt808::wire_size_max> wire;
    std::size_t size = 0;
    if (header.message_id == 0x1212) {
      jt808::FrameWriter writer(peer, 0x9212, 1);
      end_reply(body, writer);
      size = writer.finish(wire);
    } else {
      if (header.message_id == 0x1210) ++lists;
      if (header.message_id == 0x1211) {
        BodyReader in(body);
        const std::string name(as_text(in.take(in.u8())));
        in.u8();
        const std::uint32_t bytes = in.u32();
        files[name].resize(bytes);
        have[name].resize(bytes);
      }
      size = jt808::write_ack(wire, peer, 1, header.serial, header.message_id,
                              jt808::AckResult::ok);
    }
    out.insert(out.end(), wire.begin(), wire.begin() + static_cast<std::ptrdiff_t>(size));
    return next.consumed;
  }

  void end_reply(Bytes body, jt808::FrameWriter& out) {
    BodyReader in(body);
    const std::string name(as_text(in.take(in.u8())));
    const std::vector<bool>& got = have.at(name);
    std::vector<std::pair<std::size_t, std::size_t>> gaps;
    for (std::size_t at = 0; at < got.size(); ++at) {
      if (got[at]) continue;
      if (gaps.empty() || gaps.back().first + gaps.back().second != at) gaps.push_back({at, 0});
      ++gaps.back().second;
    }
    if (gaps.empty()) done.insert(name);
    out.u8(static_cast<std::uint8_t>(name.size())).text(name).u8(in.u8());
    out.u8(gaps.empty() ? 0 : 1).u8(static_cast<std::uint8_t>(gaps.size()));
    for (const auto& [offset, size] : gaps) {
      out.u32(static_cast<std::uint32_t>(offset)).u32(static_cast<std::uint32_t>(size));
    }
  }

  Body in_;
};

}  // namespace

TEST_CASE("attachments arrive whole whatever is lost, doubled, out of order or cut off") {
  std::uint32_t lost = 0, doubled = 0, cuts = 0;
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    const Version version = seed % 2 == 0 ? Version::v2019 : Version::v2013;
    CAPTURE(seed);
    Bench bench(version, {.loss = seed % 5 == 0 ? 0.0 : 0.3, .seed = seed});
    bench.terminal().raise_alarm(bench.moment(), bench.out());
    const Body report = bench.take()[0].body;
    BodyWriter order;
    order.text1("127.0.0.1").u16(7'611).u16(0);
    order.bytes(Bytes(report).last(version == Version::v2019 ? 40 : 16));
    order.fixed("0123456789abcdef0123456789abcdef", 32).fixed({}, 16);
    bench.tell_raw(0x9208, order.body());
    REQUIRE(bench.out().uploads.size() == 1);
    AttachmentUpload& upload = *bench.out().uploads[0];
    Server server;
    upload.on_connected();
    for (int step = 0; step < 10'000 && !upload.finished(); ++step) {
      const Body said = upload.next();
      if (!said.empty()) {
        upload.on_bytes(server.take(said));
      } else if (upload.wants_cut()) {
        server.cut();
        upload.on_connected();
      } else {
        REQUIRE(upload.finished());
      }
    }
    REQUIRE(upload.finished());
    CHECK(upload.problem().empty());
    CHECK(server.done.size() == upload.files().size());
    for (const AttachmentFile& file : upload.files()) {
      CHECK(file.name.size() <= 50);
      CHECK(server.files.at(file.name) == file.content);
    }
    CHECK(server.lists == 1 + static_cast<int>(upload.tally().cuts));
    lost += upload.tally().lost;
    doubled += upload.tally().doubled;
    cuts += upload.tally().cuts;
  }
  CHECK(lost > 0);
  CHECK(doubled > 0);
  CHECK(cuts > 0);
}

TEST_CASE("a server that refuses ends the upload") {
  Bench bench(Version::v2013);
  BodyWriter order;
  order.text1("127.0.0.1").u16(7'611).u16(0).fixed("T001234", 16).fixed("A", 32).fixed({}, 16);
  bench.tell_raw(0x9208, order.body());
  AttachmentUpload& upload = *bench.out().uploads[0];
  upload.on_connected();
  CHECK(!upload.next().empty());
  std::array<std::uint8_t, jt808::ack_size_max> wire;
  const std::size_t size =
      jt808::write_ack(wire, jt808::make_peer(jt808::Version::v2013, "13800001234"), 1, 0, 0x1210,
                       jt808::AckResult::failed);
  upload.on_bytes(Bytes(wire).first(size));
  CHECK(upload.problem() == "0x1210 refused");
  CHECK(upload.next().empty());
  CHECK(!upload.finished());
}
