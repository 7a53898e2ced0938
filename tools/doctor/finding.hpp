// What a check has found. Plain values.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace ringgate::doctor {

enum class State : std::uint8_t {
  good,
  costs,    // works, and is slower, later or fewer than it could be
  blocks,   // the configured fleet does not work with it
  unknown,  // could not be found out, and why
};

// Where the words on the price come from.
enum class Basis : std::uint8_t {
  none,
  measured,    // here, now
  arithmetic,  // from the values found and the fleet, by figures.hpp
  documented,  // known of the kernel, not measured here
};

std::string_view state_name(State state);
std::string_view basis_name(Basis basis);

struct Cure {
  std::string command;  // for a shell, exactly; for what no command does, the words
  std::string keep;     // the command that makes it last; empty: `command` does, or nothing does
  std::string place;    // where it lasts: "/etc/sysctl.d/90-ringgate.conf"
  bool automatic = false;  // --apply may run `command` and `keep`
};

struct Finding {
  std::string id;
  State state = State::good;
  std::string found;  // the value, and what would be enough
  std::string costs;  // empty when good
  Basis basis = Basis::none;
  std::vector<Cure> cures;  // of what is not good, in their order
};

}  // namespace ringgate::doctor
