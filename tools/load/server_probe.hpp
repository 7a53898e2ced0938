// What the measured server costs, from /proc: CPU time of all its threads and its own memory.
// Cold; any thread.
#pragma once

#include <cstdint>

#include "engine/base/result.hpp"

namespace ringgate::load {

struct ServerUse {
  std::int64_t cpu_ns = 0;           // of all threads that are alive
  std::uint64_t rss_bytes = 0;
  std::uint64_t uss_bytes = 0;       // private clean + private dirty
  std::uint64_t anonymous_bytes = 0; // private memory that no file backs
};

// CPU time only: cheap enough to read at the edges of a measured window.
Result<std::int64_t> server_cpu_ns(int pid);
// Everything.
Result<ServerUse> server_use(int pid);

}  // namespace ringgate::load
