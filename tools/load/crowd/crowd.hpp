// A crowd: all simulated users of one class of a scenario in one worker. The coordinator says how
// many users there should be and how busy (ClassAim); the crowd makes it so, on the worker's shard,
// and tells what happened (Tally). One thread: the shard's.
//
// A worker's loop: set_aim() when an aim has come; each turn every crowd's before_wait(), then the
// shard sleeps at most until the earliest next_due(); take_tally() each second; at the end stop(),
// and turns until finished().
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"

namespace ringgate::io {
class BufferRing;
}
namespace ringgate::shard {
class Shard;
}

namespace ringgate::load {

struct ClassAim;    // run/aim.hpp
struct Scenario;    // scenario/scenario.hpp
struct Tally;       // run/tally.hpp
class AckedWriter;  // crowd/acked.hpp
class Desk;         // crowd/desk.hpp

class Crowd {
 public:
  virtual ~Crowd() = default;

  // From now on. Users above `users_max` of the place do not come.
  virtual void set_aim(const ClassAim& aim) = 0;
  // Connects, sends, hangs up: whatever is due. Once a turn, before the ring is entered.
  virtual void before_wait() = 0;
  // When the next thing is due without any completion (monotonic); INT64_MAX: nothing.
  virtual MonoNs next_due() const = 0;
  // What happened since the last call.
  virtual Tally take_tally() = 0;
  // Nothing new begins: what is outstanding is waited for (a few seconds at most), then everybody
  // hangs up. `hard`: at once.
  virtual void stop(bool hard) = 0;
  virtual bool finished() const = 0;
};

// Where a crowd lives: the same for all its life.
struct CrowdPlace {
  shard::Shard* shard = nullptr;
  Desk* desk = nullptr;               // hands out completions to the crowds of the shard
  io::BufferRing* buffers = nullptr;  // receives of all crowds; the worker publishes it each turn
  AckedWriter* acked = nullptr;       // acknowledged reports are written down; null: they are not
  std::uint32_t users_max = 0;        // of this class, in this worker, in the whole run
  std::uint32_t worker = 0;           // user i here is user i * workers + worker of the class
  std::uint32_t workers = 1;
  std::uint32_t class_index = 0;      // in the scenario
  const Scenario* scenario = nullptr;
  const std::vector<std::string>* tokens = nullptr;  // bearer tokens; api users take them in turn
};

// The crowd of a class. Error: a target that is no address, a source that is none.
Result<std::unique_ptr<Crowd>> make_crowd(const CrowdPlace& place);

}  // namespace ringgate::load
