// The keys that the tests of this room play with, one of each type.
#pragma once

#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "engine/base/clock.hpp"
#include "engine/config/listen_address.hpp"
#include "engine/config/settings.hpp"

namespace config_test {

using namespace ringgate;
using namespace ringgate::config;

inline constexpr std::string_view admissions[] = {"open", "known", "closed"};
inline constexpr KeySpec server_keys[] = {
    {.name = "server.shards",
     .type = KeyType::integer,
     .default_text = "0",
     .doc = "How many shards run; 0 means one for each CPU.",
     .max = 1024,
     .unit = "shards"},
    {.name = "server.verbose",
     .type = KeyType::boolean,
     .default_text = "false",
     .doc = "Whether more is said.",
     .apply = Apply::live},
    {.name = "server.secret",
     .type = KeyType::text,
     .default_text = "",
     .doc = "The key of the house.",
     .max = 16,
     .secret = true},
    {.name = "server.pin",
     .type = KeyType::integer,
     .default_text = "1234",
     .doc = "A secret figure.",
     .min = 1000,
     .max = 9999,
     .secret = true},
    {.name = "server.force_small_ring",
     .type = KeyType::boolean,
     .default_text = "false",
     .doc = "For tests.",
     .hidden = true},
};
inline constexpr KeySpec jt808_keys[] = {
    {.name = "jt808.listen",
     .type = KeyType::text_list,
     .default_text = "127.0.0.1:7808",
     .doc = "Where terminals connect.",
     .min = 1,
     .max = 4,
     .check = check_listen_address},
    {.name = "jt808.idle_timeout",
     .type = KeyType::duration,
     .default_text = "5m",
     .doc = "A link that has sent nothing for this long is closed.",
     .apply = Apply::new_links,
     .min = 10 * ns_per_s,
     .max = 24 * 3600 * ns_per_s},
    {.name = "jt808.admission",
     .type = KeyType::choice,
     .default_text = "open",
     .doc = "Who may register.",
     .apply = Apply::live,
     .choices = admissions},
    {.name = "jt808.note",
     .type = KeyType::text,
     .default_text = "a \"quoted\"\\ note",
     .doc = "Anything.",
     .apply = Apply::live},
};
inline constexpr KeySpec log_keys[] = {
    {.name = "log.segment_size",
     .type = KeyType::size,
     .default_text = "64MiB",
     .doc = "Size of a segment file.",
     .min = 1 << 20,
     .max = 1 << 30},
    {.name = "log.sink.batch",
     .type = KeyType::size,
     .default_text = "1500B",
     .doc = "Size of a batch.",
     .min = 1},
};

inline Schema make_schema() {
  Schema schema;
  schema.add(server_keys);
  schema.add(jt808_keys);
  schema.add(log_keys);
  return schema;
}

// A file that lives as long as this object.
class TempFile {
 public:
  explicit TempFile(std::string_view text) {
    char name[] = "/tmp/ringgate-config-XXXXXX";
    const int fd = ::mkstemp(name);
    RG_CHECK(fd >= 0);
    RG_CHECK(::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()));
    ::close(fd);
    path_ = name;
  }
  ~TempFile() { std::remove(path_.c_str()); }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace config_test
