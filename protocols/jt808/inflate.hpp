// 0x0901: what a terminal compressed with gzip, within a bound. The standard does not say what is
// inside: a frame and a header with its body are understood, anything else is bytes. Pure; any
// thread.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/bytes.hpp"
#include "engine/base/json_writer.hpp"

namespace ringgate::jt808 {

enum class Inflated : std::uint8_t {
  ok,
  broken,  // no gzip stream, one that is cut short, or wrong check sums
  bomb,    // past inflated_max, or past inflated_ratio_max
  unchecked,  // its terminal has had more checked than its share (allowance.hpp)
};

// The gzip stream of a 0x0901 body: behind its length (DWORD), or from the start where some devices
// leave the length out.
Bytes gzip_of(Bytes body);

// Inflates without keeping anything: for the message path. At most some 64 KiB, or
// inflated_ratio_max times the input, are made; `made_bytes` says how many were.
Inflated check_gzip(Bytes gzip, std::uint64_t* made_bytes = nullptr);
// Appends the content to `out`, as far as it was made.
Inflated inflate_gzip(Bytes gzip, std::vector<std::uint8_t>& out);

// {"size": n, "as": "frame" | "header-and-body", "message": {...}} or {..., "as": "bytes", "hex"},
// with "error" where the stream ended badly. `body`: of 0x0901. Allocates.
void inflated_json(Bytes body, bool secrets, JsonWriter& out);

}  // namespace ringgate::jt808
