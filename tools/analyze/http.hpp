// A GET of a gateway's HTTP interface. Blocking, a connection for each; cold.
#pragma once

#include <string>
#include <string_view>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"

namespace ringgate::analyze {

struct Url {
  std::string host;
  std::string port;
  std::string path;  // in front of "/metrics"; mostly empty
  bool loopback() const;
};
// "http://127.0.0.1:7880", "http://gateway:7880/below". Error: what is wrong, and for https that a
// tunnel or the plain listener of the gateway's machine is to be taken.
Result<Url> parse_url(std::string_view text);

// A gateway answers in milliseconds, a starved one in some seconds.
constexpr MonoNs http_patience_ns = 10 * ns_per_s;

// The body of a 200. `token` empty: none is sent. Error: who did not answer, or the status; its
// code is EPROTO where somebody took the request and said nothing that is HTTP for so long.
Result<std::string> http_get(const Url& url, std::string_view path, std::string_view token,
                             MonoNs patience_ns = http_patience_ns);

}  // namespace ringgate::analyze
