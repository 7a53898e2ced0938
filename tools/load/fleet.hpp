// The terminals of `ringgate-load jt808`: all connect, then comes a warm-up, a measured window, the
// last answers, the end. What a terminal does is Terminals' business (crowd/terminals.hpp).
//
// Lives on one shard, which runs nothing else; the object must outlive the shard's last turn.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "engine/observe/histogram.hpp"
#include "tools/load/crowd/terminals.hpp"
#include "tools/load/report.hpp"
#include "tools/load/schedule.hpp"

namespace ringgate::load {

struct FleetOptions {
  sockaddr_storage target{};
  socklen_t target_bytes = 0;
  std::vector<in_addr> sources;  // connections leave from these in turn; empty: the kernel picks
  Version version = Version::v2013;
  std::uint32_t devices = 1;
  std::uint64_t phone_base = 13'800'000'000;
  double rate = 0;              // reports per second and device; 0: closed model
  std::uint32_t in_flight = 1;  // closed model
  double connect_rate = 0;      // per second; 0: as fast as they are taken
  MonoNs warmup_ns = 0;
  MonoNs duration_ns = 0;  // 0: until stop()
  bool idle = false;       // authenticate, then only hold the links
  bool reconnect = false;  // come back after a loss
  bool drive = false;      // positions of simulated vehicles
  int acked_log_fd = -1;   // a line `phone,serial` for each acknowledged report; -1: none
  int server_pid = 0;      // whose CPU time to sample; 0: nobody's
  bool udp = false;        // datagrams instead of connections
  bool tls = false;        // on connections; any certificate of the server will do
  double loss = 0;         // of parts, attachment blocks, and datagrams
  double alarms = 0;       // alarms of driver assistants per second and device
  std::uint64_t seed = 1;  // of everything the terminals leave to chance
  int events_fd = -1;      // a JSON line for whatever a terminal did for the platform; -1: none
  std::string files_dir;   // where to write what was photographed and attached; empty: nowhere
};

// Reports of one device that wait for an answer, open model: more are held back, and their lateness
// counts.
constexpr std::uint32_t open_window = 64;

class Fleet final : public shard::Hook, public Terminals::Owner {
 public:
  Fleet(shard::Shard& shard, std::unique_ptr<io::BufferRing> buffers, const FleetOptions& options);
  Fleet(const Fleet&) = delete;
  Fleet& operator=(const Fleet&) = delete;

  // No new reports: wait for what is outstanding, then close everything. Own thread.
  void stop() { stop_asked_ = true; }
  bool finished() const { return phase_ == Phase::finished; }
  // How long the shard may sleep before something is due here.
  MonoNs sleep_budget() const;

  std::string_view phase_name() const;
  const Counts& counts() const { return counts_; }
  std::uint32_t ready() const { return terminals_.ready(); }
  std::uint64_t outstanding() const { return terminals_.outstanding(); }
  // The last reason of a failed connect or broken link, for people; empty if there was none.
  const std::string& last_error() const;
  // Fills in what the fleet knows.
  void fill(Report& report) const;

  void before_wait() override;
  void on_answered(const Terminals::Answered& report) override;
  void on_ready(std::uint32_t index, MonoNs since_ns) override;
  void on_down(std::uint32_t index, MonoNs away_ns) override;

 private:
  enum class Phase : std::uint8_t { connecting, warming, measuring, draining, closing, finished };

  void start_connects();
  void give_up_on_silent();
  void take_due();
  bool alarms_run() const {
    return options_.alarms > 0 && (phase_ == Phase::warming || phase_ == Phase::measuring);
  }
  void step_phase();
  void start_load();
  void start_window();
  void end_window();
  void take_counts();
  void write_acked_log();
  bool write_all(int fd, std::string& text, std::string_view option);

  shard::Shard& shard_;
  std::unique_ptr<io::BufferRing> buffers_;
  FleetOptions options_;
  Desk desk_;
  Terminals terminals_;
  std::deque<std::pair<MonoNs, std::uint32_t>> reconnects_;

  Phase phase_ = Phase::connecting;
  MonoNs phase_end_ns_ = 0;
  MonoNs started_ns_ = 0;
  MonoNs connected_ns_ = 0;   // when the last device settled
  ConnectPace pace_;
  OpenSchedule schedule_;
  OpenSchedule alarm_schedule_;
  bool reporting_ = false;
  bool stop_asked_ = false;
  bool interrupted_ = false;
  std::uint64_t connects_started_ = 0;
  std::uint64_t acked_now_ = 0;   // of this turn, not yet in counts_
  std::string acked_lines_;
  std::string write_error_;

  Counts counts_;
  Counts window_start_counts_, window_end_counts_;
  MonoNs window_start_ns_ = 0, window_end_ns_ = 0;
  std::int64_t own_cpu_start_ns_ = 0, own_cpu_end_ns_ = 0;
  std::int64_t server_cpu_start_ns_ = 0, server_cpu_end_ns_ = 0;
  ServerUse server_end_;
  observe::Histogram response_, service_, lag_;
};

}  // namespace ringgate::load
