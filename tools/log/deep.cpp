#include "tools/log/deep.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <unordered_set>

#include "engine/base/crc32c.hpp"
#include "engine/base/json_scan.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/index.hpp"
#include "storage/log/reader.hpp"
#include "storage/log/segment_list.hpp"
#include "tools/log/common.hpp"
#include "tools/log/selecting.hpp"

namespace ringgate::log_tool {

namespace {

// More than these say nothing new.
constexpr std::size_t problems_max = 100;
constexpr std::size_t read_size = 1 << 20;

// The value of a member without its quotes; empty: it is not there.
std::string_view member(std::string_view json, std::string_view name) {
  std::string_view value = scan_json_object(json, name).member;
  if (value.size() >= 2 && value.front() == '"') value = value.substr(1, value.size() - 2);
  return value;
}

template <class Number>
bool read_number(std::string_view text, Number& out, int base = 10) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out, base);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

struct BlobSeen {
  std::string file;  // below blobs/
  std::uint64_t size_bytes = 0;
  std::uint32_t crc = 0;
  bool has_crc = false;
  std::string record;  // who lists it
};

struct StreamSeen {
  bool any = false;
  bool from_start = false;  // its first record is there
  Position last = 0;
  WallUs last_received_us = 0;
  std::unordered_set<std::uint64_t> frames;  // by device and message
  std::unordered_set<Position> intents;
  std::unordered_set<Position> ended;
};

class DeepLook {
 public:
  DeepLook(const std::string& directory, const event::CatalogSet& catalogs)
      : directory_(directory), catalogs_(catalogs) {}

  void record(const log::NodeId& node, const log::Entry& entry);
  void check_blobs();
  void check_indexes();
  DeepReport finish();

 private:
  void order(StreamSeen& seen, const log::Entry& entry, const std::string& id);
  void frame(StreamSeen& seen, const log::Record& record, const std::string& id);
  void command(StreamSeen& seen, const log::Record& record, const std::string& id);
  void media(const log::Record& record, const std::string& id);
  void check_blob(const BlobSeen& blob, const std::string& oldest);
  void check_index(const std::string& name);
  void problem(std::string text) {
    if (report_.problems.size() < problems_max) report_.problems.push_back(std::move(text));
    if (report_.problems.size() == problems_max) report_.problems.emplace_back("and more");
  }

