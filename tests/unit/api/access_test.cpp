// Who may do what: credentials, this machine, origins, cookies, rates. Simulated time.
#include "protocols/api/access.hpp"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <string>

#include "tests/unit/api/access_rig.hpp"

using namespace ringgate;
using namespace ringgate::api;

namespace {

const std::string json_type = "Content-Type: application/json\r\n";

std::string cookie(std::string_view value) { return fmt::format("Cookie: ringgate={}\r\n", value); }

// A machine of the network.
void from_outside(Rig& rig) {
  rig.peer = address_of("192.0.2.7");
  rig.listener = Rig::open;
}

}  // namespace

TEST_CASE("a program of this machine may do everything, as long as it is one") {
  Rig rig;
  const Verdict verdict = rig.ask("GET /api/v1/devices");
  CHECK(verdict.allowed());
  CHECK(verdict.who.how == Principal::How::local);
  CHECK(verdict.who.text() == "127.0.0.1 by HTTP");
  CHECK(rig.status("POST /x", json_type, Scope::admin) == 0);

  SUBCASE("not through a proxy that says so") {
    for (const char* field : {"Forwarded: for=192.0.2.1", "X-Forwarded-For: 192.0.2.1",
                              "x-FORWARDED-for: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Via: 1.1 a",
                              "X-Forwarded-Proto: https"}) {
      CAPTURE(field);
      CHECK(rig.status("GET /x", std::string(field) + "\r\n") == 401);
    }
  }
  SUBCASE("not through one that speaks HTTP/1.0 and says nothing") {
    rig.minor = "0";
    CHECK(rig.status("GET /x") == 401);
  }
  SUBCASE("not through a listener that others reach") {
    rig.listener = Rig::open;
    CHECK(rig.status("GET /x") == 401);
    rig.listener = 17;
    CHECK(rig.status("GET /x") == 401);
  }
  SUBCASE("not from elsewhere (PROXY brought its address)") {
    for (const char* from : {"192.0.2.7", "2001:db8::1", "::", "::ffff:192.0.2.7"}) {
      CAPTURE(from);
      rig.peer = address_of(from);
      CHECK(rig.status("GET /x") == 401);
    }
    rig.peer = {};
    CHECK(rig.status("GET /x") == 401);
    for (const char* from : {"::1", "::ffff:127.0.0.1", "127.1.2.3"}) {
      CAPTURE(from);
      rig.peer = address_of(from);
      CHECK(rig.status("GET /x") == 0);
    }
  }
  SUBCASE("not with credentials that are none: they are not passed over") {
    CHECK(rig.status("GET /x", "Authorization: Basic YTpi\r\n") == 401);
    CHECK(rig.status("GET /x", bearer("rg_0")) == 401);
  }
}

TEST_CASE("this machine is not trusted where it is told not to be") {
  Rig rig({.trust_loopback = false});
  const Verdict verdict = rig.ask("GET /x");
  CHECK(verdict.status == 401);
  CHECK(verdict.fields == "WWW-Authenticate: Bearer realm=\"ringgate\"\r\n");
}

TEST_CASE("a name that was made to lead here is refused (DNS rebinding)") {
  Rig rig({.hosts = {"gateway.example.com"}});
  for (const char* host : {"evil.example", "evil.example:7880", "localhost.evil.example",
                           "192.0.2.1", "0.0.0.0"}) {
    CAPTURE(host);
    CHECK(rig.status("GET /x", fmt::format("Host: {}\r\n", host)) == 403);
    CHECK(rig.status("POST /x", fmt::format("Host: {0}\r\nOrigin: http://{0}\r\n{1}", host,
                                            json_type)) == 403);
  }
  for (const char* host : {"localhost", "127.0.0.1:7880", "[::1]:7880", "Gateway.Example.COM:99"}) {
    CAPTURE(host);
    CHECK(rig.status("GET /x", fmt::format("Host: {}\r\n", host)) == 0);
  }
}

TEST_CASE("pages of other origins are refused, whatever they ask with") {
  Rig rig({.hosts = {"gateway.example.com"}});
  const std::string token = bearer(rig.add_token("ops"));
  const std::string upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
  for (const char* field :
       {"Origin: http://evil.example", "Origin: null", "origin: http://localhost:3000",
        "Sec-Fetch-Site: cross-site",
        "sec-fetch-site: same-site", "Sec-Fetch-Site: ",
        "Origin: http://localhost:7880\r\nOrigin: http://evil.example"}) {
    CAPTURE(field);
    const std::string fields = std::string(field) + "\r\n";
    CHECK(rig.status("GET /x", fields) == 403);
    CHECK(rig.status("GET /x", fields + upgrade) == 403);
    CHECK(rig.status("GET /x", fields + token) == 403);
    CHECK(rig.status("POST /x", fields + json_type) == 403);
  }
  for (const char* field : {"Origin: http://localhost:7880", "Sec-Fetch-Site: same-origin",
                            "Sec-Fetch-Site: none", "Origin: https://gateway.example.com"}) {
    CAPTURE(field);
    CHECK(rig.status("GET /x", std::string(field) + "\r\n") == 0);
  }
}

