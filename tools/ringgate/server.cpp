#include "tools/ringgate/server.hpp"

#include <fmt/core.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <condition_variable>
#include <cstdlib>
#include <mutex>
#include <optional>

#include "engine/device/device_table.hpp"
#include "engine/net/links.hpp"
#include "engine/shard/cpus.hpp"
#include "protocols/jsonl/session.hpp"
#include "protocols/jt808/session.hpp"
#include "storage/log/counters.hpp"
#include "storage/log/keys.hpp"
#include "storage/log/recovery.hpp"
#include "storage/log/writer.hpp"
#include "tools/ringgate/keys.hpp"

namespace ringgate::server {

namespace {

// Descriptors that are not links: log segments, rings, eventfds, the standard ones.
constexpr std::uint64_t descriptors_kept = 256;

std::uint32_t links_per_shard(const config::Settings& settings, unsigned shards) {
  auto links = static_cast<std::uint64_t>(settings.integer("server.max_links"));
  if (links == 0) {
    rlimit limit{};
    getrlimit(RLIMIT_NOFILE, &limit);
    links = limit.rlim_cur > 2 * descriptors_kept ? limit.rlim_cur - descriptors_kept : 64;
  }
  // Each shard may hold all of them: the kernel's spread is not even, and links move to their
  // homes.
  static_cast<void>(shards);
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(links, limits::links_per_shard_max / 2));
}

std::uint64_t memory_per_shard(const config::Settings& settings, unsigned shards) {
  auto bytes = static_cast<std::uint64_t>(settings.size_bytes("memory.limit"));
  if (bytes == 0) {
    struct sysinfo info {};
    sysinfo(&info);
    bytes = std::uint64_t{info.totalram} * info.mem_unit / 2;
  }
  return bytes / shards;
}

std::uint32_t features_without(const config::Settings& settings) {
  std::uint32_t bits = 0;
  for (const std::string& name : settings.list("engine.without")) {
    const auto at = std::ranges::find(io::feature_list, name);
    bits |= 1U << (at - std::begin(io::feature_list));
  }
  return bits;
}

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

}  // namespace

Result<void> check_feature_name(std::string_view name) {
  if (std::ranges::find(io::feature_list, name) != std::end(io::feature_list)) return {};
  std::string known;
  for (const std::string_view feature : io::feature_list) known += fmt::format(" {}", feature);
  return Error{0, fmt::format("unknown feature \"{}\"; there are{}", name, known)};
}

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

namespace {

// Says now and then which log lines a shard held back.
class LogReporter final : public shard::TimerHandler {
 public:
  LogReporter(shard::Shard& shard, observe::LogSource& logs) : shard_(shard), logs_(logs) {
    shard_.arm(timer_, interval);
  }
  void on_timer() override {
    logs_.report_suppressed();
    shard_.arm(timer_, interval);
  }

 private:
  static constexpr MonoNs interval = 5 * ns_per_s;
  shard::Shard& shard_;
  observe::LogSource& logs_;
  shard::Timer timer_{*this};
};

// What a reload may change on a shard.
struct ReloadMail {
  struct Timeouts {
    std::uint32_t idle_ms = 0;
    std::uint32_t frame_ms = 0;
  };
  jt808::SessionOptions session;
  Timeouts jt808;
  Timeouts jsonl;
};
static_assert(std::is_trivially_copyable_v<ReloadMail>);

ReloadMail::Timeouts timeouts(const config::Settings& settings, const std::string& section) {
  const auto milliseconds = [&](const char* leaf) {
    return static_cast<std::uint32_t>(settings.duration_ns(section + leaf) / ns_per_ms);
  };
  return {milliseconds(".idle_timeout"), milliseconds(".frame_timeout")};
}

class Reloader final : public shard::MailHandler {
 public:
  Reloader(shard::MailRoom& mail, net::Links& links, jt808::Session& jt808, jsonl::Session& jsonl)
      : links_(links), jt808_(jt808), jsonl_(jsonl) {
    mail.handle(shard::MailKind::reload, *this);
  }
  void on_mail(shard::MailKind, std::uint32_t, Bytes bytes) override {
    const auto mail = load_native<ReloadMail>(bytes.data());
    jt808_.set_options(mail.session);
    links_.set_timeouts(jt808_, mail.jt808.idle_ms, mail.jt808.frame_ms);
    links_.set_timeouts(jsonl_, mail.jsonl.idle_ms, mail.jsonl.frame_ms);
  }

