#include "tools/load/crowd/worker.hpp"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include "engine/io/uring.hpp"
#include "tools/load/crowd/acked.hpp"
#include "tools/load/crowd/crowd.hpp"
#include "tools/load/crowd/desk.hpp"
#include "tools/load/scenario/scenario.hpp"

namespace ringgate::load {
namespace {

constexpr std::uint32_t receive_buffers = 2048;
constexpr std::uint32_t receive_bytes = 2048 + 64;  // not all in one set of the cache
constexpr std::size_t control_bytes = 64 * 1024;
constexpr MonoNs sleep_ns_max = 100 * ns_per_ms;
constexpr MonoNs interval_ns = ns_per_s;
constexpr std::size_t acked_piece_bytes = 1 << 20;

std::int64_t cpu_ns() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return time.tv_sec * ns_per_s + time.tv_nsec;
}

std::uint64_t rss_bytes() {
  const std::unique_ptr<std::FILE, int (*)(std::FILE*)> file{std::fopen("/proc/self/statm", "re"),
                                                             std::fclose};
  unsigned long long total = 0, resident = 0;
  if (!file || std::fscanf(file.get(), "%llu %llu", &total, &resident) != 2) return 0;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

void raise_file_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

bool send_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) continue;
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
  return true;
}

class Worker final : public shard::CompletionHandler, public shard::Hook {
 public:
  Worker(int fd, wire::Decoder decoder) : fd_(fd), decoder_(std::move(decoder)) {}
  ~Worker() override {
    crowds_.clear();
    if (fd_ >= 0) ::close(fd_);
  }

  int run();

  void on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t flags) override;
  void before_wait() override;

 private:
  enum class Phase : std::uint8_t { waiting, running, draining, telling, over };

  Result<bool> await_setup();
  Result<void> begin();
  Result<void> open_shard(std::uint32_t users);
  void receive();
  void take(const wire::Message& message);
  void take_messages();
  void say(const wire::Message& message);
  void pump();
  void start_run(MonoNs ago_ns);
  void stop_run(bool hard);
  void end_interval(MonoNs now);
  void end_run();
  void send_acked();
  MonoNs sleep_budget() const;

  int fd_;
  wire::Decoder decoder_;
  wire::Setup setup_;
  Scenario scenario_;
  std::string acked_path_;
  std::unique_ptr<AckedWriter> acked_;
  std::unique_ptr<shard::Shard> shard_;
  std::unique_ptr<Desk> desk_;
  std::unique_ptr<io::BufferRing> buffers_;
  std::vector<std::unique_ptr<Crowd>> crowds_;
  std::uint8_t member_ = 0;

  Phase phase_ = Phase::waiting;
  bool lost_ = false;            // the coordinator is
  std::array<std::uint8_t, control_bytes> in_;
  std::string sending_;          // in the kernel's hands
  std::string unsent_;
  std::size_t sent_ = 0;
  bool send_in_flight_ = false;

  MonoNs start_ns_ = 0;          // of the run
  MonoNs from_ns_ = 0;           // of the interval, on the shard's clock
  MonoNs to_ns_ = INT64_MAX;     // its end, as planned
  std::uint32_t stage_ = 0;
  std::int64_t cpu_from_ns_ = 0;
  MonoNs loop_lag_ns_ = 0;
};

// ---- before the run ----------------------------------------------------------------------------

