// The parameters of a simulated terminal: set by 0x8103, told by 0x0104. Pure; one thread.
// JT/T 808-2019 8.9-8.12 and table 12; JT/T 1078-2016 table 2; T/JSATL 12 appendix.
#pragma once

#include <map>
#include <string>
#include <string_view>

#include "tools/load/frames.hpp"
#include "tools/load/terminal/body.hpp"

namespace ringgate::load {

class Parameters {
 public:
  Parameters(Version version, std::string_view plate);

  // The result of a 0x0001: 0 all set, 1 some of them are not known here (the others are set),
  // 2 the list or a value's length is wrong (nothing is set).
  std::uint8_t set(Bytes body);
  // Bodies of 0x0104: everything, or what a 0x8106 asks for; unknown ids are left out. `count` is
  // what was told. False: `body` is no list of ids.
  Body all(std::uint16_t reply_serial) const;
  bool some(std::uint16_t reply_serial, Bytes body, Body& out) const;

  // Of a number; 0 if there is none.
  std::uint32_t number(std::uint32_t id) const;
  void reset() { changed_.clear(); }  // back to the factory

 private:
  bool find(std::uint32_t id, Body& value) const;

  Version version_;
  std::string plate_;
  std::map<std::uint32_t, Body> changed_;  // all others are as from the factory
};

}  // namespace ringgate::load
