#include "engine/io/ring.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <iterator>
#include <string_view>

#include "engine/io/feature_names.hpp"

namespace ringgate::io {
namespace {

constexpr std::size_t page_bytes = 4096;
constexpr std::size_t huge_page_bytes = std::size_t{2} << 20;

bool power_of_two(std::uint32_t value) { return value != 0 && (value & (value - 1)) == 0; }

// Zeroed pages; from 2 MiB on aligned so that the kernel can back them with huge pages. Null when
// there is no memory.
std::uint8_t* map_pages(std::size_t size_bytes) {
  const bool huge = size_bytes >= huge_page_bytes;
  const std::size_t extra = huge ? huge_page_bytes : 0;
  void* raw = mmap(nullptr, size_bytes + extra, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
                   -1, 0);
  if (raw == MAP_FAILED) return nullptr;
  auto* at = static_cast<std::uint8_t*>(raw);
  if (!huge) return at;
  const std::uintptr_t begin = reinterpret_cast<std::uintptr_t>(at);
  const std::size_t skip = static_cast<std::size_t>(align_up(begin, huge_page_bytes) - begin);
  if (skip != 0) munmap(at, skip);
  if (extra != skip) munmap(at + skip + size_bytes, extra - skip);
  // Refused where transparent huge pages are compiled out: small pages do as well.
  static_cast<void>(madvise(at + skip, size_bytes, MADV_HUGEPAGE));
  return at + skip;
}

}  // namespace

Result<std::unique_ptr<Ring>> Ring::open(std::unique_ptr<Backend> backend,
                                         const RingOptions& options) {
  if (!power_of_two(options.sq_entries) || options.sq_entries > 32768 ||
      !power_of_two(options.cq_entries) || options.cq_entries > 65536 ||
      options.cq_entries < options.sq_entries) {
    return errno_error(EINVAL,
                       "ring sizes: sq_entries (at most 32768) and cq_entries (at most 65536, not "
                       "below sq_entries) must be powers of two");
  }
  std::unique_ptr<Ring> ring{new Ring};
  ring->backend_ = std::move(backend);
  Result<std::uint32_t> features = ring->backend_->setup(options, ring->memory_);
  if (!features) return features.error();
  RG_CHECK((*features & options.without) == 0);
  ring->features_ = *features;
  ring->sqe_tail_ = *ring->memory_.sq_tail;
  ring->sqe_submitted_ = ring->sqe_tail_;
  return ring;
}

int Ring::enter(std::uint32_t min_complete, MonoNs timeout_ns) {
  const std::uint32_t pending = sqe_tail_ - sqe_submitted_;
  if (pending != 0) store_release(memory_.sq_tail, sqe_tail_);
  ++enters_;
  const int result = backend_->enter(pending, min_complete, timeout_ns);
  if ((__atomic_load_n(memory_.sq_flags, __ATOMIC_RELAXED) & IORING_SQ_CQ_OVERFLOW) != 0) {
    ++overflows_;
  }
  if (result >= 0) {
    sqe_submitted_ += static_cast<std::uint32_t>(result);
    return 0;
  }
  switch (result) {
    case -ETIME:   // the timeout passed first
    case -EINTR:   // a signal came first
    case -EBUSY:   // the completion queue is full: the kernel keeps the rest until we have drained
    case -EAGAIN:  // no memory for a request now: the SQEs stay queued
    case -ENOMEM:  // likewise
      return 0;
    default:
      // EBADR: a completion was lost for want of memory. EFAULT, EINVAL, EBADF, ENXIO, EEXIST: we
      // named memory, flags, an fd or a thread that are not ours. No operation's fate is known now.
      return result;
  }
}

int Ring::submit_and_wait(std::uint32_t min_complete, MonoNs timeout_ns) {
  if (timeout_ns == 0) min_complete = 0;
  if (min_complete == 0 && !has_unsubmitted() && memory_.announces_work &&
      __atomic_load_n(memory_.sq_flags, __ATOMIC_RELAXED) == 0) {
    return 0;
  }
  return enter(min_complete, timeout_ns);
}

// The kernel consumes SQEs when it is entered, so one enter makes room; only a kernel without
// memory leaves some. It gets as many tries as a person would wait for, then the process ends: the
// caller has no way to go on without its SQE.
void Ring::flush() {
  constexpr int tries = 100'000;
  for (int i = 0; i < tries; ++i) {
    const std::uint32_t before = sqe_submitted_;
    RG_CHECK(enter(0, 0) == 0);
    if (sqe_submitted_ == sqe_tail_ || (i > 0 && sqe_submitted_ != before)) return;
  }
  RG_CHECK(false && "the kernel takes no more submissions (out of memory)");
}

Result<std::unique_ptr<BufferRing>> BufferRing::open(Ring& ring, std::uint16_t group,
                                                     std::uint32_t count,
                                                     std::uint32_t buffer_bytes) {
  if (!power_of_two(count) || count > 32768 || buffer_bytes == 0) {
    return errno_error(EINVAL, "buffer ring: the count must be a power of two up to 32768");
  }
  std::unique_ptr<BufferRing> buffers{new BufferRing};
  buffers->ring_ = &ring;
  buffers->group_ = group;
  buffers->mask_ = count - 1;
  buffers->buffer_bytes_ = buffer_bytes;
  buffers->memory_bytes_ = align_up(std::size_t{count} * buffer_bytes, page_bytes);
  buffers->shared_bytes_ = align_up(count * sizeof(io_uring_buf), page_bytes);
  buffers->memory_ = map_pages(buffers->memory_bytes_);
  std::uint8_t* shared = map_pages(buffers->shared_bytes_);
  if (shared != nullptr) buffers->shared_ = reinterpret_cast<io_uring_buf_ring*>(shared);
  if (buffers->memory_ == nullptr || shared == nullptr) {
    return errno_error(ENOMEM, "cannot map " + std::to_string(buffers->memory_bytes_) +
                                   " bytes of receive buffers");
  }
  buffers->next_of_ = std::make_unique<std::uint16_t[]>(count);
  io_uring_buf_reg registration{};
  registration.ring_addr = reinterpret_cast<std::uintptr_t>(shared);
  registration.ring_entries = count;
  registration.bgid = group;
  const int result = ring.backend().do_register(IORING_REGISTER_PBUF_RING, &registration, 1);
  if (result < 0) {
    return errno_error(-result, "cannot register a provided buffer ring (needs Linux 5.19; "
                                "ENOMEM: raise the memlock limit, ulimit -l)");
  }
  buffers->registered_ = true;
  for (std::uint32_t bid = 0; bid < count; ++bid) {
    buffers->give_back(static_cast<std::uint16_t>(bid));
  }
  buffers->publish();
  return buffers;
}

BufferRing::~BufferRing() {
  if (registered_) {
    io_uring_buf_reg registration{};
    registration.bgid = group_;
    // Fails only where the ring is gone already, and the registration with it.
    static_cast<void>(
        ring_->backend().do_register(IORING_UNREGISTER_PBUF_RING, &registration, 1));
  }
  if (shared_ != nullptr) munmap(shared_, shared_bytes_);
  if (memory_ != nullptr) munmap(memory_, memory_bytes_);
}

bool bundles_known_bad(const char* release) {
  unsigned major = 0;
  unsigned minor = 0;
  unsigned patch = 0;
  if (std::sscanf(release, "%u.%u.%u", &major, &minor, &patch) < 2) return false;
  if (major != 6) return false;
  return (minor == 13 && patch >= 11) || (minor == 14 && patch <= 8);
}

namespace {

constexpr std::string_view names_of_features[] = {
    "single_issuer",    "defer_taskrun",  "coop_taskrun", "no_sqarray", "registered_ring",
    "multishot_accept", "multishot_recv", "recv_bundle",  "msg_ring",
    "multishot_recvmsg"};

}  // namespace

std::string feature_names(std::uint32_t features) {
  std::string text;
  for (std::uint32_t i = 0; i < std::size(names_of_features); ++i) {
    if ((features & 1U << i) == 0) continue;
    if (!text.empty()) text += ' ';
    text += names_of_features[i];
  }
  return text;
}

Result<std::uint32_t> features_from_names(std::string_view names) {
  std::uint32_t features = 0;
  while (!names.empty()) {
    const std::string_view name = names.substr(0, names.find_first_of(" ,"));
    names.remove_prefix(name.size() < names.size() ? name.size() + 1 : name.size());
    if (name.empty()) continue;
    std::uint32_t i = 0;
    while (i < std::size(names_of_features) && names_of_features[i] != name) ++i;
    if (i == std::size(names_of_features)) {
      std::string message{name};
      message += ": no feature of a ring has this name; there are: ";
      message += feature_names(~0U);
      return Error{0, std::move(message)};
    }
    features |= 1U << i;
  }
  return features;
}

}  // namespace ringgate::io
