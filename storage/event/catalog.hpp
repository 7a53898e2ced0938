// What sinks, tools and the API may know of a protocol's messages: a name, a decoded form. A
// protocol registers one catalog per namespace in the executable's wiring; nobody below tools
// includes it.
//
// Catalogs are stateless: any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/ids.hpp"
#include "engine/base/json_writer.hpp"
#include "engine/base/result.hpp"
#include "storage/event/record_view.hpp"
#include "storage/event/rows.hpp"

namespace ringgate::event {

struct MessageInfo {
  std::uint16_t id = 0;
  std::string_view name;    // "location-report"
  std::string_view source;  // "JT/T 808-2019 8.12"
  bool from_device = true;
};

// A frame for people, line by line in the order of its bytes.
struct ExplainedLine {
  enum class Kind : std::uint8_t {
    title,    // of what follows; no bytes
    field,    // bytes with a name
    length,   // bytes that count others
    item,     // id and length of an item
    unknown,  // bytes that nothing names
    problem,  // what is wrong here; no bytes
    count
  };
  Kind kind = Kind::field;
  unsigned depth = 0;      // of nesting
  std::size_t offset = 0;  // in the frame as stored
  std::size_t size = 0;    // bytes from there on; 0: a part of what is above it, or none
  std::string name;
  std::string value;
  std::string_view unit;    // "km/h"
  std::string_view source;  // "JT/T 808-2019 8.12"
  std::string_view note;
  bool is_secret = false;
};
inline constexpr std::string_view explained_kind_names[] = {"title", "field",   "length",
                                                            "item",  "unknown", "problem"};

class MessageCatalog {
 public:
  virtual ~MessageCatalog() = default;
  virtual std::string_view protocol() const = 0;  // "jt808"
  virtual Namespace ns() const = 0;
  virtual std::vector<MessageInfo> list() const = 0;
  // How `message_id` is written for people and programs: "0x0200".
  virtual std::string message_id_text(std::uint16_t id) const = 0;
  // Writes `frame` (as stored: header to body, unescaped) as one JSON object. A body that does not
  // decode is still an object: what did, an error with its offset, and the rest in hex. Without
  // `secrets`, authentication codes and passwords are stars.
  virtual void json(Bytes frame, JsonWriter& out, bool secrets = false) const = 0;
  // The frame that such an object describes: what json() wrote with `secrets` gives the same bytes.
  // Error: names the key that is wrong and what it wants.
  virtual Result<std::vector<std::uint8_t>> encode(std::string_view json) const = 0;
  // Copies `frame` with secrets (authentication codes) blanked out; same size.
  virtual std::vector<std::uint8_t> redact(Bytes frame) const = 0;

  // Adds to the open object what is known of a message besides MessageInfo: "versions" that have
  // it; of one to devices also "answer" and "forms": [{"versions", "fields"}], `fields` being the
  // JSON Schema of what a command's fields may be.
  virtual void describe(std::uint16_t id, JsonWriter& out) const {
    static_cast<void>(id);
    static_cast<void>(out);
  }
  // Lines that cover the frame; none: the protocol has none to tell.
  virtual std::vector<ExplainedLine> explain(Bytes frame, bool secrets = false) const {
    static_cast<void>(frame);
    static_cast<void>(secrets);
    return {};
  }
  // Between the frame as stored and as it goes over the wire, delimiters included. Error: what is
  // wrong with it, or why there is no single one.
  virtual Result<std::vector<std::uint8_t>> from_wire(Bytes wire) const {
    return std::vector<std::uint8_t>(wire.begin(), wire.end());
  }
  // What bytes that are no frame were probably meant to be, or its beginning: for explain().
  // `whole`: nothing of them was cut off.
  virtual std::vector<std::uint8_t> rescue(Bytes wire, bool whole) const {
    static_cast<void>(whole);
    return {wire.begin(), wire.end()};
  }
  virtual Result<std::vector<std::uint8_t>> to_wire(Bytes frame) const {
    return std::vector<std::uint8_t>(frame.begin(), frame.end());
  }

  // The rows of a record of this namespace: positions first, then alarms, then the rest. Nothing
  // for records that say nothing of the kind, for parts (their whole has the rows) and for what
  // does not decode. Retransmissions (RecordView::duplicate()) have theirs like others: whoever
  // wants each message once leaves them out.
  virtual void rows(const RecordView& record, RowVisitor& out) const {
    static_cast<void>(record);
    static_cast<void>(out);
  }
  // Whether the record is a frame that brings a part of a message (the whole has its own record).
  virtual bool is_part(const RecordView& record) const {
    static_cast<void>(record);
    return false;
  }
  // The device times of its positions, where it has any. Fast: called for every record once.
  virtual std::optional<DeviceTimes> device_times(const RecordView& record) const {
    static_cast<void>(record);
    return {};
  }
};

// The catalogs that an executable registered, by namespace.
class CatalogSet {
 public:
  void add(const MessageCatalog& catalog) { catalogs_.push_back(&catalog); }
  const MessageCatalog* find(Namespace ns) const {
    for (const MessageCatalog* catalog : catalogs_) {
      if (catalog->ns() == ns) return catalog;
    }
    return nullptr;
  }

 private:
  std::vector<const MessageCatalog*> catalogs_;
};

}  // namespace ringgate::event
