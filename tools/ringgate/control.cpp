#include "tools/ringgate/control.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "tools/ringgate/control_client.hpp"

namespace ringgate::server {

namespace {

constexpr int look_again_ms = 10;

}  // namespace

Control::Control(const ControlParts& parts)
    : parts_(parts), post_(parts.errands, parts.producer), audit_(post_, parts_.logs) {}

Result<std::unique_ptr<Control>> Control::open(const ControlParts& parts) {
  std::unique_ptr<Control> control(new Control(parts));
  if (auto bound = control->listen(); !bound) return bound.error();
  return control;
}

Result<void> Control::listen() {
  const std::string& path = parts_.path;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error{0, fmt::format("control socket {}: the path is {} bytes long, and {} are allowed; "
                                "use a shorter server.data_dir, or control.enabled = false",
                                path, path.size(), sizeof address.sun_path - 1)};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  listener_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (listener_ < 0) return errno_error(errno, "control socket");
  // Nobody else has it: we hold the data directory's lock.
  ::unlink(path.c_str());
  // The file gets the socket's mode less what umask takes: nobody gets in between. umask itself is
  // left alone, for other threads make files at this moment.
  ::fchmod(listener_, parts_.mode);
  if (::bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return errno_error(errno, fmt::format("control socket {}: bind", path));
  }
  if (::chmod(path.c_str(), parts_.mode) != 0) {
    return errno_error(errno, fmt::format("control socket {}: chmod", path));
  }
  if (::listen(listener_, 128) != 0) {
    return errno_error(errno, fmt::format("control socket {}: listen", path));
  }
  return {};
}

void Control::serve(const Sinks* sinks, ReloadDesk* reloads) {
  sinks_ = sinks;
  reloads_ = reloads;
  thread_ = std::thread([this] { run(); });
}

void Control::letter(std::function<void()> work) {
  class One final : public shard::Letter {
   public:
    explicit One(std::function<void()>&& work) : work_(std::move(work)) {}
    void arrive() override { work_(); }

   private:
    std::function<void()> work_;
  };
  post_.inbox().push(std::make_unique<One>(std::move(work)));
}

Control::~Control() {
  stop_.store(true, std::memory_order_release);
  post_.inbox().wake();
  if (thread_.joinable()) thread_.join();
  // The shards have stopped: what was out is home now or comes with this.
  while (post_.outstanding() > 0) post_.poll();
  clients_.clear();
  if (listener_ >= 0) {
    ::close(listener_);
    ::unlink(parts_.path.c_str());
  }
}

void Control::run() {
  pthread_setname_np(pthread_self(), "control");
  // Signals are the main thread's.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  while (!stop_.load(std::memory_order_acquire)) turn(-1);
  end_all();
}

void Control::turn(int longest_ms) {
  std::vector<pollfd> waits;
  waits.reserve(clients_.size() + 2);
  waits.push_back({post_.fd(), POLLIN, 0});
  waits.push_back({listener_, POLLIN, 0});
  for (const auto& client : clients_) waits.push_back({client->fd(), client->events(), 0});
  const bool soon = longest_ms < 0 && (look_again_ || !unfinished_.empty());
  const int timeout = soon ? look_again_ms : longest_ms;
  look_again_ = false;
  if (::poll(waits.data(), waits.size(), timeout) < 0) return;  // EINTR
  post_.poll();
  std::erase_if(unfinished_, [](const auto& step) { return step(); });
  std::size_t lines_bytes = 0;
  std::vector<std::unique_ptr<ControlClient>> staying;
  for (std::size_t i = 0; i < clients_.size(); ++i) {
    if (clients_[i]->turn(waits[i + 2].revents, lines_bytes)) {
      staying.push_back(std::move(clients_[i]));
    }
  }
  clients_ = std::move(staying);
  if ((waits[1].revents & POLLIN) != 0) accept_clients();
  if (!audit_.pump()) look_again();
}

void Control::accept_clients() {
  for (;;) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0) {
      // Descriptors ran out: the client waits in the queue until there are some.
      if (errno == EMFILE || errno == ENFILE) look_again();
      return;
    }
    if (clients_.size() >= control_limits::clients_max) {
      const std::string why = control_error(
          "too-many-clients", fmt::format("{} clients are connected; close one",
                                          control_limits::clients_max)) + "\n";
      static_cast<void>(::send(fd, why.data(), why.size(), MSG_NOSIGNAL));
      ::close(fd);
      continue;
    }
    clients_.push_back(std::make_unique<ControlClient>(*this, fd));
  }
}

void Control::end_all() {
  post_.poll();
  for (const auto& client : clients_) client->stop();
  for (const auto& step : unfinished_) static_cast<void>(step());
}

}  // namespace ringgate::server
