#include "tools/ringgate/server.hpp"

#include <fmt/core.h>
#include <pthread.h>
#include <sys/resource.h>

#include <algorithm>
#include <condition_variable>
#include <chrono>
#include <cstdlib>
#include <mutex>
#include <optional>
#include <string>

#include "engine/net/counters.hpp"
#include "engine/shard/cpus.hpp"
#include "protocols/api/query_pool.hpp"
#include "protocols/api/feed.hpp"
#include "protocols/api/fleet.hpp"
#include "protocols/fabric/keys.hpp"
#include "storage/blob/keys.hpp"
#include "storage/log/counters.hpp"
#include "storage/log/keys.hpp"
#include "storage/log/recovery.hpp"
#include "tools/ringgate/keys.hpp"
#ifdef RINGGATE_NATS
#include "protocols/fabric/node.hpp"
#endif
#include "tools/ringgate/wiring.hpp"

namespace ringgate::server {

namespace {

// Threads that are no shard and post to shards, by their number.
constexpr std::uint32_t main_thread = 0;
constexpr std::uint32_t control_thread = 1;
constexpr std::uint32_t fabric_thread = 2;
constexpr std::uint32_t keeper_thread = 3;  // of the state
constexpr std::uint32_t api_thread = 4;
constexpr std::uint32_t feed_thread = 5;  // of the live stream
constexpr std::uint32_t control_threads = 6;

// RLIMIT_NOFILE's soft limit is what old programs with select() need; this one takes the hard one.
void raise_descriptor_limit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  static_cast<void>(setrlimit(RLIMIT_NOFILE, &limit));
}

std::string absolute(const std::string& path) {
  char* resolved = ::realpath(path.c_str(), nullptr);
  std::string out = resolved == nullptr ? path : resolved;
  std::free(resolved);
  return out;
}

// Retention waits for snapshots: they must come often enough that it can go on. The log is held
// from the last but one on, which may be twice as much.
std::uint64_t snapshot_bytes(const config::Settings& settings) {
  auto bytes = static_cast<std::uint64_t>(settings.size_bytes("state.snapshot_bytes"));
  const log::LogOptions log = log::log_options(settings);
  for (const std::uint64_t kept : {log.retention_bytes, log.retention_hard_bytes}) {
    if (kept != 0) bytes = std::min(bytes, kept / 4);
  }
  return bytes;
}

unsigned shards_of(const config::Settings& settings) {
  const auto asked = static_cast<unsigned>(settings.integer("server.shards"));
  if (asked != 0) return asked;
  return std::min<unsigned>(static_cast<unsigned>(shard::usable_cpus().size()),
                            limits::shards_max);
}

// Members of the pulse: the shards, then these.
constexpr unsigned pulse_api = 0;
constexpr unsigned pulse_stream = 1;
constexpr unsigned pulse_control = 2;

std::vector<std::string> pulse_names(unsigned shards) {
  std::vector<std::string> names;
  for (unsigned i = 0; i < shards; ++i) names.push_back(fmt::format("shard-{}", i));
  for (const char* name : {"api", "stream", "control"}) names.emplace_back(name);
  return names;
}

}  // namespace

// One shard: its thread and what the main thread may touch of it.
struct Server::ShardThread {
  ShardIndex index = 0;
  observe::CounterGroup* counters = nullptr;
  observe::LogSource* logs = nullptr;
  std::thread thread;
  std::mutex mutex;  // guards the rest until the shard runs
  std::condition_variable started;
  bool done = false;
  std::optional<Error> error;
  std::atomic<shard::Shard*> shard{nullptr};
};

Server::Server(std::shared_ptr<const config::Settings> settings, io::Sys& sys,
               observe::Logger& logger, observe::Registry& registry)
    : start_settings_(std::move(settings)),
      sys_(sys),
      logger_(logger),
      registry_(registry),
      shard_count_(shards_of(*start_settings_)),
      cpus_(shard::usable_cpus()),
      pulse_(pulse_names(shard_count_)) {}

Server::~Server() {
  stop();
  for (const auto& thread : threads_) {
    if (thread->thread.joinable()) thread->thread.join();
  }
  state_keeper_.reset();
  fabric_.reset();
  plane_.reset();
  feed_.reset();
  control_.reset();  // what it had on the shards has come home
  if (tokens_) tokens_->save_uses();
  sinks_.reset();
}

