// The backend that enters the kernel: io_uring_setup, register and enter by raw system calls,
// because liburing 2.3 does not know NO_SQARRAY. One per ring, on the ring's thread.
#pragma once

#include <sys/types.h>

#include "engine/io/ring.hpp"

namespace ringgate::io {

class UringBackend final : public Backend {
 public:
  // `probe` false leaves the receive features unknown (the ring that probes them is opened so).
  explicit UringBackend(bool probe = true) : probe_(probe) {}
  ~UringBackend() override;
  UringBackend(const UringBackend&) = delete;
  UringBackend& operator=(const UringBackend&) = delete;

  Result<std::uint32_t> setup(const RingOptions& options, QueueMemory& memory) override;
  int do_register(unsigned opcode, const void* argument, unsigned count) override;
  int enter(std::uint32_t to_submit, std::uint32_t min_complete, MonoNs timeout_ns) override;
  int ring_fd() const override { return fd_; }

 private:
  Result<io_uring_params> create(const RingOptions& options);
  Result<bool> map(const io_uring_params& params, QueueMemory& memory);
  void register_ring_fd();
  bool knows_opcode(unsigned opcode);

  bool probe_ = true;
  int fd_ = -1;
  int enter_fd_ = -1;             // the registered index, or fd_
  std::uint32_t enter_flags_ = 0;
  pid_t thread_ = 0;              // registered indices belong to one thread
  void* rings_ = nullptr;         // head, tail, array and CQEs in one mapping (FEAT_SINGLE_MMAP)
  std::size_t rings_bytes_ = 0;
  void* sqes_ = nullptr;
  std::size_t sqes_bytes_ = 0;
};

// Receives over a socket pair into a small buffer ring, on a ring opened for that purpose, and
// compares every byte. Returns which of multishot_recv, recv_bundle and multishot_recvmsg work, of
// those not in `without`.
Result<std::uint32_t> probe_receive(std::uint32_t without, std::uint32_t kernel_features);

}  // namespace ringgate::io
