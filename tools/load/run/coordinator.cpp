#include "tools/load/run/coordinator.hpp"

#include <fmt/core.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <fstream>
#include <nlohmann/json.hpp>

namespace ringgate::load {
namespace {

constexpr MonoNs tick_ns = 100 * ns_per_ms;
constexpr MonoNs sample_ns = 250 * ns_per_ms;

std::vector<bool> warmups(const Scenario& scenario) {
  std::vector<bool> out;
  for (const Stage& stage : scenario.stages) out.push_back(stage.warmup);
  return out;
}

WallUs wall_now() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return WallUs{now.tv_sec} * us_per_s + now.tv_nsec / ns_per_us;
}

std::string first_line_of(const std::string& file) {
  std::ifstream in(file);
  std::string line;
  std::getline(in, line);
  while (!line.empty() && (line.back() == '\r' || line.back() == ' ')) line.pop_back();
  return line;
}

Measured measured_of(const Row& row) {
  Measured out;
  out.seconds = row.seconds();
  out.tally = row.all();
  out.own_cpu = row.own_cpu;
  if (row.server) {
    out.server_cpu_s = row.server->cpu_s;
    out.server_rss_bytes = row.server->rss_bytes;
  }
  return out;
}

}  // namespace

Coordinator::Coordinator(const Scenario& scenario, const RunOptions& options, View& view,
                         std::function<int()> signals)
    : scenario_(scenario), options_(options), view_(view), signals_(std::move(signals)),
      workers_(*this, tool::mono_now), shape_(scenario), faults_(scenario, calls_),
      abort_(scenario.thresholds) {
  result_.scenario = &scenario;
  result_.id = wire::make_nonce().substr(0, 12);
}

Coordinator::~Coordinator() {
  if (acked_dir_.empty()) return;
  for (std::uint32_t i = 0; i < workers_.workers().size(); ++i) unlink(acked_path(i).c_str());
  rmdir(acked_dir_.c_str());
}

std::string Coordinator::acked_path(std::uint32_t worker) const {
  return fmt::format("{}/acked-{}", acked_dir_, worker);
}

Result<void> Coordinator::begin_workers(const WorkerMain& worker_main) {
  rlimit files{};
  getrlimit(RLIMIT_NOFILE, &files);
  std::uint32_t local = options_.workers;
  if (local == 0 && options_.remote.empty()) {
    const std::uint64_t each =
        files.rlim_max > 2 * worker_spare_files ? files.rlim_max - worker_spare_files : 1;
    const std::uint64_t users = std::max(scenario_.users_max(), 1U);
    local = static_cast<std::uint32_t>((users + each - 1) / each);
  }
  for (std::uint32_t i = 0; i < local; ++i) {
    if (Result<void> forked = workers_.fork_local(worker_main); !forked.ok()) return forked;
  }
  for (const std::string& address : options_.remote) {
    Result<void> connected = workers_.connect_remote(address, options_.secret);
    if (!connected.ok()) return connected;
  }
  return {};
}

// At most, in a worker: its shares of all classes.
std::uint64_t Coordinator::users_of(std::uint32_t worker, std::uint32_t workers) const {
  std::uint64_t users = 0;
  for (const std::uint32_t of_class : scenario_.users_max_by_class()) {
    users += share_of(of_class, worker, workers);
  }
  return users;
}

Result<void> Coordinator::check_limits() const {
  const auto count = static_cast<std::uint32_t>(workers_.workers().size());
  for (std::uint32_t i = 0; i < count; ++i) {
    const WorkerSet::Worker& worker = workers_.workers()[i];
    const std::uint64_t users = users_of(i, count);
    if (users + worker_spare_files <= worker.hello.files_max) continue;
    return Error{0, fmt::format("{}: {} users need {} open files and it may open {}: use more "
                                "workers (--workers, --worker), raise its limit (ulimit -n), or "
                                "lower the users", worker.name, users, users + worker_spare_files,
                                worker.hello.files_max)};
  }
  return {};
}

