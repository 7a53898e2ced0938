#include "storage/state/snapshot.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "engine/base/crc32c.hpp"
#include "storage/log/format_version.hpp"
#include "storage/state/records.hpp"

namespace ringgate::state {

namespace {

constexpr std::string_view magic = "RGSTATE1";  // the last of it is the format's version
constexpr std::string_view prefix = "snapshot-";
constexpr std::string_view unfinished = "new-snapshot";
// change, namespace, size of the id, size of the payload
constexpr std::size_t record_head = 8;
// size, records, crc
constexpr std::size_t block_head = 16;
// The last block: the cursor as text. Its number of records says so.
constexpr std::uint32_t cursor_mark = ~std::uint32_t{0};
// A cursor has some 20 bytes for each shard of each run that is not read to its end.
constexpr std::uint32_t block_max = 64U << 20;

std::uint64_t number_of(std::string_view name) {
  std::uint64_t number = 0;
  if (!name.starts_with(prefix)) return 0;
  name.remove_prefix(prefix.size());
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  return error == std::errc{} && end == name.data() + name.size() ? number : 0;
}

// Takes the records of one block. False: they do not fill it exactly.
bool take_records(Bytes block, std::uint32_t count,
                  const std::function<void(const event::RecordView&)>& take) {
  for (; count > 0; --count) {
    if (block.size() < record_head) return false;
    const std::size_t id_size = block[3];
    const auto payload_size = load_native<std::uint32_t>(block.data() + 4);
    if (block.size() - record_head < id_size + std::size_t{payload_size}) return false;
    event::RecordView record;
    record.kind = event::RecordKind::state;
    record.message = load_native<std::uint16_t>(block.data());
    record.ns = static_cast<Namespace>(block[2]);
    record.device = as_text(block.subspan(record_head, id_size));
    record.payload = block.subspan(record_head + id_size, payload_size);
    take(record);
    block = block.subspan(record_head + id_size + payload_size);
  }
  return block.empty();
}

// Reads a file from its beginning to its end.
class Source {
 public:
  Source(io::Sys& sys, const std::string& path) : sys_(sys), fd_(sys.open(path, O_RDONLY, 0)) {}
  ~Source() {
    if (fd_ >= 0) sys_.close(fd_);
  }
  Source(const Source&) = delete;
  Source& operator=(const Source&) = delete;

  int fd() const { return fd_; }
  void skip(std::uint64_t bytes) { at_ += bytes; }
  bool read(MutableBytes into) {
    while (!into.empty()) {
      const std::int64_t got = sys_.pread(fd_, into, at_);
      if (got <= 0) return false;
      at_ += static_cast<std::uint64_t>(got);
      into = into.subspan(static_cast<std::size_t>(got));
    }
    return true;
  }

