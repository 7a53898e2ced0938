// What ringgate-codec asks of a protocol: its catalog, how its frames stand on the wire, and what
// it can tell about them. A protocol has one file in this folder and one line in protocols.cpp.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/json_writer.hpp"
#include "engine/base/result.hpp"
#include "storage/event/catalog.hpp"

namespace ringgate::codec_tool {

// One frame of a stream, or bytes that are none.
struct Cut {
  std::size_t offset = 0;  // in the stream
  Bytes wire;              // as it came, delimiters included
  Bytes frame;             // as the log stores it; valid during the call
  std::string_view wrong;  // not empty: this is no frame, and why
};

struct ExplainOptions {
  bool secrets = true;
  bool colours = false;
};

class Protocol {
 public:
  virtual ~Protocol() = default;
  virtual const event::MessageCatalog& catalog() const = 0;
  // Calls `each` for every frame of `stream`, in order, and returns how many bytes are done with.
  // The rest waits for more; with `at_end` nothing does, and what is cut short is wrong.
  virtual std::size_t cut(Bytes stream, bool at_end,
                          const std::function<void(const Cut&)>& each) const = 0;
  // A stored frame as it goes on the wire.
  virtual Result<std::vector<std::uint8_t>> wire(Bytes frame) const = 0;
  // A dump for people. `cut.wire` may be empty: the frame comes from a log.
  virtual Result<std::string> explain(const Cut& cut, const ExplainOptions& options) const = 0;
  // All messages with their fields as one JSON object.
  virtual void describe(JsonWriter& out) const = 0;
  // The tables as a page of documentation; empty: there are none.
  virtual std::string markdown() const { return {}; }
};

// By its name ("jt808"); null: not known.
const Protocol* find_protocol(std::string_view name);
std::vector<std::string> protocol_names();

const Protocol& jt808_protocol();
const Protocol& jsonl_protocol();

}  // namespace ringgate::codec_tool
