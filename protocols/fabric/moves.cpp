// Commands that wait here for devices which came to other nodes: each is offered to the node that
// has its device, as anybody's request is, and ends here when that node keeps it or has done it.
#include <fmt/format.h>

#include <algorithm>
#include <memory>
#include <optional>

#include "protocols/fabric/node.hpp"

namespace ringgate::fabric {

namespace {

// Whether the node that answered has taken the command: it keeps it, or it was done there.
bool is_taken(const Json& answer) {
  const auto status = answer.find("status");
  if (status == answer.end() || !status->is_string()) return false;
  const std::string& text = status->get_ref<const std::string&>();
  return text == "pending" || text == "answered" || text == "refused" || text == "sent";
}

}  // namespace

void Node::sweep() {
  const MonoNs now = mono_now();
  if (now < sweep_at_) return;
  sweep_at_ = now + limits::sweep_every_ns;
  std::erase_if(moving_, [now](const auto& one) { return one.second <= now; });
  sweeps_.resize(post_.shards());
  if (presence_.alive(now) < 2) return;
  for (ShardIndex shard = 0; shard < post_.shards(); ++shard) sweep_shard(shard);
}

// The next commands of one shard; their devices are looked up here.
void Node::sweep_shard(ShardIndex shard) {
  Sweep& at = sweeps_[shard];
  if (at.asked) return;
  struct Found {
    state::Pending::Place place;
    bool more = false;
    std::vector<Waiting> commands;
  };
  auto found = std::make_shared<Found>();
  found->place = at.place;
  auto errand = shard::make_errand(
      [found](shard::ErrandHost& host, shard::ErrandTicket ticket) {
        found->more = state::ShardHost::of(host).pending().list(
            found->place, limits::sweep_commands, [&](const state::Pending::Listed& one) {
              if (!one.under_way) found->commands.push_back({one.device, one.command.id});
            });
        ticket.done();
      },
      [this, shard, found](bool ran) {
        Sweep& sweep = sweeps_[shard];
        sweep.asked = false;
        sweep.place = ran && found->more ? found->place : state::Pending::Place{};
        for (const Waiting& one : found->commands) {
          if (presence_.is_elsewhere(one.device, mono_now())) move(one);
        }
      });
  at.asked = post_.send(shard, errand) == shard::Posted::ok;
}

// Fetches the command, and offers it to the node that has its device.
void Node::move(const Waiting& one) {
  if (link_ == nullptr || moving_.contains(one.id) || moving_.size() >= limits::moves_max) return;
  auto command = std::make_shared<std::optional<state::PendingCommand>>();
  auto errand = shard::make_errand(
      [one, command](shard::ErrandHost& host, shard::ErrandTicket ticket) {
        state::ShardHost::of(host).pending().list(
            one.device, [&](const state::Pending::Listed& listed) {
              if (listed.command.id == one.id && !listed.under_way) *command = listed.command;
            });
        ticket.done();
      },
      [this, one, command](bool ran) {
        if (ran && *command && link_ != nullptr) offer(one, **command);
      });
  if (post_.send(home_shard(one.device, post_.shards()), errand) != shard::Posted::ok) return;
  moving_[one.id] = mono_now() + limits::move_again_ns;
}

void Node::offer(const Waiting& one, const state::PendingCommand& command) {
  Json json = Json::parse(command.json, nullptr, false);
  const std::int64_t left_s = (command.expires_us - wall_now()) / us_per_s;
  if (!json.is_object() || left_s <= 0) return;
  json["deliver"] = "when_online";
  json["expires"] = left_s;
  json["wait"] = "0s";
  Request request{.device = one.device,
                  .json = json.dump(),
                  .by = fmt::format("{}/{}", parts_.node_name, command.by)};
  request.done = [this, one](const std::string& text) {
    const Json answer = Json::parse(text, nullptr, false);
    if (!answer.is_object() || !is_taken(answer)) return;
    forget(one.device, one.id);
    moving_.erase(one.id);
  };
  parts_.logs.info("waiting command offered to the node of its device",
                   {{"device", one.device.id()}, {"id", one.id}});
  forward(std::move(request));
}

}  // namespace ringgate::fabric
