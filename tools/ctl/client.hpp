// The connection to a gateway's control socket (tools/ctl/CONTROL.md). One thread.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/base/result.hpp"

namespace ringgate::ctl {

using Json = nlohmann::ordered_json;  // as the gateway wrote it

// Exit codes of ringgate-ctl.
constexpr int exit_failed = 1;       // refused, no answer in time, not found
constexpr int exit_usage = 2;        // arguments, a filter, a command that makes no sense
constexpr int exit_unreachable = 3;  // no gateway there, or it ended

class Client {
 public:
  Client() = default;
  ~Client();
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  // Error: what is wrong with the socket, and the cure.
  Result<void> connect(const std::string& path);
  // Error: code EINTR where a signal ended it, ETIMEDOUT where the gateway takes nothing.
  Result<void> send(const Json& request);

  enum class Got : std::uint8_t { line, ended, timed_out, interrupted };
  // The next line; waits at most `timeout_ms` (< 0: as long as it takes).
  Got next(Json& out, int timeout_ms);

 private:
  int fd_ = -1;
  std::string in_;
  std::size_t begin_ = 0;
};

// SIGINT and SIGTERM end what runs instead of the process.
void catch_signals();
bool interrupted();

}  // namespace ringgate::ctl
