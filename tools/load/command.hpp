// The commands of ringgate-load. Each declares its options, then runs with them; one of them runs
// in a process, on its first thread.
#pragma once

#include <memory>

namespace CLI {
class App;
}

namespace ringgate::load {

class Subcommand {
 public:
  virtual ~Subcommand() = default;
  // Adds itself to the program's subcommands. Called once, before run().
  virtual CLI::App* declare(CLI::App& app) = 0;
  // The program's exit status: 0 all well, 1 errors in the run, 2 wrong usage or no start, 99 a
  // threshold was broken.
  virtual int run() = 0;
};

std::unique_ptr<Subcommand> make_jt808_command();
std::unique_ptr<Subcommand> make_run_command();
std::unique_ptr<Subcommand> make_worker_command();
std::unique_ptr<Subcommand> make_report_command();
std::unique_ptr<Subcommand> make_scenarios_command();  // scenario/command.cpp

}  // namespace ringgate::load
