// A whole gateway on a simulated machine: shards with links, the log and JT/T 808 sessions, wired
// as the server wires them, taking turns in one thread. And those who talk to it.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "engine/device/device_table.hpp"
#include "engine/io/sim.hpp"
#include "engine/net/links.hpp"
#include "engine/observe/counter.hpp"
#include "engine/observe/logger.hpp"
#include "protocols/jt808/authenticator.hpp"
#include "protocols/jt808/gate.hpp"
#include "protocols/jt808/prepared.hpp"
#include "protocols/jt808/session.hpp"
#include "storage/log/data_dir.hpp"
#include "storage/log/recovery.hpp"
#include "storage/log/supply.hpp"
#include "storage/log/writer.hpp"
#include "storage/state/pending.hpp"
#include "tools/load/frames.hpp"

namespace ringgate::sim {

struct GatewayOptions {
  ShardIndex shards = 2;
  net::LinksOptions links;
  std::uint32_t idle_timeout_ms = 60'000;
  std::uint32_t frame_timeout_ms = 5'000;
  jt808::CommandOptions commands = {};
  bool pending = false;  // commands may wait for their devices: the state is read at the start
  bool sync = true;  // false: writes without DSYNC, to show what the power cut then takes
};

class Gateway {
 public:
  Gateway(io::World& world, const GatewayOptions& options);
  // After stopped(), or after the world has crashed.
  ~Gateway();
  Gateway(const Gateway&) = delete;
  Gateway& operator=(const Gateway&) = delete;

  // One turn of every shard that still runs; each may sleep up to `longest_ns`.
  void turn(MonoNs longest_ns);
  // The machine is about to lose its power: nothing more is written.
  void abandon();
  void drain(MonoNs deadline_ns);
  bool stopped() const { return running_ == 0; }

  static constexpr std::uint16_t port = 7808;
  std::uint32_t live() const;
  std::uint64_t turns() const { return turns_; }
  // Of devices: the table, and what the session's state knows of them.
  std::uint64_t device_bytes(ShardIndex shard) {
    return places_[shard]->devices->memory_bytes() +
           session(shard).oversight().state->table().memory_bytes();
  }
  jt808::Session& session(ShardIndex shard) { return *places_[shard]->session; }
  state::Pending& pending(ShardIndex shard) { return *places_[shard]->pending; }
  const state::Table& state(ShardIndex shard) {
    return session(shard).oversight().state->table();
  }
  const jt808::Authenticator& authenticator() const { return *authenticator_; }
  net::Links& links(ShardIndex shard) { return *places_[shard]->links; }
  observe::Registry& registry() { return registry_; }
  const log::RecoveryReport& recovered() const { return recovered_; }

 private:
  struct Place {
    std::unique_ptr<shard::Shard> shard;
    std::unique_ptr<shard::MailRoom> mail;
    std::unique_ptr<net::Links> links;
    std::unique_ptr<log::Writer> writer;
    std::unique_ptr<device::DeviceTable> devices;
    std::unique_ptr<state::Store> state;  // null: the session has its own
    std::unique_ptr<jt808::Session> session;
    std::unique_ptr<log::CommitWaits> waits;
    std::unique_ptr<jt808::Gate> gate;
    std::unique_ptr<state::Pending> pending;
    bool running = true;
  };
  void build(ShardIndex index, const GatewayOptions& options);
  void add_pending(Place& place, observe::CounterGroup& counters, observe::LogSource& logs);

  io::World& world_;
  observe::Registry registry_;
  observe::Logger logger_;
  std::unique_ptr<log::DataDir> dir_;
  log::RecoveryReport recovered_;
  std::unique_ptr<log::SegmentSupply> supply_;
  std::unique_ptr<jt808::Authenticator> authenticator_;
  std::vector<flow::Budget> loading_;  // of tables until their shards have them
  std::vector<std::unique_ptr<state::Table>> tables_;
  jt808::DeviceProtocol protocol_;
  std::unique_ptr<shard::MailHub> hub_;
  std::vector<std::unique_ptr<Place>> places_;
  ShardIndex running_ = 0;
  std::uint64_t turns_ = 0;
};

// A terminal that does everything right: registers, authenticates, reports with some frames in
// flight, reconnects when it is cut off. Its answers must come in frame order.
class Vehicle {
 public:
  Vehicle(io::World& world, std::uint64_t number, load::Version version, std::uint32_t in_flight);

  // Looks at what has arrived and goes on. `turn` for its waits.
  void step(std::uint64_t turn);
  void move_to(io::World& world);  // after a crash: what was not answered is forgotten
  void finish();                   // no more reports; FIN when all are answered

  const std::set<std::uint16_t>& acknowledged() const { return acknowledged_; }
  std::string name() const { return std::to_string(number_); }
  std::uint64_t longest_wait() const { return longest_wait_; }
  std::uint64_t refused() const { return refused_; }
  bool finished() const { return finished_; }

 private:
  struct Expected {
    std::uint16_t id;
    std::uint16_t serial;
    std::uint64_t turn;
  };
  enum class Stage : std::uint8_t { away, connecting, registering, authenticating, reporting };
  void take(std::uint64_t turn);
  void answered(Bytes inside, std::uint64_t turn);
  void send(std::uint16_t id, std::uint64_t turn);

  io::World* world_;
  std::uint64_t number_;
  load::FrameWriter writer_;
  std::uint32_t in_flight_;
  load::Phone phone_;
  io::Peer peer_;
  Stage stage_ = Stage::away;
  std::string code_;
  std::uint16_t serial_ = 0;
  std::deque<Expected> expected_;
  std::vector<std::uint8_t> inbox_;
  std::set<std::uint16_t> acknowledged_;  // serials of reports
  std::uint64_t longest_wait_ = 0;
  std::uint64_t refused_ = 0;
  bool finishing_ = false;
  bool finished_ = false;
};

// The bad inputs. Each keeps on for as long as it is stepped.
enum class Nuisance : std::uint8_t {
  wrong_digits,    // well-formed frames with broken checks, headers and bodies
  oversize,        // a frame that never ends
  byte_at_a_time,  // a good frame in single bytes
  half_open,       // peers that vanish in mid-frame
  reset,           // RST in mid-frame
  port_scan,       // connect and go
  tls_hello,
  silence,         // links that say nothing
  never_reads,     // asks and does not take the answers
  count,
};
const char* name_of(Nuisance kind);

class Crowd {
 public:
  Crowd(io::World& world, Nuisance kind, std::size_t size);
  void step();
  void leave();

 private:
  struct Member {
    io::Peer peer;
    std::size_t sent = 0;
    bool connected = false;
  };
  void act(Member& member);

  io::World& world_;
  Nuisance kind_;
  std::vector<Member> members_;
  std::string frame_;  // one good frame
};

// What the log on this machine's disk says was stored of each terminal: device, serials of reports.
// Adds the damage that its reader meets to `problems`.
std::set<std::pair<std::string, std::uint16_t>> stored_reports(io::World& world,
                                                               std::uint64_t& problems);

}  // namespace ringgate::sim
