#include "storage/sink/redis_link.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <hiredis/hiredis.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/io/sys.hpp"

namespace ringgate::sink {

namespace {

constexpr std::size_t receive_bytes = 64 * 1024;

struct FreeReply {
  void operator()(void* reply) const { freeReplyObject(reply); }
};

std::string tls_error() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "the connection ended";
  const char* reason = ERR_reason_error_string(code);
  return reason == nullptr ? "an error of TLS" : reason;
}

// "%40" is '@'. Nothing where a '%' is followed by no two hex digits.
bool percent_decode(std::string_view text, std::string& out) {
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '%') {
      out += text[at];
      continue;
    }
    unsigned value = 0;
    if (at + 2 >= text.size()) return false;
    const char* first = text.data() + at + 1;
    const auto [end, error] = std::from_chars(first, first + 2, value, 16);
    if (error != std::errc{} || end != first + 2) return false;
    out += static_cast<char>(value);
    at += 2;
  }
  return true;
}

bool parse_number(std::string_view text, std::uint32_t limit, std::uint32_t& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc{} && end == text.data() + text.size() && out <= limit;
}

// USER:PASSWORD@ at the front, taken off.
bool take_credentials(std::string_view& text, RedisUrl& url) {
  const std::size_t at = text.rfind('@');
  if (at == std::string_view::npos) return true;
  const std::string_view credentials = text.substr(0, at);
  text.remove_prefix(at + 1);
  const std::size_t colon = credentials.find(':');
  if (colon == std::string_view::npos) return percent_decode(credentials, url.password);
  return percent_decode(credentials.substr(0, colon), url.user) &&
         percent_decode(credentials.substr(colon + 1), url.password);
}

bool take_host(std::string_view text, RedisUrl::Seed& url) {
  if (text.starts_with('[')) {
    const std::size_t end = text.find(']');
    if (end == std::string_view::npos) return false;
    url.host = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
  } else {
    const std::size_t colon = text.find(':');
    url.host = text.substr(0, colon);
    text.remove_prefix(std::min(colon, text.size()));
  }
  if (text.starts_with(':')) {
    std::uint32_t port = 0;
    if (!parse_number(text.substr(1), 65535, port) || port == 0) return false;
    url.port = text.substr(1);
    text = {};
  }
  return text.empty() && !url.host.empty();
}

bool take_hosts(std::string_view text, RedisUrl& url) {
  for (bool first = true;; first = false) {
    const std::size_t comma = text.find(',');
    RedisUrl::Seed seed;
    if (!take_host(text.substr(0, comma), seed)) return false;
    if (first) {
      url.host = std::move(seed.host);
      url.port = std::move(seed.port);
    } else {
      url.others.push_back(std::move(seed));
    }
    if (comma == std::string_view::npos) return true;
    text.remove_prefix(comma + 1);
  }
}

}  // namespace

