#include "storage/sink/nats_link.hpp"

#include <fmt/format.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <random>

namespace ringgate::sink {

namespace {

// libnats' own buffers; a larger one takes more acknowledgements with one read.
constexpr int io_buffer_bytes = 256 * 1024;
// A peer that takes nothing for so long, or has died without a word, is given up by the kernel.
constexpr unsigned send_timeout_ms = 10'000;
// Pings of libnats tell a dead server from a silent one: two unanswered ones close the link.
constexpr std::int64_t ping_interval_ms = 5'000;
constexpr int pings_out_max = 2;
constexpr std::size_t servers_max = 64;
// Messages that wait to be freed together: some MiB.
constexpr std::size_t bin_max = 2048;

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string percent_decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool encoded = text[i] == '%' && i + 2 < text.size() && hex_digit(text[i + 1]) >= 0 &&
                         hex_digit(text[i + 2]) >= 0;
    if (!encoded) {
      out.push_back(text[i]);
      continue;
    }
    out.push_back(static_cast<char>(hex_digit(text[i + 1]) * 16 + hex_digit(text[i + 2])));
    i += 2;
  }
  return out;
}

Result<NatsServer> parse_server(std::string_view text) {
  NatsServer server;
  if (const auto scheme = text.find("://"); scheme != std::string_view::npos) {
    const std::string_view name = text.substr(0, scheme);
    if (name != "nats" && name != "tls") {
      return Error{0, fmt::format("'{}://' is no scheme of NATS: nats:// or tls://", name)};
    }
    server.tls = name == "tls";
    text.remove_prefix(scheme + 3);
  }
  if (const auto at = text.rfind('@'); at != std::string_view::npos) {
    const std::string_view login = text.substr(0, at);
    const auto colon = login.find(':');
    if (colon == std::string_view::npos) {
      server.token = percent_decoded(login);
    } else {
      server.user = percent_decoded(login.substr(0, colon));
      server.password = percent_decoded(login.substr(colon + 1));
    }
    text.remove_prefix(at + 1);
  }
  while (!text.empty() && text.back() == '/') text.remove_suffix(1);
  const auto bracket = text.rfind(']');
  const auto colon = text.rfind(':');
  if (colon != std::string_view::npos && (bracket == std::string_view::npos || colon > bracket)) {
    const std::string_view port = text.substr(colon + 1);
    const auto [end, error] = std::from_chars(port.data(), port.data() + port.size(), server.port);
    if (error != std::errc() || end != port.data() + port.size() || server.port < 1 ||
        server.port > 65535) {
      return Error{0, "a port between 1 and 65535 is expected behind the host"};
    }
    text = text.substr(0, colon);
  }
  if (text.empty()) return Error{0, "a host is missing: nats://host:4222"};
  server.host = text;
  return server;
}

Failure failure_of(natsStatus status, std::string_view text) {
  switch (status) {
    case NATS_CONNECTION_AUTH_FAILED:
    case NATS_NOT_PERMITTED:
      return Failure::refused;
    case NATS_SSL_ERROR:
    case NATS_SECURE_CONNECTION_WANTED:
    case NATS_SECURE_CONNECTION_REQUIRED:
    case NATS_INVALID_ARG:
    case NATS_INVALID_SUBJECT:
    case NATS_ADDRESS_MISSING:
    case NATS_NO_SERVER_SUPPORT:
      return Failure::bad_config;
    default:
      break;
  }
  const auto says = [&](std::string_view words) { return text.find(words) != text.npos; };
  if (says("uthorization") || says("uthentication") || says("ermissions")) return Failure::refused;
  return Failure::unreachable;
}

std::string_view cure_of(Failure failure) {
  switch (failure) {
    case Failure::refused:
      return "; check the login in sink.nats.url, or sink.nats.credentials";
    case Failure::bad_config:
      return "; check sink.nats.url and the certificates";
    default:
      return "";
  }
}

std::string last_error_text(natsStatus status) {
  natsStatus ignored = NATS_OK;
  const char* text = nats_GetLastError(&ignored);
  return text != nullptr && *text != '\0' ? text : natsStatus_GetText(status);
}

}  // namespace

