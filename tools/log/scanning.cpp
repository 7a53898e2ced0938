#include "tools/log/scanning.hpp"

#include <fmt/format.h>

#include "engine/io/sys.hpp"

namespace ringgate::log_tool {

Result<void> Scanning::open(const SelectOptions& options, std::string_view what) {
  const auto selection = to_selection(options, io::real_sys().wall_now());
  if (!selection) return selection.error();
  return open(options.directory, *selection, what);
}

Result<void> Scanning::open(const std::string& directory, const query::Selection& selection,
                            std::string_view what) {
  started_ns_ = io::real_sys().mono_now();
  selection_ = selection;
  progress_ = std::make_unique<ProgressLine>(what);
  query::Scan::Parts parts{io::real_sys(), directory, catalogs_};
  parts.keep_going = [this] {
    if (scan_) progress_->update(scan_->bytes_done(), scan_->bytes_total());
    return !interrupted();
  };
  auto scan = query::Scan::open(parts, selection_);
  if (!scan) return scan.error();
  scan_ = std::move(*scan);
  node_ = log::to_text(scan_->node());
  return {};
}

bool Scanning::next(query::Found& found) {
  auto more = scan_->next(found);
  if (!more) error_ = more.error().message;
  cut_short_ = interrupted();
  return more.ok() && *more && !cut_short_;
}

int Scanning::finish() {
  progress_.reset();
  if (!error_.empty()) fmt::print(stderr, "ringgate-log: {}\n", error_);
  const bool problems = tell_problems(scan_->problems(), 0) > 0 || !error_.empty();
  return problems ? exit_problems : exit_well;
}

void Scanning::print_stats() const {
  const query::ScanStats& stats = scan_->stats();
  constexpr double mib = 1 << 20;
  fmt::print(stderr,
             "{} records of {} looked at in {} of {} segments, {:.1f} of {:.1f} MiB read, {} ms\n",
             stats.records_found, stats.records_seen, stats.segments_opened, stats.segments,
             static_cast<double>(stats.bytes_read) / mib,
             static_cast<double>(stats.log_bytes) / mib,
             (io::real_sys().mono_now() - started_ns_) / ns_per_ms);
  if (stats.indexes_lied + stats.indexes_damaged > 0) {
    fmt::print(stderr,
               "{} indexes were damaged and {} did not fit their segments: these were read "
               "without; a gateway makes an index again whose .idx file is removed\n",
               stats.indexes_damaged, stats.indexes_lied);
  }
  if (stats.segments_gone > 0) {
    fmt::print(stderr, "{} segments were taken by retention meanwhile\n", stats.segments_gone);
  }
}

}  // namespace ringgate::log_tool