Result<void> Coordinator::set_up_workers() {
  if (options_.keep_acked) {
    const char* base = std::getenv("TMPDIR");
    acked_dir_ = fmt::format("{}/ringgate-load-XXXXXX", base == nullptr ? "/tmp" : base);
    if (mkdtemp(acked_dir_.data()) == nullptr) {
      return errno_error(errno, fmt::format("{}: cannot keep what is acknowledged", acked_dir_));
    }
  }
  wire::Setup setup;
  setup.workers = static_cast<std::uint32_t>(workers_.workers().size());
  setup.scenario_name = scenario_.name;
  setup.scenario_text = scenario_.text;
  setup.sets = {};
  for (const std::string& set : scenario_.read_with.sets) {
    const std::size_t equals = set.find('=');
    setup.sets.emplace_back(set.substr(0, equals), set.substr(equals + 1));
  }
  setup.shorten = scenario_.read_with.shorten;
  setup.seed = scenario_.read_with.seed;
  setup.target = scenario_.read_with.target;
  setup.keep_acked = options_.keep_acked;
  if (!token_.empty()) setup.tokens.push_back(token_);
  for (std::uint32_t i = 0; i < setup.workers; ++i) {
    setup.worker = i;
    const bool here = !workers_.workers()[i].remote;
    setup.acked_file = options_.keep_acked && here ? acked_path(i) : std::string{};
    workers_.set_up(i, setup);
  }
  return {};
}

Result<void> Coordinator::wait_until_ready() {
  while (true) {
    wait(tick_ns);
    if (!workers_.problem().empty()) return Error{0, workers_.problem()};
    for (const WorkerResult& worker : result_.workers) {
      if (worker.lost_ns >= 0) {
        return Error{0, fmt::format("{} ended before the run began: {}", worker.name,
                                    worker.lost_why)};
      }
    }
    if (workers_.all_at_least(WorkerSet::State::ready)) return {};
    if (signals_() > 0) return Error{0, "interrupted before the run began"};
    view_.on_progress(progress());
  }
}

void Coordinator::watch_server() {
  int pid = scenario_.target.server_pid;
  if (pid == Target::server_none) return;
  if (pid == Target::server_auto) {
    const Result<int> found = server_pid_of(scenario_.target);
    if (!found.ok()) {
      result_.server.problem = found.error().message;
      return;
    }
    pid = *found;
  }
  server_ = std::make_unique<ServerWatch>(pid);
  const std::optional<ServerSample> first = server_->sample(0);
  if (!first) {
    result_.server.problem = fmt::format("process {} is not to be seen", pid);
    server_.reset();
    return;
  }
  result_.server.pid = pid;
  result_.server.command = server_->command_line();
  result_.server.rss_begin_bytes = first->rss_bytes;
}

Result<void> Coordinator::run(const WorkerMain& worker_main) {
  if (!scenario_.target.token_file.empty()) {
    token_ = first_line_of(scenario_.target.token_file);
    if (token_.empty()) {
      return Error{0, fmt::format("target.token_file {}: no token in it",
                                  scenario_.target.token_file)};
    }
  }
  if (Result<void> begun = begin_workers(worker_main); !begun.ok()) return begun;
  const std::size_t count = workers_.workers().size();
  last_.resize(count);
  for (const WorkerSet::Worker& worker : workers_.workers()) {
    WorkerResult& result = result_.workers.emplace_back();
    result.name = worker.name;
    result.remote = worker.remote;
  }
  timeline_ = std::make_unique<Timeline>(warmups(scenario_), scenario_.classes.size(), count);
  result_.timeline = timeline_.get();
  if (Result<void> set_up = set_up_workers(); !set_up.ok()) return set_up;
  if (Result<void> ready = wait_until_ready(); !ready.ok()) return ready;
  if (Result<void> enough = check_limits(); !enough.ok()) return enough;
  if (!scenario_.faults.empty()) {
    if (Result<void> there = faults_.check(); !there.ok()) return there;
  }
  for (std::uint32_t i = 0; i < count; ++i) {
    const WorkerSet::Worker& worker = workers_.workers()[i];
    WorkerResult& result = result_.workers[i];
    result.host = worker.hello.host;
    result.pid = worker.hello.pid;
    result.cpus = worker.hello.cpus;
    result.users_max = users_of(i, static_cast<std::uint32_t>(count));
  }
  watch_server();
  dashboard_ = options_.dashboard && !scenario_.target.http.empty();
  if (!scenario_.target.http.empty()) {
    gateway_ = std::make_unique<GatewayWatch>(calls_, scenario_.target.http, token_);
    result_.gateway = &gateway_->metrics();
  }
  loop();
  return {};
}

