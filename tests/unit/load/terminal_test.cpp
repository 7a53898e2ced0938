// Every message of the platform, and what a terminal answers.
#include <algorithm>

#include "tests/unit/load/terminal_rig.hpp"

using namespace ringgate;
using namespace ringgate::load;
using namespace ringgate::load::test;

namespace {

struct Example {
  std::uint16_t id;
  std::string_view json = "{}";
  std::string_view json_2019 = {};  // empty: the same
};

// One for each message that the platform sends.
constexpr Example examples[] = {
    {0x8003, R"({"first_serial":1,"packets":[1,2]})"},
    {0x8004, R"({"time":"2026-01-31T08:00:00Z"})"},
    {0x8103, R"({"parameters":[{"id":"0x0001","value_s":30}]})"},
    {0x8104},
    {0x8105, R"({"command":"reset"})"},
    {0x8106, R"({"parameter_ids":["0x0001","0x0013"]})"},
    {0x8107},
    {0x8108, R"({"type":0,"maker":"RGSIM","version":"F2.0","data":"00112233"})"},
    {0x8109, R"({"year":2026,"month":1,"day":31,"hour":8,"minute":0,"second":0,"result":0})"},
    {0x8201},
    {0x8202, R"({"interval_s":5,"validity_s":60})"},
    {0x8203, R"({"alarm_serial":0,"alarms":["sos"]})"},
    {0x8204},
    {0x8300, R"({"flags":["display"],"text":"hello"})",
     R"({"flags":["display"],"level":"service","type":"notice","text":"hello"})"},
    {0x8301, R"({"type":"update","events":[{"event_id":1,"text":"delayed"}]})"},
    {0x8302, R"({"flags":["tts"],"question":"ready?","answers":[{"answer_id":1,"text":"yes"},
                {"answer_id":2,"text":"no"}]})"},
    {0x8303, R"({"type":"update","entries":[{"info_type":1,"text":"weather"}]})"},
    {0x8304, R"({"info_type":1,"text":"rain"})"},
    {0x8400, R"({"mode":"call","phone":"02112345678"})"},
    {0x8401, R"({"type":"update","entries":[{"direction":"both","phone":"110","contact":"x"}]})"},
    {0x8500, R"({"doors":"lock"})", R"({"controls":[{"control":"door","doors":"lock"}]})"},
    {0x8600, R"({"operation":"update","areas":[{"area_id":7,"attributes":["entry-to-platform"],
                "latitude_deg":31.230416,"longitude_deg":121.473701,"radius_m":500}]})",
     R"({"operation":"update","areas":[{"area_id":7,"attributes":["entry-to-platform"],
                "latitude_deg":31.230416,"longitude_deg":121.473701,"radius_m":500,
                "area_name":"yard"}]})"},
    {0x8601, R"({"area_ids":[7]})"},
    {0x8602, R"({"operation":"append","areas":[{"area_id":8,"attributes":[],
                "top_latitude_deg":32,"left_longitude_deg":121,"bottom_latitude_deg":31,
                "right_longitude_deg":122}]})",
     R"({"operation":"append","areas":[{"area_id":8,"attributes":[],
                "top_latitude_deg":32,"left_longitude_deg":121,"bottom_latitude_deg":31,
                "right_longitude_deg":122,"area_name":""}]})"},
    {0x8603, R"({"area_ids":[]})"},
    {0x8604, R"({"area_id":9,"attributes":["speed-limit"],"speed_limit_kmh":60,"overspeed_s":5,
                "vertices":[{"latitude_deg":31,"longitude_deg":121},
                {"latitude_deg":32,"longitude_deg":121},{"latitude_deg":32,"longitude_deg":122}]})",
     R"({"area_id":9,"attributes":["speed-limit"],"speed_limit_kmh":60,"overspeed_s":5,
                "vertices":[{"latitude_deg":31,"longitude_deg":121},
                {"latitude_deg":32,"longitude_deg":121},{"latitude_deg":32,"longitude_deg":122}],
                "night_speed_limit_kmh":40,"area_name":"port"})"},
    {0x8605, R"({"area_ids":[9]})"},
    {0x8606, R"({"route_id":3,"attributes":["entry-to-platform"],"points":[
                {"point_id":1,"segment_id":11,"latitude_deg":31.2,"longitude_deg":121.4,
                 "width_m":50,"segment_attributes":["speed-limit"],"speed_limit_kmh":60,
                 "overspeed_s":3}]})",
     R"({"route_id":3,"attributes":["entry-to-platform"],"points":[
                {"point_id":1,"segment_id":11,"latitude_deg":31.2,"longitude_deg":121.4,
                 "width_m":50,"segment_attributes":["speed-limit"],"speed_limit_kmh":60,
                 "overspeed_s":3,"night_speed_limit_kmh":50}],"area_name":"A4"})"},
    {0x8607, R"({"route_ids":[3]})"},
    {0x8608, R"({"type":"circle","ids":[]})"},
    {0x8700, R"({"command":0,"block":""})"},
    {0x8701, R"({"command":130,"block":"aa55"})"},
    {0x8702},
    {0x8800, R"({"media_id":1})"},
    {0x8801, R"({"channel":1,"command":1,"interval_s":0,"save":"upload","resolution":"320x240",
                "quality":5,"brightness":128,"contrast":64,"saturation":64,"chroma":128})"},
    {0x8802, R"({"type":0,"channel":0,"event":0,"start":null,"end":null})"},
    {0x8803, R"({"type":0,"channel":0,"event":0,"start":null,"end":null,"after":"keep"})"},
    {0x8804, R"({"command":1,"duration_s":1,"save":"upload","rate":"8-khz"})"},
    {0x8805, R"({"media_id":1,"after":"keep"})"},
    {0x8900, R"({"type":"peripheral-status","peripherals":[100,101]})",
     R"({"type":"peripheral-status","peripherals":[100,101]})"},
    {0x8a00, {}},  // written by hand below: 128 bytes of hex
    {0x9003},
    {0x9101, R"({"address":"127.0.0.1","tcp_port":7612,"udp_port":0,"channel":1,"type":0,
                "stream":0})"},
    {0x9102, R"({"channel":1,"command":"close"})"},
    {0x9105, R"({"channel":1,"loss_percent":0})"},
    {0x9201, R"({"address":"127.0.0.1","tcp_port":7612,"udp_port":0,"channel":1,"type":0,
                "stream":0,"storage":0,"mode":0,"speed":0,"start":null,"end":null})"},
    {0x9202, R"({"channel":1,"command":"pause"})"},
    {0x9205, R"({"channel":0,"start":null,"end":null,"type":0,"stream":0,"storage":0})"},
    {0x9206, R"({"address":"127.0.0.1","port":21,"user":"u","password":"p","path":"/","channel":1,
                "start":null,"end":null,"type":0,"stream":0,"storage":0,"conditions":["wifi"]})"},
    {0x9207, R"({"upload_serial":7000,"command":"cancel"})"},
    {0x9208, {}},  // by hand
    {0x9212, {}},  // by hand
    {0x9301, R"({"channel":1,"direction":"left","speed":10})"},
    {0x9302, R"({"channel":1,"direction":"increase"})"},
    {0x9303, R"({"channel":1,"direction":"increase"})"},
    {0x9304, R"({"channel":1,"command":1})"},
    {0x9305, R"({"channel":1,"command":1})"},
    {0x9306, R"({"channel":1,"direction":"increase"})"},
};

