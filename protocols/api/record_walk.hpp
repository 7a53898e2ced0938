// The walk over the log that lists in pages share: it opens in its first turn, rests where a turn
// ends, and leaves out what the pages before had. One query's, on its thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "protocols/api/place.hpp"
#include "storage/log/data_dir.hpp"
#include "storage/query/scan.hpp"

namespace ringgate::api {

class RecordWalk {
 public:
  enum class Next : std::uint8_t { record, rest, end };

  // True: this was the first turn.
  Result<bool> open(const query::Scan::Parts& parts, const query::Selection& selection) {
    if (scan_ != nullptr) return false;
    auto scan = query::Scan::open(parts, selection);
    if (!scan) return scan.error();
    scan_ = std::move(*scan);
    node_ = log::to_text(scan_->node());
    return true;
  }
  // The next behind `after` in the order of places. `found` is valid until the next call.
  Result<Next> next(query::Found& found, const std::optional<Place>& after) {
    for (;;) {
      const auto more = scan_->next(found);
      if (!more) return more.error();
      if (!*more) return scan_->paused() ? Next::rest : Next::end;
      if (!after || place_of(found) > *after) return Next::record;
    }
  }
  // Once it is open: as records are called.
  const std::string& node() const { return node_; }
  std::uint64_t bytes_read() const { return scan_ == nullptr ? 0 : scan_->stats().bytes_read; }

 private:
  std::unique_ptr<query::Scan> scan_;
  std::string node_;
};

}  // namespace ringgate::api
