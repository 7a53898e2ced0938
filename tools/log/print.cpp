#include "tools/log/print.hpp"

#include <fmt/format.h>

#include <utility>
#include <vector>

#include "engine/base/gcj02.hpp"
#include "tools/log/common.hpp"

namespace ringgate::log_tool {

namespace {

// Writes the positions of a record.
class MapWriter final : public event::RowVisitor {
 public:
  explicit MapWriter(JsonWriter& json) : json_(json) {}
  void position(const event::PositionRow& row) override {
    if (!std::exchange(begun_, true)) json_.key("gcj02").begin_array();
    const GeoPoint moved = gcj02_of({row.latitude_deg, row.longitude_deg});
    json_.begin_object().key("latitude_deg").number(moved.latitude_deg, 6);
    json_.key("longitude_deg").number(moved.longitude_deg, 6).end_object();
  }
  void end() {
    if (begun_) json_.end_array();
  }

 private:
  JsonWriter& json_;
  bool begun_ = false;
};

void print_other(JsonWriter& json, const log::Record& record,
                 const event::MessageCatalog* catalog) {
  const bool is_media = record.kind() == log::Kind::media;  // of the message that brought it
  if (has_message(record) || (is_media && record.header.message != 0)) {
    json.key("message_id").text(message_id_text(catalog, record.header.message));
  } else {
    json.key("message_id").null();
  }
  if (has_message(record)) {
    json.key("serial").unsigned_integer(record.header.serial);
  } else {
    json.key("serial").null();
  }
  json.key("duplicate").boolean(false);
  json.key("frame").null();
  if (!record.payload.empty() && !event::put_said(record.view(), json)) {
    json.key("data").hex(record.payload);
  }
}

}  // namespace

std::string_view protocol_name(const event::CatalogSet& catalogs, Namespace ns) {
  const event::MessageCatalog* const catalog = catalogs.find(ns);
  if (catalog != nullptr) return catalog->protocol();
  return ns == Namespace::none ? "" : "unknown";
}

std::string message_id_text(const event::MessageCatalog* catalog, std::uint16_t id) {
  return catalog != nullptr ? catalog->message_id_text(id) : fmt::format("0x{:04x}", id);
}

void Printer::print_frame(JsonWriter& json, const log::Record& record,
                          const event::MessageCatalog* catalog) {
  json.key("message_id").text(message_id_text(catalog, record.header.message));
  json.key("serial").unsigned_integer(record.header.serial);
  json.key("duplicate").boolean(record.duplicate());
  if (record.whole()) json.key("whole").boolean(true);
  if (catalog == nullptr) return static_cast<void>(json.key("frame").hex(record.payload));
  const std::vector<std::uint8_t> frame = catalog->redact(record.payload);
  json.key("frame").hex(frame);
  if (decode_) {
    json.key("body");
    catalog->json(frame, json);
  }
}

void Printer::print(std::string_view node, const log::StreamId& stream,
                    const log::Record& record) {
  const event::MessageCatalog* catalog = catalogs_.find(record.ns());
  JsonWriter json(line_);
  json.begin_object();
  json.key("record_id")
      .text(fmt::format("{}/{}-{}/{}", node, stream.run, stream.shard, record.header.position));
  json.key("time").text(time_text(record.wall_us()));
  json.key("received").integer(record.header.received_us);
  json.key("device").text(record.device);
  json.key("protocol").text(protocol_name(catalogs_, record.ns()));
  json.key("kind").text(log::kind_name(record.kind()));
  if (is_frame(record)) {
    print_frame(json, record, catalog);
  } else {
    print_other(json, record, catalog);
  }
  if (gcj02_ && catalog != nullptr) {
    MapWriter positions(json);
    catalog->rows(record.view(), positions);
    positions.end();
  }
  json.key("link").text(fmt::format("{:016x}", record.header.link));
  json.end_object();
  line_ += '\n';
}

}  // namespace ringgate::log_tool
