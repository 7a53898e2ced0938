// GET /api/v1/records and /api/v1/records/{id}: what is in the log.
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include "protocols/api/asked.hpp"
#include "protocols/api/place.hpp"
#include "protocols/api/plane.hpp"
#include "protocols/api/query_pool.hpp"
#include "protocols/api/record_walk.hpp"
#include "protocols/api/routes.hpp"
#include "storage/event/record_json.hpp"
#include "storage/log/data_dir.hpp"
#include "storage/query/directory.hpp"

namespace ringgate::api {

namespace {

constexpr std::uint64_t page_max = 10'000;
constexpr std::uint64_t page_default = 100;

// "NODE/RUN-SHARD/POSITION", or without the node.
struct RecordId {
  std::string node;  // empty: this one's
  log::StreamId stream;
  Position position = 0;
};
std::optional<RecordId> parse_record_id(std::string_view text) {
  RecordId id;
  if (std::ranges::count(text, '/') == 2) {
    id.node = text.substr(0, text.find('/'));
    text.remove_prefix(id.node.size() + 1);
  }
  const bool good = take_number(text, id.stream.run, '-') &&
                    take_number(text, id.stream.shard, '/') && take_number(text, id.position, 0);
  return good ? std::optional(id) : std::nullopt;
}

struct RecordsAsked {
  query::Selection selection;
  std::optional<Place> after;
  std::uint64_t limit = page_default;
  bool decode = true;
};

class RecordsQuery final : public Query {
 public:
  explicit RecordsQuery(RecordsAsked asked) : asked_(std::move(asked)) {}

  Result<bool> step(QueryRun& run, QueryHead&, std::string& out) override {
    const auto opened = walk_.open(run.scan, asked_.selection);
    if (!opened) return opened.error();
    if (*opened) out += "{\"records\":[";
    const std::size_t began = out.size();
    query::Found found;
    while (out.size() - began < step_bytes) {
      const auto next = walk_.next(found, asked_.after);
      if (!next) return next.error();
      if (*next == RecordWalk::Next::rest) return true;
      if (*next == RecordWalk::Next::end) return ended(false, out);
      if (count_ == asked_.limit) return ended(true, out);
      if (count_++ > 0) out += ',';
      last_ = place_of(found);
      json_.write(record_id(walk_.node(), last_.stream, last_.position), walk_.node(),
                  found.record.view(), run.scan.catalogs.find(found.record.ns()),
                  {.frame = true, .body = asked_.decode, .positions = asked_.decode}, out);
    }
    return true;
  }
  std::uint64_t bytes_read() const override { return walk_.bytes_read(); }

 private:
  bool ended(bool more, std::string& out) const {
    out += ']';
    if (more) fmt::format_to(std::back_inserter(out), ",\"next\":\"{}\"", last_.text());
    out += '}';
    return false;
  }

  RecordsAsked asked_;
  RecordWalk walk_;
  event::RecordJson json_;
  std::uint64_t count_ = 0;
  Place last_;
};

class RecordQuery final : public Query {
 public:
  RecordQuery(RecordId id, std::string text) : id_(std::move(id)), text_(std::move(text)) {}

  Result<bool> step(QueryRun& run, QueryHead&, std::string& out) override {
    const Error unknown{404, fmt::format("there is no record {} here", text_)};
    const auto node = log::read_small_file(run.scan.sys, run.scan.data_dir + "/node");
    if (!node) return node.error();
    const auto own = log::node_from_text(*node);
    if (!own) return unknown;
    const std::string name = log::to_text(*own);
    if (!id_.node.empty() && id_.node != name) return unknown;
    const log::CommitBoard* const board = run.scan.board;
    if (board != nullptr && board->run() == id_.stream.run &&
        id_.position >= board->committed(id_.stream)) {
      return unknown;
    }
    query::Directory directory(run.scan.sys, run.scan.data_dir);
    if (const int listed = directory.list(); listed < 0) {
      return errno_error(-listed, "cannot list the log's directory");
    }
    const query::KnownSegments* const segments = directory.find(id_.stream);
    if (segments == nullptr) return unknown;
    const auto behind = std::ranges::upper_bound(*segments, id_.position, {},
                                                 &query::KnownSegment::base);
    if (behind == segments->begin()) return unknown;
    const auto file =
        directory.open(id_.stream, std::prev(behind)->base, log::Access::scattered);
    if (!file) return unknown;
    const auto record = (*file)->record_at(id_.position);
    bytes_read_ = (*file)->bytes_read();
    if (!record || record->is_own()) return unknown;
    event::RecordJson json;
    json.write(record_id(name, id_.stream, id_.position), name, record->view(),
               run.scan.catalogs.find(record->ns()),
               {.frame = true, .body = true, .positions = true}, out);
    return false;
  }
  std::uint64_t bytes_read() const override { return bytes_read_; }

