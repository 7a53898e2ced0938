// backup: a consistent copy of a data directory, also of one that a gateway writes.
#include <fmt/format.h>
#include <fcntl.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/base/json_writer.hpp"
#include "engine/io/sys.hpp"
#include "storage/log/recovery.hpp"
#include "storage/log/segment_list.hpp"
#include "tools/log/commands.hpp"
#include "tools/log/common.hpp"
#include "tools/log/copying.hpp"

namespace ringgate::log_tool {

namespace {

namespace fs = std::filesystem;

constexpr const char* footer = R"(
The copy opens, verifies and recovers like the directory itself, and holds everything that was
acknowledged when the backup began. Order makes it consistent: keys, state and cursors of sinks
first, then the log, which tells what came after them, then blobs, which are durable before the log
lists them. Of segments that are being written what is committed is copied, and sealed in the copy.

Run it again onto the same OUT to bring it up to date: what is there and equal is passed over, and
an interrupted backup goes on. Segments that retention has taken from DIR since are removed from
OUT; --keep keeps them. --link makes hard links of finished segments and blobs where OUT is on the
same file system: fast, and no second copy of the data.

A gateway started on a copy is this node again: never run both.

Examples:
  ringgate-log backup /var/lib/ringgate /backup/ringgate
  ringgate-log backup /var/lib/ringgate /var/lib/ringgate-sunday --link --with-blobs
  ringgate-log verify /backup/ringgate)";

struct Options {
  std::string directory;
  std::string out;
  bool link = false;
  bool with_blobs = false;
  bool keep = false;
  bool json = false;
};

struct Tally {
  std::uint64_t copied = 0;  // segments
  std::uint64_t linked = 0;
  std::uint64_t equal = 0;
  std::uint64_t gone = 0;     // retention took them meanwhile
  std::uint64_t removed = 0;  // from OUT
  std::uint64_t blobs_copied = 0;
  std::uint64_t blobs_equal = 0;
  std::uint64_t bytes = 0;
};

class Backup {
 public:
  explicit Backup(const Options& options) : options_(options), progress_("copying") {}

  // Error: what could not be read or written; code EINTR: interrupted.
  Result<void> run();
  const Tally& tally() const { return tally_; }
  const std::vector<std::string>& problems() const { return problems_; }

 private:
  Result<void> prepare();
  Result<void> copy_small(const std::string& folder);
  Result<void> copy_stream(log::Stream& stream, bool live);
  Result<void> copy_segment(const log::SegmentState& segment);
  Result<void> copy_index(const std::string& name);
  Result<void> tidy_log(const std::set<std::string>& there_before);
  Result<void> copy_blobs();
  // Takes one copy into account. False: it is gone.
  Result<bool> count(Result<CopyDone> done, std::uint64_t& copied);
  void moved(std::uint64_t bytes) {
    done_ += bytes;
    progress_.update(std::min(done_, total_), total_);
  }
  std::string log_path() const { return options_.directory + "/log"; }

