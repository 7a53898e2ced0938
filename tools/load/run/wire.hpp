// What coordinator and workers say to each other over one stream socket: a socketpair to a forked
// worker, TCP to one that listens on another host. A frame is its length (4 bytes, little-endian,
// without itself), a byte of kind ('J' JSON, 'A' a piece of the acknowledged log), and the rest.
// The JSON is an object whose "is" names the message. Both ends are the same version of the
// program: a Hello says which, and another one is refused.
//
// The order: the worker says Hello, the coordinator Setup; the worker answers Ready when it could
// begin (or Problem); the coordinator says Start and then an Aim every 100 ms; the worker says an
// Interval every second and where the stage changes. Stop ends it: the worker drains, says its last
// Interval, then End with the size of its acknowledged log, which follows in 'A' frames where the
// Setup asked for it. Ping is answered with Pong at any time. An end of the stream ends the worker.
//
// Who forks a worker, or listens for a coordinator, says the Hello (and proves the secret); then
// crowd/worker.hpp's `int run_worker(int fd, wire::Decoder decoder)` takes over with the socket
// (blocking, its own), awaits Setup, and returns the process's exit status. A second between two
// Intervals is a second since Start, whatever it sends: a worker that has nothing to do sends an
// empty Interval, since one that is silent for 3 s counts as lost.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"
#include "tools/load/run/aim.hpp"
#include "tools/load/run/tally.hpp"

namespace ringgate::load::wire {

// A whole Interval with five wide histograms in each of a hundred classes takes some 5 MB.
constexpr std::uint32_t frame_bytes_max = 16U << 20;

struct Hello {
  std::string version;
  std::string host;
  std::int64_t pid = 0;
  std::uint32_t cpus = 0;
  std::uint64_t files_max = 0;  // descriptors this process may open
  std::string nonce;            // hex; what the coordinator has to prove the secret with
  bool operator==(const Hello&) const = default;
};

// Proof of the shared secret: hex of HMAC-SHA256(secret, role + nonce of the other).
struct Proof {
  std::string proof;
  std::string nonce;  // of the coordinator; empty from the worker
  bool operator==(const Proof&) const = default;
};

struct Setup {
  std::uint32_t worker = 0;   // this one's number
  std::uint32_t workers = 1;  // how many share the users
  std::string scenario_name;
  std::string scenario_text;  // with what the command line changed
  std::vector<std::pair<std::string, std::string>> sets;  // --set, in order
  double shorten = 1;
  std::uint64_t seed = 0;     // 0: the scenario's
  std::string target;         // --target; empty: the scenario's
  bool keep_acked = false;    // keep the log of what was acknowledged (crowd/acked.hpp) ...
  std::string acked_file;     // ... here; empty: where the worker likes, and send it at the end
  std::vector<std::string> tokens;  // bearer tokens the scenario's token_file holds
  bool operator==(const Setup&) const = default;
};

struct Ready {
  bool operator==(const Ready&) const = default;
};
struct Problem {
  std::string message;
  bool operator==(const Problem&) const = default;
};
// The run began `ago_ns` before this frame was written.
struct Start {
  MonoNs ago_ns = 0;
  bool operator==(const Start&) const = default;
};
struct Stop {
  bool hard = false;  // do not wait for answers
  bool operator==(const Stop&) const = default;
};
struct End {
  std::uint64_t acked_bytes = 0;
  bool operator==(const End&) const = default;
};
struct Ping {
  std::int64_t number = 0;
  bool operator==(const Ping&) const = default;
};
struct Pong {
  std::int64_t number = 0;
  MonoNs mono_ns = 0;  // the worker's clock
  bool operator==(const Pong&) const = default;
};
struct AckedPiece {
  std::string bytes;
  bool operator==(const AckedPiece&) const = default;
};

using Message = std::variant<Hello, Proof, Setup, Ready, Problem, Start, Aim, Interval, Stop, End,
                             Ping, Pong, AckedPiece>;

std::string encode(const Message& message);  // the whole frame

// Before the other side has proved that it knows the secret, it may send this much in a frame.
constexpr std::uint32_t stranger_frame_bytes_max = 4096;

// Cuts a stream into messages. One owner.
class Decoder {
 public:
  explicit Decoder(std::uint32_t limit_bytes = frame_bytes_max) : limit_bytes_(limit_bytes) {}
  void set_limit(std::uint32_t limit_bytes) { limit_bytes_ = limit_bytes; }
  void feed(std::string_view bytes) { bytes_.append(bytes); }
  // The next message; nothing where more bytes are needed. Error: the stream is not ours, and
  // worth no further look.
  Result<std::optional<Message>> next();

 private:
  std::uint32_t limit_bytes_;
  std::string bytes_;
  std::size_t at_ = 0;
};

// "coordinator" or "worker" as role.
std::string prove(std::string_view secret, std::string_view role, std::string_view nonce);
std::string make_nonce();
// In a time that does not depend on where they differ.
bool same_proof(std::string_view a, std::string_view b);

}  // namespace ringgate::load::wire
