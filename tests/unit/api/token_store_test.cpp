// The file of tokens: there and back, refused where it is damaged, and durable before it is told.
#include "protocols/api/token_store.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cerrno>

#include "engine/io/sim.hpp"

using namespace ringgate;
using namespace ringgate::api;

namespace {

ScopeSet reading() { return *ScopeSet::parse("read"); }

// The directory's entry is durable.
void make_folder(io::Sys& sys) {
  REQUIRE(sys.make_directory("/data", 0700) == 0);
  REQUIRE(sys.sync_directory("/") == 0);
}

}  // namespace

TEST_CASE("what was made is there after a start, without its text") {
  io::World world(io::SimOptions{.seed = 5});
  make_folder(world.sys());
  std::string text;
  {
    Access access(world.sys(), {});
    TokenStore store(world.sys(), "/data", access);
    REQUIRE(store.load());
    const auto made = store.create("ops", *ScopeSet::parse("read,command"),
                                   world.sys().wall_now() + us_per_s, "root (uid 0)");
    REQUIRE(made);
    text = *made;
    CHECK(store.create("ops", reading(), 0, "x").error().code == EEXIST);
    REQUIRE(store.create("other", reading(), 0, "x"));
  }
  Access access(world.sys(), {});
  TokenStore store(world.sys(), "/data", access);
  REQUIRE(store.load());
  const std::vector<TokenPtr> tokens = store.tokens();
  REQUIRE(tokens.size() == 2);
  CHECK(tokens[0]->name == "ops");
  CHECK(tokens[0]->scopes.text() == "read,command");
  CHECK(tokens[0]->by == "root (uid 0)");
  CHECK(tokens[0]->good(world.sys().wall_now()));
  CHECK_FALSE(tokens[0]->good(world.sys().wall_now() + 2 * us_per_s));
  CHECK(access.log_in(text).ok());
  CHECK(tokens_to_text(tokens).find(text.substr(3, 10)) == std::string::npos);
  REQUIRE(store.revoke("ops"));
  CHECK(*store.revoke("ops") == false);
}

TEST_CASE("a power cut takes no token that was told, and brings back none that was revoked") {
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    CAPTURE(seed);
    auto world = std::make_unique<io::World>(io::SimOptions{.seed = seed});
    make_folder(world->sys());
    for (int round = 0; round < 4; ++round) {
      Access access(world->sys(), {});
      TokenStore store(world->sys(), "/data", access);
      REQUIRE(store.load());
      REQUIRE(store.tokens().size() == static_cast<std::size_t>(round));
      REQUIRE(store.create(fmt::format("kept-{}", round), reading(), 0, "me"));
      REQUIRE(store.create("gone", reading(), 0, "me"));
      REQUIRE(*store.revoke("gone"));
      world = world->crash();
    }
  }
}

TEST_CASE("a disk that takes nothing: no token is made, and what is revoked is so at least now") {
  io::World world(io::SimOptions{.seed = 9});
  make_folder(world.sys());
  Access access(world.sys(), {});
  TokenStore store(world.sys(), "/data", access);
  const auto text = store.create("ops", reading(), 0, "me");
  REQUIRE(text);
  world.options().capacity_bytes = 1;
  CHECK_FALSE(store.create("more", reading(), 0, "me"));
  CHECK(store.tokens().size() == 1);
  const auto revoked = store.revoke("ops");
  CHECK_FALSE(revoked);
  CHECK(revoked.error().message.find("restart") != std::string::npos);
  CHECK_FALSE(access.log_in(*text));
}

TEST_CASE("a damaged file is refused, never half taken") {
  const std::string digest(64, 'a');
  const std::string good = R"({"name":"a","sha256":")" + digest + R"(","scopes":"read"})";
  CHECK(tokens_from_text(R"({"tokens":[]})").ok());
  CHECK(tokens_from_text(R"({"tokens":[)" + good + "]}").ok());
  for (const std::string& text :
       {std::string(), std::string("[]"), std::string("{}"), std::string(R"({"tokens":{}})"),
        R"({"tokens":[)" + good, R"({"tokens":[)" + good + "," + good + "]}",
        std::string(R"({"tokens":[{"name":"a","sha256":"aa","scopes":"read"}]})"),
        R"({"tokens":[{"name":"a","sha256":")" + digest + R"(","scopes":""}]})",
        R"({"tokens":[{"name":"a b","sha256":")" + digest + R"(","scopes":"read"}]})",
        R"({"tokens":[{"name":1,"sha256":")" + digest + R"(","scopes":"read"}]})",
        R"({"tokens":[{"name":"a","sha256":")" + digest +
            R"(","scopes":"read","expires_us":"never"}]})",
        R"({"tokens":[{"name":"a","sha256":")" + digest +
            R"(","scopes":"read","expires_us":-1}]})",
        std::string(R"({"tokens":[1]})")}) {
    CAPTURE(text);
    CHECK_FALSE(tokens_from_text(text).ok());
  }
}

TEST_CASE("tokens are bounded") {
  io::World world(io::SimOptions{.seed = 11});
  make_folder(world.sys());
  Access access(world.sys(), {});
  for (std::size_t i = 0; i < tokens_max; ++i) {
    auto token = std::make_shared<Token>();
    token->name = fmt::format("token-{}", i);
    token->digest = sha256(token->name);
    token->scopes = reading();
    access.put(std::move(token));
  }
  TokenStore store(world.sys(), "/data", access);
  CHECK(store.create("one-more", reading(), 0, "me").error().code == ENOSPC);
  REQUIRE(*store.revoke("token-7"));
  CHECK(store.create("one-more", reading(), 0, "me").ok());
}
