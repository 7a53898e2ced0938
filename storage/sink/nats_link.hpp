// A connection to NATS for one thread: libnats does the protocol, and the thread that owns the link
// polls, reads and writes (libnats calls it an external event loop). So no wait is libnats' own,
// publishing never blocks, and whoever stops the thread ends its waits.
//
// A link that broke stays broken: its owner makes a new one, when and how it likes. libnats would
// reconnect by itself, and resend from a buffer of which nobody knows what the server has.
//
// Life and threads: everything on the owner's thread, but shutdown().
#pragma once

#include <nats/nats.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"
#include "storage/sink/stop_signal.hpp"
#include "storage/sink/target.hpp"

namespace ringgate::sink {

struct NatsServer {
  std::string host;
  int port = 4222;
  bool tls = false;
  std::string user;
  std::string password;
  std::string token;
  std::string display() const;  // without secrets: "nats://10.0.0.7:4222"
};

// "nats://user:password@host:4222,nats://other:4222", "nats://token@host", "tls://host". What lies
// before the @ is percent-encoded where it holds one of :@/,%; servers without a login take that of
// the first.
struct NatsUrl {
  std::vector<NatsServer> servers;
};
Result<NatsUrl> parse_nats_url(std::string_view text);

struct NatsLinkOptions {
  NatsUrl url;
  std::string client_name = "ringgate";
  std::string credentials_file;  // of `nsc generate creds`: a JWT and a seed
  std::string ca_file;           // PEM; empty: the system's
  std::string certificate_file;  // our own, PEM; empty: none
  std::string key_file;
  // For one server to take the connection. libnats waits here, and stop() has to wait with it: no
  // more than this, for one server that is there and does not answer.
  int connect_timeout_ms = 1500;
};

struct NatsMessageEnd {
  void operator()(natsMsg* message) const { natsMsg_Destroy(message); }
};
using NatsMessage = std::unique_ptr<natsMsg, NatsMessageEnd>;

std::string_view subject_of(const NatsMessage& message);
std::string_view reply_of(const NatsMessage& message);  // empty: none
std::string_view data_of(const NatsMessage& message);
// The server's own answer where nobody listens to a request's subject.
bool is_no_responders(const NatsMessage& message);

struct NatsHeader {
  const char* name;
  const char* value;
};

class NatsLink {
 public:
  // One server after the other, in an order that differs. `stop` (may be null) ends it in between.
  static Result<std::unique_ptr<NatsLink>, Trouble> connect(const NatsLinkOptions& options,
                                                            const StopSignal* stop);
  ~NatsLink();
  NatsLink(const NatsLink&) = delete;
  NatsLink& operator=(const NatsLink&) = delete;

  // Messages to `subject` come by next(), those of one subscription in order. Returns its number.
  Result<std::size_t, Trouble> subscribe(const std::string& subject);
  NatsMessage next(std::size_t subscription);  // null: none has come
  // Replies to subjects that begin with it come by next(inbox_subscription).
  const std::string& inbox() const { return inbox_; }
  static constexpr std::size_t inbox_subscription = 0;

  // Puts a message into the buffer. `reply` may be null.
  Result<void, Trouble> publish(const char* subject, const char* reply, std::string_view payload,
                                const NatsHeader* header = nullptr);
  // One request, waited for; other messages of the inbox are dropped meanwhile. Nobody there: an
  // empty message that is_no_responders().
  Result<NatsMessage, Trouble> request(const std::string& subject, std::string_view payload,
                                       int timeout_ms, const StopSignal& stop);

  // For messages of next() that come by the thousand: ends them together. libnats hands every one
  // to a thread that frees it, and wakes that thread for each.
  void discard(NatsMessage message);

  // Writes what the socket takes now.
  void write_some();
  // Reads what is there; messages come by next().
  void read_some() { natsConnection_ProcessReadEvent(connection_); }
  // Until something could be read or written, `stop`, or the time is over; then does it.
  void turn(int timeout_ms, const StopSignal& stop);
  // For poll(): -1 once it is closed.
  int fd() const { return fd_; }
  short events() const;
  std::size_t buffered_bytes() const;
  std::size_t payload_max() const;

  bool closed() const { return natsConnection_IsClosed(connection_); }
  // Why it closed, or what the server complained about.
  Trouble trouble(std::string_view what) const;
  // What the server forbade, if it did.
  bool forbidden() const;
  const std::string& server() const { return server_; }  // without secrets

  // Any thread: ends reading and writing for good.
  void shutdown();

 private:
  NatsLink() = default;
  Result<void, Trouble> open(const NatsLinkOptions& options, const NatsServer& server);
  natsStatus set_options(natsOptions* to, const NatsLinkOptions& options, const NatsServer& server);
  static natsStatus on_attach(void** user, void* loop, natsConnection*, natsSock socket);
  static natsStatus on_read(void* user, bool add);
  static natsStatus on_write(void* user, bool add);
  static natsStatus on_detach(void* user);
  void forget_socket();
  void empty_bin();

  natsConnection* connection_ = nullptr;
  std::vector<natsSubscription*> subscriptions_;
  std::vector<natsMsg*> bin_;
  std::string server_;
  std::string inbox_;
  std::uint64_t requests_ = 0;
  std::mutex socket_mutex_;  // between shutdown() and the socket's end
  std::atomic<int> fd_{-1};
  std::atomic<bool> wants_write_{false};  // also set by libnats' timer thread, for its pings
};

}  // namespace ringgate::sink
