// What the contract suite runs on: a ring, a Sys and a far end, each real, recorded or simulated.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/io/abi.hpp"
#include "engine/io/record.hpp"
#include "engine/io/ring.hpp"
#include "engine/io/sim.hpp"
#include "engine/io/sys.hpp"

namespace ringgate::io::test {

// The far end of a connection.
class Far {
 public:
  virtual ~Far() = default;
  virtual void send(Bytes bytes) = 0;
  virtual std::vector<std::uint8_t> take() = 0;  // what has arrived, without waiting
  virtual void shut_write() = 0;
  virtual void reset() = 0;
  virtual bool ended() = 0;  // the near end's FIN or reset has arrived
};

// A far end that speaks datagrams, from one port of its own.
class FarDatagrams {
 public:
  virtual ~FarDatagrams() = default;
  virtual std::uint16_t port() = 0;
  virtual void send(Bytes bytes) = 0;
  virtual std::vector<std::vector<std::uint8_t>> take() = 0;
};

struct Completion {
  std::uint64_t user_data = 0;
  std::int32_t result = 0;
  std::uint32_t flags = 0;
  bool more() const { return (flags & IORING_CQE_F_MORE) != 0; }
};

enum class Kind { uring, record, sim };

class Rig {
 public:
  static std::unique_ptr<Rig> make(Kind kind, std::uint32_t without, RingOptions options);
  virtual ~Rig() = default;

  virtual Sys& sys() = 0;
  virtual std::unique_ptr<Backend> make_backend() = 0;
  virtual std::unique_ptr<Far> connect(std::uint16_t port) = 0;
  virtual std::unique_ptr<FarDatagrams> open_datagrams(std::uint16_t port) = 0;
  virtual std::string directory() = 0;
  virtual World* world() { return nullptr; }

  Ring& ring() { return *ring_; }
  void open_ring(RingOptions options);
  void close_ring() { ring_.reset(); }

  // Turns the ring until `done` says so, or nothing has happened for long, or too much (false).
  template <class Done>
  bool until(Done&& done) {
    int idle = 0;
    for (int turns = 0; turns < 20'000 && idle < 200; ++turns) {
      if (done()) return true;
      idle = turn() == 0 ? idle + 1 : 0;
    }
    return done();
  }
  // One short wait. Appends to `seen`; returns how many came.
  std::uint32_t turn();
  // Waits for the next completion with this user_data and removes it from `seen`.
  bool wait_for(std::uint64_t user_data, Completion& out);
  bool seen_any(std::uint64_t user_data) const;

  std::vector<Completion> seen;

 private:
  std::unique_ptr<Ring> ring_;
};

constexpr std::uint64_t id(std::uint32_t slot) { return user_data(Tag::first_test, 0xabcd, slot); }

std::vector<std::uint8_t> pattern(std::size_t size_bytes, std::uint32_t salt = 0);

// A listening socket of the rig on 127.0.0.1.
struct Listener {
  int fd = -1;
  std::uint16_t port = 0;
};
Listener listen(Rig& rig, int backlog = 64);
// A socket of datagrams at 127.0.0.1:`port` (0: any).
Listener bind_datagrams(Rig& rig, std::uint16_t port = 0, bool share = false);
// A connection accepted through the ring.
struct Connection {
  int fd = -1;
  std::unique_ptr<Far> far;
};
Connection accept_one(Rig& rig, const Listener& listener);
void close_fd(Rig& rig, int fd);

}  // namespace ringgate::io::test
