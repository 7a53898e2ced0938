// The record of a blob in the log (Kind::media): one JSON object. BLOB.md names its members. Pure,
// any thread.
#pragma once

#include <string>

#include "storage/blob/store.hpp"

namespace ringgate::blob {

std::string metadata_json(const UploadInfo& info, const Stored& stored);

// A text from outside for people: at most name_size_max bytes, control characters and what is no
// UTF-8 replaced by '?'.
std::string printable(std::string_view text);

}  // namespace ringgate::blob
