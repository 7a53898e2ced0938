// The simulated kernel side of a ring: takes SQEs, starts, cancels and completes operations.
#include <algorithm>
#include <cstring>

#include "engine/io/abi.hpp"
#include "engine/io/sim_core.hpp"

namespace ringgate::io {
namespace {

class SimBackend final : public Backend {
 public:
  explicit SimBackend(SimCore& core) : core_(core) {}
  ~SimBackend() override {
    if (ring_ != sim_none) core_.close_ring(ring_);
  }
  SimBackend(const SimBackend&) = delete;
  SimBackend& operator=(const SimBackend&) = delete;

  Result<std::uint32_t> setup(const RingOptions& options, QueueMemory& memory) override {
    ring_ = core_.open_ring(options, memory);
    return core_.ring(ring_).features;
  }
  int do_register(unsigned opcode, const void* argument, unsigned) override {
    return core_.register_with(ring_, opcode, argument);
  }
  int enter(std::uint32_t to_submit, std::uint32_t min_complete, MonoNs timeout_ns) override {
    return core_.enter(ring_, to_submit, min_complete, timeout_ns);
  }
  int ring_fd() const override { return sim_first_ring_fd + static_cast<int>(ring_); }

 private:
  SimCore& core_;
  std::uint32_t ring_ = sim_none;
};

bool is_send(const SimOp& op) {
  return op.sqe.opcode == IORING_OP_SEND || op.sqe.opcode == IORING_OP_SENDMSG;
}

}  // namespace

std::unique_ptr<Backend> make_sim_backend(SimCore& core) {
  return std::make_unique<SimBackend>(core);
}

// ---- Set-up

std::uint32_t SimCore::open_ring(const RingOptions& wanted, QueueMemory& memory) {
  rings_.push_back(std::make_unique<SimRing>());
  SimRing& made = *rings_.back();
  made.used = true;
  made.features = options.features & ~wanted.without;
  if ((made.features & bit(Feature::single_issuer)) == 0) {
    made.features &= ~bit(Feature::defer_taskrun);
  }
  if ((made.features & bit(Feature::multishot_recv)) == 0) {
    made.features &= ~bit(Feature::recv_bundle);
  }
  made.deferred = (made.features & bit(Feature::defer_taskrun)) != 0;
  made.words.resize(8);
  made.sqes.resize(wanted.sq_entries);
  made.cqe_memory.reset(new std::uint64_t[std::size_t{wanted.cq_entries} * 2]);
  QueueMemory& queues = made.memory;
  queues.sq_head = &made.words[0];
  queues.sq_tail = &made.words[1];
  queues.sq_flags = &made.words[2];
  queues.cq_head = &made.words[3];
  queues.cq_tail = &made.words[4];
  queues.sq_mask = wanted.sq_entries - 1;
  queues.cq_mask = wanted.cq_entries - 1;
  queues.sqes = made.sqes.data();
  queues.cqes = reinterpret_cast<io_uring_cqe*>(made.cqe_memory.get());
  memory = queues;
  return static_cast<std::uint32_t>(rings_.size() - 1);
}

void SimCore::close_ring(std::uint32_t index) {
  for (std::uint32_t i = 0; i < ops_.size(); ++i) {
    SimOp& one = ops_[i];
    if (!one.used || one.ring != index) continue;
    // The disk finishes what it began, unless the plug was pulled.
    if (one.under_way && !crashed) disk_done(i);
    stop_waiting(i);
    drop_target(one);
    one.used = false;
    ++one.serial;
    free_ops_.push_back(i);
  }
  rings_[index] = std::make_unique<SimRing>();
}

int SimCore::register_with(std::uint32_t index, unsigned opcode, const void* argument) {
  SimRing& at = *rings_[index];
  const auto* wanted = static_cast<const io_uring_buf_reg*>(argument);
  switch (opcode) {
    case IORING_REGISTER_PBUF_RING: {
      if (at.groups.contains(wanted->bgid)) return -EEXIST;
      SimBufferGroup& group = at.groups[wanted->bgid];
      group.shared = reinterpret_cast<io_uring_buf_ring*>(wanted->ring_addr);
      group.mask = wanted->ring_entries - 1;
      return 0;
    }
    case IORING_UNREGISTER_PBUF_RING:
      return at.groups.erase(wanted->bgid) == 1 ? 0 : -ENOENT;
    default:
      return -EINVAL;  // what a kernel says that does not know the opcode
  }
}

std::uint32_t SimCore::ring_of_fd(int fd) const {
  const int index = fd - sim_first_ring_fd;
  if (index < 0 || index >= static_cast<int>(rings_.size())) return sim_none;
  return rings_[static_cast<std::size_t>(index)]->used ? static_cast<std::uint32_t>(index)
                                                       : sim_none;
}

// ---- Entering

int SimCore::enter(std::uint32_t index, std::uint32_t count, std::uint32_t min_complete,
                   MonoNs timeout) {
  if (crashed) return -EBADF;
  SimRing& at = *rings_[index];
  now += options.enter_cost_ns;
  const int submitted = static_cast<int>(submit(index, count));
  run_due();
  run_work(index);
  flush_overflow(at);
  const MonoNs deadline = timeout < 0 ? -1 : now + timeout;
  int error = 0;
  while (ready(at) < min_complete) {
    if (!at.overflow.empty()) {
      error = -EBUSY;  // the kernel does not wait while it holds completions that found no place
      break;
    }
    MonoNs next = 0;
    const bool found = next_event_at(next) && (deadline < 0 || next <= deadline);
    if (!found) {
      // Nothing will ever happen: as a signal would, give the test its turn.
      error = deadline < 0 ? -EINTR : -ETIME;
      now = std::max(now, deadline);
      break;
    }
    now = std::max(now, next);
    run_due();
    run_work(index);
    flush_overflow(at);
  }
  trace(static_cast<std::uint64_t>(now));
  return submitted > 0 || error == 0 ? submitted : error;
}

std::uint32_t SimCore::submit(std::uint32_t index, std::uint32_t count) {
  SimRing& at = *rings_[index];
  std::uint32_t head = *at.memory.sq_head;
  std::uint32_t first = sim_none;  // of the chain being gathered
  std::uint32_t last = sim_none;
  for (std::uint32_t i = 0; i < count; ++i, ++head) {
    const std::uint32_t op = new_op(index, at.memory.sqes[head & at.memory.sq_mask]);
    if (last != sim_none) ops_[last].next = op;
    if (first == sim_none) first = op;
    const bool links = (ops_[op].sqe.flags & (IOSQE_IO_LINK | IOSQE_IO_HARDLINK)) != 0;
    last = links ? op : sim_none;
    // A chain ends where the submission ends, as in the kernel.
    if (links && i + 1 < count) continue;
    start(first);
    first = sim_none;
    last = sim_none;
  }
  *at.memory.sq_head = head;
  return count;
}

std::uint32_t SimCore::ready(const SimRing& at) const {
  return *at.memory.cq_tail - *at.memory.cq_head;
}

bool SimCore::push(SimRing& at, const SimCompletion& completion) {
  if (ready(at) > at.memory.cq_mask) return false;
  io_uring_cqe& cqe = at.memory.cqes[*at.memory.cq_tail & at.memory.cq_mask];
  cqe.user_data = completion.user_data;
  cqe.res = completion.result;
  cqe.flags = completion.flags;
  ++*at.memory.cq_tail;
  return true;
}

void SimCore::flush_overflow(SimRing& at) {
  while (!at.overflow.empty() && push(at, at.overflow.front())) at.overflow.pop_front();
  *at.memory.sq_flags = at.overflow.empty() ? 0 : IORING_SQ_CQ_OVERFLOW;
}

void SimCore::post(std::uint32_t index, std::uint64_t user_data, std::int32_t result,
                   std::uint32_t flags) {
  SimRing& at = *rings_[index];
  trace(user_data);
  trace(static_cast<std::uint64_t>(now) ^ static_cast<std::uint64_t>(result) << 20 ^ flags);
  const SimCompletion completion{user_data, result, flags};
  if (at.overflow.empty() && push(at, completion)) return;
  at.overflow.push_back(completion);
  *at.memory.sq_flags = IORING_SQ_CQ_OVERFLOW;
}

bool SimCore::post_more(const SimOp& from, std::int32_t result, std::uint32_t flags) {
  SimRing& at = *rings_[from.ring];
  if (!at.overflow.empty() || ready(at) > at.memory.cq_mask) return false;
  post(from.ring, from.sqe.user_data, result, flags | IORING_CQE_F_MORE);
  return true;
}

// ---- Work: what DEFER_TASKRUN leaves to the next enter

void SimCore::enqueue_work(std::uint32_t index, const SimWork& work) {
  if (!rings_[index]->used) return;
  if (rings_[index]->deferred) {
    rings_[index]->work.push_back(work);
  } else {
    do_work(index, work);
  }
}

void SimCore::run_work(std::uint32_t index) {
  std::deque<SimWork>& work = rings_[index]->work;
  while (!work.empty()) {
    const SimWork next = work.front();
    work.pop_front();
    do_work(index, next);
  }
}

void SimCore::do_work(std::uint32_t index, const SimWork& work) {
  if (work.kind == SimWork::Kind::post) {
    post(index, work.user_data, work.result, 0);
    return;
  }
  if (!ops_[work.op].used || ops_[work.op].serial != work.serial) return;  // cancelled meanwhile
  if (work.kind == SimWork::Kind::try_op) {
    try_op(work.op);
  } else {
    finish(work.op, ops_[work.op].result);
  }
}

// ---- Operations

std::uint32_t SimCore::new_op(std::uint32_t index, const io_uring_sqe& sqe) {
  if (free_ops_.empty()) {
    ops_.emplace_back();
    free_ops_.push_back(static_cast<std::uint32_t>(ops_.size() - 1));
  }
  const std::uint32_t at = free_ops_.back();
  free_ops_.pop_back();
  SimOp& made = ops_[at];
  const std::uint32_t serial = made.serial;
  std::vector<std::uint8_t> bytes = std::move(made.bytes);
  bytes.clear();
  made = SimOp{};
  made.used = true;
  made.serial = serial;
  made.ring = index;
  made.sqe.opcode = sqe.opcode;
  made.sqe.flags = sqe.flags;
  made.sqe.ioprio = sqe.ioprio;
  made.sqe.fd = sqe.fd;
  made.sqe.off = sqe.off;
  made.sqe.addr = sqe.addr;
  made.sqe.len = sqe.len;
  made.sqe.op_flags = sqe.msg_flags;
  made.sqe.user_data = sqe.user_data;
  made.sqe.buf_group = sqe.buf_group;
  made.bytes = std::move(bytes);
  return at;
}

std::uint32_t SimCore::operations_outstanding() const {
  return static_cast<std::uint32_t>(
      std::ranges::count_if(ops_, [](const SimOp& one) { return one.used; }));
}

bool SimCore::resolve_target(SimOp& at) {
  if (SimDescriptor* found = descriptor(at.sqe.fd)) {
    at.object = found->index;
    if (found->kind == SimDescriptor::Kind::socket) {
      at.target = SimTarget::socket;
      ++sockets_[at.object]->references;
    } else {
      at.target = SimTarget::file;
      ++files_[at.object].references;
    }
    return true;
  }
  if (at.sqe.fd < 0 || at.sqe.fd >= sim_first_fd) return false;
  at.target = SimTarget::event;
  at.object = static_cast<std::uint32_t>(at.sqe.fd);
  return true;
}

void SimCore::drop_target(SimOp& at) {
  const SimTarget target = at.target;
  at.target = SimTarget::none;
  if (target == SimTarget::socket) release_socket(at.object);
  if (target == SimTarget::file) release_file(at.object);
}

void SimCore::start(std::uint32_t index) {
  SimOp& at = ops_[index];
  at.started = true;
  switch (at.sqe.opcode) {
    case IORING_OP_NOP:
      return finish(index, 0);
    case IORING_OP_CLOSE:
      return finish(index, close_descriptor(at.sqe.fd));
    case IORING_OP_MSG_RING:
      return start_message(index);
    case IORING_OP_ASYNC_CANCEL:
      return start_cancel(index);
    case IORING_OP_TIMEOUT: {
      const auto* wanted = reinterpret_cast<const __kernel_timespec*>(at.sqe.addr);
      MonoNs delay = wanted->tv_sec * ns_per_s + wanted->tv_nsec;
      if ((at.sqe.op_flags & IORING_TIMEOUT_ABS) != 0) delay = std::max<MonoNs>(0, delay - now);
      return schedule(delay, SimEventKind::expired, index, at.serial);
    }
    default:
      break;
  }
  if (!resolve_target(at)) return finish(index, -EBADF);
  switch (at.sqe.opcode) {
    case IORING_OP_ACCEPT:
    case IORING_OP_RECV:
    case IORING_OP_RECVMSG:
      if (random.below(2) == 0) return try_op(index);
      return wake_op(index, random.between(0, options.wake_delay_max_ns));
    case IORING_OP_SEND:
    case IORING_OP_SENDMSG:
    case IORING_OP_CONNECT:
      return try_op(index);
    case IORING_OP_SHUTDOWN:  // always done by a worker thread
      return wake_op(index, random.between(0, options.wake_delay_max_ns));
    case IORING_OP_READ:
    case IORING_OP_WRITE:
    case IORING_OP_WRITEV:
    case IORING_OP_FSYNC:
      return at.target == SimTarget::event ? try_op(index) : start_file_op(index);
    case IORING_OP_POLL_ADD:
      return try_op(index);
    default:
      return finish(index, -EINVAL);
  }
}

void SimCore::try_op(std::uint32_t index) {
  SimOp& at = ops_[index];
  if (at.target == SimTarget::event) return try_event_fd(index);
  if (at.target != SimTarget::socket) return finish(index, -ENOTSOCK);
  switch (at.sqe.opcode) {
    case IORING_OP_ACCEPT:
      return try_accept(index);
    case IORING_OP_RECV:
      return try_receive(index);
    case IORING_OP_RECVMSG:
      return try_receive_datagram(index);
    case IORING_OP_CONNECT:
      return try_connect(index);
    case IORING_OP_SHUTDOWN:
      return try_shutdown(index);
    default:
      if (!is_send(at)) return finish(index, -EINVAL);
      return sockets_[at.object]->datagram ? try_send_datagram(index) : try_send(index);
  }
}

void SimCore::finish(std::uint32_t index, std::int32_t result, std::uint32_t flags) {
  stop_waiting(index);
  SimOp& at = ops_[index];
  const std::uint32_t next = at.next;
  const std::uint32_t in_ring = at.ring;
  const std::uint64_t user_data = at.sqe.user_data;
  const bool hard = (at.sqe.flags & IOSQE_IO_HARDLINK) != 0;
  const bool broken = (result < 0 || at.was_short) && !hard;
  const bool silent = (at.sqe.flags & IOSQE_CQE_SKIP_SUCCESS) != 0 && result >= 0;
  at.used = false;
  ++at.serial;
  drop_target(at);
  free_ops_.push_back(index);
  if (!silent) post(in_ring, user_data, result, flags);
  if (next == sim_none) return;
  if (broken) {
    finish(next, -ECANCELED);
  } else {
    start(next);
  }
}

// ---- Waiting

void SimCore::wait_on(std::vector<std::uint32_t>& waiting, std::uint32_t index) {
  if (std::ranges::find(waiting, index) == waiting.end()) waiting.push_back(index);
}

void SimCore::stop_waiting(std::uint32_t index) {
  const SimOp& at = ops_[index];
  if (at.target == SimTarget::socket) std::erase(sockets_[at.object]->waiting, index);
  if (at.target == SimTarget::event) {
    std::erase(event_fds_[static_cast<int>(at.object)].waiting, index);
  }
}

void SimCore::wake(std::vector<std::uint32_t>& waiting) {
  for (const std::uint32_t index : waiting) {
    if (!ops_[index].wake_scheduled) wake_op(index, random.between(0, options.wake_delay_max_ns));
  }
}

void SimCore::wake_op(std::uint32_t index, MonoNs delay) {
  ops_[index].wake_scheduled = true;
  schedule(delay, SimEventKind::try_op, index, ops_[index].serial);
}

// An eventfd: 8-byte reads wait for the counter, writes add to it, polls report it.
void SimCore::try_event_fd(std::uint32_t index) {
  SimOp& at = ops_[index];
  SimEventFd& event = event_fds_[static_cast<int>(at.object)];
  auto* memory = reinterpret_cast<std::uint8_t*>(at.sqe.addr);
  switch (at.sqe.opcode) {
    case IORING_OP_WRITE: {
      if (at.sqe.len != sizeof(std::uint64_t)) return finish(index, -EINVAL);
      event.counter += load_native<std::uint64_t>(memory);
      finish(index, sizeof(std::uint64_t));
      return wake(event.waiting);
    }
    case IORING_OP_READ:
      if (at.sqe.len < sizeof(std::uint64_t)) return finish(index, -EINVAL);
      if (event.counter == 0) return wait_on(event.waiting, index);
      store_native(memory, event.counter);
      event.counter = 0;
      return finish(index, sizeof(std::uint64_t));
    case IORING_OP_POLL_ADD: {
      constexpr std::int32_t readable = 1;  // POLLIN
      if (event.counter == 0) return wait_on(event.waiting, index);
      const bool more = (at.sqe.len & IORING_POLL_ADD_MULTI) != 0;
      if (!more || random.chance(options.end_multishot) || !post_more(at, readable, 0)) {
        return finish(index, readable);
      }
      return wait_on(event.waiting, index);
    }
    default:
      return finish(index, -ENOTSOCK);
  }
}

// ---- Messages and cancelling

void SimCore::start_message(std::uint32_t index) {
  const SimOp& at = ops_[index];
  if ((rings_[at.ring]->features & bit(Feature::msg_ring)) == 0) return finish(index, -EINVAL);
  const std::uint32_t target = ring_of_fd(at.sqe.fd);
  if (target == sim_none) return finish(index, -EBADFD);
  enqueue_work(target, {SimWork::Kind::post, 0, 0, at.sqe.off,
                        static_cast<std::int32_t>(at.sqe.len)});
  finish(index, 0);
}

bool SimCore::cancel_matches(const SimOp& target, const SimOp& cancel) const {
  if (!target.used || !target.started || target.ring != cancel.ring || &target == &cancel) {
    return false;
  }
  if (target.sqe.opcode == IORING_OP_ASYNC_CANCEL) return false;
  if ((cancel.sqe.op_flags & IORING_ASYNC_CANCEL_ANY) != 0) return true;
  if ((cancel.sqe.op_flags & IORING_ASYNC_CANCEL_FD) != 0) {
    return target.target == cancel.target && target.object == cancel.object;
  }
  return target.sqe.user_data == cancel.sqe.addr;
}

void SimCore::start_cancel(std::uint32_t index) {
  SimOp& cancel = ops_[index];
  const bool all = (cancel.sqe.op_flags & (IORING_ASYNC_CANCEL_ALL | IORING_ASYNC_CANCEL_ANY)) != 0;
  const bool by_fd = (cancel.sqe.op_flags & IORING_ASYNC_CANCEL_FD) != 0;
  if (by_fd && !resolve_target(cancel)) return finish(index, -EBADF);
  std::vector<std::pair<std::uint32_t, std::uint32_t>> found;
  std::int32_t result = -ENOENT;
  for (std::uint32_t i = 0; i < ops_.size(); ++i) {
    if (!cancel_matches(ops_[i], cancel)) continue;
    if (ops_[i].under_way || ops_[i].sqe.opcode == IORING_OP_SHUTDOWN) {
      result = -EALREADY;
      continue;
    }
    found.emplace_back(i, ops_[i].serial);
    if (!all) break;
  }
  if (all) {
    result = static_cast<std::int32_t>(found.size());
  } else if (!found.empty()) {
    result = 0;
  }
  const bool cancel_first = random.below(2) == 0;
  if (cancel_first) finish(index, result);
  for (const auto& [op, serial] : found) {
    if (ops_[op].used && ops_[op].serial == serial) finish(op, -ECANCELED);
  }
  if (!cancel_first) finish(index, result);
}

}  // namespace ringgate::io
