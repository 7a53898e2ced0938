// One connection to a Redis server: bytes out, replies in, over TCP, TLS or a Unix socket. Replies
// are read by hiredis; the transport is ours, since hiredis of Debian 12 has no TLS. Used by one
// thread; waits are bounded by time-outs and ended by a StopSignal.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "storage/sink/stop_signal.hpp"
#include "storage/sink/target.hpp"

struct redisReply;

namespace ringgate::sink {

// redis://[USER:PASSWORD@]HOST[:PORT][,HOST[:PORT]...][/DB], rediss:// for TLS,
// unix://[USER:PASSWORD@]/PATH[?db=N]
struct RedisUrl {
  std::string host;
  std::string port = "6379";
  std::string path;  // of a Unix socket; empty: TCP
  bool tls = false;
  std::string user;  // empty: the default user
  std::string password;
  std::uint32_t database = 0;
  struct Seed {
    std::string host;
    std::string port = "6379";
  };
  std::vector<Seed> others;  // tried after `host`, one after the other

  std::string place() const;  // "10.0.0.1:6379": for people, without the password
};
// Error: what is wrong; repeats no password.
Result<RedisUrl> parse_redis_url(std::string_view text);

struct RedisLinkOptions {
  std::string ca_file;          // of TLS; empty: the system's
  std::string certificate_file;  // our own, for servers that ask; empty: none
  std::string key_file;
  std::uint32_t connect_timeout_ms = 5'000;
  std::uint32_t reply_timeout_ms = 15'000;  // without a byte from the server
};

// Commands in the order in which they were added, as the protocol (RESP 2) wants them. Each begins
// with its number of arguments.
class RedisCommands {
 public:
  RedisCommands& command(std::size_t arguments);
  RedisCommands& argument(std::string_view text);
  RedisCommands& integer(std::int64_t number);
  RedisCommands& real(double number, int decimals);

  // A whole command, made before.
  RedisCommands& raw(std::string_view command);

  std::size_t count() const { return count_; }
  const std::string& bytes() const { return bytes_; }
  void clear();

 private:
  std::string bytes_;
  std::size_t count_ = 0;
  std::size_t missing_ = 0;  // arguments that the last command still wants
};

class RedisLink {
 public:
  // Connects, authenticates and selects the database. `stop` outlives the link.
  static Result<std::unique_ptr<RedisLink>, Trouble> connect(const RedisUrl& url,
                                                             const RedisLinkOptions& options,
                                                             const StopSignal& stop);
  ~RedisLink();
  RedisLink(const RedisLink&) = delete;
  RedisLink& operator=(const RedisLink&) = delete;

  const std::string& place() const { return place_; }
  // Sends the commands and reads a reply to each; visit(index, reply) in order. Replies that are
  // errors are visited like others. After a failure the connection is of no more use.
  using Visit = std::function<void(std::size_t index, const redisReply& reply)>;
  Result<void, Trouble> exchange(const RedisCommands& commands, const Visit& visit);
  // The same on several links at once: commands[i] go to links[i]. Links end apart: the first
  // failure is returned.
  static Result<void, Trouble> exchange_all(
      std::span<RedisLink* const> links, std::span<const RedisCommands> commands,
      const std::function<void(std::size_t link, std::size_t index, const redisReply&)>& visit);

 private:
  struct Tls;
  struct Flight;  // one link's part of an exchange
  RedisLink(const RedisUrl& url, const RedisLinkOptions& options, const StopSignal& stop);
  Result<void, Trouble> open_socket(const RedisUrl& url);
  Result<void, Trouble> connect_to(const void* address, std::uint32_t size, int family);
  Result<void, Trouble> start_tls(const RedisUrl& url);
  Result<void, Trouble> sign_in(const RedisUrl& url);
  Result<void, Trouble> wait_for(short events);
  // Bytes moved; 0: would block; < 0: the connection has ended. Sets what to poll for.
  std::int64_t send_some(std::string_view bytes);
  std::int64_t receive_some(char* into, std::size_t size);
  Result<void, Trouble> step(Flight& flight, const Visit& visit);
  Trouble broken(std::string_view what) const;

  std::string place_;
  RedisLinkOptions options_;
  const StopSignal& stop_;
  int fd_ = -1;
  short wants_ = 0;  // poll events that the transport waits for besides input
  std::unique_ptr<Tls> tls_;
  void* reader_ = nullptr;  // redisReader
};

// What an error reply means for the sink: "OOM ..." is overloaded, "NOAUTH ..." refused.
Trouble redis_trouble(std::string_view place, std::string_view error);

}  // namespace ringgate::sink
