#include "tools/ringgate/wiring.hpp"

#include <sys/resource.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <string>

#include "storage/log/keys.hpp"
#include "tools/ringgate/keys.hpp"

namespace ringgate::server {

namespace {

// Descriptors that are not links: log segments, rings, eventfds, the standard ones.
constexpr std::uint64_t descriptors_kept = 256;
constexpr MonoNs report_interval = 5 * ns_per_s;

// Of all descriptors, uploads get one in so many: however many there are, the log finds one for its
// next segment, and links are accepted.
constexpr std::uint64_t upload_share = 4;

std::uint64_t descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

// Each shard may hold all links: the kernel's spread is not even, and links move to their homes.
std::uint32_t links_max(const config::Settings& settings) {
  auto links = static_cast<std::uint64_t>(settings.integer("server.max_links"));
  if (links == 0) {
    const std::uint64_t limit = descriptor_limit();
    const std::uint64_t others = descriptors_kept + limit / upload_share;
    links = limit > 2 * descriptors_kept ? limit - others : 64;
  }
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
    const auto feature = io::features_from_names(name);
    RG_CHECK(feature.ok());  // the key's check has seen it
    bits |= *feature;
  }
  return bits;
}

struct Timeouts {
  std::uint32_t idle_ms;
  std::uint32_t frame_ms;
};
Timeouts timeouts(const config::Settings& settings, std::string_view section) {
  const auto milliseconds = [&](const char* leaf) {
    const std::string key = std::string(section).append(leaf);
    return static_cast<std::uint32_t>(settings.duration_ns(key) / ns_per_ms);
  };
  return {milliseconds(".idle_timeout"), milliseconds(".frame_timeout")};
}

}  // namespace

std::uint32_t uploads_per_shard(unsigned shards) {
  const std::uint64_t uploads =
      descriptor_limit() / upload_share / blob::descriptors_per_upload / shards;
  return static_cast<std::uint32_t>(
      std::clamp<std::uint64_t>(uploads, 1, blob::uploads_max));
}

Result<std::unique_ptr<ShardRooms>> ShardRooms::build(const WiringParts& parts) {
  std::unique_ptr<ShardRooms> rooms(new ShardRooms(parts.logs));
  if (auto built = rooms->build_rooms(parts); !built) return built.error();
  rooms->add_protocols(parts);
  rooms->pulse_ =
      std::make_unique<shard::PulseHook>(*rooms->shard_, parts.pulse, parts.shard.index);
  // After all others: it measures what their hooks do.
  rooms->loop_clock_ = std::make_unique<shard::LoopClock>(*rooms->shard_, parts.counters);
  return rooms;
}

Result<void> ShardRooms::build_rooms(const WiringParts& parts) {
  const config::Settings& settings = parts.settings;
  io::RingOptions ring_options;
  ring_options.without = features_without(settings);
  auto ring = io::Ring::open(io::make_uring_backend(), ring_options);
  if (!ring) return ring.error();
  shard_ = std::make_unique<shard::Shard>(parts.shard, std::move(*ring), parts.sys);
  mail_ = std::make_unique<shard::MailRoom>(*shard_, parts.hub);
  mail_->handle(shard::MailKind::reload, *this);
  errands_ = std::make_unique<shard::ErrandRoom>(*shard_, *mail_, parts.errands, gates_);
  bool datagrams = false;
  for (const OpenListeners& of_plug : parts.listeners) {
    for (const net::OpenListener& one : of_plug) datagrams |= !one.datagram_fds.empty();
  }
  auto links =
      net::Links::create(*shard_, *mail_, parts.counters,
                         {.links_max = links_max(settings),
                          .memory_limit_bytes = memory_per_shard(settings, parts.shard.count),
                          .datagrams = datagrams,
                          .handshakes_max = static_cast<std::uint32_t>(
                              settings.integer("tls.handshakes_max"))});
  if (!links) return links.error();
  links_ = std::move(*links);
  auto writer = log::Writer::open(*shard_, log::log_options(settings), parts.supply);
  if (!writer) return writer.error();
  writer_ = std::move(*writer);
  writer_->use_logs(parts.logs);
  board_writer_ = std::make_unique<log::BoardWriter>(parts.board, parts.shard.index,
                                                     shard_->watermark());
  log_counters_ = std::make_unique<log::Counters>(parts.counters, *writer_, shard_->watermark());
  ack_clock_ = std::make_unique<log::AckClock>(*shard_, *writer_, parts.counters);
  waits_ = std::make_unique<log::CommitWaits>(shard_->watermark());
  state_ = std::make_unique<state::Store>(*writer_, links_->budget(), std::move(parts.state));
  devices_ = std::move(parts.devices);
  devices_->charge_to(links_->budget());
  gates_.use(*state_, *waits_, *writer_, *devices_);
  pending_ = std::make_unique<state::Pending>(*shard_, *state_, *waits_, writer_->stream().run,
                                              parts.counters);
  gates_.use(*pending_);
  blobs_ = std::make_unique<blob::Store>(*shard_, *writer_, parts.keeper, parts.counters,
                                         parts.logs);
  shard_->arm(timer_, report_interval);
  return {};
}

