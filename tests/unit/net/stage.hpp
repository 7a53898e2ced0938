// What tests of links play on: one or more shards that take turns in one thread, on the real ring
// or the simulated one, and the far ends of their connections.
#pragma once

#include <doctest/doctest.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/io/sim.hpp"
#include "engine/net/links.hpp"
#include "engine/observe/counter.hpp"

namespace ringgate::unit {

// A device: the far end of one connection.
class Far {
 public:
  virtual ~Far() = default;
  virtual void send(std::string_view text) = 0;  // takes everything
  // Text that has arrived since the last call.
  virtual std::string take() = 0;
  virtual void shut() = 0;       // FIN
  virtual void reset() = 0;      // RST
  virtual bool ended() = 0;      // FIN came from the server, and all before it was taken
  virtual bool was_reset() = 0;
  // Real far ends read only in take().
  virtual void pause_reading(bool pause) { static_cast<void>(pause); }
};

// A device that sends datagrams, from one port of its own.
class FarDatagrams {
 public:
  virtual ~FarDatagrams() = default;
  virtual void send(std::string_view text) = 0;
  virtual std::vector<std::string> take() = 0;  // what has arrived since the last call
};

// The machine below the shards.
class Ground {
 public:
  virtual ~Ground() = default;
  virtual io::Sys& sys() = 0;
  virtual std::unique_ptr<io::Backend> make_backend() = 0;
  virtual std::unique_ptr<Far> connect(std::uint16_t port) = 0;
  virtual std::unique_ptr<FarDatagrams> open_datagrams(std::uint16_t port) = 0;
  // How long one turn may sleep.
  virtual MonoNs turn_ns() const = 0;
  virtual void advance(MonoNs by) = 0;
  // Below `bound`, from the machine's seed; real machines have none.
  virtual std::uint64_t random(std::uint64_t bound) { return bound - 1; }
  // More than all buffers between two ends hold.
  virtual int too_many_bytes() const = 0;
};
// A simulated machine; by default one where nothing goes wrong.
std::unique_ptr<Ground> make_sim_ground(const io::SimOptions& options = {});
// Sockets of this machine, and a clock that only advance() moves.
std::unique_ptr<Ground> make_real_ground();

struct StageOptions {
  ShardIndex shards = 1;
  std::uint32_t without = 0;
  net::LinksOptions links;
  std::uint32_t idle_timeout_ms = 0;
  std::uint32_t frame_timeout_ms = 0;
  net::FilterFactory* filter = nullptr;
  bool datagrams = false;    // one port for all shards
  bool auto_commit = false;  // everything is durable a turn after it was logged
  std::shared_ptr<const net::AccessRules> rules = nullptr;
};

// A log of positions only.
struct ToyLog {
  Position next = 1;
  bool full = false;
  Position append() { return full ? 0 : next++; }
};

// Frames are lines; the first letter says what happens:
//   L  logged; answered "=<shard>,<position> <line>" when durable (at most echo_size of the line)
//   H  not logged; answered "-<line>", or "!<line number>" behind frames of the other shard
//   F  logged by the other shard; answered "+<line number>" or "!<line number>", in order
//   M  like L, on the other shard than the one that accepted the link
//   B  answered "-<line>" and the link is closed
//   X  closed as bad at once
// In datagrams the home is the shard that the second letter names (a digit), and
//   L  of another shard is for that one, with what follows it
//   T  answered "-<line>"; from now on the link is no stranger
class Lines final : public net::Protocol {
 public:
  static constexpr std::size_t echo_size = 8;

  Lines(net::Links& links, ToyLog& log) : links_(links), log_(log) {}

  std::string_view name() const override { return "lines"; }
  void on_open(net::Link& link) override;
  void on_adopted(net::Link& link) override;
  std::size_t on_bytes(net::Link& link, Bytes bytes) override;
  void on_close(net::Link& link, net::CloseReason reason) override;
  Position on_forwarded(LinkId origin, Bytes frame) override;
  void on_ordered(net::Link& link, std::uint32_t cookie, bool taken) override;
  ShardIndex datagram_home(Bytes datagram) override;
  void on_datagram_rest(net::Link&, Bytes) override { ++rests; }
  std::size_t datagram_size(Bytes replies) const override;

  std::function<void(net::Link&)> opened;  // called at the end of on_open
  std::vector<net::CloseReason> closed;
  std::vector<std::string> forwarded;
  std::uint64_t adopted = 0;
  std::uint64_t rests = 0;
  std::uint64_t shown_bytes = 0;  // handed to on_bytes, again and again

 private:
  struct State {
    std::uint32_t lines;
    ShardIndex accepted_by;
  };
  bool handle(net::Link& link, std::string_view line);
  bool log_line(net::Link& link, std::string_view line);
  void say(net::Link& link, std::string_view text) { links_.reply(link, as_bytes(text)); }

  net::Links& links_;
  ToyLog& log_;
};

class Stage {
 public:
  Stage(std::unique_ptr<Ground> ground, const StageOptions& options);
  ~Stage();

  struct Place {
    std::unique_ptr<shard::Shard> shard;
    std::unique_ptr<shard::MailRoom> room;
    std::unique_ptr<net::Links> links;
    std::unique_ptr<Lines> lines;
    ToyLog log;
    bool running = true;
  };

  std::unique_ptr<Far> connect(ShardIndex shard = 0) {
    return ground_->connect(ports_[shard]);
  }
  std::unique_ptr<FarDatagrams> open_datagrams() {
    return ground_->open_datagrams(datagram_port_);
  }
  std::uint16_t datagram_port() const { return datagram_port_; }
  // One turn of every shard.
  void turn();
  void turns(int count) {
    for (int i = 0; i < count; ++i) turn();
  }
  // Turns until `done`; false if it does not happen within many.
  template <class Done>
  bool until(Done&& done) {
    for (int i = 0; i < 5'000; ++i) {
      if (done()) return true;
      turn();
    }
    return done();
  }
  // Lets time pass in steps of one turn each.
  void pass(MonoNs time_ns);
  // Takes what has arrived and appends it to `text`; checks that no answer is ahead of the log.
  void take(Far& far, std::string& text);
  // Turns until the far end has taken `text`, no more and no less.
  void expect(Far& far, const std::string& text);

  void commit(ShardIndex shard) { commit_to(shard, at(shard).log.next - 1); }
  void commit_to(ShardIndex shard, Position position) {
    at(shard).shard->watermark().advance(position);
  }
  Place& at(ShardIndex shard) { return *places_[shard]; }
  net::Links& links(ShardIndex shard = 0) { return *at(shard).links; }
  Lines& lines(ShardIndex shard = 0) { return *at(shard).lines; }
  std::uint32_t live() const;
  // Stops all shards; whatever they owned is given back.
  void stop();
  Ground& ground() { return *ground_; }
  observe::CounterGroup& group(ShardIndex shard) { return *groups_[shard]; }

 private:
  StageOptions options_;
  std::unique_ptr<Ground> ground_;
  std::unique_ptr<shard::MailHub> hub_;
  observe::Registry registry_;
  std::vector<observe::CounterGroup*> groups_;
  std::vector<std::unique_ptr<Place>> places_;
  std::vector<std::uint16_t> ports_;
  std::uint16_t datagram_port_ = 0;
};

}  // namespace ringgate::unit
