// The one seam between the doctor and the machine it looks at: files below a root directory, and
// the few things that no file tells. Unit tests stand in for it with trees of their own.
//
// Main thread only. Paths are absolute as the machine has them ("/proc/sys/fs/nr_open").
// Errors carry the errno: ENOENT is "not there", EACCES and EPERM "not for you".
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"

namespace ringgate::doctor {

struct Space {
  std::uint64_t free_bytes = 0;  // for programs without privileges
  std::uint64_t total_bytes = 0;
};

// Durable overwrites of one file, one at a time.
struct WriteTimes {
  std::uint64_t count = 0;
  double p50_ns = 0;
  double p99_ns = 0;
  double max_ns = 0;
  bool direct = false;  // past the page cache; else buffered with fdatasync
};

// 0 to 1 of a measurement that takes a while.
using Progress = std::function<void(double)>;

class Machine {
 public:
  virtual ~Machine() = default;

  virtual Result<std::string> read(const std::string& path) = 0;
  virtual Result<std::vector<std::string>> list(const std::string& path) = 0;  // sorted names

  virtual Result<std::string> kernel_release() = 0;  // "6.1.0-18-amd64"
  virtual Result<std::vector<int>> usable_cpus() = 0;  // of this process, in order
  virtual Result<Space> space(const std::string& directory) = 0;

  // Opens `count` rings as a gateway's shards do, at once; the io::Feature bits that all have.
  virtual Result<std::uint32_t> try_rings(unsigned count) = 0;
  // Overwrites a nameless file in `directory` for `duration_ns`, `size_bytes` at a time.
  virtual Result<WriteTimes> time_writes(const std::string& directory, std::uint32_t size_bytes,
                                         MonoNs duration_ns, const Progress& progress) = 0;
  virtual Result<double> clock_read_ns() = 0;  // one clock_gettime(CLOCK_MONOTONIC)
  // Whether the kernel's clock is kept by something (adjtimex without STA_UNSYNC).
  virtual Result<bool> clock_is_kept() = 0;
  // Nanoseconds that first touching 2 MiB of fresh memory takes: where the kernel hands out huge
  // pages, and where it is told not to. Medians.
  struct Touch {
    double huge_ns = 0;
    double small_ns = 0;
  };
  virtual Result<Touch> first_touch() = 0;
  // How much longer the same work takes on both CPUs at once than on one alone: 1.0 to 2.0.
  virtual Result<double> slowdown_together(int cpu, int other) = 0;
  // Datagrams of 100 bytes that a socket holds which asked for `buffer_bytes` (SO_RCVBUF).
  virtual Result<std::uint32_t> datagrams_held(int buffer_bytes) = 0;

  // /bin/sh -c; its exit code. Only for cures that somebody asked to be applied.
  virtual Result<int> run(const std::string& command) = 0;
};

// The real one. `root` stands before every path ("" on the machine itself); what no file tells is
// of the running machine.
class RealMachine final : public Machine {
 public:
  explicit RealMachine(std::string root = {}) : root_(std::move(root)) {}

  Result<std::string> read(const std::string& path) override;
  Result<std::vector<std::string>> list(const std::string& path) override;
  Result<std::string> kernel_release() override;
  Result<std::vector<int>> usable_cpus() override;
  Result<Space> space(const std::string& directory) override;
  Result<std::uint32_t> try_rings(unsigned count) override;
  Result<WriteTimes> time_writes(const std::string& directory, std::uint32_t size_bytes,
                                 MonoNs duration_ns, const Progress& progress) override;
  Result<double> clock_read_ns() override;
  Result<bool> clock_is_kept() override;
  Result<Touch> first_touch() override;
  Result<double> slowdown_together(int cpu, int other) override;
  Result<std::uint32_t> datagrams_held(int buffer_bytes) override;
  Result<int> run(const std::string& command) override;

 private:
  std::string root_;
};

}  // namespace ringgate::doctor
