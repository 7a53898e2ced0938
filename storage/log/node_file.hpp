// The name that a data directory gives its gateway: the file `node`. Cold; any thread.
#pragma once

#include <string>

#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/segment.hpp"

namespace ringgate::log {

// Error: there is none, or it holds no UUID; says that this may be no data directory.
Result<NodeId> read_node(io::Sys& sys, const std::string& data_dir);

}  // namespace ringgate::log
