// The message tables themselves as JSON: for lists, documentation and forms. Allocates; any thread.
#pragma once

#include "engine/base/json_writer.hpp"
#include "protocols/jt808/codec/schema.hpp"

namespace ringgate::jt808 {

// {"protocol": "jt808",
//  "messages": [{"id": "0x0200", "name", "direction": "up"|"down", "source", "versions": ["2013"],
//    "layouts": [...], "has_secrets", "answer": {"rule", "id"}, "fields": [FIELD]}],
//  "item_lists": [{"name", "id_bytes", "length_bytes", "items": [{"id", "last_id", "name",
//    "source", "layouts", "fields"}]}]}
// FIELD: {"key", "type", "bytes" | "extent", "unit", "decimals", "layouts" (where not in all),
//   "when", "optional", "default", "invalid", "secret", "names", "bits", "parts", "counts",
//   "counted_by", "note", "fields", "item_list"}; what does not apply is left out.
void describe_json(JsonWriter& out);

// ["2013", "2019"]: those that define the message.
void versions_json(const MessageSpec& message, JsonWriter& out);
// {"rule": "general", "id": "0x0104"}: what a terminal says to it.
void answer_json(const Answer& answer, JsonWriter& out);

}  // namespace ringgate::jt808
