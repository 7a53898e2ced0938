// Links with a filter: a toy cipher with a greeting, an alert, and bytes of its own on the wire.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "tests/unit/net/scenes.hpp"

using namespace ringgate;
using namespace ringgate::unit;

namespace {

constexpr std::uint8_t key = 0x15;  // turns no letter, digit or line end into a control of the toy

std::string cipher(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(c ^ key);
  return out;
}

// The peer must begin with "hello", is answered "welcome", and all else is enciphered both ways. A
// NUL on the wire is an attack: the answer is "alert", and the link ends.
class Toy final : public net::Filter {
 public:
  explicit Toy(int& alive) : alive_(alive) { ++alive_; }
  ~Toy() override { --alive_; }

  bool received(Bytes wire, net::FilterSink& sink) override {
    while (greeting_ < greeting.size() && !wire.empty()) {
      if (wire[0] != static_cast<std::uint8_t>(greeting[greeting_])) return alert(sink);
      wire = wire.subspan(1);
      if (++greeting_ == greeting.size()) sink.wire(as_bytes("welcome"));
    }
    std::vector<std::uint8_t> plain;
    for (const std::uint8_t byte : wire) {
      if (byte == 0) {
        sink.plain(plain);
        return alert(sink);
      }
      plain.push_back(byte ^ key);
    }
    sink.plain(plain);
    return true;
  }
  bool sending(Bytes plain, net::FilterSink& sink) override {
    sink.wire(as_bytes(cipher(as_text(plain))));
    return true;
  }

 private:
  static constexpr std::string_view greeting = "hello";
  static bool alert(net::FilterSink& sink) {
    sink.wire(as_bytes("alert"));
    return false;
  }
  int& alive_;
  std::size_t greeting_ = 0;
};

class ToyFactory final : public net::FilterFactory {
 public:
  std::unique_ptr<net::Filter> make() override { return std::make_unique<Toy>(alive); }
  int alive = 0;
};

// Turns until that many bytes have come.
std::string wait_bytes(Stage& stage, Far& far, std::size_t size) {
  std::string got;
  CHECK(stage.until([&] {
    got += far.take();
    return got.size() >= size;
  }));
  return got;
}

std::uint64_t broken(Stage& stage) {
  return stage.links().counters().closed.value(net::CloseReason::filter_broken);
}

}  // namespace

TEST_CASE("a filter deciphers what comes and enciphers what is durable, in pieces of any size") {
  ToyFactory toys;
  on_every_scene({.filter = &toys, .auto_commit = true}, [](Stage& stage) {
    auto far = stage.connect();
    const std::string sent = "hello" + cipher("H1\nL2\nL3\n");
    for (const char c : sent) {
      far->send(std::string_view(&c, 1));
      stage.turns(2);
    }
    const std::string want = "welcome" + cipher("-H1\n=0,1 L2\n=0,2 L3\n");
    CHECK(wait_bytes(stage, *far, want.size()) == want);
    std::string many;
    std::string answers;
    for (int i = 0; i < 2'000; ++i) {
      many += numbered("H", i);
      answers += numbered("-H", i);
    }
    far->send(cipher(many));
    CHECK(wait_bytes(stage, *far, answers.size()) == cipher(answers));
    far->shut();
    CHECK(stage.until([&] { return stage.live() == 0; }));
  });
  CHECK(toys.alive == 0);
}

TEST_CASE("nothing leaves through a filter before it is durable") {
  ToyFactory toys;
  on_every_scene({.filter = &toys}, [](Stage& stage) {
    auto far = stage.connect();
    far->send("hello" + cipher("L1\n"));
    CHECK(wait_bytes(stage, *far, 7) == "welcome");
    stage.turns(20);
    CHECK(far->take().empty());
    stage.commit(0);
    const std::string want = cipher("=0,1 L1\n");
    CHECK(wait_bytes(stage, *far, want.size()) == want);
    far->shut();
    CHECK(stage.until([&] { return stage.live() == 0; }));
  });
  CHECK(toys.alive == 0);
}

TEST_CASE("a peer that breaks the filter's protocol gets the alert and is closed") {
  ToyFactory toys;
  on_every_scene({.filter = &toys, .auto_commit = true}, [](Stage& stage) {
    auto stranger = stage.connect();
    stranger->send("GET / HTTP/1.1\r\n");
    CHECK(wait_bytes(stage, *stranger, 5) == "alert");
    CHECK(stage.until([&] { return stranger->ended(); }));
    CHECK(broken(stage) == 1);
    auto attacker = stage.connect();
    attacker->send("hello" + cipher("H1\n") + std::string(1, '\0') + "more");
    const std::string want = "welcomealert";
    std::string got = wait_bytes(stage, *attacker, want.size() + 4);
    CHECK(got.find("alert") != std::string::npos);
    CHECK(stage.until([&] { return attacker->ended(); }));
    CHECK(broken(stage) == 2);
    stranger->shut();
    attacker->shut();
    CHECK(stage.until([&] { return stage.live() == 0; }));
  });
  CHECK(toys.alive == 0);
}

TEST_CASE("a filter moves with its link to another shard") {
  ToyFactory toys;
  on_every_scene({.shards = 2, .filter = &toys, .auto_commit = true}, [](Stage& stage) {
    auto far = stage.connect(0);
    far->send("hello" + cipher("H1\nM2\nH3\n"));
    const std::string want = "welcome" + cipher("-H1\n=1,1 M2\n-H3\n");
    CHECK(wait_bytes(stage, *far, want.size()) == want);
    far->shut();
    CHECK(stage.until([&] { return stage.live() == 0; }));
  });
  CHECK(toys.alive == 0);
}
