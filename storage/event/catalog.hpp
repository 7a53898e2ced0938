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
