// Where a request of a browser comes from: what Host, Origin and Cookie say. Pure; any thread; no
// allocation.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ringgate::api {

// A host with its port, as in the Host field. `port` is empty where there is none.
struct HostPort {
  std::string_view host;  // "[::1]" with its brackets; without a dot at its end
  std::string_view port;
};
// False: it is none.
bool split_host(std::string_view text, HostPort& out);

// "localhost", 127.0.0.0/8, [::1]: names that nobody can make a browser resolve to something else,
// or something else resolve to them.
bool is_loopback_host(std::string_view host);

// Whether `host` (with its port or not) is in the list, whose entries are "gateway.example.com" for
// any port, or "gateway.example.com:8443". The case of letters does not matter.
bool is_listed_host(const std::vector<std::string>& list, std::string_view host);

// Whether an Origin ("https://gateway.example.com:8443") is that of the Host field: a scheme's own
// port may be left out on either side. "null" is nobody's.
bool is_same_origin(std::string_view origin, std::string_view host);
// Its host and port; "": it is none.
std::string_view host_of_origin(std::string_view origin);

// The value of a cookie in a Cookie field (RFC 6265 4.2.1). `count` goes up by how many of that
// name there are; the last one is given.
std::string_view find_cookie(std::string_view field, std::string_view name, unsigned& count);

}  // namespace ringgate::api