std::string RedisUrl::place() const {
  if (!path.empty()) return path;
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

Result<RedisUrl> parse_redis_url(std::string_view text) {
  const Error bad{0,
                  "redis://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...][/DB], rediss://... for "
                  "TLS or unix://[USER:PASSWORD@]/PATH[?db=N] is expected"};
  RedisUrl url;
  const std::size_t scheme_end = text.find("://");
  if (scheme_end == std::string_view::npos) return bad;
  const std::string_view scheme = text.substr(0, scheme_end);
  text.remove_prefix(scheme_end + 3);
  if (!take_credentials(text, url)) return bad;
  std::string_view database;
  if (scheme == "unix") {
    const std::size_t query = text.find("?db=");
    url.path = text.substr(0, query);
    if (!url.path.starts_with('/') || url.path.size() >= sizeof(sockaddr_un::sun_path)) return bad;
    if (query != std::string_view::npos) database = text.substr(query + 4);
  } else if (scheme == "redis" || scheme == "rediss") {
    url.tls = scheme == "rediss";
    const std::size_t slash = text.find('/');
    if (!take_hosts(text.substr(0, slash), url)) return bad;
    if (slash != std::string_view::npos) database = text.substr(slash + 1);
  } else {
    return bad;
  }
  if (!database.empty() && !parse_number(database, 65535, url.database)) return bad;
  return url;
}

// Commands ------------------------------------------------------------------------------------

namespace {

void append_number(std::string& bytes, char mark, std::size_t number) {
  const fmt::format_int text(number);
  bytes.append(1, mark).append(text.data(), text.size()).append("\r\n", 2);
}

}  // namespace

RedisCommands& RedisCommands::command(std::size_t arguments) {
  RG_CHECK(missing_ == 0);
  missing_ = arguments;
  append_number(bytes_, '*', arguments);
  ++count_;
  return *this;
}

RedisCommands& RedisCommands::argument(std::string_view text) {
  RG_CHECK(missing_ > 0);
  --missing_;
  append_number(bytes_, '$', text.size());
  bytes_.append(text).append("\r\n", 2);
  return *this;
}

RedisCommands& RedisCommands::integer(std::int64_t number) {
  const fmt::format_int text(number);
  return argument({text.data(), text.size()});
}

// Formatting a double exactly costs ten times what this does; so many decimals of a number of this
// size are exact.
RedisCommands& RedisCommands::real(double number, int decimals) {
  constexpr double exact_max = 9e15;  // 2^53
  double scaled = number;
  for (int i = 0; i < decimals; ++i) scaled *= 10;
  if (!(std::abs(scaled) < exact_max)) return argument(fmt::format("{:.{}f}", number, decimals));
  const std::int64_t rounded = std::llround(scaled);
  std::array<char, 32> text;
  char* at = text.data() + text.size();
  auto left = static_cast<std::uint64_t>(std::abs(rounded));
  for (int i = 0; i < decimals || left > 0 || i == decimals; ++i) {
    if (i == decimals && decimals > 0) *--at = '.';
    *--at = static_cast<char>('0' + left % 10);
    left /= 10;
  }
  if (rounded < 0) *--at = '-';
  return argument({at, static_cast<std::size_t>(text.data() + text.size() - at)});
}

RedisCommands& RedisCommands::raw(std::string_view command) {
  bytes_.append(command);
  ++count_;
  return *this;
}

void RedisCommands::clear() {
  bytes_.clear();
  count_ = 0;
}

// Transport -----------------------------------------------------------------------------------

struct RedisLink::Tls {
  SSL_CTX* context = nullptr;
  SSL* session = nullptr;
  ~Tls() {
    SSL_free(session);
    SSL_CTX_free(context);
  }
};

RedisLink::RedisLink(const RedisUrl& url, const RedisLinkOptions& options, const StopSignal& stop)
    : place_(url.place()), options_(options), stop_(stop), reader_(redisReaderCreate()) {
  RG_CHECK(reader_ != nullptr);
}

RedisLink::~RedisLink() {
  redisReaderFree(static_cast<redisReader*>(reader_));
  tls_.reset();
  if (fd_ >= 0) ::close(fd_);
}

Trouble RedisLink::broken(std::string_view what) const {
  return {Failure::unreachable, fmt::format("Redis at {}: {}", place_, what)};
}

Result<std::unique_ptr<RedisLink>, Trouble> RedisLink::connect(const RedisUrl& url,
                                                               const RedisLinkOptions& options,
                                                               const StopSignal& stop) {
  std::unique_ptr<RedisLink> link(new RedisLink(url, options, stop));
  if (auto opened = link->open_socket(url); !opened) return opened.error();
  if (url.tls) {
    if (auto started = link->start_tls(url); !started) return started.error();
  }
  if (auto signed_in = link->sign_in(url); !signed_in) return signed_in.error();
  return link;
}

Result<void, Trouble> RedisLink::open_socket(const RedisUrl& url) {
  if (!url.path.empty()) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, url.path.data(), url.path.size());
    return connect_to(&address, sizeof address, AF_UNIX);
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  const int error = ::getaddrinfo(url.host.c_str(), url.port.c_str(), &hints, &found);
  if (error != 0) return broken(fmt::format("the name can't be resolved: {}", gai_strerror(error)));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(found, &::freeaddrinfo);
  Trouble last = broken("no address");
  for (const addrinfo* at = found; at != nullptr; at = at->ai_next) {
    auto connected = connect_to(at->ai_addr, at->ai_addrlen, at->ai_family);
    if (connected) return {};
    last = connected.error();
    if (stop_.stopped()) break;
  }
  return last;
}

