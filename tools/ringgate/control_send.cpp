// The operation `send`: a command to one device, to some, or to all that a filter names. Each
// device's outcome is a line; the end says how many there were of each.
#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <optional>

#include "storage/event/device_filter.hpp"
#include "storage/event/json_fields.hpp"
#include "storage/state/send_errand.hpp"
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
    parallel_ = static_cast<std::uint32_t>(parallel);
    if (!read_targets(request)) return;
    ready_ = true;
    if (!gathering_) tell();
    pump();
  }

  void pump() override {
    if (!ready_ || ended()) return;
    if (gathering_) return gather();
    while (!ended() && next_ < targets_.size() && outstanding_ < parallel_ && client_.has_room()) {
      if (!send_next()) return;
    }
    if (outstanding_ == 0 && next_ == targets_.size()) finish();
  }

 private:
  // One line for all devices; each has an audit record of its own.
  void tell() {
    const bool one = targets_.size() == 1;
    control_.logs().info("control",
                         {{"action", command_.action},
                          {"device", one ? targets_[0].id() : std::string_view("several")},
                          {"devices", targets_.size()},
                          {"by", client_.who()}});
  }

  bool read_targets(const Json& request) {
    if (request.value("all", false)) {
      auto filter = event::DeviceFilter::parse(request.value("filter", std::string()),
                                               device_plug().devices->list_keys());
      if (!filter) {
        end(filter_error(filter.error()));
        return false;
      }
      filter_ = std::move(*filter);
      gathering_ = true;
      return true;
    }
    const auto many = request.find("devices");
    if (many == request.end()) {
      targets_.emplace_back();
      return read_device(request, targets_.back());
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
      targets_.emplace_back();
      if (!read_device(Json{{"device", one}}, targets_.back())) return false;
    }
    return true;
  }

  void fail_too_many() {
    fail("too-many-devices", fmt::format("more than {} devices; use a narrower filter",
                                         control_limits::send_devices_max));
  }

  // All devices that the filter names, page by page.
  void gather() {
    while (!ended() && !asked_) {
      if (shard_ == control_.post().shards()) {
        gathering_ = false;
        tell();
        progress(true);
        return pump();
      }
      const shard::Posted posted = ask(
          shard_,
          [cursor = cursor_](event::DeviceGate& gate, ShardAnswer& answer) {
            answer.cursor = gate.list(cursor, control_limits::devices_per_errand, answer.lines);
          },
          [this](const ShardAnswer* answer) {
            asked_ = false;
            if (answer == nullptr) return fail_posted(shard::Posted::stopped);
            take(*answer);
          });
      if (posted == shard::Posted::stopped) return fail_posted(posted);
      if (posted == shard::Posted::busy) return control_.look_again();
      asked_ = true;
    }
  }

  void take(const ShardAnswer& answer) {
    for (const std::string& row : answer.lines) {
      const event::JsonFields fields(row);
      if (!filter_->matches(fields, wall_now_us())) continue;
      const event::FieldValue id = fields.field(device_plug().devices->id_key());
      const std::string* text = std::get_if<std::string>(&id);
      if (text == nullptr) continue;
      if (targets_.size() == control_limits::send_devices_max) {
        return fail_too_many();
      }
      targets_.emplace_back(device_plug().devices->ns(), *text);
    }
    cursor_ = answer.cursor;
    if (cursor_ == 0) ++shard_;
  }

  bool send_next() {
    const DeviceKey& device = targets_[next_];
    std::unique_ptr<shard::Errand> errand = std::make_unique<state::SendErrand>(
        device, command_,
        [weak = weak_from_this()](const DeviceKey& key, const event::CommandOutcome* outcome) {
          const auto self = std::static_pointer_cast<SendOp>(weak.lock());
          if (self != nullptr && !self->ended()) self->came_home(key, outcome);
        });
    const shard::Posted posted = control_.post().send(home_of(device), errand);
    if (posted == shard::Posted::busy) {
      control_.look_again();
      return false;
    }
    ++next_;
    ++outstanding_;
    if (posted == shard::Posted::stopped) came_home(device, nullptr);
    return true;
  }

  void came_home(const DeviceKey& device, const event::CommandOutcome* outcome) {
    --outstanding_;
    ++done_;
    std::string text;
    JsonWriter json(text);
    json.begin_object().key("outcome").begin_object();
    json.key("device").text(device.id());
    if (outcome == nullptr) {
      ++stopped_;
    } else {
      ++by_status_[static_cast<std::size_t>(outcome->status)];
    }
    state::json_outcome(outcome, *device_plug().catalog, json);
    json.end_object().end_object();
    line(text);
    progress(false);
  }

  void progress(bool now) {
    const WallUs time = wall_now_us();
    if (!now && time - progress_us_ < progress_every_us) return;
    progress_us_ = time;
    line(fmt::format(R"({{"progress":{{"done":{},"total":{},"waiting":{}}}}})", done_,
                     targets_.size(), outstanding_));
  }

  void finish() {
    std::string text;
    JsonWriter json(text);
    json.begin_object().key("ok").boolean(true).key("total").unsigned_integer(targets_.size());
    json.key("by_status").begin_object();
    for (std::size_t i = 0; i < by_status_.size(); ++i) {
      if (by_status_[i] == 0) continue;
      json.key(event::name_of(static_cast<event::CommandStatus>(i)))
          .unsigned_integer(by_status_[i]);
    }
    if (stopped_ != 0) json.key("stopping").unsigned_integer(stopped_);
    json.end_object().end_object();
    end(text);
  }

  state::Command command_;
  std::uint32_t parallel_ = parallel_default;
  bool ready_ = false;

  std::optional<event::DeviceFilter> filter_;
  bool gathering_ = false;
  bool asked_ = false;
  ShardIndex shard_ = 0;
  std::uint32_t cursor_ = 0;

  std::vector<DeviceKey> targets_;
  std::size_t next_ = 0;
  std::uint32_t outstanding_ = 0;
  std::size_t done_ = 0;
  std::size_t stopped_ = 0;
  std::array<std::size_t, static_cast<std::size_t>(event::CommandStatus::count)> by_status_{};
  WallUs progress_us_ = wall_now_us();
};

}  // namespace

std::shared_ptr<ControlOp> make_send_op(Control& control, ControlClient& client) {
  return std::make_shared<SendOp>(control, client);
}

}  // namespace ringgate::server
