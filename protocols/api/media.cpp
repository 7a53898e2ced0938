// GET /api/v1/media, /api/v1/media/{id} and /api/v1/media/{id}/content: what devices have uploaded,
// pictures and attachments of alarms alike.
#include "protocols/api/media.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <iterator>
#include <optional>

#include "engine/base/json_scan.hpp"
#include "engine/base/json_writer.hpp"
#include "engine/base/time_text.hpp"
#include "engine/observe/log_format.hpp"
#include "protocols/api/asked.hpp"
#include "protocols/api/place.hpp"
#include "protocols/api/plane.hpp"
#include "protocols/api/query_pool.hpp"
#include "protocols/api/record_walk.hpp"
#include "protocols/api/routes.hpp"
#include "protocols/http/codec/target.hpp"

namespace ringgate::api {

// Answers of files --------------------------------------------------------------------------------

ContentAnswer content_answer(const ContentAsked& asked, std::uint64_t size_bytes) {
  ContentAnswer answer;
  answer.part = {0, size_bytes};
  if (http::names_tag(asked.if_none_match, asked.tag)) {
    answer.status = 304;
    answer.part = {};
    return answer;
  }
  // RFC 9110 13.1.5: a tag that is another, or a date, asks for the whole. A strong comparison.
  const bool fresh = asked.if_range.empty() || asked.if_range == asked.tag;
  if (asked.range.empty() || !fresh) return answer;
  switch (http::parse_range(asked.range, size_bytes, answer.part)) {
    case http::RangeKind::whole:
      answer.part = {0, size_bytes};
      break;
    case http::RangeKind::part:
      answer.status = 206;
      answer.range_field = fmt::format("Content-Range: bytes {}-{}/{}\r\n", answer.part.first,
                                       answer.part.first + answer.part.size - 1, size_bytes);
      break;
    case http::RangeKind::not_there:
      answer.status = 416;
      answer.part = {};
      answer.range_field = fmt::format("Content-Range: bytes */{}\r\n", size_bytes);
      break;
  }
  return answer;
}

namespace {

constexpr std::uint64_t page_max = 10'000;
constexpr std::uint64_t page_default = 100;

// What a browser shows in our origin is what no browser runs: pictures, sound and films. All else
// comes as a file to keep, whatever its device called it.
bool shown_in_place(blob::Content content) {
  switch (content) {
    case blob::Content::jpeg:
    case blob::Content::png:
    case blob::Content::tiff:
    case blob::Content::mp3:
    case blob::Content::wav:
    case blob::Content::asf:
    case blob::Content::mp4:
    case blob::Content::h264:
      return true;
    default:
      return false;
  }
}

// BLOB.md: "0193c8f2a1b-7-0-2a". Nothing else gets near a path.
bool is_blob_id(std::string_view id) {
  const auto fits = [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || c == '-';
  };
  return id.size() >= 12 && id.size() <= 64 && id[11] == '-' && std::ranges::all_of(id, fits);
}

// When its upload began.
std::optional<WallUs> time_of_blob(std::string_view id) {
  std::int64_t ms = 0;
  const auto [end, error] = std::from_chars(id.data(), id.data() + 11, ms, 16);
  if (error != std::errc{} || end != id.data() + 11) return {};
  return ms * 1000;
}

// An upload may be gone on with for so long (blob.unfinished_age, which is a day where nobody
// changed it); it is completed within.
constexpr int upload_days_max = 8;
constexpr WallUs day_us = 24LL * 3600 * us_per_s;

struct MediaAsked {
  query::Selection selection;
  std::optional<Place> after;
  std::uint64_t limit = page_default;
  std::string type;   // "image" or "image/jpeg"; empty: all
  std::string alarm;  // number; empty: all
  std::string blob;   // this one alone; empty: a list
};

class MediaQuery final : public Query {
 public:
  explicit MediaQuery(MediaAsked asked) : asked_(std::move(asked)) {}