Body by_hand(std::uint16_t id) {
  BodyWriter body;
  if (id == 0x8a00) body.u32(65'537).fixed("\x80", 127).u8(1);
  if (id == 0x9208) {
    body.text1("127.0.0.1").u16(7'611).u16(0);
    body.fixed("T001234", 7).fixed("\x26\x01\x31\x08\x30\x15", 6).u8(0).u8(2).u8(0);
    body.fixed("ALARM1", 32).fixed({}, 16);
  }
  if (id == 0x9212) body.text1("a.jpg").u8(0).u8(0).u8(0);
  return body.take();
}

std::uint16_t tell(Bench& bench, const Example& example) {
  if (example.json.empty()) return bench.tell_raw(example.id, by_hand(example.id));
  const bool wide = bench.codec_version() == jt808::Version::v2019;
  return bench.tell(example.id, wide && !example.json_2019.empty() ? example.json_2019
                                                                   : example.json);
}

bool begins_with_serial(const Message& message, std::uint16_t serial) {
  return message.body.size() >= 2 && load_be16(message.body.data()) == serial;
}

}  // namespace

TEST_CASE("the examples are bodies of their messages") {
  for (const Example& example : examples) {
    if (example.json.empty()) continue;
    for (const jt808::Version version : {jt808::Version::v2013, jt808::Version::v2019}) {
      const bool wide = version == jt808::Version::v2019 && !example.json_2019.empty();
      const auto body = jt808::encode_body(*jt808::find_message(example.id), version,
                                           wide ? example.json_2019 : example.json);
      CHECK_MESSAGE(body.ok(), example.id, " ", (body.ok() ? "" : body.error().message));
    }
  }
}

TEST_CASE("every message that a platform sends is answered by the rule of its table") {
  std::size_t asked = 0;
  for (const jt808::MessageSpec& spec : jt808::messages()) {
    if (spec.from_device || spec.id == 0x8001 || spec.id == 0x8100) continue;  // the fleet's own
    ++asked;
    const auto example = std::find_if(std::begin(examples), std::end(examples),
                                      [&](const Example& one) { return one.id == spec.id; });
    REQUIRE_MESSAGE(example != std::end(examples), spec.name, " has no example");
    for (const Version version : {Version::v2013, Version::v2019}) {
      CAPTURE(spec.name);
      CAPTURE(static_cast<int>(version));
      Bench bench(version);
      if (spec.id == 0x8805) {  // there has to be something to upload
        bench.tell(0x8801, R"({"channel":1,"command":1,"interval_s":0,"save":"store",
            "resolution":1,"quality":1,"brightness":0,"contrast":0,"saturation":0,"chroma":0})");
      }
      if (spec.id == 0x9207) tell(bench, *std::find_if(std::begin(examples), std::end(examples),
          [](const Example& one) { return one.id == 0x9206; }));
      bench.take();
      const std::uint16_t serial = tell(bench, *example);
      bench.wait(4 * ns_per_s);
      const std::vector<Message> said = bench.take();
      const int result = result_of(said, spec.id, serial);
      const jt808::LayoutMask mine =
          version == Version::v2019 ? jt808::in_2019 : jt808::in_2013;
      if ((spec.versions & mine) == 0 && spec.answer.rule != jt808::Answer::Rule::none) {
        CHECK(result == 3);
        continue;
      }
      const Message* own = find(said, spec.answer.id);
      const bool own_fits =
          own != nullptr && (!spec.answer.has_serial || begins_with_serial(*own, serial));
      switch (spec.answer.rule) {
        case jt808::Answer::Rule::none: break;
        case jt808::Answer::Rule::general: CHECK(result == 0); break;
        case jt808::Answer::Rule::own: CHECK(own_fits); CHECK(result <= 0); break;
        case jt808::Answer::Rule::both: CHECK(own_fits); CHECK(result == 0); break;
        case jt808::Answer::Rule::either: CHECK((own_fits || result == 0)); break;
      }
    }
  }
  CHECK(asked == std::size(examples));
}

