#include "storage/blob/metadata.hpp"

#include <fmt/format.h>

#include "engine/base/json_writer.hpp"
#include "engine/base/utf8.hpp"

namespace ringgate::blob {

std::string metadata_json(const UploadInfo& info, const Stored& stored) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().key("blob").text(stored.id).key("file").text(stored.path);
  json.key("size_bytes").unsigned_integer(stored.size_bytes);
  json.key("crc32c").text(fmt::format("{:08x}", stored.crc32c));
  json.key("content_type").text(mime_of(stored.content));
  json.key("declared_type").text(mime_of(info.declared));
  if (stored.mismatch) json.key("type_mismatch").boolean(true);
  if (!info.name.empty()) json.key("name").text(printable(info.name));
  if (!info.alarm.empty()) json.key("alarm_number").text(printable(info.alarm));
  for (const auto& [name, value] : info.facts) json.key(name).raw(value);
  json.end_object();
  return out;
}

std::string printable(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size() && out.size() + 4 <= name_size_max;) {
    const std::size_t length = utf8_length(text, at);
    const auto first = static_cast<std::uint8_t>(text[at]);
    if (length == 0 || first < 0x20 || first == 0x7f) {
      out.push_back('?');
    } else {
      out.append(text.substr(at, length));
    }
    at += length == 0 ? 1 : length;
  }
  return out;
}

}  // namespace ringgate::blob