TEST_CASE("changes come as JSON, which no form can send") {
  Rig rig;
  for (const char* method : {"POST", "PUT", "PATCH"}) {
    const std::string line = std::string(method) + " /x";
    CHECK(rig.status(line) == 415);
    CHECK(rig.status(line, "Content-Type: text/plain\r\n") == 415);
    CHECK(rig.status(line, json_type) == 0);
  }
  CHECK(rig.status("DELETE /x") == 0);
  CHECK(rig.status("DELETE /x", "Content-Length: 2\r\n") == 415);
  CHECK(rig.status("BREW /x") == 415);
}

TEST_CASE("tokens: scope, expiry, revocation") {
  Rig rig;
  from_outside(rig);
  const std::string token = rig.add_token("ops", 3600 * ns_per_s);
  const Verdict verdict = rig.ask("GET /x", bearer(token));
  REQUIRE(verdict.allowed());
  CHECK(verdict.who.how == Principal::How::token);
  CHECK(verdict.who.text() == "token ops from 192.0.2.7");
  CHECK(rig.access.still_valid(verdict.who));
  CHECK(verdict.who.token->used_us.load() == rig.world.sys().wall_now());
  CHECK(rig.status("GET /x", fmt::format("aUTHORIZATION: bEARER   {}\r\n", token)) == 0);

  CHECK(rig.status("POST /x", bearer(token) + json_type, Scope::command) == 403);
  CHECK(rig.status("POST /x", bearer(token) + json_type, Scope::admin) == 403);

  SUBCASE("expires") {
    rig.pass(3599 * ns_per_s);
    CHECK(rig.status("GET /x", bearer(token)) == 0);
    rig.pass(ns_per_s);
    CHECK(rig.status("GET /x", bearer(token)) == 401);
    CHECK_FALSE(rig.access.still_valid(verdict.who));
  }
  SUBCASE("is revoked") {
    CHECK_FALSE(rig.access.remove("other"));
    CHECK(rig.access.remove("ops"));
    CHECK(rig.status("GET /x", bearer(token)) == 401);
    CHECK_FALSE(rig.access.still_valid(verdict.who));
  }
  SUBCASE("is replaced") {
    const std::string next = rig.add_token("ops");
    CHECK(rig.status("GET /x", bearer(token)) == 401);
    CHECK(rig.status("GET /x", bearer(next)) == 0);
  }
  SUBCASE("is none") {
    std::string mistyped = token;
    mistyped.back() = mistyped.back() == '0' ? '1' : '0';
    const Verdict wrong = rig.ask("GET /x", bearer(mistyped));
    CHECK(wrong.status == 401);
    CHECK(wrong.detail.find("mistyped") != std::string::npos);
    CHECK(wrong.fields.find("invalid_token") != std::string::npos);
    CHECK(rig.status("GET /x", bearer(token.substr(0, 40))) == 401);
    CHECK(rig.status("GET /x", bearer(make_token(rig.world.sys()))) == 401);
    CHECK(rig.status("GET /x", "Authorization: Bearer\r\n") == 401);
    CHECK(rig.status("GET /x", "Authorization: " + token + "\r\n") == 401);
    CHECK(rig.status("GET /x", bearer(token) + bearer(token)) == 401);
    CHECK(rig.status("GET /x?access_token=" + token) == 401);
    CHECK(rig.status("GET /x", "X-Auth: " + token + "\r\n") == 401);
    rig.logger.flush();
    CHECK(rig.log.find("credentials are refused") != std::string::npos);
    CHECK(rig.log.find(token.substr(0, 12)) == std::string::npos);
  }
}