TEST_CASE("what no terminal knows is unsupported") {
  Bench bench(Version::v2013);
  const std::uint16_t serial = bench.tell_raw(0x8f00, by_hand(0x9212));
  CHECK(result_of(bench.take(), 0x8f00, serial) == 3);
}

TEST_CASE("bodies cut short are bad messages, and none breaks a terminal") {
  for (const Example& example : examples) {
    for (const Version version : {Version::v2013, Version::v2019}) {
      Bench bench(version);
      Body body;
      if (example.json.empty()) {
        body = by_hand(example.id);
      } else {
        const bool wide = version == Version::v2019 && !example.json_2019.empty();
        body = jt808::encode_body(*jt808::find_message(example.id), bench.codec_version(),
                                  wide ? example.json_2019 : example.json).value();
      }
      for (std::size_t size = 0; size <= body.size(); ++size) {
        bench.tell_raw(example.id, Bytes(body).first(size));
        bench.wait(ns_per_s / 10);
        bench.take();
      }
      body.push_back(0xff);
      bench.tell_raw(example.id, body);
      bench.take();
    }
  }
}

TEST_CASE("parameters are set, kept and told") {
  for (const Version version : {Version::v2013, Version::v2019}) {
    Bench bench(version);
    const std::uint16_t set = bench.tell(
        0x8103, R"({"parameters":[{"id":"0x0001","value_s":30},{"id":"0x0055",
            "value_kmh":90},{"id":"0xf001","bytes":"0a0b"}]})");
    CHECK(result_of(bench.take(), 0x8103, set) == 0);
    const std::uint16_t serial = bench.tell(0x8106, R"({"parameter_ids":["0x0001","0x0055"]})");
    std::vector<Message> said = bench.take();
    REQUIRE(said.size() == 1);
    CHECK(said[0].id == 0x0104);
    CHECK(begins_with_serial(said[0], serial));
    BodyReader in(said[0].body);
    in.u16();
    CHECK(in.u8() == 2);
    CHECK(in.u32() == 1);
    CHECK(in.u8() == 4);
    CHECK(in.u32() == 30);
    CHECK(in.u32() == 0x55);
    CHECK(in.u8() == 4);
    CHECK(in.u32() == 90);
    CHECK(in.ended());

    // All of them do not fit into one frame.
    bench.tell(0x8104);
    CHECK(read(bench.out().frames[0]).header.fragment() == (bench.out().frames.size() > 1));
    said = bench.take();
    REQUIRE(said.size() == 1);
    CHECK(said[0].body[2] > 75);
    CHECK(said[0].has("0a0b"));

    // One of the wrong length spoils all; one that is unknown is only left out.
    BodyWriter wrong;
    wrong.u8(2).u32(1).u8(4).u32(77).u32(2).u8(1).u8(0);
    const std::uint16_t bad = bench.tell_raw(0x8103, wrong.body());
    CHECK(result_of(bench.take(), 0x8103, bad) == 2);
    CHECK(bench.terminal().parameters().number(1) == 30);
    BodyWriter unknown;
    unknown.u8(2).u32(1).u8(4).u32(77).u32(0x0fff).u8(1).u8(0);
    const std::uint16_t other = bench.tell_raw(0x8103, unknown.body());
    CHECK(result_of(bench.take(), 0x8103, other) == 1);
    CHECK(bench.terminal().parameters().number(1) == 77);
  }
}