 private:
  net::Links& links_;
  jt808::Session& jt808_;
  jsonl::Session& jsonl_;
};

// Everything that lives on a shard, in the order in which it is built.
struct ShardRooms {
  std::unique_ptr<shard::Shard> shard;
  std::unique_ptr<shard::MailRoom> mail;
  std::unique_ptr<net::Links> links;
  std::unique_ptr<log::Writer> writer;
  std::unique_ptr<log::Counters> log_counters;
  std::unique_ptr<device::DeviceTable> devices;
  std::unique_ptr<jt808::Session> jt808;
  std::unique_ptr<jsonl::Session> jsonl;
  std::unique_ptr<LogReporter> log_reporter;
  std::unique_ptr<Reloader> reloader;
};

}  // namespace

Server::Server(const config::Settings& settings, io::Sys& sys, observe::Logger& logger,
               observe::Registry& registry)
    : settings_(settings),
      sys_(sys),
      logger_(logger),
      registry_(registry),
      cpus_(shard::usable_cpus()) {
  shard_count_ = static_cast<unsigned>(settings.integer("server.shards"));
  if (shard_count_ == 0) {
    shard_count_ = std::min<unsigned>(static_cast<unsigned>(cpus_.size()), limits::shards_max);
  }
}

Server::~Server() {
  stop();
  for (const auto& thread : threads_) {
    if (thread->thread.joinable()) thread->thread.join();
  }
}

Result<std::unique_ptr<Server>> Server::start(const config::Settings& settings, io::Sys& sys,
                                              observe::Logger& logger,
                                              observe::Registry& registry) {
  raise_descriptor_limit();
  std::unique_ptr<Server> server(new Server(settings, sys, logger, registry));
  observe::LogSource& logs = logger.add_source("start");
  if (auto opened = server->open_data(logs); !opened) return opened.error();
  if (auto opened = server->open_listeners(logs); !opened) return opened.error();
  if (auto started = server->start_shards(); !started) return started.error();
  return server;
}

Result<void> Server::open_data(observe::LogSource& logs) {
  auto dir = log::DataDir::open(sys_, settings_.text("server.data_dir"));
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
  supply_ = std::make_unique<log::SegmentSupply>(
      sys_, log::log_options(settings_), data_dir_->log_path(), data_dir_->node(), data_dir_->run(),
      log::SegmentSupply::Mode::thread);
  auto authenticator = jt808::Authenticator::open(sys_, data_dir_->path());
  if (!authenticator) return authenticator.error();
  authenticator_ = std::move(*authenticator);
  return {};
}

Result<void> Server::open_listeners(observe::LogSource& logs) {
  const auto open = [&](const std::string& section,
                        std::vector<net::OpenListener>& out) -> Result<void> {
    for (const std::string& text : settings_.list(section + ".listen")) {
      const auto address = config::parse_listen_address(text);
      if (!address) return address.error();
      auto listener =
          net::open_listener(sys_, *address, net::socket_options(settings_, section), shard_count_);
      if (!listener) return listener.error();
      if (section == "jt808" && !address->loopback()) {
        logs.warn(
            "jt808.admission is \"open\" beyond loopback: whoever reaches the port may register",
            {{"listen", listener->address}});
      }
      out.push_back(std::move(*listener));
    }
    return {};
  };
  if (auto opened = open("jt808", jt808_listeners_); !opened) return opened.error();
  return open("jsonl", jsonl_listeners_);
}

