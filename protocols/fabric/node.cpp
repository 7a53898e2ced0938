#include "protocols/fabric/node.hpp"

#include <fmt/format.h>
#include <poll.h>
#include <signal.h>

#include <chrono>
#include <random>

namespace ringgate::fabric {

namespace {

constexpr MonoNs retry_first_ns = 200 * ns_per_ms;
constexpr MonoNs retry_longest_ns = 5 * ns_per_s;
constexpr int idle_turn_ms = 250;
constexpr int busy_turn_ms = 20;

constexpr observe::MetricSpec requests_spec{
    .name = "ringgate_fabric_requests_total",
    .help = "Requests for devices that were seen, by what became of them here.",
    .label = "became",
    .values = answered_names};
constexpr observe::MetricSpec presence_spec{
    .name = "ringgate_fabric_presence_messages_total",
    .help = "Messages of other nodes about their devices."};
constexpr observe::MetricSpec connects_spec{.name = "ringgate_fabric_connects_total",
                                            .help = "Connections to NATS that were made."};
constexpr observe::MetricSpec connected_spec{.name = "ringgate_fabric_connected",
                                             .help = "1: there is a connection to NATS.",
                                             .kind = observe::MetricKind::gauge};
constexpr observe::MetricSpec nodes_spec{.name = "ringgate_fabric_nodes",
                                         .help = "Nodes that are heard of, with this one.",
                                         .kind = observe::MetricKind::gauge};
constexpr observe::MetricSpec devices_spec{.name = "ringgate_fabric_devices",
                                           .help = "Devices whose node is known.",
                                           .kind = observe::MetricKind::gauge};

}  // namespace

FabricCounters::FabricCounters(observe::CounterGroup& group)
    : requests(group.family<Answered>(requests_spec)),
      presence_messages(group.counter(presence_spec)),
      connects(group.counter(connects_spec)),
      connected(group.gauge(connected_spec)),
      nodes(group.gauge(nodes_spec)),
      devices(group.gauge(devices_spec)) {}

std::unique_ptr<Router> make_router(const Parts& parts) { return std::make_unique<Node>(parts); }

Node::Node(const Parts& parts)
    : parts_(parts),
      counters_(parts.counters),
      post_(parts.errands, parts.producer),
      presence_(parts.node_id, parts.node_name) {
  for (ShardIndex i = 0; i < parts.shards; ++i) {
    watches_.push_back(std::make_unique<ShardWatch>(
        post_.inbox(), [this](const Changes& changes) { on_changes(changes); }));
  }
}

void Node::serve() {
  thread_ = std::thread([this] { run(); });
}

Node::~Node() {
  stop_.stop();
  if (thread_.joinable()) thread_.join();
  // The shards have stopped: what was out is home now or comes with this.
  while (post_.outstanding() > 0) post_.poll();
}

void Node::run() {
  // Signals are the main thread's.
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_BLOCK, &all, nullptr);
  while (!stop_.stopped()) turn();
  for (Request& request : waiting_) fail(request, "stopping", "the gateway is stopping");
  for (auto& [subject, request] : forwarded_) {
    fail(request, "stopping", "the gateway is stopping");
  }
  say_goodbye();
  if (connecting_.valid()) connecting_.wait();
}

void Node::turn() {
  pollfd waits[] = {{post_.fd(), POLLIN, 0},
                    {stop_.fd(), POLLIN, 0},
                    {link_ ? link_->fd() : -1, link_ ? link_->events() : short{0}, 0}};
  const bool busy = connecting_.valid() || !waiting_.empty() || !forwarded_.empty() || list_due_;
  if (::poll(waits, 3, more_ ? 0 : busy ? busy_turn_ms : idle_turn_ms) < 0) return;  // EINTR
  more_ = false;
  post_.poll();
  for (const auto& watch : watches_) {
    if (!watch->waits()) continue;
    auto poke = shard::make_errand(
        [&watch](shard::ErrandHost&, shard::ErrandTicket ticket) {
          watch->flush();
          ticket.done();
        },
        [](bool) {});
    // Busy or stopped: looked at again in the next turn.
    const auto index = static_cast<ShardIndex>(&watch - watches_.data());
    static_cast<void>(post_.send(index, poke));
  }
  if (link_ != nullptr) look_at_link(waits[2].revents != 0);
  if (link_ == nullptr) connect();
  timers();
  if (link_ != nullptr) link_->write_some();
}