TEST_CASE("a text that comes in parts is shown once; a missing part is asked for in 2019") {
  for (const Version version : {Version::v2013, Version::v2019}) {
    Bench bench(version);
    BodyWriter body;
    body.u8(4);
    if (version == Version::v2019) body.u8(1);
    for (int i = 0; i < 2000; ++i) body.u8(static_cast<std::uint64_t>('a' + i % 26));
    const Bytes whole = body.body();
    const std::uint16_t first = 9000;
    bench.tell_part(0x8300, first, 3, 1, whole.first(900));
    bench.tell_part(0x8300, first + 2, 3, 3, whole.subspan(1800));
    CHECK(bench.take().empty());
    bench.wait(1'500 * ns_per_ms);
    const std::vector<Message> asked = bench.take();
    if (version == Version::v2019) {
      REQUIRE(asked.size() == 1);
      CHECK(asked[0].id == 0x0005);
      CHECK(asked[0].has("\"first_serial\":9000"));
      CHECK(asked[0].has("\"packets\":[2]"));
    } else {
      CHECK(asked.empty());
    }
    bench.tell_part(0x8300, first + 1, 3, 2, whole.subspan(900, 900));
    CHECK(result_of(bench.take(), 0x8300, first) == 0);
    CHECK(bench.events().find("\"event\":\"text\"") != std::string::npos);
  }
}

TEST_CASE("a command that comes twice is obeyed once and answered twice, byte for byte") {
  Bench bench(Version::v2013);
  const Body body = by_hand(0x9208);
  bench.tell_part(0x9208, 5, 0, 0, body);
  const std::vector<Uplink> first = bench.out().frames;
  bench.tell_part(0x9208, 5, 0, 0, body);
  REQUIRE(bench.out().frames.size() == 2 * first.size());
  CHECK(bench.out().frames[0].wire == bench.out().frames[first.size()].wire);
  CHECK(bench.out().uploads.size() == 1);
}

TEST_CASE("what is not answered is sent again after T(n+1) = T(n) * (n+1), then given up") {
  Bench bench(Version::v2013);  // T = 10 s, three more times
  bench.tell(0x8702);
  REQUIRE(bench.out().frames.size() == 1);
  const std::vector<std::uint64_t> due_s = {10, 30, 90};
  MonoNs before = 0;
  for (const std::uint64_t at : due_s) {
    bench.wait(static_cast<MonoNs>(at) * ns_per_s - before - ns_per_ms);
    const std::size_t sent = bench.out().frames.size();
    bench.wait(ns_per_ms);
    CHECK(bench.out().frames.size() == sent + 1);
    before = static_cast<MonoNs>(at) * ns_per_s;
  }
  for (const Uplink& frame : bench.out().frames) CHECK(frame.wire == bench.out().frames[0].wire);
  bench.wait(1000 * ns_per_s);
  CHECK(bench.out().frames.size() == 4);
  CHECK(bench.events().find("unanswered") != std::string::npos);
}

TEST_CASE("tracking reports at its interval until it ends") {
  Bench bench(Version::v2019);
  bench.tell(0x8202, R"({"interval_s":5,"validity_s":20})");
  bench.take();
  bench.wait(60 * ns_per_s);
  std::size_t reports = 0;
  std::map<std::uint16_t, int> serials;
  for (const Uplink& frame : bench.out().frames) {
    if (frame.message_id == 0x0200 && serials[frame.serial]++ == 0) ++reports;
  }
  CHECK(reports == 4);
}

TEST_CASE("doors: 1 locks in 2013, 0 locks in 2019") {
  Bench old(Version::v2013);
  old.tell(0x8500, R"({"doors":"lock"})");
  CHECK(find(old.take(), 0x0500)->has("doors-locked"));
  old.tell(0x8500, R"({"doors":"unlock"})");
  CHECK(!find(old.take(), 0x0500)->has("doors-locked"));
  Bench wide(Version::v2019);
  wide.tell(0x8500, R"({"controls":[{"control":"door","doors":"lock"}]})");
  CHECK(find(wide.take(), 0x0500)->has("doors-locked"));
  wide.tell(0x8500, R"({"controls":[{"control":"door","doors":"open"}]})");
  CHECK(!find(wide.take(), 0x0500)->has("doors-locked"));
  Position position;
  wide.terminal().adjust(position);
  CHECK((position.status & 1U << 13) != 0);
}

TEST_CASE("reset leaves after its answer; the factory's parameters come back with 5") {
  Bench bench(Version::v2013);
  bench.tell(0x8103, R"({"parameters":[{"id":"0x0001","value_s":30}]})");
  const std::uint16_t serial = bench.tell(0x8105, R"({"command":"factory-reset"})");
  CHECK(result_of(bench.take(), 0x8105, serial) == 0);
  CHECK(bench.out().away_ns > 0);
  CHECK(bench.terminal().parameters().number(1) == 60);
  bench.terminal().on_link_down();
  CHECK(bench.terminal().next_due() == INT64_MAX);
  bench.terminal().on_online(bench.moment(), bench.out());
  const std::uint16_t other = bench.tell(0x8105, R"({"command":"connect-to-server"})");
  CHECK(result_of(bench.take(), 0x8105, other) == 1);
  Bench wide(Version::v2019);
  const std::uint16_t off = wide.tell(0x8105, R"({"command":"power-off"})");
  CHECK(result_of(wide.take(), 0x8105, off) == 3);
}
