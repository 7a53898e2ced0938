// Users that attack, over and over: they connect, do one of their class's attacks, watch what comes
// of it, and go on with the next a second later. What a gateway should do is close, refuse (a 4xx,
// a reply with a result other than 0) or stay mute; each is a note: closed, refused, ignored. What
// is an error: accepted_garbage (a good answer to something that must not have one), bad_answer
// (one that is none), connect_failed (it lets nobody in any more).
//
// An attack that ended as it should counts as acknowledged; none has a latency.
#pragma once

#include <queue>
#include <string>
#include <vector>

#include "tools/load/crowd/wire_crowd.hpp"

namespace ringgate::load {

class HostileCrowd final : public WireCrowd {
 public:
  // `devices` and `http`: where terminals and where HTTP clients connect to; the second may be
  // missing where no attack needs it.
  HostileCrowd(const CrowdPlace& place, TargetAddress devices, TargetAddress http,
               std::vector<in_addr> sources);

  // How long a gateway may take to react; after that it has ignored the attack.
  static constexpr MonoNs watch_ns = 5 * ns_per_s;
  static constexpr MonoNs pause_ns = ns_per_s;
  static constexpr MonoNs slow_byte_ns = 200 * ns_per_ms;
  static constexpr MonoNs slow_watch_ns = 60 * ns_per_s;
  static constexpr std::size_t garbage_bytes = 1024;
  static constexpr std::size_t giant_bytes = 256 * 1024;

 private:
  struct User {
    std::uint32_t attacks = 0;   // begun so far
    Attack attack = Attack::garbage;
    std::uint16_t typed = 0;     // bytes of a slow one
    bool attacking = false;
    bool judged = false;
    std::string heard;           // of the gateway's answer
  };

  void come(std::uint32_t user) override;
  MonoNs gone(std::uint32_t user, Wires::End end, int error) override;
  void act() override;
  MonoNs next_act() const override;
  void on_open(std::uint32_t user) override;
  void on_bytes(std::uint32_t user, Bytes bytes) override;
  void on_sent(std::uint32_t) override {}

  bool over_http(Attack attack) const {
    return attack == Attack::bad_http || attack == Attack::slow_bytes;
  }
  std::string garbage(std::uint32_t user);
  std::string bad_check(std::uint32_t user);
  std::string giant(std::uint32_t user);
  std::string bad_http(std::uint32_t user);
  void judge_frame(std::uint32_t user);
  void judge_http(std::uint32_t user);
  void judge(std::uint32_t user, std::string_view outcome);
  void accepted(std::uint32_t user, const std::string& what);

  TargetAddress devices_, http_;
  std::vector<User> users_;
  struct Moment {
    MonoNs due_ns;
    std::uint32_t user;
    MonoNs since_ns;  // the connection that it is about
    bool types;       // a slow one's next byte; else the watch is over
    bool operator>(const Moment& other) const { return due_ns > other.due_ns; }
  };
  std::priority_queue<Moment, std::vector<Moment>, std::greater<>> moments_;
};

}  // namespace ringgate::load
