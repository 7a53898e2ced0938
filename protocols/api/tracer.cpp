#include "protocols/api/tracer.hpp"

#include <fmt/format.h>

#include <atomic>

#include "engine/observe/log_format.hpp"
#include "protocols/api/stream_limits.hpp"

namespace ringgate::api {

// Hears the shard and writes letters home. Lives as long as the shard or a letter refers to it.
class Tracer::Watch final : public event::TraceWatcher,
                            public std::enable_shared_from_this<Watch> {
 public:
  Watch(shard::Inbox& inbox, const DeviceKey& whom, std::shared_ptr<Tracer*> who)
      : device(whom), tracer(std::move(who)), inbox_(inbox) {}

  void on_frame(bool from_device, WallUs at, Bytes frame) override;  // on the shard

  const DeviceKey device;
  const std::shared_ptr<Tracer*> tracer;  // Feed's thread
  std::atomic<std::uint32_t> waiting{0};  // letters on their way
  std::atomic<std::uint64_t> dropped{0};  // frames for which there was no place
  bool installed = false;                 // on the shard

 private:
  shard::Inbox& inbox_;
};

class Tracer::FrameLetter final : public shard::Letter {
 public:
  FrameLetter(std::shared_ptr<Watch> watch, bool from_device, WallUs at, Bytes frame)
      : watch_(std::move(watch)), from_device_(from_device), at_(at),
        frame_(frame.begin(), frame.end()) {}
  void arrive() override {
    watch_->waiting.fetch_sub(1, std::memory_order_relaxed);
    Tracer* const tracer = *watch_->tracer;
    if (tracer != nullptr) tracer->frame(watch_->device, watch_, from_device_, at_, frame_);
  }