Result<std::unique_ptr<Server>> Server::start(std::shared_ptr<const config::Settings> settings,
                                              io::Sys& sys, observe::Logger& logger,
                                              observe::Registry& registry) {
  raise_descriptor_limit();
  std::unique_ptr<Server> server(new Server(std::move(settings), sys, logger, registry));
  observe::LogSource& logs = logger.add_source("start");
  if (auto opened = server->open_data(logs); !opened) return opened.error();
  if (auto opened = server->open_listeners(logs); !opened) return opened.error();
  if (auto opened = server->open_access(); !opened) return opened.error();
  if (auto opened = server->open_control(); !opened) return opened.error();
  server->open_fabric();
  server->open_feed();
  server->open_plane();
  if (auto started = server->start_shards(); !started) return started.error();
  server->start_state_keeper();
  if (auto started = server->start_sinks(); !started) return started.error();
  if (server->control_) server->control_->serve(server->sinks_.get(), &server->reloads_);
  if (server->fabric_) server->fabric_->serve();
  server->feed_->serve();
  server->started_us_ = sys.wall_now();
  server->plane_->fleet().use(server->insight(server->start_settings_));
  server->plane_->serve();
  return server;
}

Result<void> Server::open_data(observe::LogSource& logs) {
  auto dir = log::DataDir::open(sys_, start_settings_->text("server.data_dir"));
  if (!dir) return dir.error();
  data_dir_ = std::move(*dir);
  auto recovered = log::recover(sys_, *data_dir_);
  if (!recovered) return recovered.error();
  for (const std::string& problem : recovered->problems)
    logs.error("log damaged", {{"what", problem}});
  if (recovered->segments_sealed > 0) {
    logs.info("log recovered after an unclean stop",
              {{"segments", recovered->segments_sealed},
               {"records", recovered->records},
               {"dropped_unacknowledged", recovered->dropped_records}});
  }
  board_ = std::make_unique<log::CommitBoard>(data_dir_->run());
  if (auto loaded = load_state(logs); !loaded) return loaded.error();
  open_log();
  blob::BlobOptions blobs = blob::blob_options(*start_settings_);
  blobs.uploads = uploads_per_shard(shard_count_);
  auto keeper = blob::Keeper::open(sys_, blobs, data_dir_->run(), blob::Keeper::Mode::thread);
  if (!keeper) return keeper.error();
  keeper_ = std::move(*keeper);
  auto authenticator = jt808::Authenticator::open(sys_, data_dir_->path());
  if (!authenticator) return authenticator.error();
  authenticator_ = std::move(*authenticator);
  expectations_ = std::make_unique<jt808::Expectations>(sys_);
  return {};
}

Result<void> Server::load_state(observe::LogSource& logs) {
  const MonoNs began = sys_.mono_now();
  start_budgets_.assign(shard_count_, flow::Budget(0));
  for (const Plug& plug : plugs) {
    if (plug.make_folder != nullptr) folders_.add(plug.make_folder());
  }
  auto loaded = state::load(sys_, data_dir_->path(), data_dir_->node(), start_budgets_, folders_);
  if (!loaded) return loaded.error();
  state_ = std::move(*loaded);
  for (const std::string& problem : state_.problems)
    logs.error("state: something could not be read; what the log has is taken",
               {{"what", problem}});
  if (state_.not_understood > 0)
    logs.error("state records that are not understood", {{"records", state_.not_understood}});
  if (state_.no_room > 0)
    logs.error("more devices than shards have room for: some are not known any more",
               {{"records", state_.no_room},
                {"devices_per_shard", limits::devices_per_shard_max},
                {"cure", "a higher server.shards, or state.forget_after"}});
  if (state_.rebuilt)
    logs.warn("the snapshot lacks last states of devices: they were read from all of the log",
              {{"of_another_layout", state_.other_layout}});
  // Before retention looks for the first time.
  holds_.set("state", state_.held);
  if (state_.from_snapshot + state_.from_log + state_.known_devices == 0) return {};
  logs.info("state loaded", {{"snapshot_records", state_.from_snapshot},
                             {"log_records", state_.from_log},
                             {"devices", state_.known_devices},
                             {"frames", state_.folded},
                             {"log_bytes", state_.log_bytes},
                             {"ms", (sys_.mono_now() - began) / ns_per_ms}});
  return {};
}