TEST_CASE("a login: its cookie, its CSRF value, its end") {
  Rig rig({.login_lifetime_ns = 7200 * ns_per_s, .login_idle_ns = 600 * ns_per_s});
  from_outside(rig);
  const std::string token = rig.add_token("ops", ScopeSet::all());
  auto login = rig.access.log_in(token);
  REQUIRE(login);
  const std::string field = cookie(login->cookie);
  const Verdict verdict = rig.ask("GET /x", field);
  REQUIRE(verdict.allowed());
  CHECK(verdict.who.how == Principal::How::cookie);
  CHECK(verdict.who.name() == "ops");
  const auto changed = [&](const std::string& more) {
    return rig.status("POST /x", field + json_type + more, Scope::admin);
  };
  const std::string csrf = fmt::format("X-Ringgate-CSRF: {}\r\n", login->login->csrf);

  SUBCASE("changes need the value") {
    CHECK(changed("") == 403);
    CHECK(changed("X-Ringgate-CSRF: \r\n") == 403);
    CHECK(changed("X-Ringgate-CSRF: " + std::string(64, '0') + "\r\n") == 403);
    CHECK(changed("X-Ringgate-CSRF: " + login->cookie + "\r\n") == 403);
    CHECK(changed(csrf) == 0);
    CHECK(rig.status("DELETE /x", field, Scope::admin) == 403);
    // A token needs none: no browser sends it by itself.
    CHECK(rig.status("POST /x", bearer(token) + json_type, Scope::admin) == 0);
  }
  SUBCASE("ends when it is idle, and at last") {
    for (int i = 0; i < 13; ++i) {
      rig.pass(540 * ns_per_s);
      CHECK(rig.status("GET /x", field) == 0);
    }
    rig.pass(200 * ns_per_s);  // 7220 s
    CHECK(rig.status("GET /x", field) == 401);
    CHECK_FALSE(rig.access.still_valid(verdict.who));
    const auto other = rig.access.log_in(token);
    rig.pass(600 * ns_per_s);
    CHECK(rig.status("GET /x", cookie(other->cookie)) == 401);
  }
  SUBCASE("an open stream keeps it, until it ends") {
    for (int i = 0; i < 11; ++i) {
      rig.pass(599 * ns_per_s);
      CHECK(rig.access.still_valid(verdict.who));
    }
    rig.pass(700 * ns_per_s);
    CHECK_FALSE(rig.access.still_valid(verdict.who));
  }
  SUBCASE("ends with its token, and when somebody logs out") {
    const auto other = rig.access.log_in(token);
    rig.access.log_out(other->login);
    CHECK(rig.status("GET /x", cookie(other->cookie)) == 401);
    CHECK(rig.status("GET /x", field) == 0);
    rig.access.remove("ops");
    CHECK(rig.status("GET /x", field) == 401);
    CHECK_FALSE(rig.access.still_valid(verdict.who));
    CHECK(rig.access.logins() == 0);
  }
  SUBCASE("nobody else's cookie is one") {
    CHECK(rig.status("GET /x", cookie(login->cookie.substr(1))) == 401);
    CHECK(rig.status("GET /x", cookie(std::string(64, '0'))) == 401);
    CHECK(rig.status("GET /x", cookie(token)) == 401);
    // Planted beside ours by somebody: then neither counts.
    CHECK(rig.status("GET /x", fmt::format("Cookie: ringgate=0; ringgate={}\r\n",
                                           login->cookie)) == 401);
    CHECK(rig.status("GET /x", cookie("0") + field) == 401);
  }
  SUBCASE("bad tokens make none, and are told why") {
    CHECK(rig.access.log_in("").error().message.find("rg_") != std::string::npos);
    CHECK(rig.access.log_in(token.substr(1)).error().message.find("rg_") != std::string::npos);
    CHECK(rig.access.log_in(token + "0").error().message.find("mistyped") != std::string::npos);
    CHECK(rig.access.log_in(make_token(rig.world.sys())).error().message.find("unknown") !=
          std::string::npos);
  }
}

TEST_CASE("logins are bounded: the one that was used least recently ends") {
  Rig rig({.login_idle_ns = 3600 * ns_per_s});
  from_outside(rig);
  const std::string token = rig.add_token("ops");
  const auto first = rig.access.log_in(token);
  rig.pass(ns_per_s);
  const auto second = rig.access.log_in(token);
  for (std::size_t i = 2; i < access_limits::logins_max; ++i) {
    rig.pass(ns_per_s);
    REQUIRE(rig.access.log_in(token));
  }
  CHECK(rig.access.logins() == access_limits::logins_max);
  CHECK(rig.status("GET /x", cookie(first->cookie)) == 0);  // used just now
  REQUIRE(rig.access.log_in(token));
  CHECK(rig.access.logins() == access_limits::logins_max);
  CHECK(rig.status("GET /x", cookie(first->cookie)) == 0);
  CHECK(rig.status("GET /x", cookie(second->cookie)) == 401);
}

