// Records as JSON lines. Keys and their order stay as they are: programs read them. One thread.
#pragma once

#include <string>
#include <string_view>

#include "engine/base/json_writer.hpp"
#include "storage/event/catalog.hpp"
#include "storage/event/record_json.hpp"
#include "storage/log/record.hpp"
#include "storage/log/segment.hpp"

namespace ringgate::log_tool {

inline bool is_frame(const log::Record& record) { return event::is_frame(record.view()); }
inline bool has_message(const log::Record& record) {
  return is_frame(record) || record.kind() == log::Kind::command;
}

// "jt808", also where nobody here knows more of a namespace than its name.
std::string_view protocol_name(const event::CatalogSet& catalogs, Namespace ns);
std::string message_id_text(const event::MessageCatalog* catalog, std::uint16_t id);

class Printer {
 public:
  // `out` and `catalogs` outlive it. Without `decode` frames are only hex.
  Printer(const event::CatalogSet& catalogs, bool decode, std::string& out)
      : catalogs_(catalogs), decode_(decode), line_(out) {}

  // From now on lines have "gcj02" too, a list of positions, where a record has some.
  void add_gcj02() { gcj02_ = true; }

  // Appends one line. `node` as text.
  void print(std::string_view node, const log::StreamId& stream, const log::Record& record);

 private:
  void print_frame(JsonWriter& json, const log::Record& record,
                   const event::MessageCatalog* catalog);

  const event::CatalogSet& catalogs_;
  bool decode_;
  bool gcj02_ = false;
  std::string& line_;
};

}  // namespace ringgate::log_tool