void ShardRooms::add_protocols(const WiringParts& parts) {
  websocket::SessionOptions sockets;
  sockets.ping_interval_ns = parts.settings.duration_ns("http.ping_interval");
  sockets_ = std::make_unique<websocket::Session>(*links_, parts.counters, sockets);
  sockets_->use_number(links_->add_protocol(*sockets_));
  for (std::size_t i = 0; i < std::size(plugs); ++i) {
    const Plug& plug = plugs[i];
    const PlugParts plug_parts{parts.settings, *links_, *writer_, *devices_, *state_, *blobs_,
                               parts.authenticator, parts.expectations, parts.plane,
                               parts.feed, *sockets_,
                               parts.counters, parts.logs};
    protocols_.push_back(plug.make(plug_parts));
    if (plug.make_gate != nullptr) {
      made_gates_.push_back(plug.make_gate(*protocols_.back(), plug_parts));
      pending_->add(*made_gates_.back(), *plug.devices);
      if (parts.presence != nullptr) made_gates_.back()->watch_presence(*parts.presence);
      gates_.add(*made_gates_.back());
    }
    const std::uint8_t number = links_->add_protocol(*protocols_.back());
    const Timeouts times = timeouts(parts.settings, plug.section);
    if (parts.tls != nullptr) {
      acceptors_.push_back(std::make_unique<net::tls::Acceptor>(parts.tls, i));
    }
    for (const net::OpenListener& listener : parts.listeners[i]) {
      const bool has_datagrams = !listener.datagram_fds.empty();
      links_->add_listener({.fd = listener.fds[parts.shard.index],
                            .datagram_fd =
                                has_datagrams ? listener.datagram_fds[parts.shard.index] : -1,
                            .protocol = number,
                            .idle_timeout_ms = times.idle_ms,
                            .frame_timeout_ms = times.frame_ms,
                            .filter = listener.tls ? acceptors_[i].get() : nullptr,
                            .rules = net::access_rules(parts.settings, std::string(plug.section))});
    }
  }
}

void ShardRooms::on_mail(shard::MailKind, std::uint32_t, Bytes bytes) {
  const auto mail = load_native<ReloadMail>(bytes.data());
  const std::unique_ptr<ReloadMail::News> news(mail.news);
  for (const auto& acceptor : acceptors_) acceptor->use(news->tls);
  if (news->deed && !state::record_deed(*writer_, *news->deed)) {
    state::log_lost_deed(logs_, *news->deed);
  }
  if (news->settings == nullptr) return;
  const config::Settings& settings = *news->settings;
  for (std::size_t i = 0; i < std::size(plugs); ++i) {
    const Timeouts times = timeouts(settings, plugs[i].section);
    links_->set_timeouts(*protocols_[i], times.idle_ms, times.frame_ms);
    links_->set_rules(*protocols_[i], net::access_rules(settings, std::string(plugs[i].section)));
    protocols_[i]->on_settings(settings);
  }
}

void ShardRooms::on_timer() {
  logs_.report_suppressed();
  shard_->arm(timer_, report_interval);
}

}  // namespace ringgate::server