void Coordinator::loop() {
  result_.started_us = wall_now();
  start_ns_ = tool::mono_now();
  next_tick_ns_ = start_ns_;
  next_sample_ns_ = start_ns_;
  phase_ = "running";
  workers_.start_all(start_ns_);
  while (!stopping_) {
    if (tool::mono_now() >= next_tick_ns_) tick();
    take_rows(false);
    if (workers_.alive() == 0) {
      view_.on_notice("no worker is left: the run ends");
      break;
    }
    if (signals_() > 0 && !stopping_) {
      result_.interrupted = true;
      stop(signals_() > 1);
    }
    wait(std::max<MonoNs>(next_tick_ns_ - tool::mono_now(), 0));
  }
  drain();
}

void Coordinator::tick() {
  const MonoNs at = since_start();
  next_tick_ns_ = std::max(next_tick_ns_ + tick_ns, tool::mono_now() - tick_ns);
  if (tool::mono_now() >= next_sample_ns_) sample_server();
  if (gateway_) gateway_->turn(at);
  const Aim aim = shape_.at(at);
  faults_.turn(at, shape_.spans());
  if (aim.over) {
    stop(false);
  } else {
    tell_aims(aim);
  }
  view_.on_progress(progress());
}

void Coordinator::tell_aims(const Aim& aim) {
  const auto count = static_cast<std::uint32_t>(workers_.workers().size());
  for (std::uint32_t i = 0; i < count; ++i) {
    Aim share = aim;
    for (ClassAim& one : share.classes) one.users = share_of(one.users, i, count);
    workers_.send(i, share);
  }
}

void Coordinator::sample_server() {
  next_sample_ns_ = tool::mono_now() + sample_ns;
  if (!server_) return;
  const std::optional<ServerSample> sample = server_->sample(since_start());
  if (!sample) {
    view_.on_notice(fmt::format("the server (pid {}) has ended", server_->pid()));
    result_.server.problem = "it ended during the run: nothing is known of it from then on";
    timeline_->server_ended();
    server_.reset();
    return;
  }
  timeline_->sample(*sample);
  result_.server.rss_end_bytes = sample->rss_bytes;
  result_.server.rss_max_bytes = std::max(result_.server.rss_max_bytes, sample->rss_bytes);
}

void Coordinator::take_rows(bool flush) {
  for (const Row& row : timeline_->take_complete(flush)) look(row);
}

void Coordinator::look(const Row& row) {
  if (row.server) {
    result_.server.cpu_s += row.server->cpu_s;
    result_.server.context_switches += row.server->context_switches;
  }
  Observation observation;
  observation.from_ns = row.from_ns;
  observation.to_ns = row.to_ns;
  observation.all = measured_of(row);
  shape_.observe(observation);
  view_.on_row(row, progress());
  if (!stopping_ && scenario_.thresholds.abort) {
    const auto broken = abort_.look(row.to_ns, [&](const Scope& scope) {
      return timeline_->measured(scope);
    });
    if (broken) {
      result_.aborted = scenario_.thresholds.all[*broken].condition.text;
      view_.on_notice(fmt::format("\"{}\" is broken: the run ends early", result_.aborted));
      stop(false);
    }
  }
  if (dashboard_) put_on_dashboard(row);
}

void Coordinator::stop(bool hard) {
  if (stopping_ && hard_ >= hard) return;
  hard_ = hard;
  if (!stopping_) result_.duration_ns = since_start();
  stopping_ = true;
  phase_ = "draining";
  faults_.end(since_start());
  workers_.stop_all(hard);
}

void Coordinator::drain() {
  if (!stopping_) stop(false);
  while (workers_.alive() > 0 || !calls_.idle()) {
    if (tool::mono_now() >= next_tick_ns_) {
      next_tick_ns_ = tool::mono_now() + tick_ns;
      if (tool::mono_now() >= next_sample_ns_) sample_server();
      view_.on_progress(progress());
    }
    take_rows(false);
    if (signals_() > (result_.interrupted ? 1 : 0)) stop(true);
    wait(std::max<MonoNs>(next_tick_ns_ - tool::mono_now(), 0));
  }
  sample_server();
  take_rows(true);
  conclude();
}

void Coordinator::wait(MonoNs at_most) {
  std::vector<pollfd> polls;
  workers_.add_polls(polls);
  calls_.add_polls(polls);
  const timespec patience{at_most / ns_per_s, at_most % ns_per_s};
  ppoll(polls.data(), polls.size(), &patience, nullptr);
  workers_.handle();
  calls_.handle();
}

void Coordinator::on_interval(std::uint32_t worker, Interval interval) {
  result_.workers[worker].cpu_s += static_cast<double>(interval.cpu_ns) / 1e9;
  result_.workers[worker].rss_bytes = interval.rss_bytes;
  timeline_->add(interval);
  last_[worker] = std::move(interval);
}

