// What the doctor measures on the machine itself: writes, clocks, fresh memory, neighbouring CPUs,
// a datagram socket. All of it is bounded in time and leaves nothing behind.
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>

#include "engine/base/crc32c.hpp"
#include "engine/observe/histogram.hpp"
#include "tools/common/clock.hpp"
#include "tools/common/owned_fd.hpp"
#include "tools/doctor/machine.hpp"

namespace ringgate::doctor {

namespace {

struct Free {
  void operator()(void* memory) const { std::free(memory); }
};

// Small enough to be written ahead at once, large enough that no cache of a drive's few last
// blocks answers for it.
constexpr std::uint64_t test_file_bytes = 16U << 20;
constexpr std::uint32_t step_bytes = 1U << 20;

// A file without a name: whatever happens, it is gone with this process.
Result<int> open_nameless(const std::string& directory) {
  int fd = ::open(directory.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) return fd;
  if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL) {
    return errno_error(errno, "cannot write to " + directory);
  }
  std::string name = directory + "/ringgate-doctor.XXXXXX";
  fd = ::mkostemp(name.data(), O_CLOEXEC);
  if (fd < 0) return errno_error(errno, "cannot write to " + directory);
  ::unlink(name.c_str());
  return fd;
}

bool write_one(int fd, const void* data, std::uint32_t size, std::uint64_t offset, bool direct) {
  const iovec part{const_cast<void*>(data), size};
  if (pwritev2(fd, &part, 1, static_cast<off_t>(offset), direct ? RWF_DSYNC : 0) !=
      static_cast<ssize_t>(size)) {
    return false;
  }
  return direct || fdatasync(fd) == 0;
}

}  // namespace

Result<WriteTimes> RealMachine::time_writes(const std::string& directory, std::uint32_t size_bytes,
                                            MonoNs duration_ns, const Progress& progress) {
  auto opened = open_nameless(root_ + directory);
  if (!opened) return opened.error();
  const tool::OwnedFd fd(*opened);
  const std::unique_ptr<void, Free> memory(std::aligned_alloc(4096, step_bytes));
  std::memset(memory.get(), 0x5a, step_bytes);
  // As the log does it: what is overwritten has been written before.
  for (std::uint64_t at = 0; at < test_file_bytes; at += step_bytes) {
    if (pwrite(fd.get(), memory.get(), step_bytes, static_cast<off_t>(at)) != step_bytes) {
      return errno_error(errno, "cannot write 16 MiB to " + directory);
    }
  }
  if (fsync(fd.get()) != 0) return errno_error(errno, "cannot sync a file in " + directory);
  WriteTimes out;
  const int flags = fcntl(fd.get(), F_GETFL);
  out.direct = fcntl(fd.get(), F_SETFL, flags | O_DIRECT) == 0 &&
               write_one(fd.get(), memory.get(), size_bytes, 0, true);
  if (!out.direct) static_cast<void>(fcntl(fd.get(), F_SETFL, flags));

  observe::Histogram times;
  const MonoNs begin = tool::mono_now();
  MonoNs before = begin;
  std::uint64_t offset = 0;
  while (before - begin < duration_ns) {
    if (!write_one(fd.get(), memory.get(), size_bytes, offset, out.direct)) {
      return errno_error(errno, "a durable write failed in " + directory);
    }
    const MonoNs after = tool::mono_now();
    times.record(after - before);
    progress(static_cast<double>(after - begin) / static_cast<double>(duration_ns));
    before = tool::mono_now();
    offset = (offset + size_bytes) % test_file_bytes;
  }
  const observe::HistogramSnapshot all = times.snapshot();
  out.count = all.count();
  out.p50_ns = static_cast<double>(all.percentile(50));
  out.p99_ns = static_cast<double>(all.percentile(99));
  out.max_ns = static_cast<double>(all.max_ns());
  return out;
}

Result<double> RealMachine::clock_read_ns() {
  constexpr int readings = 20'000;
  double best = 1e9;
  for (int round = 0; round < 5; ++round) {  // the best: others may take the CPU meanwhile
    const MonoNs begin = tool::mono_now();
    timespec at{};
    for (int i = 0; i < readings; ++i) clock_gettime(CLOCK_MONOTONIC, &at);
    best = std::min(best, static_cast<double>(tool::mono_now() - begin) / readings);
  }
  return best;
}

