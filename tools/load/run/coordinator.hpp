// The brain of a run: starts the workers, tells them ten times a second what the scenario wants,
// merges what they did, judges it, drives faults and controllers. One thread, no ring; it sleeps in
// poll(2).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "tools/common/clock.hpp"
#include "tools/common/http_calls.hpp"
#include "tools/load/run/faults.hpp"
#include "tools/load/run/gateway_watch.hpp"
#include "tools/load/run/run_result.hpp"
#include "tools/load/run/server_watch.hpp"
#include "tools/load/run/timeline.hpp"
#include "tools/load/run/worker_set.hpp"
#include "tools/load/scenario/scenario.hpp"
#include "tools/load/scenario/shape.hpp"

namespace ringgate::load {

// Descriptors of a worker beside its users' connections: ring, buffers, socket, files.
constexpr std::uint64_t worker_spare_files = 256;

struct RunOptions {
  std::uint32_t workers = 0;           // on this host; 0: as many as the limit of files wants
  std::vector<std::string> remote;     // HOST:PORT of `ringgate-load worker --listen`
  std::string secret;
  bool keep_acked = false;             // for verification
  bool dashboard = true;               // show the run on the gateway's page
};

// What the live view is told.
struct Progress {
  MonoNs now_ns = 0;                // since the run's start
  MonoNs planned_ns = 0;            // end, as far as known
  std::uint32_t stage = 0;
  std::string doing;                // Shape::doing()
  std::vector<std::string> faults;  // that are on
  std::size_t workers = 0;
  std::size_t workers_lost = 0;
  std::string phase;                // "starting", "running", "draining"
};

class View {
 public:
  virtual ~View() = default;
  virtual void on_progress(const Progress& progress) = 0;  // ten times a second
  virtual void on_row(const Row& row, const Progress& progress) = 0;
  virtual void on_notice(const std::string& text) = 0;     // a worker is lost, a fault failed
  virtual void end() = 0;
};

class Coordinator final : public WorkerSet::Owner {
 public:
  // `signals`: how many times the user wanted an end. All outlive the coordinator.
  Coordinator(const Scenario& scenario, const RunOptions& options, View& view,
              std::function<int()> signals);
  ~Coordinator() override;

  // Error: the run could not begin.
  Result<void> run(const WorkerMain& worker_main);
  // After run(): verification and the verdicts; what result() then says is complete.
  void verify();
  const RunResult& result() const { return result_; }
  const Timeline& timeline() const { return *timeline_; }

  void on_interval(std::uint32_t worker, Interval interval) override;
  void on_lost(std::uint32_t worker, const std::string& reason) override;
  void on_acked(std::uint32_t worker, std::string_view piece) override;

 private:
  MonoNs since_start() const { return tool::mono_now() - start_ns_; }
  Result<void> begin_workers(const WorkerMain& worker_main);
  Result<void> set_up_workers();
  Result<void> wait_until_ready();
  Result<void> check_limits() const;
  std::uint64_t users_of(std::uint32_t worker, std::uint32_t workers) const;
  void watch_server();
  void loop();
  void tick();
  void tell_aims(const Aim& aim);
  void sample_server();
  void take_rows(bool flush);
  void look(const Row& row);
  void stop(bool hard);
  void drain();
  void wait(MonoNs at_most);
  void put_on_dashboard(const Row& row);
  void conclude();
  Progress progress() const;
  std::string acked_path(std::uint32_t worker) const;

  const Scenario& scenario_;
  RunOptions options_;
  View& view_;
  std::function<int()> signals_;
  WorkerSet workers_;
  tool::HttpCalls calls_;
  Shape shape_;
  Faults faults_;
  std::unique_ptr<Timeline> timeline_;
  std::unique_ptr<ServerWatch> server_;
  std::unique_ptr<GatewayWatch> gateway_;  // null: the scenario names no HTTP address
  AbortWatch abort_;
  RunResult result_;
  std::string token_;
  std::string acked_dir_;
  std::vector<Interval> last_;     // by worker, without histograms: what it had
  MonoNs start_ns_ = 0;
  MonoNs next_tick_ns_ = 0;
  MonoNs next_sample_ns_ = 0;
  bool stopping_ = false;
  bool hard_ = false;
  bool dashboard_ = false;
  std::string phase_ = "starting";
};

}  // namespace ringgate::load
