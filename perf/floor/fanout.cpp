// The floor of the live stream, and who listens to both. FROZEN like floor.cpp; it shares no code
// with the engine.
//
//   fanout serve --connections N --bytes B --rate R --burst K
//     A bare ring that sends: when N connections are there, messages of B bytes, R a second over
//     all of them, in turn, K at a time. Prints `ready fanout=127.0.0.1:PORT`, runs until SIGTERM.
//   fanout listen --port P --connections N [--phone-base X | --all] --seconds S
//     Connects N times and counts what comes. With --phone-base each is a WebSocket that subscribes
//     to positions of one device, X and on; with --all to those of all. Prints `begin` when all
//     are there and a second has passed, and S seconds later
//     `end {"messages":..,"events":..,"bytes":..}`.
#include <arpa/inet.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;

[[noreturn]] void die(const char* what, int error) {
  std::fprintf(stderr, "fanout: %s: %s\n", what, std::strerror(error));
  std::exit(1);
}

volatile sig_atomic_t stopping = 0;
void on_signal(int) { stopping = 1; }

struct Options {
  std::size_t connections = 1000;
  std::size_t bytes = 300;
  double rate = 20'000;
  std::size_t burst = 100;
  int port = 0;
  unsigned long long phone_base = 0;
  bool all = false;
  double seconds = 4;
};

sockaddr_in loopback(int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<std::uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

double seconds_since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

// Serving -----------------------------------------------------------------------------------------

std::vector<int> accept_all(const Options& options) {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address = loopback(0);
  socklen_t size = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), size) < 0) die("bind", errno);
  if (listen(listener, 4096) < 0) die("listen", errno);
  getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
  std::printf("ready fanout=127.0.0.1:%d\n", ntohs(address.sin_port));
  std::fflush(stdout);
  std::vector<int> links;
  while (links.size() < options.connections && stopping == 0) {
    const int link = accept4(listener, nullptr, nullptr, SOCK_CLOEXEC);
    if (link < 0) continue;
    const int on = 1;
    setsockopt(link, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    links.push_back(link);
  }
  return links;
}

int serve(const Options& options) {
  io_uring ring{};
  io_uring_params params{};
  params.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
                 IORING_SETUP_DEFER_TASKRUN;
  params.cq_entries = 65536;
  if (const int result = io_uring_queue_init_params(4096, &ring, &params); result < 0) {
    die("io_uring_queue_init", -result);
  }
  io_uring_register_ring_fd(&ring);
  const std::vector<int> links = accept_all(options);
  const std::vector<char> message(options.bytes, 'x');
  const auto began = Clock::now();
  const double bursts_per_s = options.rate / static_cast<double>(options.burst);
  std::size_t at = 0;
  unsigned under_way = 0;
  for (std::uint64_t burst = 1; stopping == 0 && !links.empty(); ++burst) {
    const double wait = static_cast<double>(burst) / bursts_per_s - seconds_since(began);
    if (wait > 0) usleep(static_cast<useconds_t>(wait * 1e6));
    for (std::size_t i = 0; i < options.burst; ++i, at = (at + 1) % links.size()) {
      io_uring_sqe* sqe = io_uring_get_sqe(&ring);
      if (sqe == nullptr) {
        io_uring_submit(&ring);
        sqe = io_uring_get_sqe(&ring);
      }
      io_uring_prep_send(sqe, links[at], message.data(), message.size(),
                         MSG_NOSIGNAL | MSG_WAITALL);
      ++under_way;
    }
    io_uring_submit_and_wait(&ring, under_way);
    unsigned head = 0;
    unsigned seen = 0;
    io_uring_cqe* cqe = nullptr;
    io_uring_for_each_cqe(&ring, head, cqe) {
      if (cqe->res < 0 && stopping == 0) std::exit(0);  // the listener has left
      ++seen;
    }
    io_uring_cq_advance(&ring, seen);
    under_way -= seen;
  }
  return 0;
}

// Listening ---------------------------------------------------------------------------------------

struct Link {
  int fd = -1;
  bool open = false;      // the answer to the upgrade was read
  bool subscribed = false;
  std::string rest;       // of a head or a frame that is not whole
};

struct Counts {
  std::uint64_t messages = 0;
  std::uint64_t events = 0;
  std::uint64_t bytes = 0;
};

