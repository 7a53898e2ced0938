// Keeps the certificates of a process: reads them at the start, looks whether their files have
// changed, and makes new contexts when they have and are good; bad ones leave the old in place.
// Counts when each expires. Owned by main; every method on the main thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"
#include "engine/config/settings.hpp"
#include "engine/net/tls/contexts.hpp"
#include "engine/observe/counter.hpp"
#include "engine/observe/logger.hpp"

namespace ringgate::net::tls {

struct KeeperOptions {
  std::vector<PairFiles> pairs;
  std::string client_ca_file;  // empty: none
  Suite suite;                 // without client_ca
};

// Of section `tls`. Error: names the key and the cure.
Result<KeeperOptions> keeper_options(const config::Settings& settings);
// Of a listener's section.
Policy policy_of(const config::Settings& settings, const std::string& section);

// In what a look at the files ended.
enum class Look : std::uint8_t { same, renewed, kept_old };

class Keeper {
 public:
  // Error: names the file, what is wrong and the cure.
  static Result<std::unique_ptr<Keeper>> open(const KeeperOptions& options,
                                              std::vector<Policy> policies,
                                              observe::Registry& registry,
                                              observe::LogSource& logs, WallUs now);

  // For the shards; another object after each look() that says renewed.
  std::shared_ptr<const Contexts> contexts() const { return contexts_; }

  // Every limits::tls_look_interval_ms; `at_once`: somebody asked, so also files that changed just
  // now, and with a log line if nothing did.
  Look look(WallUs now, bool at_once);

 private:
  using Stamps = std::vector<FileStamp>;
  Keeper(const KeeperOptions& options, std::vector<Policy> policies, observe::Registry& registry,
         observe::LogSource& logs)
      : options_(options), policies_(std::move(policies)), registry_(registry), logs_(logs) {}

  Stamps stamps() const;
  Result<void> load(WallUs now, bool replaces);
  void note(const Certificate& certificate);
  void warn_of_expiry(WallUs now);
  bool rotate_tickets(WallUs now);

  KeeperOptions options_;
  std::vector<Policy> policies_;
  observe::Registry& registry_;
  observe::LogSource& logs_;
  std::vector<Certificate> certificates_;  // in use
  Suite suite_;
  std::shared_ptr<const Contexts> contexts_;
  std::vector<TicketKey> tickets_;
  WallUs tickets_since_ = 0;
  Stamps taken_;     // what contexts_ was made of
  Stamps refused_;   // bad; said so already
  Stamps last_look_;
  WallUs warned_ = 0;
  std::map<std::string, observe::Gauge> gauges_;
};

}  // namespace ringgate::net::tls