Result<void, Trouble> RedisLink::connect_to(const void* address, std::uint32_t size, int family) {
  if (fd_ >= 0) ::close(fd_);
  fd_ = ::socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return broken(fmt::format("no socket: {}", std::strerror(errno)));
  if (family != AF_UNIX) {
    const int on = 1;
    static_cast<void>(::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on));
    static_cast<void>(::setsockopt(fd_, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on));
  }
  int error = 0;
  if (::connect(fd_, static_cast<const sockaddr*>(address), size) != 0) error = errno;
  if (error == EINPROGRESS) {
    if (auto ready = wait_for(POLLOUT); !ready) return ready.error();
    socklen_t error_size = sizeof error;
    ::getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &error_size);
  }
  if (error != 0) return broken(fmt::format("can't connect: {}", std::strerror(error)));
  return {};
}

// For set-up: waits for the socket, at most connect_timeout_ms.
Result<void, Trouble> RedisLink::wait_for(short events) {
  std::array<pollfd, 2> polled{{{fd_, events, 0}, {stop_.fd(), POLLIN, 0}}};
  const int ready = ::poll(polled.data(), polled.size(),
                           static_cast<int>(options_.connect_timeout_ms));
  if (stop_.stopped()) return broken("the gateway stops");
  if (ready == 0) {
    return broken(fmt::format("no answer to {} within {} s", tls_ ? "TLS" : "the connection",
                              options_.connect_timeout_ms / 1000));
  }
  return {};
}

Result<void, Trouble> RedisLink::start_tls(const RedisUrl& url) {
  tls_ = std::make_unique<Tls>();
  tls_->context = SSL_CTX_new(TLS_client_method());
  RG_CHECK(tls_->context != nullptr);
  SSL_CTX* context = tls_->context;
  SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION);
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  const auto bad_file = [&](std::string_view key, const std::string& file) {
    return Trouble{Failure::bad_config, fmt::format("{} {}: {}", key, file, tls_error())};
  };
  if (options_.ca_file.empty()) {
    SSL_CTX_set_default_verify_paths(context);
  } else if (SSL_CTX_load_verify_locations(context, options_.ca_file.c_str(), nullptr) != 1) {
    return bad_file("sink.redis.ca_file", options_.ca_file);
  }
  if (const std::string& file = options_.certificate_file; !file.empty()) {
    if (SSL_CTX_use_certificate_chain_file(context, file.c_str()) != 1) {
      return bad_file("sink.redis.certificate_file", file);
    }
    if (SSL_CTX_use_PrivateKey_file(context, options_.key_file.c_str(), SSL_FILETYPE_PEM) != 1) {
      return bad_file("sink.redis.key_file", options_.key_file);
    }
  }
  tls_->session = SSL_new(context);
  RG_CHECK(tls_->session != nullptr);
  SSL_set_mode(tls_->session,
               SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  SSL_set_fd(tls_->session, fd_);
  X509_VERIFY_PARAM* checks = SSL_get0_param(tls_->session);
  if (X509_VERIFY_PARAM_set1_ip_asc(checks, url.host.c_str()) != 1) {
    SSL_set1_host(tls_->session, url.host.c_str());
    std::string name = url.host;  // the library's macro casts in the old way
    SSL_ctrl(tls_->session, SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name, name.data());
  }
  for (;;) {
    const int result = SSL_connect(tls_->session);
    if (result == 1) return {};
    const int error = SSL_get_error(tls_->session, result);
    if (error != SSL_ERROR_WANT_READ && error != SSL_ERROR_WANT_WRITE) {
      const long verified = SSL_get_verify_result(tls_->session);
      if (verified == X509_V_OK) return broken(fmt::format("TLS: {}", tls_error()));
      return Trouble{Failure::refused,
                     fmt::format("Redis at {}: its certificate is not accepted: {}", place_,
                                 X509_verify_cert_error_string(verified))};
    }
    const short events = error == SSL_ERROR_WANT_READ ? POLLIN : POLLOUT;
    if (auto ready = wait_for(events); !ready) return ready.error();
  }
}

