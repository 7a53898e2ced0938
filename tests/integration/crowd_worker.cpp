// A worker of a load run on a socket that a test holds the other end of: crowd-worker FD.
#include <cstdlib>

#include <fmt/core.h>

#include "tools/load/crowd/worker.hpp"

int main(int argc, char** argv) {
  if (argc != 2) {
    fmt::print(stderr, "crowd-worker FD\n");
    return 2;
  }
  return ringgate::load::run_worker(std::atoi(argv[1]), ringgate::load::wire::Decoder{});
}