// False: the coordinator has gone.
Result<bool> Worker::await_setup() {
  while (true) {
    Result<std::optional<wire::Message>> next = decoder_.next();
    if (!next.ok()) return next.error();
    if (next->has_value()) {
      if (auto* setup = std::get_if<wire::Setup>(&**next)) {
        setup_ = std::move(*setup);
        return true;
      }
      if (const auto* ping = std::get_if<wire::Ping>(&**next)) {
        const std::string pong =
            wire::encode(wire::Pong{ping->number, io::real_sys().mono_now()});
        if (!send_all(fd_, pong)) return false;
      }
      continue;
    }
    const ssize_t got = ::recv(fd_, in_.data(), in_.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    decoder_.feed({reinterpret_cast<const char*>(in_.data()), static_cast<std::size_t>(got)});
  }
}

Result<void> Worker::open_shard(std::uint32_t users) {
  io::RingOptions options;
  options.cq_entries = std::clamp(std::bit_ceil(users * 4), 4096U, 65536U);
  Result<std::unique_ptr<io::Ring>> ring = io::Ring::open(io::make_uring_backend(), options);
  if (!ring.ok()) return ring.error();
  shard_ = std::make_unique<shard::Shard>(shard::ShardOptions{}, std::move(*ring),
                                          io::real_sys());
  Result<std::unique_ptr<io::BufferRing>> buffers =
      io::BufferRing::open(shard_->ring(), 0, receive_buffers, receive_bytes);
  if (!buffers.ok()) return buffers.error();
  buffers_ = std::move(*buffers);
  desk_ = std::make_unique<Desk>(*shard_);
  member_ = desk_->join(*this);
  shard_->add_hook(*this);
  return {};
}

Result<void> Worker::begin() {
  ReadOptions options;
  for (const auto& [key, value] : setup_.sets) options.sets.push_back(key + "=" + value);
  options.shorten = setup_.shorten;
  options.seed = setup_.seed;
  options.target = setup_.target;
  Result<Scenario, Problems> scenario =
      read_scenario(setup_.scenario_text, setup_.scenario_name, options);
  if (!scenario.ok()) return Error{0, scenario.error().front().text()};
  scenario_ = std::move(*scenario);
  raise_file_limit();
  if (setup_.keep_acked) {
    acked_path_ = setup_.acked_file;
    if (acked_path_.empty()) acked_path_ = fmt::format("/tmp/ringgate-load-acked-{}", getpid());
    Result<AckedWriter> acked = AckedWriter::open(acked_path_);
    if (!acked.ok()) return acked.error();
    acked_ = std::make_unique<AckedWriter>(std::move(*acked));
  }
  const std::vector<std::uint32_t> users = scenario_.users_max_by_class();
  std::uint32_t all = 0;
  for (const std::uint32_t one : users) all += share_of(one, setup_.worker, setup_.workers);
  if (Result<void> opened = open_shard(all); !opened.ok()) return opened;
  for (std::uint32_t i = 0; i < scenario_.classes.size(); ++i) {
    CrowdPlace place;
    place.shard = shard_.get();
    place.desk = desk_.get();
    place.buffers = buffers_.get();
    place.acked = acked_.get();
    place.users_max = share_of(users[i], setup_.worker, setup_.workers);
    place.worker = setup_.worker;
    place.workers = setup_.workers;
    place.class_index = i;
    place.scenario = &scenario_;
    place.tokens = &setup_.tokens;
    Result<std::unique_ptr<Crowd>> crowd = make_crowd(place);
    if (!crowd.ok()) return crowd.error();
    crowds_.push_back(std::move(*crowd));
  }
  return {};
}

int Worker::run() {
  const Result<bool> setup = await_setup();
  if (!setup.ok()) {
    send_all(fd_, wire::encode(wire::Problem{setup.error().message}));
    return 2;
  }
  if (!*setup) return 1;
  if (const Result<void> begun = begin(); !begun.ok()) {
    send_all(fd_, wire::encode(wire::Problem{begun.error().message}));
    return 2;
  }
  prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL);  // reports leave when they are due
  receive();
  say(wire::Ready{});
  take_messages();
  while (!lost_ && phase_ != Phase::over) shard_->turn(sleep_budget());
  return lost_ ? 1 : 0;
}

// ---- the coordinator ---------------------------------------------------------------------------

enum Operation : std::uint32_t { control_receive, control_send };

void Worker::receive() {
  io_uring_sqe* sqe = shard_->ring().next_sqe();
  io_uring_prep_recv(sqe, fd_, in_.data(), in_.size(), 0);
  sqe->user_data = Desk::data(io::Tag::tool, 0, member_, control_receive);
}

void Worker::say(const wire::Message& message) {
  unsent_ += wire::encode(message);
  pump();
}

void Worker::pump() {
  if (send_in_flight_) return;
  if (sent_ == sending_.size()) {
    sending_ = std::exchange(unsent_, {});
    sent_ = 0;
  }
  if (sending_.empty()) return;
  io_uring_sqe* sqe = shard_->ring().next_sqe();
  io_uring_prep_send(sqe, fd_, sending_.data() + sent_, sending_.size() - sent_, MSG_NOSIGNAL);
  sqe->user_data = Desk::data(io::Tag::tool, 0, member_, control_send);
  send_in_flight_ = true;
}

void Worker::on_completion(std::uint64_t user_data, std::int32_t result, std::uint32_t) {
  if (Desk::index_of(user_data) == control_send) {
    send_in_flight_ = false;
    if (result <= 0) {
      lost_ = true;
      return;
    }
    sent_ += static_cast<std::size_t>(result);
    return pump();
  }
  if (result == -EINTR || result == -EAGAIN) return receive();
  if (result <= 0) {
    lost_ = true;
    return;
  }
  decoder_.feed({reinterpret_cast<const char*>(in_.data()), static_cast<std::size_t>(result)});
  take_messages();
  receive();
}

void Worker::take_messages() {
  while (true) {
    const Result<std::optional<wire::Message>> next = decoder_.next();
    if (!next.ok()) {
      lost_ = true;
      return;
    }
    if (!next->has_value()) return;
    take(**next);
  }
}