 private:
  std::shared_ptr<Watch> watch_;
  bool from_device_;
  WallUs at_;
  std::vector<std::uint8_t> frame_;
};

void Tracer::Watch::on_frame(bool from_device, WallUs at, Bytes frame) {
  if (waiting.load(std::memory_order_relaxed) >= stream_limits::trace_frames_max) {
    dropped.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  waiting.fetch_add(1, std::memory_order_relaxed);
  inbox_.push(std::make_unique<FrameLetter>(shared_from_this(), from_device, at, frame));
}

Tracer::Tracer(shard::ErrandPost& post, StreamHub& hub, const event::DeviceProtocol& devices,
               const event::MessageCatalog* catalog, ShardIndex shards)
    : post_(post), hub_(hub), devices_(devices), catalog_(catalog), shards_(shards),
      self_(std::make_shared<Tracer*>(this)) {}

Tracer::~Tracer() { *self_ = nullptr; }

Tracer::Traced* Tracer::find(const DeviceKey& device) {
  const auto found = traced_.find(std::string(device.id()));
  return found == traced_.end() ? nullptr : &found->second;
}

Tracer::Client* Tracer::find(const ClientKey& key) {
  for (auto& [device, traced] : traced_) {
    for (Client& client : traced.clients) {
      if (client.key == key) return &client;
    }
  }
  return nullptr;
}

void Tracer::open(const ClientKey& key, const ClientInfo& info, std::string_view device) {
  const auto parsed = devices_.parse_device(device);
  if (!parsed) return hub_.refuse_events(key, 400, parsed.error().message);
  Traced& traced = traced_[std::string(parsed->id())];
  traced.clients.push_back({key, info});
  ++clients_;
  if (traced.installed) return hub_.begin_events(key);
  if (traced.watch != nullptr) return;  // is on its way
  traced.watch = std::make_shared<Watch>(post_.inbox(), *parsed, self_);
  post({*parsed, traced.watch, true});
}

void Tracer::post(Later later) {
  if (!later_.empty() || !send(later)) later_.push_back(std::move(later));
}

bool Tracer::retry() {
  while (!later_.empty() && send(later_.front())) later_.erase(later_.begin());
  return !later_.empty();
}

// False: the shard is busy.
bool Tracer::send(const Later& later) {
  const auto good = std::make_shared<bool>(false);
  const auto run = [watch = later.watch, device = later.device, installs = later.installs, good](
                       shard::ErrandHost& host, shard::ErrandTicket ticket) {
    event::DeviceGate* const gate = event::DeviceGates::of(host).find(device.ns);
    if (gate != nullptr && installs) *good = watch->installed = gate->trace(device, watch.get());
    if (gate != nullptr && !installs && watch->installed) {
      gate->trace(device, nullptr);
      watch->installed = false;
    }
    ticket.done();
  };
  const auto home = [tracer = self_, later, good](bool ran) {
    if (*tracer == nullptr || !later.installs) return;
    (*tracer)->installed(later.device, later.watch, ran && *good);
  };
  auto errand = shard::make_errand(run, home);
  return post_.send(home_shard(later.device, shards_), errand) != shard::Posted::busy;
}

void Tracer::installed(const DeviceKey& device, const std::shared_ptr<Watch>& watch, bool good) {
  Traced* const traced = find(device);
  if (traced == nullptr || traced->watch != watch) return;  // nobody wants it any more
  if (!good) {
    for (const Client& client : traced->clients) {
      hub_.refuse_events(client.key, 409,
                         fmt::format("somebody else traces {} already, or too many are traced",
                                     device.id()));
    }
    clients_ -= traced->clients.size();
    traced_.erase(std::string(device.id()));
    return;
  }
  traced->installed = true;
  for (const Client& client : traced->clients) hub_.begin_events(client.key);
}

void Tracer::gone(const ClientKey& key) {
  for (auto at = traced_.begin(); at != traced_.end(); ++at) {
    Traced& traced = at->second;
    const std::size_t left =
        std::erase_if(traced.clients, [&](const Client& client) { return client.key == key; });
    if (left == 0) continue;
    --clients_;
    if (!traced.clients.empty()) return;
    post({traced.watch->device, traced.watch, false});
    traced_.erase(at);
    return;
  }
}

void Tracer::slow(const ClientKey& key, std::uint32_t queued_bytes) {
  Client* const client = find(key);
  if (client == nullptr) return;
  client->slow = true;
  client->queued_bytes = queued_bytes;
}

void Tracer::room(const ClientKey& key) {
  Client* const client = find(key);
  if (client == nullptr) return;
  client->slow = false;
  client->queued_bytes = 0;
}

std::string Tracer::frame_json(const DeviceKey& device, bool from_device, WallUs at,
                               Bytes bytes) const {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("frame").begin_object();
  char time[observe::time_text_size];
  observe::format_time(time, at);
  json.key("time").text({time, sizeof time});
  json.key("direction").text(from_device ? "up" : "down");
  json.key("device").text(device.id());
  if (catalog_ == nullptr) {
    json.key("frame").hex(bytes);
    json.end_object().end_object();
    return text;
  }
  const std::vector<std::uint8_t> frame = catalog_->redact(bytes);
  if (frame.size() >= 2) {
    json.key("message_id").text(catalog_->message_id_text(load_be16(frame.data())));
  }
  json.key("frame").hex(frame);
  json.key("body");
  catalog_->json(frame, json);
  json.end_object().end_object();
  return text;
}

void Tracer::frame(const DeviceKey& device, const std::shared_ptr<Watch>& watch, bool from_device,
                   WallUs at, Bytes bytes) {
  Traced* const traced = find(device);
  if (traced == nullptr || traced->watch != watch) return;
  const std::uint64_t dropped = watch->dropped.load(std::memory_order_relaxed);
  const std::uint64_t newly = dropped - std::exchange(traced->dropped_seen, dropped);
  const std::string json = frame_json(device, from_device, at, bytes);
  for (Client& client : traced->clients) {
    client.dropped += newly;
    if (!traced->installed || client.slow) {
      ++client.dropped;
      continue;
    }
    if (client.dropped != client.dropped_told) {
      client.dropped_told = client.dropped;
      hub_.tell(client.key, Form::events, fmt::format(R"({{"dropped":{}}})", client.dropped));
    }
    ++client.messages;
    hub_.tell(client.key, Form::events, json);
  }
}

void Tracer::list(std::vector<Consumer>& out) const {
  for (const auto& [device, traced] : traced_) {
    for (const Client& client : traced.clients) {
      Consumer one;
      one.kind = "trace";
      one.who = client.info.who;
      one.address = client.info.address;
      one.state = client.slow ? "coalescing" : "live";
      one.since_us = client.info.since_us;
      one.subscriptions = 1;
      one.messages = client.messages;
      one.queued_bytes = client.queued_bytes;
      one.coalesced = client.dropped;
      out.push_back(std::move(one));
    }
  }
}

}  // namespace ringgate::api
