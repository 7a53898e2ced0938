// The reports that a gateway has acknowledged to one worker: a file that is written while the run
// goes on and looked up in the gateway's log after it. Entries of 16 bytes in the order of the
// acknowledgements, in the byte order of the machine; no header. What is counted as acknowledged is
// in the file first, so a worker that is killed has lost none (at most the file ends in the middle
// of an entry, which is left out).
//
// A writer belongs to one thread; the file may be read meanwhile.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"

namespace ringgate::load {

struct Acked {
  std::uint64_t phone = 0;    // as a number
  WallUs wall_us = 0;         // when the acknowledgement came; kept in milliseconds
  std::uint16_t serial = 0;   // of the report
  bool operator==(const Acked&) const = default;
};

class AckedWriter {
 public:
  // Creates the file or empties it.
  static Result<AckedWriter> open(const std::string& path);
  AckedWriter(AckedWriter&& other) noexcept;
  AckedWriter& operator=(AckedWriter&&) = delete;
  ~AckedWriter();

  void add(const Acked& one);
  // Writes what was added. Once it has failed, nothing is written any more.
  Result<void> flush();
  std::uint64_t count() const { return count_; }

  // Of the file: the phone, then 48 bits of milliseconds and the serial.
  static constexpr std::size_t entry_bytes = 16;

 private:
  explicit AckedWriter(int fd, const std::string& path) : fd_(fd), path_(path) {}

  int fd_;
  std::string path_;
  std::vector<std::uint8_t> pending_;
  std::uint64_t count_ = 0;
};

// The whole file, in order.
Result<std::vector<Acked>> read_acked(const std::string& path);

}  // namespace ringgate::load
