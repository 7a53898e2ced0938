#include "engine/io/uring.hpp"

#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "engine/io/abi.hpp"

namespace ringgate::io {
namespace {

int result_or_errno(long result) { return result < 0 ? -errno : static_cast<int>(result); }

struct FlagOfFeature {
  std::uint32_t flag;
  Feature feature;
};
constexpr FlagOfFeature flags_of_features[] = {
    {IORING_SETUP_SINGLE_ISSUER, Feature::single_issuer},
    {IORING_SETUP_DEFER_TASKRUN, Feature::defer_taskrun},
    {IORING_SETUP_COOP_TASKRUN, Feature::coop_taskrun},
    {abi::setup_no_sqarray, Feature::no_sqarray},
};

// Sets of setup flags from best to plainest. A kernel that does not know a flag says EINVAL, and
// the next set is tried.
constexpr std::uint32_t base_flags = IORING_SETUP_SUBMIT_ALL | IORING_SETUP_CQSIZE;
constexpr std::uint32_t defer_flags = base_flags | IORING_SETUP_SINGLE_ISSUER |
                                      IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
constexpr std::uint32_t coop_flags =
    base_flags | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG;
constexpr std::uint32_t peel_list[] = {
    defer_flags | abi::setup_no_sqarray,  // 6.6
    defer_flags,                          // 6.1
    coop_flags | IORING_SETUP_SINGLE_ISSUER | abi::setup_no_sqarray,
    coop_flags | IORING_SETUP_SINGLE_ISSUER,  // 6.0
    coop_flags | abi::setup_no_sqarray,
    coop_flags,  // 5.19
    base_flags | IORING_SETUP_SINGLE_ISSUER,
    base_flags,  // 5.18
};

bool allowed(std::uint32_t flags, std::uint32_t without) {
  for (const FlagOfFeature& row : flags_of_features) {
    if ((flags & row.flag) != 0 && (without & bit(row.feature)) != 0) return false;
  }
  return true;
}

std::uint32_t features_of_flags(std::uint32_t flags) {
  std::uint32_t features = 0;
  for (const FlagOfFeature& row : flags_of_features) {
    if ((flags & row.flag) != 0) features |= bit(row.feature);
  }
  return features;
}

// What was refused, and what a person can do about it.
Error setup_error(int code) {
  switch (code) {
    case EPERM:
    case EACCES:
      return errno_error(
          code,
          "io_uring is refused here. Cure: set sysctl kernel.io_uring_disabled=0; in "
          "a container allow io_uring_setup, io_uring_enter and io_uring_register in "
          "the seccomp profile: ringgate comes with one (Docker: --security-opt "
          "seccomp=/usr/share/ringgate/seccomp.json)");
    case ENOSYS:
      return errno_error(
          code,
          "this kernel has no io_uring. Cure: Linux 6.1 or newer with CONFIG_IO_URING; "
          "some sandboxes (gVisor) do not offer it at all");
    case ENOMEM:
      return errno_error(code,
                         "no memory for an io_uring. Cure: raise the memlock limit (ulimit -l, "
                         "LimitMEMLOCK= of the service) or the container's memory limit");
    case EMFILE:
    case ENFILE:
      return errno_error(code,
                         "no file descriptor left for an io_uring. Cure: raise the open files "
                         "limit (ulimit -n, LimitNOFILE= of the service)");
    case EINVAL:
      return errno_error(code,
                         "this kernel knows none of the io_uring set-ups that ringgate can use. "
                         "Cure: Linux 6.1 or newer");
    default:
      return errno_error(code, "io_uring_setup failed");
  }
}

// A filter may let the set-up pass and refuse what comes after it: better told now than in a turn.
// The errno; 0: both calls are let through.
int refused_call(int fd) {
  const long entered = syscall(__NR_io_uring_enter, fd, 0, 0, 0, nullptr, 0);
  if (entered < 0 && (errno == EPERM || errno == EACCES || errno == ENOSYS)) return errno;
  alignas(io_uring_probe) std::uint8_t probe[sizeof(io_uring_probe)] = {};
  const long registered = syscall(__NR_io_uring_register, fd, IORING_REGISTER_PROBE, probe, 0);
  return registered < 0 && (errno == EPERM || errno == EACCES || errno == ENOSYS) ? errno : 0;
}

}  // namespace

std::unique_ptr<Backend> make_uring_backend() { return std::make_unique<UringBackend>(); }

UringBackend::~UringBackend() {
  // A registered index keeps the ring alive until its thread ends; another thread cannot release
  // it.
  if (fd_ >= 0 && enter_fd_ != fd_ && thread_ == gettid()) {
    io_uring_rsrc_update update{};
    update.offset = static_cast<std::uint32_t>(enter_fd_);
    do_register(IORING_UNREGISTER_RING_FDS, &update, 1);
  }
  if (sqes_ != nullptr) munmap(sqes_, sqes_bytes_);
  if (rings_ != nullptr) munmap(rings_, rings_bytes_);
  if (fd_ >= 0) close(fd_);
}

Result<io_uring_params> UringBackend::create(const RingOptions& options) {
  for (const std::uint32_t flags : peel_list) {
    if (!allowed(flags, options.without)) continue;
    io_uring_params params{};
    params.flags = flags;
    params.cq_entries = options.cq_entries;
    fd_ = result_or_errno(syscall(__NR_io_uring_setup, options.sq_entries, &params));
    if (fd_ >= 0) {
      if (const int refused = refused_call(fd_); refused != 0) return setup_error(refused);
      return params;
    }
    if (fd_ != -EINVAL) return setup_error(-fd_);
  }
  return setup_error(EINVAL);
}

Result<bool> UringBackend::map(const io_uring_params& params, QueueMemory& memory) {
  if ((params.features & IORING_FEAT_SINGLE_MMAP) == 0 ||
      (params.features & IORING_FEAT_EXT_ARG) == 0) {
    return setup_error(EINVAL);  // older than 5.11
  }
  const bool has_array = (params.flags & abi::setup_no_sqarray) == 0;
  const std::size_t sq_end =
      has_array ? params.sq_off.array + params.sq_entries * sizeof(std::uint32_t) : 0;
  const std::size_t cq_end = params.cq_off.cqes + params.cq_entries * sizeof(io_uring_cqe);
  const std::size_t rings_bytes = sq_end > cq_end ? sq_end : cq_end;
  const std::size_t sqes_bytes = params.sq_entries * sizeof(io_uring_sqe);
  const auto map_one = [this](std::size_t size_bytes, off_t offset) {
    return mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_,
                offset);
  };
  void* rings = map_one(rings_bytes, static_cast<off_t>(IORING_OFF_SQ_RING));
  if (rings == MAP_FAILED) return errno_error(errno, "cannot map the io_uring queues");
  rings_ = rings;
  rings_bytes_ = rings_bytes;
  void* sqes = map_one(sqes_bytes, static_cast<off_t>(IORING_OFF_SQES));
  if (sqes == MAP_FAILED) return errno_error(errno, "cannot map the io_uring submission entries");
  sqes_ = sqes;
  sqes_bytes_ = sqes_bytes;