 private:
  io::Sys& sys_;
  int fd_;
  std::uint64_t at_ = 0;
};

}  // namespace

void encode_record(Namespace ns, std::string_view id, std::uint16_t message, Bytes payload,
                   std::vector<std::uint8_t>& out) {
  std::uint8_t head[record_head];
  store_native(head, message);
  head[2] = static_cast<std::uint8_t>(ns);
  head[3] = static_cast<std::uint8_t>(id.size());
  store_native(head + 4, static_cast<std::uint32_t>(payload.size()));
  out.insert(out.end(), head, head + record_head);
  out.insert(out.end(), id.begin(), id.end());
  out.insert(out.end(), payload.begin(), payload.end());
}

std::uint32_t encode_entry(const Table::Entry& entry, std::vector<std::uint8_t>& out) {
  std::uint32_t count = 0;
  const auto add = [&](Change change, std::string_view payload) {
    encode_record(entry.device.ns, entry.device.id(), static_cast<std::uint16_t>(change),
                  as_bytes(payload), out);
    ++count;
  };
  if (entry.registration) add(Change::registration_put, json_of(*entry.registration));
  if (entry.ban != nullptr) add(Change::banned, json_of(*entry.ban));
  if (entry.generation != 0) add(Change::generation, json_of_generation(entry.generation));
  if (entry.pending == nullptr) return count;
  for (const PendingCommand& command : *entry.pending) {
    add(Change::command_pending, json_of(command));
  }
  return count;
}

std::vector<std::string> list_snapshots(io::Sys& sys, const std::string& directory) {
  std::vector<io::DirectoryEntry> entries;
  sys.list_directory(directory, entries);
  std::vector<std::string> names;
  for (const io::DirectoryEntry& entry : entries) {
    if (number_of(entry.name) != 0) names.push_back(entry.name);
  }
  std::ranges::sort(names, [](const std::string& a, const std::string& b) {
    return number_of(a) > number_of(b);
  });
  return names;
}

Result<std::unique_ptr<SnapshotWriter>> SnapshotWriter::create(io::Sys& sys, std::string directory,
                                                               const log::NodeId& node,
                                                               bool sync) {
  std::unique_ptr<SnapshotWriter> writer(new SnapshotWriter(sys, std::move(directory), node));
  writer->sync_ = sync;
  const int made = sys.make_directory(writer->directory_, 0755);
  if (made < 0 && made != -EEXIST) return writer->failed(made, "the directory can't be made");
  // Whether or not it was just made: the one that made it may have died before this.
  const std::size_t slash = writer->directory_.rfind('/');
  const std::string above = slash == 0 ? "/" : writer->directory_.substr(0, slash);
  const int listed = writer->sync_ ? sys.sync_directory(above) : 0;
  if (listed < 0) return writer->failed(listed, "its directory can't be synced");
  const std::string path = fmt::format("{}/{}", writer->directory_, unfinished);
  writer->fd_ = sys.open(path, O_WRONLY | O_CREAT | O_TRUNC, 0640);
  if (writer->fd_ < 0) return writer->failed(writer->fd_, "it can't be made");
  std::vector<std::uint8_t> head(magic.begin(), magic.end());
  head.insert(head.end(), node.begin(), node.end());
  if (auto put = writer->put(head); !put) return put.error();
  return writer;
}

SnapshotWriter::~SnapshotWriter() {
  if (fd_ < 0) return;
  sys_.close(fd_);
  sys_.remove(fmt::format("{}/{}", directory_, unfinished));
}

Error SnapshotWriter::failed(std::int64_t result, std::string_view what) const {
  return errno_error(static_cast<int>(-result),
                     fmt::format("snapshot of the state in {}: {}", directory_, what));
}

Result<void> SnapshotWriter::put(Bytes bytes) {
  const std::int64_t written = sys_.pwrite(fd_, bytes, at_);
  if (written < 0) return failed(written, "it can't be written");
  if (static_cast<std::size_t>(written) != bytes.size()) return failed(-ENOSPC, "it is cut short");
  at_ += bytes.size();
  return {};
}

Result<void> SnapshotWriter::flush() {
  if (block_.empty()) return {};
  std::uint8_t head[block_head] = {};
  store_native(head, static_cast<std::uint32_t>(block_.size()));
  store_native(head + 4, in_block_);
  store_native(head + 8, crc32c(crc32c(0, {head, 8}), block_));
  if (auto done = put({head, block_head}); !done) return done;
  if (auto done = put(block_); !done) return done;
  block_.clear();
  in_block_ = 0;
  return {};
}

Result<void> SnapshotWriter::add(Bytes records, std::uint32_t count) {
  block_.insert(block_.end(), records.begin(), records.end());
  in_block_ += count;
  records_ += count;
  return block_.size() >= snapshot_block_bytes ? flush() : Result<void>{};
}

Result<std::string> SnapshotWriter::finish(const log::Cursor& cursor) {
  if (auto done = flush(); !done) return done.error();
  const std::string text = log::to_text(node_, cursor);
  block_.assign(text.begin(), text.end());
  in_block_ = cursor_mark;
  if (auto done = flush(); !done) return done.error();
  const int synced = sync_ ? sys_.data_sync(fd_) : 0;
  if (synced < 0) return failed(synced, "it can't be synced");
  sys_.close(fd_);
  fd_ = -1;
  const std::vector<std::string> names = list_snapshots(sys_, directory_);
  const std::uint64_t number = names.empty() ? 1 : number_of(names.front()) + 1;
  const std::string name = fmt::format("{}{:010}", prefix, number);
  const int named = sys_.rename(fmt::format("{}/{}", directory_, unfinished),
                                fmt::format("{}/{}", directory_, name));
  if (named < 0) return failed(named, "it can't be named");
  const int listed = sync_ ? sys_.sync_directory(directory_) : 0;
  if (listed < 0) return failed(listed, "its directory can't be synced");
  return name;
}

namespace {

// Goes through the blocks of a snapshot.
class Blocks {
 public:
  Blocks(io::Sys& sys, const std::string& path, const log::NodeId& node)
      : path_(path), node_(node), source_(sys, path) {}

