// Messages of the platform as JSON Schema (2020-12): what a page makes a form of, and what programs
// check before they send. Allocates; any thread.
//
// Beside what JSON Schema has, in what is not plain ("x-" members are for those who know them):
//   x-unit "km/h", x-decimals 6, x-values [1, 2] (the numbers of an enum's names; numbers are taken
//   as well), x-bits [0, 2], x-secret, x-counts "areas" (left out: counted), x-bytes-max (in GBK),
//   x-when {"key", "test": "equal" | "not-equal" | "bit" | "no-bit" | "at-least", "value"}: the
//   member is only there where an earlier one says so.
// Members come in the order in which they stand in the message.
#pragma once

#include "engine/base/json_writer.hpp"
#include "protocols/jt808/codec/schema.hpp"

namespace ringgate::jt808 {

// The fields in one layout, as the schema of an object.
void form_json(const MessageSpec& message, Layout layout, JsonWriter& out);

// [{"versions": ["2019"], "fields": SCHEMA}, ...], the newest first; versions whose schemas are the
// same share one.
void forms_json(const MessageSpec& message, JsonWriter& out);

}  // namespace ringgate::jt808
