// What crowds over TCP connections of their own have in common: who comes and goes by the aims, and
// what of it is counted. A kind of crowd says what a user does once it is connected.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "tools/load/crowd/comers.hpp"
#include "tools/load/crowd/crowd.hpp"
#include "tools/load/crowd/targets.hpp"
#include "tools/load/crowd/wires.hpp"
#include "tools/load/run/aim.hpp"
#include "tools/load/run/tally.hpp"
#include "tools/load/scenario/scenario.hpp"
#include "tools/load/terminal/chance.hpp"

namespace ringgate::load {

class WireCrowd : public Crowd, public Wires::Owner {
 public:
  void set_aim(const ClassAim& aim) final;
  void before_wait() final;
  MonoNs next_due() const final;
  Tally take_tally() final;
  void stop(bool hard) final;
  bool finished() const final { return closed_; }

 protected:
  WireCrowd(const CrowdPlace& place, std::vector<in_addr> sources);

  // ---- what a kind says ----
  // A user is to connect: wires().connect(), with its source.
  virtual void come(std::uint32_t user) = 0;
  // A user is not wanted any more. It may still finish what it does, at most for leave_limit_ns.
  virtual void go(std::uint32_t user) { wires_.close(user, false); }
  // Its connection is over. When it comes again, if it is still wanted: a delay, or never (-1).
  virtual MonoNs gone(std::uint32_t user, Wires::End end, int error) = 0;
  // Whatever is due; after the comers, before the ring is entered.
  virtual void act() = 0;
  // As next_due(), of act().
  virtual MonoNs next_act() const = 0;
  virtual void aim_changed() {}
  // The run ends: no more requests.
  virtual void end_requests() {}
  // Asked from users that the run's end is waiting for.
  virtual std::uint64_t outstanding() const { return 0; }
  // Of these, what the other side has owed for leave_limit_ns.
  virtual std::uint64_t overdue() const { return outstanding(); }
  virtual void fill(Tally& tally) { static_cast<void>(tally); }

  // ---- what it may use ----
  shard::Shard& shard() const { return shard_; }
  Wires& wires() { return wires_; }
  const Wires& wires() const { return wires_; }
  MonoNs now() const { return shard_.now(); }
  const UserClass& class_of() const { return class_; }
  std::uint32_t users_max() const { return place_.users_max; }
  std::uint64_t global(std::uint32_t user) const {
    return global_user(user, place_.worker, place_.workers);
  }
  const CrowdPlace& place() const { return place_; }
  double rate() const { return rate_; }
  bool stopping() const { return stopping_; }
  std::uint32_t wanted() const { return comers_.wanted(); }
  bool is_wanted(std::uint32_t user) const { return !stopping_ && user < comers_.risen(); }
  const in_addr* source_of(std::uint32_t user) const {
    return sources_.empty() ? nullptr : &sources_[global(user) % sources_.size()];
  }
  std::uint64_t draw() {
    const std::uint64_t high = chance_.next();
    return high << 32 | chance_.next();
  }
  Chance& chance() { return chance_; }
  Tally& tally() { return tally_; }
  void note(std::string_view what) { ++tally_.notes[std::string(what)]; }
  void fail(std::string_view kind, std::string sentence);
  // Of a connection that should have lasted, or should have come about.
  void fail_end(Wires::End end, int error);
  LatencyRecorder& response() { return response_; }
  LatencyRecorder& service() { return service_; }
  LatencyRecorder& lag() { return lag_; }
  LatencyRecorder& delivery() { return delivery_; }
  // A user may do what it came for; its connect began `since_ns` ago.
  void ready(std::uint32_t user);
  void not_ready() { --ready_; }

  static constexpr MonoNs reconnect_delay_ns = ns_per_s;
  static constexpr MonoNs leave_limit_ns = 5 * ns_per_s;
  // A server that takes so long to answer has not.
  static constexpr MonoNs patience_ns = 20 * ns_per_s;

  MonoNs since(std::uint32_t user) const { return since_ns_[user]; }

 private:
  void on_end(std::uint32_t user, Wires::End end, int error) final;
  void connect_comers();
  void step_stop();
  // Of one that goes now: has it waited in vain to become ready?
  void judge_coming(std::uint32_t user);

  shard::Shard& shard_;
  CrowdPlace place_;
  const UserClass& class_;
  std::vector<in_addr> sources_;
  Wires wires_;
  Comers comers_;
  Chance chance_;
  std::vector<MonoNs> since_ns_;  // of each user: when its connect began
  std::vector<bool> coming_;      // of each user: connects, or is connected and not ready yet
  bool was_anybody_ready_ = false;
  double rate_ = 1;
  bool stopping_ = false;
  bool closing_ = false;
  bool closed_ = false;
  MonoNs stop_limit_ns_ = 0;
  std::uint32_t ready_ = 0;
  Tally tally_;
  std::uint64_t sent_told_ = 0, received_told_ = 0;
  LatencyRecorder response_, service_, lag_, connect_, delivery_;
};

}  // namespace ringgate::load
