// What other nodes and clients say to a node of the fabric, and what its own process asks of it:
// any bytes. The node is the real one, turned on this thread, on libnats and a socket; the server
// behind it is the fuzzer. Its gateway is on a simulated machine with a terminal that is online and
// answers.
// What must hold: the node keeps its connection; everything that it publishes is a JSON object; no
// request has more than one answer, and one of its own process has exactly one. By hand as
// jt808_framing_fuzz.cpp says.
//
// Input, message by message: kind, size of the last token of its subject, size of the payload (2),
// token, payload.
#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <charconv>
#include <future>
#include <map>
#include <thread>

#include "engine/base/json_scan.hpp"
#include "protocols/fabric/node.hpp"
#include "protocols/jt808/catalog.hpp"
#include "storage/sink/nats.hpp"
#include "tests/fuzz/guest.hpp"
#include "tests/fuzz/machine.hpp"

namespace ringgate::fabric {

class NodeProbe {
 public:
  explicit NodeProbe(Node& node) : node_(node) {
    node_.stop_.stop();  // a turn waits for nothing
  }
  void connect() {
    std::promise<Result<Node::Link, sink::Trouble>> made;
    node_.connecting_ = made.get_future();
    made.set_value(sink::NatsLink::connect(node_.parts_.link, nullptr));
    node_.take_connection();
  }
  bool connected() const { return node_.link_ != nullptr; }
  void turn() { node_.turn(); }
  std::string inbox() const { return node_.link_->inbox(); }

 private:
  Node& node_;
};

}  // namespace ringgate::fabric

namespace {

using namespace ringgate;
using fuzz::require;

constexpr std::string_view phone = "13800000001";
// A gateway keeps what was done to it: it is made anew after so many inputs.
constexpr int inputs_each = 300;

// The server's end of one connection.
class Broker {
 public:
  Broker() {
    listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    require(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0);
    socklen_t size = sizeof address;
    require(::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) == 0);
    port_ = ntohs(address.sin_port);
    require(::listen(listener_, 4) == 0);
  }
  ~Broker() {
    ::close(fd_);
    ::close(listener_);
  }
  int port() const { return port_; }

  // While the node connects, on another thread.
  void greet() {
    fd_ = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    require(fd_ >= 0);
    send("INFO {\"server_id\":\"F\",\"version\":\"2.9.10\",\"proto\":1,\"headers\":true,"
         "\"max_payload\":1048576}\r\n");
    while (!ponged_) take(100);
  }

  void message(std::string_view pattern, std::string_view subject, std::string_view reply,
               std::string_view payload) {
    const auto found = subscribed_.find(std::string(pattern));
    require(found != subscribed_.end());
    send(fmt::format("MSG {} {} {}{}{}\r\n", subject, found->second, reply,
                     reply.empty() ? "" : " ", payload.size()));
    send(payload);
    send("\r\n");
  }

  // Reads what the node has said.
  void take(int wait_ms) {
    pollfd one{fd_, POLLIN, 0};
    while (::poll(&one, 1, wait_ms) > 0) {
      char buffer[64 * 1024];
      const ssize_t got = ::recv(fd_, buffer, sizeof buffer, MSG_DONTWAIT);
      require(got > 0);
      heard_.append(buffer, static_cast<std::size_t>(got));
      while (take_line()) {}
      wait_ms = 0;
    }
  }
  // Answers to `reply` so far.
  int answers(const std::string& reply) { return answers_[reply]; }
  void forget_answers() { answers_.clear(); }
  bool knows(std::string_view pattern) const {
    return subscribed_.contains(std::string(pattern));
  }

 private:
  void send(std::string_view text) {
    while (!text.empty()) {
      const ssize_t sent = ::send(fd_, text.data(), text.size(), MSG_NOSIGNAL);
      require(sent > 0);
      text.remove_prefix(static_cast<std::size_t>(sent));
    }
  }
  static std::vector<std::string> words_of(std::string_view line) {
    std::vector<std::string> words;
    while (!line.empty()) {
      const std::size_t end = std::min(line.find(' '), line.size());
      if (end > 0) words.emplace_back(line.substr(0, end));
      line.remove_prefix(std::min(line.size(), end + 1));
    }
    return words;
  }
  bool take_line() {
    const std::size_t end = heard_.find("\r\n");
    if (end == std::string::npos) return false;
    const auto words = words_of(std::string_view(heard_).substr(0, end));
    require(!words.empty());
    if (words[0] == "PUB" || words[0] == "HPUB") {
      require(words[0] == "PUB" && (words.size() == 3 || words.size() == 4));
      std::size_t size = 0;
      const std::string& digits = words.back();
      const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), size);
      require(parsed.ec == std::errc() && parsed.ptr == digits.data() + digits.size());
      if (heard_.size() < end + 2 + size + 2) return false;
      const std::string payload = heard_.substr(end + 2, size);
      require(heard_.compare(end + 2 + size, 2, "\r\n") == 0);
      heard_.erase(0, end + 2 + size + 2);
      require(scan_json_object(payload, "").error == JsonScan::Error::none);
      ++answers_[words[1]];
      return true;
    }
    heard_.erase(0, end + 2);
    if (words[0] == "PING") {
      send("PONG\r\n");
      ponged_ = true;
    } else if (words[0] == "SUB") {
      subscribed_[words[1]] = words.back();
    } else {
      require(words[0] == "CONNECT" || words[0] == "PONG" || words[0] == "UNSUB");
    }
    return true;
  }

  int listener_ = -1;
  int fd_ = -1;
  int port_ = 0;
  bool ponged_ = false;
  std::string heard_;
  std::map<std::string, std::string> subscribed_;  // pattern: its number
  std::map<std::string, int> answers_;             // messages by subject
};

