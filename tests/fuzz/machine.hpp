// A whole gateway on a simulated machine for fuzzers: shards with links over TCP and UDP, the log,
// blobs, the JT/T 808 session with its gate, and the attachment server, wired as the server wires
// them. Whatever must hold ends the program when it does not.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/device/device_table.hpp"
#include "engine/io/sim.hpp"
#include "engine/net/links.hpp"
#include "engine/observe/counter.hpp"
#include "engine/observe/logger.hpp"
#include "protocols/jt808/attachment/server.hpp"
#include "protocols/jt808/authenticator.hpp"
#include "protocols/jt808/gate.hpp"
#include "protocols/jt808/prepared.hpp"
#include "protocols/jt808/session.hpp"
#include "storage/blob/keeper.hpp"
#include "storage/blob/shard_store.hpp"
#include "storage/state/shard_host.hpp"
#include "storage/log/data_dir.hpp"
#include "storage/log/recovery.hpp"
#include "storage/log/supply.hpp"
#include "storage/log/writer.hpp"

namespace ringgate::fuzz {

inline void require(bool condition) {
  if (!condition) __builtin_trap();
}

template <class Value>
Value must(Result<Value> result) {
  require(result.ok());
  return std::move(result).value();
}

// Reads an input from its front; zeros where it ends.
class Input {
 public:
  explicit Input(Bytes bytes) : left_(bytes) {}
  bool empty() const { return left_.empty(); }
  std::uint8_t u8() {
    if (left_.empty()) return 0;
    const std::uint8_t value = left_.front();
    left_ = left_.subspan(1);
    return value;
  }
  std::uint16_t u16() {
    const std::uint16_t high = u8();
    return static_cast<std::uint16_t>(high << 8 | u8());
  }
  Bytes take(std::size_t size) {
    const Bytes taken = left_.first(std::min(size, left_.size()));
    left_ = left_.subspan(taken.size());
    return taken;
  }

 private:
  Bytes left_;
};

class Machine {
 public:
  static constexpr std::uint16_t port = 7808;
  static constexpr std::uint16_t attachment_port = 7812;

  struct Place {
    std::unique_ptr<shard::Shard> shard;
    std::unique_ptr<shard::MailRoom> mail;
    state::ShardHost gates;
    std::unique_ptr<log::CommitWaits> waits;
    std::unique_ptr<shard::ErrandRoom> errands;
    std::unique_ptr<net::Links> links;
    std::unique_ptr<log::Writer> writer;
    std::unique_ptr<blob::Store> blobs;
    std::unique_ptr<device::DeviceTable> devices;
    std::unique_ptr<jt808::Session> session;
    std::unique_ptr<jt808::Gate> gate;
    std::unique_ptr<state::Pending> pending;
    std::unique_ptr<jt808::AttachmentServer> attachments;
    bool running = true;
  };

  // `expectations` is large: one for all machines.
  Machine(io::World& world, ShardIndex shards, jt808::Expectations& expectations)
      : world_(world),
        logger_({.level = observe::Level::debug,
                 .delivery = observe::Delivery::immediate,
                 .site_limit_per_s = 0,
                 .sink = [this](std::string_view line) { log_bytes_ += line.size(); }}),
        hub_(shards, 1),
        errands_(hub_),
        expectations_(expectations) {
    io::Sys& sys = world.sys();
    dir_ = must(log::DataDir::open(sys, data_dir));
    must_recover();
    log_.data_dir = data_dir;
    log_.segment_size = log::segment_size_min;
    log_.batch_size = log::batch_size_for(log_.segment_size);
    blob_.data_dir = data_dir;
    blob_.max_size = 1U << 20;
    blob_.device_uploads = 4;
    blob_.buffers_bytes = 4 * blob::buffer_bytes;
    blob_.min_free = 1U << 20;
    supply_ = std::make_unique<log::SegmentSupply>(sys, log_, dir_->log_path(), dir_->node(),
                                                   dir_->run(),
                                                   log::SegmentSupply::Mode::inline_now);
    keeper_ = must(blob::Keeper::open(sys, blob_, dir_->run(), blob::Keeper::Mode::inline_now));
    authenticator = must(jt808::Authenticator::open(sys, data_dir));
    for (ShardIndex i = 0; i < shards; ++i) places.push_back(build(i, shards));
    running_ = shards;
  }

  void turn(MonoNs longest_ns) {
    for (const auto& place : places) {
      if (!place->running) continue;
      place->running = place->shard->turn(longest_ns);
      if (!place->running) --running_;
    }
  }
  void drain(MonoNs deadline_ns) {
    for (const auto& place : places) place->shard->request_drain(deadline_ns);
  }
  bool stopped() const { return running_ == 0; }
  Place& home_of(const DeviceKey& device) {
    return *places[home_shard(device, static_cast<unsigned>(places.size()))];
  }

