// Answers in pieces from another thread's point of view, on the simulated ring: what is under way
// is bounded, room comes when the peer reads, and one that goes is noticed.
#include "protocols/api/outflow.hpp"

#include <fmt/format.h>

#include "engine/io/sys.hpp"
#include "engine/observe/logger.hpp"
#include "protocols/api/access.hpp"
#include "protocols/api/front.hpp"
#include "protocols/api/plane.hpp"
#include "protocols/jt808/catalog.hpp"
#include "protocols/jt808/gate.hpp"
#include "tests/unit/http/web.hpp"

using namespace ringgate;
using namespace ringgate::unit;

namespace {

class EmptyHost final : public shard::ErrandHost {};

// "/flow" is answered by the test; all else by the Front.
class FlowHandler final : public http::Handler {
 public:
  FlowHandler(std::unique_ptr<api::Front> front, api::Plane& plane)
      : front_(std::move(front)), plane_(plane) {}
  void on_request(const http::Request& request) override {
    if (request.head.path != "/flow") return front_->on_request(request);
    out = std::make_unique<api::Outflow>(plane_, plane_.add_flow(request.id, route_),
                                         request.head.method == http::Method::head);
  }
  void on_gone(http::ExchangeId id) override { front_->on_gone(id); }
  void on_room(http::ExchangeId id) override { front_->on_room(id); }

  std::unique_ptr<api::Outflow> out;

 private:
  std::unique_ptr<api::Front> front_;
  api::Plane& plane_;
  api::Route route_;
};

// One shard with a plane that takes its turns between the shard's.
class WebOfFlows : public Web {
 public:
  explicit WebOfFlows(std::unique_ptr<Ground> ground)
      : Web(std::move(ground)), errands_(hub()), access_(shard->sys(), {}),
        logs_(logger_.add_source("api")),
        plane_({.errands = errands_,
                .producer = hub().control_producer(0),
                .shards = 1,
                .devices = devices_,
                .catalog = catalog_,
                .registry = registry_,
                .counters = registry_.add_group("thread", "api"),
                .logs = logs_,
                .access = access_}) {
    room_ = std::make_unique<shard::ErrandRoom>(*shard, mail(), errands_, host_);
    auto front = std::make_unique<api::Front>(*session, plane_, *shard,
                                              access_.make_check(group, logs_));
    auto made = std::make_unique<FlowHandler>(std::move(front), plane_);
    handler = made.get();
    session->use_handler(std::move(made));
  }
  ~WebOfFlows() {
    handler->out.reset();
    turns(50);
    stop();
    session.reset();
    room_.reset();
  }
  void both() {
    turn();
    plane_.turn(0);
  }
  void turns(int count) {
    for (int i = 0; i < count; ++i) both();
  }
  template <class Done>
  bool until_both(Done&& done) {
    for (int i = 0; i < 50'000; ++i) {
      if (done()) return true;
      both();
    }
    return done();
  }

  FlowHandler* handler = nullptr;

 private:
  shard::ErrandHub errands_;
  EmptyHost host_;
  observe::Registry registry_;
  observe::Logger logger_{observe::LoggerOptions{.level = observe::Level::error}};
  api::Access access_;
  observe::LogSource& logs_;
  jt808::DeviceProtocol devices_;
  jt808::Catalog catalog_;
  api::Plane plane_;
  std::unique_ptr<shard::ErrandRoom> room_;
};

std::string piece(int number, std::size_t size) {
  std::string text = fmt::format("<{}>", number);
  text.resize(size, static_cast<char>('a' + number % 26));
  return text;
}

}  // namespace

