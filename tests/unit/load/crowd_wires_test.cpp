// Crowds over connections of their own, on the simulated ring against a server that says what the
// test has it say: what they count as good, as a note, and as an error.
#include <doctest/doctest.h>

#include "tests/unit/load/crowd_rig.hpp"
#include "tools/load/crowd/api_crowd.hpp"
#include "tools/load/crowd/hostile_crowd.hpp"
#include "tools/load/crowd/silent_crowd.hpp"
#include "tools/load/crowd/subscriber_crowd.hpp"

using namespace ringgate;
using unit::CrowdRig;

namespace {

MonoNs at_once(MonoNs now) { return now; }

// The rig, and a scenario of one class.
struct Stage {
  Stage(const load::UserClass& users, std::uint32_t count, unit::Script script,
        unit::ScriptedServer::Respond respond, io::SimOptions options = {})
      : rig(options, std::move(script), std::move(respond)) {
    scenario.classes.push_back(users);
    scenario.classes.front().users = count;
    place = rig.place(count);
    place.scenario = &scenario;
    place.tokens = &tokens;
  }
  load::Tally run(load::Crowd& crowd, MonoNs how_long, MonoNs step_ns = 100'000) {
    rig.run_until(crowd, rig.world.now() + how_long, step_ns);
    return crowd.take_tally();
  }
  load::Tally end(load::Crowd& crowd) {
    crowd.stop(false);
    load::Tally tally = run(crowd, 12 * ns_per_s);
    CHECK(crowd.finished());
    CHECK(tally.users == 0);
    return tally;
  }

  CrowdRig rig;
  load::Scenario scenario;
  std::vector<std::string> tokens;
  load::CrowdPlace place;
};

// Each request has this answer.
unit::ScriptedServer::Respond says(std::string answer) {
  return [answer](std::string& in) {
    const std::size_t end = in.find("\r\n\r\n");
    if (end == std::string::npos) return std::string{};
    in.erase(0, end + 4);
    return answer;
  };
}
const std::string good = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

load::UserClass api_class() {
  load::UserClass users;
  users.name = "apps";
  users.kind = load::UserKind::api;
  users.interval_ns = 100 * ns_per_ms;
  users.routes = {{"GET", "/a", "", 1}, {"POST", "/b", "{}", 1}};
  return users;
}

}  // namespace

TEST_CASE("a stalled HTTP server is seen from when requests were due") {
  constexpr std::uint32_t users = 10;
  MonoNs stall_from = INT64_MAX;
  Stage stage(api_class(), users,
              [&](MonoNs now) {
                const bool stalls = now >= stall_from && now < stall_from + ns_per_s;
                return stalls ? stall_from + ns_per_s : now + ns_per_ms;
              },
              says(good));
  load::ApiCrowd crowd(stage.place, stage.rig.target, {});
  crowd.set_aim({users, 1});
  load::Tally tally = stage.run(crowd, 3 * ns_per_s);
  CHECK(tally.errors.empty());
  CHECK(tally.connected == users);
  CHECK(tally.ready == users);
  CHECK(tally.response.percentile(99) < 3 * ns_per_ms);
  stall_from = stage.rig.world.now();
  tally = stage.run(crowd, 3 * ns_per_s);
  CHECK(tally.errors.empty());
  CHECK(tally.dropped == 0);
  // Of each user one request was under way; nine or ten more came due in that second.
  CHECK(tally.service.count_above(50 * ns_per_ms) <= users);
  CHECK(tally.response.count_above(50 * ns_per_ms) >= 9 * users);
  CHECK(tally.response.max_ns() > 900 * ns_per_ms);
  CHECK(tally.lag.max_ns() > 800 * ns_per_ms);
  const load::Tally last = stage.end(crowd);
  CHECK(last.errors.empty());
}

