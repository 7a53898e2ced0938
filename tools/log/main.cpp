// ringgate-log: shows, checks, measures, copies and repairs the log of a data directory. Nothing
// here ever writes to the directory it reads.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <vector>

#include "tools/log/commands.hpp"
#include "tools/log/common.hpp"

using namespace ringgate::log_tool;

namespace {

constexpr const char* footer = R"(
DIR is the gateway's data directory (server.data_dir). All commands are safe while a gateway writes
it, and show what is committed.
Exit code: 0 all well, 1 problems found, 2 DIR or an argument can't be used.

Examples:
  ringgate-log stat /var/lib/ringgate
  ringgate-log dump /var/lib/ringgate --decode --follow
  ringgate-log query /var/lib/ringgate --device 13800138000 --from -1h
  ringgate-log track /var/lib/ringgate --device 13800138000 --from -1d --format gpx
  ringgate-log backup /var/lib/ringgate /backup/ringgate)";

constexpr Command (*additions[])(CLI::App&) = {
    add_dump,   add_query,  add_track,  add_export, add_stat,
    add_verify, add_backup, add_repair, add_replay};

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Shows, checks, measures, copies and repairs ringgate's log.", "ringgate-log");
  app.require_subcommand(1);
  app.footer(footer);
  std::vector<Command> commands;
  for (const auto add : additions) commands.push_back(add(app));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? exit_well : exit_unusable;
  }
  catch_signals();
  for (const Command& command : commands) {
    if (command.app->parsed()) return command.run();
  }
  return exit_unusable;
}