  Result<bool> step(QueryRun& run, QueryHead&, std::string& out) override {
    const bool one = !asked_.blob.empty();
    const auto opened = walk_.open(run.scan, asked_.selection);
    if (!opened) return opened.error();
    if (*opened && !one) out += "{\"media\":[";
    const std::size_t began = out.size();
    query::Found found;
    while (out.size() - began < step_bytes) {
      const auto next = walk_.next(found, asked_.after);
      if (!next) return next.error();
      if (*next == RecordWalk::Next::rest) return true;
      if (*next == RecordWalk::Next::end) return ended(out);
      const event::MessageCatalog* const catalog = run.scan.catalogs.find(found.record.ns());
      if (catalog == nullptr) continue;
      Writer writer(*this, found, out);
      catalog->rows(found.record.view(), writer);
      if (one && count_ > 0) return false;
      if (count_ <= asked_.limit) continue;
      more_ = true;
      return ended(out);
    }
    return true;
  }
  std::uint64_t bytes_read() const override { return walk_.bytes_read(); }

 private:
  class Writer final : public event::RowVisitor {
   public:
    Writer(MediaQuery& query, const query::Found& found, std::string& out)
        : query_(query), found_(found), out_(out) {}
    void media(const event::MediaRow& row) override {
      if (!query_.wants(row)) return;
      if (++query_.count_ > query_.asked_.limit) return;
      query_.put(row, found_, out_);
    }

   private:
    MediaQuery& query_;
    const query::Found& found_;
    std::string& out_;
  };

  bool wants(const event::MediaRow& row) const {
    if (!asked_.blob.empty()) return row.blob == asked_.blob;
    const std::string& type = asked_.type;
    const bool fits = type.empty() || row.type == type ||
                      (row.type.starts_with(type) && row.type.substr(type.size()).starts_with('/'));
    if (!fits || asked_.alarm.empty()) return fits;
    std::string wanted;
    JsonWriter(wanted).text(asked_.alarm);
    return scan_json_object(row.json, "alarm_number").member == wanted;
  }

  void put(const event::MediaRow& row, const query::Found& found, std::string& out) {
    if (asked_.blob.empty() && count_ > 1) out += ',';
    last_ = place_of(found);
    JsonWriter json(out);
    json.begin_object().key("id").text(row.blob);
    json.key("record_id").text(record_id(walk_.node(), found.stream, last_.position));
    json.key("device").text(found.record.device);
    json.key("time").text(time_text(found.record.wall_us()));
    json.key("device_time");
    if (row.device_time_us == 0) json.null();
    if (row.device_time_us != 0) json.text(time_text(row.device_time_us));
    json.key("name").text(row.name).key("content_type").text(row.type);
    json.key("size_bytes").unsigned_integer(row.size_bytes);
    json.key("content").text(fmt::format("/api/v1/media/{}/content", row.blob));
    json.key("details").raw(row.json).end_object();
  }

  Result<bool> ended(std::string& out) const {
    if (!asked_.blob.empty()) return Error{404, fmt::format("no upload {} is known", asked_.blob)};
    out += ']';
    if (more_) fmt::format_to(std::back_inserter(out), ",\"next\":\"{}\"", last_.text());
    out += '}';
    return false;
  }

  MediaAsked asked_;
  RecordWalk walk_;
  std::uint64_t count_ = 0;
  bool more_ = false;
  Place last_;
};

// The content of a stored file. It is open while it is sent: retention takes its name away, but
// never writes over what is being read (BLOB.md).
class ContentQuery final : public Query {
 public:
  ContentQuery(std::string id, ContentAsked asked) : id_(std::move(id)), asked_(std::move(asked)) {}
  ~ContentQuery() override {
    if (fd_ >= 0) sys_->close(fd_);
  }

