// What a control plane sees of terminals and does to them: lists, kicks, bans, traces, bad frames.
#include "protocols/jt808/gate.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "tests/unit/jt808/terminal.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;
using namespace ringgate::jt808::test;
using unit::Stored;

constexpr std::int64_t now_s = RigSys::start_unix_s + 1000;
const event::Act alice{.by = "alice", .why = "test \"7\""};

struct Scene {
  explicit Scene(const GatewayOptions& options = {}) : gateway(options) {
    for (ShardIndex i = 0; i < options.shards; ++i) {
      unit::Gateway::Room& room = gateway.rooms[i];
      gates.push_back(std::make_unique<Gate>(*room.jt808, *room.links, *room.writer, *room.devices,
                                             log.add_source("gate")));
    }
  }
  Gate& gate(ShardIndex shard = 0) { return *gates[shard]; }
  std::string describe(std::string_view phone, ShardIndex shard = 0) {
    std::string text;
    JsonWriter json(text);
    json.begin_object();
    const bool known = gate(shard).describe(DeviceKey(Namespace::phone, phone), json);
    json.end_object();
    return known ? text : "";
  }

  observe::Logger log{{.delivery = observe::Delivery::immediate,
                       .sink = [](std::string_view) {}}};
  Gateway gateway;
  std::vector<std::unique_ptr<Gate>> gates;
};

DeviceKey key(std::string_view phone) { return DeviceKey(Namespace::phone, phone); }
bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("the list goes through all devices in pages, and a description says more") {
  Scene scene;
  std::vector<std::unique_ptr<Terminal>> terminals;
  for (unsigned i = 0; i < 5; ++i) {
    const std::string phone = std::to_string(13800000000ULL + i);
    const Version version = i == 1 ? Version::v2019 : Version::v2013;
    terminals.push_back(
        std::make_unique<Terminal>(scene.gateway, scene.gateway.jt808(), phone, version));
    CHECK(terminals.back()->goes_online());
  }
  Terminal& first = *terminals[0];
  CHECK(first.says(first.location(now_s), id::location, AckResult::ok));
  std::vector<std::string> rows;
  std::vector<std::uint32_t> cursors;
  std::uint32_t cursor = 0;
  do {
    cursor = scene.gate().list(cursor, 2, rows);
    cursors.push_back(cursor);
  } while (cursor != 0);
  CHECK(cursors == std::vector<std::uint32_t>{2, 4, 0});
  REQUIRE(rows.size() == 5);
  CHECK(has(rows[0], R"("phone":"13800000000","online":true,"version":"2013","transport":"tcp")"));
  CHECK(has(rows[0], R"("latitude_deg":22.500000)"));
  CHECK(has(rows[0], R"("speed_kmh":60.0)"));
  CHECK(has(rows[1], R"("version":"2019")"));
  CHECK(!has(rows[1], "latitude_deg"));
  // Filters may name each of them.
  const auto known = DeviceProtocol().list_keys();
  for (const std::string& row : rows) {
    const auto shown = nlohmann::json::parse(row);
    for (const auto& member : shown.items()) {
      const std::string& name = member.key();
      CAPTURE(name);
      CHECK(std::ranges::find(known, name) != known.end());
    }
  }
  const std::string more = scene.describe("13800000000");
  CHECK(has(more, R"("status":["acc-on","fixed"],"load":"empty")"));
  CHECK(has(more, R"("alarms":[])"));
  CHECK(has(more, R"("shard":0)"));
  CHECK(scene.describe("13911111111").empty());
  first.link->finish();
  CHECK(scene.gateway.until([&] { return scene.gateway.links() == 4; }));
  const std::string offline = scene.describe("13800000000");
  CHECK(has(offline, R"("online":false)"));
  CHECK(!has(offline, "peer"));
  CHECK(has(offline, "latitude_deg"));
}

TEST_CASE("a kick ends the link, the terminal may come back, and the log knows who did it") {
  Scene scene;
  Terminal terminal(scene.gateway, scene.gateway.jt808(), "13800138000");
  CHECK(!scene.gate().kick(key("13800138000"), alice));
  CHECK(terminal.goes_online());
  CHECK(scene.gate().kick(key("13800138000"), alice));
  CHECK(!scene.gate().kick(key("13800138000"), alice));  // it has none any more
  CHECK(scene.gateway.until([&] { return terminal.link->closed; }));
  Terminal again(scene.gateway, scene.gateway.jt808(), "13800138000");
  CHECK(again.goes_online());
  std::vector<Stored> audits;
  for (const Stored& record : scene.gateway.stored()) {
    if (record.kind == log::Kind::audit) audits.push_back(record);
  }
  REQUIRE(audits.size() == 1);
  CHECK(audits[0].device == "13800138000");
  CHECK(audits[0].message == static_cast<std::uint16_t>(Audit::kick));
  CHECK(audits[0].payload == R"({"action":"kick","by":"alice","why":"test \"7\""})");
}

