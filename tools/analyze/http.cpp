#include "tools/analyze/http.hpp"

#include <fmt/core.h>
#include <netdb.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

namespace ringgate::analyze {

namespace {

// A gateway answers in milliseconds, a starved one in some seconds.
constexpr int wait_ms = 10'000;
// /metrics of 64 shards are 2 MB.
constexpr std::size_t answer_bytes_max = 32U << 20;

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  Socket(const Socket&) = delete;
  Socket& operator=(const Socket&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

Result<int> connect_to(const Url& url) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = getaddrinfo(url.host.c_str(), url.port.c_str(), &hints, &found);
  if (error != 0) return Error{0, fmt::format("{}: {}", url.host, gai_strerror(error))};
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owned(found, &freeaddrinfo);
  int last = ECONNREFUSED;
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    const int fd = ::socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) continue;
    const timeval limit{wait_ms / 1000, 0};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    if (::connect(fd, at->ai_addr, at->ai_addrlen) == 0) return fd;
    last = errno;
    ::close(fd);
  }
  return errno_error(last, fmt::format("{}:{} cannot be reached", url.host, url.port));
}

// "5\r\nhello\r\n0\r\n\r\n" is "hello".
Result<std::string> unchunked(std::string_view text) {
  std::string out;
  for (;;) {
    const std::size_t end = text.find("\r\n");
    std::size_t size = 0;
    const auto [at, error] =
        std::from_chars(text.data(), text.data() + std::min(end, text.size()), size, 16);
    if (end == std::string_view::npos || error != std::errc() || end + 2 + size > text.size()) {
      return Error{0, "the answer ended in its middle"};
    }
    if (size == 0) return out;
    out += text.substr(end + 2, size);
    text.remove_prefix(std::min(text.size(), end + 2 + size + 2));
  }
}

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
  return out;
}

Result<std::string> body_of(std::string_view answer, std::string_view path) {
  const std::size_t end = answer.find("\r\n\r\n");
  if (end == std::string_view::npos || answer.rfind("HTTP/1.", 0) != 0 || answer.size() < 12) {
    return Error{0, "what answers does not speak HTTP"};
  }
  const std::string_view status = answer.substr(9, 3);
  if (status == "401" || status == "403") {
    return Error{0, fmt::format("{} wants a token with the scope for it: --token-file FILE "
                                "(ringgate-ctl token create)", path)};
  }
  if (status != "200") return Error{0, fmt::format("{} is answered with {}", path, status)};
  const std::string head = lower(answer.substr(0, end));
  const std::string_view body = answer.substr(end + 4);
  if (head.find("\r\ntransfer-encoding: chunked") != std::string::npos) return unchunked(body);
  const std::size_t length = head.find("\r\ncontent-length: ");
  if (length != std::string::npos) {
    const char* digits = head.c_str() + length + 18;
    if (std::strtoull(digits, nullptr, 10) != body.size()) {
      return Error{0, "the answer ended in its middle"};
    }
  }
  return std::string(body);
}

}  // namespace

bool Url::loopback() const {
  return host == "localhost" || host == "::1" || host.rfind("127.", 0) == 0;
}

Result<Url> parse_url(std::string_view text) {
  constexpr std::string_view plain = "http://";
  if (text.rfind("https://", 0) == 0) {
    return Error{0, "https is not spoken here: use the plain listener on the gateway's machine "
                    "(http.listen), or a tunnel (ssh -L 7880:127.0.0.1:7880 HOST)"};
  }
  if (text.rfind(plain, 0) != 0) {
    return Error{0, fmt::format("'{}' is no URL such as http://127.0.0.1:7880", text)};
  }
  text.remove_prefix(plain.size());
  Url out;
  const std::size_t slash = std::min(text.find('/'), text.size());
  out.path = std::string(text.substr(slash));
  while (!out.path.empty() && out.path.back() == '/') out.path.pop_back();
  std::string_view where = text.substr(0, slash);
  const bool six = !where.empty() && where.front() == '[';
  const std::size_t closing = six ? where.find(']') : 0;
  if (closing == std::string_view::npos) return Error{0, "the URL has a [ without ]"};
  const std::size_t colon = where.find(':', closing);
  out.host = std::string(six ? where.substr(1, closing - 1) : where.substr(0, colon));
  out.port = colon == std::string_view::npos ? "80" : std::string(where.substr(colon + 1));
  if (out.host.empty() || out.port.empty()) return Error{0, "the URL names no host or no port"};
  return out;
}

Result<std::string> http_get(const Url& url, std::string_view path, std::string_view token) {
  auto connected = connect_to(url);
  if (!connected) return connected.error();
  const Socket socket(*connected);
  const bool six = url.host.find(':') != std::string::npos;
  std::string request = fmt::format("GET {}{} HTTP/1.1\r\nHost: {}{}{}:{}\r\nConnection: close\r\n",
                                    url.path, path, six ? "[" : "", url.host, six ? "]" : "",
                                    url.port);
  if (!token.empty()) request += fmt::format("Authorization: Bearer {}\r\n", token);
  request += "\r\n";
  for (std::size_t sent = 0; sent < request.size();) {
    const ssize_t part =
        ::send(socket.get(), request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (part <= 0) return errno_error(errno, "the request could not be sent");
    sent += static_cast<std::size_t>(part);
  }
  std::string answer;
  char part[64 * 1024];
  for (;;) {
    const ssize_t got = ::recv(socket.get(), part, sizeof part, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno_error(errno, fmt::format("no answer of {} in 10 s", url.host));
    if (got == 0) break;
    answer.append(part, static_cast<std::size_t>(got));
    if (answer.size() > answer_bytes_max) return Error{0, "the answer is longer than 32 MiB"};
  }
  return body_of(answer, path);
}

}  // namespace ringgate::analyze
