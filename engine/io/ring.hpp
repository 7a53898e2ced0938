// The one seam to the kernel: SQEs in, CQEs out. All backends (uring, sim, record) share these
// inline queues; only setup, register and enter are virtual, one indirect call per loop turn.
//
// A Ring belongs to the thread that opened it (IORING_SETUP_SINGLE_ISSUER); in a simulation several
// rings share one thread. SQEs are filled with liburing's io_uring_prep_* helpers.
#pragma once

#include <liburing.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "engine/base/bytes.hpp"
#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"
#include "engine/io/user_data.hpp"

namespace ringgate::io {

// What the ring can do, found by trying. Each may be forced off (RingOptions::without).
enum class Feature : std::uint32_t {
  single_issuer = 1U << 0,      // 6.0
  defer_taskrun = 1U << 1,      // 6.1, needs single_issuer
  coop_taskrun = 1U << 2,       // 5.19, used where defer_taskrun is refused
  no_sqarray = 1U << 3,         // 6.6
  registered_ring = 1U << 4,    // 5.18
  multishot_accept = 1U << 5,   // 5.19
  multishot_recv = 1U << 6,     // 6.0
  recv_bundle = 1U << 7,        // 6.10 and not known-bad; live self-test
  msg_ring = 1U << 8,           // 5.18; without it mailboxes wake by eventfd
  multishot_recvmsg = 1U << 9,  // 6.0; live self-test
};
constexpr std::uint32_t bit(Feature feature) { return static_cast<std::uint32_t>(feature); }

struct RingOptions {
  std::uint32_t sq_entries = 4096;   // power of two
  std::uint32_t cq_entries =
      32768;  // power of two; >= links that may complete in one turn + file ops
  std::uint32_t without = 0;         // Feature bits that must not be used (tests of fallbacks)
};

// Where a backend put the queues. Heads and tails are shared with the kernel (or the simulator).
struct QueueMemory {
  std::uint32_t* sq_head = nullptr;
  std::uint32_t* sq_tail = nullptr;
  std::uint32_t* sq_flags = nullptr;
  std::uint32_t* sq_array = nullptr;  // null with no_sqarray
  std::uint32_t sq_mask = 0;
  io_uring_sqe* sqes = nullptr;
  std::uint32_t* cq_head = nullptr;
  std::uint32_t* cq_tail = nullptr;
  std::uint32_t cq_mask = 0;
  io_uring_cqe* cqes = nullptr;
  // The kernel announces work that only an enter will do in sq_flags (IORING_SETUP_TASKRUN_FLAG),
  // so a turn with nothing to submit and nothing to wait for may skip the enter.
  bool announces_work = false;
};

constexpr MonoNs wait_forever = -1;

class Backend {
 public:
  virtual ~Backend() = default;
  // Creates the ring and says which Feature bits it has. Called once, first, on the ring's thread.
  // Where there is an sq_array it already maps each index to itself.
  // Error: what was refused and the cure (sysctl, seccomp, kernel version).
  virtual Result<std::uint32_t> setup(const RingOptions& options, QueueMemory& memory) = 0;
  // io_uring_register(2). Returns >= 0 or -errno.
  virtual int do_register(unsigned opcode, const void* argument, unsigned count) = 0;
  // io_uring_enter(2) with GETEVENTS: submits, then waits until `min_complete` completions are
  // there or `timeout_ns` has passed (wait_forever: no limit). Returns SQEs consumed or -errno
  // (-ETIME and -EINTR are ordinary: nothing is lost). When it consumes fewer than `to_submit` it
  // does not wait.
  virtual int enter(std::uint32_t to_submit, std::uint32_t min_complete, MonoNs timeout_ns) = 0;
  // The fd that others name in MSG_RING.
  virtual int ring_fd() const = 0;
};

class Ring {
 public:
  static Result<std::unique_ptr<Ring>> open(std::unique_ptr<Backend> backend,
                                            const RingOptions& options);
  Ring(const Ring&) = delete;
  Ring& operator=(const Ring&) = delete;

  bool has(Feature feature) const { return (features_ & bit(feature)) != 0; }
  std::uint32_t features() const { return features_; }
  Backend& backend() { return *backend_; }
  int fd() const { return backend_->ring_fd(); }

  // The next free SQE, zeroed. Where the queue is full it submits first, so it never fails; a chain
  // of linked SQEs must call reserve() before its first.
  io_uring_sqe* next_sqe() {
    if (__builtin_expect(sqe_tail_ - load_acquire(memory_.sq_head) > memory_.sq_mask, 0)) flush();
    io_uring_sqe* sqe = &memory_.sqes[sqe_tail_ & memory_.sq_mask];
    ++sqe_tail_;
    *sqe = io_uring_sqe{};
    return sqe;
  }
  // Makes room for `count` SQEs that must be submitted together.
  void reserve(std::uint32_t count) {
    if (memory_.sq_mask + 1 - (sqe_tail_ - load_acquire(memory_.sq_head)) < count) flush();
  }

  // Submits what was filled in and waits for at least `min_complete` completions (0: only collects
  // what is ready) or until `timeout_ns` (0: does not wait). Returns 0 or -errno of the enter. A
  // timeout, a signal, a full completion queue (EBUSY) and a kernel short of memory (EAGAIN,
  // ENOMEM) are 0 too: drain, then call again; what was not submitted still waits in the queue. Any
  // other errno means that the ring is of no more use.
  int submit_and_wait(std::uint32_t min_complete, MonoNs timeout_ns);

  std::uint32_t completions_ready() const {
    return load_acquire(memory_.cq_tail) - *memory_.cq_head;
  }
  bool has_unsubmitted() const { return sqe_tail_ != sqe_submitted_; }
  // Enters after which the kernel kept completions outside the full queue, since the start. Nothing
  // was lost, but multishots ended early and order suffered: growth is an alarm.
  std::uint64_t overflows() const { return overflows_; }
  std::uint64_t enters() const { return enters_; }