  const auto word = [this](std::uint32_t offset) {
    return reinterpret_cast<std::uint32_t*>(static_cast<std::uint8_t*>(rings_) + offset);
  };
  memory.sq_head = word(params.sq_off.head);
  memory.sq_tail = word(params.sq_off.tail);
  memory.sq_flags = word(params.sq_off.flags);
  memory.sq_mask = *word(params.sq_off.ring_mask);
  memory.sqes = static_cast<io_uring_sqe*>(sqes_);
  memory.cq_head = word(params.cq_off.head);
  memory.cq_tail = word(params.cq_off.tail);
  memory.cq_mask = *word(params.cq_off.ring_mask);
  memory.cqes = reinterpret_cast<io_uring_cqe*>(word(params.cq_off.cqes));
  memory.announces_work = (params.flags & IORING_SETUP_TASKRUN_FLAG) != 0;
  if (has_array) {
    memory.sq_array = word(params.sq_off.array);
    for (std::uint32_t i = 0; i < params.sq_entries; ++i) memory.sq_array[i] = i;
  }
  return true;
}

void UringBackend::register_ring_fd() {
  io_uring_rsrc_update update{};
  update.offset = ~0U;  // any free index
  update.data = static_cast<std::uint64_t>(fd_);
  // One on success. A thread has 16 indices; a ring beyond them enters by its fd.
  if (do_register(IORING_REGISTER_RING_FDS, &update, 1) != 1) return;
  enter_fd_ = static_cast<int>(update.offset);
  enter_flags_ |= IORING_ENTER_REGISTERED_RING;
}