void Server::start_state_keeper() {
  state_keeper_ = std::make_unique<state::Keeper>(
      state::KeeperParts{
          .sys = sys_,
          .data_dir = data_dir_->path(),
          .node = data_dir_->node(),
          .run = data_dir_->run(),
          .interval_ns = start_settings_->duration_ns("state.snapshot_interval"),
          .interval_bytes = snapshot_bytes(*start_settings_),
          .errands = *errands_,
          .producer = hub_->control_producer(keeper_thread),
          .board = *board_,
          .holds = holds_,
          .folders = folders_,
          .forget_after_us =
              start_settings_->duration_ns("state.forget_after") / ns_per_us,
          .urged = &snapshot_urged_,
          .counters = registry_.add_group("thread", "state"),
          .logs = logger_.add_source("state")},
      state_);
}

void Server::open_log() {
  const log::LogOptions options = log::log_options(*start_settings_);
  // Both are the supply's thread's own.
  observe::LogSource& logs = logger_.add_source("retention");
  observe::Counter broken =
      registry_.add_group("thread", "supply").counter(log::holds_broken);
  const auto on_broken = [&logs, broken](const std::string& holder, const std::string& segment,
                                         bool first) mutable {
    broken.add(1);
    if (!first) return;
    logs.warn("the log is beyond log.retention_hard_bytes: a segment that is still needed went",
              {{"needed_by", holder}, {"segment", segment}});
  };
  const auto on_near = [this](const std::string& holder) {
    if (holder == "state") snapshot_urged_.store(true, std::memory_order_release);
  };
  supply_ = std::make_unique<log::SegmentSupply>(
      sys_, options, data_dir_->log_path(), data_dir_->node(), data_dir_->run(),
      log::SegmentSupply::Mode::thread, log::Retention{&holds_, on_broken, on_near});
  for (const Plug& plug : plugs) {
    if (plug.catalog != nullptr) catalogs_.add(*plug.catalog);
  }
  curator_ = std::make_unique<log::Curator>(
      log::Curator::Parts{sys_, data_dir_->log_path(), catalogs_, supply_.get(),
                          &registry_.add_group("thread", "curator"),
                          &logger_.add_source("curator")},
      options, log::Curator::Mode::thread);
}

Result<void> Server::open_listeners(observe::LogSource& logs) {
  if (auto opened = open_tls(); !opened) return opened.error();
  for (const Plug& plug : plugs) {
    const std::string section(plug.section);
    net::SocketOptions options = net::socket_options(*start_settings_, section);
    if (plug.stalled_ms > 0) {
      const std::int64_t idle_ms =
          start_settings_->duration_ns(section + ".idle_timeout") / ns_per_ms;
      options.stalled_ms =
          static_cast<std::uint32_t>(std::min(idle_ms, plug.stalled_ms));
    }
    listeners_.emplace_back();
    if (auto opened = listen_all(plug, ".tls_listen", options, logs); !opened) {
      return opened.error();
    }
    options.datagrams = plug.datagrams && start_settings_->boolean(section + ".udp");
    if (auto opened = listen_all(plug, ".listen", options, logs); !opened) return opened.error();
  }
  return {};
}

Result<void> Server::listen_all(const Plug& plug, const char* key,
                                const net::SocketOptions& options, observe::LogSource& logs) {
  for (const std::string& text : start_settings_->list(std::string(plug.section).append(key))) {
    const auto address = config::parse_listen_address(text);
    if (!address) return address.error();
    auto listener = net::open_listener(sys_, *address, options, shard_count_);
    if (!listener) return listener.error();
    if (!address->loopback() && !plug.beyond_loopback.empty()) {
      logs.warn(plug.beyond_loopback, {{"listen", listener->address}});
    }
    listener->tls = std::string_view(key) == ".tls_listen";
    listeners_.back().push_back(std::move(*listener));
  }
  return {};
}

