#include "tools/ringgate/notify.hpp"

#include <fmt/core.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <limits>

namespace ringgate::server {

void notify_manager(const std::string& state) {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  if (path == nullptr || (path[0] != '/' && path[0] != '@')) return;
  const std::size_t length = std::strlen(path);
  if (length >= sizeof address.sun_path) return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path, length);
  if (path[0] == '@') address.sun_path[0] = '\0';  // the abstract namespace
  const int fd = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + length);
  // A manager that does not listen is no reason to fail.
  static_cast<void>(::sendto(fd, state.data(), state.size(), MSG_NOSIGNAL,
                             reinterpret_cast<const sockaddr*>(&address), size));
  ::close(fd);
}

void notify_status(std::string text) {
  // A line feed would begin another assignment.
  std::ranges::replace(text, '\n', ' ');
  notify_manager("STATUS=" + text);
}

void notify_reloading(MonoNs now) {
  notify_manager(fmt::format("RELOADING=1\nMONOTONIC_USEC={}", now / ns_per_us));
}

MonoNs watchdog_interval() {
  const auto number = [](const char* name) {
    const char* text = std::getenv(name);
    return text == nullptr ? 0LL : std::strtoll(text, nullptr, 10);
  };
  const long long us = number("WATCHDOG_USEC");
  const long long pid = number("WATCHDOG_PID");
  constexpr long long day_us = 24LL * 3600 * 1'000'000;
  if (us <= 0 || us > day_us || (pid != 0 && pid != ::getpid())) return 0;
  return us * ns_per_us;
}

Watchdog::Watchdog(shard::Pulse& pulse, MonoNs interval, MonoNs now)
    : pulse_(pulse), step_(interval / 4),
      next_(step_ == 0 ? std::numeric_limits<MonoNs>::max() : now), asked_(now) {}

Watchdog::Verdict Watchdog::look(MonoNs now) {
  if (now < next_) return Verdict::wait;
  next_ = now + step_;
  stuck_.clear();
  for (std::size_t i = 0; i < pulse_.size(); ++i) {
    if (!pulse_.answered(i)) {
      stuck_ += fmt::format("{}{}", stuck_.empty() ? "" : ", ", pulse_.name(i));
    }
  }
  if (stuck_.empty()) {
    pulse_.ask();
    asked_ = now;
    return Verdict::feed;
  }
  if (now - asked_ < 2 * step_) return Verdict::wait;
  stuck_ += fmt::format(": no turn for {:.1f} s",
                        static_cast<double>(now - asked_) / static_cast<double>(ns_per_s));
  return Verdict::stuck;
}

}  // namespace ringgate::server