  // Copies up to `limit` completions to `out` and hands their places back. Handle them only then:
  // a handler may fill the rings again.
  std::uint32_t drain(io_uring_cqe* out, std::uint32_t limit) {
    std::uint32_t head = *memory_.cq_head;
    const std::uint32_t ready = load_acquire(memory_.cq_tail) - head;
    const std::uint32_t count = ready < limit ? ready : limit;
    for (std::uint32_t i = 0; i < count; ++i) {
      const io_uring_cqe& cqe = memory_.cqes[(head + i) & memory_.cq_mask];
      out[i].user_data = cqe.user_data;
      out[i].res = cqe.res;
      out[i].flags = cqe.flags;
    }
    store_release(memory_.cq_head, head + count);
    return count;
  }

 private:
  Ring() = default;
  void flush();
  int enter(std::uint32_t min_complete, MonoNs timeout_ns);

  static std::uint32_t load_acquire(const std::uint32_t* at) {
    return __atomic_load_n(at, __ATOMIC_ACQUIRE);
  }
  static void store_release(std::uint32_t* at, std::uint32_t value) {
    __atomic_store_n(at, value, __ATOMIC_RELEASE);
  }

  QueueMemory memory_;
  std::uint32_t sqe_tail_ = 0;       // filled in by us
  std::uint32_t sqe_submitted_ = 0;  // consumed by the kernel
  std::uint32_t features_ = 0;
  std::uint64_t enters_ = 0;
  std::uint64_t overflows_ = 0;
  std::unique_ptr<Backend> backend_;
};

// A ring of equal buffers that the kernel picks from for recv (IORING_REGISTER_PBUF_RING, 5.19).
//
// The kernel takes buffers in the order in which they were given; a bundle takes several that
// follow each other. So each buffer remembers which one was given after it: that stays true until
// the buffer itself is given again, in whatever order completions are handled.
//
// Dies before its ring, and only when no recv that may pick from it is outstanding.
class BufferRing {
 public:
  // `count` is a power of two <= 32768. Registers as buffer group `group` and gives all buffers.
  static Result<std::unique_ptr<BufferRing>> open(Ring& ring, std::uint16_t group,
                                                  std::uint32_t count, std::uint32_t buffer_bytes);
  ~BufferRing();
  BufferRing(const BufferRing&) = delete;
  BufferRing& operator=(const BufferRing&) = delete;

  std::uint16_t group() const { return group_; }
  std::uint32_t buffer_bytes() const { return buffer_bytes_; }
  std::uint32_t count() const { return mask_ + 1; }
  // Buffers that the kernel holds, as far as the completions seen so far tell.
  std::uint32_t free_count() const { return free_; }

  std::uint8_t* data(std::uint16_t bid) const { return memory_ + std::size_t{bid} * buffer_bytes_; }

  // Walks the buffers of one recv completion of `size_bytes` that began in buffer `bid`, in order:
  // visit(bid, span). With bundles one completion may cover several buffers. Call once per
  // completion that carries IORING_CQE_F_BUFFER; give_back() each visited buffer when done with it,
  // which may be inside visit. Returns the number of buffers.
  template <class Visit>
  std::uint32_t consume(std::uint16_t bid, std::uint32_t size_bytes, Visit&& visit) {
    std::uint32_t used = 0;
    std::uint32_t left = size_bytes;
    std::uint16_t current = bid;
    do {
      const std::uint16_t next = next_of_[current];
      const std::uint32_t chunk = left < buffer_bytes_ ? left : buffer_bytes_;
      left -= chunk;
      ++used;
      --free_;
      visit(current, Bytes{data(current), chunk});
      current = next;
    } while (left > 0);
    return used;
  }

  // Returns a buffer to the kernel; visible to it after publish().
  void give_back(std::uint16_t bid) {
    // The first entry's last field is the ring's tail: fields are written one by one.
    io_uring_buf& entry = shared_->bufs[tail_ & mask_];
    entry.addr = reinterpret_cast<std::uintptr_t>(data(bid));
    entry.len = buffer_bytes_;
    entry.bid = bid;
    next_of_[last_given_] = bid;
    last_given_ = bid;
    ++tail_;
    ++free_;
  }
  void publish() {
    __atomic_store_n(&shared_->tail, static_cast<std::uint16_t>(tail_), __ATOMIC_RELEASE);
  }

 private:
  BufferRing() = default;

  Ring* ring_ = nullptr;
  io_uring_buf_ring* shared_ = nullptr;
  std::uint8_t* memory_ = nullptr;
  std::size_t memory_bytes_ = 0;
  std::size_t shared_bytes_ = 0;
  std::uint32_t mask_ = 0;
  std::uint32_t buffer_bytes_ = 0;
  std::uint32_t tail_ = 0;
  std::uint32_t free_ = 0;
  std::uint16_t group_ = 0;
  std::uint16_t last_given_ = 0;
  bool registered_ = false;
  std::unique_ptr<std::uint16_t[]> next_of_;  // bid -> the bid given after it
};

// The backend that enters the kernel. Needs Linux 6.1; older kernels are refused where they lack
// what has no fallback (provided buffer rings).
std::unique_ptr<Backend> make_uring_backend();

// True for kernel releases ("6.14.3-1-amd64") whose receive bundles deliver data out of order:
// 6.13.11 to 6.14.8 (liburing #1409, #1411). Pure.
bool bundles_known_bad(const char* release);

// The names of the set bits, for logs: "single_issuer defer_taskrun ...".
std::string feature_names(std::uint32_t features);

}  // namespace ringgate::io
