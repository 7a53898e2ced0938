#include <fmt/format.h>
#include <time.h>

#include <charconv>
#include <cstdio>
#include <string>

#include "engine/base/json_scan.hpp"
#include "engine/base/json_writer.hpp"
#include "engine/io/sys.hpp"
#include "protocols/jsonl/catalog.hpp"
#include "protocols/jt808/catalog.hpp"
#include "storage/event/catalog.hpp"
#include "storage/log/reader.hpp"
#include "tools/log/commands.hpp"

namespace ringgate::log_tool {

namespace {

constexpr MonoNs follow_pause = 200 * ns_per_ms;
constexpr std::size_t flush_at = 256 * 1024;
// Between two looks at the progress line.
constexpr std::uint64_t progress_records = 4096;

std::string_view protocol_without_catalog(Namespace ns) {
  switch (ns) {
    case Namespace::none:
      return "";
    case Namespace::phone:
      return "jt808";
    case Namespace::json:
      return "jsonl";
  }
  return "unknown";
}

std::string message_id_text(const event::MessageCatalog* catalog, std::uint16_t id) {
  return catalog != nullptr ? catalog->message_id_text(id) : fmt::format("0x{:04x}", id);
}

// The intent of a command is the frame that was going to be sent.
bool is_frame(const log::Record& record) {
  const log::Kind kind = record.kind();
  return kind == log::Kind::frame_up || kind == log::Kind::frame_down ||
         (kind == log::Kind::command && !record.outcome());
}
bool has_message(const log::Record& record) {
  return is_frame(record) || record.kind() == log::Kind::command;
}

// What the command line asks for, parsed.
struct Filter {
  std::string device;
  std::string phone;  // `device` as the log holds phone numbers: without leading zeros
  bool any_message = true;
  std::uint16_t message = 0;
  WallUs from_us = std::numeric_limits<WallUs>::min();
  WallUs to_us = std::numeric_limits<WallUs>::max();

  bool wants(const log::Record& record) const {
    const std::string& wanted = record.ns() == Namespace::phone ? phone : device;
    if (!wanted.empty() && record.device != wanted) return false;
    if (!any_message && (record.header.message != message || !has_message(record)))
      return false;
    return record.header.received_us >= from_us && record.header.received_us < to_us;
  }
};

Result<Filter> parse_filter(const DumpOptions& options) {
  Filter filter;
  filter.device = options.device;
  filter.phone = options.device;
  while (filter.phone.size() > 1 && filter.phone.front() == '0') filter.phone.erase(0, 1);
  if (!options.message_id.empty()) {
    std::string_view text = options.message_id;
    const bool hex = text.starts_with("0x") || text.starts_with("0X");
    if (hex) text.remove_prefix(2);
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), filter.message, hex ? 16 : 10);
    if (error != std::errc() || end != text.data() + text.size()) {
      return Error{0,
                   fmt::format("'{}' is no message id: use one like 0x0200", options.message_id)};
    }
    filter.any_message = false;
  }
  const WallUs now_us = io::real_sys().wall_now();
  if (!options.from.empty()) {
    const auto time = parse_time(options.from, now_us);
    if (!time) return time.error();
    filter.from_us = *time;
  }
  if (!options.to.empty()) {
    const auto time = parse_time(options.to, now_us);
    if (!time) return time.error();
    filter.to_us = *time;
  }
  return filter;
}

class Printer {
 public:
  Printer(const log::NodeId& node, bool decode) : node_(node), decode_(decode) {
    catalogs_.add(jt808_);
    catalogs_.add(jsonl_);
  }

  void print(const log::Entry& entry) {
    const log::Record& record = entry.record;
    const event::MessageCatalog* catalog = catalogs_.find(record.ns());
    JsonWriter json(line_);
    json.begin_object();
    json.key("record_id").text(log::record_id(node_, entry.stream, record.header.position));
    json.key("time").text(time_text(record.wall_us()));
    json.key("received").integer(record.header.received_us);
    json.key("device").text(record.device);
    json.key("protocol")
        .text(catalog != nullptr ? catalog->protocol() : protocol_without_catalog(record.ns()));
    json.key("kind").text(log::kind_name(record.kind()));
    if (is_frame(record)) {
      print_frame(json, record, catalog);
    } else {
      print_other(json, record, catalog);
    }
    json.key("link").text(fmt::format("{:016x}", record.header.link));
    json.end_object();
    line_ += '\n';
  }