TEST_CASE("rates: of an address, of a token, of attempts") {
  Rig rig({.of_token = flow::Rate::per_second(10, 20),
           .of_address = flow::Rate::per_second(5, 10)});
  from_outside(rig);
  const std::string token = bearer(rig.add_token("ops"));
  SUBCASE("an address") {
    for (int i = 0; i < 10; ++i) CHECK(rig.status("GET /x", token) == 0);
    const Verdict over = rig.ask("GET /x", token);
    CHECK(over.status == 429);
    CHECK(over.fields == "Retry-After: 1\r\n");
    rig.pass(ns_per_s);
    for (int i = 0; i < 5; ++i) CHECK(rig.status("GET /x", token) == 0);
    CHECK(rig.status("GET /x", token) == 429);
    rig.peer = address_of("192.0.2.8");
    CHECK(rig.status("GET /x", token) == 0);
    // The network of an IPv6 address counts, not the address.
    rig.peer = address_of("2001:db8::1");
    for (int i = 0; i < 10; ++i) CHECK(rig.status("GET /x") == 401);
    rig.peer = address_of("2001:db8::2");
    CHECK(rig.status("GET /x") == 429);
    rig.peer = address_of("2001:db8:0:1::1");
    CHECK(rig.status("GET /x") == 401);
  }
  SUBCASE("a token, from many addresses") {
    for (int i = 0; i < 20; ++i) {
      rig.peer = address_of(fmt::format("198.51.100.{}", i).c_str());
      CHECK(rig.status("GET /x", token) == 0);
    }
    rig.peer = address_of("198.51.100.99");
    CHECK(rig.status("GET /x", token) == 429);
    CHECK(rig.status("GET /x", bearer(rig.add_token("other"))) == 0);
  }
  SUBCASE("this machine has no bound, but with a token it has the token's") {
    rig.peer = address_of("127.0.0.1");
    rig.listener = Rig::loopback;
    for (int i = 0; i < 1000; ++i) REQUIRE(rig.status("GET /x") == 0);
    for (int i = 0; i < 20; ++i) CHECK(rig.status("GET /x", token) == 0);
    CHECK(rig.status("GET /x", token) == 429);
  }
  SUBCASE("attempts to log in") {
    for (int i = 0; i < 10; ++i) {
      CHECK(rig.ask_login().status == 0);
      rig.pass(ns_per_s / 5);
    }
    const Verdict over = rig.ask_login();
    CHECK(over.status == 429);
    CHECK(over.fields.starts_with("Retry-After: "));
    rig.pass(ns_per_s);
    CHECK(rig.status("GET /x", token) == 0);
    rig.pass(6 * ns_per_s);
    CHECK(rig.ask_login().status == 0);
  }
  SUBCASE("wrong tokens are slowed down, right ones are not") {
    int refused = 0;
    for (int i = 0; i < 30; ++i) {
      rig.pass(ns_per_s / 5);
      const int status = rig.status("GET /x", bearer("rg_0"));
      refused += status == 429 ? 1 : 0;
      CHECK((status == 429 || status == 401));
    }
    CHECK(refused >= 18);
    rig.pass(ns_per_s);
    CHECK(rig.status("GET /x", token) == 0);
  }
}

TEST_CASE("ten thousand addresses have their own accounts, in a table that does not grow") {
  Rig rig({.of_address = flow::Rate::per_second(1, 3)});
  rig.listener = Rig::open;
  const auto from = [&](int number) {
    rig.peer = address_of(fmt::format("10.{}.{}.1", number / 256, number % 256).c_str());
    return rig.status("GET /x");
  };
  int over = 0;
  for (int round = 0; round < 3; ++round) {
    for (int i = 0; i < 10'000; ++i) over += from(i) == 429 ? 1 : 0;
  }
  // Who has done nothing wrong is let in: more addresses than places take each other's accounts,
  // and lose nothing by it.
  CHECK(over < 10);
  int bounded = 0;
  for (int i = 0; i < 10'000; ++i) {
    for (int more = 0; more < 4 && from(i) != 429; ++more) bounded += more == 3 ? 1 : 0;
  }
  CHECK(bounded < 10);
}

TEST_CASE("no route is open by mistake, and none that changes something is for readers") {
  for (const std::span<const Route> table : route_tables()) {
    for (const Route& route : table) {
      CAPTURE(std::string(route.path));
      const bool of_login = route.path == "/api/v1/login" || route.path == "/api/v1/logout" ||
                            route.path == "/api/v1/whoami";
      CHECK((route.entry == Entry::by_scope) != of_login);
      // These compute something of their body and change nothing.
      const bool computes = route.path.starts_with("/api/v1/messages/");
      if (route.method == http::Method::get || of_login || computes) continue;
      CHECK(route.scope != Scope::read);
    }
  }
}

TEST_CASE("a change comes to every check, also to one that slept through several") {
  Rig rig;
  from_outside(rig);
  auto other = rig.access.make_check(rig.group, rig.logger.add_source("other"));
  std::string token;
  for (int i = 0; i < 10; ++i) token = rig.add_token("ops");
  CHECK(rig.status("GET /x", bearer(token)) == 0);
  std::swap(rig.check, other);
  CHECK(rig.status("GET /x", bearer(token)) == 0);
}
