// Follows a live log from outside its process, as a sink of its own would: prints a line for each
// record (stream, position, device, message, serial). When its standard input ends it goes on until
// nothing comes for a while, says what was lost and what was wrong, and ends.
// tail-probe DIR
#include <fmt/core.h>
#include <poll.h>
#include <unistd.h>

#include <cstdio>
#include <string>

#include "engine/io/sys.hpp"
#include "storage/query/tail.hpp"

using namespace ringgate;

namespace {

constexpr int look_every_ms = 20;
// More than an idle stream takes to prove its last batch, and than a listing waits.
constexpr int quiet_looks = 150;

bool input_ended() {
  pollfd input{0, POLLIN, 0};
  char bytes[64];
  return ::poll(&input, 1, 0) > 0 && ::read(0, bytes, sizeof bytes) <= 0;
}

int follow(query::Tail& tail) {
  bool ending = false;
  for (int quiet = 0; !ending || quiet < quiet_looks; ++quiet) {
    query::Found found;
    while (tail.next(found)) {
      const log::RecordHeader& header = found.record.header;
      fmt::print("{}-{} {} {} {} {}\n", found.stream.run, found.stream.shard, header.position,
                 found.record.device.empty() ? std::string_view{"-"} : found.record.device,
                 header.message, header.serial);
      quiet = 0;
    }
    ending = ending || input_ended();
    ::poll(nullptr, 0, look_every_ms);
    if (!tail.refresh()) return 1;
  }
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const event::CatalogSet catalogs;
  auto tail = query::Tail::open({io::real_sys(), argv[1], catalogs}, {}, {});
  if (!tail) {
    fmt::print(stderr, "tail-probe: {}\n", tail.error().message);
    return 2;
  }
  const int code = follow(**tail);
  for (const std::string& problem : (*tail)->problems()) fmt::print("problem {}\n", problem);
  fmt::print("lost {}\n", (*tail)->lost_bytes());
  return code;
}
