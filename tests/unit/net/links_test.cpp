// Links with a protocol of lines, on the real ring with every feature forced off in turn, and on
// the simulated one.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/unit/net/scenes.hpp"

namespace {

using namespace ringgate;
using net::CloseReason;
using unit::Far;
using unit::ground_of;
using unit::numbered;
using unit::on_every_scene;
using unit::Scene;
using unit::scenes;
using unit::Stage;
using unit::StageOptions;

std::string lines(char kind, int first, int count, const std::string& filler = "") {
  std::string text;
  for (int i = first; i < first + count; ++i) {
    text += kind;
    text += numbered("", i, filler);
  }
  return text;
}

// What "L" lines are answered with: positions count from `position`.
std::string answers(int shard, int position, char kind, int first, int count) {
  std::string text;
  for (int i = 0; i < count; ++i) {
    text += '=';
    text += std::to_string(shard);
    text += ',';
    text += std::to_string(position + i);
    text += ' ';
    text += kind;
    text += numbered("", first + i);
  }
  return text;
}

std::uint64_t closed(Stage& stage, CloseReason reason, ShardIndex shard = 0) {
  return stage.links(shard).counters().closed.value(reason);
}

TEST_CASE("lines are answered however they are cut") {
  on_every_scene({.auto_commit = true}, [](Stage& stage) {
    const std::string text = lines('L', 10, 3) + lines('H', 20, 2) + lines('L', 30, 1);
    int position = 1;
    for (std::size_t cut = 1; cut < text.size(); ++cut) {
      auto far = stage.connect();
      far->send(text.substr(0, cut));
      stage.turns(3);
      far->send(text.substr(cut));
      stage.expect(*far, answers(0, position, 'L', 10, 3) + "-H20\n-H21\n" +
                             answers(0, position + 3, 'L', 30, 1));
      position += 4;
    }
    auto far = stage.connect();
    for (const char one : text) {
      far->send({&one, 1});
      stage.turn();
    }
    stage.expect(*far, answers(0, position, 'L', 10, 3) + "-H20\n-H21\n" +
                           answers(0, position + 3, 'L', 30, 1));
  });
}

TEST_CASE("answers wait for their own and all earlier positions, in frame order") {
  on_every_scene({}, [](Stage& stage) {
    auto one = stage.connect();
    auto two = stage.connect();
    one->send("L1\n");
    CHECK(stage.until([&] { return stage.at(0).log.next == 2; }));
    two->send("L2\n");
    CHECK(stage.until([&] { return stage.at(0).log.next == 3; }));
    one->send("H3\n");  // inherits position 1
    stage.turns(5);
    two->send("H4\n");
    stage.turns(5);
    two->send("L5\n");
    CHECK(stage.until([&] { return stage.at(0).log.next == 4; }));
    stage.turns(5);
    std::string got;
    stage.take(*one, got);
    stage.take(*two, got);
    CHECK(got.empty());
    stage.commit_to(0, 1);
    stage.turns(5);
    stage.take(*one, got);
    CHECK(got == "=0,1 L1\n");  // H3 was seen after 2 was logged: it may wait for 2, but no longer
    got.clear();
    stage.take(*two, got);
    CHECK(got.empty());
    stage.commit_to(0, 2);
    stage.expect(*two, "=0,2 L2\n-H4\n");
    stage.expect(*one, "-H3\n");
    stage.commit_to(0, 3);
    stage.expect(*two, "=0,3 L5\n");
    one->send("H6\n");  // nothing to wait for
    stage.expect(*one, "-H6\n");
  });
}

TEST_CASE("a link past its credit is not read, and read on when its bytes are durable") {
  on_every_scene({}, [](Stage& stage) {
    auto far = stage.connect();
    auto other = stage.connect();
    const std::string filler(200, 'x');
    const int count = 20'000;  // 4 MB: far beyond every buffer on the way
    far->send(lines('L', 1'000'000, count, filler));
    for (int i = 0; i < 200; ++i) {
      stage.turn();
      std::string none;
      stage.take(*far, none);  // lets the far end push what it still holds
      REQUIRE(none.empty());
    }
    // Not more than the credit and a slice of spill was handled.
    const Position seen = stage.at(0).log.next - 1;
    CHECK(seen * filler.size() <= limits::link_credit_bytes + 2 * limits::spill_slice_bytes);
    CHECK(stage.links().counters().paused.value(net::PauseCount::credit) >= 1);
    // Others go on.
    other->send("H1\n");
    stage.expect(*other, "-H1\n");
    std::string got;
    CHECK(stage.until([&] {
      stage.commit(0);
      stage.turn();
      stage.take(*far, got);
      return stage.at(0).log.next - 1 == static_cast<Position>(count) &&
             got.size() >= answers(0, 1, 'L', 1'000'000, count).size();
    }));
    CHECK(got == answers(0, 1, 'L', 1'000'000, count));
  });
}

TEST_CASE("a peer that sends all it has at once is not taken for one with an endless frame") {
  on_every_scene({}, [](Stage& stage) {
    auto far = stage.connect();
    const int count = 30'000;
    const std::string filler(120, 'y');
    far->send(lines('L', 1'000'000, count, filler));
    std::string got;
    for (int i = 0; i < 50; ++i) {
      stage.turn();
      stage.take(*far, got);
    }
    CHECK(got.empty());
    CHECK(stage.live() == 1);
    CHECK(stage.until([&] {
      stage.commit(0);
      stage.take(*far, got);
      return stage.at(0).log.next - 1 == static_cast<Position>(count);
    }));
    CHECK(stage.live() == 1);
  });
}

TEST_CASE("a peer that never reads is paused, and read on when it does") {
  on_every_scene({.auto_commit = true}, [](Stage& stage) {
    auto far = stage.connect();
    const std::string filler(400, 'z');
    const int count = stage.ground().too_many_bytes() / 400;
    const std::string text = lines('H', 10'000, count, filler);
    const auto paused = [&] {
      return stage.links().counters().paused.value(net::PauseCount::out_full);
    };
    far->pause_reading(true);
    far->send(text);
    CHECK(stage.until([&] {
      far->send("");
      return paused() > 0;
    }));
    far->pause_reading(false);
    std::string got;
    CHECK(stage.until([&] {
      stage.take(*far, got);
      return got.size() >= text.size() + static_cast<std::size_t>(count);
    }));
    std::string expected;
    for (int i = 0; i < count; ++i) expected += numbered("-H", 10'000 + i, filler);
    const bool same = got == expected;
    CHECK(same);
  });
}

TEST_CASE("a peer that takes nothing for the idle time-out is closed") {
  for (const Scene& scene : scenes()) {
    CAPTURE(scene.name);
    Stage stage(ground_of(scene),
                {.without = scene.without, .idle_timeout_ms = 10'000, .auto_commit = true});
    auto far = stage.connect();
    const int count = stage.ground().too_many_bytes() / 400;
    const std::string text = lines('H', 10'000, count, std::string(400, 'z'));
    far->pause_reading(true);
    far->send(text);
    CHECK(stage.until([&] {
      far->send("");
      return stage.links().counters().paused.value(net::PauseCount::out_full) > 0;
    }));
    for (int i = 0; i < 3'000 && stage.live() > 0; ++i) stage.pass(50 * ns_per_ms);
    CHECK(stage.live() == 0);
    CHECK(closed(stage, CloseReason::send_failed) == 1);
    stage.stop();
  }
}

TEST_CASE("close reasons") {
  on_every_scene({.auto_commit = true}, [](Stage& stage) {
    const auto wait_closed = [&](CloseReason reason, std::uint64_t times) {
      CHECK(stage.until([&] { return closed(stage, reason) == times; }));
    };
    auto fin = stage.connect();
    fin->send("L1\nL2");  // and a frame that never ends
    fin->shut();
    stage.expect(*fin, "=0,1 L1\n");
    CHECK(stage.until([&] { return fin->ended(); }));
    wait_closed(CloseReason::peer_closed, 1);
    auto reset = stage.connect();
    reset->send("H1\n");
    stage.expect(*reset, "-H1\n");
    reset->send("L3");
    stage.turns(5);
    reset->reset();
    wait_closed(CloseReason::peer_reset, 1);
    auto bad = stage.connect();
    bad->send("X\nL9\n");
    CHECK(stage.until([&] { return bad->ended() || bad->was_reset(); }));
    wait_closed(CloseReason::bad_frames, 1);
    auto refused = stage.connect();
    refused->send("H1\nB2\nH3\n");
    stage.expect(*refused, "-H1\n-B2\n");
    CHECK(stage.until([&] { return refused->ended(); }));
    refused->send("H4\n");  // discarded while lingering
    refused->shut();
    wait_closed(CloseReason::replaced, 1);
    auto long_one = stage.connect();
    long_one->send(std::string(2 * limits::link_spill_bytes_max, 'L'));
    CHECK(stage.until([&] {
      long_one->send("");
      std::string none;
      stage.take(*long_one, none);
      return closed(stage, CloseReason::oversize) == 1;
    }));
    bad->reset();
    long_one->reset();
    CHECK(stage.until([&] { return stage.live() == 0; }));
    CHECK(stage.lines().closed.size() == 5);
    CHECK(stage.links().memory_bytes() == stage.links().idle_memory_bytes());
    CHECK(stage.at(0).log.next == 2);
  });
}

TEST_CASE("a peer that never closes is given up after the linger time") {
  on_every_scene({}, [](Stage& stage) {
    auto far = stage.connect();
    far->send("B1\n");
    stage.expect(*far, "-B1\n");
    CHECK(stage.until([&] { return far->ended(); }));
    CHECK(stage.live() == 1);
    for (int i = 0; i < 10 && stage.live() > 0; ++i) {
      far->send("H2\n");  // goes on sending
      stage.pass(300 * ns_per_ms);
    }
    CHECK(stage.live() == 0);
  });
}

TEST_CASE("silence and frames that do not end are timed out, also one byte at a time") {
  on_every_scene({.idle_timeout_ms = 10'000, .frame_timeout_ms = 3'000}, [](Stage& stage) {
    auto silent = stage.connect();
    auto alive = stage.connect();
    auto slow = stage.connect();
    stage.turns(5);
    std::string got;
    for (int i = 0; i < 8; ++i) {
      stage.pass(ns_per_s);
      alive->send("H\n");
      stage.turns(3);
      stage.take(*alive, got);
      if (i < 2) slow->send("L");  // its frame began at the first of them
      if (i < 1) CHECK(stage.live() == 3);
    }
    CHECK(closed(stage, CloseReason::frame_timeout) == 1);
    CHECK(closed(stage, CloseReason::idle) == 0);
    stage.pass(3 * ns_per_s);
    CHECK(closed(stage, CloseReason::idle) == 1);
    silent->shut();
    slow->shut();
    CHECK(stage.until([&] { return stage.live() == 1; }));
    alive->send("H\n");
    stage.turns(3);
    CHECK(stage.until([&] {
      stage.take(*alive, got);
      return got.size() == 9 * 3;
    }));
  });
}

TEST_CASE("time-outs stand still while it is us who pause") {
  on_every_scene({.idle_timeout_ms = 5'000, .frame_timeout_ms = 2'000}, [](Stage& stage) {
    auto far = stage.connect();
    stage.at(0).log.full = true;
    stage.at(0).shard->watermark().set_state(flow::LogState::holding);
    far->send("L1\nL2");
    CHECK(stage.until([&] {
      return stage.links().counters().paused.value(net::PauseCount::log) == 1;
    }));
    stage.pass(20 * ns_per_s);
    CHECK(stage.live() == 1);
    stage.at(0).log.full = false;
    stage.at(0).shard->watermark().set_state(flow::LogState::accepting);
    CHECK(stage.until([&] { return stage.at(0).log.next == 2; }));
    stage.commit(0);
    stage.expect(*far, "=0,1 L1\n");
    stage.pass(ns_per_s);
    CHECK(stage.live() == 1);
    stage.pass(3 * ns_per_s);  // its second frame does not end
    CHECK(closed(stage, CloseReason::frame_timeout) == 1);
  });
}

TEST_CASE("a log that is full for a moment loses nothing and keeps the order") {
  on_every_scene({}, [](Stage& stage) {
    std::vector<std::unique_ptr<Far>> fars;
    for (int i = 0; i < 5; ++i) {
      fars.push_back(stage.connect());
      stage.turns(4);
    }
    stage.at(0).log.full = true;
    for (auto& far : fars) far->send("L1\nH2\nL3\n");
    stage.turns(20);
    CHECK(stage.at(0).log.next == 1);
    stage.commit(0);  // a commit that leaves it full: they ask again, and wait on
    stage.turns(20);
    stage.at(0).log.full = false;
    stage.commit(0);
    CHECK(stage.until([&] { return stage.at(0).log.next == 11; }));
    stage.commit(0);
    for (auto& far : fars) {
      std::string got;
      CHECK(stage.until([&] {
        stage.take(*far, got);
        return std::count(got.begin(), got.end(), '\n') == 3;
      }));
      CHECK(got.find("L1") < got.find("H2"));
      CHECK(got.find("H2") < got.find("L3"));
    }
  });
}

TEST_CASE("a FIN that comes while we pause, and right when the pause ends, loses no frame") {
  on_every_scene({}, [](Stage& stage) {
    auto far = stage.connect();
    stage.at(0).log.full = true;
    far->send(lines('L', 10, 20));
    CHECK(stage.until([&] {
      return stage.links().counters().paused.value(net::PauseCount::log) == 1;
    }));
    far->shut();
    stage.at(0).log.full = false;
    stage.commit(0);  // resumes; the FIN is under way
    CHECK(stage.until([&] { return stage.at(0).log.next == 21; }));
    stage.commit(0);
    stage.expect(*far, answers(0, 1, 'L', 10, 20));
    CHECK(stage.until([&] { return far->ended(); }));
    CHECK(stage.until([&] { return stage.live() == 0; }));
  });
}

TEST_CASE("slots are used again, and late answers of an earlier user go nowhere") {
  on_every_scene({}, [](Stage& stage) {
    for (int i = 0; i < 20; ++i) {
      auto far = stage.connect();
      far->send(numbered("L", i));
      CHECK(stage.until([&] { return stage.at(0).log.next == static_cast<Position>(i) + 2; }));
      far->reset();  // before its answer may leave
      CHECK(stage.until([&] { return stage.live() == 0; }));
    }
    auto far = stage.connect();
    stage.turns(5);
    CHECK(stage.live() == 1);
    stage.commit(0);
    stage.turns(5);
    std::string got;
    stage.take(*far, got);
    CHECK(got.empty());
    CHECK(stage.links().counters().reply_bytes_dropped.value() > 0);
    far->send("H1\n");
    stage.expect(*far, "-H1\n");
  });
}

TEST_CASE("replies that are written outside of on_bytes leave, also before a close") {
  on_every_scene({}, [](Stage& stage) {
    stage.lines().opened = [&](net::Link& link) {
      stage.links().reply(link, as_bytes("hello\n"));
    };
    auto far = stage.connect();
    stage.expect(*far, "hello\n");
    stage.lines().opened = [&](net::Link& link) {
      stage.links().reply(link, as_bytes("go away\n"));
      stage.links().close(link, CloseReason::replaced);
    };
    auto unwanted = stage.connect();
    stage.expect(*unwanted, "go away\n");
    CHECK(stage.until([&] { return unwanted->ended(); }));
    unwanted->shut();
    CHECK(stage.until([&] { return stage.live() == 1; }));
  });
}

TEST_CASE("what is pushed between turns waits for its link's position and for what was before") {
  on_every_scene({}, [](Stage& stage) {
    net::Link* link = nullptr;
    stage.lines().opened = [&](net::Link& opened) { link = &opened; };
    auto far = stage.connect();
    far->send("H0\n");
    stage.expect(*far, "-H0\n");
    const auto push = [&](std::string_view text) {
      stage.links().reply(*link, as_bytes(text));
      stage.links().push(*link);
    };
    push("now\n");
    CHECK(net::Links::unsent_bytes(*link) == 4);
    stage.expect(*far, "now\n");
    CHECK(net::Links::unsent_bytes(*link) == 0);
    far->send("L1\n");
    CHECK(stage.until([&] { return stage.at(0).log.next == 2; }));
    push("after L1\n");
    stage.links().logged(*link, stage.at(0).log.append());
    push("after 2\n");
    stage.turns(20);
    std::string text;
    stage.take(*far, text);
    CHECK(text.empty());
    stage.commit_to(0, 1);
    stage.expect(*far, answers(0, 1, 'L', 1, 1) + "after L1\n");
    stage.commit(0);
    stage.expect(*far, "after 2\n");
  });
}

TEST_CASE("no more links than allowed; the next ones come when others go") {
  StageOptions options{.auto_commit = true};
  options.links.links_max = 8;
  on_every_scene(options, [](Stage& stage) {
    std::vector<std::unique_ptr<Far>> fars;
    for (int i = 0; i < 8; ++i) {
      fars.push_back(stage.connect());
      fars.back()->send("H1\n");
      stage.expect(*fars.back(), "-H1\n");
    }
    for (int i = 0; i < 4; ++i) fars.push_back(stage.connect());
    stage.turns(20);
    CHECK(stage.live() == 8);
    for (int i = 0; i < 4; ++i) fars[static_cast<std::size_t>(i)]->shut();
    // One that was accepted before the limit was seen is closed again; it comes back.
    for (std::size_t i = 8; i < 12; ++i) {
      std::string got;
      CHECK(stage.until([&] {
        if (fars[i]->ended() || fars[i]->was_reset()) fars[i] = stage.connect();
        fars[i]->send("H2\n");
        stage.turns(3);
        stage.take(*fars[i], got);
        return got.find("-H2\n") != std::string::npos;
      }));
    }
    CHECK(stage.live() == 8);
  });
}

TEST_CASE("when descriptors run out accepting rests, and goes on when they are back") {
  for (const bool multishot : {true, false}) {
    io::SimOptions machine;
    machine.open_max = 12;
    const std::uint32_t without = multishot ? 0 : io::bit(io::Feature::multishot_accept);
    Stage stage(unit::make_sim_ground(machine), {.without = without, .auto_commit = true});
    std::vector<std::unique_ptr<Far>> fars;
    for (int i = 0; i < 20; ++i) fars.push_back(stage.connect());
    CHECK(stage.until([&] { return stage.links().counters().accept_pauses.value() > 0; }));
    const std::uint32_t most = stage.live();
    CHECK(most >= 8);
    const std::uint64_t pauses = stage.links().counters().accept_pauses.value();
    stage.turns(50);  // 1 ms each: one more try at most, not one a turn
    CHECK(stage.links().counters().accept_pauses.value() <= pauses + 1);
    fars[0]->send("H1\n");
    stage.expect(*fars[0], "-H1\n");
    for (auto& far : fars) far->shut();
    CHECK(stage.until([&] {
      stage.ground().advance(10 * ns_per_ms);
      return stage.links().counters().accepted.value() == 20 && stage.live() == 0;
    }));
    stage.stop();
  }
}

// Links hold the beginnings of long frames: together more than the shard may use. The older ones
// time out, which is what lets the younger ones finish.
TEST_CASE("memory pressure stops new links and unfinished frames, and ends") {
  StageOptions options{.idle_timeout_ms = 60'000, .frame_timeout_ms = 5'000, .auto_commit = true};
  options.links.memory_limit_bytes = 4 * 1024 * 1024;
  on_every_scene(options, [](Stage& stage) {
    std::vector<std::unique_ptr<Far>> hogs;
    const auto add_hogs = [&](int count) {
      for (int i = 0; i < count; ++i) {
        hogs.push_back(stage.connect());
        hogs.back()->send(std::string(300'000, 'L'));
      }
      for (int i = 0; i < 200; ++i) {
        stage.turn();
        for (auto& hog : hogs) hog->send("");
      }
    };
    const auto level = [&] { return stage.links().memory_level(); };
    add_hogs(6);
    CHECK(level() == flow::MemoryLevel::normal);
    stage.pass(2 * ns_per_s);
    auto good = stage.connect();
    good->send("L1\n");
    stage.expect(*good, "=0,1 L1\n");
    add_hogs(8);
    CHECK(level() >= flow::MemoryLevel::pause);
    CHECK(stage.links().counters().paused.value(net::PauseCount::memory) > 0);
    // Receive buffers may bring some more; then it stands still.
    CHECK(stage.links().memory_bytes() < 6 * 1024 * 1024);
    auto late = stage.connect();
    late->send("H2\n");
    stage.turns(20);
    std::string got;
    stage.take(*late, got);
    CHECK(got.empty());  // not accepted
    good->send("L2\n");
    stage.expect(*good, "=0,2 L2\n");
    for (int i = 0; i < 40 && closed(stage, CloseReason::frame_timeout) < 6; ++i) {
      stage.pass(100 * ns_per_ms);
    }
    CHECK(closed(stage, CloseReason::frame_timeout) == 6);
    CHECK(stage.until([&] { return level() < flow::MemoryLevel::pause; }));
    for (std::size_t i = 6; i < hogs.size(); ++i) hogs[i]->send("\n");
    for (std::size_t i = 6; i < hogs.size(); ++i) {
      std::string answer;
      CHECK(stage.until([&] {
        stage.take(*hogs[i], answer);
        return !answer.empty() && answer.back() == '\n';
      }));
    }
    CHECK(stage.until([&] {
      stage.take(*late, got);
      return got == "-H2\n";
    }));
    CHECK(level() == flow::MemoryLevel::normal);
  });
}

TEST_CASE("receives that find no buffer are armed again in turn") {
  for (const std::uint32_t without : {0U, unit::plain_6_1,
                                      unit::plain_6_1 | io::bit(io::Feature::multishot_recv)}) {
    // More links speak at once than there are buffers.
    StageOptions options{.without = without, .auto_commit = true};
    for (const bool simulated : {false, true}) {
      io::SimOptions machine;
      machine.no_buffers = 300;
      Stage stage(simulated ? unit::make_sim_ground(machine) : unit::make_real_ground(), options);
      std::vector<std::unique_ptr<Far>> fars;
      for (int i = 0; i < 400; ++i) {
        fars.push_back(stage.connect());
        if (i % 50 == 49) stage.turns(5);
      }
      CHECK(stage.until([&] { return stage.live() == 400; }));
      for (int round = 0; round < 3; ++round) {
        for (auto& far : fars) far->send("H1\nH2\n");
        std::size_t complete = 0;
        std::vector<std::string> got(fars.size());
        CHECK(stage.until([&] {
          complete = 0;
          for (std::size_t i = 0; i < fars.size(); ++i) {
            stage.take(*fars[i], got[i]);
            complete += got[i] == "-H1\n-H2\n" ? 1 : 0;
          }
          return complete == fars.size();
        }));
        CHECK(complete == fars.size());
      }
      if (simulated) CHECK(stage.links().counters().buffer_shortages.value() > 0);
      stage.stop();
    }
  }
}

}  // namespace
