// The NATS sink's target against a real nats-server with JetStream that the test starts, freezes
// and kills. Where there is no nats-server, these cases say so and pass.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "storage/sink/nats.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::sink;
using Clock = std::chrono::steady_clock;

int free_port() {
  const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof address;
  REQUIRE(::bind(fd, reinterpret_cast<sockaddr*>(&address), size) == 0);
  REQUIRE(::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size) == 0);
  ::close(fd);
  return ntohs(address.sin_port);
}

class Server {
 public:
  explicit Server(std::string login = {}) : login_(std::move(login)), port_(free_port()) {
    char pattern[] = "/tmp/ringgate-nats-XXXXXX";
    folder_ = ::mkdtemp(pattern);
    start();
  }
  ~Server() {
    kill();
    std::filesystem::remove_all(folder_);
  }
  static bool installed() { return std::filesystem::exists("/usr/sbin/nats-server"); }

  void start(bool empty = false) {
    if (empty) std::filesystem::remove_all(folder_ + "/store");
    std::ofstream(folder_ + "/conf") << "host: \"127.0.0.1\"\nport: " << port_
                                     << "\njetstream { store_dir: \"" << folder_ << "/store\" }\n"
                                     << login_ << "\n";
    pid_ = ::fork();
    REQUIRE(pid_ >= 0);
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      const std::string conf = folder_ + "/conf";
      const std::string log = folder_ + "/log";
      ::execl("/usr/sbin/nats-server", "nats-server", "-c", conf.c_str(), "-l", log.c_str(),
              nullptr);
      ::_exit(127);
    }
    const auto until = Clock::now() + std::chrono::seconds(30);
    while (!listens()) REQUIRE(Clock::now() < until);
  }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  void signal(int number) const { ::kill(pid_, number); }

  NatsOptions options(const std::string& login = {}) const {
    NatsOptions options;
    auto url = parse_nats_url("nats://" + login + "127.0.0.1:" + std::to_string(port_));
    REQUIRE(url.ok());
    options.link.url = *url;
    return options;
  }

  // JetStream's own word on the stream.
  nlohmann::json info(const std::string& login = {}) const {
    StopSignal stop;
    auto link = NatsLink::connect(options(login).link, nullptr);
    REQUIRE(link.ok());
    auto message = (*link)->request("$JS.API.STREAM.INFO.RINGGATE", {}, 5000, stop);
    REQUIRE(message.ok());
    return nlohmann::json::parse(data_of(*message));
  }
  std::uint64_t messages() const { return info()["state"]["messages"]; }
  // Ever. A full stream of nats-server 2.9 drops some of its oldest even where it refuses new ones.
  std::uint64_t stored() const { return info()["state"]["last_seq"]; }

 private:
  bool listens() const {
    const int fd = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{.sin_family = AF_INET,
                        .sin_port = htons(static_cast<std::uint16_t>(port_)),
                        .sin_addr = {htonl(INADDR_LOOPBACK)}};
    const bool there =
        ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
    ::close(fd);
    return there;
  }

  std::string login_;
  int port_;
  std::string folder_;
  pid_t pid_ = 0;
};

// Sessions of some devices: records that need no catalog.
struct Records {
  explicit Records(std::size_t count, std::size_t bytes = 24) : payload(bytes, 'x') {
    for (std::size_t i = 0; i < count; ++i) {
      Item& item = items.emplace_back();
      item.stream = {.run = 3, .shard = 0};
      item.position = 4096 + 64 * i;
      item.view.kind = event::RecordKind::session;
      item.view.ns = Namespace::phone;
      item.view.received_us = item.view.wall_us = 1'790'000'000'000'000;
      item.view.device = "13800138000";
      item.view.payload = as_bytes(payload);
    }
  }
  Result<void, Trouble> write(Target& target) const {
    return target.write({"test", {}, items, cursor});
  }
  std::string payload;
  std::vector<Item> items;
  log::Cursor cursor;
};

#define NEEDS_SERVER()                                  \
  if (!Server::installed()) {                           \
    MESSAGE("nats-server is not installed: not tested"); \
    return;                                             \
  }

