#include "storage/log/node_file.hpp"

#include "storage/log/data_dir.hpp"

namespace ringgate::log {

Result<NodeId> read_node(io::Sys& sys, const std::string& data_dir) {
  const auto text = read_small_file(sys, data_dir + "/node");
  if (!text) {
    return Error{text.error().code,
                 text.error().message + " (is " + data_dir + " a data directory of ringgate?)"};
  }
  const auto node = node_from_text(*text);
  if (!node) return Error{0, data_dir + "/node holds no UUID"};
  return *node;
}

}  // namespace ringgate::log
