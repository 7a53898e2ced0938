// repair: a copy without the damage. Records that are valid stay at their positions; what is
// between them is marked as lost (FORMAT.md, "Gap mark").
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/io/sys.hpp"
#include "storage/log/segment_list.hpp"
#include "tools/log/commands.hpp"
#include "tools/log/common.hpp"
#include "tools/log/copying.hpp"
#include "tools/log/mending.hpp"

namespace ringgate::log_tool {

namespace {

namespace fs = std::filesystem;

constexpr const char* footer = R"(
Writes only new files. Valid records are kept where they are, with the ids they have; damaged
stretches become gaps that all readers pass over, and `verify` of the result is clean. Says what was
lost: positions, times, and the devices in front of and behind it. A segment whose header block is
damaged is repaired where its epoch can still be read and proves right.

With --segment one file of DIR/log is repaired into the file OUT; else the whole directory into the
new directory OUT: segments without damage are copied (--link: hard links), damaged ones repaired,
ones that are missing in between are marked. Blobs stay where they are.

To use what was repaired: stop the gateway, move DIR away and OUT in its place (blobs, too).
Exit code 1 says that records were lost.

Examples:
  ringgate-log repair /var/lib/ringgate -o /var/lib/ringgate-repaired --link
  ringgate-log repair /var/lib/ringgate -o new.seg --segment 0000000007-001-0000000003ffe000.seg)";

struct Options {
  std::string directory;
  std::string segment;
  std::string out;
  bool link = false;
};

struct Tally {
  std::uint64_t whole = 0;
  std::uint64_t mended = 0;
  std::uint64_t missing = 0;
  std::uint64_t hopeless = 0;
  std::uint64_t records = 0;  // kept, of mended ones
  std::uint64_t lost_bytes = 0;
};

void tell(const Mended& mended, Tally& tally) {
  ++tally.mended;
  tally.records += mended.records;
  fmt::print("{}: {} records kept, {} stretches lost\n", mended.path, mended.records,
             mended.lost.size());
  for (const Lost& lost : mended.lost) {
    tally.lost_bytes += lost.end - lost.begin;
    fmt::print("  LOST  {}\n", describe(lost));
  }
  if (mended.header_made_anew) fmt::print("  its header was damaged and made anew\n");
  if (mended.records_missing > 0) {
    fmt::print("  its seal counted {} records more\n", mended.records_missing);
  }
}

class Repair {
 public:
  explicit Repair(const Options& options) : options_(options) {}
  Result<void> run();
  const Tally& tally() const { return tally_; }

 private:
  Result<void> prepare();
  Result<void> stream(log::Stream& stream);
  Result<void> segment(log::SegmentState& segment, Position limit);
  Result<void> hopeless(const log::Inventory& inventory);
  std::string out_log() const { return options_.out + "/log"; }

