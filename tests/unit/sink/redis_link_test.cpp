// Redis: addresses, commands on the wire, slots, and what error replies mean.
#include "storage/sink/redis_link.hpp"

#include <doctest/doctest.h>

#include <cmath>
#include <string>

#include "storage/sink/redis_servers.hpp"

using namespace ringgate;
using namespace ringgate::sink;

TEST_CASE("redis: urls") {
  const auto full = parse_redis_url("rediss://me:p%40ss%3aword@redis.example:6380/3");
  REQUIRE(full.ok());
  CHECK(full->tls);
  CHECK(full->user == "me");
  CHECK(full->password == "p@ss:word");
  CHECK(full->host == "redis.example");
  CHECK(full->port == "6380");
  CHECK(full->database == 3);
  CHECK(full->place() == "redis.example:6380");

  const auto plain = parse_redis_url("redis://10.0.0.1");
  REQUIRE(plain.ok());
  CHECK(plain->place() == "10.0.0.1:6379");
  CHECK(plain->password.empty());

  CHECK(parse_redis_url("redis://secret@h")->password == "secret");
  CHECK(parse_redis_url("redis://:secret@h")->user.empty());
  CHECK(parse_redis_url("redis://[::1]:7000")->place() == "[::1]:7000");
  const auto local = parse_redis_url("unix://:pw@/run/redis.sock?db=2");
  REQUIRE(local.ok());
  CHECK(local->path == "/run/redis.sock");
  CHECK(local->database == 2);
}

TEST_CASE("redis: several servers, with the login and the database of all") {
  const auto url = parse_redis_url("redis://me:pw@a:1,b,[::1]:3/2");
  REQUIRE(url.ok());
  CHECK(url->place() == "a:1");
  CHECK(url->user == "me");
  CHECK(url->database == 2);
  REQUIRE(url->others.size() == 2);
  CHECK(url->others[0].host == "b");
  CHECK(url->others[0].port == "6379");
  CHECK(url->others[1].host == "::1");
  CHECK(url->others[1].port == "3");
}

TEST_CASE("redis: what is no url is refused, and no password repeated") {
  for (const char* text :
       {"", "redis", "redis:/", "http://h", "redis://", "redis://h:0", "redis://h:65536",
        "redis://h:x", "redis://h/x", "redis://h/70000", "redis://a:s%zz@h", "redis://a:s%4@h",
        "redis://[::1", "redis://[::1]x", "unix://relative", "redis://h:1:2", "redis://s3cret@",
        "redis://a,", "redis://a,,b", "redis://,a", "redis://a:1,b:x"}) {
    CAPTURE(text);
    const auto url = parse_redis_url(text);
    REQUIRE_FALSE(url.ok());
    CHECK(url.error().message.find("s3cret") == std::string::npos);
  }
}

TEST_CASE("redis: commands as RESP 2") {
  RedisCommands commands;
  commands.command(3).argument("SET").argument("a\r\nb").integer(-7);
  commands.command(2).argument("X").real(121.4737, 3);
  CHECK(commands.count() == 2);
  CHECK(commands.bytes() ==
        "*3\r\n$3\r\nSET\r\n$4\r\na\r\nb\r\n$2\r\n-7\r\n"
        "*2\r\n$1\r\nX\r\n$7\r\n121.474\r\n");
}

TEST_CASE("redis: numbers are written as fmt would") {
  for (const double number : {0.0, 0.5, -0.25, 1.0, 121.4737, -0.000001, 31.999999, 99.95, -7.0,
                              1.79e15, 4294967295.0, 1e17}) {
    for (const int decimals : {0, 1, 6}) {
      CAPTURE(number);
      CAPTURE(decimals);
      RedisCommands commands;
      commands.command(1).real(number, decimals);
      const double scaled = std::round(number * std::pow(10, decimals)) / std::pow(10, decimals);
      const std::string& bytes = commands.bytes();
      const std::string text = bytes.substr(bytes.find('\n', 5) + 1);
      CHECK(std::stod(text) == doctest::Approx(scaled).epsilon(1e-12));
      const std::size_t point = text.find('.');
      CHECK((decimals == 0 ? point == std::string::npos
                           : text.size() - point - 3 == static_cast<std::size_t>(decimals)));
    }
  }
  RedisCommands half;
  half.command(1).real(-0.5, 6);
  CHECK(half.bytes() == "*1\r\n$9\r\n-0.500000\r\n");
}

TEST_CASE("redis: slots of the cluster specification") {
  CHECK(redis_slot("123456789") == 12739);
  CHECK(redis_slot("foo") == 12182);
  CHECK(redis_slot("{user1000}.following") == redis_slot("user1000"));
  CHECK(redis_slot("foo{}{bar}") != redis_slot("bar"));
  CHECK(redis_slot("foo{{bar}}zap") == redis_slot("{bar"));
  CHECK(redis_slot("") == 0);
}

TEST_CASE("redis: what errors mean") {
  const auto failure = [](std::string_view text) { return redis_trouble("h:1", text).failure; };
  CHECK(failure("NOAUTH Authentication required.") == Failure::refused);
  CHECK(failure("WRONGPASS invalid username-password pair") == Failure::refused);
  CHECK(failure("ERR invalid password") == Failure::refused);
  CHECK(failure("NOPERM this user has no permissions") == Failure::refused);
  CHECK(failure("OOM command not allowed when used memory > 'maxmemory'.") == Failure::overloaded);
  CHECK(failure("LOADING Redis is loading the dataset in memory") == Failure::overloaded);
  CHECK(failure("MISCONF Redis is configured to save RDB snapshots") == Failure::overloaded);
  CHECK(failure("CLUSTERDOWN The cluster is down") == Failure::overloaded);
  CHECK(failure("ERR max number of clients reached") == Failure::overloaded);
  CHECK(failure("READONLY You can't write against a read only replica.") == Failure::unreachable);
  CHECK(failure("WRONGTYPE Operation against a key") == Failure::bad_config);
  CHECK(redis_trouble("h:1", "OOM x").message == "Redis at h:1: OOM x");
}