void Coordinator::on_lost(std::uint32_t worker, const std::string& reason) {
  WorkerResult& result = result_.workers[worker];
  result.lost_ns = start_ns_ == 0 ? 0 : since_start();
  result.lost_why = reason;
  for (const Tally& tally : last_[worker].classes) result.users_lost += tally.users;
  if (timeline_) timeline_->lose(worker);
  view_.on_notice(fmt::format("{} is lost: {}; its {} users are gone, the others go on",
                              result.name, reason, result.users_lost));
}

void Coordinator::on_acked(std::uint32_t worker, std::string_view piece) {
  std::ofstream out(acked_path(worker), std::ios::binary | std::ios::app);
  out.write(piece.data(), static_cast<std::streamsize>(piece.size()));
}

Progress Coordinator::progress() const {
  Progress out;
  out.now_ns = start_ns_ == 0 ? 0 : since_start();
  out.planned_ns = shape_.planned_end_ns();
  if (!shape_.spans().empty()) out.stage = shape_.spans().back().stage;
  out.doing = shape_.doing();
  out.faults = faults_.active();
  out.workers = workers_.workers().size();
  out.workers_lost = result_.workers_lost();
  out.phase = phase_;
  return out;
}

void Coordinator::put_on_dashboard(const Row& row) {
  if (calls_.under_way() > 8) return;
  const Tally all = row.all();
  const Progress is = progress();
  const double seconds = std::max(row.seconds(), 1e-3);
  const auto ms = [](std::uint64_t ns) { return static_cast<double>(ns) / 1e6; };
  const nlohmann::json body = {
      {"scenario", scenario_.name},
      {"stage", scenario_.stages[is.stage].name},
      {"phase", phase_},
      {"elapsed_s", static_cast<double>(row.to_ns) / 1e9},
      {"planned_s", static_cast<double>(is.planned_ns) / 1e9},
      {"users", all.users},
      {"users_wanted", all.users_wanted},
      {"sent_per_s", static_cast<double>(all.sent) / seconds},
      {"acknowledged_per_s", static_cast<double>(all.acknowledged) / seconds},
      {"errors", all.error_count()},
      {"p50_ms", ms(all.response.percentile(50))},
      {"p99_ms", ms(all.response.percentile(99))},
      {"workers", is.workers},
      {"workers_lost", is.workers_lost},
      {"faults", is.faults}};
  tool::HttpRequest request;
  request.method = "PUT";
  request.address = scenario_.target.http;
  request.path = fmt::format("/api/v1/runs/{}", result_.id);
  request.body = body.dump();
  request.token = token_;
  calls_.begin(request, [this](const tool::HttpAnswer& answer) {
    if (answer.well() || answer.status == 0 || !dashboard_) return;
    dashboard_ = false;  // it won't be better the next second
    view_.on_notice(fmt::format("the gateway's page does not show this run: {}", answer.text()));
  });
}

void Coordinator::conclude() {
  if (result_.duration_ns == 0) result_.duration_ns = since_start();
  result_.spans = shape_.spans();
  for (StageSpan& span : result_.spans) {
    if (span.until_ns < 0) span.until_ns = result_.duration_ns;
  }
  result_.stage_notes.resize(scenario_.stages.size());
  for (std::uint32_t i = 0; i < scenario_.stages.size(); ++i) {
    if (const StressResult* found = shape_.stress(i)) {
      result_.stage_notes[i] = found->text(scenario_.stages[i]);
      result_.stress.push_back(*found);
    } else if (const ControlState* control = shape_.control(i)) {
      result_.stage_notes[i] =
          control->settled_ns >= 0
              ? fmt::format("held {} from {:.1f} s on, at a load of {:.1f}",
                            scenario_.stages[i].goal.text,
                            static_cast<double>(control->settled_ns) / 1e9, control->load)
              : fmt::format("did not settle at {}: last load {:.1f}, measured {:.1f}",
                            scenario_.stages[i].goal.text, control->load, control->measured);
    }
  }
  result_.faults = faults_.marks();
  for (std::size_t i = 0; i < result_.workers.size(); ++i) {
    result_.workers[i].round_trip_ns = workers_.workers()[i].round_trip_ns;
    result_.workers[i].clock_offset_ns = workers_.workers()[i].clock_offset_ns;
  }
  result_.verdicts = judge(scenario_.thresholds, [&](const Scope& scope) {
    return timeline_->measured(scope);
  });
}

}  // namespace ringgate::load