bool write_all(int fd, std::string_view text) {
  return write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

// A masked frame; the mask is zero, and so changes nothing.
std::string frame(const std::string& text) {
  std::string out = "\x81";
  if (text.size() > 125) die("a long subscription", EINVAL);
  out += static_cast<char>(0x80 | text.size());
  out.append(4, '\0');
  return out + text;
}

std::string subscription(const Options& options, std::size_t index) {
  std::string text = R"({"subscribe":{"id":"a","types":["position"])";
  if (!options.all) {
    text += R"(,"devices":[")" + std::to_string(options.phone_base + index) + R"("])";
  }
  return text + "}}";
}

void count_frames(Link& link, Counts& counts) {
  const auto byte = [&](std::size_t at) { return static_cast<unsigned char>(link.rest[at]); };
  std::size_t at = 0;
  while (link.rest.size() - at >= 4) {
    std::size_t size = byte(at + 1) & 0x7f;
    std::size_t head = 2;
    if (size == 126) {
      size = std::size_t{byte(at + 2)} << 8 | byte(at + 3);
      head = 4;
    } else if (size == 127) {
      if (link.rest.size() - at < 10) break;
      size = 0;
      for (std::size_t i = 2; i < 10; ++i) size = size << 8 | byte(at + i);
      head = 10;
    }
    if (link.rest.size() - at < head + size) break;
    const std::string_view text = std::string_view(link.rest).substr(at + head, size);
    at += head + size;
    if (text.starts_with("{\"subscribed\"")) link.subscribed = true;
    if (!text.starts_with("{\"events\"")) continue;
    ++counts.messages;
    counts.bytes += head + size;
    for (std::size_t found = text.find("{\"type\":"); found != std::string_view::npos;
         found = text.find("{\"type\":", found + 1)) {
      ++counts.events;
    }
  }
  link.rest.erase(0, at);
}

void take(const Options& options, Link& link, std::size_t index, Counts& counts) {
  char buffer[65536];
  const ssize_t size = read(link.fd, buffer, sizeof buffer);
  if (size <= 0) die("a connection ended", size == 0 ? ECONNRESET : errno);
  if (!options.all && options.phone_base == 0) {
    counts.bytes += static_cast<std::uint64_t>(size);
    return;
  }
  link.rest.append(buffer, static_cast<std::size_t>(size));
  if (!link.open) {
    const std::size_t end = link.rest.find("\r\n\r\n");
    if (end == std::string::npos) return;
    if (!link.rest.starts_with("HTTP/1.1 101")) die("no upgrade", EPROTO);
    link.rest.erase(0, end + 4);
    link.open = true;
    if (!write_all(link.fd, frame(subscription(options, index)))) die("write", errno);
  }
  count_frames(link, counts);
}

int listen_to(const Options& options) {
  const bool upgrades = options.all || options.phone_base != 0;
  const int poll = epoll_create1(EPOLL_CLOEXEC);
  std::vector<Link> links(options.connections);
  for (std::size_t i = 0; i < links.size(); ++i) {
    links[i].fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const sockaddr_in address = loopback(options.port);
    if (connect(links[i].fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) < 0) {
      die("connect", errno);
    }
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.u64 = i;
    epoll_ctl(poll, EPOLL_CTL_ADD, links[i].fd, &event);
    if (upgrades &&
        !write_all(links[i].fd, "GET /api/v1/stream HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: "
                                "Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n")) {
      die("write", errno);
    }
  }
  Counts counts;
  bool ready = !upgrades;
  bool counting = false;
  auto since = Clock::now();
  while (stopping == 0) {
    epoll_event events[256];
    const int found = epoll_wait(poll, events, 256, 20);
    for (int i = 0; i < found; ++i) {
      take(options, links[events[i].data.u64], events[i].data.u64, counts);
    }
    if (!ready) {
      ready = true;
      for (const Link& link : links) ready = ready && link.subscribed;
      since = Clock::now();
    }
    if (ready && !counting && seconds_since(since) >= 1) {
      counting = true;
      counts = {};
      since = Clock::now();
      std::printf("begin\n");
      std::fflush(stdout);
    }
    if (counting && seconds_since(since) >= options.seconds) break;
  }
  std::printf("end {\"messages\":%llu,\"events\":%llu,\"bytes\":%llu,\"seconds\":%.3f}\n",
              static_cast<unsigned long long>(counts.messages),
              static_cast<unsigned long long>(counts.events),
              static_cast<unsigned long long>(counts.bytes), seconds_since(since));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  const std::string_view mode = argc > 1 ? argv[1] : "";
  for (int i = 2; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--all") {
      options.all = true;
      continue;
    }
    if (i + 1 == argc) die("a value is missing", EINVAL);
    const char* const value = argv[++i];
    if (name == "--connections") options.connections = std::strtoul(value, nullptr, 10);
    if (name == "--bytes") options.bytes = std::strtoul(value, nullptr, 10);
    if (name == "--rate") options.rate = std::strtod(value, nullptr);
    if (name == "--burst") options.burst = std::strtoul(value, nullptr, 10);
    if (name == "--port") options.port = std::atoi(value);
    if (name == "--phone-base") options.phone_base = std::strtoull(value, nullptr, 10);
    if (name == "--seconds") options.seconds = std::strtod(value, nullptr);
  }
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  if (mode == "serve") return serve(options);
  if (mode == "listen") return listen_to(options);
  die("serve or listen is expected", EINVAL);
}
