// The fleet out of the gateway's printed configuration.
#include "tools/doctor/fleet.hpp"

#include <doctest/doctest.h>

using namespace ringgate::doctor;

namespace {

constexpr const char* printed = R"(
[server]
shards = 0  # default
pin = true  # default
data_dir = "/srv/x"  # default
max_links = 0  # default
[memory]
limit = "1GiB"  # default
[jt808]
listen = ["127.0.0.1:7808", "[::1]:7809"]  # default
tls_listen = ["0.0.0.0:7843"]
receive_buffer = "64KiB"
send_buffer = "0B"
backlog = 512
udp = true
[http]
listen = []
tls_listen = []
receive_buffer = "0B"
send_buffer = "0B"
backlog = 4096
[log]
segment_size = "64MiB"
retention_bytes = "10GiB"
retention_hard_bytes = "0B"
)";

}  // namespace

TEST_CASE("fleet: from the printed configuration") {
  auto fleet = fleet_of_config(printed, 6);
  REQUIRE(fleet.ok());
  CHECK(fleet->shards == 6);
  CHECK(fleet->devices == 10'000);
  CHECK(fleet->devices_from.find("assumed") == 0);
  CHECK(fleet->data_dir == "/srv/x");
  CHECK(fleet->memory_limit == 1ULL << 30);
  CHECK(fleet->retention_bytes == 10ULL << 30);
  REQUIRE(fleet->listeners.size() == 1);  // http listens nowhere
  CHECK(fleet->listeners[0].ports == std::vector<std::uint16_t>{7808, 7809, 7843});
  CHECK(fleet->listeners[0].backlog == 512);
  CHECK(fleet->listeners[0].datagrams);
  CHECK(fleet->listeners[0].receive_buffer == 64 << 10);
  CHECK(shard_cpus(*fleet, {0, 1, 2, 3, 4, 5, 6, 7}) == std::vector<int>{0, 1, 2, 3, 4, 5});
}

TEST_CASE("fleet: a configuration of something else is refused by name") {
  std::string text = printed;
  text.replace(text.find("segment_size"), 12, "segment_sice");
  const auto fleet = fleet_of_config(text, 1);
  REQUIRE_FALSE(fleet.ok());
  CHECK(fleet.error().message.find("log.segment_size") != std::string::npos);
  CHECK_FALSE(fleet_of_config("[[[", 1).ok());
  CHECK_FALSE(fleet_of_config("", 1).ok());
}

TEST_CASE("fleet: a gateway that is not there, and one that fails") {
  CHECK_FALSE(printed_config({.program = "/nowhere/ringgate"}).ok());
  CHECK_FALSE(printed_config({.program = "/bin/false"}).ok());
  const auto echoed = printed_config({.program = "/bin/echo", .files = {"a.toml"}});
  REQUIRE(echoed.ok());
  CHECK(*echoed == "--print-config --config a.toml\n");
}
