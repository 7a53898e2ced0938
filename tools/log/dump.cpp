// dump: every record as it lies there, by the reader that walks segments from end to end.
#include <fmt/format.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <memory>
#include <string>

#include "engine/io/sys.hpp"
#include "storage/log/reader.hpp"
#include "tools/log/commands.hpp"
#include "tools/log/common.hpp"
#include "tools/log/print.hpp"
#include "tools/log/selecting.hpp"

namespace ringgate::log_tool {

namespace {

constexpr const char* footer = R"(
One JSON object a line, oldest first:
  record_id   node/run-shard/position; never used twice
  time        the gateway's wall clock when the frame came, UTC
  received    the same in microseconds since 1970; never falls within a stream
  device, protocol, kind (frame-up, session, ...), message_id, serial
  duplicate   a retransmission that had been acknowledged before
  whole       put together from frames that have records of their own (only where it is true)
  frame       hex, unescaped, header to body; authentication codes are blanked out
  body        with --decode: what the frame says

Of a log that a gateway is writing it shows what is committed, and the last records within a second.

Examples:
  ringgate-log dump /var/lib/ringgate --decode --device 13800138000
  ringgate-log dump /var/lib/ringgate --message-id 0x0200 --from -15m --follow)";

constexpr MonoNs follow_pause = 200 * ns_per_ms;

struct Options {
  SelectOptions select;
  bool decode = false;
  bool follow = false;
  std::uint64_t limit = 0;  // 0: none
};

void pause_between_looks() {
  const timespec pause{0, follow_pause};
  ::nanosleep(&pause, nullptr);
}

int dump(const Options& options) {
  const auto selection = to_selection(options.select, io::real_sys().wall_now());
  if (!selection) return refuse(selection.error());
  log::ReaderOptions reading;
  reading.from_us = selection->received_from_us;
  reading.to_us = selection->received_to_us;
  auto opened = log::Reader::open(io::real_sys(), options.select.directory, reading);
  if (!opened) return refuse(opened.error());
  log::Reader& reader = **opened;
  const Catalogs catalogs;
  Output out;
  if (auto ready = out.open(""); !ready) return refuse(ready.error());
  Printer printer(catalogs.set, options.decode, out.text);
  const std::string node = log::to_text(reader.node());
  std::uint64_t printed = 0;
  std::uint64_t seen = 0;
  std::size_t told = 0;
  const auto enough = [&] { return options.limit != 0 && printed >= options.limit; };
  // False: nobody reads any more.
  const auto print_all = [&](ProgressLine* progress) {
    log::Entry entry;
    while (!interrupted() && !enough() && reader.next(entry)) {
      if (progress != nullptr && ++seen % progress_records == 0)
        progress->update(reader.bytes_done(), reader.bytes_total());
      if (!selection->matches(entry.record.view(), catalogs.set)) continue;
      printer.print(node, entry.stream, entry.record);
      ++printed;
      if (!out.flush(false)) return false;
    }
    return out.flush(true);
  };
  {
    ProgressLine progress("reading");
    if (!print_all(&progress)) return out.finish(exit_well);
  }
  told = tell_problems(reader.problems(), told);
  while (options.follow && !interrupted() && !enough() && reader.refresh()) {
    if (!print_all(nullptr)) return out.finish(exit_well);
    told = tell_problems(reader.problems(), told);
    if (!interrupted() && !enough()) pause_between_looks();
  }
  return told > 0 ? exit_problems : exit_well;
}

}  // namespace

Command add_dump(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("dump", "Print records as JSON, one a line");
  add_basic_options(*command, options->select);
  command
      ->add_option("--message-id", options->select.message_ids, "Only frames like 0x0200; "
                                                                "repeatable")
      ->allow_extra_args(false);
  command->add_flag("--decode", options->decode, "Add the decoded body");
  command->add_flag("--follow,-f", options->follow, "Go on as records are committed");
  command->add_option("--limit,-n", options->limit, "Stop after this many");
  command->footer(footer);
  return {command, [options] { return dump(*options); }};
}

}  // namespace ringgate::log_tool
