// The operation `send`: a command to one device, to some, or to all that a filter names. Each
// device's outcome is a line; the end says how many there were of each.
#include <fmt/core.h>

#include <memory>

#include "storage/event/device_filter.hpp"
#include "storage/state/campaign.hpp"
#include "tools/ringgate/control_client.hpp"
#include "tools/ringgate/control_fields.hpp"
#include "tools/ringgate/plugs.hpp"

namespace ringgate::server {

namespace {

constexpr std::uint32_t parallel_default = 50;
constexpr std::uint64_t wait_ms_max = 3600 * 1000;
constexpr WallUs progress_every_us = us_per_s / 4;

class SendOp final : public ControlOp {
 public:
  using ControlOp::ControlOp;

  void start(const Json& request) override {
    const auto command = request.find("command");
    if (command == request.end() || !command->is_object()) {
      return fail("bad-request", "\"command\" is missing: {\"message\": \"text-message\", ...}");
    }
    std::string json = command->dump();
    auto prepared = device_plug().devices->prepare(json);
    if (!prepared) return fail("bad-command", prepared.error().message);
    command_.prepared = std::move(*prepared);
    command_.action = "send " + command->value("message", std::string());
    command_.by = client_.who();
    const auto terms = state::read_delivery(request);
    if (!terms) return fail("bad-request", terms.error().message);
    if (terms->when_online) {
      command_.action += " when online";
      if (auto kept = state::keep(command_, std::move(json), *terms); !kept) {
        return fail("too-large", kept.error().message);
      }
    }
    std::uint64_t wait_ms = 0;
    std::uint64_t parallel = parallel_default;
    if (!read_whole(request, "wait_ms", 0, wait_ms_max, wait_ms) ||
        !read_whole(request, "parallel", 1, control_limits::send_parallel_max, parallel)) {
      return;
    }
    command_.wait_ns = static_cast<MonoNs>(wait_ms) * ns_per_ms;
    campaign_ = std::make_shared<state::Campaign>(
        state::Campaign::Parts{.post = control_.post(),
                               .devices = *device_plug().devices,
                               .command = command_,
                               .parallel = static_cast<std::uint32_t>(parallel),
                               .devices_max = control_limits::send_devices_max},
        [this](const DeviceKey& device, const event::CommandOutcome* outcome) {
          tell_outcome(device, outcome);
        },
        [this] { pump(); });
    if (!read_targets(request)) return;
    ready_ = true;
    pump();
  }

  void pump() override {
    if (!ready_ || ended()) return;
    const state::Campaign::State state =
        campaign_->pump([this] { return client_.has_room(); });
    if (!campaign_->gathering() && !told_) {
      told_ = true;
      tell();
    }
    switch (state) {
      case state::Campaign::State::going: return;
      case state::Campaign::State::busy: return control_.look_again();
      case state::Campaign::State::done: return finish();
      case state::Campaign::State::too_many: return fail_too_many();
      case state::Campaign::State::stopped: return fail_posted(shard::Posted::stopped);
    }
  }

 private:
  // One line for all devices; each has an audit record of its own.
  void tell() {
    const std::vector<DeviceKey>& targets = campaign_->targets();
    const bool one = targets.size() == 1;
    control_.logs().info("control",
                         {{"action", command_.action},
                          {"device", one ? targets[0].id() : std::string_view("several")},
                          {"devices", targets.size()},
                          {"by", client_.who()}});
    if (filtered_) progress(true);
  }

  bool read_targets(const Json& request) {
    if (request.value("all", false)) {
      auto filter = event::DeviceFilter::parse(request.value("filter", std::string()),
                                               device_plug().devices->list_keys());
      if (!filter) {
        end(filter_error(filter.error()));
        return false;
      }
      campaign_->to_all(std::move(*filter));
      filtered_ = true;
      return true;
    }
    std::vector<DeviceKey> targets;
    const auto many = request.find("devices");
    if (many == request.end()) {
      targets.emplace_back();
      if (!read_device(request, targets.back())) return false;
      campaign_->to(std::move(targets));
      return true;
    }
    if (!many->is_array() || many->empty()) {
      fail("bad-request", "\"devices\" is a list of phone numbers as texts");
      return false;
    }
    if (many->size() > control_limits::send_devices_max) {
      fail_too_many();
      return false;
    }
    for (const Json& one : *many) {
      targets.emplace_back();
      if (!read_device(Json{{"device", one}}, targets.back())) return false;
    }
    campaign_->to(std::move(targets));
    return true;
  }

  void fail_too_many() {
    fail("too-many-devices", fmt::format("more than {} devices; use a narrower filter",
                                         control_limits::send_devices_max));
  }

  void tell_outcome(const DeviceKey& device, const event::CommandOutcome* outcome) {
    if (ended()) return;
    std::string text;
    JsonWriter json(text);
    json.begin_object().key("outcome").begin_object();
    json.key("device").text(device.id());
    state::json_outcome(outcome, *device_plug().catalog, json);
    json.end_object().end_object();
    line(text);
    progress(false);
  }

  void progress(bool now) {
    const WallUs time = wall_now_us();
    if (!now && time - progress_us_ < progress_every_us) return;
    progress_us_ = time;
    line(fmt::format(R"({{"progress":{{"done":{},"total":{},"waiting":{}}}}})", campaign_->done(),
                     campaign_->targets().size(), campaign_->outstanding()));
  }

  void finish() {
    std::string text;
    JsonWriter json(text);
    json.begin_object().key("ok").boolean(true);
    json.key("total").unsigned_integer(campaign_->targets().size()).key("by_status");
    campaign_->by_status_json(json);
    json.end_object();
    end(text);
  }

  state::Command command_;
  std::shared_ptr<state::Campaign> campaign_;
  bool ready_ = false;
  bool filtered_ = false;  // not told which devices, but which to look for
  bool told_ = false;
  WallUs progress_us_ = wall_now_us();
};

}  // namespace

std::shared_ptr<ControlOp> make_send_op(Control& control, ControlClient& client) {
  return std::make_shared<SendOp>(control, client);
}

}  // namespace ringgate::server
