// Reports as pages: one file that needs nothing else, with plots of one run or of several beside
// each other.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"

namespace ringgate::load {

// `run_files`: texts of run files (run_json()), at least one.
std::string html_report(const std::vector<std::string>& run_files);

// The text of a file, if it is a run file that this version reads.
Result<std::string> read_run_file(const std::string& file);

// The page with places for a title and for runs; made by page/embed.py.
std::string_view report_page();

}  // namespace ringgate::load