Result<void> Server::open_tls() {
  std::vector<net::tls::Policy> policies;  // by plug
  bool any = false;
  for (const Plug& plug : plugs) {
    const std::string section(plug.section);
    policies.push_back(net::tls::policy_of(*start_settings_, section));
    const bool speaks = !start_settings_->list(section + ".tls_listen").empty();
    if (!speaks) policies.back().client_certificates = net::tls::ClientCertificates::no;
    any |= speaks;
  }
  if (!any) return {};
  const auto options = net::tls::keeper_options(*start_settings_);
  if (!options) return options.error();
  auto keeper = net::tls::Keeper::open(*options, std::move(policies), registry_,
                                       logger_.add_source("tls"), sys_.wall_now());
  if (!keeper) return keeper.error();
  tls_ = std::move(*keeper);
  return {};
}

void Server::look_at_certificates(bool at_once) {
  if (tls_ == nullptr) return;
  if (tls_->look(sys_.wall_now(), at_once) == net::tls::Look::renewed) tell_shards(nullptr);
}

Result<void> Server::open_control() {
  hub_ = std::make_unique<shard::MailHub>(static_cast<ShardIndex>(shard_count_), control_threads);
  errands_ = std::make_unique<shard::ErrandHub>(*hub_);
  if (!start_settings_->boolean("control.enabled")) return {};
  auto control = Control::open({.path = data_dir_->path() + "/control.sock",
                                .mode = socket_mode(start_settings_->text("control.socket_mode")),
                                .errands = *errands_,
                                .producer = hub_->control_producer(control_thread),
                                .registry = registry_,
                                .logs = logger_.add_source("control"),
                                .tokens = tokens_.get()});
  if (!control) return control.error();
  control_ = std::move(*control);
  return {};
}

void Server::open_feed() {
  feed_ = api::Feed::make({.scan = {.sys = sys_,
                                    .data_dir = data_dir_->path(),
                                    .catalogs = catalogs_,
                                    .board = board_.get()},
                           .errands = *errands_,
                           .producer = hub_->control_producer(feed_thread),
                           .shards = static_cast<ShardIndex>(shard_count_),
                           .node = data_dir_->node(),
                           .devices = *device_plug().devices,
                           .counters = registry_.add_group("thread", "stream"),
                           .logs = logger_.add_source("stream")});
}

Result<void> Server::open_access() {
  api::AccessOptions access = api::access_options(*start_settings_);
  for (const OpenListeners& plug : listeners_) {  // in the order of Links::add_listener
    for (const net::OpenListener& listener : plug) {
      const auto address = config::parse_listen_address(listener.address);
      access.loopback_listeners.push_back(address.ok() && address->loopback());
    }
  }
  access_ = std::make_unique<api::Access>(sys_, std::move(access));
  tokens_ = std::make_unique<api::TokenStore>(sys_, data_dir_->path(), *access_);
  return tokens_->load();
}

void Server::open_plane() {
  plane_ = std::make_unique<api::Plane>(
      api::PlaneParts{.errands = *errands_,
                      .producer = hub_->control_producer(api_thread),
                      .shards = static_cast<ShardIndex>(shard_count_),
                      .devices = *device_plug().devices,
                      .catalog = *device_plug().catalog,
                      .feed = feed_.get(),
                      .registry = registry_,
                      .counters = registry_.add_group("thread", "api"),
                      .logs = logger_.add_source("api"),
                      .access = *access_});
  plane_->use_queries(
      {.scan = {.sys = sys_,
                .data_dir = data_dir_->path(),
                .catalogs = catalogs_,
                .board = board_.get(),
                .index_lied = [curator = curator_.get()](
                                  const std::string& segment) { curator->remake_index(segment); }},
       .blobs = data_dir_->path() + "/blobs",
       .threads = static_cast<unsigned>(start_settings_->integer("http.query_threads")),
       .registry = registry_});
}