std::string NatsServer::display() const {
  return fmt::format("{}://{}:{}", tls ? "tls" : "nats", host, port);
}

Result<NatsUrl> parse_nats_url(std::string_view text) {
  NatsUrl url;
  while (!text.empty()) {
    const auto comma = text.find(',');
    auto server = parse_server(text.substr(0, comma));
    if (!server) return server.error();
    const bool has_login = !server->user.empty() || !server->token.empty();
    if (!url.servers.empty() && !has_login) {
      server->user = url.servers.front().user;
      server->password = url.servers.front().password;
      server->token = url.servers.front().token;
    }
    if (url.servers.size() == servers_max) {
      return Error{0, fmt::format("more than {} servers", servers_max)};
    }
    url.servers.push_back(std::move(*server));
    if (comma == std::string_view::npos) break;
    text.remove_prefix(comma + 1);
  }
  if (url.servers.empty()) return Error{0, "a server is missing: nats://host:4222"};
  return url;
}

std::string_view subject_of(const NatsMessage& message) {
  return natsMsg_GetSubject(message.get());
}

std::string_view reply_of(const NatsMessage& message) {
  const char* reply = natsMsg_GetReply(message.get());
  return reply != nullptr ? reply : std::string_view();
}

std::string_view data_of(const NatsMessage& message) {
  const char* data = natsMsg_GetData(message.get());
  const int size = natsMsg_GetDataLength(message.get());
  return data != nullptr ? std::string_view(data, static_cast<std::size_t>(size))
                         : std::string_view();
}

bool is_no_responders(const NatsMessage& message) {
  if (natsMsg_GetDataLength(message.get()) != 0) return false;
  const char* status = nullptr;
  return natsMsgHeader_Get(message.get(), "Status", &status) == NATS_OK && status != nullptr &&
         std::string_view(status) == "503";
}

// ---- connecting ---------------------------------------------------------------------------------

Result<std::unique_ptr<NatsLink>, Trouble> NatsLink::connect(const NatsLinkOptions& options,
                                                             const StopSignal* stop) {
  std::vector<const NatsServer*> servers;
  for (const NatsServer& server : options.url.servers) servers.push_back(&server);
  std::shuffle(servers.begin(), servers.end(), std::minstd_rand(std::random_device()()));
  Trouble trouble{.failure = Failure::unreachable, .message = "no server is named"};
  bool first = true;
  for (const NatsServer* server : servers) {
    if (stop != nullptr && stop->stopped()) return Trouble{.message = "stopped"};
    std::unique_ptr<NatsLink> link(new NatsLink);
    auto opened = link->open(options, *server);
    if (opened) return link;
    // What the operator can mend is told before what mends itself.
    if (first || opened.error().failure != Failure::unreachable) trouble = opened.error();
    first = false;
  }
  return trouble;
}

natsStatus NatsLink::set_options(natsOptions* to, const NatsLinkOptions& options,
                                 const NatsServer& server) {
  natsStatus s = natsOptions_SetURL(
      to, fmt::format("nats://{}:{}", server.host, server.port).c_str());
  const auto next = [&s](auto&& set) {
    if (s == NATS_OK) s = set();
  };
  next([&] { return natsOptions_SetAllowReconnect(to, false); });
  next([&] { return natsOptions_SetTimeout(to, options.connect_timeout_ms); });
  next([&] { return natsOptions_SetName(to, options.client_name.c_str()); });
  next([&] { return natsOptions_SetIOBufSize(to, io_buffer_bytes); });
  next([&] { return natsOptions_SetPingInterval(to, ping_interval_ms); });
  next([&] { return natsOptions_SetMaxPingsOut(to, pings_out_max); });
  // Without it libnats starts a thread that flushes; here write_some() does.
  next([&] { return natsOptions_SetSendAsap(to, true); });
  next([&] {
    return natsOptions_SetEventLoop(to, this, &on_attach, &on_read, &on_write, &on_detach);
  });
  if (!server.user.empty()) {
    next([&] {
      return natsOptions_SetUserInfo(to, server.user.c_str(), server.password.c_str());
    });
  } else if (!server.token.empty()) {
    next([&] { return natsOptions_SetToken(to, server.token.c_str()); });
  }
  if (!options.credentials_file.empty()) {
    next([&] {
      return natsOptions_SetUserCredentialsFromFiles(to, options.credentials_file.c_str(), nullptr);
    });
  }
  if (!server.tls) return s;
  next([&] { return natsOptions_SetSecure(to, true); });
  next([&] { return natsOptions_SetExpectedHostname(to, server.host.c_str()); });
  if (!options.ca_file.empty()) {
    next([&] { return natsOptions_LoadCATrustedCertificates(to, options.ca_file.c_str()); });
  }
  if (!options.certificate_file.empty()) {
    next([&] {
      return natsOptions_LoadCertificatesChain(to, options.certificate_file.c_str(),
                                               options.key_file.c_str());
    });
  }
  return s;
}

