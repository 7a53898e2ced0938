// Links of two shards that take turns in one thread: moves, forwarded frames, drain and stop.
#include <doctest/doctest.h>

#include <algorithm>
#include <string>
#include <vector>

#include "tests/unit/net/scenes.hpp"

namespace {

using namespace ringgate;
using net::CloseReason;
using unit::Far;
using unit::numbered;
using unit::on_every_scene;
using unit::Stage;

TEST_CASE("a link moves with its state and unread bytes, and none is lost or twice there") {
  on_every_scene({.shards = 2, .auto_commit = true}, [](Stage& stage) {
    // What is sent with the line that moves it, and what follows while it is on its way.
    for (const int count : {1, 3, 400, 20'000}) {
      const std::uint64_t adopted = stage.lines(1).adopted;
      const auto first = static_cast<int>(stage.at(1).log.next);
      auto far = stage.connect(0);
      std::string text;
      std::string expected;
      for (int i = 0; i < count; ++i) {
        text += numbered("M", 1'000'000 + i, std::string(60, 'm'));
      }
      for (int i = 0; i < count; ++i) {
        std::string line = "=1,";
        line += std::to_string(first + i);
        line += numbered(" M", 1'000'000 + i);
        expected += line;
      }
      const std::size_t cut = text.size() / 3;
      far->send(text.substr(0, cut));
      stage.turn();
      far->send(text.substr(cut));
      stage.expect(*far, expected);
      CHECK(stage.lines(1).adopted == adopted + 1);
      CHECK(stage.links(0).live_count() == 0);
      far->shut();
      CHECK(stage.until([&] { return far->ended() && stage.live() == 0; }));
    }
    CHECK(stage.lines(0).closed.empty());  // a link that moves does not close
  });
}

TEST_CASE("a move waits for answers that are held") {
  on_every_scene({.shards = 2}, [](Stage& stage) {
    auto far = stage.connect(0);
    far->send("L1\nM2\nL3\n");
    stage.turns(20);
    CHECK(stage.links(0).live_count() == 1);
    CHECK(stage.at(1).log.next == 1);
    stage.commit(0);
    CHECK(stage.until([&] { return stage.links(1).live_count() == 1; }));
    CHECK(stage.until([&] { return stage.at(1).log.next == 3; }));
    stage.commit(1);
    stage.expect(*far, "=0,1 L1\n=1,1 M2\n=1,2 L3\n");
  });
}

TEST_CASE("a link that is moving may be reset, closed by its peer, or wait too long") {
  on_every_scene({.shards = 2}, [](Stage& stage) {
    for (const int how : {0, 1, 2}) {
      CAPTURE(how);
      auto far = stage.connect(0);
      far->send("L1\nM2\n");
      const Position before = stage.at(0).log.next;
      CHECK(stage.until([&] { return stage.at(0).log.next == before + 1; }));
      stage.turns(5);
      if (how == 0) far->reset();
      if (how == 1) far->shut();
      if (how == 2) stage.pass(10 * ns_per_s);  // our own log is late: no reason to end it
      stage.turns(10);
      const Position there = stage.at(1).log.next;
      stage.commit(0);
      if (how == 0) {
        CHECK(stage.until([&] { return stage.live() == 0; }));
        continue;
      }
      CHECK(stage.until([&] { return stage.at(1).log.next == there + 1; }));
      stage.commit(1);
      std::string got;
      CHECK(stage.until([&] {
        stage.take(*far, got);
        return std::count(got.begin(), got.end(), '\n') == 2;
      }));
      if (how == 2) far->shut();
      CHECK(stage.until([&] { return stage.live() == 0; }));
    }
  });
}

TEST_CASE("frames of another shard are answered in order between one's own") {
  on_every_scene({.shards = 2}, [](Stage& stage) {
    auto far = stage.connect(0);
    far->send("L0\n");
    CHECK(stage.until([&] { return stage.at(0).log.next == 2; }));
    far->send("F1\n");
    stage.turns(5);
    far->send("L2\nF3\nF4\nL5\n");
    CHECK(stage.until([&] { return stage.lines(1).forwarded.size() == 3; }));
    CHECK(stage.until([&] { return stage.at(0).log.next == 4; }));
    std::string got;
    stage.commit_to(1, 3);  // all remote frames are durable, none here
    stage.turns(10);
    stage.take(*far, got);
    CHECK(got.empty());  // line 0 is not durable: nothing may pass it
    stage.commit_to(0, 1);
    stage.expect(*far, "=0,1 L0\n+1\n");
    stage.commit_to(0, 3);
    stage.expect(*far, "+2\n+3\n+4\n+5\n");
    far->send("L6\n");  // nothing is under way any more: answered directly
    CHECK(stage.until([&] { return stage.at(0).log.next == 5; }));
    stage.commit(0);
    stage.expect(*far, "=0,4 L6\n");
  });
}

TEST_CASE("a frame that its home refuses is answered so, in order") {
  on_every_scene({.shards = 2, .auto_commit = true}, [](Stage& stage) {
    auto far = stage.connect(0);
    stage.at(1).log.full = true;
    far->send("F0\nF1\n");
    stage.expect(*far, "!0\n!1\n");
    stage.at(1).log.full = false;
    far->send("F2\n");
    stage.expect(*far, "+2\n");
  });
}

TEST_CASE("a forwarded frame that is durable at once is answered without another commit") {
  on_every_scene({.shards = 2}, [](Stage& stage) {
    stage.at(1).shard->watermark().advance(1'000);  // ahead of all positions that follow
    auto far = stage.connect(0);
    far->send("F0\nF1\n");
    stage.expect(*far, "+0\n+1\n");
  });
}

// The home shard stands still: its column fills, then the order of the link. What the peer sends
// stays in its socket, and everything is answered in the end.
TEST_CASE("forwarding past full columns loses nothing and closes nothing") {
  on_every_scene({.shards = 2, .auto_commit = true}, [](Stage& stage) {
    std::vector<std::unique_ptr<Far>> fars;
    std::vector<std::string> got(3);
    constexpr int count = 3'000;
    std::string text;
    std::string expected;
    for (int i = 0; i < count; ++i) {
      text += numbered("F", 1'000'000 + i, std::string(300, 'f'));
      expected += numbered("+", i);
    }
    stage.at(1).running = false;
    for (std::size_t i = 0; i < got.size(); ++i) {
      fars.push_back(stage.connect(0));
      fars[i]->send(text);
    }
    for (int i = 0; i < 300; ++i) {
      stage.turn();
      for (auto& far : fars) far->send("");
    }
    CHECK(stage.live() == 3);
    // A spill holds what had arrived before reading stopped, not all that a peer has.
    CHECK(stage.links(0).memory_bytes() - stage.links(0).idle_memory_bytes() < 6 * 1024 * 1024);
    stage.at(1).running = true;
    CHECK(stage.until([&] {
      bool all = true;
      for (std::size_t i = 0; i < got.size(); ++i) {
        stage.take(*fars[i], got[i]);
        all = all && got[i].size() >= expected.size();
      }
      return all;
    }));
    for (const std::string& text_of_one : got) CHECK(text_of_one == expected);
    CHECK(stage.lines(1).forwarded.size() == 3 * count);
    CHECK(stage.live() == 3);
  });
}

TEST_CASE("a FIN right behind frames that wait for a full column loses none of them") {
  on_every_scene({.shards = 2, .auto_commit = true}, [](Stage& stage) {
    constexpr int count = 900;
    std::string text;
    std::string expected;
    for (int i = 0; i < count; ++i) {
      text += numbered("F", i, std::string(140, 'f'));
      expected += numbered("+", i);
    }
    auto far = stage.connect(0);
    stage.turns(5);
    stage.at(1).running = false;
    far->send(text);
    far->send("");
    far->shut();
    stage.turns(100);
    CHECK(stage.links(0).live_count() == 1);
    stage.at(1).running = true;
    stage.expect(*far, expected);
    CHECK(stage.until([&] { return far->ended() && stage.live() == 0; }));
  });
}

TEST_CASE("answers find their columns full, and come when there is room") {
  on_every_scene({.shards = 2}, [](Stage& stage) {
    // Many links, so that more answers are due at once than a column holds.
    constexpr int links = 12;
    constexpr int each = 1'000;
    std::vector<std::unique_ptr<Far>> fars;
    std::string text;
    std::string expected;
    for (int i = 0; i < each; ++i) {
      text += numbered("F", i);
      expected += numbered("+", i);
    }
    for (int i = 0; i < links; ++i) {
      fars.push_back(stage.connect(0));
      fars.back()->send(text);
    }
    CHECK(stage.until([&] { return stage.lines(1).forwarded.size() == links * each; }));
    stage.at(0).running = false;  // takes no mail while the other commits
    stage.commit(1);
    stage.turns(20);
    stage.at(0).running = true;
    for (auto& far : fars) {
      std::string got;
      CHECK(stage.until([&] {
        stage.take(*far, got);
        return got.size() >= expected.size();
      }));
      CHECK(got == expected);
    }
  });
}

TEST_CASE("drain answers all that is durable before its FIN, and waits for what is under way") {
  on_every_scene({.shards = 2}, [](Stage& stage) {
    std::vector<std::unique_ptr<Far>> fars;
    for (int i = 0; i < 20; ++i) fars.push_back(stage.connect(static_cast<ShardIndex>(i % 2)));
    for (auto& far : fars) far->send("L1\nF2\nL3\n");
    CHECK(stage.until([&] {
      return stage.at(0).log.next == 31 && stage.at(1).log.next == 31;
    }));
    const MonoNs deadline = stage.at(0).shard->now() + 3'600 * ns_per_s;
    for (ShardIndex i = 0; i < 2; ++i) stage.at(i).shard->request_drain(deadline);
    stage.turns(10);
    stage.pass(5 * ns_per_s);  // the log is slow
    CHECK(stage.live() == 20);
    for (auto& far : fars) CHECK(!far->ended());
    stage.commit(0);
    stage.commit(1);
    for (auto& far : fars) {
      std::string got;
      CHECK(stage.until([&] {
        stage.take(*far, got);
        return far->ended();
      }));
      CHECK(std::count(got.begin(), got.end(), '\n') == 3);
      CHECK(!far->was_reset());
      far->shut();
    }
    CHECK(stage.until([&] { return !stage.at(0).running && !stage.at(1).running; }));
    CHECK(stage.live() == 0);
    CHECK(stage.links(0).counters().closed.value(CloseReason::draining) == 10);
  });
}

TEST_CASE("drain takes no new links, and ends those that are on the move") {
  on_every_scene({.shards = 2}, [](Stage& stage) {
    auto far = stage.connect(0);
    far->send("L1\nM2\n");
    CHECK(stage.until([&] { return stage.at(0).log.next == 2; }));
    stage.turns(5);
    const MonoNs deadline = stage.at(0).shard->now() + 3'600 * ns_per_s;
    for (ShardIndex i = 0; i < 2; ++i) stage.at(i).shard->request_drain(deadline);
    stage.turns(5);
    stage.commit(0);
    stage.expect(*far, "=0,1 L1\n");
    CHECK(stage.until([&] { return far->ended(); }));
    far->shut();
    CHECK(stage.until([&] { return !stage.at(0).running && !stage.at(1).running; }));
    CHECK(stage.live() == 0);
  });
}

TEST_CASE("stop in the middle of everything gives everything back") {
  on_every_scene({.shards = 2}, [](Stage& stage) {
    std::vector<std::unique_ptr<Far>> fars;
    for (int i = 0; i < 30; ++i) {
      fars.push_back(stage.connect(static_cast<ShardIndex>(i % 2)));
      const char* texts[] = {"L1\nL2",  "F1\nF2\nF3\n", "M1\n", "B1\n", "H1\n",
                             "L1\nM2\n", "X\n",          "",     "F1\nL2\nF3"};
      fars.back()->send(texts[i % 9]);
      stage.turn();
    }
    // on_every_scene stops the stage and compares what is left.
  });
}

}  // namespace
