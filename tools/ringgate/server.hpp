// The gateway: the data directory, the listeners and the shards, wired together. Owned by main; all
// methods on the main thread.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "engine/config/settings.hpp"
#include "engine/io/sys.hpp"
#include "engine/net/listener.hpp"
#include "engine/net/tls/keeper.hpp"
#include "engine/observe/counter.hpp"
#include "engine/observe/logger.hpp"
#include "engine/shard/mailbox.hpp"
#include "engine/shard/pulse.hpp"
#include "protocols/api/feed.hpp"
#include "protocols/api/insight.hpp"
#include "protocols/api/plane.hpp"
#include "protocols/api/token_store.hpp"
#include "protocols/fabric/router.hpp"
#include "protocols/jt808/attachment/expected.hpp"
#include "protocols/jt808/authenticator.hpp"
#include "storage/blob/keeper.hpp"
#include "storage/log/commit_board.hpp"
#include "storage/log/curator.hpp"
#include "storage/log/data_dir.hpp"
#include "storage/log/holds.hpp"
#include "storage/log/supply.hpp"
#include "storage/state/keeper.hpp"
#include "tools/ringgate/control.hpp"
#include "tools/ringgate/reload_desk.hpp"
#include "tools/ringgate/sinks.hpp"

namespace ringgate::server {

struct Plug;

class Server {
 public:
  // Recovers the log, opens the listeners and starts the shards; links are accepted when it
  // returns. Error: what could not be opened, and the cure.
  static Result<std::unique_ptr<Server>> start(std::shared_ptr<const config::Settings> settings,
                                               io::Sys& sys, observe::Logger& logger,
                                               observe::Registry& registry);
  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // "ready jt808=127.0.0.1:7808 data=/var/lib/ringgate": the real addresses and the data directory.
  std::string ready_line() const;

  // Hands changed settings to the shards: those that need no restart (config::diff tells).
  // `deed`: what to leave an audit record of.
  void reload(std::shared_ptr<const config::Settings> settings, state::Deed deed);

  // Every shard, and the threads that answer people: the API's, the live stream's, the control
  // socket's. Sinks and queries wait for other servers and for disks, and are not among them.
  shard::Pulse& pulse() { return pulse_; }
  // Has all members of the pulse turn.
  void wake_pulse();
  // Whether all have turned within `longest`, asked now.
  bool all_turned(MonoNs longest);
  ReloadDesk& reloads() { return reloads_; }

  // Looks whether the files of certificates have changed (tls::Keeper::look); new links get the new
  // ones. Every limits::tls_look_interval_ms where has_tls().
  void look_at_certificates(bool at_once);
  bool has_tls() const { return tls_ != nullptr; }

  // Stops accepting, answers what is committed, closes. wait_stopped() returns when all is closed
  // or the time-out has passed.
  void drain(MonoNs timeout_ns);
  // Ends what is still open without waiting for peers.
  void stop();
  bool stopped() const { return running_.load(std::memory_order_acquire) == 0; }
  unsigned shards() const { return shard_count_; }
  // After start; null: none is on.
  const Sinks* sinks() const { return sinks_.get(); }

 private:
  struct ShardThread;
  Server(std::shared_ptr<const config::Settings> settings, io::Sys& sys, observe::Logger& logger,
         observe::Registry& registry);
  Result<void> open_data(observe::LogSource& logs);
  Result<void> load_state(observe::LogSource& logs);
  void open_log();
  Result<void> open_listeners(observe::LogSource& logs);
  Result<void> open_tls();
  Result<void> listen_all(const Plug& plug, const char* key, const net::SocketOptions& options,
                          observe::LogSource& logs);
  void tell_shards(const std::shared_ptr<const config::Settings>& settings,
                   const std::optional<state::Deed>& deed = {});
  Result<void> open_control();
  void open_fabric();
  Result<void> open_access();
  void open_plane();
  // What the API shows of the gateway itself.
  std::shared_ptr<const api::Insight> insight(
      std::shared_ptr<const config::Settings> settings) const;
  void open_feed();
  Result<void> start_shards();
  void start_state_keeper();
  Result<void> start_sinks();
  void run_shard(ShardThread& thread);
  void wake_all();

  WallUs started_us_ = 0;
  std::shared_ptr<const config::Settings> start_settings_;  // those of the start
  io::Sys& sys_;
  observe::Logger& logger_;
  observe::Registry& registry_;
  unsigned shard_count_ = 0;
  std::vector<int> cpus_;
  shard::Pulse pulse_;
  ReloadDesk reloads_;
  std::unique_ptr<log::DataDir> data_dir_;
  log::Holds holds_;  // what retention must leave: of the state and of each sink
  std::unique_ptr<log::CommitBoard> board_;  // how far the log is durable, for readers in here
  std::unique_ptr<log::SegmentSupply> supply_;
  std::vector<flow::Budget> start_budgets_;  // charged for the state until its shard takes it
  state::Loaded state_;           // what this run began with
  event::DeviceFolders folders_;
  // Retention is about to take log that the state holds.
  std::atomic<bool> snapshot_urged_{false};
  event::CatalogSet catalogs_;
  std::unique_ptr<log::Curator> curator_;  // ends before the supply and the loggers do
  std::unique_ptr<blob::Keeper> keeper_;
  std::unique_ptr<jt808::Authenticator> authenticator_;
  std::unique_ptr<jt808::Expectations> expectations_;
  std::vector<std::vector<net::OpenListener>> listeners_;  // by plug
  std::unique_ptr<net::tls::Keeper> tls_;  // null: no listener speaks it
  std::unique_ptr<shard::MailHub> hub_;
  std::unique_ptr<shard::ErrandHub> errands_;
  std::unique_ptr<Sinks> sinks_;  // outlive the control socket
  std::unique_ptr<state::Keeper> state_keeper_;
  std::unique_ptr<api::Access> access_;
  std::unique_ptr<api::TokenStore> tokens_;
  std::unique_ptr<Control> control_;
  std::unique_ptr<api::Feed> feed_;
  std::unique_ptr<api::Plane> plane_;
  std::unique_ptr<fabric::Router> fabric_;  // null: no fabric
  std::vector<std::unique_ptr<ShardThread>> threads_;
  std::atomic<unsigned> running_{0};
};

}  // namespace ringgate::server
