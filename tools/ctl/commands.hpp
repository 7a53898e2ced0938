// The commands of ringgate-ctl. Each returns an exit code. One thread.
#pragma once

#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "tools/ctl/client.hpp"

namespace ringgate::ctl {

struct Options {
  std::string socket;
  bool json = false;
  std::string filter;
  bool online = false;
  std::uint64_t limit = 0;
  std::vector<std::string> words;  // positional arguments
  std::string wait = "5s";
  std::uint32_t parallel = 50;
  bool all = false;
  std::string why;
  std::string ban_for;
  std::string watch;  // empty: once
  bool zeros = false;
  bool when_online = false;
  std::string expires;  // empty: the gateway's default
};

int devices(Client& client, const Options& options);
int device(Client& client, const Options& options);
int send(Client& client, const Options& options);
int kick(Client& client, const Options& options);
int ban(Client& client, const Options& options);
int unban(Client& client, const Options& options);
int bans(Client& client, const Options& options);
int trace(Client& client, const Options& options);
int bad_frames(Client& client, const Options& options);
int stats(Client& client, const Options& options);
int pending(Client& client, const Options& options);
int cancel(Client& client, const Options& options);
int status(Client& client, const Options& options);
int sink(Client& client, const Options& options);
int reload(Client& client, const Options& options);

// For the commands -------------------------------------------------------------------------------

// Asks and hands every line before the last to `take`; the last ({"ok": ...}) to `end`. Prints what
// went wrong. `patience_ms`: without any line for so long the gateway is given up.
template <class Take>
int converse(Client& client, const Options& options, const Json& request, int patience_ms,
             Take&& take, Json* end = nullptr);

// Prints an answer's error, with the place in the filter where it is about that; its exit code.
int print_error(const Options& options, const Json& answer);
int unreachable(const Options& options, Client::Got got);

template <class Take>
int converse(Client& client, const Options& options, const Json& request, int patience_ms,
             Take&& take, Json* end) {
  if (auto sent = client.send(request); !sent) {
    const int code = sent.error().code;
    return unreachable(options, code == ETIMEDOUT ? Client::Got::timed_out
                                : code == EINTR   ? Client::Got::interrupted
                                                  : Client::Got::ended);
  }
  for (Json line;;) {
    const Client::Got got = client.next(line, patience_ms);
    if (got != Client::Got::line) return unreachable(options, got);
    if (!line.contains("ok")) {
      take(line);
      continue;
    }
    if (!line.value("ok", false)) return print_error(options, line);
    if (end != nullptr) *end = std::move(line);
    return 0;
  }
}

}  // namespace ringgate::ctl