TEST_CASE("what an API user calls an error, by name") {
  struct Case {
    const char* answer;
    const char* kind;
  };
  for (const Case& one : {Case{"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", "http_503"},
                          Case{"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "http_404"},
                          Case{"SSH-2.0-OpenSSH\r\n", "bad_answer"},
                          Case{"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxHTTP/1.1 200 OK\r\n"
                               "Content-Length: 0\r\n\r\n", "bad_answer"},
                          Case{"", "timeout"}}) {
    CAPTURE(one.kind);
    Stage stage(api_class(), 3, at_once, says(one.answer));
    load::ApiCrowd crowd(stage.place, stage.rig.target, {});
    crowd.set_aim({3, 1});
    const load::Tally tally = stage.run(crowd, 30 * ns_per_s, ns_per_ms);
    CHECK(tally.acknowledged == 0);
    CHECK(tally.errors.size() == 1);
    CHECK(tally.count_of(one.kind) >= 3);
    CHECK(tally.response.count() == 0);
    CHECK_FALSE(tally.last_error.empty());
    stage.end(crowd);
  }
}

TEST_CASE("a server that closes after an answer has done nothing wrong") {
  Stage stage(api_class(), 2, at_once,
              says("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"));
  load::ApiCrowd crowd(stage.place, stage.rig.target, {});
  crowd.set_aim({2, 1});
  const load::Tally tally = stage.run(crowd, 3 * ns_per_s);
  CHECK(tally.errors.empty());
  CHECK(tally.acknowledged > 40);
  CHECK(tally.connected > 40);
  CHECK(stage.end(crowd).errors.empty());
}

TEST_CASE("the end of a run cuts off what is young, and drops what was never asked") {
  constexpr std::uint32_t users = 5;
  Stage stage(api_class(), users, [](MonoNs now) { return now + 900 * ns_per_ms; }, says(good));
  load::ApiCrowd crowd(stage.place, stage.rig.target, {});
  crowd.set_aim({users, 1});
  load::Tally all = stage.run(crowd, 3 * ns_per_s);
  REQUIRE(all.outstanding > users);  // some wait for the one that is under way
  bool hard = false;
  SUBCASE("in good order") {}
  SUBCASE("at once") { hard = true; }
  crowd.stop(hard);
  const MonoNs began = stage.rig.world.now();
  const load::Tally last = stage.run(crowd, 12 * ns_per_s);
  CHECK(crowd.finished());
  CHECK(stage.rig.world.now() - began < 2 * ns_per_s);
  CHECK(last.errors.empty());
  CHECK(last.dropped > 0);
  all.append(last);
  CHECK(all.errors.empty());
  CHECK(all.notes["left_unanswered"] == (hard ? users : 0));
  CHECK(all.due == all.acknowledged + all.dropped + all.notes["left_unanswered"]);
}

// ---- hostile -----------------------------------------------------------------------------------

namespace {

load::Tally attack(load::Attack what, unit::ScriptedServer::Respond respond) {
  load::UserClass users;
  users.name = "foes";
  users.kind = load::UserKind::hostile;
  users.attacks = {what};
  Stage stage(users, 2, at_once, std::move(respond));
  load::HostileCrowd crowd(stage.place, stage.rig.target, stage.rig.target, {});
  crowd.set_aim({2, 1});
  load::Tally tally = stage.run(crowd, 20 * ns_per_s, ns_per_ms);
  tally.append(stage.end(crowd));
  return tally;
}

}  // namespace

TEST_CASE("a server that takes garbage for good is an error, one that refuses or is mute is not") {
  load::Tally tally = attack(load::Attack::bad_http, says(good));
  CHECK(tally.count_of("accepted_garbage") >= 10);
  CHECK(tally.acknowledged == 0);
  tally = attack(load::Attack::bad_http, says("HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n"));
  CHECK(tally.errors.empty());
  CHECK(tally.notes.at("refused") == tally.acknowledged);
  CHECK(tally.acknowledged >= 10);
  tally = attack(load::Attack::bad_http, says("what?\r\nwhat?\r\n"));
  CHECK(tally.count_of("bad_answer") >= 10);
  // It acknowledges a registration whose check byte is wrong.
  tally = attack(load::Attack::bad_check, unit::good_news);
  CHECK(tally.count_of("accepted_garbage") >= 10);
  tally = attack(load::Attack::bad_check, [](std::string&) { return std::string{}; });
  CHECK(tally.errors.empty());
  CHECK(tally.notes.at("ignored") >= 4);
  tally = attack(load::Attack::slow_bytes, says(good));  // its head never ends
  CHECK(tally.errors.empty());
}

TEST_CASE("one that is mute expects nothing, not even an answer") {
  load::UserClass users;
  users.name = "mute";
  users.kind = load::UserKind::silent;
  users.silence = load::Silence::half_frame;
  Stage stage(users, 4, at_once, [](std::string& in) { return std::exchange(in, {}); });
  load::SilentCrowd crowd(stage.place, stage.rig.target, {});
  crowd.set_aim({4, 1});
  CHECK(stage.run(crowd, 500 * ns_per_ms).count_of("stray_reply") == 4);
  stage.end(crowd);
}

// ---- subscribers -------------------------------------------------------------------------------

namespace {

std::string event(std::uint64_t position, const std::string& stream = "aa/1-0") {
  return R"({"type":"position","record":")" + stream + "/" + std::to_string(position) +
         R"(","received":"2025-06-15T15:06:40.000Z"})";
}