void Worker::take(const wire::Message& message) {
  if (const auto* aim = std::get_if<Aim>(&message)) {
    if (phase_ != Phase::running) return;
    if (aim->stage != stage_) {
      end_interval(shard_->sys().mono_now());
      stage_ = aim->stage;
    }
    const std::size_t count = std::min(aim->classes.size(), crowds_.size());
    for (std::size_t i = 0; i < count; ++i) crowds_[i]->set_aim(aim->classes[i]);
  } else if (const auto* start = std::get_if<wire::Start>(&message)) {
    start_run(start->ago_ns);
  } else if (const auto* stop = std::get_if<wire::Stop>(&message)) {
    stop_run(stop->hard);
  } else if (const auto* ping = std::get_if<wire::Ping>(&message)) {
    say(wire::Pong{ping->number, shard_->sys().mono_now()});
  }
}

// ---- the run -----------------------------------------------------------------------------------

void Worker::start_run(MonoNs ago_ns) {
  if (phase_ != Phase::waiting) return;
  phase_ = Phase::running;
  const MonoNs now = shard_->sys().mono_now();
  start_ns_ = now - ago_ns;
  from_ns_ = now;
  to_ns_ = start_ns_ + ((now - start_ns_) / interval_ns + 1) * interval_ns;
  cpu_from_ns_ = cpu_ns();
  loop_lag_ns_ = 0;
}

void Worker::stop_run(bool hard) {
  if (phase_ == Phase::waiting) start_run(0);
  if (phase_ > Phase::draining) return;
  phase_ = Phase::draining;
  for (const std::unique_ptr<Crowd>& crowd : crowds_) crowd->stop(hard);
}

void Worker::end_interval(MonoNs now) {
  if (acked_) static_cast<void>(acked_->flush());
  Interval interval;
  interval.worker = setup_.worker;
  interval.stage = stage_;
  interval.from_ns = from_ns_ - start_ns_;
  interval.to_ns = now - start_ns_;
  const std::int64_t cpu = cpu_ns();
  interval.cpu_ns = cpu - std::exchange(cpu_from_ns_, cpu);
  interval.rss_bytes = rss_bytes();
  interval.loop_lag_ns = std::exchange(loop_lag_ns_, 0);
  for (const std::unique_ptr<Crowd>& crowd : crowds_) {
    interval.classes.push_back(crowd->take_tally());
  }
  from_ns_ = now;
  to_ns_ = start_ns_ + ((now - start_ns_) / interval_ns + 1) * interval_ns;
  say(interval);
}

void Worker::end_run() {
  end_interval(shard_->sys().mono_now());
  phase_ = Phase::telling;
  const std::uint64_t acked_bytes = acked_ ? acked_->count() * AckedWriter::entry_bytes : 0;
  say(wire::End{acked_bytes});
  if (acked_ && setup_.acked_file.empty()) send_acked();
  acked_.reset();
}

// The whole of it: a coordinator on another host looks it up there.
void Worker::send_acked() {
  const int fd = ::open(acked_path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  std::string piece(acked_piece_bytes, '\0');
  while (true) {
    const ssize_t got = ::read(fd, piece.data(), piece.size());
    if (got <= 0) break;
    say(wire::AckedPiece{piece.substr(0, static_cast<std::size_t>(got))});
  }
  ::close(fd);
  ::unlink(acked_path_.c_str());
}

void Worker::before_wait() {
  buffers_->publish();
  bool all_finished = true;
  for (const std::unique_ptr<Crowd>& crowd : crowds_) {
    crowd->before_wait();
    all_finished = all_finished && crowd->finished();
  }
  if (acked_) {
    if (const Result<void> flushed = acked_->flush(); !flushed.ok()) {
      say(wire::Problem{flushed.error().message});
      acked_.reset();
      stop_run(true);
    }
  }
  const MonoNs now = shard_->sys().mono_now();
  loop_lag_ns_ = std::max(loop_lag_ns_, now - shard_->now());
  if ((phase_ == Phase::running || phase_ == Phase::draining) && now >= to_ns_) end_interval(now);
  if (phase_ == Phase::draining && all_finished) end_run();
  if (phase_ == Phase::telling && !send_in_flight_ && unsent_.empty() &&
      sent_ == sending_.size()) {
    phase_ = Phase::over;
  }
}

MonoNs Worker::sleep_budget() const {
  const MonoNs now = shard_->now();
  MonoNs due = now + sleep_ns_max;
  if (phase_ == Phase::running || phase_ == Phase::draining) due = std::min(due, to_ns_);
  for (const std::unique_ptr<Crowd>& crowd : crowds_) due = std::min(due, crowd->next_due());
  return std::max<MonoNs>(due - now, 0);
}

}  // namespace

int run_worker(int fd, wire::Decoder decoder) { return Worker(fd, std::move(decoder)).run(); }

}  // namespace ringgate::load
