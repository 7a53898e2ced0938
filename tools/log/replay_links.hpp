// The connections of a replay: one for each device, which signs in, sends its frames when they are
// due and as far as its window allows, and comes back where a connection breaks. One thread.
#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/clock.hpp"
#include "tools/common/sockets.hpp"
#include "tools/log/replay_protocol.hpp"

namespace ringgate::log_tool {

struct ReplayCounts {
  std::uint64_t devices = 0;
  std::uint64_t frames = 0;        // taken from the log
  std::uint64_t sent = 0;          // of these, at least once
  std::uint64_t again = 0;         // repeated on a new connection
  std::uint64_t no_answer_due = 0;  // sent, and the protocol answers none
  std::uint64_t acknowledged = 0;
  std::uint64_t refused = 0;
  std::uint64_t broken_links = 0;
  std::uint64_t given_up = 0;  // devices
};

class ReplayLinks {
 public:
  // Frames of a device that may wait for answers: what ringgate-load's open model has, and more
  // than any terminal.
  static constexpr std::size_t window = 64;
  // Frames of a device that wait to be sent; then reading the log waits.
  static constexpr std::size_t queue_max = 1024;
  // Of all devices together.
  static constexpr std::size_t queued_max = 1 << 16;
  // A device that gets no further is given up after so many connections.
  static constexpr int attempts_max = 5;

  ReplayLinks(const ReplayProtocol& protocol, const tool::SocketAddress& target);
  ~ReplayLinks();
  ReplayLinks(const ReplayLinks&) = delete;
  ReplayLinks& operator=(const ReplayLinks&) = delete;

  // False: no room now; turn() first. The frame is sent as soon as the link allows.
  bool take(std::string_view device, Bytes frame);
  // Waits for at most `wait_ns` for sockets, and handles what they have.
  void turn(MonoNs wait_ns);
  // Nothing waits to be sent or acknowledged.
  bool idle() const { return queued_ == 0 && waiting_ == 0; }
  // When something was last acknowledged, sent or connected.
  MonoNs progressed_ns() const { return progressed_ns_; }
  const ReplayCounts& counts() const { return counts_; }
  // The first reason why a device was given up, for people.
  const std::string& trouble() const { return trouble_; }

 private:
  enum class State : std::uint8_t { down, connecting, up, given_up };
  struct Sent {
    AnswerKey key;
    std::vector<std::uint8_t> frame;
  };
  struct Link {
    std::string device;
    std::unique_ptr<ReplayTerminal> terminal;
    State state = State::down;
    int fd = -1;
    int attempts = 0;
    MonoNs retry_ns = 0;
    bool wants_write = false;
    std::size_t repeats = 0;  // frames at the front of the queue that were sent before
    std::deque<std::vector<std::uint8_t>> queue;
    std::deque<Sent> sent;
    std::string out;
    std::vector<std::uint8_t> in;
  };

  void connect(Link& link);
  void up(Link& link);
  void pump(Link& link);
  void read(Link& link);
  void answer(Link& link, const ReplayAnswer& answer);
  void write(Link& link);
  void watch(Link& link, bool write);
  void lose(Link& link, const std::string& why);
  void give_up(Link& link, const std::string& why);

  const ReplayProtocol& protocol_;
  tool::SocketAddress target_;
  int epoll_ = -1;
  std::map<std::string, std::unique_ptr<Link>, std::less<>> links_;
  std::vector<Link*> down_;  // to be connected when their time has come
  std::vector<ReplayAnswer> answers_;
  std::uint64_t queued_ = 0;
  std::uint64_t waiting_ = 0;
  MonoNs progressed_ns_ = 0;
  ReplayCounts counts_;
  std::string trouble_;
};

}  // namespace ringgate::log_tool
