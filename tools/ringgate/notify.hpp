// Tells the service manager how it stands (sd_notify(3), the protocol of NOTIFY_SOCKET), and when
// its watchdog may be fed. Main thread.
#pragma once

#include <string>

#include "engine/base/clock.hpp"
#include "engine/shard/pulse.hpp"

namespace ringgate::server {

// `state`: lines like "READY=1". Does nothing where no manager asked.
void notify_manager(const std::string& state);

// "STATUS=..." for `systemctl status`: one line of text.
void notify_status(std::string text);

// Around a reload: "RELOADING=1" with the clock that the manager compares, then "READY=1".
void notify_reloading(MonoNs now);

// The manager's WATCHDOG_USEC for this process; 0: it has none.
MonoNs watchdog_interval();

// Feeds the manager's watchdog as long as every member of the pulse turns: "WATCHDOG=1" leaves only
// when all have answered the last question. Asks several times in an interval, so that a member
// that stops is noticed within one, and one that is slow for a moment is not.
class Watchdog {
 public:
  enum class Verdict {
    wait,   // nothing to do yet
    feed,   // all have answered: send WATCHDOG=1, wake all for the next question
    stuck,  // somebody has not, for half an interval and more: stuck_text() names them
  };

  // `interval`: 0 is no watchdog: look() always says wait.
  Watchdog(shard::Pulse& pulse, MonoNs interval, MonoNs now);

  // When look() has something to do; MonoNs maximum without a watchdog.
  MonoNs next() const { return next_; }
  Verdict look(MonoNs now);
  // Of the last look: "shard-1, api: no turn for 2.5 s".
  const std::string& stuck_text() const { return stuck_; }

 private:
  shard::Pulse& pulse_;
  MonoNs step_ = 0;  // 0: no watchdog
  MonoNs next_;
  MonoNs asked_;
  std::string stuck_;
};

}  // namespace ringgate::server
