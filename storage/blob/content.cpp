#include "storage/blob/content.hpp"

#include <algorithm>
#include <cstring>
#include <iterator>

#include "engine/base/utf8.hpp"

namespace ringgate::blob {

namespace {

struct Row {
  std::string_view mime;
  std::string_view extension;
};
constexpr Row rows[] = {
    {"application/octet-stream", "bin"}, {"image/jpeg", "jpg"}, {"image/png", "png"},
    {"image/tiff", "tif"},               {"audio/mpeg", "mp3"}, {"audio/wav", "wav"},
    {"video/x-ms-wmv", "wmv"},           {"video/mp4", "mp4"},  {"video/h264", "h264"},
    {"application/gzip", "gz"},          {"text/plain", "txt"}, {"application/octet-stream", "bin"},
};
static_assert(std::size(rows) == static_cast<std::size_t>(Content::count));

// Other names of the same things, as devices write them.
struct Alias {
  std::string_view extension;
  Content content;
};
constexpr Alias aliases[] = {
    {"jpeg", Content::jpeg}, {"tiff", Content::tiff}, {"wma", Content::asf},
    {"asf", Content::asf},   {"264", Content::h264},  {"log", Content::text},
};

bool starts_with(Bytes head, std::string_view magic, std::size_t at = 0) {
  return head.size() >= at + magic.size() &&
         std::memcmp(head.data() + at, magic.data(), magic.size()) == 0;
}

bool is_mp3(Bytes head) {
  if (starts_with(head, "ID3")) return true;
  // An MPEG frame: sync, a layer that exists, a bit rate and a sampling rate that exist.
  return head.size() >= 4 && head[0] == 0xff && (head[1] & 0xe0) == 0xe0 &&
         (head[1] & 0x18) != 0x08 && (head[1] & 0x06) != 0 && (head[2] & 0xf0) != 0xf0 &&
         (head[2] & 0x0c) != 0x0c;
}

// ITU-T H.264 B.1: a start code, then a unit whose first bit is 0 and whose type is in use.
bool is_annex_b(Bytes head) {
  std::size_t at = 0;
  if (starts_with(head, std::string_view("\0\0\0\1", 4))) {
    at = 4;
  } else if (starts_with(head, std::string_view("\0\0\1", 3))) {
    at = 3;
  } else {
    return false;
  }
  if (at >= head.size() || (head[at] & 0x80) != 0) return false;
  const int type = head[at] & 0x1f;
  return type >= 1 && type <= 12;
}

bool is_text(Bytes head) {
  const std::string_view text = as_text(head);
  for (std::size_t at = 0; at < text.size();) {
    const auto byte = static_cast<std::uint8_t>(text[at]);
    const bool control = byte < 0x20 && byte != '\n' && byte != '\r' && byte != '\t';
    if (control || byte == 0x7f) return false;
    const std::size_t length = utf8_length(text, at);
    // The end of `head` may cut a code point.
    if (length == 0) return at > 0 && head.size() == magic_bytes && at + 4 > text.size();
    at += length;
  }
  return !head.empty();
}

}  // namespace

std::string_view mime_of(Content content) { return rows[static_cast<std::size_t>(content)].mime; }
std::string_view extension_of(Content content) {
  return rows[static_cast<std::size_t>(content)].extension;
}

Content content_from_mime(std::string_view mime) {
  for (std::size_t i = 1; i < std::size(rows); ++i) {
    if (rows[i].mime == mime) return static_cast<Content>(i);
  }
  return Content::unknown;
}

Content content_from_name(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  if (dot == std::string_view::npos || name.size() - dot > 6) return Content::unknown;
  char lower[8] = {};
  const std::string_view given = name.substr(dot + 1);
  std::transform(given.begin(), given.end(), lower, [](char letter) {
    return letter >= 'A' && letter <= 'Z' ? static_cast<char>(letter + 32) : letter;
  });
  const std::string_view extension(lower, given.size());
  for (std::size_t i = 1; i < std::size(rows); ++i) {
    if (rows[i].extension == extension) return static_cast<Content>(i);
  }
  for (const Alias& alias : aliases) {
    if (alias.extension == extension) return alias.content;
  }
  return Content::unknown;
}

Content recognise(Bytes head) {
  head = head.first(std::min(head.size(), magic_bytes));
  if (starts_with(head, "\xff\xd8\xff")) return Content::jpeg;
  if (starts_with(head, "\x89PNG\r\n\x1a\n")) return Content::png;
  if (starts_with(head, std::string_view("II*\0", 4))) return Content::tiff;
  if (starts_with(head, std::string_view("MM\0*", 4))) return Content::tiff;
  if (starts_with(head, "RIFF") && starts_with(head, "WAVE", 8)) return Content::wav;
  if (starts_with(head, "\x30\x26\xb2\x75\x8e\x66\xcf\x11")) return Content::asf;
  if (starts_with(head, "ftyp", 4)) return Content::mp4;
  if (starts_with(head, "\x1f\x8b\x08")) return Content::gzip;
  if (is_annex_b(head)) return Content::h264;
  if (is_mp3(head)) return Content::mp3;
  if (is_text(head)) return Content::text;
  return Content::unknown;
}

bool agrees(Content declared, Content found) {
  if (declared == found || declared == Content::unknown || declared == Content::binary) return true;
  // No magic at all: fine only where the declared type has none.
  return declared == Content::text && found == Content::unknown;
}

}  // namespace ringgate::blob
