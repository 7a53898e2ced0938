// The floor of a load generator: what the kernel asks of a client that sends a report over each of
// its links, waits for the acknowledgement and sends the next, and nothing else. ringgate-load is
// measured against it (perf/sections/load.py). It shares no code with the engine or the load tool.
//
// One thread, one io_uring, one multishot receive per link over a ring of provided buffers. A
// report is built once (JT/T 808-2013 8.12, the 69 bytes that ringgate-load sends); only its serial
// and check byte change. An acknowledgement is the second 7E that comes in, with a glance at its
// result. No clock is read per message, nothing is recorded, nobody comes back after a loss.
//
//   floor-client --target 127.0.0.1:PORT [--links N] [--warmup S] [--seconds S] [--cpu N]
//                [--phone-base N]
//
// Prints one JSON object: acknowledged, seconds, cpu_us_per_ack.
#include <arpa/inet.h>
#include <liburing.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <string>
#include <vector>

namespace {

using u8 = std::uint8_t;
using u16 = std::uint16_t;
using u32 = std::uint32_t;
using u64 = std::uint64_t;

constexpr u32 sq_entries = 4096;
constexpr u32 cq_entries = 16384;
constexpr u32 buffers = 4096;  // a power of two
constexpr u32 buffer_bytes = 256;
constexpr u64 send_bit = u64{1} << 32;

[[noreturn]] void die(const char* what, int error) {
  std::fprintf(stderr, "floor-client: %s: %s\n", what, std::strerror(error));
  std::exit(1);
}

double now_s(clockid_t clock) {
  timespec time{};
  clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

// ---- frames ------------------------------------------------------------------------------------

struct Frame {
  u8 bytes[256];
  u32 size = 0;
};

bool special(u8 byte) { return byte == 0x7d || byte == 0x7e; }

// Header and body become a frame.
Frame framed(const std::vector<u8>& raw) {
  Frame frame;
  u8 check = 0;
  frame.bytes[frame.size++] = 0x7e;
  const auto put = [&frame](u8 byte) {
    if (special(byte)) {
      frame.bytes[frame.size++] = 0x7d;
      byte = byte == 0x7e ? 2 : 1;
    }
    frame.bytes[frame.size++] = byte;
  };
  for (const u8 byte : raw) {
    put(byte);
    check = static_cast<u8>(check ^ byte);
  }
  put(check);
  frame.bytes[frame.size++] = 0x7e;
  return frame;
}

std::vector<u8> message(u16 id, u64 phone, u16 serial, const std::vector<u8>& body) {
  std::vector<u8> raw(12 + body.size());
  raw[0] = static_cast<u8>(id >> 8);
  raw[1] = static_cast<u8>(id);
  raw[2] = static_cast<u8>(body.size() >> 8);
  raw[3] = static_cast<u8>(body.size());
  for (std::size_t i = 10; i-- > 4; phone /= 100) {
    raw[i] = static_cast<u8>(phone % 100 / 10 << 4 | phone % 10);
  }
  raw[10] = static_cast<u8>(serial >> 8);
  raw[11] = static_cast<u8>(serial);
  std::memcpy(raw.data() + 12, body.data(), body.size());
  return raw;
}

std::vector<u8> report_body() {
  std::vector<u8> body{0, 0, 0, 0, 0, 0, 0, 3, 0x01, 0xdc, 0x89, 0x50, 0x07, 0x3d, 0x84, 0x85,
                       0, 12, 0x02, 0x58, 0, 90, 0x26, 0x11, 0x21, 0x08, 0, 0,
                       1, 4, 0, 1, 0xe2, 0x40, 2, 2, 1, 0xa4, 3, 2, 2, 0x58,
                       0x25, 4, 0, 0, 0, 0, 0x30, 1, 28, 0x31, 1, 14};
  return body;
}

// A report whose serial and check byte stand where they stood, whatever the serial is: serials that
// would need an escape are left out.
void next_serial(Frame& report) {
  u8* serial = report.bytes + 11;
  u8* check = report.bytes + report.size - 2;
  do {
    const u8 high = serial[0], low = serial[1];
    if (++serial[1] == 0) ++serial[0];
    *check = static_cast<u8>(*check ^ high ^ low ^ serial[0] ^ serial[1]);
  } while (special(serial[0]) || special(serial[1]) || special(*check));
}

// ---- links -------------------------------------------------------------------------------------

struct Link {
  int fd = -1;
  u32 marks = 0;  // 7E of the present acknowledgement
  Frame report;
};

std::vector<u8> receive_frame(int fd) {
  std::vector<u8> raw;
  bool inside = false, escaped = false;
  while (true) {
    u8 byte = 0;
    if (recv(fd, &byte, 1, 0) != 1) die("the gateway closed a link that signed in", errno);
    if (byte == 0x7e) {
      if (inside && !raw.empty()) return raw;
      inside = true;
    } else if (byte == 0x7d) {
      escaped = true;
    } else {
      raw.push_back(escaped ? static_cast<u8>(byte == 2 ? 0x7e : 0x7d) : byte);
      escaped = false;
    }
  }
}

void send_all(int fd, const Frame& frame) {
  if (send(fd, frame.bytes, frame.size, MSG_NOSIGNAL) != static_cast<ssize_t>(frame.size)) {
    die("send", errno);
  }
}

void sign_in(Link& link, const sockaddr_in& target, u64 phone) {
  link.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (link.fd < 0) die("socket", errno);
  const int on = 1;
  setsockopt(link.fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(link.fd, reinterpret_cast<const sockaddr*>(&target), sizeof target) != 0) {
    die("connect", errno);
  }
  std::vector<u8> body(37, 0);
  body[1] = 31;
  body[36] = 2;
  const std::string plate = "FLOOR" + std::to_string(phone % 10000);
  body.insert(body.end(), plate.begin(), plate.end());
  send_all(link.fd, framed(message(0x0100, phone, 0, body)));
  const std::vector<u8> reply = receive_frame(link.fd);
  if (reply.size() < 16 || reply[0] != 0x81 || reply[14] != 0) die("registration refused", 0);
  const std::vector<u8> code(reply.begin() + 15, reply.end() - 1);
  send_all(link.fd, framed(message(0x0102, phone, 1, code)));
  const std::vector<u8> answer = receive_frame(link.fd);
  if (answer.size() < 17 || answer[16] != 0) die("authentication refused", 0);
  link.report = framed(message(0x0200, phone, 2, report_body()));
}

// ---- the loop ----------------------------------------------------------------------------------

struct Client {
  io_uring ring{};
  io_uring_buf_ring* shared = nullptr;
  u8* memory = nullptr;
  std::vector<Link> links;
  u64 acknowledged = 0;
  u64 bad = 0;

  void open() {
    io_uring_params params{};
    params.flags = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER |
                   IORING_SETUP_DEFER_TASKRUN;
    params.cq_entries = cq_entries;
    const int error = io_uring_queue_init_params(sq_entries, &ring, &params);
    if (error < 0) die("io_uring_setup", -error);
    io_uring_register_ring_fd(&ring);
    const std::size_t shared_bytes = buffers * sizeof(io_uring_buf);
    void* pages = mmap(nullptr, shared_bytes + std::size_t{buffers} * buffer_bytes,
                       PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    if (pages == MAP_FAILED) die("mmap", errno);
    shared = static_cast<io_uring_buf_ring*>(pages);
    memory = static_cast<u8*>(pages) + shared_bytes;
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<u64>(shared);
    registration.ring_entries = buffers;
    const int refused = io_uring_register_buf_ring(&ring, &registration, 0);
    if (refused < 0) die("io_uring_register_buf_ring", -refused);
    io_uring_buf_ring_init(shared);
    for (u32 i = 0; i < buffers; ++i) give(static_cast<u16>(i), static_cast<int>(i));
    io_uring_buf_ring_advance(shared, buffers);
  }
  void give(u16 id, int at) {
    io_uring_buf_ring_add(shared, memory + std::size_t{id} * buffer_bytes, buffer_bytes, id,
                          io_uring_buf_ring_mask(buffers), at);
  }
  io_uring_sqe* next() {
    io_uring_sqe* sqe = io_uring_get_sqe(&ring);
    if (sqe != nullptr) return sqe;
    io_uring_submit(&ring);
    return io_uring_get_sqe(&ring);
  }
  void receive(u32 index) {
    io_uring_sqe* sqe = next();
    io_uring_prep_recv_multishot(sqe, links[index].fd, nullptr, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    sqe->user_data = index;
  }
  void report(u32 index) {
    Link& link = links[index];
    next_serial(link.report);
    io_uring_sqe* sqe = next();
    io_uring_prep_send(sqe, link.fd, link.report.bytes, link.report.size, MSG_NOSIGNAL);
    sqe->user_data = send_bit | index;
  }
  void take(u32 index, const u8* bytes, u32 size) {
    Link& link = links[index];
    for (u32 i = 0; i < size; ++i) link.marks += bytes[i] == 0x7e ? 1 : 0;
    if (size == 20 && bytes[17] != 0) ++bad;
    if (link.marks < 2) return;
    link.marks = 0;
    ++acknowledged;
    report(index);
  }
  void turn() {
    const int error = io_uring_submit_and_wait(&ring, 1);
    if (error < 0 && error != -EINTR && error != -EBUSY) die("io_uring_enter", -error);
    io_uring_cqe* cqe = nullptr;
    unsigned head = 0, seen = 0;
    int given = 0;
    io_uring_for_each_cqe(&ring, head, cqe) {
      ++seen;
      const u32 index = static_cast<u32>(cqe->user_data);
      if ((cqe->user_data & send_bit) != 0) {
        if (cqe->res != static_cast<int>(links[index].report.size)) die("send", -cqe->res);
        continue;
      }
      if (cqe->res <= 0 && cqe->res != -ENOBUFS) die("receive", -cqe->res);
      if (cqe->res > 0) {
        const u16 id = static_cast<u16>(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
        take(index, memory + std::size_t{id} * buffer_bytes, static_cast<u32>(cqe->res));
        give(id, given++);
      }
      if ((cqe->flags & IORING_CQE_F_MORE) == 0) receive(index);
    }
    io_uring_buf_ring_advance(shared, given);
    io_uring_cq_advance(&ring, seen);
  }
  void run_for(double seconds) {
    const double end = now_s(CLOCK_MONOTONIC) + seconds;
    while (now_s(CLOCK_MONOTONIC) < end) turn();
  }
};

}  // namespace

int main(int argc, char** argv) {
  sockaddr_in target{};
  target.sin_family = AF_INET;
  u32 count = 1000;
  double warmup = 0.5, seconds = 2;
  u64 phone = 13'700'000'000;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--target") {
      const std::size_t colon = value.rfind(':');
      inet_pton(AF_INET, value.substr(0, colon).c_str(), &target.sin_addr);
      target.sin_port = htons(static_cast<u16>(std::stoi(value.substr(colon + 1))));
    } else if (name == "--links") {
      count = static_cast<u32>(std::stoul(value));
    } else if (name == "--warmup") {
      warmup = std::stod(value);
    } else if (name == "--seconds") {
      seconds = std::stod(value);
    } else if (name == "--phone-base") {
      phone = std::stoull(value);
    } else if (name == "--cpu") {
      cpu_set_t set;
      CPU_ZERO(&set);
      CPU_SET(static_cast<unsigned>(std::stoi(value)), &set);
      sched_setaffinity(0, sizeof set, &set);
    } else {
      std::fprintf(stderr, "floor-client: unknown option %s\n", name.c_str());
      return 2;
    }
  }
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  Client client;
  client.links.resize(count);
  for (u32 i = 0; i < count; ++i) sign_in(client.links[i], target, phone + i);
  client.open();
  for (u32 i = 0; i < count; ++i) client.receive(i);
  for (u32 i = 0; i < count; ++i) client.report(i);
  client.run_for(warmup);
  const u64 before = client.acknowledged;
  const double cpu = now_s(CLOCK_PROCESS_CPUTIME_ID), start = now_s(CLOCK_MONOTONIC);
  client.run_for(seconds);
  const u64 acknowledged = client.acknowledged - before;
  const double used = now_s(CLOCK_PROCESS_CPUTIME_ID) - cpu;
  std::printf("{\"acknowledged\": %llu, \"bad\": %llu, \"seconds\": %.6f, "
              "\"cpu_us_per_ack\": %.4f}\n",
              static_cast<unsigned long long>(acknowledged),
              static_cast<unsigned long long>(client.bad), now_s(CLOCK_MONOTONIC) - start,
              acknowledged == 0 ? 0.0 : used * 1e6 / static_cast<double>(acknowledged));
  return client.bad == 0 ? 0 : 1;
}
