// Operations on commands that wait for their devices: `pending` lists them, `cancel` ends one.
#include <fmt/core.h>

#include "storage/state/send_errand.hpp"
#include "tools/ringgate/control_client.hpp"
#include "tools/ringgate/plugs.hpp"

namespace ringgate::server {

namespace {

std::string row_of(const state::Pending::Listed& one) {
  return state::pending_row(device_plug().devices->id_key(), one);
}

// {"device"}: those of one device in their order; without it all, shard by shard, the next to
// expire first, as fast as the client reads.
class PendingOp final : public ControlOp {
 public:
  using ControlOp::ControlOp;

  void start(const Json& request) override {
    if (!read_whole(request, "limit", 0, UINT32_MAX, limit_)) return;
    if (!request.contains("device")) return pump();
    one_ = true;
    DeviceKey device;
    if (!read_device(request, device)) return;
    ask_host(
        home_of(device),
        [device](ShardHost& host, ShardAnswer& answer) {
          host.pending().list(device, [&](const state::Pending::Listed& listed) {
            answer.lines.push_back(row_of(listed));
          });
        },
        [this](const ShardAnswer& answer) {
          if (!take(answer.lines)) finish();
        });
  }

  void pump() override {
    while (!ended() && !one_ && !asked_ && client_.has_room()) {
      if (shard_ == control_.post().shards()) return finish();
      asked_ = true;
      auto place = std::make_shared<state::Pending::Place>(place_);
      const bool posted = ask_host(
          shard_,
          [place](ShardHost& host, ShardAnswer& answer) {
            answer.done = !host.pending().list(
                *place, state::pending_per_errand,
                [&](const state::Pending::Listed& one) { answer.lines.push_back(row_of(one)); });
          },
          [this, place](const ShardAnswer& answer) {
            asked_ = false;
            if (take(answer.lines)) return;
            place_ = *place;
            if (answer.done) {
              place_ = {};
              ++shard_;
            }
            pump();
          });
      if (!posted) return;
    }
  }

 private:
  // True: that was the last.
  bool take(const std::vector<std::string>& rows) {
    for (const std::string& row : rows) {
      line(R"({"pending":)" + row + "}");
      if (++count_ != limit_) continue;
      finish();
      return true;
    }
    return false;
  }
  void finish() { end(fmt::format(R"({{"ok":true,"pending":{}}})", count_)); }

  std::uint64_t limit_ = 0;  // 0: none
  std::uint64_t count_ = 0;
  bool one_ = false;  // only one device's
  ShardIndex shard_ = 0;
  state::Pending::Place place_;
  bool asked_ = false;
};

// {"device", "id", "why"}.
class CancelOp final : public ControlOp {
 public:
  using ControlOp::ControlOp;

  void start(const Json& request) override {
    DeviceKey device;
    if (!read_device(request, device)) return;
    std::uint64_t id = 0;
    if (!read_whole(request, "id", 1, std::uint64_t{1} << 53, id)) return;
    if (id == 0) return fail("bad-request", "\"id\" is missing: the command's, as `pending` shows");
    const std::string why = request.value("why", std::string());
    ask_host(
        home_of(device),
        [device, id, why, who = client_.who()](ShardHost& host, ShardAnswer& answer) {
          const auto cancelled = state::cancel_pending(host, device, id, {who, why});
          answer.place = static_cast<std::uint64_t>(cancelled);
          answer.done = cancelled == Cancelled::waiting || cancelled == Cancelled::sent;
          answer.durably = answer.done;
        },
        [this, id, device](const ShardAnswer& answer) {
          const auto cancelled = static_cast<Cancelled>(answer.place);
          if (cancelled == Cancelled::none) {
            return fail("unknown-command",
                        fmt::format("no command {} waits for {}", id, device.id()));
          }
          if (cancelled == Cancelled::not_stored) {
            return fail("not-stored", "the log takes nothing now");
          }
          control_.logs().info("control", {{"action", "cancel"}, {"device", device.id()},
                                           {"id", id}, {"by", client_.who()}});
          end(fmt::format(R"({{"ok":true,"was_sent":{}}})", cancelled == Cancelled::sent));
        });
  }

 private:
  using Cancelled = state::Pending::Cancelled;
};

}  // namespace

std::shared_ptr<ControlOp> make_pending_op(std::string_view name, Control& control,
                                           ControlClient& client) {
  if (name == "pending") return std::make_shared<PendingOp>(control, client);
  if (name == "cancel") return std::make_shared<CancelOp>(control, client);
  return nullptr;
}

}  // namespace ringgate::server