Result<void> Server::start_shards() {
  hub_ = std::make_unique<shard::MailHub>(static_cast<ShardIndex>(shard_count_), 1);
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

namespace {

using OpenListeners = std::vector<net::OpenListener>;

void add_listeners(net::Links& links, const config::Settings& settings, const std::string& section,
                   const OpenListeners& listeners, ShardIndex index, net::Protocol& protocol) {
  const std::uint8_t number = links.add_protocol(protocol);
  const ReloadMail::Timeouts times = timeouts(settings, section);
  for (const net::OpenListener& listener : listeners) {
    links.add_listener({.fd = listener.fds[index],
                        .protocol = number,
                        .idle_timeout_ms = times.idle_ms,
                        .frame_timeout_ms = times.frame_ms});
  }
}

// The wiring of one shard. A new protocol is one more session and one more add_listeners line.
struct WiringParts {
  const config::Settings& settings;
  io::Sys& sys;
  shard::MailHub& hub;
  log::SegmentSupply& supply;
  const jt808::Authenticator& authenticator;
  const OpenListeners& jt808_listeners;
  const OpenListeners& jsonl_listeners;
  observe::CounterGroup& counters;
  observe::LogSource& logs;
  shard::ShardOptions shard;
};

Result<ShardRooms> wire(const WiringParts& parts) {
  const config::Settings& settings = parts.settings;
  const unsigned shards = parts.shard.count;
  io::RingOptions ring_options;
  ring_options.without = features_without(settings);
  auto ring = io::Ring::open(io::make_uring_backend(), ring_options);
  if (!ring) return ring.error();
  ShardRooms rooms;
  rooms.shard = std::make_unique<shard::Shard>(parts.shard, std::move(*ring), parts.sys);
  rooms.mail = std::make_unique<shard::MailRoom>(*rooms.shard, parts.hub);
  auto links = net::Links::create(*rooms.shard, *rooms.mail, parts.counters,
                                  {.links_max = links_per_shard(settings, shards),
                                   .memory_limit_bytes = memory_per_shard(settings, shards)});
  if (!links) return links.error();
  rooms.links = std::move(*links);
  auto writer = log::Writer::open(*rooms.shard, log::log_options(settings), parts.supply);
  if (!writer) return writer.error();
  rooms.writer = std::move(*writer);
  rooms.log_counters =
      std::make_unique<log::Counters>(parts.counters, *rooms.writer, rooms.shard->watermark());
  rooms.devices = std::make_unique<device::DeviceTable>(rooms.links->budget());
  rooms.jt808 = std::make_unique<jt808::Session>(*rooms.links, *rooms.writer, *rooms.devices,
                                                 parts.authenticator, parts.counters, parts.logs,
                                                 jt808::session_options(settings));
  rooms.jsonl = std::make_unique<jsonl::Session>(*rooms.links, *rooms.writer, parts.counters);
  rooms.reloader =
      std::make_unique<Reloader>(*rooms.mail, *rooms.links, *rooms.jt808, *rooms.jsonl);
  rooms.log_reporter = std::make_unique<LogReporter>(*rooms.shard, parts.logs);
  const ShardIndex index = parts.shard.index;
  add_listeners(*rooms.links, settings, "jt808", parts.jt808_listeners, index, *rooms.jt808);
  add_listeners(*rooms.links, settings, "jsonl", parts.jsonl_listeners, index, *rooms.jsonl);
  return rooms;
}

}  // namespace

void Server::run_shard(ShardThread& thread) {
  const bool pin = settings_.boolean("server.pin") && shard_count_ <= cpus_.size();
  auto rooms = wire({settings_,
                     sys_,
                     *hub_,
                     *supply_,
                     *authenticator_,
                     jt808_listeners_,
                     jsonl_listeners_,
                     *thread.counters,
                     *thread.logs,
                     {.index = thread.index,
                      .count = static_cast<ShardIndex>(shard_count_),
                      .cpu = pin ? cpus_[thread.index] : -1}});
  {
    std::lock_guard lock(thread.mutex);
    if (rooms) {
      thread.shard.store(rooms->shard.get(), std::memory_order_release);
    } else {
      thread.error = rooms.error();
    }
    thread.done = true;
    thread.started.notify_one();
  }
  if (rooms) rooms->shard->run();
  running_.fetch_sub(1, std::memory_order_acq_rel);
  // Rooms go in reverse order; main must not reach for the shard any more.
  std::lock_guard lock(thread.mutex);
  thread.shard.store(nullptr, std::memory_order_release);
}

std::string Server::ready_line() const {
  std::string line = "ready";
  const auto add = [&](const char* name, const OpenListeners& listeners) {
    if (listeners.empty()) return;
    line += fmt::format(" {}=", name);
    for (std::size_t i = 0; i < listeners.size(); ++i) {
      line += fmt::format("{}{}", i == 0 ? "" : ",", listeners[i].address);
    }
  };
  add("jt808", jt808_listeners_);
  add("jsonl", jsonl_listeners_);
  return line + fmt::format(" shards={} data={}", shard_count_, absolute(data_dir_->path()));
}

void Server::wake_all() {
  for (unsigned i = 0; i < shard_count_; ++i) {
    // A full column needs no wake-up: its shard has mail.
    static_cast<void>(hub_->post_from_control(hub_->control_producer(0), static_cast<ShardIndex>(i),
                                              shard::MailKind::wake, {}));
  }
}

void Server::reload(const config::Settings& settings) {
  const ReloadMail mail{jt808::session_options(settings), timeouts(settings, "jt808"),
                        timeouts(settings, "jsonl")};
  const Bytes bytes{reinterpret_cast<const std::uint8_t*>(&mail), sizeof mail};
  for (unsigned i = 0; i < shard_count_; ++i) {
    // Nobody else writes to this column, so it has room.
    RG_CHECK(hub_->post_from_control(hub_->control_producer(0), static_cast<ShardIndex>(i),
                                     shard::MailKind::reload, bytes));
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
  for (const auto& thread : threads_) {
    std::lock_guard lock(thread->mutex);
    shard::Shard* shard = thread->shard.load(std::memory_order_acquire);
    if (shard != nullptr) shard->request_stop();
  }
  wake_all();
}

}  // namespace ringgate::server