TEST_CASE("a batch is in the stream when write() returns, once however often it comes") {
  NEEDS_SERVER();
  const Server server;
  const auto target = make_nats_target(server.options());
  REQUIRE(target->open().ok());
  const Records records(10'000);  // more than the window
  REQUIRE(records.write(*target).ok());
  CHECK(server.messages() == 10'000);
  REQUIRE(records.write(*target).ok());
  CHECK(server.messages() == 10'000);
  CHECK(target->idle().ok());
  const auto config = server.info()["config"];
  CHECK(config["subjects"] == nlohmann::json({"ringgate.*.*.*.*"}));
  CHECK(config["discard"] == "new");
}

TEST_CASE("a server that was killed and one that comes back empty") {
  NEEDS_SERVER();
  Server server;
  const auto target = make_nats_target(server.options());
  REQUIRE(target->open().ok());
  const Records records(1000);
  REQUIRE(records.write(*target).ok());
  server.kill();
  auto lost = records.write(*target);
  REQUIRE_FALSE(lost.ok());
  CHECK(lost.error().failure == Failure::unreachable);
  auto refused = target->open();
  REQUIRE_FALSE(refused.ok());
  CHECK(refused.error().failure == Failure::unreachable);
  server.start(true);
  REQUIRE(target->open().ok());
  REQUIRE(records.write(*target).ok());
  CHECK(server.messages() == 1000);
}

TEST_CASE("a full stream is overload; more room, and it goes on") {
  NEEDS_SERVER();
  const Server server;
  NatsOptions options = server.options();
  options.stream.bytes_max = 200'000;
  auto target = make_nats_target(options);
  REQUIRE(target->open().ok());
  const Records records(2000);
  auto full = records.write(*target);
  REQUIRE_FALSE(full.ok());
  CHECK(full.error().failure == Failure::overloaded);
  CHECK(full.error().message.find("maximum bytes") != std::string::npos);
  CHECK(server.stored() < 2000);
  options.stream.bytes_max = 100'000;  // less: left as it is
  REQUIRE(make_nats_target(options)->open().ok());
  CHECK(server.info()["config"]["max_bytes"] == 200'000);
  options.stream.bytes_max = 20'000'000;
  target = make_nats_target(options);
  REQUIRE(target->open().ok());
  CHECK(server.info()["config"]["max_bytes"] == 20'000'000);
  REQUIRE(records.write(*target).ok());
  CHECK(server.stored() == 2000);
}

TEST_CASE("wrong passwords are refused and stand in no message") {
  NEEDS_SERVER();
  const Server server("authorization { user: gate, password: secret }");
  REQUIRE(make_nats_target(server.options("gate:secret@"))->open().ok());
  auto wrong = make_nats_target(server.options("gate:guess@"))->open();
  REQUIRE_FALSE(wrong.ok());
  CHECK(wrong.error().failure == Failure::refused);
  CHECK(wrong.error().message.find("guess") == std::string::npos);
  auto none = make_nats_target(server.options())->open();
  REQUIRE_FALSE(none.ok());
  CHECK(none.error().failure == Failure::refused);
}

TEST_CASE("a user who may not publish is told so, not waited for") {
  NEEDS_SERVER();
  const Server server("authorization { users: [ { user: gate, password: secret, permissions: { "
                      "publish: [\"$JS.API.>\"], subscribe: \">\" } } ] }");
  const auto target = make_nats_target(server.options("gate:secret@"));
  REQUIRE(target->open().ok());
  auto forbidden = Records(10).write(*target);
  REQUIRE_FALSE(forbidden.ok());
  CHECK(forbidden.error().failure == Failure::refused);
}

TEST_CASE("a stream that would take commands, too, is bad configuration") {
  NEEDS_SERVER();
  const Server server;
  StopSignal stop;
  auto link = NatsLink::connect(server.options().link, nullptr);
  REQUIRE(link.ok());
  const std::string greedy = R"({"name":"RINGGATE","subjects":["ringgate.>"]})";
  REQUIRE((*link)->request("$JS.API.STREAM.CREATE.RINGGATE", greedy, 5000, stop).ok());
  auto opened = make_nats_target(server.options())->open();
  REQUIRE_FALSE(opened.ok());
  CHECK(opened.error().failure == Failure::bad_config);
  CHECK(opened.error().message.find("commands") != std::string::npos);
}

TEST_CASE("a record larger than the server's messages goes without its content") {
  NEEDS_SERVER();
  const Server server("max_payload: 4096");
  const auto target = make_nats_target(server.options());
  REQUIRE(target->open().ok());
  REQUIRE(Records(3, 100'000).write(*target).ok());
  CHECK(server.messages() == 3);
}

TEST_CASE("stop() ends the wait for a frozen server") {
  NEEDS_SERVER();
  const Server server;
  const auto target = make_nats_target(server.options());
  REQUIRE(target->open().ok());
  server.signal(SIGSTOP);
  const Records records(4000, 2000);
  std::thread stopper([&] {
    ::poll(nullptr, 0, 300);
    target->stop();
  });
  const auto begun = Clock::now();
  auto stopped = records.write(*target);
  const auto took = Clock::now() - begun;
  stopper.join();
  CHECK_FALSE(stopped.ok());
  // An acknowledgement would be waited for ten seconds.
  CHECK(took < std::chrono::seconds(5));
  server.signal(SIGCONT);
}

}  // namespace