namespace {

constexpr std::size_t huge_bytes = 2U << 20;
constexpr std::size_t huge_count = 16;

// Median time to touch each 2 MiB piece of fresh memory once, in its first page.
Result<double> touch_ns(int advice) {
  const std::size_t size = (huge_count + 1) * huge_bytes;
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return errno_error(errno, "mmap");
  if (advice >= 0) static_cast<void>(madvise(memory, size, advice));
  const auto start = (reinterpret_cast<std::uintptr_t>(memory) + huge_bytes - 1) / huge_bytes;
  std::vector<MonoNs> times;
  for (std::size_t i = 0; i < huge_count; ++i) {
    auto* at = reinterpret_cast<volatile char*>((start + i) * huge_bytes);
    const MonoNs before = tool::mono_now();
    *at = 1;
    times.push_back(tool::mono_now() - before);
  }
  munmap(memory, size);
  std::sort(times.begin(), times.end());
  return static_cast<double>(times[times.size() / 2]);
}

}  // namespace

Result<Machine::Touch> RealMachine::first_touch() {
  const auto huge = touch_ns(-1);
  if (!huge) return huge.error();
  const auto small = touch_ns(MADV_NOHUGEPAGE);
  if (!small) return small.error();
  return Touch{.huge_ns = *huge, .small_ns = *small};
}

namespace {

// Rounds of a checksum over 4 KiB, much like a shard's work on memory that is in its cache.
std::uint64_t work(int cpu, MonoNs duration_ns, const std::atomic<bool>& go) {
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<unsigned>(cpu), &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) return 0;
  std::uint8_t data[4096];
  std::memset(data, 7, sizeof data);
  while (!go.load(std::memory_order_acquire)) {
  }
  const MonoNs end = tool::mono_now() + duration_ns;
  std::uint64_t rounds = 0;
  while (tool::mono_now() < end) {
    data[0] = static_cast<std::uint8_t>(crc32c(0, Bytes{data, sizeof data}));
    ++rounds;
  }
  return rounds;
}

}  // namespace

Result<double> RealMachine::slowdown_together(int cpu, int other) {
  constexpr MonoNs piece_ns = 60 * ns_per_ms;
  std::atomic<bool> go{true};
  std::uint64_t alone = 0;
  std::thread([&] { alone = work(cpu, piece_ns, go); }).join();
  std::uint64_t beside = 0;
  std::uint64_t ignored = 0;
  go = false;
  std::thread one([&] { beside = work(cpu, piece_ns, go); });
  std::thread two([&] { ignored = work(other, piece_ns, go); });
  go.store(true, std::memory_order_release);
  one.join();
  two.join();
  if (alone == 0 || beside == 0 || ignored == 0) {
    return Error{0, "threads could not be pinned to these CPUs"};
  }
  return std::max(1.0, static_cast<double>(alone) / static_cast<double>(beside));
}

Result<std::uint32_t> RealMachine::datagrams_held(int buffer_bytes) {
  const tool::OwnedFd to(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  const tool::OwnedFd from(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<sockaddr*>(&address);
  if (to.get() < 0 || from.get() < 0 || ::bind(to.get(), generic, size) != 0 ||
      getsockname(to.get(), generic, &size) != 0 || ::connect(from.get(), generic, size) != 0) {
    return errno_error(errno, "a datagram socket on loopback");
  }
  setsockopt(to.get(), SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
  const char datagram[100] = {};
  // Loopback delivers before send() returns: once the socket is full, the rest is dropped.
  constexpr int sent_max = 40'000;
  for (int i = 0; i < sent_max; ++i) {
    if (::send(from.get(), datagram, sizeof datagram, 0) < 0) break;
  }
  std::uint32_t held = 0;
  char taken[128];
  while (::recv(to.get(), taken, sizeof taken, 0) >= 0) ++held;
  return held;
}

}  // namespace ringgate::doctor