  const Options& options_;
  Tally tally_;
};

Result<void> Repair::prepare() {
  io::Sys& sys = io::real_sys();
  if (log::is_held(sys, options_.directory)) {
    return Error{0, "a gateway writes " + options_.directory +
                        ": stop it, or take a backup and repair that"};
  }
  std::error_code error;
  if (fs::exists(options_.out, error)) {
    return Error{0, options_.out + " is there already: repair makes a new directory"};
  }
  const std::string log_path = options_.directory + "/log";
  if (lies_in(options_.out, options_.directory)) {
    return Error{0, options_.out + " lies in the directory that is to be repaired"};
  }
  if (auto made = make_directories(options_.out, options_.directory); !made) return made;
  if (auto made = make_directories(out_log(), log_path); !made) return made;
  for (const auto& entry : fs::directory_iterator(options_.directory, error)) {
    const std::string name = entry.path().filename();
    if (entry.is_directory(error) && name != "log" && name != "blobs") {
      // Snapshots of the state and cursors of sinks are whole, or of no use to their readers.
      fs::copy(entry.path(), fs::path(options_.out) / name, fs::copy_options::recursive, error);
      if (error) return errno_error(error.value(), "cannot copy " + entry.path().string());
    }
    if (name == "lock" || !entry.is_regular_file(error)) continue;
    auto done = copy_file(
        {.from = entry.path(), .to_directory = options_.out, .to_name = name}, [](auto) {});
    if (!done) return done.error();
  }
  return {};
}

Result<void> Repair::segment(log::SegmentState& segment, Position limit) {
  const std::string path = segment.file->path();
  const std::string name = path.substr(path.rfind('/') + 1);
  const bool sound = segment.damage.empty() && segment.file->unreadable_blocks() == 0;
  const auto& seal = segment.file->seal();
  if (sound && seal && seal->records == segment.records) {
    ++tally_.whole;
    auto done = copy_file({.from = path,
                           .to_directory = out_log(),
                           .to_name = name,
                           .direct = true,
                           .link = options_.link},
                          [](auto) {});
    if (!done) return done.error();
    return {};
  }
  if (sound && !seal) {
    if (segment.records == 0) return {};
    ++tally_.whole;
    auto done = copy_open_segment(segment, path, out_log(), [](auto) {});
    if (!done) return done.error();
    return {};
  }
  const Position end = seal ? std::min(seal->end, limit) : segment.end;
  auto mended = mend(*segment.file, segment.header(), end, out_log(),
                     log::segment_file_name(segment.header().stream, segment.header().base));
  if (!mended) return mended.error();
  tell(*mended, tally_);
  return {};
}

// What can't be read as a segment, because its header is damaged.
Result<void> Repair::hopeless(const log::Inventory& inventory) {
  for (const log::Unreadable& file : inventory.unreadable) {
    if (file.newer) {  // nothing is wrong with it
      ++tally_.hopeless;
      fmt::print("{}\n  LOST  all of it: repair it with that program\n", file.reason);
      continue;
    }
    auto mended = mend_headless(file.path, out_log());
    if (mended) {
      tell(*mended, tally_);
      continue;
    }
    ++tally_.hopeless;
    fmt::print("{}\n  LOST  all of it: {}\n", file.reason, mended.error().message);
  }
  return {};
}

Result<void> Repair::stream(log::Stream& stream) {
  examine(stream, false, true, {});
  for (std::size_t i = 0; i < stream.segments.size(); ++i) {
    if (interrupted()) return Error{EINTR, "interrupted"};
    if (auto done = segment(stream.segments[i], limit_of(stream, i)); !done) return done;
    stream.segments[i].file->release();
  }
  return {};
}

// Says in place of a missing segment that it is.
Result<void> mark_missing(const std::string& out_directory, Tally& tally) {
  auto inventory = log::take_inventory(io::real_sys(), out_directory);
  if (!inventory) return inventory.error();
  for (const auto& [id, stream] : inventory->streams) {
    for (std::size_t i = 0; i + 1 < stream.segments.size(); ++i) {
      const log::SegmentState& before = stream.segments[i];
      const Position hole = before.header().next_base();
      const Position after = stream.segments[i + 1].header().base;
      if (after <= hole) continue;
      auto lost = put_lost_segment(before, after, out_directory + "/log");
      if (!lost) return lost.error();
      ++tally.missing;
      tally.lost_bytes += after - hole;
      fmt::print("{}-{}: segments are missing\n  LOST  {}\n", id.run, id.shard, describe(*lost));
    }
  }
  return {};
}

Result<void> Repair::run() {
  if (auto done = prepare(); !done) return done;
  auto inventory = log::take_inventory(io::real_sys(), options_.directory);
  if (!inventory) return inventory.error();
  if (auto done = hopeless(*inventory); !done) return done;
  ProgressLine progress("repairing");
  std::uint64_t total = 0;
  std::uint64_t done_bytes = 0;
  const auto bytes_of = [](const log::Stream& one) {
    std::uint64_t bytes = 0;
    for (const log::SegmentState& segment : one.segments) bytes += segment.file->file_bytes();
    return bytes;
  };
  for (const auto& [id, one] : inventory->streams) total += bytes_of(one);
  for (auto& [id, one] : inventory->streams) {
    if (auto done = stream(one); !done) return done;
    done_bytes += bytes_of(one);
    progress.update(done_bytes, total);
  }
  return mark_missing(options_.out, tally_);
}

int repair_directory(const Options& options) {
  Repair repair(options);
  const auto done = repair.run();
  if (!done && done.error().code == EINTR) {
    fmt::print(stderr, "ringgate-log: interrupted; {} is not complete\n", options.out);
    return exit_problems;
  }
  if (!done) return refuse(done.error());
  const Tally& tally = repair.tally();
  fmt::print("{} segments without damage, {} repaired, {} marked as missing, {} beyond repair\n",
             tally.whole, tally.mended, tally.missing, tally.hopeless);
  const bool lost = tally.lost_bytes > 0 || tally.hopeless > 0;
  return lost ? exit_problems : exit_well;
}

int repair_segment(const Options& options) {
  std::error_code error;
  std::string path = options.segment;
  if (path.find('/') == std::string::npos) path = options.directory + "/log/" + path;
  if (fs::exists(options.out, error)) {
    return refuse({0, options.out + " is there already: repair makes a new file"});
  }
  const fs::path out(options.out);
  const std::string folder = out.has_parent_path() ? out.parent_path().string() : ".";
  Tally tally;
  auto file = log::SegmentFile::open(io::real_sys(), path);
  if (!file && file.error().code != 0) return refuse(file.error());
  if (file && !(*file)->seal() && log::is_held(io::real_sys(), options.directory)) {
    return refuse({0, path + " is being written: stop the gateway, or take a backup"});
  }
  Result<Mended> mended = Error{};
  if (file) {
    const auto& seal = (*file)->seal();
    const Position end = seal ? seal->end : (*file)->header().next_base();
    mended = mend(**file, (*file)->header(), end, folder, out.filename());
  } else {
    mended = mend_headless(path, folder, out.filename());
  }
  if (!mended) return refuse(mended.error());
  tell(*mended, tally);
  return mended->lost.empty() ? exit_well : exit_problems;
}

}  // namespace

Command add_repair(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("repair", "A copy of a damaged log without the damage");
  command->add_option("DIR", options->directory, "Data directory")->required();
  command->add_option("--segment", options->segment, "Only this file of DIR/log");
  command->add_option("-o,--output", options->out, "The new directory, or file with --segment")
      ->required();
  command->add_flag("--link", options->link, "Hard links for what is not damaged");
  command->footer(footer);
  return {command, [options] {
            return options->segment.empty() ? repair_directory(*options)
                                            : repair_segment(*options);
          }};
}

}  // namespace ringgate::log_tool
