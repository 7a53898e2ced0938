// The simulated disk: a tree of directories and files, each with what is durable and what a crash
// may take away. See sim.hpp for the fault model. Knows no clock and no rings.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/io/sys.hpp"

namespace ringgate::io {

// xorshift64*: small, good enough to choose faults, the same everywhere.
class SimRandom {
 public:
  explicit SimRandom(std::uint64_t seed) : state_(seed * 0x9e3779b97f4a7c15U + 0x7f4a7c15U) {
    if (state_ == 0) state_ = 1;
    for (int i = 0; i < 4; ++i) next();
  }
  std::uint64_t next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545f4914f6cdd1dU;
  }
  std::uint64_t below(std::uint64_t bound) { return bound == 0 ? 0 : (next() >> 11) % bound; }
  std::int64_t between(std::int64_t low, std::int64_t high) {
    if (high <= low) return low;
    return low + static_cast<std::int64_t>(below(static_cast<std::uint64_t>(high - low) + 1));
  }
  bool chance(std::uint32_t per_thousand) {
    return per_thousand != 0 && below(1000) < per_thousand;
  }

 private:
  std::uint64_t state_;
};

constexpr std::uint64_t sim_sector_bytes = 512;
using SimSector = std::array<std::uint8_t, sim_sector_bytes>;

// What a sector may hold after a crash, besides its current content.
struct SimDirtySector {
  std::vector<SimSector> earlier;  // the first is the durable one
  bool lost = false;               // a sync of it failed: no later one makes it durable
};

struct SimDirectoryChange {
  std::string name;
  std::string to;              // rename only
  std::uint32_t inode = 0;
  enum class Kind : std::uint8_t { create, remove, rename } kind = Kind::create;
  std::uint32_t pair = 0;  // a rename between directories: the same number in both, else 0
};

struct SimInode {
  bool directory = false;
  bool size_lost = false;
  std::uint64_t size = 0;
  std::uint64_t size_durable = 0;
  std::uint64_t allocated = 0;
  std::vector<std::uint8_t> bytes;  // current content; zeros beyond its end up to `size`
  std::map<std::uint64_t, SimDirtySector> dirty;  // by sector number
  std::map<std::string, std::uint32_t> entries;
  std::map<std::string, std::uint32_t> entries_durable;
  std::vector<SimDirectoryChange> changes;  // since the last sync_directory
  std::uint32_t names = 0;                  // current directory entries that lead here
  std::uint32_t opens = 0;
  std::uint32_t lock_holder = 0;            // open file + 1
};

// A write that a crash may store in part.
struct SimWriteInFlight {
  std::uint32_t inode = 0;
  std::uint64_t offset = 0;
  Bytes bytes;
};

// Which of the legal outcomes of a power cut to build.
enum class Survival : std::uint8_t {
  chance,       // per file one of the others, or a mixture, from the seed
  nothing,      // of what is volatile
  everything,   // including all writes in flight
  any,          // each sector and directory change by chance
  last_sector,  // of each write in flight its last sector only; else as nothing
  first_sector,
};

class SimDisk {
 public:
  static constexpr std::uint32_t none = ~0U;
  SimDisk();

  SimInode& inode(std::uint32_t number) { return *inodes_[number]; }
  std::uint32_t find(std::string_view path) const;
  // The directory that holds the last component, which goes to `name`. `none`: no such directory.
  std::uint32_t find_parent(std::string_view path, std::string& name) const;

  std::uint32_t create(std::uint32_t parent, const std::string& name, bool directory);
  int remove(std::string_view path);
  int rename(std::string_view from, std::string_view to);
  void sync_directory(std::uint32_t directory);
  void closed(std::uint32_t number);  // one open less

  std::int64_t read(std::uint32_t number, std::uint64_t offset, MutableBytes into) const;
  // Stores content, volatile or durable. Returns bytes stored: fewer, or -ENOSPC, where the
  // capacity ends.
  std::int64_t write(std::uint32_t number, std::uint64_t offset, Bytes bytes,
                     std::uint64_t capacity, bool durable);
  // Stores the sectors of `bytes` that the seed chooses; size as it may come.
  void write_some(std::uint32_t number, std::uint64_t offset, Bytes bytes, std::uint64_t capacity,
                  SimRandom& random);
  void sync(std::uint32_t number);
  void sync_failed(std::uint32_t number);
  int allocate(std::uint32_t number, std::uint64_t end, std::uint64_t capacity);
  void truncate(std::uint32_t number, std::uint64_t size_bytes);
  std::uint64_t used_bytes() const { return used_bytes_; }

  // What is there after a power cut.
  SimDisk survivor(const std::vector<SimWriteInFlight>& in_flight, Survival how,
                   SimRandom& random) const;
  // Puts a durable file, with its directories, as if it had always been there.
  void install_directory(std::string_view path);
  void install(std::string_view path, Bytes bytes);
  // Current content of all files by path.
  std::map<std::string, std::vector<std::uint8_t>> files() const;

 private:
  struct Cut;
  void drop_name(std::uint32_t number);
  int rename_between(std::uint32_t from, const std::string& from_name, std::uint32_t to,
                     const std::string& to_name);
  void choose_changes(Cut& cut) const;
  void reclaim(std::uint32_t number);
  SimSector load_sector(const SimInode& node, std::uint64_t sector) const;
  void remember(SimInode& node, std::uint64_t sector);
  void put(SimInode& node, std::uint64_t offset, Bytes bytes, bool durable);
  std::uint32_t survive(Cut& cut, std::uint32_t number) const;
  std::map<std::string, std::uint32_t> survive_entries(Cut& cut, std::uint32_t number) const;
  void survive_content(Cut& cut, SimInode& copy, std::uint32_t number) const;
  void list_files(std::uint32_t directory, const std::string& prefix,
                  std::map<std::string, std::vector<std::uint8_t>>& out) const;

  std::vector<std::unique_ptr<SimInode>> inodes_;  // [0] is the root directory
  std::uint64_t used_bytes_ = 0;
  std::uint32_t pairs_ = 0;
};

}  // namespace ringgate::io