std::shared_ptr<const api::Insight> Server::insight(
    std::shared_ptr<const config::Settings> settings) const {
  return std::make_shared<const api::Insight>(api::Insight{
      .version = RINGGATE_VERSION,
      .started_us = started_us_,
      .settings = std::move(settings),
      .sinks = sinks_ ? &sinks_->workers() : nullptr,
      .logger = &logger_,
      .frames = {&jt808::frames_received, &jsonl::lines_received},
      .drops = {&jt808::bad_frames, &jt808::refusals, &jsonl::lines_bad, &net::accept_errors,
                &net::reply_bytes_dropped, &log::appends_refused},
      .links = &net::links_live,
      .devices_online = &jt808::devices_online,
      .memory_bytes = &net::memory_bytes,
      .memory_level = &net::memory_level,
      .turns = &shard::loop_turn_seconds,
      .commits = &log::commit_seconds,
      .acks = &log::ack_seconds});
}

#ifdef RINGGATE_NATS
void Server::open_fabric() {
  const std::string& url = start_settings_->text("sink.nats.url");
  if (url.empty() || !start_settings_->boolean("sink.nats.commands")) return;
  const std::string name = node_name(*start_settings_);
  sink::NatsLinkOptions link = sink::nats_options(*start_settings_, url, name).link;
  link.client_name = fmt::format("ringgate {} fabric", name);
  fabric_ = fabric::make_router({.errands = *errands_,
                                  .producer = hub_->control_producer(fabric_thread),
                                  .shards = static_cast<ShardIndex>(shard_count_),
                                  .devices = *device_plug().devices,
                                  .catalog = *device_plug().catalog,
                                  .counters = registry_.add_group("thread", "fabric"),
                                  .logs = logger_.add_source("fabric"),
                                  .link = std::move(link),
                                  .node_name = name,
                                  .node_id = log::to_text(data_dir_->node()),
                                  .run = data_dir_->run()});
}
#else
void Server::open_fabric() {}
#endif

Result<void> Server::start_shards() {
  for (unsigned i = 0; i < shard_count_; ++i) {
    auto thread = std::make_unique<ShardThread>();
    thread->index = static_cast<ShardIndex>(i);
    thread->counters = &registry_.add_shard(i);
    thread->logs = &logger_.add_source("shard-" + std::to_string(i));
    threads_.push_back(std::move(thread));
  }
  running_.store(shard_count_, std::memory_order_release);
  for (const auto& thread : threads_) {
    thread->thread = std::thread([this, &thread = *thread] { run_shard(thread); });
  }
  std::optional<Error> error;
  for (const auto& thread : threads_) {
    std::unique_lock lock(thread->mutex);
    thread->started.wait(lock, [&] { return thread->done; });
    if (thread->error && !error) error = thread->error;
  }
  if (error) return *error;
  return {};
}

Result<void> Server::start_sinks() {
  auto sinks = Sinks::start({.settings = *start_settings_,
                             .scan = {.sys = sys_,
                                      .data_dir = data_dir_->path(),
                                      .catalogs = catalogs_,
                                      .board = board_.get(),
                                      .index_lied = [curator = curator_.get()](
                                                        const std::string& segment) {
                                        curator->remake_index(segment);
                                      }},
                             .node = data_dir_->node(),
                             .run = data_dir_->run(),
                             .holds = holds_,
                             .logger = logger_,
                             .registry = registry_});
  if (!sinks) return sinks.error();
  sinks_ = std::move(*sinks);
  return {};
}

void Server::run_shard(ShardThread& thread) {
  // What top -H and perf/run tell threads apart by.
  pthread_setname_np(pthread_self(), fmt::format("shard-{}", thread.index).c_str());
  const bool pin = start_settings_->boolean("server.pin") && shard_count_ <= cpus_.size();
  auto rooms = ShardRooms::build({*start_settings_,
                                  sys_,
                                  *hub_,
                                  *errands_,
                                  *supply_,
                                  *board_,
                                  state_.tables[thread.index],
                                  state_.devices[thread.index],
                                  *keeper_,
                                  *authenticator_,
                                  *expectations_,
                                  *plane_,
                                  *feed_,
                                  listeners_,
                                  tls_ ? tls_->contexts() : nullptr,
                                  fabric_ ? &fabric_->watcher(thread.index) : nullptr,
                                  *thread.counters,
                                  *thread.logs,
                                  pulse_,
                                  {.index = thread.index,
                                   .count = static_cast<ShardIndex>(shard_count_),
                                   .cpu = pin ? cpus_[thread.index] : -1}});
  {
    std::lock_guard lock(thread.mutex);
    if (rooms) {
      thread.shard.store(&(*rooms)->shard(), std::memory_order_release);
    } else {
      thread.error = rooms.error();
    }
    thread.done = true;
    thread.started.notify_one();
  }
  if (rooms) (*rooms)->shard().run();
  pulse_.leave(thread.index);
  running_.fetch_sub(1, std::memory_order_acq_rel);
  // Rooms go in reverse order; main must not reach for the shard any more.
  std::lock_guard lock(thread.mutex);
  thread.shard.store(nullptr, std::memory_order_release);
}