  std::string directory_;
  const event::CatalogSet& catalogs_;
  std::map<log::StreamId, StreamSeen> streams_;
  std::vector<BlobSeen> blobs_;
  std::string text_;
  DeepReport report_;
};

void DeepLook::order(StreamSeen& seen, const log::Entry& entry, const std::string& id) {
  const log::RecordHeader& header = entry.record.header;
  if (!seen.any) seen.from_start = header.position == 0;
  if (seen.any && header.position <= seen.last) {
    problem(fmt::format("{}: comes after position {}", id, seen.last));
  }
  if (seen.any && header.received_us < seen.last_received_us) {
    problem(fmt::format("{}: received {} before the record in front of it", id,
                        duration_text(static_cast<double>(seen.last_received_us -
                                                          header.received_us) / 1e6)));
  }
  seen.any = true;
  seen.last = std::max(seen.last, header.position);
  seen.last_received_us = std::max(seen.last_received_us, header.received_us);
}

void DeepLook::frame(StreamSeen& seen, const log::Record& record, const std::string& id) {
  ++report_.frames;
  const event::MessageCatalog* catalog = catalogs_.find(record.ns());
  if (catalog == nullptr) {
    ++report_.unknown;
    return;
  }
  const bool part = catalog->is_part(record.view());
  if (part) ++report_.parts;
  if (!part) {
    text_.clear();
    JsonWriter json(text_);
    catalog->json(record.payload, json);
    // In a text the quotes would stand behind a backslash.
    if (text_.find("\"error\":") != std::string::npos) ++report_.bad_bodies;
  }
  if (record.kind() != log::Kind::frame_up) return;
  const std::uint64_t key =
      std::hash<std::string_view>{}(record.device) ^ record.header.message * 0x9e3779b97f4a7c15ULL;
  if (!record.whole()) {
    seen.frames.insert(key);
    return;
  }
  ++report_.wholes;
  if (seen.frames.contains(key)) return;
  if (seen.from_start) {
    problem(fmt::format("{}: a whole message without the frames that brought it", id));
  } else {
    ++report_.wholes_alone;
  }
}

void DeepLook::command(StreamSeen& seen, const log::Record& record, const std::string& id) {
  if (!record.outcome()) {
    ++report_.intents;
    seen.intents.insert(record.header.position);
    return;
  }
  ++report_.outcomes;
  Position intent = 0;
  if (!read_number(member(as_text(record.payload), "intent"), intent)) {
    problem(fmt::format("{}: the outcome of a command does not say of which", id));
  } else if (!seen.intents.contains(intent)) {
    if (seen.from_start) {
      problem(fmt::format("{}: the outcome of a command that is not at {}", id, intent));
    } else {
      ++report_.outcomes_alone;
    }
  } else if (!seen.ended.insert(intent).second) {
    problem(fmt::format("{}: a second outcome of the command at {}", id, intent));
  }
}

void DeepLook::media(const log::Record& record, const std::string& id) {
  const std::string_view json = as_text(record.payload);
  BlobSeen blob;
  blob.file = member(json, "file");
  blob.record = id;
  if (blob.file.empty() || !read_number(member(json, "size_bytes"), blob.size_bytes) ||
      blob.file.find("..") != std::string::npos) {
    return problem(fmt::format("{}: lists a file, and does not say which or how long", id));
  }
  blob.has_crc = read_number(member(json, "crc32c"), blob.crc, 16);
  blobs_.push_back(std::move(blob));
}

void DeepLook::record(const log::NodeId& node, const log::Entry& entry) {
  const log::Record& record = entry.record;
  const std::string id = log::record_id(node, entry.stream, record.header.position);
  ++report_.records;
  StreamSeen& seen = streams_[entry.stream];
  order(seen, entry, id);
  const log::Kind kind = record.kind();
  if (kind == log::Kind::frame_up || kind == log::Kind::frame_down) frame(seen, record, id);
  if (kind == log::Kind::command) command(seen, record, id);
  if (kind == log::Kind::media) media(record, id);
}

// Ids begin with their time, so names sort by age.
std::string name_of_blob(const std::string& file) { return file.substr(file.rfind('/') + 1); }

std::string oldest_blob(const std::string& root) {
  namespace fs = std::filesystem;
  std::string oldest;
  std::error_code error;
  for (auto at = fs::recursive_directory_iterator(root, error);
       !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    if (at->path().filename() == "partial") at.disable_recursion_pending();
    if (!at->is_regular_file(error)) continue;
    const std::string name = at->path().filename().string();
    if (oldest.empty() || name < oldest) oldest = name;
  }
  return oldest;
}

void DeepLook::check_blob(const BlobSeen& blob, const std::string& oldest) {
  io::Sys& sys = io::real_sys();
  const std::string path = directory_ + "/blobs/" + blob.file;
  const int fd = sys.open(path, O_RDONLY, 0);
  if (fd < 0) {
    // Retention takes the oldest first.
    if (fd == -ENOENT && (oldest.empty() || name_of_blob(blob.file) < oldest)) {
      ++report_.blobs_gone;
      return;
    }
    return problem(errno_error(-fd, fmt::format("{}, listed by {}", path, blob.record)).message);
  }
  std::vector<std::uint8_t> buffer(read_size);
  std::uint64_t size = 0;
  std::uint32_t crc = 0;
  std::int64_t got = 0;
  while (!interrupted() && (got = sys.pread(fd, buffer, size)) > 0) {
    const Bytes bytes(buffer.data(), static_cast<std::size_t>(got));
    crc = crc32c(crc, bytes);
    size += bytes.size();
  }
  sys.close(fd);
  ++report_.blobs_checked;
  report_.blob_bytes += size;
  if (interrupted()) return;
  if (got < 0) {
    problem(errno_error(static_cast<int>(-got), path).message);
  } else if (size != blob.size_bytes) {
    problem(fmt::format("{}: {} bytes, {} says {}", path, size, blob.record, blob.size_bytes));
  } else if (blob.has_crc && crc != blob.crc) {
    problem(fmt::format("{}: its content is not what was stored (CRC-32C {:08x}, {} says {:08x})",
                        path, crc, blob.record, blob.crc));
  }
}

void DeepLook::check_blobs() {
  report_.blobs = blobs_.size();
  if (blobs_.empty()) return;
  const std::string oldest = oldest_blob(directory_ + "/blobs");
  std::uint64_t bytes = 0;
  for (const BlobSeen& blob : blobs_) bytes += blob.size_bytes;
  ProgressLine progress("checking blobs");
  for (const BlobSeen& blob : blobs_) {
    if (interrupted()) return;
    check_blob(blob, oldest);
    progress.update(report_.blob_bytes, bytes);
  }
}

// An index is made of its segment and of nothing else: made again it must be the same.
void DeepLook::check_index(const std::string& name) {
  const std::string directory = directory_ + "/log/";
  const auto file = log::SegmentFile::open(io::real_sys(), directory + name);
  if (!file || !(*file)->seal()) return;  // gone, or being written
  const Position end = (*file)->seal()->end;
  log::IndexBuilder builder((*file)->header());
  for (Position at = (*file)->header().base; at < end && !interrupted();) {
    const auto record = (*file)->record_at(at);
    if (!record) return;  // damage, which was told
    at = record->end();
    if (record->is_own()) continue;
    const event::MessageCatalog* catalog = catalogs_.find(record->ns());
    builder.add(*record,
                catalog == nullptr ? std::nullopt : catalog->device_times(record->view()));
  }
  const std::string path = directory + log::index_name_of(name);
  std::ifstream index(path, std::ios::binary);
  const std::string there((std::istreambuf_iterator<char>(index)), {});
  if (interrupted() || there.empty()) return;
  ++report_.indexes;
  if (as_text(builder.finish(end)) != there) {
    problem(fmt::format("{}: says something else than its segment (remove it; the gateway makes it "
                        "again)",
                        path));
  }
}

void DeepLook::check_indexes() {
  std::vector<log::SegmentEntry> segments;
  log::list_segments(io::real_sys(), directory_ + "/log", segments);
  std::uint64_t bytes = 0;
  for (const log::SegmentEntry& segment : segments) bytes += segment.size_bytes;
  ProgressLine progress("checking indexes");
  std::uint64_t done = 0;
  for (const log::SegmentEntry& segment : segments) {
    if (interrupted()) return;
    if (segment.id.compressed) {
      ++report_.compressed;
    } else if (segment.indexed) {
      check_index(segment.name);
    }
    done += segment.size_bytes;
    progress.update(done, bytes);
  }
}

DeepReport DeepLook::finish() {
  for (const auto& [id, seen] : streams_) {
    report_.open_intents += seen.intents.size() - seen.ended.size();
  }
  return std::move(report_);
}

}  // namespace

