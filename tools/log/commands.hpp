// The commands of ringgate-log, a file each. Each adds itself to the command line and says what to
// run if it was the one. Exit codes: 0 all well, 1 problems found, 2 the directory or an argument
// can't be used.
#pragma once

#include <functional>

namespace CLI {
class App;
}

namespace ringgate::log_tool {

struct Command {
  CLI::App* app = nullptr;
  std::function<int()> run;
};

Command add_dump(CLI::App& app);
Command add_query(CLI::App& app);
Command add_track(CLI::App& app);
Command add_export(CLI::App& app);
Command add_stat(CLI::App& app);
Command add_verify(CLI::App& app);
Command add_replay(CLI::App& app);
Command add_backup(CLI::App& app);
Command add_repair(CLI::App& app);

}  // namespace ringgate::log_tool
