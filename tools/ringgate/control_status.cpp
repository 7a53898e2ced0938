// The operation `status` of the control socket: how the gateway is, in one object.
#include "engine/net/counters.hpp"
#include "protocols/jt808/counters.hpp"
#include "storage/log/counters.hpp"
#include "tools/ringgate/control_client.hpp"
#include "tools/ringgate/sinks.hpp"

namespace ringgate::server {

namespace {

void json_sinks(const Sinks& sinks, JsonWriter& json) {
  json.key("sinks").begin_array();
  for (const auto& worker : sinks.workers()) {
    const sink::Status status = worker->status();
    json.begin_object().key("name").text(worker->name());
    json.key("state").text(sink::state_names[static_cast<std::size_t>(status.state)]);
    json.key("lag_s").number(status.lag_s, 3);
    json.key("lag_bytes").unsigned_integer(status.lag_bytes);
    json.key("trouble").boolean(in_trouble(status));
    json.key("error").text(status.last_error).end_object();
  }
  json.end_array();
}

class StatusOp final : public ControlOp {
 public:
  using ControlOp::ControlOp;
  void start(const Json&) override {
    const observe::Registry& registry = control_.registry();
    std::string text;
    JsonWriter json(text);
    json.begin_object().key("ok").boolean(true).key("status").begin_object();
    json.key("version").text(RINGGATE_VERSION);
    json.key("shards").unsigned_integer(control_.post().shards());
    json.key("links").integer(registry.total(net::links_live));
    json.key("devices_online").integer(registry.total(jt808::devices_online));
    json.key("commands_pending").integer(registry.total(state::pending_waiting));
    const double p99_s = static_cast<double>(registry.merged(log::commit_seconds).percentile(99)) /
                         static_cast<double>(ns_per_s);
    json.key("commit_p99_s").number(p99_s, 6);
    if (control_.sinks() != nullptr) json_sinks(*control_.sinks(), json);
    json.end_object().end_object();
    end(text);
  }
};

}  // namespace

std::shared_ptr<ControlOp> make_status_op(Control& control, ControlClient& client) {
  return std::make_shared<StatusOp>(control, client);
}

}  // namespace ringgate::server
