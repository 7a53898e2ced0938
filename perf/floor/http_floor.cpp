// The floor of HTTP: a bare ring that answers each empty line with the same bytes. What the kernel
// asks for a request and its answer, and nothing else: it parses nothing. FROZEN like floor.cpp; it
// shares no code with the engine.
//
//   http-floor [--port N]
//
// Prints `ready http=127.0.0.1:PORT` and runs until SIGTERM or SIGINT.
#include <arpa/inet.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

using u8 = std::uint8_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr u32 buffers = 4096;
constexpr u32 buffer_bytes = 4096;
constexpr int group = 0;
constexpr u32 links_max = 1U << 16;  // by file descriptor

// As ringgate answers /livez, with a date that stands still.
constexpr char answer[] =
    "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: application/json\r\n"
    "Content-Length: 18\r\n\r\n{\"status\":\"alive\"}";
constexpr u32 answer_bytes = sizeof answer - 1;

enum Tag : u64 { tag_accept = 1, tag_recv = 2, tag_send = 3 };
u64 user_data(Tag tag, u64 value) { return static_cast<u64>(tag) << 56 | value; }

[[noreturn]] void die(const char* what, int error) {
  std::fprintf(stderr, "http-floor: %s: %s\n", what, std::strerror(error));
  std::exit(1);
}

volatile sig_atomic_t stopping = 0;
void on_signal(int) { stopping = 1; }

struct Link {
  u32 matched = 0;   // bytes of the empty line that were seen
  u32 due = 0;       // answers
  bool sending = false;
};

struct Floor {
  io_uring ring{};
  io_uring_buf_ring* shared = nullptr;
  std::vector<u8> memory = std::vector<u8>(size_t{buffers} * buffer_bytes);
  std::vector<Link> links = std::vector<Link>(links_max);
  std::string many;  // the answer, again and again
  int listener = -1;

  io_uring_sqe* next() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    if (sqe == nullptr) {
      io_uring_submit(&ring);
      sqe = io_uring_get_sqe(&ring);
    }
    if (sqe == nullptr) die("io_uring_get_sqe", EBUSY);
    return sqe;
  }

  void open() {
    io_uring_params params{};
    params.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
                   IORING_SETUP_DEFER_TASKRUN;
    params.cq_entries = 65536;
    if (const int result = io_uring_queue_init_params(4096, &ring, &params); result < 0) {
      die("io_uring_queue_init", -result);
    }
    io_uring_register_ring_fd(&ring);
    void* pages = nullptr;
    if (posix_memalign(&pages, 4096, buffers * sizeof(io_uring_buf)) != 0) die("memory", ENOMEM);
    shared = static_cast<io_uring_buf_ring*>(pages);
    io_uring_buf_ring_init(shared);
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<u64>(shared);
    registration.ring_entries = buffers;
    registration.bgid = group;
    if (const int result = io_uring_register_buf_ring(&ring, &registration, 0); result < 0) {
      die("io_uring_register_buf_ring", -result);
    }
    for (u32 i = 0; i < buffers; ++i) give(i, static_cast<int>(i));
    io_uring_buf_ring_advance(shared, static_cast<int>(buffers));
    while (many.size() < 65536) many += answer;
  }
  void give(u32 index, int offset) {
    io_uring_buf_ring_add(shared, &memory[size_t{index} * buffer_bytes], buffer_bytes,
                          static_cast<unsigned short>(index), io_uring_buf_ring_mask(buffers),
                          offset);
  }

  int listen_on(int port) {
    listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int on = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    setsockopt(listener, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    if (bind(listener, reinterpret_cast<sockaddr*>(&address), size) < 0) die("bind", errno);
    if (listen(listener, 4096) < 0) die("listen", errno);
    getsockname(listener, reinterpret_cast<sockaddr*>(&address), &size);
    return ntohs(address.sin_port);
  }

  void arm_recv(u32 fd) {
    io_uring_sqe* sqe = next();
    io_uring_prep_recv_multishot(sqe, static_cast<int>(fd), nullptr, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = group;
    sqe->user_data = user_data(tag_recv, fd);
  }
  void send(u32 fd) {
    Link& link = links[fd];
    const u32 most = static_cast<u32>(many.size()) / answer_bytes;
    const u32 count = link.due < most ? link.due : most;
    link.due -= count;
    link.sending = true;
    io_uring_sqe* sqe = next();
    io_uring_prep_send(sqe, static_cast<int>(fd), many.data(), size_t{count} * answer_bytes,
                       MSG_NOSIGNAL | MSG_WAITALL);
    sqe->user_data = user_data(tag_send, fd);
  }
  void on_recv(u32 fd, int result, u32 flags) {
    Link& link = links[fd];
    if (result <= 0) {
      if (result == -ENOBUFS) return arm_recv(fd);
      close(static_cast<int>(fd));
      return;
    }
    const u32 index = flags >> IORING_CQE_BUFFER_SHIFT;
    const u8* at = &memory[size_t{index} * buffer_bytes];
    constexpr char end[] = "\r\n\r\n";
    for (int i = 0; i < result; ++i) {
      link.matched = at[i] == static_cast<u8>(end[link.matched]) ? link.matched + 1
                     : at[i] == '\r'                             ? 1
                                                                 : 0;
      if (link.matched < 4) continue;
      link.matched = 0;
      ++link.due;
    }
    give(index, 0);
    io_uring_buf_ring_advance(shared, 1);
    if (link.due > 0 && !link.sending) send(fd);
    if ((flags & IORING_CQE_F_MORE) == 0) arm_recv(fd);
  }
  void on_completion(const io_uring_cqe& cqe) {
    const auto fd = static_cast<u32>(cqe.user_data & 0xffffffff);
    switch (static_cast<Tag>(cqe.user_data >> 56)) {
      case tag_accept:
        if (cqe.res < 0) die("accept", -cqe.res);
        if (static_cast<u32>(cqe.res) >= links_max) die("links", EMFILE);
        links[static_cast<u32>(cqe.res)] = {};
        return arm_recv(static_cast<u32>(cqe.res));
      case tag_recv:
        return on_recv(fd, cqe.res, cqe.flags);
      case tag_send:
        links[fd].sending = false;
        if (cqe.res > 0 && links[fd].due > 0) send(fd);
        return;
    }
  }
  void run() {
    io_uring_sqe* sqe = next();
    io_uring_prep_multishot_accept(sqe, listener, nullptr, nullptr, SOCK_CLOEXEC);
    sqe->user_data = user_data(tag_accept, 0);
    while (stopping == 0) {
      io_uring_submit_and_wait(&ring, 1);
      u32 head = 0;
      u32 seen = 0;
      io_uring_cqe* cqe = nullptr;
      io_uring_for_each_cqe(&ring, head, cqe) {
        on_completion(*cqe);
        ++seen;
      }
      io_uring_cq_advance(&ring, seen);
    }
  }
};

}  // namespace

int main(int argc, char** argv) {
  int port = 0;
  for (int i = 1; i + 1 < argc; i += 2) {
    if (std::strcmp(argv[i], "--port") == 0) port = std::atoi(argv[i + 1]);
  }
  struct sigaction action {};
  action.sa_handler = on_signal;
  sigaction(SIGTERM, &action, nullptr);
  sigaction(SIGINT, &action, nullptr);
  auto* floor = new Floor;
  floor->open();
  std::printf("ready http=127.0.0.1:%d\n", floor->listen_on(port));
  std::fflush(stdout);
  floor->run();
  return 0;
}