class Scene {
 public:
  Scene() : world_(io::SimOptions{.seed = 7}), machine_(world_, 1, expectations()) {
    node_ = std::make_unique<fabric::Node>(fabric::Parts{
        .errands = machine_.errands(),
        .producer = machine_.control_producer(),
        .shards = 1,
        .devices = devices_,
        .catalog = catalog_,
        .counters = registry_.add_group("thread", "fabric"),
        .logs = machine_.logger().add_source("fabric"),
        .link = {.url = fuzz::must(sink::parse_nats_url(
                     fmt::format("nats://127.0.0.1:{}", broker_.port())))},
        .node_name = "self",
        .node_id = "77777777-1111-4111-8111-111111111111",
        .run = 1});
    machine_.places[0]->gate->watch_presence(node_->watcher(0));
    probe_ = std::make_unique<fabric::NodeProbe>(*node_);
    std::thread greeting([this] { broker_.greet(); });
    probe_->connect();
    greeting.join();
    require(probe_->connected());
    guest_.log_in(phone);
    for (int i = 0; i < 100 && !broker_.knows("ringgate.presence.*"); ++i) turn(ns_per_ms);
    require(broker_.knows("ringgate.presence.*") && broker_.knows("ringgate.cmd.*"));
  }
  ~Scene() {
    machine_.drain(world_.now() + ns_per_s);
    for (int i = 0; i < 1000 && !machine_.stopped(); ++i) machine_.turn(100 * ns_per_ms);
    require(machine_.stopped());
    machine_.places.clear();
  }

  void serve(fuzz::Input input) {
    if (!guest_.is_online(phone)) guest_.log_in(phone);
    broker_.forget_answers();
    replies_.clear();
    while (!input.empty()) one(input);
    // Answers of the terminal take a moment, its time-outs seconds of the simulated clock.
    for (int round = 0; round < 12; ++round) {
      for (int i = 0; i < 3; ++i) turn(round < 6 ? 200 * ns_per_us : ns_per_s);
      guest_.answer(phone);
    }
    for (const std::string& reply : replies_) require(broker_.answers(reply) <= 1);
    require(probe_->connected());
  }

 private:
  static jt808::Expectations& expectations() {
    static io::World world(io::SimOptions{.seed = 1});
    static jt808::Expectations one(world.sys());
    return one;
  }

  void turn(MonoNs longest_ns) {
    machine_.turn(longest_ns);
    probe_->turn();
    broker_.take(0);
  }

  // A server passes no blanks in a subject, and no dots in one of its tokens.
  static std::string token_of(Bytes bytes) {
    std::string out;
    for (const std::uint8_t byte : bytes) {
      out += byte <= ' ' || byte == '.' || byte == 0x7f ? '_' : static_cast<char>(byte);
    }
    return out.empty() ? "_" : out;
  }

  void one(fuzz::Input& input) {
    const std::uint8_t kind = input.u8();
    const std::size_t token_size = input.u8();
    const std::size_t payload_size = input.u16();
    const std::string token = token_of(input.take(token_size));
    const std::string_view payload = as_text(input.take(payload_size));
    switch (kind % 5) {
      case 0:
      case 1: {
        const std::string reply = fmt::format("_R.{}", ++requests_);
        replies_.push_back(reply);
        const std::string_view to = kind % 5 == 0 ? std::string_view(token) : phone;
        broker_.message("ringgate.cmd.*", fmt::format("ringgate.cmd.{}", to),
                        reply, payload);
        break;
      }
      case 2:
        broker_.message("ringgate.presence.*", "ringgate.presence." + token, "", payload);
        break;
      case 3:
        broker_.message(probe_->inbox() + "*", probe_->inbox() + token, "", payload);
        break;
      default:
        ask(token, payload);
        break;
    }
    turn(0);
  }

  // As the gateway's own process asks.
  void ask(const std::string& id, std::string_view json) {
    const DeviceKey device(Namespace::phone,
                           DeviceKey::fits(id) ? std::string_view(id) : phone);
    struct Once {
      int told = 0;
    };
    auto once = std::make_shared<Once>();
    node_->send({.device = device, .json = std::string(json), .by = id},
                [once](const std::string& outcome) {
                  require(++once->told == 1);
                  require(scan_json_object(outcome, "").error == JsonScan::Error::none);
                });
  }

  io::World world_;
  fuzz::Machine machine_;
  jt808::DeviceProtocol devices_;
  jt808::Catalog catalog_;
  fuzz::Guest guest_{world_, machine_};
  observe::Registry registry_;
  Broker broker_;
  std::unique_ptr<fabric::Node> node_;
  std::unique_ptr<fabric::NodeProbe> probe_;
  std::uint64_t requests_ = 0;
  std::vector<std::string> replies_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  require(sink::from_subject_token(sink::subject_token(text)) == text);
  static std::unique_ptr<Scene> scene;
  static int inputs = 0;
  if (scene == nullptr || ++inputs == inputs_each) {
    scene.reset();
    scene = std::make_unique<Scene>();
    inputs = 0;
  }
  scene->serve(fuzz::Input({data, size}));
  return 0;
}