Result<void, Trouble> RedisLink::sign_in(const RedisUrl& url) {
  RedisCommands commands;
  if (!url.password.empty()) {
    commands.command(url.user.empty() ? 2 : 3).argument("AUTH");
    if (!url.user.empty()) commands.argument(url.user);
    commands.argument(url.password);
  }
  if (url.database != 0) commands.command(2).argument("SELECT").integer(url.database);
  // The first command that needs rights tells at once whether there are any.
  commands.command(1).argument("PING");
  Result<void, Trouble> outcome;
  auto exchanged = exchange(commands, [&](std::size_t, const redisReply& reply) {
    if (reply.type != REDIS_REPLY_ERROR || !outcome) return;
    outcome = redis_trouble(place_, {reply.str, static_cast<std::size_t>(reply.len)});
  });
  if (!exchanged) return exchanged;
  return outcome;
}

std::int64_t RedisLink::send_some(std::string_view bytes) {
  if (tls_ == nullptr) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent >= 0) return sent;
    if (errno != EAGAIN && errno != EINTR) return -1;
    wants_ |= POLLOUT;
    return 0;
  }
  const int sent = SSL_write(tls_->session, bytes.data(),
                             static_cast<int>(std::min<std::size_t>(bytes.size(), 64 * 1024)));
  if (sent > 0) return sent;
  const int error = SSL_get_error(tls_->session, sent);
  if (error == SSL_ERROR_WANT_WRITE) wants_ |= POLLOUT;
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

std::int64_t RedisLink::receive_some(char* into, std::size_t size) {
  if (tls_ == nullptr) {
    const ssize_t received = ::recv(fd_, into, size, 0);
    if (received > 0) return received;
    return received < 0 && (errno == EAGAIN || errno == EINTR) ? 0 : -1;
  }
  const int received = SSL_read(tls_->session, into, static_cast<int>(size));
  if (received > 0) return received;
  const int error = SSL_get_error(tls_->session, received);
  if (error == SSL_ERROR_WANT_WRITE) wants_ |= POLLOUT;
  return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE ? 0 : -1;
}

// Exchanges -----------------------------------------------------------------------------------

struct RedisLink::Flight {
  std::string_view unsent;
  std::size_t replies = 0;
  std::size_t wanted = 0;
  MonoNs heard_ns = 0;
  bool done() const { return unsent.empty() && replies == wanted; }
};

// Moves what can be moved now.
Result<void, Trouble> RedisLink::step(Flight& flight, const Visit& visit) {
  wants_ = 0;
  while (!flight.unsent.empty()) {
    const std::int64_t sent = send_some(flight.unsent);
    if (sent < 0) break;  // the server may have said why: read it first
    if (sent == 0) break;
    flight.unsent.remove_prefix(static_cast<std::size_t>(sent));
  }
  auto* reader = static_cast<redisReader*>(reader_);
  std::array<char, receive_bytes> buffer;
  for (;;) {
    const std::int64_t received = receive_some(buffer.data(), buffer.size());
    if (received < 0) return broken("the connection ended");
    if (received == 0) return {};
    flight.heard_ns = io::real_sys().mono_now();
    redisReaderFeed(reader, buffer.data(), static_cast<std::size_t>(received));
    for (;;) {
      void* raw = nullptr;
      if (redisReaderGetReply(reader, &raw) != REDIS_OK) {
        return broken(fmt::format("no reply of Redis: {}", reader->errstr));
      }
      if (raw == nullptr) break;
      const std::unique_ptr<redisReply, FreeReply> reply(static_cast<redisReply*>(raw));
      if (flight.replies == flight.wanted) {
        // A server that is full or stops says so before it closes.
        if (reply->type != REDIS_REPLY_ERROR) return broken("a reply to nothing");
        return redis_trouble(place_, {reply->str, static_cast<std::size_t>(reply->len)});
      }
      visit(flight.replies++, *reply);
    }
    if (flight.done()) return {};
  }
}

