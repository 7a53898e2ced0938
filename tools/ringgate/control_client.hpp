// One client of the control socket and the operation that it waits for. Control thread only.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "storage/event/device_gates.hpp"
#include "storage/state/shard_host.hpp"
#include "tools/ringgate/control.hpp"

namespace ringgate::server {

using Json = nlohmann::json;

class ControlClient;
using state::ShardHost;

// What an errand found on a shard. Filled there, read at home.
struct ShardAnswer {
  bool done = false;
  bool durably = false;  // home only when what it changed is durable
  std::uint32_t cursor = 0;
  std::uint64_t place = 0;  // in a table that is listed
  std::string text;
  std::vector<std::string> lines;
};

// A request that is being answered. Owned by its client; errands hold it weakly, so that a client
// that goes takes its operation along.
class ControlOp : public std::enable_shared_from_this<ControlOp> {
 public:
  ControlOp(Control& control, ControlClient& client) : control_(control), client_(client) {}
  virtual ~ControlOp() = default;
  ControlOp(const ControlOp&) = delete;
  ControlOp& operator=(const ControlOp&) = delete;

  virtual void start(const Json& request) = 0;
  // Each turn of the thread while the client has room for output.
  virtual void pump() {}

 protected:
  using Work = std::function<void(event::DeviceGate& gate, ShardAnswer& answer)>;
  // Null: the shard has stopped.
  using Then = std::function<void(const ShardAnswer* answer)>;
  // Has `work` done on the gate of a shard; `then` follows here, unless this operation has ended.
  shard::Posted ask(ShardIndex shard, Work work, Then then);
  // The same, where busy and stopped end the operation with an error.
  void ask_or_fail(ShardIndex shard, Work work, Then then);
  // The same on the shard's rooms. False: it has ended.
  using HostWork = std::function<void(ShardHost& host, ShardAnswer& answer)>;
  bool ask_host(ShardIndex shard, HostWork work, std::function<void(const ShardAnswer&)> then);
  void ask_all(Work work, std::function<void(const std::vector<ShardAnswer>& answers)> then);

  // Finds "device" in the request; ends with an error where there is none.
  bool read_device(const Json& request, DeviceKey& out);
  // The whole number `key`, if it is there, into `out`; ends with an error where it is something
  // else, or not between `least` and `most` (below 2^53). The library's own conversion wraps.
  bool read_whole(const Json& request, const char* key, std::uint64_t least, std::uint64_t most,
                  std::uint64_t& out);
  ShardIndex home_of(const DeviceKey& device) {
    return home_shard(device, control_.post().shards());
  }

  void line(std::string_view json);
  void end(std::string_view json);
  void fail(std::string_view code, std::string_view message);
  void fail_posted(shard::Posted posted);
  bool ended() const { return ended_; }

  Control& control_;
  ControlClient& client_;

 private:
  shard::Posted post(ShardIndex shard, HostWork work, Then then);
  bool ended_ = false;
};

class ControlClient {
 public:
  ControlClient(Control& control, int fd);
  ~ControlClient();
  ControlClient(const ControlClient&) = delete;
  ControlClient& operator=(const ControlClient&) = delete;

  int fd() const { return fd_; }
  short events() const;  // that poll() should wait for
  // After poll(). Reads, writes, goes on with the operation. False: the client has gone.
  bool turn(short happened, std::size_t& lines_bytes);
  // "alice (uid 1000, pid 4711)": for audit records.
  const std::string& who() const { return who_; }
  bool has_room() const { return unread() < control_limits::unread_soft_bytes; }
  bool wants_turn() const { return op_ != nullptr && has_room(); }

  void line(std::string_view json);
  void end_operation() { op_ended_ = true; }
  // The gateway ends: says so to a client that waits.
  void stop();

 private:
  std::size_t unread() const { return out_.size() - out_sent_; }
  bool read_more();
  bool write_more();
  void next_request();
  void begin(std::string_view text);
  void refuse(std::string_view code, std::string_view message);

  Control& control_;
  int fd_;
  std::string who_;
  std::string in_;
  std::size_t in_seen_ = 0;  // bytes of `in_` that hold no newline
  std::string out_;
  std::size_t out_sent_ = 0;
  bool finished_ = false;  // sends nothing more
  bool cut_ = false;
  bool op_ended_ = false;
  std::shared_ptr<ControlOp> op_;
};

// Null: there is no such operation.
std::shared_ptr<ControlOp> make_control_op(std::string_view name, Control& control,
                                           ControlClient& client);
std::shared_ptr<ControlOp> make_send_op(Control& control, ControlClient& client);
std::shared_ptr<ControlOp> make_reload_op(Control& control, ControlClient& client);
std::shared_ptr<ControlOp> make_sink_op(Control& control, ControlClient& client);
std::shared_ptr<ControlOp> make_status_op(Control& control, ControlClient& client);
std::shared_ptr<ControlOp> make_trace_op(Control& control, ControlClient& client);
// Null: it is none of these.
std::shared_ptr<ControlOp> make_pending_op(std::string_view name, Control& control,
                                           ControlClient& client);
std::shared_ptr<ControlOp> make_token_op(std::string_view name, Control& control,
                                         ControlClient& client);
// Null: it is none of the registry's.
std::shared_ptr<ControlOp> make_registry_op(std::string_view name, Control& control,
                                            ControlClient& client);

// {"ok":false,"error":{"code","message"}}
std::string control_error(std::string_view code, std::string_view message);

}  // namespace ringgate::server
