// The registry as CSV and TOML, of any bytes: errors are counted and name their line, and what was
// read comes back from what is written of it, in both formats. By hand as jt808_framing_fuzz.cpp
// says.
#include <string>

#include "tools/ctl/registry_file.hpp"

using namespace ringgate::ctl;

namespace {

void require(bool condition) {
  if (!condition) __builtin_trap();
}

void read(std::string_view text, RegistryFormat format) {
  const RegistryFile file = read_registry(text, format);
  require(file.errors.size() <= registry_errors_max);
  require(file.errors_in_all >= file.errors.size());
  require(file.errors.empty() == (file.errors_in_all == 0));
  for (const std::string& error : file.errors) {
    require(!error.empty() && error.front() >= '0' && error.front() <= '9');
  }
  for (const RegistryFormat as : {RegistryFormat::csv, RegistryFormat::toml}) {
    std::string written = registry_head(as);
    for (const RegistryEntry& entry : file.entries) written += registry_text(entry, as);
    const RegistryFile again = read_registry(written, as);
    require(again.errors_in_all == 0);
    require(again.entries == file.entries);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::string_view text(reinterpret_cast<const char*>(data + 1), size - 1);
  read(text, data[0] % 2 == 0 ? RegistryFormat::csv : RegistryFormat::toml);
  return 0;
}
