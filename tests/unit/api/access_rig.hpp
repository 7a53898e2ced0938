// An Access on a simulated machine, asked with requests as they come off the wire.
#pragma once

#include <arpa/inet.h>
#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <string_view>

#include "engine/io/sim.hpp"
#include "protocols/api/access.hpp"

namespace ringgate::api {

inline net::PeerAddress address_of(const char* text) {
  net::PeerAddress out;
  out.family = std::string_view(text).find(':') == std::string_view::npos ? AF_INET : AF_INET6;
  REQUIRE(inet_pton(out.family, text, out.ip) == 1);
  return out;
}

struct Rig {
  static constexpr std::uint16_t loopback = 0;  // listeners
  static constexpr std::uint16_t open = 1;

  explicit Rig(AccessOptions options = {}) : access(world.sys(), with_listeners(options)) {
    check = access.make_check(group, logger.add_source("test"));
  }

  static AccessOptions with_listeners(AccessOptions options) {
    options.loopback_listeners = {true, false};
    return options;
  }
  void pass(MonoNs time_ns) {
    const MonoNs until = world.now() + time_ns;
    while (world.now() < until) world.step(until - world.now());
  }
  // The token's text.
  std::string add_token(const std::string& name, ScopeSet scopes, MonoNs lives_ns = 0) {
    auto token = std::make_shared<Token>();
    std::string text = make_token(world.sys());
    token->name = name;
    token->scopes = scopes;
    REQUIRE(read_token(text, token->digest) == TokenText::good);
    if (lives_ns != 0) token->expires_us = world.sys().wall_now() + lives_ns / ns_per_us;
    access.put(std::move(token));
    return text;
  }
  std::string add_token(const std::string& name, MonoNs lives_ns = 0) {
    ScopeSet scopes;
    scopes.add(Scope::read);
    return add_token(name, scopes, lives_ns);
  }

  // `line`: "GET /x"; `fields`: whole lines. A Host field is added where there is none.
  template <class Ask>
  Verdict with_request(std::string_view line, std::string fields, Ask&& ask) {
    if (fields.find("Host:") == std::string::npos) fields += "Host: localhost:7880\r\n";
    const std::string text = std::string(line).append(" HTTP/1.").append(minor).append("\r\n")
                                 .append(fields).append("\r\n");
    http::Head head;
    REQUIRE(http::parse_head(as_bytes(text), {}, head).complete());
    const http::Request request{{}, head, {}, peer, listener, false};
    return ask(request);
  }
  Verdict ask(std::string_view line, const std::string& fields = "", Scope scope = Scope::read) {
    return with_request(line, fields,
                        [&](const http::Request& request) { return check->check(request, scope); });
  }
  Verdict ask_login() {
    return with_request("POST /api/v1/login", "Content-Type: application/json\r\n",
                        [&](const http::Request& one) { return check->check_login(one); });
  }
  int status(std::string_view line, const std::string& fields = "", Scope scope = Scope::read) {
    return ask(line, fields, scope).status;
  }

  io::World world{io::SimOptions{.seed = 3}};
  std::string log;  // outlives the logger, which writes its last lines at its end
  observe::Logger logger{{.sink = [this](std::string_view line) { log += line; }}};
  observe::CounterGroup group{"shard", "0"};
  Access access;
  std::unique_ptr<AccessCheck> check;
  net::PeerAddress peer = address_of("127.0.0.1");
  std::uint16_t listener = loopback;
  const char* minor = "1";
};

inline std::string bearer(std::string_view token) {
  return std::string("Authorization: Bearer ").append(token).append("\r\n");
}

}  // namespace ringgate::api
