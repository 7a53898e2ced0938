// What a person sees while a run goes on: a screen that redraws itself on a terminal, plain lines
// elsewhere. One thread.
#pragma once

#include <memory>

#include "tools/load/run/coordinator.hpp"
#include "tools/load/scenario/scenario.hpp"

namespace ringgate::load {

// A line a second on `fd`; notices in lines of their own.
std::unique_ptr<View> make_plain_view(const Scenario& scenario, int fd);
// The alternate screen of the terminal `fd`. end() (or the destructor) gives the terminal back.
std::unique_ptr<View> make_screen_view(const Scenario& scenario, int fd);
// Only notices: --quiet.
std::unique_ptr<View> make_quiet_view(int fd);
// Gives the terminal back from a signal handler, if a screen has it: async-signal-safe.
void restore_terminal();

// The screen as lines of at most `columns`, for make_screen_view() and its test. Pure.
struct ScreenState {
  Progress progress;
  std::vector<Row> recent;            // the newest last
  std::vector<std::string> notices;   // the newest last
  std::map<std::string, std::uint64_t, std::less<>> errors;  // so far
};
std::vector<std::string> draw_screen(const Scenario& scenario, const ScreenState& state,
                                     std::size_t columns, std::size_t lines, bool colours);
// Eight heights, scaled to the highest value.
std::string sparkline(const std::vector<double>& values, std::size_t columns);

}  // namespace ringgate::load