  Result<bool> step(QueryRun& run, QueryHead& head, std::string& out) override {
    if (fd_ < 0) {
      sys_ = &run.scan.sys;
      if (!open(run.blobs)) {
        return Error{404, fmt::format("no content of an upload {} is here any more", id_)};
      }
      const std::int64_t size = sys_->file_size(fd_);
      if (size < 0) return errno_error(static_cast<int>(-size), "the file can't be read");
      begin(head, static_cast<std::uint64_t>(size));
      if (head.status == 416) return Error{416, fmt::format("the file has {} bytes", size)};
    }
    const auto want =
        static_cast<std::size_t>(std::min<std::uint64_t>(part_.size, Outflow::piece_bytes));
    const std::size_t at = out.size();
    out.resize(at + want);
    for (std::size_t have = 0; have < want;) {
      const std::int64_t got = sys_->pread(
          fd_, {reinterpret_cast<std::uint8_t*>(out.data()) + at + have, want - have},
          part_.first + have);
      if (got <= 0) return Error{0, "the file can't be read to its end"};
      have += static_cast<std::size_t>(got);
    }
    part_.first += want;
    part_.size -= want;
    read_ += want;
    return part_.size > 0;
  }
  std::uint64_t bytes_read() const override { return read_; }

 private:
  bool open(const std::string& directory) {
    const auto began = time_of_blob(id_);
    if (!began) return false;
    for (int day = 0; day < upload_days_max; ++day) {
      char name[observe::time_text_size];
      observe::format_time(name, *began + day * day_us);  // 2026-11-20T...
      const std::string_view text(name, sizeof name);
      const std::string folder =
          fmt::format("{}/{}{}{}", directory, text.substr(0, 4), text.substr(5, 2),
                      text.substr(8, 2));
      for (int i = 0; i < static_cast<int>(blob::Content::count); ++i) {
        content_ = static_cast<blob::Content>(i);
        fd_ = sys_->open(fmt::format("{}/{}.{}", folder, id_, blob::extension_of(content_)),
                         O_RDONLY | O_CLOEXEC, 0);
        if (fd_ >= 0) return true;
      }
    }
    return false;
  }

  void begin(QueryHead& head, std::uint64_t size) {
    const ContentAnswer answer = content_answer(asked_, size);
    const bool shown = shown_in_place(content_);
    part_ = answer.part;
    head.status = answer.status;
    head.type = shown ? blob::mime_of(content_) : "application/octet-stream";
    head.length = answer.part.size;
    head.fields = fmt::format(
        "ETag: {}\r\nAccept-Ranges: bytes\r\n{}"
        "Content-Disposition: {}; filename=\"{}.{}\"\r\nX-Content-Type-Options: nosniff\r\n"
        "Content-Security-Policy: sandbox; default-src 'none'\r\n"
        "Cache-Control: private, max-age=86400, immutable\r\n",
        asked_.tag, answer.range_field, shown ? "inline" : "attachment", id_,
        blob::extension_of(content_));
  }

