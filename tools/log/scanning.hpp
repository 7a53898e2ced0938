// A scan as the commands use it: with progress on a terminal, ending on Ctrl-C, telling problems.
#pragma once

#include <memory>
#include <string>

#include "storage/query/scan.hpp"
#include "tools/log/common.hpp"
#include "tools/log/selecting.hpp"

namespace ringgate::log_tool {

class Scanning {
 public:
  // `catalogs` outlives it.
  explicit Scanning(const event::CatalogSet& catalogs) : catalogs_(catalogs) {}

  // Error: an argument or the directory can't be used. `what` is for the progress line.
  Result<void> open(const SelectOptions& options, std::string_view what);
  Result<void> open(const std::string& directory, const query::Selection& selection,
                    std::string_view what);
  const query::Selection& selection() const { return selection_; }

  // The node as text.
  const std::string& node() const { return node_; }
  // False: no more, interrupted, or the log can't be read any further.
  bool next(query::Found& found);
  // Takes the progress line away and tells problems; the exit code.
  int finish();
  // Of those that found nothing wrong: the scan was cut short by Ctrl-C.
  bool cut_short() const { return cut_short_; }
  void print_stats() const;

 private:
  const event::CatalogSet& catalogs_;
  query::Selection selection_;
  std::unique_ptr<query::Scan> scan_;
  std::unique_ptr<ProgressLine> progress_;
  std::string node_;
  std::string error_;
  bool cut_short_ = false;
  MonoNs started_ns_ = 0;
};

}  // namespace ringgate::log_tool
