#include "tools/ctl/client.hpp"

#include <fmt/core.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace ringgate::ctl {

namespace {

// A gateway reads a request as soon as it has answered the one before.
constexpr int send_patience_ms = 30'000;

volatile sig_atomic_t signalled = 0;

std::string owner_of(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return "the user who runs the gateway";
  const passwd* entry = ::getpwuid(info.st_uid);
  return entry != nullptr ? fmt::format("'{}'", entry->pw_name)
                          : fmt::format("the user with id {}", info.st_uid);
}

std::string why_not(const std::string& path, int error) {
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return fmt::format("no gateway at {}: is ringgate running with this data directory? "
                         "Name the right one with --data DIR", path);
    case ECONNREFUSED:
      return fmt::format("no gateway at {}: one ended and left the file; start ringgate again",
                         path);
    case EACCES:
    case EPERM:
      return fmt::format("permission denied at {}: run this as {}, or give others access with "
                         "control.socket_mode", path, owner_of(path));
    case EAGAIN:
      return fmt::format("the gateway at {} has too many clients waiting; try again", path);
    default:
      return fmt::format("{}: {}", path, std::strerror(error));
  }
}

}  // namespace

void catch_signals() {
  struct sigaction action {};
  action.sa_handler = [](int) { signalled = 1; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
}

bool interrupted() { return signalled != 0; }

Client::~Client() {
  if (fd_ >= 0) ::close(fd_);
}

Result<void> Client::connect(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Error{0, fmt::format("{}: a socket's path has at most {} bytes; go to its directory and "
                                "use a relative one", path, sizeof address.sun_path - 1)};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  fd_ = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return errno_error(errno, "socket");
  if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return Error{errno, why_not(path, errno)};
  }
  return {};
}

Result<void> Client::send(const Json& request) {
  std::string text = request.dump(-1, ' ', false, Json::error_handler_t::replace);
  text += '\n';
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t sent = ::send(fd_, text.data() + at, text.size() - at,
                                MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno == EAGAIN) {
      pollfd wait{fd_, POLLOUT, 0};
      const int ready = ::poll(&wait, 1, send_patience_ms);
      if (interrupted()) return errno_error(EINTR, "the gateway took no request");
      if (ready == 0) return errno_error(ETIMEDOUT, "the gateway took no request");
      continue;
    }
    if (sent < 0 && errno == EINTR && !interrupted()) continue;
    if (sent < 0) return errno_error(errno, "the gateway took no request");
    at += static_cast<std::size_t>(sent);
  }
  return {};
}

Client::Got Client::next(Json& out, int timeout_ms) {
  for (;;) {
    const std::size_t newline = in_.find('\n', begin_);
    if (newline != std::string::npos) {
      out = Json::parse(in_.begin() + static_cast<std::ptrdiff_t>(begin_),
                        in_.begin() + static_cast<std::ptrdiff_t>(newline), nullptr, false);
      begin_ = newline + 1;
      return out.is_object() ? Got::line : Got::ended;
    }
    in_.erase(0, begin_);
    begin_ = 0;
    if (interrupted()) return Got::interrupted;
    pollfd wait{fd_, POLLIN, 0};
    const int ready = ::poll(&wait, 1, timeout_ms);
    if (ready == 0) return Got::timed_out;
    if (ready < 0) continue;  // EINTR: looked at above
    char buffer[64 * 1024];
    const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return Got::ended;
    in_.append(buffer, static_cast<std::size_t>(got));
  }
}

}  // namespace ringgate::ctl
