// Everything that lives on one shard, put together. Built, run and destroyed on the shard's thread.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "engine/config/settings.hpp"
#include "engine/net/listener.hpp"
#include "engine/net/tls/filter.hpp"
#include "engine/observe/logger.hpp"
#include "engine/shard/mailbox.hpp"
#include "engine/shard/loop_clock.hpp"
#include "engine/shard/pulse.hpp"
#include "storage/blob/shard_store.hpp"
#include "storage/event/device_gates.hpp"
#include "storage/log/ack_clock.hpp"
#include "storage/log/commit_board.hpp"
#include "storage/log/counters.hpp"
#include "storage/log/supply.hpp"
#include "storage/state/audit.hpp"
#include "storage/state/shard_host.hpp"
#include "tools/ringgate/plugs.hpp"

namespace ringgate::server {

using OpenListeners = std::vector<net::OpenListener>;

// What all shards share, and what is this one's own.
struct WiringParts {
  const config::Settings& settings;
  io::Sys& sys;
  shard::MailHub& hub;
  shard::ErrandHub& errands;
  log::SegmentSupply& supply;
  log::CommitBoard& board;
  std::unique_ptr<state::Table>& state;  // what the start has found; taken
  std::unique_ptr<device::DeviceTable>& devices;  // the same
  blob::Keeper& keeper;
  const jt808::Authenticator& authenticator;
  jt808::Expectations& expectations;
  api::Plane& plane;
  api::Feed& feed;
  const std::vector<OpenListeners>& listeners;  // by plug
  std::shared_ptr<const net::tls::Contexts> tls;  // policies by plug; null: no listener speaks it
  event::PresenceWatcher* presence = nullptr;   // told of devices that come and go
  observe::CounterGroup& counters;
  observe::LogSource& logs;
  shard::Pulse& pulse;  // its members begin with the shards
  shard::ShardOptions shard;
};

// Uploads that a shard may have open: what the limit of descriptors leaves them.
std::uint32_t uploads_per_shard(unsigned shards);

class ShardRooms final : public shard::MailHandler, public shard::TimerHandler {
 public:
  // Error: what the kernel or the disk refused.
  static Result<std::unique_ptr<ShardRooms>> build(const WiringParts& parts);

  shard::Shard& shard() { return *shard_; }

  void on_mail(shard::MailKind kind, std::uint32_t producer, Bytes bytes) override;  // a reload
  void on_timer() override;  // says which log lines were held back

 private:
  explicit ShardRooms(observe::LogSource& logs) : logs_(logs) {}
  Result<void> build_rooms(const WiringParts& parts);
  void add_protocols(const WiringParts& parts);

  // In the order in which they are built; they end in reverse.
  observe::LogSource& logs_;
  std::unique_ptr<shard::Shard> shard_;
  std::unique_ptr<shard::MailRoom> mail_;
  state::ShardHost gates_;
  std::unique_ptr<shard::ErrandRoom> errands_;  // ends after all that may hold its tickets
  std::vector<std::unique_ptr<net::tls::Acceptor>> acceptors_;  // by plug; empty without TLS
  std::unique_ptr<net::Links> links_;
  std::unique_ptr<log::Writer> writer_;
  std::unique_ptr<log::BoardWriter> board_writer_;
  std::unique_ptr<log::Counters> log_counters_;
  std::unique_ptr<log::AckClock> ack_clock_;
  std::unique_ptr<shard::LoopClock> loop_clock_;
  std::unique_ptr<shard::PulseHook> pulse_;
  std::unique_ptr<log::CommitWaits> waits_;
  std::unique_ptr<state::Store> state_;
  std::unique_ptr<state::Pending> pending_;
  std::unique_ptr<blob::Store> blobs_;
  std::unique_ptr<device::DeviceTable> devices_;
  std::unique_ptr<websocket::Session> sockets_;  // has no listener: links come by upgrades
  std::vector<std::unique_ptr<net::Protocol>> protocols_;  // by plug
  std::vector<std::unique_ptr<event::DeviceGate>> made_gates_;
  shard::Timer timer_{*this};
};

// The mail of a reload: what each shard keeps as long as it reads it.
struct ReloadMail {
  struct News {
    std::shared_ptr<const config::Settings> settings;  // null: only certificates are new
    std::shared_ptr<const net::tls::Contexts> tls;     // null: no listener speaks it
    std::optional<state::Deed> deed = {};              // what to leave an audit record of
  };
  News* news = nullptr;  // owned by the mail
};

}  // namespace ringgate::server