  // For a control plane: its thread is control_producer.
  shard::ErrandHub& errands() { return errands_; }
  std::uint32_t control_producer() const { return hub_.control_producer(0); }
  const observe::Registry& registry() const { return registry_; }
  observe::Logger& logger() { return logger_; }

  static constexpr const char* data_dir = "/data";

 private:
  void must_recover() { require(log::recover(world_.sys(), *dir_).ok()); }

  std::unique_ptr<Place> build(ShardIndex index, ShardIndex shards) {
    auto place = std::make_unique<Place>();
    place->shard = std::make_unique<shard::Shard>(
        shard::ShardOptions{.index = index, .count = shards, .cpu = -1},
        must(io::Ring::open(world_.make_backend(), {.sq_entries = 64, .cq_entries = 512})),
        world_.sys());
    place->mail = std::make_unique<shard::MailRoom>(*place->shard, hub_);
    place->errands = std::make_unique<shard::ErrandRoom>(*place->shard, *place->mail, errands_,
                                                         place->gates);
    observe::CounterGroup& counters = registry_.add_shard(index);
    observe::LogSource& logs = logger_.add_source("shard");
    place->links = must(net::Links::create(
        *place->shard, *place->mail, counters,
        {.links_max = 8, .memory_limit_bytes = 32U << 20, .datagrams = true}));
    place->writer = must(log::Writer::open(*place->shard, log_, *supply_));
    place->blobs = std::make_unique<blob::Store>(*place->shard, *place->writer, *keeper_, counters,
                                                 logs);
    place->devices = std::make_unique<device::DeviceTable>(place->links->budget());
    place->session = std::make_unique<jt808::Session>(
        *place->links, *place->writer, *place->devices, *authenticator, counters, logs,
        jt808::SessionOptions{.idle_timeout_ms = 60'000,
                              .auth_timeout_ms = 30'000,
                              .max_bad_frames = 20,
                              .bad_frame_window_ns = 60 * ns_per_s,
                              .commands = {.timeout_ns = ns_per_s, .queue = 8}});
    place->session->use_uploads(*place->blobs);
    place->session->commands().use_expectations(expectations_);
    place->gate = std::make_unique<jt808::Gate>(*place->session, *place->links, *place->writer,
                                                *place->devices, logs);
    place->gates.add(*place->gate);
    place->waits = std::make_unique<log::CommitWaits>(place->shard->watermark());
    state::Store& store = *place->session->oversight().state;
    place->gates.use(store, *place->waits, *place->writer, *place->devices);
    place->pending = std::make_unique<state::Pending>(*place->shard, store, *place->waits,
                                                      place->writer->stream().run, counters);
    place->pending->add(*place->gate, protocol_);
    place->gates.use(*place->pending);
    place->attachments = std::make_unique<jt808::AttachmentServer>(
        *place->links, *place->writer, *place->blobs, expectations_, counters, logs,
        jt808::AttachmentOptions{.max_file_size = 1U << 20,
                                 .max_files = 4,
                                 .max_resends = 3,
                                 .upload_timeout_ns = 60 * ns_per_s});
    listen(*place, *place->session, port, true);
    listen(*place, *place->attachments, attachment_port, false);
    return place;
  }

  void listen(Place& place, net::Protocol& protocol, std::uint16_t at, bool datagrams) {
    io::Sys& sys = world_.sys();
    const int one = 1;
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(at);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    const auto open = [&](int type) {
      const int fd = sys.socket(AF_INET, type, 0);
      sys.set_option(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
      require(sys.bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
      return fd;
    };
    const int fd = open(SOCK_STREAM);
    require(sys.listen(fd, 16) == 0);
    const int datagram_fd = datagrams ? open(SOCK_DGRAM) : -1;
    place.links->add_listener({.fd = fd,
                               .datagram_fd = datagram_fd,
                               .protocol = place.links->add_protocol(protocol),
                               .idle_timeout_ms = 60'000,
                               .frame_timeout_ms = 5'000});
  }

  io::World& world_;
  observe::Registry registry_;
  std::size_t log_bytes_ = 0;
  observe::Logger logger_;
  shard::MailHub hub_;
  shard::ErrandHub errands_;
  jt808::Expectations& expectations_;
  jt808::DeviceProtocol protocol_;
  log::LogOptions log_;
  blob::BlobOptions blob_;
  std::unique_ptr<log::DataDir> dir_;
  std::unique_ptr<log::SegmentSupply> supply_;
  std::unique_ptr<blob::Keeper> keeper_;
  ShardIndex running_ = 0;

 public:  // last: they end first
  std::unique_ptr<jt808::Authenticator> authenticator;
  std::vector<std::unique_ptr<Place>> places;
};

}  // namespace ringgate::fuzz
