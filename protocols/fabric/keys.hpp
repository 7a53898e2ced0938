// What makes this gateway a node of a fabric.
#pragma once

#include <unistd.h>

#include <string>

#include "engine/config/schema.hpp"
#include "engine/config/settings.hpp"
#ifdef RINGGATE_NATS
#include "storage/sink/nats.hpp"
#endif

namespace ringgate::server {

// It stands in subjects of NATS, keys of Redis and statements of PostgreSQL.
inline Result<void> check_node_name(std::string_view name) {
  for (const char c : name) {
    const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_' || c == '.';
    if (!good) return Error{0, "letters, digits, '-', '_' and '.' are allowed"};
  }
  return {};
}

inline constexpr config::KeySpec node_keys[] = {
    {.name = "node.name",
     .type = config::KeyType::text,
     .doc = "What others call this gateway: in subjects, rows and keys; empty: the host's name.",
     .max = 64,
     .check = &check_node_name},
};

inline std::string node_name(const config::Settings& settings) {
  if (const std::string& name = settings.text("node.name"); !name.empty()) return name;
  char host[256] = {};
  return ::gethostname(host, sizeof host - 1) == 0 && host[0] != 0 ? host : "ringgate";
}

#ifdef RINGGATE_NATS
inline constexpr config::KeySpec fabric_keys[] = {
    {.name = "sink.nats.url",
     .type = config::KeyType::text,
     .doc = "NATS servers: nats://user:password@host:4222,nats://other:4222; empty: none.",
     .max = 4096,
     .check = &sink::check_nats_url,
     .secret = true},
    {.name = "sink.nats.commands",
     .type = config::KeyType::boolean,
     .default_text = "true",
     .doc = "Take commands on ringgate.cmd.DEVICE, and tell other nodes which devices are here."},
};
#endif

}  // namespace ringgate::server
