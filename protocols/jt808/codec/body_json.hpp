// Bodies and JSON, driven by the message tables (schema.hpp). Allocates: for tools, commands, sinks
// and the API. Any thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/json_writer.hpp"
#include "engine/base/result.hpp"
#include "protocols/jt808/codec/header.hpp"
#include "protocols/jt808/codec/schema.hpp"

namespace ringgate::jt808 {

// Adds the fields of `body` to the object that is open in `out`, in the layout that fits; "layout"
// is among them where the header alone does not say it. What can't be read is there too:
// {"error": reason, "error_offset": n} and "unparsed": {"offset", "bytes"}. With `secrets` false,
// secrets are shown as stars.
void body_json(const MessageSpec& message, const Header& header, Bytes body, bool secrets,
               JsonWriter& out);

// Adds `key` as RFC 3339 text in UTC; null for time_invalid and what is not in 2000 to 2099.
void json_time(std::string_view key, std::int64_t unix_s, JsonWriter& out);

// The body that `json` (an object with the keys of the message's fields) describes. `version`: of
// the terminal; "layout" in the object goes before it. Error: names the key and what it wants.
Result<std::vector<std::uint8_t>> encode_body(const MessageSpec& message, Version version,
                                              std::string_view json);

// A whole frame as people send and see it:
//   {"message_id": "0x0200", "message": "location-report", "version": "2019", "version_byte": 1,
//    "phone": "13812345678", "serial": 7, "packet": {"total": 2, "number": 1}, "body": {...}}
// Bodies that can't be looked into (fragments, encrypted ones, unknown messages) are "body_hex".
void frame_json(Bytes frame, bool secrets, JsonWriter& out);  // header and body, unescaped
// The frame (header and body, unescaped) that such an object describes. "message_id" or "message"
// and "phone" are needed; "version" is 2013 by default, "serial" 0. A body that takes several
// packets gives the whole as the log stores it (whole.hpp).
Result<std::vector<std::uint8_t>> encode_frame(std::string_view json);

}  // namespace ringgate::jt808