Result<void, Trouble> NatsLink::open(const NatsLinkOptions& options, const NatsServer& server) {
  server_ = server.display();
  natsOptions* made = nullptr;
  natsStatus s = natsOptions_Create(&made);
  if (s == NATS_OK) s = set_options(made, options, server);
  if (s == NATS_OK) s = natsConnection_Connect(&connection_, made);
  natsOptions_Destroy(made);
  natsInbox* inbox = nullptr;
  if (s == NATS_OK) s = natsInbox_Create(&inbox);
  if (s == NATS_OK) {
    inbox_ = fmt::format("{}.", inbox);
    natsInbox_Destroy(inbox);
    auto subscribed = subscribe(inbox_ + "*");
    if (!subscribed) return subscribed.error();
    return {};
  }
  const std::string text =
      s == NATS_TIMEOUT ? fmt::format("no answer within {} ms; is it a nats-server, and does it "
                                      "keep up?", options.connect_timeout_ms)
                        : last_error_text(s);
  const Failure failure = failure_of(s, text);
  return Trouble{.failure = failure,
                 .message = fmt::format("{}: {}{}", server_, text, cure_of(failure))};
}

NatsLink::~NatsLink() {
  empty_bin();
  for (natsSubscription* subscription : subscriptions_) natsSubscription_Destroy(subscription);
  natsConnection_Destroy(connection_);
}

natsStatus NatsLink::on_attach(void** user, void* loop, natsConnection*, natsSock socket) {
  *user = loop;
  auto& link = *static_cast<NatsLink*>(loop);
  static_cast<void>(::setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &send_timeout_ms,
                                 sizeof send_timeout_ms));
  const std::lock_guard lock(link.socket_mutex_);
  link.fd_ = socket;
  return NATS_OK;
}

// Told before libnats closes the socket.
natsStatus NatsLink::on_read(void* user, bool add) {
  if (!add) static_cast<NatsLink*>(user)->forget_socket();
  return NATS_OK;
}

natsStatus NatsLink::on_write(void* user, bool add) {
  static_cast<NatsLink*>(user)->wants_write_.store(add, std::memory_order_release);
  return NATS_OK;
}

natsStatus NatsLink::on_detach(void* user) {
  static_cast<NatsLink*>(user)->forget_socket();
  return NATS_OK;
}

void NatsLink::forget_socket() {
  const std::lock_guard lock(socket_mutex_);
  fd_ = -1;
}

void NatsLink::shutdown() {
  const std::lock_guard lock(socket_mutex_);
  if (fd_ >= 0) static_cast<void>(::shutdown(fd_, SHUT_RDWR));
}

// ---- messages -----------------------------------------------------------------------------------

Result<std::size_t, Trouble> NatsLink::subscribe(const std::string& subject) {
  natsSubscription* made = nullptr;
  natsStatus s = natsConnection_SubscribeSync(&made, connection_, subject.c_str());
  // What comes is taken in every turn; the owner bounds how much that may be.
  if (s == NATS_OK) s = natsSubscription_SetPendingLimits(made, -1, -1);
  if (made != nullptr) subscriptions_.push_back(made);
  if (s != NATS_OK) return trouble(fmt::format("subscribing to {}", subject));
  return subscriptions_.size() - 1;
}

