// Live traces: the frames of single devices for those who ask, as server-sent events. Several may
// watch one device: its shard copies each frame once. On the Feed's thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/shard/errand.hpp"
#include "protocols/api/stream_hub.hpp"
#include "storage/event/device_gates.hpp"

namespace ringgate::api {

class Tracer {
 public:
  Tracer(shard::ErrandPost& post, StreamHub& hub, const event::DeviceProtocol& devices,
         const event::MessageCatalog* catalog, ShardIndex shards);
  ~Tracer();

  void open(const ClientKey& key, const ClientInfo& info, std::string_view device);
  void gone(const ClientKey& key);
  void slow(const ClientKey& key, std::uint32_t queued_bytes);
  void room(const ClientKey& key);
  // Posts what a full column has refused. Whether something is left.
  bool retry();

  std::size_t clients() const { return clients_; }
  void list(std::vector<Consumer>& out) const;

 private:
  class Watch;
  class FrameLetter;
  struct Client {
    ClientKey key;
    ClientInfo info;
    bool slow = false;
    std::uint64_t queued_bytes = 0;
    std::uint64_t dropped = 0;
    std::uint64_t dropped_told = 0;
    std::uint64_t messages = 0;
  };
  struct Traced {
    std::shared_ptr<Watch> watch;
    bool installed = false;
    std::uint64_t dropped_seen = 0;
    std::vector<Client> clients;
  };
  struct Later {  // installs, or takes away
    DeviceKey device;
    std::shared_ptr<Watch> watch;
    bool installs = false;
  };

  Traced* find(const DeviceKey& device);
  Client* find(const ClientKey& key);
  void installed(const DeviceKey& device, const std::shared_ptr<Watch>& watch, bool good);
  void frame(const DeviceKey& device, const std::shared_ptr<Watch>& watch, bool from_device,
             WallUs at, Bytes bytes);
  std::string frame_json(const DeviceKey& device, bool from_device, WallUs at, Bytes bytes) const;
  bool send(const Later& later);
  void post(Later later);

  shard::ErrandPost& post_;
  StreamHub& hub_;
  const event::DeviceProtocol& devices_;
  const event::MessageCatalog* catalog_;
  ShardIndex shards_;
  std::map<std::string, Traced> traced_;  // by device
  std::vector<Later> later_;
  std::size_t clients_ = 0;
  std::shared_ptr<Tracer*> self_;  // null inside: the tracer has ended
};

}  // namespace ringgate::api