 private:
  RecordId id_;
  std::string text_;
  std::uint64_t bytes_read_ = 0;
};

// Calls `one` for each member of a comma-separated parameter. False: it has answered.
template <class One>
bool each_of(Call& call, std::string_view name, One one) {
  const auto text = call.parameter(name);
  if (!text) return true;
  std::string_view list = *text;
  while (!list.empty()) {
    const std::string_view member = list.substr(0, list.find(','));
    list.remove_prefix(std::min(member.size() + 1, list.size()));
    if (!one(member)) {
      call.problem(400, fmt::format("{}: '{}' is none", name, member));
      return false;
    }
  }
  return true;
}

bool add_message(const event::MessageCatalog& catalog, std::string_view text,
                 query::Selection& selection) {
  for (const event::MessageInfo& info : catalog.list()) {
    if (text != info.name && text != catalog.message_id_text(info.id)) continue;
    selection.messages.push_back(info.id);
    return true;
  }
  const bool hex = text.starts_with("0x") || text.starts_with("0X");
  std::uint16_t id = 0;
  const std::string_view digits = text.substr(hex ? 2 : 0);
  const char* const last = digits.data() + digits.size();
  const auto [end, error] = std::from_chars(digits.data(), last, id, hex ? 16 : 10);
  if (error != std::errc{} || end != last) return false;
  selection.messages.push_back(id);
  return true;
}

constexpr event::RecordKind kinds[] = {
    event::RecordKind::frame_up, event::RecordKind::frame_down, event::RecordKind::session,
    event::RecordKind::command,  event::RecordKind::audit,      event::RecordKind::media,
    event::RecordKind::state};

void list_records(Plane& plane, const CallPtr& call) {
  RecordsAsked asked;
  query::Selection& selection = asked.selection;
  const auto times = asked_times(*call);
  if (!times || !asked_device(plane, *call, selection) || !asked_area(*call, selection.area)) {
    return;
  }
  selection.received_from_us = times->from_us;
  selection.received_to_us = times->to_us;
  const auto limit = call->number("limit", page_default, 1, page_max);
  const auto decode = asked_flag(*call, "decode", true);
  if (!limit || !decode) return;
  asked.limit = *limit;
  asked.decode = *decode;
  const bool read = each_of(*call, "message", [&](std::string_view text) {
    return add_message(plane.parts().catalog, text, selection);
  }) && each_of(*call, "kind", [&](std::string_view text) {
    const auto* const kind = std::ranges::find(kinds, text, event::RecordJson::kind_name);
    if (kind == std::end(kinds)) return false;
    selection.add_kind(*kind);
    return true;
  });
  if (!read) return;
  // Of other kinds the number means something else, or nothing.
  if (!selection.messages.empty() && selection.kinds == 0) {
    for (const event::RecordKind kind : {event::RecordKind::frame_up, event::RecordKind::frame_down,
                                         event::RecordKind::command}) {
      selection.add_kind(kind);
    }
  }
  if (const auto cursor = call->parameter("cursor")) {
    asked.after = parse_place(*cursor);
    if (!asked.after) return call->problem(400, "cursor is not one that \"next\" gave");
    selection.received_from_us = std::max(selection.received_from_us, asked.after->received_us);
  }
  plane.ask_log(call, std::make_unique<RecordsQuery>(std::move(asked)));
}

void get_record(Plane& plane, const CallPtr& call) {
  auto id = parse_record_id(call->value(0));
  if (!id) {
    return call->problem(400, "a record's id is NODE/RUN-SHARD/POSITION, with %2F for the slashes");
  }
  plane.ask_log(call, std::make_unique<RecordQuery>(std::move(*id), call->value(0)));
}

constexpr Parameter list_parameters[] = {
    {.name = "device", .doc = "Only of this device."},
    {.name = "from", .doc = from_doc},
    {.name = "to", .doc = to_doc},
    {.name = "message",
     .doc = "Only frames and commands of these messages: 0x0200 or a name; several with commas."},
    {.name = "kind",
     .doc = "frame-up, frame-down, session, command, audit, media, state; several with commas."},
    {.name = "area", .doc = "Only records with a position in LAT,LON,LAT,LON (WGS-84)."},
    {.name = "limit",
     .doc = "Records of a page.",
     .schema = R"({"type":"integer","minimum":1,"maximum":10000,"default":100})"},
    {.name = "cursor", .doc = "The page's place: \"next\" of the page before."},
    {.name = "decode",
     .doc = "With what frames say, and their positions and alarms.",
     .schema = R"({"type":"boolean","default":true})"},
};
constexpr Parameter one_parameters[] = {
    {.name = "id",
     .in = Parameter::In::path,
     .doc = "The record's id, as lists and the stream have it; its slashes as %2F.",
     .required = true},
};

#define RG_RECORD_SCHEMA                                                                       \
  R"({"type":"object","required":["record_id","node","time","received","device","protocol",)" \
  R"("kind","link"],"properties":{"record_id":{"type":"string"},"node":{"type":"string"},)"   \
  R"("time":{"type":["string","null"]},"received":{"type":"integer"},)"                       \
  R"("device":{"type":"string"},"protocol":{"type":"string"},"kind":{"type":"string"},)"      \
  R"("message_id":{"type":"string"},"message":{"type":"string"},)"                            \
  R"("serial":{"type":"integer"},"duplicate":{"type":"boolean"},)"                            \
  R"("whole":{"type":"boolean"},"frame":{"type":"string"},"body":{"type":"object"},)"         \
  R"("positions":{"type":"array"},"alarms":{"type":"array"},"link":{"type":"string"}}})"

constexpr Route routes[] = {
    {.path = "/api/v1/records",
     .summary = "Records of the log by received time: frames with what they say, sessions, "
                "commands with their outcomes, audit, media.",
     .parameters = list_parameters,
     .response_schema = R"({"type":"object","required":["records"],"properties":{"records":)"
                        R"({"type":"array","items":)" RG_RECORD_SCHEMA
                        R"(},"next":{"type":"string"}},"additionalProperties":false})",
     .run = list_records},
    {.path = "/api/v1/records/{id}",
     .summary = "One record: its frame in hex, secrets blanked out, and what it says.",
     .parameters = one_parameters,
     .response_schema = RG_RECORD_SCHEMA,
     .run = get_record},
};

}  // namespace

const std::span<const Route> record_routes = routes;

}  // namespace ringgate::api
