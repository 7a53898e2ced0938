// A record of the log as one JSON object, in the words of `ringgate-log dump --decode`: for whoever
// sends records to programs outside. Secrets (authentication codes) are stars.
//
// Keeps the names of messages: one per thread. Allocates; for sinks and control planes.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <unordered_map>

#include "storage/event/catalog.hpp"

namespace ringgate::event {

// The intent of a command is the frame that was going to be sent.
bool is_frame(const RecordView& record);
// What a record that is no frame says, under a key of its kind: "text", "outcome", "blob", "audit",
// "state". False: nothing was written, since it is not what its kind says.
bool put_said(const RecordView& record, JsonWriter& json);

struct RecordJsonOptions {
  bool frame = false;  // the frame in hex
  bool body = true;    // what it says
  bool positions = true;  // its rows of positions and alarms
};

class RecordJson {
 public:
  struct Names {
    std::string id_text;  // "0x0200"
    std::string name;     // "location-report"; the id where it has none
  };
  // Of frames and commands. The reference lives as long as this object.
  const Names& names(const MessageCatalog* catalog, std::uint16_t message);
  // What a record is called: its message where it has one, else its kind ("session").
  std::string_view title(const RecordView& record, const MessageCatalog* catalog);

  // Appends the object to `out`. `catalog` may be null.
  void write(std::string_view record_id, std::string_view node, const RecordView& record,
             const MessageCatalog* catalog, const RecordJsonOptions& options, std::string& out);

  static std::string_view protocol_name(Namespace ns, const MessageCatalog* catalog);
  static std::string_view kind_name(RecordKind kind);

 private:
  std::map<const MessageCatalog*, std::unordered_map<std::uint16_t, Names>> names_;
};

}  // namespace ringgate::event
