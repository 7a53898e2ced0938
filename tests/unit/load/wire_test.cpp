// Messages between coordinator and workers survive the stream in pieces of any size, and a stream
// that is not ours is refused.
#include <doctest/doctest.h>

#include <algorithm>

#include "tools/load/run/wire.hpp"

using namespace ringgate;
namespace wire = load::wire;

namespace {

std::vector<wire::Message> all_messages() {
  load::Interval interval;
  interval.worker = 3;
  interval.stage = 1;
  interval.from_ns = 5;
  interval.to_ns = 1'000'000'005;
  interval.cpu_ns = 77;
  interval.classes.resize(2);
  interval.classes[1].sent = 9;
  wire::Setup setup;
  setup.worker = 2;
  setup.workers = 5;
  setup.scenario_name = "peak";
  setup.scenario_text = "seed = 7\n[[class]]\n";
  setup.sets = {{"stage.0.users", "9"}};
  setup.shorten = 0.1;
  setup.keep_acked = true;
  setup.acked_file = "/tmp/a";
  setup.tokens = {"rg_x"};
  load::Aim aim{700'000'000, 2, false, {{10, 1.5}, {0, 0}}};
  return {wire::Hello{"0.1.0", "there", 4711, 2, 20'000, "ab"}, wire::Proof{"cd", "ef"},
          setup, wire::Ready{}, wire::Problem{"no \"target\"\n"}, wire::Start{12}, aim, interval,
          wire::Stop{true}, wire::End{9}, wire::Ping{1}, wire::Pong{1, 99},
          wire::AckedPiece{std::string("\0\xff\n", 3)}};
}

bool same(const wire::Message& a, const wire::Message& b) {
  return wire::encode(a) == wire::encode(b) && a.index() == b.index();
}

}  // namespace

TEST_CASE("every message arrives, in pieces of any size") {
  const std::vector<wire::Message> sent = all_messages();
  std::string stream;
  for (const wire::Message& message : sent) stream += wire::encode(message);
  const std::size_t whole = stream.size();
  for (const std::size_t piece : {std::size_t{1}, std::size_t{7}, std::size_t{100}, whole}) {
    wire::Decoder decoder;
    std::vector<wire::Message> got;
    for (std::size_t at = 0; at < stream.size(); at += piece) {
      decoder.feed(std::string_view(stream).substr(at, piece));
      while (true) {
        Result<std::optional<wire::Message>> next = decoder.next();
        REQUIRE(next.ok());
        if (!next->has_value()) break;
        got.push_back(std::move(**next));
      }
    }
    REQUIRE(got.size() == sent.size());
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(same(got[i], sent[i]));
  }
}

TEST_CASE("text that is no UTF-8 does not stop a message") {
  wire::Decoder decoder;
  decoder.feed(wire::encode(wire::Problem{"bad \xff byte"}));
  Result<std::optional<wire::Message>> next = decoder.next();
  REQUIRE(next.ok());
  CHECK(std::get<wire::Problem>(**next).message == "bad \xef\xbf\xbd byte");
}

TEST_CASE("a stream that is not ours is refused") {
  const auto error_of = [](std::string_view bytes) {
    wire::Decoder decoder;
    decoder.feed(bytes);
    const Result<std::optional<wire::Message>> next = decoder.next();
    return next.ok() ? std::string("none") : next.error().message;
  };
  using namespace std::string_view_literals;
  CHECK(error_of("GET / HTTP/1.1\r\n\r\n") ==
        "a frame of 542393671 bytes: this is no ringgate-load");
  CHECK(error_of("\0\0\0\0"sv) == "a frame of 0 bytes: this is no ringgate-load");
  CHECK(error_of("\3\0\0\0Xab"sv) == "a frame of an unknown kind: this is no ringgate-load");
  CHECK(error_of("\3\0\0\0J[]"sv) == "a frame that is no JSON object");
  CHECK(error_of("\x0f\0\0\0J{\"is\":\"other\"}"sv) ==
        "a message \"other\", which is none of ours");
  CHECK(error_of("\x0e\0\0\0J{\"is\":\"stop\"}"sv) == "stop: a bad or missing \"hard\"");
  CHECK(error_of("\5\0\0\0J{}"sv) == "none");  // not all there yet
  wire::Decoder stranger(wire::stranger_frame_bytes_max);
  stranger.feed(wire::encode(wire::Problem{std::string(5000, 'x')}));
  CHECK_FALSE(stranger.next().ok());
}

TEST_CASE("only who knows the secret can prove it, and neither side's proof serves the other") {
  const std::string nonce = wire::make_nonce();
  CHECK(nonce.size() == 32);
  CHECK(nonce != wire::make_nonce());
  const std::string proof = wire::prove("secret", "worker", nonce);
  CHECK(wire::same_proof(proof, wire::prove("secret", "worker", nonce)));
  CHECK_FALSE(wire::same_proof(proof, wire::prove("secret", "coordinator", nonce)));
  CHECK_FALSE(wire::same_proof(proof, wire::prove("other", "worker", nonce)));
  CHECK_FALSE(wire::same_proof(proof, ""));
}

TEST_CASE("shares cover the users exactly") {
  for (const std::uint32_t workers : {1U, 2U, 3U, 7U}) {
    for (const std::uint32_t total : {0U, 1U, 6U, 7U, 100U}) {
      std::vector<bool> seen(total);
      for (std::uint32_t worker = 0; worker < workers; ++worker) {
        for (std::uint32_t i = 0; i < load::share_of(total, worker, workers); ++i) {
          const std::uint64_t user = load::global_user(i, worker, workers);
          REQUIRE(user < total);
          REQUIRE_FALSE(seen[user]);
          seen[user] = true;
        }
      }
      CHECK(std::count(seen.begin(), seen.end(), true) == total);
    }
  }
}
