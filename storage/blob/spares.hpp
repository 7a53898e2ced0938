// Files that retention has taken from the stored ones and that the next uploads are written over:
// their blocks are allocated and initialised, so that a durable file costs the file system little
// more than its bytes. BLOB.md says why that is worth it.
//
// The keeper fills the slots, any shard takes from them: a slot is one atomic word, and nobody
// waits for anybody. A spare lies in partial/ as "spare-<slot>". What it holds is nobody's any
// more, and no name of a stored file leads to it, not after a power cut either: whoever fills a
// slot has made that durable before.
#pragma once

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdint>
#include <string>

#include "engine/io/sys.hpp"
#include "storage/blob/limits.hpp"

namespace ringgate::blob {

class Spares {
 public:
  static constexpr std::uint32_t none = ~0U;

  // `room_bytes`: of all spares together; 0: there are none.
  Spares(io::Sys& sys, std::string directory, std::uint64_t room_bytes)
      : sys_(sys), directory_(std::move(directory)), room_bytes_(room_bytes) {}

  std::uint64_t room_bytes() const { return room_bytes_; }
  std::uint64_t bytes() const { return bytes_.load(std::memory_order_relaxed); }

  // Any thread. Gives the spare that fits best the name `to`, which nobody must have. False: there
  // is none, or the name is taken.
  bool take(std::uint64_t size_bytes, const std::string& to);

  // The keeper's thread. An empty slot for a file of this size, where need be after the oldest have
  // gone; it is held until publish() or drop(). none: such a file is better removed.
  std::uint32_t hold(std::uint64_t size_bytes);
  std::string path(std::uint32_t slot) const;
  void publish(std::uint32_t slot, std::uint64_t size_bytes);
  void drop(std::uint32_t slot, std::uint64_t size_bytes);  // a held one, with its file
  // Removes all of them.
  void clear();

 private:
  static constexpr std::uint64_t empty = 0;
  static constexpr std::uint64_t held = ~0ULL;
  bool remove_oldest();
  bool remove_spare(std::uint32_t slot);

  io::Sys& sys_;
  std::string directory_;
  std::uint64_t room_bytes_;
  std::array<std::atomic<std::uint64_t>, spares_max> slots_{};  // empty, held, or a size in bytes
  std::array<std::uint64_t, spares_max> ages_{};  // the keeper's: the order in which they came
  std::uint64_t next_age_ = 1;
  std::atomic<std::uint64_t> bytes_{0};
};

}  // namespace ringgate::blob
