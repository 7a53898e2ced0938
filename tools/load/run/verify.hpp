// After a run: is everything that was acknowledged in the gateway's log, once and in order? Cold;
// one thread.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"
#include "tools/load/run/run_result.hpp"

namespace ringgate::load {

// What the log has of one report.
struct StoredReport {
  std::uint64_t phone = 0;
  std::uint16_t serial = 0;
  bool duplicate = false;     // the gateway knew it for a retransmission
  std::uint32_t content = 0;  // a checksum: two reports with one serial differ here
  std::uint64_t link = 0;
};

// Compares what was acknowledged with what is stored. Serials wrap, and begin anew with a link, so
// copies are counted, and contents and links told apart: a parked terminal that comes back within
// the second says the same again (which the gateway may know for a retransmission). 8 bytes for
// each acknowledged report, 16 for each stored one.
class Truth {
 public:
  void acknowledged(std::uint64_t phone, std::uint16_t serial);
  // After all acknowledged ones, in the order of the log. Reports of other phones are left out.
  void stored(const StoredReport& report);
  // May be asked again when more was stored.
  void fill(Verification& out);

 private:
  struct Stored {
    std::uint64_t key;  // phone and serial
    std::uint32_t content;  // and link
    bool duplicate;         // of the gateway's knowledge; the first of a kind sorts before them
    auto operator<=>(const Stored&) const = default;
  };
  struct Last {
    std::uint64_t link = 0;
    std::uint16_t serial = 0;
    bool any = false;
  };
  std::vector<std::uint64_t> acknowledged_;  // phone << 16 | serial
  std::vector<Stored> stored_;
  std::unordered_map<std::uint64_t, Last> devices_;
  std::uint64_t reordered_ = 0;
  std::uint64_t records_ = 0;
  std::vector<std::string> examples_;
};

// Whether the report (a whole frame 0x0200) says of itself that it was made at `from_us` or later,
// by the second and the clock of who made it (JT/T 808-2019 8.12: the time is in the body).
bool made_since(Bytes frame, WallUs from_us);

// Before a run: is that a data directory which can be read? Error: why not.
Result<void> can_verify_by_log(const std::string& log_dir);

// `acked_files`: of all workers (crowd/acked.hpp). `from_us`: what was made before it, by the
// workers' clocks, is not the run's. `said`: how far it is, 0 to 1.
// A log that is being written shows its last records a moment late: for those it waits, for 5 s at
// most.
Result<Verification> verify_by_log(const std::vector<std::string>& acked_files,
                                   const std::string& log_dir, WallUs from_us,
                                   const std::function<void(double)>& said);
// Asks GET /api/v1/records, page by page; the token needs the scope that reads records.
Result<Verification> verify_by_api(const std::vector<std::string>& acked_files,
                                   const std::string& address, const std::string& token,
                                   WallUs from_us, const std::function<void(double)>& said);

}  // namespace ringgate::load
