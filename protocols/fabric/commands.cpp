// Requests for devices: whose they are, doing them, answering them.
#include <fmt/format.h>

#include <algorithm>

#include "engine/base/json_scan.hpp"
#include "engine/base/utf8.hpp"
#include "engine/config/units.hpp"
#include "protocols/fabric/node.hpp"
#include "storage/sink/nats.hpp"
#include "storage/state/shard_host.hpp"

namespace ringgate::fabric {

namespace {

constexpr std::string_view command_prefix = "ringgate.cmd.";
constexpr std::size_t by_size_max = 200;

// Members of a request that are not the device's.
struct Terms {
  MonoNs wait_ns = limits::wait_default_ns;
  std::string by;
  state::DeliveryTerms delivery;
};

// Takes them out. Error: what is wrong with them.
Result<Terms> take_terms(Json& request) {
  Terms terms;
  if (const auto wait = request.find("wait"); wait != request.end()) {
    if (!wait->is_string()) return Error{0, "\"wait\" is a text like \"5s\""};
    const auto parsed = config::parse_duration(wait->get<std::string>());
    if (!parsed) return Error{0, fmt::format("\"wait\": {}", parsed.error().message)};
    if (*parsed < 0 || *parsed > limits::wait_max_ns) {
      return Error{0, fmt::format("\"wait\" lies between 0s and {}s",
                                  limits::wait_max_ns / ns_per_s)};
    }
    terms.wait_ns = *parsed;
    request.erase(wait);
  }
  if (const auto by = request.find("by"); by != request.end()) {
    if (!by->is_string()) return Error{0, "\"by\" is a text"};
    terms.by = cut_utf8(by->get_ref<const std::string&>(), by_size_max);
    request.erase(by);
  }
  const auto delivery = state::read_delivery(request);
  if (!delivery) return delivery.error();
  terms.delivery = *delivery;
  request.erase("deliver");
  request.erase("expires");
  return terms;
}

Result<Json> read_request(const std::string& text) {
  const JsonScan scan = scan_json_object(text, "");
  if (scan.error == JsonScan::Error::too_deep) {
    return Error{0, fmt::format("nested more than {} deep", json_depth_max)};
  }
  if (scan.error != JsonScan::Error::none) {
    return Error{0, fmt::format("no JSON object at byte {}", scan.offset + 1)};
  }
  Json json = Json::parse(text, nullptr, false);
  if (!json.is_object()) return Error{0, "a JSON object is expected"};
  return json;
}

bool is_final(event::CommandStatus status) {
  return status == event::CommandStatus::answered || status == event::CommandStatus::refused ||
         status == event::CommandStatus::sent || status == event::CommandStatus::pending;
}

}  // namespace

void Node::send(Ask ask, Done done) {
  class Call final : public shard::Letter {
   public:
    Call(Node& node, Request request) : node_(node), request_(std::move(request)) {}
    void arrive() override { node_.decide(std::move(request_)); }

   private:
    Node& node_;
    Request request_;
  };
  Request request{.device = ask.device,
                  .json = std::move(ask.json),
                  .by = fmt::format("{}/{}", parts_.node_name, ask.by),
                  .done = std::move(done)};
  post_.inbox().push(std::make_unique<Call>(*this, std::move(request)));
}

void Node::on_command(const sink::NatsMessage& message) {
  const std::string_view reply = sink::reply_of(message);
  if (reply.empty()) return;  // nobody would hear what became of it
  std::string_view token = sink::subject_of(message);
  token.remove_prefix(std::min(token.size(), command_prefix.size()));
  Request request{.json = std::string(sink::data_of(message)), .reply = std::string(reply)};
  const auto device =
      parts_.devices.parse_device(sink::from_subject_token(token));
  if (!device) {
    if (!presence_.stand_in(mono_now())) return;
    return fail(request, "bad-device", device.error().message);
  }
  request.device = *device;
  decide(std::move(request));
}

void Node::decide(Request request) {
  const Verdict verdict = presence_.verdict(request.device, mono_now());
  if (verdict == Verdict::ours) {
    counters_.requests.add(Answered::ours);
    return execute(std::move(request));
  }
  // Of our own process: whoever has the device answers it, as it would answer anybody.
  if (request.done && link_ != nullptr) return forward(std::move(request));
  if (request.done && verdict == Verdict::theirs) {
    return fail(request, "unreachable",
                fmt::format("the device is at node {}, and the fabric is not reached",
                            presence_.last_node(request.device)));
  }
  if (verdict == Verdict::theirs) return counters_.requests.add(Answered::theirs);
  if (!request.looked && !request.done) return wait_and_look(std::move(request));
  counters_.requests.add(Answered::stand_in);
  execute(std::move(request));
}

void Node::wait_and_look(Request request) {
  if (waiting_.size() == limits::waiting_max) {
    counters_.requests.add(Answered::busy);
    return fail(request, "busy", "too many requests wait; try again");
  }
  request.due = mono_now() + limits::look_again_ns;
  waiting_.push_back(std::move(request));
}

void Node::forward(Request request) {
  if (forwarded_.size() == limits::waiting_max) {
    counters_.requests.add(Answered::busy);
    return fail(request, "busy", "too many requests wait; try again");
  }
  auto json = read_request(request.json);
  if (!json) return fail(request, "bad-command", json.error().message);
  Json checked = *json;
  const auto terms = take_terms(checked);
  if (!terms) return fail(request, "bad-request", terms.error().message);
  (*json)["by"] = request.by;
  const std::string subject =
      std::string(command_prefix).append(sink::subject_token(request.device.id()));
  const std::string reply = fmt::format("{}f{:x}", link_->inbox(), ++forwards_);
  // `by` is of whoever asked, and may hold anything.
  const std::string text = json->dump(-1, ' ', false, Json::error_handler_t::replace);
  auto published = link_->publish(subject.c_str(), reply.c_str(), text);
  if (!published) return fail(request, "unreachable", published.error().message);
  counters_.requests.add(Answered::forwarded);
  request.due = mono_now() + terms->wait_ns + limits::answer_margin_ns;
  forwarded_.emplace(reply, std::move(request));
}

void Node::on_answer(const sink::NatsMessage& message) {
  const auto found = forwarded_.find(std::string(sink::subject_of(message)));
  if (found == forwarded_.end()) return;
  const Request request = std::move(found->second);
  forwarded_.erase(found);
  if (sink::is_no_responders(message)) {
    return fail(request, "unreachable", "no node of the fabric listens");
  }
  const std::string_view outcome = sink::data_of(message);
  if (scan_json_object(outcome, "").error != JsonScan::Error::none) {
    return fail(request, "unreachable", "a node of the fabric has answered no JSON object");
  }
  answer(request, std::string(outcome));
}

void Node::execute(Request request) {
  auto json = read_request(request.json);
  if (!json) {
    counters_.requests.add(Answered::bad);
    return fail(request, "bad-command", json.error().message);
  }
  const auto terms = take_terms(*json);
  if (!terms) {
    counters_.requests.add(Answered::bad);
    return fail(request, "bad-request", terms.error().message);
  }
  std::string text = json->dump();
  auto prepared = parts_.devices.prepare(text);
  if (!prepared) {
    counters_.requests.add(Answered::bad);
    return fail(request, "bad-command", prepared.error().message);
  }
  if (executing_ == limits::executing_max) {
    counters_.requests.add(Answered::busy);
    return fail(request, "busy", "too many commands are under way; try again");
  }
  if (request.by.empty()) request.by = terms->by.empty() ? "a client" : terms->by;
  const DeviceKey device = request.device;
  const auto message = json->find("message");
  const bool when_online = terms->delivery.when_online;
  state::Command command{
      .prepared = std::move(*prepared),
      .action = fmt::format("send {}{}",
                            message != json->end() && message->is_string()
                                ? message->get<std::string>() : "",
                            when_online ? " when online" : ""),
      .by = fmt::format("fabric {}", request.by),
      .wait_ns = terms->wait_ns};
  if (when_online) {
    if (auto kept = state::keep(command, std::move(text), terms->delivery); !kept) {
      return fail(request, "too-long", kept.error().message);
    }
  }
  parts_.logs.info("fabric", {{"action", command.action}, {"device", device.id()},
                              {"by", command.by}});
  auto shared = std::make_shared<Request>(std::move(request));
  std::unique_ptr<shard::Errand> errand = std::make_unique<state::SendErrand>(
      device, std::move(command),
      [this, shared](const DeviceKey&, const event::CommandOutcome* outcome) {
        --executing_;
        came_home(*shared, outcome);
      });
  ++executing_;
  const auto posted = post_.send(home_shard(device, post_.shards()), errand);
  if (posted == shard::Posted::ok) return;
  --executing_;
  if (posted == shard::Posted::stopped) return came_home(*shared, nullptr);
  counters_.requests.add(Answered::busy);
  fail(*shared, "busy", "the device's shard is busy; try again");
}

void Node::came_home(const Request& request, const event::CommandOutcome* outcome) {
  // While we tried a link that was dead already, the device has moved: the node that has it got the
  // request too, and its word counts.
  const bool done = outcome != nullptr && is_final(outcome->status);
  const Verdict verdict = presence_.verdict(request.device, mono_now());
  const bool moved = !request.reply.empty() && !request.looked && verdict == Verdict::theirs;
  if (moved && outcome != nullptr && outcome->pending != 0) {
    return forget(request.device, outcome->pending);
  }
  if (moved && !done) return;
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  json.key("device").text(request.device.id());
  json.key("node").text(parts_.node_name);
  const std::string_view last = presence_.last_node(request.device);
  if (outcome != nullptr && outcome->status == event::CommandStatus::unknown && !last.empty()) {
    event::CommandOutcome seen = *outcome;
    seen.status = event::CommandStatus::offline;
    seen.detail = fmt::format("last seen at node {}", last);
    state::json_outcome(&seen, parts_.catalog, json);
  } else {
    state::json_outcome(outcome, parts_.catalog, json);
  }
  json.end_object();
  answer(request, text);
}

// The node that has the device keeps the command, or has done it. Best effort: a device gets it at
// least once.
void Node::forget(const DeviceKey& device, std::uint64_t pending) {
  auto errand = shard::make_errand(
      [device, pending](shard::ErrandHost& host, shard::ErrandTicket ticket) {
        state::ShardHost::of(host).pending().cancel(device, pending, "the device is elsewhere",
                                                    state::PendingHow::moved);
        ticket.done();
      },
      [](bool) {});
  static_cast<void>(post_.send(home_shard(device, post_.shards()), errand));
}

void Node::answer(const Request& request, const std::string& text) {
  if (request.done) return request.done(text);
  if (link_ == nullptr || request.reply.empty()) return;
  const auto sent = link_->publish(request.reply.c_str(), nullptr, text);
  if (sent || sent.error().failure != sink::Failure::bad_record) return;
  fail(request, "too-long", fmt::format("the outcome has {} bytes, more than the server passes on; "
                                        "it stands in the log of node {}", text.size(),
                                        parts_.node_name));
}

void Node::fail(const Request& request, std::string_view code, std::string_view message) {
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  if (request.device.size > 0) json.key("device").text(request.device.id());
  json.key("node").text(parts_.node_name);
  json.key("error").begin_object();
  json.key("code").text(code).key("message").text(message);
  json.end_object().end_object();
  answer(request, text);
}

}  // namespace ringgate::fabric
