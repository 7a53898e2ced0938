#include <doctest/doctest.h>

#include <limits>

#include "engine/config/listen_address.hpp"
#include "engine/config/schema.hpp"
#include "engine/config/units.hpp"

using namespace ringgate;
using namespace ringgate::config;

TEST_CASE("sizes") {
  CHECK(parse_size("0B").value() == 0);
  CHECK(parse_size("1500B").value() == 1500);
  CHECK(parse_size("64MiB").value() == 64 << 20);
  CHECK(parse_size("4 KiB").value() == 4096);
  CHECK(parse_size("4kB").value() == 4000);
  CHECK(parse_size("2TiB").value() == std::int64_t{2} << 40);
  CHECK(parse_size("64").error().message ==
        "the unit must be B, KiB, MiB, GiB, TiB, kB, MB, GB or TB");
  CHECK(parse_size("64M").error().message ==
        "the unit must be B, KiB, MiB, GiB, TiB, kB, MB, GB or TB");
  CHECK(parse_size("MiB").error().message == "it starts with no digit");
  CHECK(parse_size("-1B").error().message == "it starts with no digit");
  CHECK(parse_size("").error().message == "it starts with no digit");
  CHECK(parse_size("8388608TiB").error().message == "the number is too large");
  CHECK(parse_size("99999999999999999999B").error().message == "the number is too large");
}

TEST_CASE("durations") {
  CHECK(parse_duration("30s").value() == 30'000'000'000);
  CHECK(parse_duration("500ms").value() == 500'000'000);
  CHECK(parse_duration("1h30m").value() == 5'400'000'000'000);
  CHECK(parse_duration("2d").value() == 172'800'000'000'000);
  CHECK(parse_duration("3us7ns").value() == 3007);
  CHECK(parse_duration("0s").value() == 0);
  CHECK(parse_duration("30").error().message ==
        "the unit must be ns, us, ms, s, m, h or d, larger ones first");
  CHECK(parse_duration("5m1h").error().message ==
        "the unit must be ns, us, ms, s, m, h or d, larger ones first");
  CHECK(parse_duration("5m5m").error().message ==
        "the unit must be ns, us, ms, s, m, h or d, larger ones first");
  CHECK(parse_duration("").error().message == "it starts with no digit");
  CHECK(parse_duration("s").error().message == "it starts with no digit");
  CHECK_FALSE(parse_duration("1.5s").ok());
  CHECK(parse_duration("200000d").error().message == "the number is too large");
  CHECK(parse_duration("106751d24h").error().message == "the number is too large");
}

TEST_CASE("what is printed parses back to the same") {
  for (const std::int64_t value :
       {std::int64_t{0}, std::int64_t{1}, std::int64_t{1023}, std::int64_t{4096},
        std::int64_t{90'000'000'000}, std::int64_t{3 << 20},
        std::numeric_limits<std::int64_t>::max()}) {
    CHECK(parse_size(format_size(value)).value() == value);
    CHECK(parse_duration(format_duration(value)).value() == value);
  }
  CHECK(format_size(64 << 20) == "64MiB");
  CHECK(format_size(1500) == "1500B");
  CHECK(format_duration(90'000'000'000) == "1m30s");
  CHECK(format_duration(300'000'000'000) == "5m");
  CHECK(format_duration(1'500'000) == "1ms500us");
}

TEST_CASE("listen addresses") {
  const auto v4 = parse_listen_address("127.0.0.1:7808").value();
  CHECK(v4.text == "127.0.0.1:7808");
  CHECK(v4.port() == 7808);
  CHECK(v4.loopback());
  CHECK_FALSE(v4.all_addresses);
  CHECK(v4.address()->sa_family == AF_INET);
  const auto v6 = parse_listen_address("[::1]:7808").value();
  CHECK(v6.text == "[::1]:7808");
  CHECK(v6.loopback());
  CHECK(v6.address()->sa_family == AF_INET6);
  const auto any = parse_listen_address("0.0.0.0:0").value();
  CHECK(any.text == "0.0.0.0:0");
  CHECK(any.port() == 0);
  CHECK_FALSE(any.loopback());
  const auto all = parse_listen_address(":7808").value();
  CHECK(all.text == "[::]:7808");
  CHECK(all.all_addresses);
  CHECK_FALSE(all.loopback());
  CHECK(all_ipv4(all.port()).text == "0.0.0.0:7808");
  CHECK(parse_listen_address("[::ffff:127.0.0.1]:1").value().loopback());
  CHECK_FALSE(parse_listen_address("[2001:db8::1]:1").value().loopback());

  CHECK(parse_listen_address("127.0.0.1").error().message ==
        "\"127.0.0.1\" is no listen address: the port is missing; write IP:PORT, for example "
        "\"127.0.0.1:7808\"");
  CHECK(parse_listen_address("::1:7808").error().message ==
        "\"::1:7808\" is no listen address: put an IPv6 address in brackets, for example "
        "\"[::1]:7808\"");
  CHECK(parse_listen_address("127.0.0.1:70000").error().message ==
        "\"127.0.0.1:70000\" is no listen address: the port must be a number from 0 (the kernel "
        "chooses) to "
        "65535");
  CHECK(parse_listen_address("localhost:7808").error().message ==
        "\"localhost:7808\" is no listen address: the host must be an IP address of this machine, "
        "such as "
        "127.0.0.1, 0.0.0.0 or [::1]; \":PORT\" means all addresses");
  for (const char* bad : {"", ":", "127.0.0.1:", "127.0.0.1:x", "127.1:80", "[]:80",
                          "[127.0.0.1]:80", "[::1]80", "127.0.0.1:-1", "127.0.0.1: 80"}) {
    CAPTURE(bad);
    CHECK_FALSE(parse_listen_address(bad).ok());
  }
}

TEST_CASE("edit distance and the nearest word") {
  CHECK(edit_distance("", "") == 0);
  CHECK(edit_distance("abc", "") == 3);
  CHECK(edit_distance("kitten", "sitting") == 3);
  CHECK(edit_distance("ab", "ba") == 1);
  CHECK(edit_distance("jt880.x", "jt808.x") == 1);
  const std::string_view words[] = {"jt808.idle_timeout", "jt808.listen", "log.dir"};
  CHECK(nearest("jt808.idle_timout", words) == "jt808.idle_timeout");
  CHECK(nearest("JT808.Idle-Timeout", words) == "jt808.idle_timeout");
  CHECK(nearest("jt808.lsiten", words) == "jt808.listen");
  CHECK(nearest("jt808.backlog", words).empty());
  CHECK(nearest("log.fsy", words).empty());
  CHECK(nearest(std::string(100'000, 'x'), words).empty());
}
