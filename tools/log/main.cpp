// ringgate-log: shows, checks and measures the log of a data directory. Reads only.
#include <CLI/CLI.hpp>
#include <cstdio>

#include "tools/log/commands.hpp"

using namespace ringgate::log_tool;

namespace {

constexpr const char* dump_footer = R"(
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

constexpr const char* main_footer = R"(
DIR is the gateway's data directory (server.data_dir).
Exit code: 0 all well, 1 problems found, 2 DIR or an argument can't be used.

Examples:
  ringgate-log stat /var/lib/ringgate
  ringgate-log verify /var/lib/ringgate
  ringgate-log dump /var/lib/ringgate --decode --follow)";

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Shows, checks and measures ringgate's log. Reads only; safe on a live log.",
               "ringgate-log");
  app.require_subcommand(1);
  app.footer(main_footer);

  DumpOptions dumping;
  CLI::App* dump_command = app.add_subcommand("dump", "Print records as JSON, one a line");
  dump_command->add_option("DIR", dumping.directory, "Data directory")->required();
  dump_command->add_flag("--decode", dumping.decode, "Add the decoded body");
  dump_command->add_flag("--follow,-f", dumping.follow, "Go on as records are committed");
  dump_command->add_option("--device", dumping.device, "Only this device");
  dump_command->add_option("--message-id", dumping.message_id, "Only frames like 0x0200");
  dump_command->add_option(
      "--from", dumping.from,
      "Received at or after: 2026-11-20T22:00:00Z, seconds since 1970, or -15m");
  dump_command->add_option("--to", dumping.to, "Received before");
  dump_command->add_option("--limit,-n", dumping.limit, "Stop after this many");
  dump_command->footer(dump_footer);

  ReportOptions verifying;
  CLI::App* verify_command =
      app.add_subcommand("verify", "Check every record and say what is wrong");
  verify_command->add_option("DIR", verifying.directory, "Data directory")->required();
  verify_command->add_flag("--json", verifying.json, "One JSON object");

  ReportOptions counting;
  CLI::App* stat_command = app.add_subcommand("stat", "Segments, records and bytes of each stream");
  stat_command->add_option("DIR", counting.directory, "Data directory")->required();
  stat_command->add_flag("--json", counting.json, "One JSON object");

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const int code = app.exit(error);
    return code == 0 ? 0 : 2;
  }
  catch_signals();
  if (dump_command->parsed()) return dump(dumping);
  if (verify_command->parsed()) return verify(verifying);
  return stat(counting);
}
