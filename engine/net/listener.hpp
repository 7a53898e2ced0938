// Opening listening sockets: one per shard and address, sharing the port by SO_REUSEPORT. Start-up
// only, on the main thread; the descriptors go to each shard's Links::add_listener.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/config/listen_address.hpp"
#include "engine/config/schema.hpp"
#include "engine/config/settings.hpp"
#include "engine/io/sys.hpp"
#include "engine/net/networks.hpp"

namespace ringgate::net {

// Set on the listening socket; Linux gives them to accepted ones. 0 leaves the system's value.
struct SocketOptions {
  bool nodelay = true;
  std::uint32_t keepalive_idle_s = 0;  // 0: no keepalive
  std::uint32_t keepalive_interval_s = 0;
  std::uint32_t keepalive_count = 0;
  std::uint32_t receive_buffer_bytes = 0;
  std::uint32_t send_buffer_bytes = 0;
  int backlog = 4096;
  // A connection whose peer takes nothing of what waits for it ends after this (TCP_USER_TIMEOUT);
  // one that takes a little at a time does not.
  std::uint32_t stalled_ms = 0;
  bool datagrams = false;  // UDP on the same port too
};

// Of key `client_certificates`; the order is that of tls::ClientCertificates.
inline constexpr std::string_view client_certificates_choices[] = {"no", "optional", "required"};

struct OpenListener {
  std::string address;   // as bound: port 0 is replaced by the real one
  std::vector<int> fds;  // one per shard
  std::vector<int> datagram_fds;  // likewise; empty without datagrams
  bool tls = false;               // of the section's tls_listen; set by the caller
};

// Error: names the address, what was refused and the cure. Nothing stays open then.
Result<OpenListener> open_listener(io::Sys& sys, const config::ListenAddress& address,
                                   const SocketOptions& options, unsigned shards);

// The keys that every listener section has, for its table: RG_LISTENER_KEYS("jt808",
// "127.0.0.1:7808"); and the one of those that take datagrams: RG_DATAGRAM_KEY("jt808").
SocketOptions socket_options(const config::Settings& settings, const std::string& section);

#define RG_LISTENER_KEYS(section, default_listen)                                                 \
  ::ringgate::config::KeySpec{                                                                    \
      .name = section ".listen",                                                                  \
      .type = ::ringgate::config::KeyType::text_list,                                             \
      .default_text = default_listen,                                                             \
      .doc = "Addresses to listen on, as host:port; port 0 takes a free one. Empty: off.",        \
      .max = 16,                                                                                  \
      .check = &::ringgate::config::check_listen_address},                                        \
      ::ringgate::config::KeySpec{                                                                \
          .name = section ".tls_listen",                                                          \
          .type = ::ringgate::config::KeyType::text_list,                                         \
          .default_text = "",                                                                     \
          .doc = "The same with TLS, with the certificates of section tls. Empty: off.",          \
          .max = 16,                                                                              \
          .check = &::ringgate::config::check_listen_address},                                    \
      ::ringgate::config::KeySpec{                                                                \
          .name = section ".client_certificates",                                                 \
          .type = ::ringgate::config::KeyType::choice,                                            \
          .default_text = "no",                                                                   \
          .doc = "Whether TLS clients show certificates of tls.client_ca: no, may, must.",        \
          .choices = ::ringgate::net::client_certificates_choices},                               \
      ::ringgate::config::KeySpec{                                                                \
          .name = section ".allow",                                                               \
          .type = ::ringgate::config::KeyType::text_list,                                         \
          .default_text = "",                                                                     \
          .doc = "Networks whose clients are taken, like 10.0.0.0/8; empty: all.",                \
          .apply = ::ringgate::config::Apply::new_links,                                          \
          .max = 1024,                                                                            \
          .check = &::ringgate::net::check_network},                                              \
      ::ringgate::config::KeySpec{                                                                \
          .name = section ".deny",                                                                \
          .type = ::ringgate::config::KeyType::text_list,                                         \
          .default_text = "",                                                                     \
          .doc = "Networks whose clients are not taken, though allowed.",                         \
          .apply = ::ringgate::config::Apply::new_links,                                          \
          .max = 1024,                                                                            \
          .check = &::ringgate::net::check_network},                                              \
      ::ringgate::config::KeySpec{                                                                \
          .name = section ".proxy_from",                                                          \
          .type = ::ringgate::config::KeyType::text_list,                                         \
          .default_text = "",                                                                     \
          .doc = "Proxies: their TCP links begin with a PROXY header, version 2.",                \
          .apply = ::ringgate::config::Apply::new_links,                                          \
          .max = 1024,                                                                            \
          .check = &::ringgate::net::check_network},                                              \
      ::ringgate::config::KeySpec{.name = section ".nodelay",                                     \
                                  .type = ::ringgate::config::KeyType::boolean,                   \
                                  .default_text = "true",                                         \
                                  .doc = "Send replies at once (TCP_NODELAY)."},                  \
      ::ringgate::config::KeySpec{                                                                \
          .name = section ".keepalive_idle",                                                      \
          .type = ::ringgate::config::KeyType::duration,                                          \
          .default_text = "0s",                                                                   \
          .doc = "TCP keepalive after this much silence; 0s is off, the idle time-out suffices.", \
          .max = 32767 * ::ringgate::ns_per_s},                                                   \
      ::ringgate::config::KeySpec{                                                                \
          .name = section ".keepalive_interval",                                                  \
          .type = ::ringgate::config::KeyType::duration,                                          \
          .default_text = "0s",                                                                   \
          .doc = "Time between keepalive probes; 0s is the system's value.",                      \
          .max = 32767 * ::ringgate::ns_per_s},                                                   \
      ::ringgate::config::KeySpec{                                                                \
          .name = section ".keepalive_count",                                                     \
          .type = ::ringgate::config::KeyType::integer,                                           \
          .default_text = "0",                                                                    \
          .doc = "Unanswered keepalive probes that end a link; 0 is the system's value.",         \
          .max = 127,                                                                             \
          .unit = "probes"},                                                                      \
      ::ringgate::config::KeySpec{                                                                \
          .name = section ".receive_buffer",                                                      \
          .type = ::ringgate::config::KeyType::size,                                              \
          .default_text = "0B",                                                                   \
          .doc = "Kernel receive buffer of a link (SO_RCVBUF); 0 lets the kernel choose.",        \
          .max = 1 << 28},                                                                        \
      ::ringgate::config::KeySpec{                                                                \
          .name = section ".send_buffer",                                                         \
          .type = ::ringgate::config::KeyType::size,                                              \
          .default_text = "0B",                                                                   \
          .doc = "Kernel send buffer of a link (SO_SNDBUF); 0 lets the kernel choose.",           \
          .max = 1 << 28},                                                                        \
      ::ringgate::config::KeySpec{                                                                \
          .name = section ".backlog",                                                             \
          .type = ::ringgate::config::KeyType::integer,                                           \
          .default_text = "4096",                                                                 \
          .doc = "Connections that may wait to be accepted (net.core.somaxconn caps it).",        \
          .min = 1,                                                                               \
          .max = 65535,                                                                           \
          .unit = "connections"},                                                                 \
      ::ringgate::config::KeySpec{.name = section ".idle_timeout",                                \
                                  .type = ::ringgate::config::KeyType::duration,                  \
                                  .default_text = "5m",                                           \
                                  .doc = "A link that has sent nothing for this long is closed.", \
                                  .apply = ::ringgate::config::Apply::new_links,                  \
                                  .min = ::ringgate::ns_per_s / 10,                               \
                                  .max = 7 * 24 * 3600 * ::ringgate::ns_per_s},                   \
      ::ringgate::config::KeySpec {                                                               \
    .name = section ".frame_timeout", .type = ::ringgate::config::KeyType::duration,              \
    .default_text = "30s",                                                                        \
    .doc = "A link whose frame has begun and does not end within this time is closed.",           \
    .apply = ::ringgate::config::Apply::new_links, .min = ::ringgate::ns_per_s / 10,              \
    .max = 24 * 3600 * ::ringgate::ns_per_s                                                       \
  }

#define RG_DATAGRAM_KEY(section)                                                            \
  ::ringgate::config::KeySpec {                                                             \
    .name = section ".udp", .type = ::ringgate::config::KeyType::boolean,                   \
    .default_text = "true", .doc = "Take UDP on the same addresses and ports as TCP, too."  \
  }

}  // namespace ringgate::net