void Node::connect() {
  if (connecting_.valid()) return take_connection();
  if (mono_now() < retry_at_) return;
  // libnats waits for a server where it connects; devices of this node do not wait with it.
  connecting_ = std::async(std::launch::async, [this] {
    return sink::NatsLink::connect(parts_.link, &stop_);
  });
}

void Node::take_connection() {
  if (connecting_.wait_for(std::chrono::seconds(0)) != std::future_status::ready) return;
  auto made = connecting_.get();
  if (!made) return lose_connection(made.error());
  link_ = std::move(*made);
  const auto commands = link_->subscribe("ringgate.cmd.*");
  if (!commands) return lose_connection(commands.error());
  const auto news = link_->subscribe("ringgate.presence.*");
  if (!news) return lose_connection(news.error());
  commands_ = *commands;
  news_ = *news;
  counters_.connects.add();
  counters_.connected.set(1);
  parts_.logs.info("fabric joined", {{"server", link_->server()}, {"node", parts_.node_name}});
  told_trouble_.clear();
  retry_after_ = 0;
  came_.clear();
  went_.clear();
  tell("hello");
  listed_at_ = 0;
  list_due_ = true;
}

void Node::lose_connection(const sink::Trouble& trouble) {
  link_.reset();
  counters_.connected.set(0);
  if (trouble.message != told_trouble_) {
    parts_.logs.warn("fabric not reached; trying again", {{"why", trouble.message}});
    told_trouble_ = trouble.message;
  }
  retry_after_ = std::clamp(retry_after_ * 2, retry_first_ns, retry_longest_ns);
  std::minstd_rand random(static_cast<unsigned>(mono_now()));
  const double jitter = std::uniform_real_distribution<double>(0.5, 1.0)(random);
  retry_at_ = mono_now() + static_cast<MonoNs>(static_cast<double>(retry_after_) * jitter);
  // Their answers would have come to an inbox that is gone.
  for (auto& [subject, request] : std::exchange(forwarded_, {})) {
    fail(request, "unreachable", "the fabric's connection broke before an answer came");
  }
}

void Node::look_at_link(bool readable) {
  if (readable) link_->read_some();
  take_messages();
  if (link_->closed()) return lose_connection(link_->trouble("fabric"));
  if (link_->buffered_bytes() > limits::unsent_bytes_max) {
    return lose_connection({.message = fmt::format("{}: reads nothing", link_->server())});
  }
}

void Node::take_messages() {
  std::size_t taken = 0;
  const auto take = [&](std::size_t subscription, auto&& each) {
    for (std::size_t i = 0; i < limits::messages_per_turn && link_ != nullptr; ++i) {
      const sink::NatsMessage message = link_->next(subscription);
      if (message == nullptr) return;
      each(message);
      ++taken;
    }
    more_ = true;
  };
  // News first: they decide about commands.
  take(news_, [this](const sink::NatsMessage& message) { on_presence(message); });
  take(commands_, [this](const sink::NatsMessage& message) { on_command(message); });
  take(sink::NatsLink::inbox_subscription,
       [this](const sink::NatsMessage& message) { on_answer(message); });
}

void Node::timers() {
  const MonoNs now = mono_now();
  while (!waiting_.empty() && waiting_.front().due <= now) {
    Request request = std::move(waiting_.front());
    waiting_.pop_front();
    request.looked = true;
    decide(std::move(request));
  }
  for (auto at = forwarded_.begin(); at != forwarded_.end();) {
    if (at->second.due > now) {
      ++at;
      continue;
    }
    const Request request = std::move(at->second);
    at = forwarded_.erase(at);
    fail(request, "timed-out", "no node of the fabric has answered");
  }
  if (link_ == nullptr) return;
  tell_changes();
  sweep();
  if (list_due_ && now - listed_at_ >= limits::list_every_ns) tell_list();
  if (now - told_at_ >= limits::beat_ns) tell("beat");
  counters_.nodes.set(static_cast<std::int64_t>(presence_.alive(now)));
  counters_.devices.set(static_cast<std::int64_t>(presence_.known()));
}

void Node::say_goodbye() {
  if (link_ == nullptr) return;
  tell("bye");
  // The socket takes it at once, or the server is as good as gone.
  link_->write_some();
  link_.reset();
}

}  // namespace ringgate::fabric