// What subscribers make of these messages.
load::Tally told(const std::vector<std::string>& messages, std::string head = {}) {
  load::UserClass users;
  users.name = "maps";
  users.kind = load::UserKind::subscriber;
  users.feed = load::Feed::sse;
  if (head.empty()) head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
  std::string body = "retry: 1000\n\n";
  for (const std::string& message : messages) body += "id: x\ndata: " + message + "\n\n: beat\n\n";
  Stage stage(users, 1, at_once, says(head + body), io::SimOptions::rough(5));
  stage.rig.world.options().reset = 0;
  load::SubscriberCrowd crowd(stage.place, stage.rig.target, {});
  crowd.set_aim({1, 1});
  load::Tally tally = stage.run(crowd, 2 * ns_per_s, ns_per_ms);
  tally.append(stage.end(crowd));
  return tally;
}

}  // namespace

TEST_CASE("a subscriber that nobody answers is an error though its run ends before its patience") {
  load::UserClass users;
  users.name = "maps";
  users.kind = load::UserKind::subscriber;
  Stage stage(users, 3, at_once, [](std::string& in) {
    in.clear();
    return std::string{};
  });
  load::SubscriberCrowd crowd(stage.place, stage.rig.target, {});
  crowd.set_aim({3, 1});
  load::Tally all = stage.run(crowd, 2 * ns_per_s);
  CHECK(all.errors.empty());
  all.append(stage.end(crowd));
  CHECK(all.count_of("not_ready") == 3);
  CHECK(all.error_count() == 3);
  CHECK(all.last_error.starts_with("not_ready: no answer in "));
}

TEST_CASE("a subscriber holds what it is told against the log's order and the cursor's") {
  const std::string some = R"({"events":[)" + event(8) + "," + event(16) + "," +
                           event(4, "aa/1-1") + R"(],"cursor":"aa-1-10-4"})";
  load::Tally tally = told({some, R"({"events":[)" + event(24) + R"(],"cursor":"aa-1-18-4"})"});
  CHECK(tally.errors.empty());
  CHECK(tally.delivered == 4);
  CHECK(tally.delivery.count() == 4);
  CHECK(tally.connect.count() == 1);
  CHECK(told({some, some}).count_of("duplicate") == 3);
  CHECK(told({R"({"cursor":"aa-1-10-4"})", R"({"cursor":"aa-1-f-9"})"})
            .count_of("cursor_went_back") == 1);
  tally = told({R"({"gap":{"lost_bytes":77}})", R"({"events":[],"coalesced":5})"});
  CHECK(tally.count_of("gap") == 1);
  CHECK(tally.notes.at("coalesced") == 5);
  CHECK(told({R"({"slow":{"queued_bytes":1,"seconds":31}})"}).count_of("closed_as_slow") == 1);
  CHECK(told({R"({"error":{"detail":"no"}})"}).count_of("stream_error") >= 1);
  CHECK(told({"nonsense"}).count_of("bad_message") >= 1);
  CHECK(told({}, "HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n").count_of("http_403") >= 1);
  CHECK(told({}, "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n").count_of("bad_answer") >= 1);
}