std::string Server::ready_line() const {
  std::string line = "ready";
  for (std::size_t i = 0; i < listeners_.size(); ++i) {
    std::string addresses;
    std::string with_tls;
    for (const net::OpenListener& listener : listeners_[i]) {
      std::string& to = listener.tls ? with_tls : addresses;
      to += fmt::format("{}{}", to.empty() ? "" : ",", listener.address);
    }
    if (!addresses.empty()) line += fmt::format(" {}={}", plugs[i].section, addresses);
    if (!with_tls.empty()) line += fmt::format(" {}_tls={}", plugs[i].section, with_tls);
  }
  return line + fmt::format(" shards={} data={}", shard_count_, absolute(data_dir_->path()));
}

void Server::wake_all() {
  for (unsigned i = 0; i < shard_count_; ++i) {
    // A full column needs no wake-up: its shard has mail.
    const auto to = static_cast<ShardIndex>(i);
    static_cast<void>(hub_->post_from_control(hub_->control_producer(main_thread), to,
                                              shard::MailKind::wake, {}));
  }
}

void Server::wake_pulse() {
  wake_all();
  const auto answer = [this](unsigned member) {
    return [&pulse = pulse_, place = shard_count_ + member] { pulse.answer(place); };
  };
  plane_->letter(answer(pulse_api));
  feed_->run(answer(pulse_stream));
  if (control_) {
    control_->letter(answer(pulse_control));
  } else {
    pulse_.leave(shard_count_ + pulse_control);
  }
}

bool Server::all_turned(MonoNs longest) {
  pulse_.ask();
  wake_pulse();
  const MonoNs deadline = sys_.mono_now() + longest;
  for (;;) {
    std::size_t answered = 0;
    for (std::size_t i = 0; i < pulse_.size(); ++i) answered += pulse_.answered(i) ? 1 : 0;
    if (answered == pulse_.size()) return true;
    if (sys_.mono_now() >= deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void Server::reload(std::shared_ptr<const config::Settings> settings, state::Deed deed) {
  tell_shards(settings, std::move(deed));
  plane_->letter([plane = plane_.get(), fresh = insight(std::move(settings))] {
    plane->fleet().use(fresh);
  });
}

void Server::tell_shards(const std::shared_ptr<const config::Settings>& settings,
                         const std::optional<state::Deed>& deed) {
  for (unsigned i = 0; i < shard_count_; ++i) {
    const ReloadMail mail{
        new ReloadMail::News{settings, tls_ ? tls_->contexts() : nullptr,
                             i == 0 ? deed : std::nullopt}};
    const Bytes bytes{reinterpret_cast<const std::uint8_t*>(&mail), sizeof mail};
    const bool posted = hub_->post_from_control(hub_->control_producer(main_thread),
                                                static_cast<ShardIndex>(i),
                                                shard::MailKind::reload, bytes);
    // Only a shard that took no turn for thousands of reloads has a full column.
    if (!posted) delete mail.news;
  }
}

void Server::drain(MonoNs timeout_ns) {
  const MonoNs deadline = sys_.mono_now() + timeout_ns;
  for (const auto& thread : threads_) {
    std::lock_guard lock(thread->mutex);
    shard::Shard* shard = thread->shard.load(std::memory_order_acquire);
    if (shard != nullptr) shard->request_drain(deadline);
  }
  wake_all();
}

void Server::stop() {
  if (!hub_) return;
  if (sinks_) sinks_->stop();
  for (const auto& thread : threads_) {
    std::lock_guard lock(thread->mutex);
    shard::Shard* shard = thread->shard.load(std::memory_order_acquire);
    if (shard != nullptr) shard->request_stop();
  }
  wake_all();
}

}  // namespace ringgate::server
