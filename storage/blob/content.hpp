// What a blob holds: a fixed table of content types with their file name extensions, and the magic
// bytes that tell them. Pure, any thread.
#pragma once

#include <cstdint>
#include <string_view>

#include "engine/base/bytes.hpp"

namespace ringgate::blob {

enum class Content : std::uint8_t {
  unknown,  // nothing declared, nothing recognised: "bin"
  jpeg,
  png,
  tiff,
  mp3,
  wav,
  asf,  // WMV and WMA
  mp4,
  h264,  // Annex B byte stream
  gzip,
  text,
  binary,
  count,
};

std::string_view mime_of(Content content);       // "image/jpeg"
std::string_view extension_of(Content content);  // "jpg"; never empty
Content content_from_mime(std::string_view mime);  // unknown: not in the table
// By a file name's extension ("a.jpg"); unknown: none of the table's.
Content content_from_name(std::string_view name);

// Bytes of a file's beginning that recognise() wants.
constexpr std::size_t magic_bytes = 64;
// What the first bytes of a file (up to magic_bytes) say. unknown: no magic of the table. A text
// is recognised only where all of them are printable ASCII or UTF-8.
Content recognise(Bytes head);
// Whether bytes that were recognised as `found` may be declared as `declared`: the same, or a type
// without magic.
bool agrees(Content declared, Content found);

}  // namespace ringgate::blob