  std::string id_;
  ContentAsked asked_;
  io::Sys* sys_ = nullptr;
  int fd_ = -1;
  blob::Content content_ = blob::Content::unknown;
  http::ByteRange part_;
  std::uint64_t read_ = 0;
};

void list_media(Plane& plane, const CallPtr& call) {
  MediaAsked asked;
  const auto times = asked_times(*call);
  if (!times || !asked_device(plane, *call, asked.selection)) return;
  const auto limit = call->number("limit", page_default, 1, page_max);
  if (!limit) return;
  asked.limit = *limit;
  asked.selection.add_kind(event::RecordKind::media);
  asked.selection.received_from_us = times->from_us;
  asked.selection.received_to_us = times->to_us;
  asked.type = call->parameter("type").value_or("");
  asked.alarm = call->parameter("alarm").value_or("");
  if (const auto cursor = call->parameter("cursor")) {
    asked.after = parse_place(*cursor);
    if (!asked.after) return call->problem(400, "cursor is not one that \"next\" gave");
    asked.selection.received_from_us =
        std::max(asked.selection.received_from_us, asked.after->received_us);
  }
  plane.ask_log(call, std::make_unique<MediaQuery>(std::move(asked)));
}

// Its id says when it began; it was listed at the earliest then.
void get_media(Plane& plane, const CallPtr& call) {
  const std::string& id = call->value(0);
  const auto began = is_blob_id(id) ? time_of_blob(id) : std::nullopt;
  if (!began) return call->problem(404, fmt::format("no upload {} is known", id));
  MediaAsked asked;
  asked.blob = id;
  if (!asked_device(plane, *call, asked.selection)) return;
  asked.selection.add_kind(event::RecordKind::media);
  asked.selection.received_from_us = *began - us_per_s;  // it was cut to milliseconds
  asked.selection.received_to_us = *began + upload_days_max * day_us;
  plane.ask_log(call, std::make_unique<MediaQuery>(std::move(asked)));
}

void get_content(Plane& plane, const CallPtr& call) {
  const std::string& id = call->value(0);
  if (!is_blob_id(id)) return call->problem(404, fmt::format("no upload {} is known", id));
  // Only GET knows ranges (RFC 9110 14.2).
  const bool parts = call->data().method == http::Method::get;
  // An id is never used twice, and what it names never changes.
  plane.ask_log(call, std::make_unique<ContentQuery>(
                          id, ContentAsked{.tag = fmt::format("\"{}\"", id),
                                           .range = std::string(parts ? call->field("range") : ""),
                                           .if_range = std::string(call->field("if-range")),
                                           .if_none_match =
                                               std::string(call->field("if-none-match"))}));
}

constexpr Parameter list_parameters[] = {
    {.name = "device", .doc = "Only of this device."},
    {.name = "from", .doc = from_doc},
    {.name = "to", .doc = to_doc},
    {.name = "type", .doc = "Only of this content type: image, or image/jpeg."},
    {.name = "alarm", .doc = "Only attachments of the alarm with this number."},
    {.name = "limit",
     .doc = "Uploads of a page.",
     .schema = R"({"type":"integer","minimum":1,"maximum":10000,"default":100})"},
    {.name = "cursor", .doc = "The page's place: \"next\" of the page before."},
};
constexpr Parameter one_parameters[] = {
    {.name = "id", .in = Parameter::In::path, .doc = "The upload's id.", .required = true},
    {.name = "device", .doc = "Its device, where it is known: it is found sooner."},
};
constexpr Parameter content_parameters[] = {
    {.name = "id", .in = Parameter::In::path, .doc = "The upload's id.", .required = true},
};

#define RG_MEDIA_SCHEMA                                                                        \
  R"({"type":"object","required":["id","record_id","device","time","device_time","name",)"     \
  R"("content_type","size_bytes","content","details"],"additionalProperties":false,)"          \
  R"("properties":{"id":{"type":"string"},"record_id":{"type":"string"},)"                     \
  R"("device":{"type":"string"},"time":{"type":"string"},)"                                    \
  R"("device_time":{"type":["string","null"]},"name":{"type":"string"},)"                      \
  R"("content_type":{"type":"string"},"size_bytes":{"type":"integer"},)"                       \
  R"("content":{"type":"string"},"details":{"type":"object"}}})"

constexpr std::string_view content_types[] = {
    "image/jpeg", "image/png",  "image/tiff", "audio/mpeg",
    "audio/wav",  "video/x-ms-wmv", "video/mp4",  "video/h264"};

constexpr Route routes[] = {
    {.path = "/api/v1/media",
     .summary = "What devices have uploaded: pictures, sound, films, attachments of alarms.",
     .parameters = list_parameters,
     .response_schema = R"({"type":"object","required":["media"],"properties":{"media":)"
                        R"({"type":"array","items":)" RG_MEDIA_SCHEMA
                        R"(},"next":{"type":"string"}},"additionalProperties":false})",
     .run = list_media},
    {.path = "/api/v1/media/{id}",
     .summary = "One upload: who sent it when, and what it is.",
     .parameters = one_parameters,
     .response_schema = RG_MEDIA_SCHEMA,
     .run = get_media},
    {.path = "/api/v1/media/{id}/content",
     .summary = "The file itself; ranges and tags as RFC 9110 has them.",
     .parameters = content_parameters,
     .response_schema = R"({"type":"string","contentMediaType":"application/octet-stream"})",
     .response_type = "application/octet-stream",
     .other_types = content_types,
     .also = 206,
     .tagged = true,
     .run = get_content},
};

}  // namespace

const std::span<const Route> media_routes = routes;

}  // namespace ringgate::api
