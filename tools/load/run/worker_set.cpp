#include "tools/load/run/worker_set.hpp"

#include <fmt/core.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tools/common/owned_fd.hpp"
#include "tools/common/sockets.hpp"


namespace ringgate::load {
namespace {

constexpr int pings_at_start = 5;
// A worker that takes no more aims than this behind is stuck; it will be silent too.
constexpr std::size_t unsent_bytes_max = 64U << 20;

// How the process of a local worker ended; empty while it lives.
std::string how_it_ended(pid_t pid) {
  int status = 0;
  // It closed its socket because it ends; the kernel reports the end a moment later.
  for (int i = 0; i < 200; ++i) {
    const pid_t reaped = waitpid(pid, &status, WNOHANG);
    if (reaped == pid) {
      if (WIFSIGNALED(status)) {
        return fmt::format("killed by signal {} ({})", WTERMSIG(status),
                           strsignal(WTERMSIG(status)));
      }
      return fmt::format("ended with status {}", WEXITSTATUS(status));
    }
    if (reaped < 0) return "ended";
    const timespec moment{0, 500'000};
    nanosleep(&moment, nullptr);
  }
  return {};
}

}  // namespace

void use_all_files() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

wire::Hello own_hello() {
  wire::Hello hello;
  hello.version = RINGGATE_VERSION;
  char host[256] = "?";
  gethostname(host, sizeof host - 1);
  hello.host = host;
  hello.pid = getpid();
  hello.cpus = static_cast<std::uint32_t>(std::max(sysconf(_SC_NPROCESSORS_ONLN), 1L));
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  hello.files_max = limit.rlim_max;
  return hello;
}

WorkerSet::WorkerSet(Owner& owner, std::function<MonoNs()> clock)
    : owner_(owner), clock_(std::move(clock)) {}

WorkerSet::~WorkerSet() {
  for (Worker& worker : workers_) {
    if (worker.pid > 0) kill(worker.pid, SIGKILL);
    close_down(worker);
    if (worker.pid > 0) waitpid(worker.pid, nullptr, 0);
  }
}

Result<void> WorkerSet::fork_local(const WorkerMain& worker_main) {
  int pair[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    return errno_error(errno, "cannot make a socket for a worker");
  }
  const pid_t parent = getpid();
  std::fflush(nullptr);  // or the child writes what is still waiting, too
  const pid_t pid = fork();
  if (pid < 0) {
    const int error = errno;
    close(pair[0]);
    close(pair[1]);
    return errno_error(error, "cannot fork a worker");
  }
  if (pid == 0) {
    close(pair[0]);
    for (const Worker& other : workers_) {
      if (other.fd >= 0) close(other.fd);
    }
    // Ctrl-C reaches the whole group; a run is ended by its coordinator, which tells the workers.
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    use_all_files();
    if (getppid() != parent) _exit(1);  // it went before it could be asked for a signal
    const std::string hello = wire::encode(own_hello());
    if (::send(pair[1], hello.data(), hello.size(), MSG_NOSIGNAL) < 0) _exit(1);
    const int status = worker_main(pair[1], wire::Decoder{});
    std::fflush(nullptr);
    _exit(status);
  }
  close(pair[1]);
  Worker worker;
  worker.fd = pair[0];
  worker.pid = pid;
  worker.name = fmt::format("worker {} (pid {})", workers_.size(), pid);
  worker.heard_ns = clock_();
  tool::set_blocking(worker.fd, false);
  workers_.push_back(std::move(worker));
  return {};
}

Result<void> WorkerSet::connect_remote(const std::string& address, const std::string& secret) {
  const Result<tool::SocketAddress> to = tool::resolve_address(address, "--worker");
  if (!to.ok()) return to.error();
  tool::OwnedFd fd(socket(to->address.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return errno_error(errno, fmt::format("--worker {}", address));
  const timeval patience{5, 0};
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
  if (::connect(fd.get(), to->get(), to->bytes) != 0) {
    return errno_error(errno, fmt::format("--worker {}: nobody takes the connection; start "
                                          "`ringgate-load worker --listen` there", address));
  }
  const int on = 1;
  setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  Worker worker;
  worker.remote = true;
  worker.name = fmt::format("worker {} ({})", workers_.size(), address);
  worker.heard_ns = clock_();
  worker.fd = fd.get();
  tool::set_blocking(worker.fd, false);
  if (Result<void> shaken = shake_hands(worker, secret); !shaken.ok()) {
    return Error{shaken.error().code, fmt::format("--worker {}: {}", address,
                                                  shaken.error().message)};
  }
  fd.release();
  workers_.push_back(std::move(worker));
  return {};
}

Result<wire::Message> WorkerSet::await(Worker& worker, MonoNs until) {
  char buffer[16384];
  while (true) {
    Result<std::optional<wire::Message>> next = worker.decoder.next();
    if (!next.ok()) return next.error();
    if (next->has_value()) return std::move(**next);
    const MonoNs left = until - clock_();
    if (left <= 0) return Error{0, "no answer; is it a `ringgate-load worker`?"};
    pollfd one{worker.fd, POLLIN, 0};
    poll(&one, 1, static_cast<int>(left / ns_per_ms) + 1);
    const ssize_t got = recv(worker.fd, buffer, sizeof buffer, 0);
    if (got > 0) {
      worker.decoder.feed({buffer, static_cast<std::size_t>(got)});
    } else if (got == 0) {
      return Error{0, "it hung up: the secrets differ, or it is busy with another run"};
    } else if (errno != EAGAIN && errno != EINTR) {
      return errno_error(errno, "receive");
    }
  }
}

Result<void> WorkerSet::shake_hands(Worker& worker, const std::string& secret) {
  const MonoNs until = clock_() + 5 * ns_per_s;
  worker.decoder.set_limit(wire::stranger_frame_bytes_max);
  Result<wire::Message> first = await(worker, until);
  if (!first.ok()) return first.error();
  const auto* hello = std::get_if<wire::Hello>(&*first);
  if (hello == nullptr) return Error{0, "it is no worker: its first word was another"};
  worker.hello = *hello;
  if (worker.hello.version != RINGGATE_VERSION) {
    return Error{0, fmt::format("it is version {}, this is {}: install the same on both",
                                worker.hello.version, RINGGATE_VERSION)};
  }
  const std::string nonce = wire::make_nonce();
  const std::string frame = wire::encode(
      wire::Proof{wire::prove(secret, "coordinator", worker.hello.nonce), nonce});
  if (::send(worker.fd, frame.data(), frame.size(), MSG_NOSIGNAL) < 0) {
    return errno_error(errno, "send");
  }
  Result<wire::Message> second = await(worker, until);
  if (!second.ok()) return second.error();
  const auto* proof = std::get_if<wire::Proof>(&*second);
  if (proof == nullptr || !wire::same_proof(proof->proof, wire::prove(secret, "worker", nonce))) {
    return Error{0, "it does not know the secret: give both the same --secret-file"};
  }
  worker.decoder.set_limit(wire::frame_bytes_max);
  return {};
}

void WorkerSet::set_up(std::uint32_t worker, const wire::Setup& setup) {
  send(worker, setup);
  ping(workers_[worker]);
}

void WorkerSet::ping(Worker& worker) {
  worker.pinged_ns = clock_();
  worker.unsent += wire::encode(wire::Ping{worker.pinged_ns});
}

void WorkerSet::send(std::uint32_t worker, const wire::Message& message) {
  Worker& to = workers_[worker];
  if (to.fd < 0 || to.unsent.size() > unsent_bytes_max) return;
  to.unsent += wire::encode(message);
  write_to(worker);
}

void WorkerSet::start_all(MonoNs start_ns) {
  for (std::uint32_t i = 0; i < workers_.size(); ++i) {
    Worker& worker = workers_[i];
    if (worker.state != State::ready) continue;
    worker.state = State::running;
    worker.heard_ns = clock_();
    send(i, wire::Start{clock_() - start_ns + worker.round_trip_ns / 2});
  }
}

void WorkerSet::stop_all(bool hard) {
  for (std::uint32_t i = 0; i < workers_.size(); ++i) {
    Worker& worker = workers_[i];
    if (worker.fd < 0 || worker.state == State::ended) continue;  // it has only to hang up
    worker.state = State::draining;
    send(i, wire::Stop{hard});
  }
}

void WorkerSet::add_polls(std::vector<pollfd>& polls) const {
  for (const Worker& worker : workers_) {
    if (worker.fd < 0) continue;
    const int events = POLLIN | (worker.unsent.empty() ? 0 : POLLOUT);
    polls.push_back({worker.fd, static_cast<short>(events), 0});
  }
}

void WorkerSet::handle() {
  for (std::uint32_t i = 0; i < workers_.size(); ++i) {
    if (workers_[i].fd < 0) continue;
    write_to(i);
    read_from(i);
    check_silence(i);
  }
}

void WorkerSet::write_to(std::uint32_t index) {
  Worker& worker = workers_[index];
  while (worker.fd >= 0 && !worker.unsent.empty()) {
    const ssize_t sent = ::send(worker.fd, worker.unsent.data(), worker.unsent.size(),
                                MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0) {
      // A broken socket shows in the receive too, after what came before it broke.
      if (errno != EAGAIN && errno != EINTR) worker.unsent.clear();
      return;
    }
    worker.unsent.erase(0, static_cast<std::size_t>(sent));
  }
}

void WorkerSet::read_from(std::uint32_t index) {
  char buffer[65536];
  while (workers_[index].fd >= 0) {
    const ssize_t got = recv(workers_[index].fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) return lose(index, got == 0 ? "" : std::strerror(errno));
    workers_[index].heard_ns = clock_();
    workers_[index].decoder.feed({buffer, static_cast<std::size_t>(got)});
    while (workers_[index].fd >= 0) {
      Result<std::optional<wire::Message>> next = workers_[index].decoder.next();
      if (!next.ok()) return lose(index, next.error().message);
      if (!next->has_value()) break;
      take(index, std::move(**next));
    }
  }
}

void WorkerSet::take(std::uint32_t index, wire::Message message) {
  Worker& worker = workers_[index];
  if (auto* interval = std::get_if<Interval>(&message)) {
    interval->worker = index;
    owner_.on_interval(index, std::move(*interval));
  } else if (const auto* pong = std::get_if<wire::Pong>(&message)) {
    const MonoNs now = clock_();
    const MonoNs round_trip = now - pong->number;
    if (worker.pongs == 0 || round_trip < worker.round_trip_ns) {
      worker.round_trip_ns = round_trip;
      worker.clock_offset_ns = pong->mono_ns - (pong->number + round_trip / 2);
    }
    if (++worker.pongs < pings_at_start) ping(worker);
  } else if (auto* hello = std::get_if<wire::Hello>(&message)) {
    worker.hello = std::move(*hello);
  } else if (std::get_if<wire::Ready>(&message) != nullptr) {
    if (worker.state == State::starting) worker.state = State::ready;
  } else if (const auto* problem = std::get_if<wire::Problem>(&message)) {
    if (problem_.empty()) problem_ = fmt::format("{}: {}", worker.name, problem->message);
  } else if (const auto* piece = std::get_if<wire::AckedPiece>(&message)) {
    owner_.on_acked(index, piece->bytes);
  } else if (std::get_if<wire::End>(&message) != nullptr) {
    worker.state = State::ended;  // pieces of its log may follow; then it hangs up
  }
}

void WorkerSet::lose(std::uint32_t index, const std::string& reason) {
  Worker& worker = workers_[index];
  close_down(worker);
  std::string how = worker.pid > 0 ? how_it_ended(worker.pid) : std::string{};
  if (!how.empty()) worker.pid = 0;
  if (worker.state == State::ended) return;
  worker.state = State::lost;
  if (how.empty()) how = worker.remote ? "the connection ended" : "it closed its socket";
  owner_.on_lost(index, reason.empty() ? how : fmt::format("{} ({})", how, reason));
}

void WorkerSet::close_down(Worker& worker) {
  if (worker.fd >= 0) close(worker.fd);
  worker.fd = -1;
  worker.unsent.clear();
}

void WorkerSet::check_silence(std::uint32_t index) {
  Worker& worker = workers_[index];
  if (worker.fd < 0) return;
  const MonoNs allowed =
      worker.state == State::running ? worker_silence_ns : worker_patience_ns;
  if (clock_() - worker.heard_ns <= allowed) return;
  if (worker.pid > 0) kill(worker.pid, SIGKILL);  // its users must not load anything uncounted
  if (worker.state == State::ended) return close_down(worker);
  lose(index, fmt::format("silent for {:.0f} s", static_cast<double>(allowed) / 1e9));
}

bool WorkerSet::all_at_least(State state) const {
  return std::all_of(workers_.begin(), workers_.end(),
                     [&](const Worker& one) { return one.state >= state; });
}

std::size_t WorkerSet::alive() const {
  return static_cast<std::size_t>(std::count_if(
      workers_.begin(), workers_.end(), [](const Worker& one) { return one.fd >= 0; }));
}

}  // namespace ringgate::load
