// Terminals that come, report and go as the aims say: the classes of kind terminal and flapping,
// and silent ones that sign in. Lives on its worker's shard.
#pragma once

#include <deque>
#include <memory>
#include <queue>
#include <string>
#include <utility>
#include <vector>

#include "tools/load/crowd/comers.hpp"
#include "tools/load/crowd/crowd.hpp"
#include "tools/load/crowd/elastic_schedule.hpp"
#include "tools/load/crowd/terminals.hpp"
#include "tools/load/run/aim.hpp"
#include "tools/load/run/tally.hpp"
#include "tools/load/scenario/scenario.hpp"

namespace ringgate::load {

struct TerminalCrowdOptions {
  TerminalsOptions terminals;  // `devices` is users_max
  MonoNs interval_ns = 0;      // open model: between reports at rate 1; 0: none are due
  Pause think;                 // closed model, after an answer; the open model has none
  double alarms_per_hour = 0;  // of driver assistants, each user
  bool reconnect = true;
  bool flaps = false;          // stays and is away in turn
  Pause stay;
  Pause away;
  Leave leave = Leave::soft;
  bool expects_close = false;  // the server may end its links
};

class TerminalCrowd final : public Crowd, public Terminals::Owner {
 public:
  TerminalCrowd(const CrowdPlace& place, const TerminalCrowdOptions& options);

  void set_aim(const ClassAim& aim) override;
  void before_wait() override;
  MonoNs next_due() const override;
  Tally take_tally() override;
  void stop(bool hard) override;
  bool finished() const override { return closed_; }

  void on_answered(const Terminals::Answered& report) override;
  void on_ready(std::uint32_t index, MonoNs since_ns) override;
  void on_down(std::uint32_t index, MonoNs away_ns) override;

 private:
  bool open_model() const { return options_.interval_ns > 0; }
  bool thinks() const { return !options_.think.none(); }
  void connect_comers();
  void take_due();
  void take_thoughts();
  void raise_alarms();
  void send_leavers();
  void leave(std::uint32_t index, Terminals::Leaving how);
  void count_failures(Tally& tally, const Counts& now) const;
  void step_stop();

  shard::Shard& shard_;
  AckedWriter* acked_;
  TerminalCrowdOptions options_;
  Terminals terminals_;
  Comers comers_;
  ElasticSchedule schedule_;
  ElasticSchedule alarm_schedule_;
  Chance chance_;
  double rate_factor_ = 1;
  // Closed model with pauses: who reports next, and when. Flapping: who goes next.
  using Moments = std::priority_queue<std::pair<MonoNs, std::uint32_t>,
                                      std::vector<std::pair<MonoNs, std::uint32_t>>,
                                      std::greater<>>;
  Moments thoughts_;
  Moments stays_;
  std::deque<std::pair<MonoNs, std::uint32_t>> leavers_;  // give up on them then
  bool stopping_ = false;
  bool closing_ = false;
  bool closed_ = false;
  MonoNs stop_limit_ns_ = 0;

  Tally tally_;     // of the interval
  Counts told_;     // as at its start
  LatencyRecorder response_, service_, lag_, connect_;
};

}  // namespace ringgate::load
