// query: the selected records, found with as little reading as the log's indexes allow.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "engine/io/sys.hpp"
#include "tools/log/commands.hpp"
#include "tools/log/common.hpp"
#include "tools/log/print.hpp"
#include "tools/log/scanning.hpp"
#include "tools/log/selecting.hpp"

namespace ringgate::log_tool {

namespace {

constexpr const char* footer = R"(
Prints what `dump` prints, of the records that meet all conditions, by received time. A condition
given several times is met by any of its values. --device-from, --device-to and --area look at the
positions in a record, and hold for one and the same position; devices that were without a network
send positions late, so the time a device says and the time of receipt may be hours apart.

--gcj02 adds `gcj02`: the positions of a record as maps of mainland China have them (see `track
--help`). Everything else, --area too, is as devices send it (WGS-84).

--stats says on stderr what it cost:
  410 records of 51240 looked at in 12 of 96 segments, 1.2 of 402.7 MiB read, 9 ms

Examples:
  ringgate-log query /var/lib/ringgate --device 13800138000 --from -1h --stats
  ringgate-log query /var/lib/ringgate --message-id 0x0200 --area 31.1,121.2,31.4,121.6 --decode
  ringgate-log query /var/lib/ringgate --kind session --from 2026-11-20 --to 2026-11-21 --count)";

struct Options {
  SelectOptions select;
  bool decode = false;
  bool count = false;
  bool gcj02 = false;
  bool stats = false;
  std::uint64_t limit = 0;  // 0: none
};

int run_query(const Options& options) {
  const Catalogs catalogs;
  Scanning scanning(catalogs.set);
  if (auto opened = scanning.open(options.select, "querying"); !opened) {
    return refuse(opened.error());
  }
  Output out;
  if (auto ready = out.open(""); !ready) return refuse(ready.error());
  Printer printer(catalogs.set, options.decode, out.text);
  if (options.gcj02) printer.add_gcj02();
  std::uint64_t found = 0;
  query::Found record;
  while ((options.limit == 0 || found < options.limit) && scanning.next(record)) {
    ++found;
    if (options.count) continue;
    printer.print(scanning.node(), record.stream, record.record);
    if (!out.flush(false)) break;
  }
  if (options.count) out.text = fmt::format("{}\n", found);
  const int code = out.finish(scanning.finish());
  if (options.stats) scanning.print_stats();
  return code;
}

}  // namespace

Command add_query(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("query", "Print the records that meet conditions");
  add_select_options(*command, options->select);
  command->add_flag("--decode", options->decode, "Add the decoded body");
  command->add_flag("--gcj02", options->gcj02, "Add positions as maps of China have them");
  command->add_option("--limit,-n", options->limit, "Stop after this many");
  command->add_flag("--count", options->count, "Only how many there are");
  command->add_flag("--stats", options->stats, "Say on stderr what was read");
  command->footer(footer);
  return {command, [options] { return run_query(*options); }};
}

}  // namespace ringgate::log_tool
