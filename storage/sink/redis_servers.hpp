// One Redis server, or the masters of a Redis Cluster, as one place for commands: each command goes
// to the server of its key's slot, and again to another one where the cluster has moved it
// (MOVED, ASK). Used by one thread.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "storage/sink/redis_link.hpp"

namespace ringgate::sink {

constexpr std::uint16_t redis_slots = 16384;
// CRC16 of the key, or of what stands in its first {...}. // Redis Cluster Specification
std::uint16_t redis_slot(std::string_view key);

// Commands with the key that each goes by.
class RedisBatch {
 public:
  // Add the arguments to what this returns.
  RedisCommands& command(std::string_view key, std::size_t arguments);
  std::size_t size() const { return commands_.size(); }
  bool empty() const { return commands_.empty(); }
  void clear();

 private:
  friend class RedisServers;
  struct Place {
    std::uint16_t slot = 0;
    std::size_t begin = 0;  // in the bytes
  };
  std::string_view bytes_of(std::size_t index) const;
  RedisCommands all_;
  std::vector<Place> commands_;
};

class RedisServers {
 public:
  // The first of the url's servers that can be written: a node of a cluster, which knows the
  // others, or a master. `scripts`: Lua sources that every server is given, again where it lost
  // them.
  static Result<std::unique_ptr<RedisServers>, Trouble> connect(
      const RedisUrl& url, const RedisLinkOptions& options, std::vector<std::string> scripts,
      const StopSignal& stop);

  bool cluster() const { return cluster_; }
  std::size_t servers() const { return links_.size(); }
  // What EVALSHA calls the script.
  const std::string& script(std::size_t index) const { return digests_[index]; }

  // Runs the batch. visit(index, reply) is called once for each command, in any order, never with
  // an error. An error reply ends it; commands behind may have been done all the same.
  using Visit = std::function<void(std::size_t index, const redisReply& reply)>;
  Result<void, Trouble> run(const RedisBatch& batch, const Visit& visit);

 private:
  // Commands that still wait for a good reply.
  struct Again {
    std::size_t index = 0;
    RedisLink* link = nullptr;
    bool asking = false;
  };

  RedisServers(const RedisUrl& url, const RedisLinkOptions& options, const StopSignal& stop)
      : url_(url), options_(options), stop_(stop) {}
  Result<void, Trouble> begin(std::unique_ptr<RedisLink> link);
  Result<void, Trouble> load_scripts(RedisLink& link);
  Result<void, Trouble> learn_slots(RedisLink& link);
  Result<RedisLink*, Trouble> link_to(const std::string& host, const std::string& port);
  Result<void, Trouble> run_once(const RedisBatch& batch, const std::vector<Again>& wanted,
                                 const Visit& visit, std::vector<Again>& again);
  Result<void, Trouble> follow(std::string_view text, Again& again);

  RedisUrl url_;
  RedisLinkOptions options_;
  const StopSignal& stop_;
  std::vector<std::string> scripts_;
  std::vector<std::string> digests_;
  bool cluster_ = false;
  std::map<std::string, std::unique_ptr<RedisLink>> links_;  // by "host:port"
  std::vector<RedisLink*> slots_;                            // by slot; of a cluster
  RedisLink* first_ = nullptr;
};

}  // namespace ringgate::sink
