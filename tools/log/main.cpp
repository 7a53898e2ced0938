// ringgate-log: shows, checks, measures, copies and repairs the log of a data directory. Nothing
// here ever writes to the directory it reads.
#include <CLI/CLI.hpp>
#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <system_error>
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

// Tables go through stdio: where they could not be written, nothing was well. What Output writes
// has its own complaint.
int when_written(int code) {
  errno = 0;
  const bool flushed = std::fflush(stdout) == 0;
  const int why = errno != 0 ? errno : EIO;
  if (code == exit_unusable || (flushed && std::ferror(stdout) == 0)) return code;
  pollfd reader{STDOUT_FILENO, POLLOUT, 0};
  const bool gone = ::poll(&reader, 1, 0) > 0 && (reader.revents & POLLERR) != 0;
  if (gone) return code;  // `| head` has seen enough
  fmt::print(stderr, "ringgate-log: cannot write to stdout: {}\n", std::strerror(why));
  return exit_unusable;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Shows, checks, measures, copies and repairs ringgate's log.", "ringgate-log");
  app.require_subcommand(1);
  app.set_version_flag("--version", "ringgate-log " RINGGATE_VERSION);
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
    if (!command.app->parsed()) continue;
    int code = exit_well;
    try {
      code = command.run();
    } catch (const std::system_error&) {  // of fmt::print
    }
    return when_written(code);
  }
  return exit_unusable;
}
