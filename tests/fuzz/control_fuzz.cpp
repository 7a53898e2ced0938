// The lines that a client of the control socket sends: any bytes. The control plane is the real
// one, with its socket, on this thread; behind it is a gateway on a simulated machine with a
// terminal that is online and answers, and one that is offline.
// What must hold: every line that comes back is a JSON object; every request has one end ("ok"), in
// its turn, unless it waits for a device or traces one; the next client is served as this one was.
// By hand as jt808_framing_fuzz.cpp says.
#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "engine/base/json_scan.hpp"
#include "tests/fuzz/guest.hpp"
#include "tests/fuzz/machine.hpp"
#include "tools/ringgate/control.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;
using fuzz::Guest;
using fuzz::Machine;
using fuzz::require;

constexpr std::string_view online_phone = "13800000001";
constexpr std::string_view offline_phone = "13800000002";
// A gateway keeps what clients did to it (bans, audit records): it is made anew after so many.
constexpr int clients_each = 500;

class Scene {
 public:
  Scene() : world_(io::SimOptions{.seed = 7}), machine_(world_, 1, expectations()) {
    path_ = fmt::format("/tmp/ringgate-control-fuzz-{}", ::getpid());
    control_ = fuzz::must(server::Control::open({.path = path_,
                                                 .errands = machine_.errands(),
                                                 .producer = machine_.control_producer(),
                                                 .registry = machine_.registry(),
                                                 .logs = machine_.logger().add_source("control")}));
    guest_.log_in(offline_phone);
  }
  ~Scene() {
    machine_.drain(world_.now() + ns_per_s);
    for (int i = 0; i < 1000 && !machine_.stopped(); ++i) machine_.turn(100 * ns_per_ms);
    require(machine_.stopped());
    machine_.places.clear();
    control_.reset();
  }

  void serve(std::string_view text) {
    if (!guest_.is_online(online_phone)) guest_.log_in(online_phone);
    const int fd = connect();
    std::size_t sent = 0;
    std::string heard;
    Told told;
    const std::size_t requests = requests_in(text);
    for (int round = 0; round < 60; ++round) {
      while (sent < text.size()) {
        const ssize_t done = ::send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
        if (done <= 0) break;
        sent += static_cast<std::size_t>(done);
      }
      control_->turn(0);
      listen(fd, heard, told);
      if (sent == text.size() && told.ends == requests && heard.empty()) break;
      // Answers of the shard take a moment, those of terminals, and their time-outs, seconds.
      for (int i = 0; i < 4; ++i) machine_.turn(round < 30 ? 200 * ns_per_us : ns_per_s);
      guest_.answer(online_phone);
    }
    require(sent == text.size());
    require(told.ends <= requests);
    if (!may_wait(text)) require(told.ends == requests);
    ::close(fd);
    for (int i = 0; i < 4; ++i) {
      control_->turn(0);
      machine_.turn(200 * ns_per_us);
    }
    for (const std::string_view phone : {online_phone, offline_phone}) {
      machine_.places[0]->gate->unban(DeviceKey(Namespace::phone, phone), {"fuzzer", {}});
    }
  }

 private:
  struct Told {
    std::size_t lines = 0;
    std::size_t ends = 0;
  };

  static Expectations& expectations() {
    static io::World world(io::SimOptions{.seed = 1});
    static Expectations one(world.sys());
    return one;
  }
  int connect() {
    const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::copy(path_.begin(), path_.end(), address.sun_path);
    require(::connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
    control_->turn(0);
    return fd;
  }

  static void listen(int fd, std::string& heard, Told& told) {
    char buffer[16 * 1024];
    for (ssize_t got = 0; (got = ::recv(fd, buffer, sizeof buffer, 0)) != -1;) {
      require(got != 0);  // nobody is cut off
      heard.append(buffer, static_cast<std::size_t>(got));
    }
    require(errno == EAGAIN);
    std::size_t from = 0;
    for (std::size_t end = 0; (end = heard.find('\n', from)) != std::string::npos; from = end + 1) {
      const std::string_view text(heard.data() + from, end - from);
      const JsonScan line = scan_json_object(text, "ok");
      require(line.error == JsonScan::Error::none);
      ++told.lines;
      told.ends += line.member.empty() ? 0 : 1;
    }
    heard.erase(0, from);
  }

  // Lines with something in them.
  static std::size_t requests_in(std::string_view text) {
    std::size_t count = 0;
    for (std::size_t end = 0; (end = text.find('\n')) != std::string_view::npos;) {
      count += text.substr(0, end).find_first_not_of(" \t\r") != std::string_view::npos ? 1 : 0;
      text.remove_prefix(end + 1);
    }
    return count;
  }
  // Whether an operation may be in it that does not end by itself, or not soon. Names may be
  // written with escapes.
  static bool may_wait(std::string_view text) {
    return text.find('\\') != std::string_view::npos ||
           text.find("trace") != std::string_view::npos ||
           text.find("send") != std::string_view::npos;
  }

  io::World world_;
  Machine machine_;
  Guest guest_{world_, machine_};
  std::string path_;
  std::unique_ptr<server::Control> control_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static std::unique_ptr<Scene> scene;
  static int clients = 0;
  if (scene == nullptr || ++clients == clients_each) {
    scene.reset();
    scene = std::make_unique<Scene>();
    clients = 0;
  }
  if (size != 0) scene->serve({reinterpret_cast<const char*>(data), size});
  return 0;
}
