// The options by which commands choose records, the same in all of them, and the protocols that
// give records a meaning.
#pragma once

#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "protocols/jsonl/catalog.hpp"
#include "protocols/jt808/catalog.hpp"
#include "storage/query/scan.hpp"
#include "storage/query/selection.hpp"

namespace CLI {
class App;
}

namespace ringgate::log_tool {

// Every protocol that this tool knows.
struct Catalogs {
  Catalogs() {
    set.add(jt808);
    set.add(jsonl);
  }
  Catalogs(const Catalogs&) = delete;
  Catalogs& operator=(const Catalogs&) = delete;
  jt808::Catalog jt808;
  jsonl::Catalog jsonl;
  event::CatalogSet set;
};

struct SelectOptions {
  std::string directory;
  std::vector<std::string> devices;
  std::vector<std::string> message_ids;
  std::vector<std::string> kinds;
  std::string from;
  std::string to;
  std::string device_from;
  std::string device_to;
  std::string area;
  bool no_duplicates = false;
  bool no_parts = false;
};

// DIR, --device, --from and --to: what every command has that reads records.
void add_basic_options(CLI::App& command, SelectOptions& options);
// And the others.
void add_select_options(CLI::App& command, SelectOptions& options);

// Error: names the option and what it wants.
Result<query::Selection> to_selection(const SelectOptions& options, WallUs now_us);

// "0x0200" or a decimal number.
Result<std::uint16_t> parse_message_id(const std::string& text);
// The keys that `text` may be in the log: a phone number there has no leading zeros.
std::vector<DeviceKey> device_keys(const std::string& text);

// Whether one position is of the time and place that the selection names: a record may bring
// several, of which one is enough for the record.
inline bool wants_place(const query::Selection& selection, WallUs device_time_us,
                        double latitude_deg, double longitude_deg) {
  return device_time_us >= selection.device_from_us && device_time_us < selection.device_to_us &&
         (!selection.area || selection.area->contains(latitude_deg, longitude_deg));
}

}  // namespace ringgate::log_tool