TEST_CASE("a peer that does not read has a window written for it, and the rest as it reads") {
  for (std::uint64_t seed = 1; seed <= 10; ++seed) {
    CAPTURE(seed);
    WebOfFlows web(make_sim_ground(io::SimOptions::rough(seed)));
    Far& far = web.connect();
    far.pause_reading(true);
    far.send("GET /flow HTTP/1.1\r\nHost: a\r\n\r\n");
    REQUIRE(web.until_both([&] { return web.handler->out != nullptr; }));
    api::Outflow& out = *web.handler->out;
    constexpr std::size_t size = 40'000;
    constexpr int count = 60;
    out.begin({.type = "text/plain", .fields = {}, .length = size * count, .endless = false});
    int written = 0;
    for (int idle = 0; idle < 200 && written < count; ++idle) {
      while (out.room() && written < count) out.write(piece(written++, size));
      web.turns(5);
    }
    // What the kernel takes besides is its own.
    CHECK(written < count);
    bool told = false;
    out.when_room([&] { told = true; });
    web.turns(20);
    CHECK_FALSE(told);
    far.pause_reading(false);
    std::string text;
    CHECK(web.until_both([&] {
      text += far.take();
      while (out.room() && written < count) out.write(piece(written++, size));
      return written == count;
    }));
    out.end();
    const auto whole = [&] {
      const std::size_t head = text.find("\r\n\r\n");
      return head != std::string::npos && text.size() >= head + 4 + size * count;
    };
    CHECK(web.until_both([&] {
      text += far.take();
      return whole();
    }));
    CHECK(told);  // at half of the window
    std::string expected;
    for (int i = 0; i < count; ++i) expected += piece(i, size);
    CHECK(text.substr(text.find("\r\n\r\n") + 4) == expected);
    // And the link goes on.
    far.send("GET /livez HTTP/1.1\r\nHost: a\r\n\r\n");
    text.clear();
    CHECK(web.until_both([&] {
      text += far.take();
      return text.find("alive") != std::string::npos;
    }));
  }
}

TEST_CASE("one that goes is noticed, waiting or not; an answer without its end is cut") {
  WebOfFlows web(make_sim_ground(io::SimOptions::rough(3)));
  const auto begin = [&](Far& far) -> api::Outflow& {
    web.handler->out.reset();
    far.send("GET /flow HTTP/1.1\r\nHost: a\r\n\r\n");
    CHECK(web.until_both([&] { return web.handler->out != nullptr; }));
    web.handler->out->begin({.type = "text/plain", .fields = {}, .endless = false});
    return *web.handler->out;
  };
  Far& first = web.connect();
  first.pause_reading(true);
  api::Outflow& out = begin(first);
  for (int i = 0; i < 100 && out.room(); ++i) out.write(piece(i, 60'000));
  bool told = false;
  out.when_room([&] { told = true; });
  web.turns(20);
  first.reset();
  CHECK(web.until_both([&] { return out.gone(); }));
  CHECK(web.until_both([&] { return told; }));
  out.write(piece(1, 1000));  // of no use, and no harm
  out.end();

  Far& second = web.connect();
  begin(second).write("some");
  web.handler->out.reset();
  std::string text;
  CHECK(web.until_both([&] {
    text += second.take();
    return second.ended() || second.was_reset();
  }));
  CHECK(text.find("some") != std::string::npos);
  CHECK(text.find("\r\n0\r\n") == std::string::npos);

  Far& third = web.connect();
  third.send("GET /flow HTTP/1.1\r\nHost: a\r\n\r\n");
  CHECK(web.until_both([&] { return web.handler->out != nullptr; }));
  web.handler->out.reset();
  text.clear();
  CHECK(web.until_both([&] {
    text += third.take();
    return text.find("dropped") != std::string::npos;
  }));
  CHECK(text.starts_with("HTTP/1.1 500"));
}

TEST_CASE("a drain answers who waits with 503, and cuts who is in the middle") {
  WebOfFlows web(make_sim_ground(io::SimOptions::rough(4)));
  Far& waiting = web.connect();
  waiting.send("GET /flow HTTP/1.1\r\nHost: a\r\n\r\n");
  REQUIRE(web.until_both([&] { return web.handler->out != nullptr; }));
  const auto first = std::move(web.handler->out);
  Far& streaming = web.connect();
  streaming.send("GET /flow HTTP/1.1\r\nHost: a\r\n\r\n");
  REQUIRE(web.until_both([&] { return web.handler->out != nullptr; }));
  web.handler->out->begin({.type = "text/plain", .fields = {}, .endless = false});
  web.handler->out->write("half");
  web.turns(20);
  web.shard->request_drain(web.shard->now() + 10 * ns_per_s);
  std::string said;
  std::string half;
  CHECK(web.until_both([&] {
    said += waiting.take();
    half += streaming.take();
    return (waiting.ended() || waiting.was_reset()) &&
           (streaming.ended() || streaming.was_reset());
  }));
  CHECK(said.starts_with("HTTP/1.1 503"));
  CHECK(said.find("Connection: close\r\n") != std::string::npos);
  CHECK(half.find("half") != std::string::npos);
  CHECK(half.find("\r\n0\r\n") == std::string::npos);
  CHECK(first->gone());
  CHECK(web.handler->out->gone());
}