Result<DeepReport> look_deep(const std::string& directory) {
  auto opened = log::Reader::open(io::real_sys(), directory, {});
  if (!opened) return opened.error();
  log::Reader& reader = **opened;
  const Catalogs catalogs;
  DeepLook look(directory, catalogs.set);
  {
    ProgressLine progress("looking deeper");
    log::Entry entry;
    std::uint64_t seen = 0;
    while (!interrupted() && reader.next(entry)) {
      look.record(reader.node(), entry);
      if (++seen % progress_records == 0)
        progress.update(reader.bytes_done(), reader.bytes_total());
    }
  }
  look.check_indexes();
  look.check_blobs();
  return look.finish();
}

std::string DeepReport::text() const {
  std::string out;
  const auto line = [&out](const char* what, const std::string& said) {
    out += fmt::format("{:<10} {}\n", what, said);
  };
  line("order", fmt::format("{} records", records));
  line("bodies", fmt::format("{} frames, {} do not decode{}", frames, bad_bodies,
                             unknown > 0 ? fmt::format(", {} of unknown protocols", unknown) : ""));
  line("wholes", fmt::format("{} of {} parts{}", wholes, parts,
                             wholes_alone > 0
                                 ? fmt::format("; the frames of {} are gone", wholes_alone)
                                 : ""));
  line("commands", fmt::format("{} intents, {} outcomes, {} without an outcome{}", intents,
                               outcomes, open_intents,
                               outcomes_alone > 0
                                   ? fmt::format("; the intents of {} are gone", outcomes_alone)
                                   : ""));
  line("blobs", fmt::format("{} listed, {} read ({} bytes){}", blobs, blobs_checked, blob_bytes,
                            blobs_gone > 0 ? fmt::format(", {} not there: older than the oldest, "
                                                         "or left out of a backup",
                                                         blobs_gone)
                                           : ""));
  line("indexes", fmt::format("{} compared; {} compressed segments inflated", indexes, compressed));
  return out;
}

void DeepReport::put(JsonWriter& json) const {
  json.begin_object();
  const std::pair<const char*, std::uint64_t> numbers[] = {
      {"records", records},
      {"frames", frames},
      {"bad_bodies", bad_bodies},
      {"unknown_protocol", unknown},
      {"parts", parts},
      {"wholes", wholes},
      {"wholes_alone", wholes_alone},
      {"intents", intents},
      {"outcomes", outcomes},
      {"open_intents", open_intents},
      {"outcomes_alone", outcomes_alone},
      {"blobs", blobs},
      {"blobs_checked", blobs_checked},
      {"blob_bytes", blob_bytes},
      {"blobs_gone", blobs_gone},
      {"indexes", indexes},
      {"compressed_segments", compressed}};
  for (const auto& [name, value] : numbers) json.key(name).unsigned_integer(value);
  json.end_object();
}

}  // namespace ringgate::log_tool
