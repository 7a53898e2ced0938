// The coordinator's end of its workers: forks local ones, connects to those on other hosts, and
// keeps their sockets. Everything is told to an Owner. One thread, poll(2); nothing blocks once the
// workers are there.
#pragma once

#include <poll.h>
#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"
#include "tools/load/run/wire.hpp"

namespace ringgate::load {

// What a worker's process runs: crowd/worker.hpp's run_worker(), or a test's. Gets the socket and
// what has been read from it; returns the exit status.
using WorkerMain = std::function<int(int fd, wire::Decoder decoder)>;

// A worker that says nothing for so long is lost: it owes an Interval every second.
constexpr MonoNs worker_silence_ns = 3 * ns_per_s;
// ... except before it is ready (it may have to make keys) and while it drains after Stop.
constexpr MonoNs worker_patience_ns = 20 * ns_per_s;

class WorkerSet {
 public:
  class Owner {
   public:
    virtual ~Owner() = default;
    virtual void on_interval(std::uint32_t worker, Interval interval) = 0;
    // It is gone, and why; not called for one that has ended well.
    virtual void on_lost(std::uint32_t worker, const std::string& reason) = 0;
    virtual void on_acked(std::uint32_t worker, std::string_view piece) = 0;
  };
  enum class State : std::uint8_t { starting, ready, running, draining, ended, lost };
  struct Worker {
    State state = State::starting;
    int fd = -1;
    pid_t pid = 0;          // of a local one, to reap
    bool remote = false;
    std::string name;       // "worker 2 (pid 4711)", "worker 3 (10.0.0.7:7900)"
    wire::Hello hello;
    MonoNs heard_ns = 0;
    MonoNs round_trip_ns = 0;    // the shortest seen
    MonoNs clock_offset_ns = 0;  // its monotonic clock minus ours, to half of that
    MonoNs pinged_ns = 0;
    int pongs = 0;
    std::string unsent;
    wire::Decoder decoder;
  };

  WorkerSet(Owner& owner, std::function<MonoNs()> clock);
  ~WorkerSet();  // kills what is left of the local ones
  WorkerSet(const WorkerSet&) = delete;
  WorkerSet& operator=(const WorkerSet&) = delete;

  // In the child all descriptors that the set holds are closed. Before any thread.
  Result<void> fork_local(const WorkerMain& worker_main);
  // `address`: HOST:PORT. Waits at most five seconds for the handshake.
  Result<void> connect_remote(const std::string& address, const std::string& secret);

  void set_up(std::uint32_t worker, const wire::Setup& setup);
  void send(std::uint32_t worker, const wire::Message& message);
  // Start, with what the way there takes.
  void start_all(MonoNs start_ns);
  void stop_all(bool hard);

  // Adds what to wait for; after poll(2), handle() looks at all of them.
  void add_polls(std::vector<pollfd>& polls) const;
  void handle();

  const std::vector<Worker>& workers() const { return workers_; }
  // Of those that are not lost: all in this state or beyond.
  bool all_at_least(State state) const;
  std::size_t alive() const;  // neither ended nor lost
  // Said by a worker before it was ready: why the run can't begin.
  const std::string& problem() const { return problem_; }

 private:
  Result<void> shake_hands(Worker& worker, const std::string& secret);
  Result<wire::Message> await(Worker& worker, MonoNs until);
  void read_from(std::uint32_t worker);
  void write_to(std::uint32_t worker);
  void take(std::uint32_t worker, wire::Message message);
  void lose(std::uint32_t worker, const std::string& reason);
  void close_down(Worker& worker);
  void check_silence(std::uint32_t worker);
  void ping(Worker& worker);

  Owner& owner_;
  std::function<MonoNs()> clock_;
  std::vector<Worker> workers_;
  std::string problem_;
};

// What a worker on this host says first.
wire::Hello own_hello();
// Raises the limit of open files to what this process may have.
void use_all_files();

// `ringgate-load worker --listen`: takes coordinators one after the other, each in a forked
// process; returns only with an error, or when `interrupted` says so. `said`: lines for people.
Result<void> serve_coordinators(const std::string& listen, const std::string& secret,
                                const WorkerMain& worker_main,
                                const std::function<bool()>& interrupted,
                                const std::function<void(const std::string&)>& said);

}  // namespace ringgate::load