TEST_CASE("the record of an act keeps the beginning of a reason that is longer than records are") {
  Scene scene;
  std::string why(1'000'000, 'w');
  why.replace(ban_reason_max - 1, 2, "\u00e9");  // not to be cut in two
  CHECK(scene.gate().ban(key("13800138000"), 0, {.by = "alice", .why = why}));
  std::vector<std::string> audits;
  for (const Stored& record : scene.gateway.stored()) {
    if (record.kind == log::Kind::audit) audits.push_back(record.payload);
  }
  REQUIRE(audits.size() == 1);
  CHECK(audits[0].find("\"why\":\"" + std::string(ban_reason_max - 1, 'w') + "\"") !=
        std::string::npos);
}

TEST_CASE("a banned terminal is refused both ways, and its old code is worth nothing afterwards") {
  Scene scene;
  Terminal terminal(scene.gateway, scene.gateway.jt808(), "13800138000");
  CHECK(terminal.goes_online());
  CHECK(scene.gate().ban(key("13800138000"), 0, alice));
  CHECK(scene.gateway.until([&] { return terminal.link->closed; }));
  CHECK(has(scene.describe("13800138000"), R"("ban":{"since":")"));
  {
    Terminal again(scene.gateway, scene.gateway.jt808(), "13800138000");
    CHECK(again.says(again.authentication(), id::authentication, AckResult::failed));
    again.link->send(again.registration());
    CHECK(again.hears(written([&](MutableBytes out) {
      return write_register_reply(out, again.peer, again.reply_serial++, 1,
                                  RegisterResult::no_such_terminal, {});
    })));
    // Another terminal is none of it.
    Terminal other(scene.gateway, scene.gateway.jt808(), "13800138001");
    CHECK(other.goes_online());
  }
  CHECK(scene.gateway.counters().refused.value(Refusal::banned) == 2);
  std::vector<std::string> bans;
  scene.gate().bans(bans);
  REQUIRE(bans.size() == 1);
  CHECK(has(bans[0], R"("phone":"13800138000")"));
  CHECK(has(bans[0], R"("until":null,"by":"alice")"));
  CHECK(scene.gate().unban(key("13800138000"), alice));
  CHECK(!scene.gate().unban(key("13800138000"), alice));
  Terminal back(scene.gateway, scene.gateway.jt808(), "13800138000");
  CHECK(back.says(back.authentication(back.code(0)), id::authentication, AckResult::failed));
  CHECK(back.says(back.authentication(back.code(1)), id::authentication, AckResult::ok));
}

TEST_CASE("a ban ends with its time; unknown terminals can be banned") {
  Scene scene;
  const WallUs until = scene.gateway.sys.wall_now() + 60 * us_per_s;
  CHECK(scene.gate().ban(key("13800138000"), until, alice));
  Terminal terminal(scene.gateway, scene.gateway.jt808(), "13800138000");
  CHECK(terminal.says(terminal.authentication(terminal.code(1)), id::authentication,
                      AckResult::failed));
  scene.gateway.advance(59 * ns_per_s);
  CHECK(terminal.says(terminal.authentication(terminal.code(1)), id::authentication,
                      AckResult::failed));
  scene.gateway.advance(2 * ns_per_s);
  CHECK(terminal.says(terminal.authentication(terminal.code(1)), id::authentication,
                      AckResult::ok));
  CHECK(!scene.gate().unban(key("13800138000"), alice));
}

struct Watcher final : event::TraceWatcher {
  void on_frame(bool from_device, WallUs, Bytes frame) override {
    seen.push_back((from_device ? "up " : "down ") + to_hex(frame));
  }
  std::vector<std::string> seen;
};

TEST_CASE("a watcher sees each frame and its answer, of its terminal only, once") {
  Scene scene;
  Watcher watcher;
  Watcher second;
  CHECK(scene.gate().trace(key("13800138000"), &watcher));
  CHECK(!scene.gate().trace(key("13800138000"), &second));
  Terminal terminal(scene.gateway, scene.gateway.jt808(), "13800138000");
  Terminal other(scene.gateway, scene.gateway.jt808(), "13800138001");
  CHECK(other.goes_online());
  CHECK(watcher.seen.empty());
  terminal.link->send(terminal.registration());
  CHECK(scene.gateway.until([&] { return !terminal.link->in.empty(); }));
  terminal.link->in.clear();
  ++terminal.reply_serial;
  CHECK(terminal.goes_online());
  CHECK(terminal.says(terminal.empty(id::heartbeat), id::heartbeat, AckResult::ok));
  REQUIRE(watcher.seen.size() == 6);
  CHECK(watcher.seen[0].starts_with("up 0100"));
  CHECK(watcher.seen[1].starts_with("down 8100"));
  CHECK(watcher.seen[2].starts_with("up 0102"));
  CHECK(watcher.seen[3].starts_with("down 8001"));
  CHECK(watcher.seen[4] == "up 0002" "0000" "013800138000" "0002");
  CHECK(watcher.seen[5] == "down 8001" "0005" "013800138000" "0002" "0002" "0002" "00");
  // A command, at another time.
  const device::Device* device = scene.gateway.device("13800138000");
  net::Link* link = scene.gateway.rooms[0].links->find(device->link);
  REQUIRE(link != nullptr);
  Tracer& tracer = scene.gateway.rooms[0].jt808->oversight().tracer;
  tracer.sent(*link, key("13800138000"), terminal.message(0x8104));
  tracer.sent(*link, key("13800138001"), terminal.message(0x8104));
  CHECK(watcher.seen.size() == 7);
  CHECK(scene.gate().trace(key("13800138000"), nullptr));
  CHECK(!tracer.watching());
  terminal.serial = 3;
  CHECK(terminal.says(terminal.empty(id::heartbeat), id::heartbeat, AckResult::ok));
  CHECK(watcher.seen.size() == 7);
  // All places taken.
  for (std::size_t i = 0; i < watched_max; ++i) {
    CHECK(scene.gate().trace(key(std::to_string(100 + i)), &second));
  }
  CHECK(!scene.gate().trace(key("13800138000"), &watcher));
}

TEST_CASE("a watcher sees what a timer asks for: a part that is missing") {
  Scene scene;
  Terminal terminal(scene.gateway, scene.gateway.jt808(), "13800138000");
  CHECK(terminal.goes_online());
  Watcher watcher;
  CHECK(scene.gate().trace(key("13800138000"), &watcher));
  FrameWriter part(terminal.peer, 0x0f00, terminal.serial++, 2, 1);
  part.text("half");
  terminal.link->send(written([&](MutableBytes out) { return part.finish(out); }));
  CHECK(terminal.hears(terminal.ack(0x0f00, AckResult::ok)));
  CHECK(watcher.seen.size() == 2);
  scene.gateway.advance(6 * ns_per_s);
  CHECK(scene.gateway.until([&] { return !terminal.link->in.empty(); }));
  REQUIRE(watcher.seen.size() == 3);
  CHECK(watcher.seen[2].starts_with("down 8003"));
}

TEST_CASE("bad frames are kept with their reason, the place and the bytes, newest first") {
  Scene scene;
  Terminal terminal(scene.gateway, scene.gateway.jt808(), "13800138000");
  CHECK(terminal.goes_online());
  Raw broken = terminal.empty(id::heartbeat);
  broken[5] ^= 0x01;
  terminal.link->send(broken);
  Raw odd = terminal.location(now_s);
  odd = terminal.message(id::location, Bytes{odd}.first(10));  // a body of ten bytes
  CHECK(terminal.says(odd, id::location, AckResult::bad_message));
  // A header that says another length than the frame has; the check is right.
  const std::vector<std::uint8_t> wrong = {0x02, 0x00, 0x00, 0x05, 0x01, 0x38, 0x00,
                                           0x13, 0x80, 0x00, 0x00, 0x09, 0x00};
  terminal.link->send(written([&](MutableBytes out) { return write_frame(out, wrong); }));
  terminal.link->send("\x7e\x01\x7d\x09\x02\x03\x7e");
  scene.gateway.settle();
  std::vector<std::string> all;
  scene.gate().bad_frames(100, all);
  REQUIRE(all.size() == 4);
  CHECK(has(all[0], R"("reason":"escape","offset":)"));
  CHECK(has(all[1], R"("reason":"length","offset":2,"unescaped":true,"size":13)"));
  CHECK(has(all[2], R"("phone":"13800138000","reason":"body","offset":)"));
  CHECK(has(all[3], R"("reason":"checksum")"));
  CHECK(has(all[3], R"("bytes":"7e00)"));
  CHECK(has(all[3], R"("peer":"127.0.0.1:)"));
  std::vector<std::string> two;
  scene.gate().bad_frames(2, two);
  CHECK(two == std::vector<std::string>(all.begin(), all.begin() + 2));
  // The ring holds so many, and the newest.
  for (std::size_t i = 0; i < bad_frames_kept; ++i) {
    scene.gateway.rooms[0].jt808->oversight().bad_frames.note(net::Link{}, 1, BadReason::oversize,
                                                              Bytes{odd});
  }
  all.clear();
  scene.gate().bad_frames(10'000, all);
  CHECK(all.size() == bad_frames_kept);
  CHECK(has(all.back(), "oversize"));
}

// 20 in 60 s. A fixed window would take 40 around its end.
TEST_CASE("the window of bad frames slides") {
  Scene scene;
  Client& client = scene.gateway.jt808();
  const auto bad = [&](int count) {
    for (int i = 0; i < count; ++i) client.send("\x7e\x01\x02\x7e");
    scene.gateway.settle();
    scene.gateway.turn();
  };
  bad(1);
  scene.gateway.advance(55 * ns_per_s);
  bad(19);
  scene.gateway.advance(6 * ns_per_s);
  CHECK(scene.gateway.links() == 1);
  bad(2);
  CHECK(scene.gateway.until([&] { return client.closed; }));
}

}  // namespace