Result<void, Trouble> RedisLink::exchange(const RedisCommands& commands, const Visit& visit) {
  RedisLink* self = this;
  return exchange_all({&self, 1}, {&commands, 1},
                      [&](std::size_t, std::size_t index, const redisReply& reply) {
                        visit(index, reply);
                      });
}

Result<void, Trouble> RedisLink::exchange_all(
    std::span<RedisLink* const> links, std::span<const RedisCommands> commands,
    const std::function<void(std::size_t link, std::size_t index, const redisReply&)>& visit) {
  RG_CHECK(links.size() == commands.size());
  std::vector<Flight> flights(links.size());
  const MonoNs started_ns = io::real_sys().mono_now();
  for (std::size_t i = 0; i < links.size(); ++i) {
    flights[i] = {commands[i].bytes(), 0, commands[i].count(), started_ns};
  }
  std::vector<pollfd> polled;
  for (;;) {
    polled.assign(1, {links.empty() ? -1 : links[0]->stop_.fd(), POLLIN, 0});
    MonoNs oldest_ns = io::real_sys().mono_now();
    const RedisLink* slowest = nullptr;
    for (std::size_t i = 0; i < links.size(); ++i) {
      RedisLink& link = *links[i];
      if (flights[i].done()) continue;
      const Visit own = [&](std::size_t index, const redisReply& reply) { visit(i, index, reply); };
      if (auto moved = link.step(flights[i], own); !moved) return moved;
      if (flights[i].done()) continue;
      const bool sends = !flights[i].unsent.empty();
      polled.push_back({link.fd_, static_cast<short>(POLLIN | link.wants_ | (sends ? POLLOUT : 0)),
                        0});
      if (slowest == nullptr || flights[i].heard_ns < oldest_ns) {
        oldest_ns = flights[i].heard_ns;
        slowest = &link;
      }
    }
    if (slowest == nullptr) return {};
    const MonoNs patience_ns = slowest->options_.reply_timeout_ms * ns_per_ms;
    const MonoNs left_ns = oldest_ns + patience_ns - io::real_sys().mono_now();
    if (left_ns <= 0) {
      return slowest->broken(fmt::format("no reply within {} s; is it Redis, and does it keep up?",
                                         slowest->options_.reply_timeout_ms / 1000));
    }
    ::poll(polled.data(), polled.size(), static_cast<int>(left_ns / ns_per_ms + 1));
    if (slowest->stop_.stopped()) return slowest->broken("the gateway stops");
  }
}

Trouble redis_trouble(std::string_view place, std::string_view error) {
  const std::string_view word = error.substr(0, error.find(' '));
  const auto is = [&](std::initializer_list<std::string_view> words) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  Failure failure = Failure::bad_config;
  std::string_view cure = "";
  if (is({"NOAUTH", "WRONGPASS", "NOPERM"}) || error.find("invalid password") != error.npos ||
      error.find("without any password configured") != error.npos) {
    failure = Failure::refused;
    cure = " (check user, password and rights in sink.redis.url)";
  } else if (is({"OOM", "LOADING", "BUSY", "TRYAGAIN", "CLUSTERDOWN", "MASTERDOWN", "MISCONF",
                 "NOREPLICAS"}) ||
             error.find("max number of clients") != error.npos) {
    failure = Failure::overloaded;
  } else if (is({"READONLY", "UNBLOCKED", "MOVED", "ASK", "NOSCRIPT"})) {
    failure = Failure::unreachable;
  } else if (is({"WRONGTYPE"})) {
    cure = " (something else uses these keys: set another sink.redis.prefix)";
  }
  return {failure, fmt::format("Redis at {}: {}{}", place, error, cure)};
}

}  // namespace ringgate::sink
