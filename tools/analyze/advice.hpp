// What to change: keys of the gateway's TOML, from what they are to what they should be, and what
// no key changes in words. Pure. tests/unit/analyze holds every key against the gateway's tables.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/analyze/signals.hpp"

namespace ringgate::analyze {

struct Advice {
  std::string key;       // "server.shards"; empty: `why` says what to do
  std::string present;   // as the gateway tells it; empty: it could not be asked
  std::string proposed;  // as TOML: 4, "128MiB"
  std::string why;
};

// Of a cause whose strongest signal is `main`.
std::vector<Advice> advice_on(const Case& subject, Cause cause, const Signal& main);

// All keys that advice may name, for the test that they exist.
std::vector<std::string_view> advised_keys();

}  // namespace ringgate::analyze