  // Error: it is no snapshot of this node.
  Result<void> open() {
    if (source_.fd() < 0) return errno_error(-source_.fd(), path_);
    std::uint8_t head[magic.size() + sizeof(log::NodeId)] = {};
    if (!source_.read(head) || std::memcmp(head, magic.data(), magic.size()) != 0) {
      return no_snapshot(head);
    }
    if (std::memcmp(head + magic.size(), node_.data(), node_.size()) != 0) {
      return bad("it is another node's");
    }
    return {};
  }
  // The next block's head. The content follows: one of these two.
  Result<void> next() {
    if (!source_.read(head_)) return bad("it is cut short");
    return size() > block_max ? bad("it is damaged") : Result<void>{};
  }
  Result<void> read() {
    content_.resize(size());
    if (!source_.read(content_)) return bad("it is cut short");
    const std::uint32_t crc = crc32c(crc32c(0, {head_, 8}), content_);
    return crc == load_native<std::uint32_t>(head_ + 8) ? Result<void>{} : bad("it is damaged");
  }
  void skip() { source_.skip(size()); }

  std::uint32_t size() const { return load_native<std::uint32_t>(head_); }
  std::uint32_t records() const { return load_native<std::uint32_t>(head_ + 4); }
  bool is_cursor() const { return records() == cursor_mark; }
  Bytes content() const { return content_; }
  Result<log::Cursor> cursor() const {
    auto cursor = log::cursor_from_text(as_text(content_));
    if (!cursor || cursor->node != node_) return bad("its cursor is damaged");
    return cursor->cursor;
  }
  Error bad(std::string_view what) const { return Error{0, fmt::format("{}: {}", path_, what)}; }

 private:
  Error no_snapshot(const std::uint8_t* head) const {
    constexpr std::size_t version_at = magic.size() - 1;
    const auto version = static_cast<char>(head[version_at]);
    if (std::memcmp(head, magic.data(), version_at) != 0 || version <= magic[version_at] ||
        version > '9') {
      return bad("no snapshot of the state");
    }
    const Error newer = log::version_error(static_cast<std::uint64_t>(version - '0'),
                                           static_cast<std::uint64_t>(magic[version_at] - '0'));
    return {newer.code, fmt::format("{}: {}. The state was not changed. Cure: start the newer "
                                    "program; or, to have the state read anew from the log, move "
                                    "all snapshots to another directory",
                                    path_, newer.message)};
  }

  const std::string& path_;
  const log::NodeId& node_;
  Source source_;
  std::uint8_t head_[block_head] = {};
  std::vector<std::uint8_t> content_;
};

}  // namespace

Result<log::Cursor> read_snapshot(io::Sys& sys, const std::string& path, const log::NodeId& node,
                                  const std::function<void(const event::RecordView&)>& take) {
  Blocks blocks(sys, path, node);
  if (auto opened = blocks.open(); !opened) return opened.error();
  for (;;) {
    if (auto found = blocks.next(); !found) return found.error();
    if (auto read = blocks.read(); !read) return read.error();
    if (blocks.is_cursor()) return blocks.cursor();
    if (!take_records(blocks.content(), blocks.records(), take)) {
      return blocks.bad("it is damaged");
    }
  }
}

Result<log::Cursor> read_snapshot_cursor(io::Sys& sys, const std::string& path,
                                         const log::NodeId& node) {
  Blocks blocks(sys, path, node);
  if (auto opened = blocks.open(); !opened) return opened.error();
  for (;; blocks.skip()) {
    if (auto found = blocks.next(); !found) return found.error();
    if (!blocks.is_cursor()) continue;
    if (auto read = blocks.read(); !read) return read.error();
    return blocks.cursor();
  }
}

}  // namespace ringgate::state
