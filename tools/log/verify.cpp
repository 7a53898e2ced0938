// verify: is every record as it was written? With --deep also: does what records say hold together?
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>
#include <vector>

#include "tools/log/commands.hpp"
#include "tools/log/common.hpp"
#include "tools/log/deep.hpp"
#include "tools/log/totals.hpp"

namespace ringgate::log_tool {

namespace {

constexpr const char* footer = R"(
Checks size, position and checksum of every record, seals, and that no segment is missing between
others. --deep also reads what records say:
  order      positions and received times of a stream never fall; no id comes twice
  bodies     how many do not decode (devices send such; no damage)
  wholes     messages put together have the frames that brought them before them
  commands   each outcome has its intent; how many intents have no outcome
  blobs      files that the log lists are there, with their size and checksum
  indexes    what the index of a segment finds is what the segment holds
What devices and retention may bring about is counted; the rest is a problem.

Examples:
  ringgate-log verify /var/lib/ringgate
  ringgate-log verify --deep --json /backup/ringgate)";

struct Options {
  std::string directory;
  bool json = false;
  bool deep = false;
};

// Segments that are missing between others, and seals that contradict what they seal.
void check_stream(const log::Stream& stream, std::vector<std::string>& problems) {
  for (std::size_t i = 0; i < stream.segments.size(); ++i) {
    const log::SegmentState& segment = stream.segments[i];
    if (segment.gone) continue;
    for (const log::Damage& damage : segment.damage) problems.push_back(describe(segment, damage));
    const auto& seal = segment.file->seal();
    if (seal && segment.damage.empty() && seal->records != segment.records) {
      problems.push_back(fmt::format("{}: its seal counts {} records, {} are there",
                                     segment.file->path(), seal->records, segment.records));
    }
    if (segment.file->unreadable_blocks() > 0) {
      problems.push_back(fmt::format("{}: the disk could not read {} blocks of 4096 bytes",
                                     segment.file->path(), segment.file->unreadable_blocks()));
    }
    if (i + 1 < stream.segments.size() &&
        stream.segments[i + 1].header().base > segment.header().next_base()) {
      problems.push_back(fmt::format("{}: the segment that follows it (base {:016x}) is missing",
                                     segment.file->path(), segment.header().next_base()));
    }
  }
}

struct Findings {
  Totals totals;
  std::vector<std::string> problems;
  std::size_t streams = 0;
  bool live = false;
  DeepReport deep;
};

// False: interrupted.
bool check_records(Loaded& loaded, Findings& out) {
  out.live = loaded.live;
  out.streams = loaded.inventory.streams.size();
  std::uint64_t total_bytes = 0;
  for (const auto& [id, stream] : loaded.inventory.streams) {
    for (const log::SegmentState& segment : stream.segments)
      total_bytes += segment.file->file_bytes();
  }
  for (const log::Unreadable& file : loaded.inventory.unreadable) {
    out.problems.push_back(file.reason);
  }
  ProgressLine progress("verifying");
  std::uint64_t done = 0;
  for (auto& [id, stream] : loaded.inventory.streams) {
    if (interrupted()) return false;
    examine(stream, loaded.live, true, [&](std::uint64_t bytes) {
      done += bytes;
      progress.update(std::min(done, total_bytes), total_bytes);
    });
    if (loaded.live) count_proven(stream);
    check_stream(stream, out.problems);
    for (const log::SegmentState& segment : stream.segments) out.totals.add(segment);
  }
  return true;
}

void print_json(const Options& options, const Findings& findings) {
  std::string out;
  JsonWriter json(out);
  json.begin_object();
  put_totals(json, "verify", findings.totals, findings.live, findings.problems);
  if (options.deep) {
    json.key("deep");
    findings.deep.put(json);
  }
  json.end_object();
  fmt::print("{}\n", out);
}

void print_text(const Options& options, const Findings& findings) {
  const Totals& totals = findings.totals;
  for (const std::string& problem : findings.problems) fmt::print("DAMAGE  {}\n", problem);
  fmt::print("{} records in {} segments of {} streams, {} bytes{}\n", totals.records,
             totals.segments, findings.streams, totals.log_bytes,
             findings.live ? "; a gateway is writing, its last records may not show yet" : "");
  if (totals.dropped_bytes > 0) {
    fmt::print(
        "dropped: {} complete records ({} bytes) after the last acknowledged one: a power cut or "
        "kill left them, nobody was told of them\n",
        totals.dropped_records, totals.dropped_bytes);
  }
  if (options.deep) fmt::print("{}", findings.deep.text());
  fmt::print("{}\n", findings.problems.empty()
                         ? "no damage"
                         : fmt::format("{} damaged places", findings.problems.size()));
}

int verify(const Options& options) {
  auto loaded = load(options.directory);
  if (!loaded) return refuse(loaded.error());
  Findings findings;
  if (!check_records(*loaded, findings)) return exit_problems;
  if (options.deep) {
    auto deep = look_deep(options.directory);
    if (!deep) return refuse(deep.error());
    if (interrupted()) return exit_problems;
    findings.deep = std::move(*deep);
    findings.problems.insert(findings.problems.end(), findings.deep.problems.begin(),
                             findings.deep.problems.end());
  }
  if (options.json) {
    print_json(options, findings);
  } else {
    print_text(options, findings);
  }
  return findings.problems.empty() ? exit_well : exit_problems;
}

}  // namespace

Command add_verify(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("verify", "Check every record and say what is wrong");
  command->add_option("DIR", options->directory, "Data directory")->required();
  command->add_flag("--json", options->json, "One JSON object");
  command->add_flag("--deep", options->deep, "Check what records say, too");
  command->footer(footer);
  return {command, [options] { return verify(*options); }};
}

}  // namespace ringgate::log_tool