NatsMessage NatsLink::next(std::size_t subscription) {
  natsMsg* message = nullptr;
  // A look at the number first: libnats writes down an error for every empty-handed call.
  std::uint64_t waiting = 0;
  if (natsSubscription_QueuedMsgs(subscriptions_[subscription], &waiting) != NATS_OK ||
      waiting == 0) {
    return nullptr;
  }
  static_cast<void>(natsSubscription_NextMsg(&message, subscriptions_[subscription], 0));
  return NatsMessage(message);
}

Result<void, Trouble> NatsLink::publish(const char* subject, const char* reply,
                                        std::string_view payload, const NatsHeader* header) {
  natsMsg* made = nullptr;
  natsStatus s =
      natsMsg_Create(&made, subject, reply, payload.data(), static_cast<int>(payload.size()));
  if (s == NATS_OK && header != nullptr) s = natsMsgHeader_Set(made, header->name, header->value);
  if (s == NATS_OK) s = natsConnection_PublishMsg(connection_, made);
  if (made != nullptr) discard(NatsMessage(made));
  if (s == NATS_OK) return {};
  if (s == NATS_MAX_PAYLOAD) {
    return Trouble{.failure = Failure::bad_record,
                   .message = fmt::format("{}: {} bytes are more than its max_payload of {}",
                                          server_, payload.size(), payload_max())};
  }
  return trouble("publishing");
}

Result<NatsMessage, Trouble> NatsLink::request(const std::string& subject, std::string_view payload,
                                               int timeout_ms, const StopSignal& stop) {
  const std::string reply = fmt::format("{}r{}", inbox_, ++requests_);
  auto published = publish(subject.c_str(), reply.c_str(), payload);
  if (!published) return published.error();
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::milliseconds(timeout_ms);
  for (;;) {
    while (NatsMessage message = next(inbox_subscription)) {
      if (subject_of(message) == reply) return message;
    }
    if (stop.stopped()) return Trouble{.message = "stopped"};
    if (closed()) return trouble(subject);
    if (forbidden()) return trouble(subject);
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      return Trouble{.message = fmt::format("{}: no answer to {} within {} ms", server_, subject,
                                            timeout_ms)};
    }
    turn(static_cast<int>(left.count()) + 1, stop);
  }
}

void NatsLink::discard(NatsMessage message) {
  bin_.push_back(message.release());
  if (bin_.size() >= bin_max) empty_bin();
}

void NatsLink::empty_bin() {
  for (natsMsg* message : bin_) natsMsg_Destroy(message);
  bin_.clear();
}

void NatsLink::write_some() {
  if (wants_write_.load(std::memory_order_acquire)) natsConnection_ProcessWriteEvent(connection_);
}

short NatsLink::events() const {
  return static_cast<short>(POLLIN |
                            (wants_write_.load(std::memory_order_acquire) ? POLLOUT : 0));
}

void NatsLink::turn(int timeout_ms, const StopSignal& stop) {
  pollfd waits[] = {{fd_, events(), 0}, {stop.fd(), POLLIN, 0}};
  if (waits[0].fd < 0 || ::poll(waits, 2, timeout_ms) <= 0) return;
  if ((waits[0].revents & (POLLIN | POLLHUP | POLLERR)) != 0) read_some();
  if ((waits[0].revents & POLLOUT) != 0) write_some();
}

std::size_t NatsLink::buffered_bytes() const {
  const int bytes = natsConnection_Buffered(connection_);
  return bytes > 0 ? static_cast<std::size_t>(bytes) : 0;
}

std::size_t NatsLink::payload_max() const {
  const std::int64_t bytes = natsConnection_GetMaxPayload(connection_);
  return bytes > 0 ? static_cast<std::size_t>(bytes) : 0;
}

bool NatsLink::forbidden() const {
  const char* text = nullptr;
  return natsConnection_GetLastError(connection_, &text) == NATS_NOT_PERMITTED;
}

Trouble NatsLink::trouble(std::string_view what) const {
  const char* text = nullptr;
  const natsStatus s = natsConnection_GetLastError(connection_, &text);
  const std::string_view said = text != nullptr && *text != '\0'
                                    ? std::string_view(text)
                                    : std::string_view("the connection broke");
  const Failure failure = failure_of(s, said);
  return {.failure = failure,
          .message = fmt::format("{}: {}: {}{}", server_, what, said, cure_of(failure))};
}

}  // namespace ringgate::sink