  // False: nobody reads any more.
  bool flush(bool always) {
    if (!always && line_.size() < flush_at) return true;
    const bool written = std::fwrite(line_.data(), 1, line_.size(), stdout) == line_.size() &&
                         (!always || std::fflush(stdout) == 0);
    line_.clear();
    return written;
  }

 private:
  static bool is_json(std::string_view text) {
    return scan_json_object(text, "blob").error == JsonScan::Error::none;
  }
  void print_frame(JsonWriter& json, const log::Record& record,
                   const event::MessageCatalog* catalog) {
    json.key("message_id").text(message_id_text(catalog, record.header.message));
    json.key("serial").unsigned_integer(record.header.serial);
    json.key("duplicate").boolean(record.duplicate());
    if (record.whole()) json.key("whole").boolean(true);
    if (catalog == nullptr) {
      json.key("frame").hex(record.payload);
      return;
    }
    const std::vector<std::uint8_t> frame = catalog->redact(record.payload);
    json.key("frame").hex(frame);
    if (decode_) {
      json.key("body");
      catalog->json(frame, json);
    }
  }

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
    if (record.payload.empty()) return;
    if (record.kind() == log::Kind::command) {
      const std::string_view text = as_text(record.payload);
      if (scan_json_object(text, "status").error == JsonScan::Error::none) {
        json.key("outcome").raw(text);
      } else {
        json.key("data").hex(record.payload);
      }
    } else if (record.kind() == log::Kind::session) {
      json.key("text").text(as_text(record.payload));  // "online 10.0.0.7:40112", "offline idle"
    } else if (record.kind() == log::Kind::media && is_json(as_text(record.payload))) {
      json.key("blob").raw(as_text(record.payload));
    } else if (record.kind() == log::Kind::audit && is_json(as_text(record.payload))) {
      json.key("audit").raw(as_text(record.payload));  // {"action":"kick","by":"alice ..."}
    } else {
      json.key("data").hex(record.payload);
    }
  }

  log::NodeId node_;
  bool decode_;
  jt808::Catalog jt808_;
  jsonl::Catalog jsonl_;
  event::CatalogSet catalogs_;
  std::string line_;
};

void pause_between_looks() {
  const timespec pause{0, follow_pause};
  ::nanosleep(&pause, nullptr);
}

int problems_to_stderr(const log::Reader& reader, std::size_t& told) {
  for (; told < reader.problems().size(); ++told) {
    fmt::print(stderr, "ringgate-log: {}\n", reader.problems()[told]);
  }
  return told > 0 ? 1 : 0;
}

}  // namespace

int dump(const DumpOptions& options) {
  const auto filter = parse_filter(options);
  if (!filter) {
    fmt::print(stderr, "ringgate-log: {}\n", filter.error().message);
    return 2;
  }
  log::ReaderOptions reading;
  reading.from_us = filter->from_us;
  reading.to_us = filter->to_us;
  auto opened = log::Reader::open(io::real_sys(), options.directory, reading);
  if (!opened) {
    fmt::print(stderr, "ringgate-log: {}\n", opened.error().message);
    return 2;
  }
  log::Reader& reader = **opened;
  Printer printer(reader.node(), options.decode);
  std::uint64_t printed = 0;
  std::uint64_t seen = 0;
  std::size_t told = 0;
  const auto enough = [&] { return options.limit != 0 && printed >= options.limit; };
  {
    ProgressLine progress("reading");
    log::Entry entry;
    while (!interrupted() && !enough() && reader.next(entry)) {
      if (++seen % progress_records == 0)
        progress.update(reader.bytes_done(), reader.bytes_total());
      if (!filter->wants(entry.record)) continue;
      printer.print(entry);
      ++printed;
      if (!printer.flush(false)) return 0;
    }
  }
  if (!printer.flush(true)) return 0;
  problems_to_stderr(reader, told);
  log::Entry entry;
  while (options.follow && !interrupted() && !enough() && reader.refresh()) {
    while (!interrupted() && !enough() && reader.next(entry)) {
      if (!filter->wants(entry.record)) continue;
      printer.print(entry);
      ++printed;
      if (!printer.flush(false)) return 0;
    }
    if (!printer.flush(true)) return 0;
    problems_to_stderr(reader, told);
    if (!interrupted() && !enough()) pause_between_looks();
  }
  return problems_to_stderr(reader, told);
}

}  // namespace ringgate::log_tool
