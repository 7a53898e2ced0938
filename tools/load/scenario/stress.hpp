// Finds the load that a server no longer bears: raises it level by level until a bound stays
// broken, then goes back to the last good load and watches how the server recovers. Pure; one
// thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "engine/base/clock.hpp"
#include "tools/load/scenario/measured.hpp"
#include "tools/load/scenario/thresholds.hpp"

namespace ringgate::load {

struct Stage;

// A level and what was measured there, over the time that counted.
struct StressLevel {
  double level = 0;             // users or rate factor
  MonoNs from_ns = 0;           // since the run's start
  MonoNs until_ns = 0;
  double acked_per_s = 0;
  double p99_ns = 0;            // response
  double error_share = 0;
  std::vector<std::optional<double>> values;  // of each bound, over the level's time
};

struct StressResult {
  enum class State : std::uint8_t {
    raising,     // looks for the knee
    recovering,  // found it, and is back at the last good load (or the first)
    done,
  };
  State state = State::raising;
  std::vector<StressLevel> levels;       // in the order of time, without the recovery
  std::optional<std::size_t> last_good;  // of levels
  std::optional<std::size_t> first_bad;  // empty: every level up to the highest was borne
  std::string broken;                    // the bound, as written, or users_do_not_come
  std::optional<double> broken_value;    // over that time; empty: nothing was answered
  std::string broken_text;               // that value for people
  bool out_of_time = false;              // the stage's duration ended the search
  MonoNs back_ns = -1;                   // when the load went back
  double back_level = 0;
  // From then until every bound held again for `patience`; -1: not within the stage's `recover`.
  MonoNs recovered_after_ns = -1;
  // Broken without any bound: of the users that should be there many fewer are ready than at lower
  // levels. Otherwise those that the server takes would speak for those that it does not.
  static constexpr std::string_view users_do_not_come = "users come";
  // "borne: 400 users (1,980/s, p99 4.1 ms); not borne: 500 users, p99 < 20ms broken: 61 ms; ..."
  std::string text(const Stage& stage) const;
};

class StressSearch {
 public:
  StressSearch(const Stage& stage, MonoNs start);  // the stage must outlive it
  double level() const { return level_; }
  bool finished() const { return result_.state == StressResult::State::done; }
  const StressResult& result() const { return result_; }

  // A merged interval [from, to), since the run's start. One that began before the level did is
  // left out: it knows the load before.
  void observe(MonoNs from, MonoNs to, const Measured& measured);
  void end(MonoNs now);  // the stage's time is over

 private:
  void begin_level(double level, MonoNs at);
  void close_level(MonoNs at);
  void found(MonoNs at, std::optional<std::size_t> bound);
  void watch_recovery(MonoNs from, MonoNs to, bool good);
  double next_level() const;
  std::optional<std::size_t> broken_bound(const Measured& measured) const;
  // Which bound it is; none: users do not come.
  void tell_broken(std::optional<std::size_t> bound);

  const Stage& stage_;
  StressResult result_;
  double level_ = 0;
  MonoNs level_from_ns_ = 0;
  MonoNs broken_from_ns_ = -1;  // of the interval since which a bound is broken
  std::size_t broken_ = 0;      // the bound
  double ready_share_ = 0;      // of users that should be there: the best level's, at its end
  MonoNs good_from_ns_ = -1;    // recovering: since when all hold
  Measured sum_;                // of the level
  Measured broken_sum_;         // since broken_from_ns_
};

}  // namespace ringgate::load
