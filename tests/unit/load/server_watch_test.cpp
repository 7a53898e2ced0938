// Who listens on a target's addresses, with sockets of this process.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <fmt/core.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tools/common/owned_fd.hpp"
#include "tools/load/run/server_watch.hpp"

using namespace ringgate;

namespace {

// On a port of loopback that the kernel picks; UDP is bound, TCP listens.
struct Listener {
  explicit Listener(int type) : fd(socket(AF_INET, type | SOCK_CLOEXEC, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t bytes = sizeof at;
    REQUIRE(bind(fd.get(), reinterpret_cast<sockaddr*>(&at), bytes) == 0);
    if (type == SOCK_STREAM) REQUIRE(listen(fd.get(), 1) == 0);
    REQUIRE(getsockname(fd.get(), reinterpret_cast<sockaddr*>(&at), &bytes) == 0);
    address = fmt::format("127.0.0.1:{}", ntohs(at.sin_port));
  }
  tool::OwnedFd fd;
  std::string address;
};

}  // namespace

TEST_CASE("the watched server is who listens on the target, by whatever transport") {
  const Listener tcp(SOCK_STREAM);
  const Listener udp(SOCK_DGRAM);
  load::Target target;
  SUBCASE("TCP; a scenario's jt808_udp is the same address unless it says otherwise") {
    target.jt808 = target.jt808_udp = tcp.address;
  }
  SUBCASE("UDP only") { target.jt808 = target.jt808_udp = udp.address; }
  SUBCASE("TLS only") { target.jt808_tls = tcp.address; }
  SUBCASE("behind ringgate-chaos") {
    target.chaos = "127.0.0.1:1";
    target.jt808 = "127.0.0.1:1";
    target.http = tcp.address;
  }
  const Result<int> found = load::server_pid_of(target);
  REQUIRE(found.ok());
  CHECK(*found == getpid());
}

TEST_CASE("a server that is not to be watched is told why") {
  load::Target target;
  CHECK(load::server_pid_of(target).error().message.empty());
  target.jt808 = target.jt808_udp = "127.0.0.1:1";
  CHECK(load::server_pid_of(target).error().message == "nobody listens on 127.0.0.1:1 (TCP)");
  target.jt808 = "192.0.2.1:7808";
  CHECK(load::server_pid_of(target).error().message.starts_with("192.0.2.1:7808 is another host"));
}
