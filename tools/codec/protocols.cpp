#include "tools/codec/protocol.hpp"

namespace ringgate::codec_tool {

namespace {

// Every protocol has its line here.
std::vector<const Protocol*> protocols() { return {&jt808_protocol(), &jsonl_protocol()}; }

}  // namespace

const Protocol* find_protocol(std::string_view name) {
  for (const Protocol* protocol : protocols()) {
    if (protocol->catalog().protocol() == name) return protocol;
  }
  return nullptr;
}

std::vector<std::string> protocol_names() {
  std::vector<std::string> out;
  for (const Protocol* protocol : protocols()) out.emplace_back(protocol->catalog().protocol());
  return out;
}

}  // namespace ringgate::codec_tool