  const Options& options_;
  ProgressLine progress_;
  Tally tally_;
  std::vector<std::string> problems_;
  std::uint64_t done_ = 0;
  std::uint64_t total_ = 0;
};

Result<void> Backup::prepare() {
  io::Sys& sys = io::real_sys();
  const auto node = log::read_small_file(sys, options_.directory + "/node");
  if (!node) {
    return Error{node.error().code, node.error().message + " (is " + options_.directory +
                                        " a data directory of ringgate?)"};
  }
  std::error_code error;
  if (lies_in(options_.out, options_.directory)) {
    return Error{0, options_.out + " lies in the directory that is to be copied"};
  }
  if (fs::exists(options_.out, error) && !fs::is_empty(options_.out, error)) {
    const auto other = log::read_small_file(sys, options_.out + "/node");
    if (!other) return Error{0, options_.out + " holds something else than a backup"};
    if (*other != *node) return Error{0, options_.out + " is the backup of another node"};
    if (log::is_held(sys, options_.out)) return Error{0, "a gateway runs on " + options_.out};
  }
  if (auto made = make_directories(options_.out, options_.directory); !made) return made;
  return make_directories(options_.out + "/log", log_path());
}

// Files of a folder: keys and the like, snapshots, cursors. `run` comes last, see run().
Result<void> Backup::copy_small(const std::string& folder) {
  const std::string from = options_.directory + (folder.empty() ? "" : "/" + folder);
  const std::string to = options_.out + (folder.empty() ? "" : "/" + folder);
  std::vector<io::DirectoryEntry> entries;
  if (const int listed = io::real_sys().list_directory(from, entries); listed < 0) {
    if (listed == -ENOENT) return {};
    return errno_error(-listed, "cannot list " + from);
  }
  if (auto made = make_directories(to, from); !made) return made;
  std::set<std::string> names;
  for (const io::DirectoryEntry& entry : entries) {
    std::error_code error;
    const std::string path = from + "/" + entry.name;
    if (entry.is_directory) {
      if (folder.empty() && (entry.name == "log" || entry.name == "blobs")) continue;
      const std::string below = folder.empty() ? entry.name : folder + "/" + entry.name;
      if (auto done = copy_small(below); !done) return done;
      continue;
    }
    const bool own = folder.empty() && (entry.name == "lock" || entry.name == "run");
    if (own || entry.name.starts_with("new-") || !fs::is_regular_file(path, error)) continue;
    names.insert(entry.name);
    auto done = copy_file({.from = path, .to_directory = to, .to_name = entry.name}, [](auto) {});
    if (!done && done.error().code != ENOENT) return done.error();
  }
  if (folder.empty()) return {};
  // Of snapshots and cursors only those that DIR has: an older one would say what is not true.
  for (const auto& entry : fs::directory_iterator(to)) {
    if (entry.is_regular_file() && !names.contains(entry.path().filename().string())) {
      io::real_sys().remove(entry.path().string());
    }
  }
  return {};
}

Result<bool> Backup::count(Result<CopyDone> done, std::uint64_t& copied) {
  if (!done && done.error().code == ENOENT) {
    ++tally_.gone;
    return false;
  }
  if (!done && done.error().code == EIO) {
    // One bad block must not keep the rest from being saved.
    problems_.push_back(done.error().message);
    return false;
  }
  if (!done) return done.error();
  ++(done->linked ? tally_.linked : copied);
  if (!done->linked) tally_.bytes += done->bytes;
  return true;
}

Result<void> Backup::copy_index(const std::string& name) {
  const std::string index = name.substr(0, name.rfind('.')) + ".idx";
  const std::string from = log_path() + "/" + index;
  if (looks_equal(from, options_.out + "/log/" + index)) return {};
  auto done = copy_file({.from = from,
                         .to_directory = options_.out + "/log",
                         .to_name = index,
                         .link = options_.link},
                        [](auto) {});
  // It can be made again at any time.
  if (!done && done.error().code != ENOENT) return done.error();
  return {};
}

Result<void> Backup::copy_segment(const log::SegmentState& segment) {
  const std::string from = segment.file->path();
  const std::string name = from.substr(from.rfind('/') + 1);
  const std::string to = options_.out + "/log/" + name;
  const auto& seal = segment.file->seal();
  if (!seal) {
    if (segment.end == segment.header().base) return {};  // nothing is in it yet
    const auto there = log::SegmentFile::open(io::real_sys(), to);
    if (there && (*there)->header().epoch == segment.header().epoch && (*there)->seal() &&
        (*there)->seal()->end == segment.end) {
      ++tally_.equal;
      moved(segment.file->file_bytes());
      return {};
    }
    auto counted = count(copy_open_segment(segment, from, options_.out + "/log",
                                           [this](std::uint64_t bytes) { moved(bytes); }),
                         tally_.copied);
    if (!counted) return counted.error();
    return {};
  }
  if (looks_equal(from, to)) {
    ++tally_.equal;
    moved(segment.file->file_bytes());
  } else {
    auto counted = count(copy_file({.from = from,
                                    .to_directory = options_.out + "/log",
                                    .to_name = name,
                                    .direct = true,
                                    .link = options_.link,
                                    .still_same = [&] { return segment.file->refresh(); }},
                                   [this](std::uint64_t bytes) { moved(bytes); }),
                         tally_.copied);
    segment.file->release();
    if (!counted) return counted.error();
    if (!*counted) return {};
  }
  return copy_index(name);
}

Result<void> Backup::copy_stream(log::Stream& stream, bool live) {
  // Sealed ones say themselves how far they go.
  examine(stream, live, false, {});
  for (const log::SegmentState& segment : stream.segments) {
    if (interrupted()) return Error{EINTR, "interrupted"};
    if (segment.gone) {
      ++tally_.gone;
      continue;
    }
    for (const log::Damage& damage : segment.damage) problems_.push_back(describe(segment, damage));
    auto done = copy_segment(segment);
    if (!done) return done;
  }
  return {};
}

// Takes out of OUT what retention has taken from DIR: whatever is older than all that DIR has of a
// stream. What was compressed since lies in OUT only compressed. Half copies go.
Result<void> Backup::tidy_log(const std::set<std::string>& there_before) {
  std::vector<io::DirectoryEntry> entries;
  std::vector<log::SegmentEntry> there;
  if (const int listed = log::list_segments(io::real_sys(), log_path(), there); listed < 0) {
    return errno_error(-listed, "cannot list " + log_path());
  }
  std::map<log::StreamId, Position> oldest;
  std::set<std::string> names;
  for (const log::SegmentEntry& entry : there) {
    names.insert(entry.name);
    const auto [at, added] = oldest.emplace(entry.id.stream, entry.id.base);
    if (!added) at->second = std::min(at->second, entry.id.base);
  }
  const std::string out = options_.out + "/log";
  io::real_sys().list_directory(out, entries);
  std::uint64_t removed = 0;
  for (const io::DirectoryEntry& entry : entries) {
    if (entry.name.starts_with("new-")) io::real_sys().remove(out + "/" + entry.name);
    const auto id = log::parse_segment_file_name(entry.name);
    if (!id || names.contains(entry.name) || oldest.empty()) continue;
    const auto stream = oldest.find(id->stream);
    const bool taken = stream == oldest.end() ? id->stream.run < oldest.rbegin()->first.run
                                              : id->base < stream->second;
    // The same segment, of the other kind.
    const bool twice = std::any_of(there.begin(), there.end(), [&](const log::SegmentEntry& other) {
      return other.id.stream == id->stream && other.id.base == id->base;
    });
    // What went while this ran would leave a hole behind it.
    const bool keep = options_.keep && there_before.contains(entry.name);
    if (!twice && (!taken || keep)) continue;
    io::real_sys().remove(out + "/" + entry.name);
    io::real_sys().remove(out + "/" + entry.name.substr(0, entry.name.rfind('.')) + ".idx");
    if (!twice) ++removed;
  }
  tally_.removed = removed;
  if (const int synced = io::real_sys().sync_directory(out); synced < 0) {
    return errno_error(-synced, "cannot sync " + out);
  }
  return {};
}

Result<void> Backup::copy_blobs() {
  const std::string root = options_.directory + "/blobs";
  std::error_code error;
  std::vector<fs::path> files;
  for (auto at = fs::recursive_directory_iterator(root, error);
       !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    if (at.depth() == 0 && at->path().filename() == "partial") at.disable_recursion_pending();
    std::error_code vanished;
    if (!at->is_regular_file(vanished)) continue;
    files.push_back(at->path());
    total_ += at->file_size(vanished);
  }
  for (const fs::path& file : files) {
    if (interrupted()) return Error{EINTR, "interrupted"};
    const fs::path to = options_.out / fs::path("blobs") / file.lexically_relative(root);
    if (auto made = make_directories(to.parent_path(), file.parent_path()); !made) return made;
    // Names are never used twice, and contents never change.
    const auto size = fs::file_size(file, error);
    if (!error && fs::exists(to, error) && fs::file_size(to, error) == size) {
      ++tally_.blobs_equal;
      moved(size);
      continue;
    }
    auto counted = count(copy_file({.from = file,
                                    .to_directory = to.parent_path(),
                                    .to_name = to.filename(),
                                    .link = options_.link},
                                   [this](std::uint64_t bytes) { moved(bytes); }),
                         tally_.blobs_copied);
    if (!counted) return counted.error();
  }
  return {};
}

Result<void> Backup::run() {
  if (auto done = prepare(); !done) return done;
  // Before the log: whatever they say is followed by what the log tells.
  if (auto done = copy_small(""); !done) return done;
  std::set<std::string> there_before;
  std::vector<io::DirectoryEntry> entries;
  io::real_sys().list_directory(options_.out + "/log", entries);
  for (const io::DirectoryEntry& entry : entries) there_before.insert(entry.name);
  const bool live = log::is_held(io::real_sys(), options_.directory);
  auto inventory = log::take_inventory(io::real_sys(), options_.directory);
  if (!inventory) return inventory.error();
  for (const log::Unreadable& file : inventory->unreadable) problems_.push_back(file.reason);
  for (const auto& [id, stream] : inventory->streams) {
    for (const log::SegmentState& segment : stream.segments) total_ += segment.file->file_bytes();
  }
  for (auto& [id, stream] : inventory->streams) {
    if (auto done = copy_stream(stream, live); !done) return done;
  }
  if (auto done = tidy_log(there_before); !done) return done;
  if (options_.with_blobs) {
    if (auto done = copy_blobs(); !done) return done;
  }
  // Last: a run that the copied log has must be counted in it.
  auto run = copy_file({.from = options_.directory + "/run",
                        .to_directory = options_.out,
                        .to_name = "run"},
                       [](auto) {});
  if (!run && run.error().code != ENOENT) return run.error();
  return {};
}

void report(const Options& options, const Backup& backup, double seconds) {
  const Tally& tally = backup.tally();
  const double rate = seconds > 0 ? static_cast<double>(tally.bytes) / 1e6 / seconds : 0;
  if (options.json) {
    std::string text;
    JsonWriter json(text);
    json.begin_object().key("command").text("backup");
    const std::pair<const char*, std::uint64_t> numbers[] = {
        {"segments_copied", tally.copied},     {"linked", tally.linked},
        {"segments_equal", tally.equal},       {"gone", tally.gone},
        {"segments_removed", tally.removed},   {"blobs_copied", tally.blobs_copied},
        {"blobs_equal", tally.blobs_equal},    {"bytes", tally.bytes}};
    for (const auto& [name, value] : numbers) json.key(name).unsigned_integer(value);
    json.key("seconds").number(seconds, 3).key("problems").begin_array();
    for (const std::string& problem : backup.problems()) json.text(problem);
    json.end_array().end_object();
    fmt::print("{}\n", text);
    return;
  }
  for (const std::string& problem : backup.problems()) fmt::print("DAMAGE  {}\n", problem);
  fmt::print("{} segments copied, {} were there", tally.copied, tally.equal);
  if (options.link) fmt::print("; {} files linked", tally.linked);
  if (options.with_blobs) {
    fmt::print("; {} blobs copied, {} were there", tally.blobs_copied, tally.blobs_equal);
  }
  if (tally.gone > 0) fmt::print("; {} taken by retention meanwhile", tally.gone);
  if (tally.removed > 0) fmt::print("; {} old segments removed", tally.removed);
  fmt::print("\n{} bytes in {:.1f} s, {:.0f} MB/s\n", tally.bytes, seconds, rate);
}

int run_backup(const Options& options) {
  const MonoNs started = io::real_sys().mono_now();
  Result<void> done;
  auto backup = std::make_unique<Backup>(options);
  done = backup->run();
  if (!done && done.error().code == EINTR) {
    fmt::print(stderr, "ringgate-log: interrupted; run it again to go on\n");
    return exit_problems;
  }
  if (!done) return refuse(done.error());
  report(options, *backup, static_cast<double>(io::real_sys().mono_now() - started) / 1e9);
  return backup->problems().empty() ? exit_well : exit_problems;
}

}  // namespace

Command add_backup(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("backup", "A consistent copy of a log, also of a live one");
  command->add_option("DIR", options->directory, "Data directory")->required();
  command->add_option("OUT", options->out, "Where the copy goes: a directory, new or a backup")
      ->required();
  command->add_flag("--link", options->link, "Hard links where the file system is the same");
  command->add_flag("--with-blobs", options->with_blobs, "Media and attachments too");
  command->add_flag("--keep", options->keep, "Keep in OUT what retention has taken from DIR");
  command->add_flag("--json", options->json, "One JSON object");
  command->footer(footer);
  return {command, [options] { return run_backup(*options); }};
}

}  // namespace ringgate::log_tool
