// Tokens: what is one, what is told of one that is not, and which scopes they have.
#include "protocols/api/token.hpp"

#include <doctest/doctest.h>

#include <set>
#include <string>

#include "engine/base/hex.hpp"
#include "engine/io/sim.hpp"

using namespace ringgate;
using namespace ringgate::api;

TEST_CASE("a token is read back to the digest of its text") {
  io::World world(io::SimOptions{.seed = 1});
  std::set<std::string> all;
  for (int i = 0; i < 100; ++i) {
    const std::string text = make_token(world.sys());
    CHECK(text.size() == token_size);
    CHECK(text.starts_with("rg_"));
    CHECK(all.insert(text).second);
    Digest digest{};
    REQUIRE(read_token(text, digest) == TokenText::good);
    CHECK(same_digest(digest, sha256(text)));
  }
}

TEST_CASE("SHA-256 is that of FIPS 180-4") {
  CHECK(to_hex(sha256("abc")) ==
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_CASE("every wrong digit, every cut and every addition is told") {
  io::World world(io::SimOptions{.seed = 2});
  const std::string text = make_token(world.sys());
  Digest digest;
  for (std::size_t i = 3; i < text.size(); ++i) {
    for (const char digit : std::string_view("0123456789abcdef")) {
      std::string wrong = text;
      if (wrong[i] == digit) continue;
      wrong[i] = digit;
      CHECK(read_token(wrong, digest) == TokenText::mistyped);
    }
  }
  for (std::size_t size = 0; size < text.size(); ++size) {
    const TokenText kind = read_token(std::string_view(text).substr(0, size), digest);
    CHECK(kind == (size < 3 ? TokenText::malformed : TokenText::mistyped));
  }
  CHECK(read_token(text + "0", digest) == TokenText::mistyped);
  CHECK(read_token(" " + text, digest) == TokenText::malformed);
  std::string upper = text;
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 32) : c;
  CHECK(read_token(upper, digest) == TokenText::malformed);
  CHECK(read_token("", digest) == TokenText::malformed);
}

TEST_CASE("names and scopes") {
  CHECK(is_token_name("ops-1.eu_West"));
  CHECK(is_token_name(std::string(32, 'a')));
  for (const char* bad : {"", "a b", "a/b", "\xc3\xa4", "a\n"}) CHECK_FALSE(is_token_name(bad));
  CHECK_FALSE(is_token_name(std::string(33, 'a')));

  const auto some = ScopeSet::parse("command, read");
  REQUIRE(some);
  CHECK(some->text() == "read,command");
  CHECK(some->has(Scope::read));
  CHECK(some->has(Scope::command));
  CHECK_FALSE(some->has(Scope::admin));
  CHECK(ScopeSet::parse("read,command,admin") == ScopeSet::all());
  for (const char* bad : {"", "write", "read,", "Read", "read write"}) {
    CAPTURE(bad);
    const auto set = ScopeSet::parse(bad);
    // An empty member of a list says nothing (RFC 9110 5.6.1.2).
    CHECK(set.has_value() == (std::string_view(bad) == "read,"));
  }
}