bool UringBackend::knows_opcode(unsigned opcode) {
  constexpr unsigned operations = 256;
  std::vector<std::uint8_t> memory(sizeof(io_uring_probe) +
                                   operations * sizeof(io_uring_probe_op));
  auto* probe = reinterpret_cast<io_uring_probe*>(memory.data());
  if (do_register(IORING_REGISTER_PROBE, probe, operations) < 0) return false;
  return opcode <= probe->last_op && (probe->ops[opcode].flags & IO_URING_OP_SUPPORTED) != 0;
}

Result<std::uint32_t> UringBackend::setup(const RingOptions& options, QueueMemory& memory) {
  thread_ = gettid();
  Result<io_uring_params> params = create(options);
  if (!params) return params.error();
  enter_fd_ = fd_;
  if (Result<bool> mapped = map(*params, memory); !mapped) return mapped.error();

  std::uint32_t features = features_of_flags(params->flags);
  if ((options.without & bit(Feature::registered_ring)) == 0) register_ring_fd();
  if (enter_fd_ != fd_) features |= bit(Feature::registered_ring);
  if (knows_opcode(IORING_OP_MSG_RING)) features |= bit(Feature::msg_ring);
  // Nothing tells of multishot accept (5.19) itself; SEND_ZC came with 6.0.
  if (knows_opcode(IORING_OP_SEND_ZC)) features |= bit(Feature::multishot_accept);
  if (probe_) {
    Result<std::uint32_t> receive = probe_receive(options.without, params->features);
    if (!receive) return receive.error();
    features |= *receive;
  }
  return features & ~options.without;
}

int UringBackend::do_register(unsigned opcode, const void* argument, unsigned count) {
  return result_or_errno(syscall(__NR_io_uring_register, fd_, opcode, argument, count));
}

int UringBackend::enter(std::uint32_t to_submit, std::uint32_t min_complete, MonoNs timeout_ns) {
  // With DEFER_TASKRUN completions appear only inside an enter with GETEVENTS: it is always set.
  const std::uint32_t flags = enter_flags_ | IORING_ENTER_GETEVENTS;
  if (min_complete == 0 || timeout_ns < 0) {
    return result_or_errno(syscall(__NR_io_uring_enter, enter_fd_, to_submit, min_complete, flags,
                                   nullptr, _NSIG / 8));
  }
  __kernel_timespec limit{};
  limit.tv_sec = timeout_ns / ns_per_s;
  limit.tv_nsec = timeout_ns % ns_per_s;
  io_uring_getevents_arg argument{};
  argument.sigmask_sz = _NSIG / 8;
  argument.ts = reinterpret_cast<std::uintptr_t>(&limit);
  return result_or_errno(syscall(__NR_io_uring_enter, enter_fd_, to_submit, min_complete,
                                 flags | IORING_ENTER_EXT_ARG, &argument, sizeof argument));
}

}  // namespace ringgate::io
