// ringgate-load: simulated devices and users against a gateway, built on ringgate's own engine.
// Exit status: 0 all well, 1 errors in the run, 2 wrong usage or the run could not start, 99 a
// threshold was broken.
#include <CLI/CLI.hpp>
#include <memory>
#include <vector>

#include "tools/load/command.hpp"

namespace ringgate::load {
namespace {

constexpr const char* footer = R"(
Examples:
  ringgate-load scenarios                          # those that come with the program
  ringgate-load run peak --shorten 0.05            # a first look: a twentieth of users and time
  ringgate-load run peak --report run.html --verify-log /var/lib/ringgate
  ringgate-load jt808 --devices 100 --demo         # vehicles that drive about, until Ctrl-C

Exit codes: 0 all well, 1 errors in the run, 2 wrong usage or it could not start, 99 a threshold is
broken.)";

int main(int argc, char** argv) {
  CLI::App app{"Simulated devices and users against a gateway.", "ringgate-load"};
  app.require_subcommand(1);
  app.set_version_flag("--version", "ringgate-load " RINGGATE_VERSION);
  app.footer(footer);
  std::vector<std::unique_ptr<Subcommand>> commands;
  commands.push_back(make_run_command());
  commands.push_back(make_report_command());
  commands.push_back(make_worker_command());
  commands.push_back(make_jt808_command());
  commands.push_back(make_scenarios_command());
  std::vector<CLI::App*> subcommands;
  for (const auto& command : commands) subcommands.push_back(command->declare(app));
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  for (std::size_t i = 0; i < commands.size(); ++i) {
    if (subcommands[i]->parsed()) return commands[i]->run();
  }
  return 2;
}

}  // namespace
}  // namespace ringgate::load

int main(int argc, char** argv) { return ringgate::load::main(argc, argv); }
