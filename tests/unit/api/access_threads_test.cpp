// Checks on several threads while tokens and logins change: for -Db_sanitize=thread to see.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fmt/format.h>

#include <thread>
#include <vector>

#include "engine/io/sys.hpp"
#include "protocols/api/access.hpp"

using namespace ringgate;
using namespace ringgate::api;

namespace {

std::string put(Access& access, const std::string& name) {
  auto token = std::make_shared<Token>();
  std::string text = make_token(io::real_sys());
  token->name = name;
  token->scopes = ScopeSet::all();
  REQUIRE(read_token(text, token->digest) == TokenText::good);
  access.put(std::move(token));
  return text;
}

// A thread that asks: as a shard does.
struct Asking {
  Asking(Access& access, observe::LogSource& logs, int number)
      : group("shard", std::to_string(number)), check(access.make_check(group, logs)) {}
  Verdict ask(const std::string& credentials) {
    const std::string text = "GET /x HTTP/1.1\r\nHost: a\r\n" + credentials + "\r\n\r\n";
    if (!http::parse_head(as_bytes(text), {}, head).complete()) return {};
    net::PeerAddress peer;
    peer.family = AF_INET;
    return check->check({{}, head, {}, peer, 0, false}, Scope::read);
  }
  http::Head head;
  observe::CounterGroup group;
  std::unique_ptr<AccessCheck> check;
};

}  // namespace

TEST_CASE("what is good stays good on every thread, and what has ended is over") {
  observe::Logger logger({.sink = [](std::string_view) {}});
  Access access(io::real_sys(), {});
  const std::string good = put(access, "good");
  const auto login = access.log_in(good);
  REQUIRE(login);
  std::atomic<bool> changing{true};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 3; ++i) {
    threads.emplace_back([&, i, &logs = logger.add_source(fmt::format("shard-{}", i))] {
      Asking one(access, logs, i);
      for (int n = 0; n < 200 || changing.load(); ++n) {
        const Verdict token = one.ask("Authorization: Bearer " + good);
        const Verdict cookie = one.ask("Cookie: ringgate=" + login->cookie);
        const bool all_good = token.allowed() && cookie.allowed() &&
                              access.still_valid(token.who) && access.still_valid(cookie.who);
        if (!all_good) wrong.fetch_add(1);
      }
    });
  }
  std::string last;
  for (int n = 0; n < 300; ++n) {
    last = put(access, "other");
    const auto other = access.log_in(last);
    if (other && n % 2 == 0) access.log_out(other->login);
    if (n % 3 == 0) access.remove("other");
  }
  access.remove("other");
  changing.store(false);
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong.load() == 0);
  Asking after(access, logger.add_source("after"), 9);
  CHECK(after.ask("Authorization: Bearer " + last).status == 401);
  CHECK(after.ask("Authorization: Bearer " + good).allowed());
  CHECK(access.logins() == 1);
}
