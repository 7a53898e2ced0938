#include "tests/sim/gateway.hpp"

#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <netinet/in.h>

#include <algorithm>

#include "storage/log/reader.hpp"
#include "storage/state/loader.hpp"

namespace ringgate::sim {

namespace {

const char* const data_dir = "/data";

log::LogOptions log_options(const GatewayOptions& from) {
  log::LogOptions options;
  options.sync = from.sync;
  options.data_dir = data_dir;
  options.segment_size = 256 * 1024;
  options.batch_size = 64 * 1024;
  return options;
}

template <class Value>
Value must(Result<Value> result) {
  if (!result.ok()) FAIL(result.error().message);
  return std::move(result).value();
}

}  // namespace

// ---- Gateway

Gateway::Gateway(io::World& world, const GatewayOptions& options)
    : world_(world),
      logger_({.level = observe::Level::error,
               .delivery = observe::Delivery::immediate,
               .site_limit_per_s = 0,
               .sink = [](std::string_view) {}}) {
  dir_ = must(log::DataDir::open(world.sys(), data_dir));
  recovered_ = must(log::recover(world.sys(), *dir_));
  supply_ = std::make_unique<log::SegmentSupply>(
      world.sys(), log_options(options), dir_->log_path(), dir_->node(), dir_->run(),
      log::SegmentSupply::Mode::inline_now);
  authenticator_ = must(jt808::Authenticator::open(world.sys(), data_dir));
  hub_ = std::make_unique<shard::MailHub>(options.shards, 1);
  if (options.pending) {
    for (ShardIndex i = 0; i < options.shards; ++i) loading_.emplace_back(0);
    tables_ = must(state::load(world.sys(), data_dir, dir_->node(), loading_, {})).tables;
  }
  for (ShardIndex i = 0; i < options.shards; ++i) build(i, options);
  running_ = options.shards;
}

void Gateway::build(ShardIndex index, const GatewayOptions& options) {
  io::Sys& sys = world_.sys();
  auto place = std::make_unique<Place>();
  auto ring = must(io::Ring::open(world_.make_backend(),
                                  {.sq_entries = 512, .cq_entries = 4096, .without = 0}));
  place->shard = std::make_unique<shard::Shard>(
      shard::ShardOptions{.index = index, .count = options.shards, .cpu = -1}, std::move(ring),
      sys);
  place->mail = std::make_unique<shard::MailRoom>(*place->shard, *hub_);
  observe::CounterGroup& counters = registry_.add_shard(index);
  net::LinksOptions links_options = options.links;
  links_options.datagrams = true;
  place->links = must(net::Links::create(*place->shard, *place->mail, counters, links_options));
  place->writer = must(log::Writer::open(*place->shard, log_options(options), *supply_));
  place->devices = std::make_unique<device::DeviceTable>(place->links->budget());
  observe::LogSource& logs = logger_.add_source("shard");
  place->session = std::make_unique<jt808::Session>(
      *place->links, *place->writer, *place->devices, *authenticator_, counters, logs,
      jt808::SessionOptions{.idle_timeout_ms = options.idle_timeout_ms,
                            .auth_timeout_ms = options.idle_timeout_ms,
                            .max_bad_frames = 20,
                            .bad_frame_window_ns = 60 * ns_per_s,
                            .commands = options.commands});
  if (options.pending) add_pending(*place, counters, logs);
  const std::uint8_t protocol = place->links->add_protocol(*place->session);
  const int fd = sys.socket(AF_INET, SOCK_STREAM, 0);
  const int one = 1;
  sys.set_option(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  REQUIRE(sys.bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  REQUIRE(sys.listen(fd, 1024) == 0);
  const int datagram_fd = sys.socket(AF_INET, SOCK_DGRAM, 0);
  sys.set_option(datagram_fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
  REQUIRE(sys.bind(datagram_fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
  place->links->add_listener({.fd = fd,
                              .datagram_fd = datagram_fd,
                              .protocol = protocol,
                              .idle_timeout_ms = options.idle_timeout_ms,
                              .frame_timeout_ms = options.frame_timeout_ms});
  places_.push_back(std::move(place));
}

void Gateway::add_pending(Place& place, observe::CounterGroup& counters,
                          observe::LogSource& logs) {
  place.state = std::make_unique<state::Store>(*place.writer, place.links->budget(),
                                               std::move(tables_[place.shard->index()]));
  place.session->use_state(*place.state);
  place.waits = std::make_unique<log::CommitWaits>(place.shard->watermark());
  place.gate = std::make_unique<jt808::Gate>(*place.session, *place.links, *place.writer,
                                             *place.devices, logs);
  place.pending = std::make_unique<state::Pending>(*place.shard, *place.state, *place.waits,
                                                   dir_->run(), counters);
  place.pending->add(*place.gate, protocol_);
}

Gateway::~Gateway() = default;

void Gateway::turn(MonoNs longest_ns) {
  for (const auto& place : places_) {
    if (!place->running) continue;
    place->running = place->shard->turn(longest_ns);
    if (!place->running) --running_;
  }
  ++turns_;
}

void Gateway::abandon() {
  for (const auto& place : places_) place->writer->abandon();
  supply_->abandon();
}

void Gateway::drain(MonoNs deadline_ns) {
  for (const auto& place : places_) place->shard->request_drain(deadline_ns);
}

std::uint32_t Gateway::live() const {
  std::uint32_t live = 0;
  for (const auto& place : places_) live += place->links->live_count();
  return live;
}

// ---- Vehicle

Vehicle::Vehicle(io::World& world, std::uint64_t number, load::Version version,
                 std::uint32_t in_flight)
    : world_(&world), number_(number), writer_(version), in_flight_(in_flight),
      phone_(load::phone_from_number(number)) {}

void Vehicle::move_to(io::World& world) {
  world_ = &world;
  peer_ = {};
  expected_.clear();
  inbox_.clear();
  stage_ = Stage::away;
}

void Vehicle::finish() {
  finishing_ = true;
  if (stage_ == Stage::away) finished_ = true;
}

void Vehicle::send(std::uint16_t id, std::uint64_t turn) {
  std::uint8_t bytes[load::FrameWriter::frame_bytes_max];
  std::size_t size = 0;
  const std::uint16_t serial = serial_++;
  if (id == 0x0100) {
    size = writer_.register_terminal(bytes, phone_, serial);
  } else if (id == 0x0102) {
    size = writer_.authenticate(bytes, phone_, serial, as_bytes(code_));
  } else {
    size = writer_.report(bytes, phone_, serial, load::bcd_time(world_->sys().wall_now()));
  }
  expected_.push_back({id, serial, turn});
  peer_.send({bytes, size});
}

void Vehicle::step(std::uint64_t turn) {
  if (finished_) return;
  if (stage_ == Stage::away) {
    if (finishing_) {
      finished_ = true;
      return;
    }
    peer_ = world_->connect_ipv4(Gateway::port);
    expected_.clear();
    inbox_.clear();
    stage_ = Stage::connecting;
    return;
  }
  if (peer_.refused() || peer_.was_reset() || peer_.ended()) {
    take(turn);
    peer_.close();
    stage_ = Stage::away;
    return;
  }
  if (stage_ == Stage::connecting && peer_.connected()) {
    stage_ = code_.empty() ? Stage::registering : Stage::authenticating;
    send(code_.empty() ? 0x0100 : 0x0102, turn);
  }
  take(turn);
  if (stage_ != Stage::reporting) return;
  if (finishing_) {
    if (!expected_.empty()) return;
    peer_.shutdown();
    finished_ = true;
    return;
  }
  while (expected_.size() < in_flight_) send(0x0200, turn);
}

void Vehicle::take(std::uint64_t turn) {
  const std::vector<std::uint8_t> more = peer_.take();
  inbox_.insert(inbox_.end(), more.begin(), more.end());
  for (;;) {
    const auto begin = std::find(inbox_.begin(), inbox_.end(), 0x7e);
    if (begin == inbox_.end()) return;
    const auto end = std::find(begin + 1, inbox_.end(), 0x7e);
    if (end == inbox_.end()) return;
    const std::vector<std::uint8_t> inside(begin + 1, end);
    inbox_.erase(inbox_.begin(), end + 1);
    answered(inside, turn);
  }
}

void Vehicle::answered(Bytes inside, std::uint64_t turn) {
  load::ReplyScratch scratch;
  load::Reply reply;
  const load::ReplyKind kind = load::parse_reply(inside, writer_.version(), scratch, reply);
  REQUIRE((kind == load::ReplyKind::general || kind == load::ReplyKind::registered));
  REQUIRE(!expected_.empty());
  const Expected expected = expected_.front();
  expected_.pop_front();
  REQUIRE(reply.serial == expected.serial);  // in frame order, each once
  longest_wait_ = std::max(longest_wait_, turn - expected.turn);
  if (kind == load::ReplyKind::registered) {
    REQUIRE(expected.id == 0x0100);
    if (reply.result != 0) return peer_.close(), void(stage_ = Stage::away);
    code_ = std::string(as_text(reply.code));
    stage_ = Stage::authenticating;
    return send(0x0102, turn);
  }
  REQUIRE(reply.answered_id == expected.id);
  if (reply.result != 0) {
    ++refused_;
    if (expected.id == 0x0200) return;
    peer_.close();
    stage_ = Stage::away;
    return;
  }
  if (expected.id == 0x0102) stage_ = Stage::reporting;
  if (expected.id == 0x0200) acknowledged_.insert(expected.serial);
}

// ---- Crowd

const char* name_of(Nuisance kind) {
  static constexpr const char* names[] = {"wrong digits",  "oversize",  "byte at a time",
                                          "half-open",     "reset",     "port scan",
                                          "TLS hello",     "silence",   "never reads"};
  return names[static_cast<std::size_t>(kind)];
}

Crowd::Crowd(io::World& world, Nuisance kind, std::size_t size)
    : world_(world), kind_(kind), members_(size) {
  load::FrameWriter writer(load::Version::v2013);
  std::uint8_t bytes[load::FrameWriter::frame_bytes_max];
  const std::size_t frame_size =
      writer.register_terminal(bytes, load::phone_from_number(13'911'112'222), 1);
  frame_.assign(bytes, bytes + frame_size);
}

void Crowd::step() {
  for (Member& member : members_) {
    if (!member.connected) {
      if (world_.random(4) != 0) continue;
      member = {world_.connect_ipv4(Gateway::port), 0, true};
      if (kind_ == Nuisance::never_reads) member.peer.pause_reading(true);
      continue;
    }
    if (member.peer.refused() || member.peer.was_reset() || member.peer.ended()) {
      member.peer.close();
      member.connected = false;
      continue;
    }
    if (member.peer.connected()) act(member);
  }
}

void Crowd::act(Member& member) {
  const auto leave = [&member](bool by_reset) {
    if (by_reset) member.peer.reset();
    member.peer.close();
    member.connected = false;
  };
  switch (kind_) {
    case Nuisance::wrong_digits: {
      std::string broken = frame_;
      broken[1 + world_.random(broken.size() - 2)] = static_cast<char>(world_.random(256));
      member.peer.send(as_bytes(broken));
      break;
    }
    case Nuisance::oversize:
      member.peer.send(as_bytes(std::string(3'000, '\x11')));
      break;
    case Nuisance::byte_at_a_time:
      member.peer.send(as_bytes(frame_).subspan(member.sent++ % frame_.size(), 1));
      break;
    case Nuisance::half_open:
      if (member.sent++ == 0) {
        member.peer.send(as_bytes(frame_).first(world_.random(frame_.size())));
      } else if (member.sent == 30) {
        member.peer.vanish();
      }
      break;
    case Nuisance::reset:
      if (member.sent++ == 0) {
        member.peer.send(as_bytes(frame_).first(world_.random(frame_.size())));
      } else {
        leave(true);
      }
      break;
    case Nuisance::port_scan:
      leave(world_.random(2) == 0);
      break;
    case Nuisance::tls_hello:
      if (member.sent++ == 0) {
        std::string hello = "\x16\x03\x01\x02\x01\x01\xfc\x03\x03";
        for (int i = 0; i < 500; ++i) hello += static_cast<char>(world_.random(256));
        member.peer.send(as_bytes(hello));
      } else if (world_.random(20) == 0) {
        leave(false);
      }
      break;
    case Nuisance::silence:
      break;
    case Nuisance::never_reads:
      member.peer.send(as_bytes(frame_));
      break;
    case Nuisance::count:
      break;
  }
}

void Crowd::leave() {
  for (Member& member : members_) {
    if (member.connected) member.peer.close();
    member.connected = false;
  }
}

std::set<std::pair<std::string, std::uint16_t>> stored_reports(io::World& world,
                                                               std::uint64_t& problems) {
  auto reader = must(log::Reader::open(world.sys(), data_dir, {}));
  std::set<std::pair<std::string, std::uint16_t>> stored;
  log::Entry entry;
  while (reader->next(entry)) {
    if (entry.record.kind() != log::Kind::frame_up || entry.record.header.message != 0x0200) {
      continue;
    }
    stored.emplace(std::string(entry.record.device),
                   static_cast<std::uint16_t>(entry.record.header.serial));
  }
  problems += reader->problems().size();
  return stored;
}

}  // namespace ringgate::sim
