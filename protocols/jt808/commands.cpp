#include "protocols/jt808/commands.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "engine/base/json_writer.hpp"
#include "protocols/jt808/codec/ids.hpp"
#include "protocols/jt808/codec/whole.hpp"
#include "protocols/jt808/limits.hpp"
#include "protocols/jt808/terminal_state.hpp"

namespace ringgate::jt808 {

namespace {

using event::CommandStatus;
using Rule = Answer::Rule;

constexpr std::string_view status_labels[] = {"answered",  "refused",     "sent",    "timed_out",
                                              "offline",   "unknown",     "link_lost", "busy",
                                              "not_stored", "unsupported", "expired", "pending"};
static_assert(std::size(status_labels) == static_cast<std::size_t>(CommandStatus::count));

constexpr observe::MetricSpec outcomes{.name = "ringgate_jt808_commands_total",
                                       .help = "Commands to terminals that ended, by outcome.",
                                       .label = "status",
                                       .values = status_labels};
constexpr observe::MetricSpec retransmissions{
    .name = "ringgate_jt808_command_retransmissions_total",
    .help = "Commands sent once more because no answer came, or on a terminal's next link."};
constexpr observe::MetricSpec strays{
    .name = "ringgate_jt808_stray_answers_total",
    .help = "Answers of terminals that no command waits for: late, repeated or mistaken."};
constexpr observe::MetricSpec in_flight{.name = "ringgate_jt808_commands_in_flight",
                                        .help = "Commands sent and not answered.",
                                        .kind = observe::MetricKind::gauge};
constexpr observe::MetricSpec queued{.name = "ringgate_jt808_commands_queued",
                                     .help = "Commands that wait for others of their device.",
                                     .kind = observe::MetricKind::gauge};
constexpr observe::MetricSpec latency{.name = "ringgate_jt808_command_seconds",
                                      .help = "From a command's submission to its answer.",
                                      .kind = observe::MetricKind::histogram};

Version version_of(const Peer& peer) { return peer.size == 11 ? Version::v2019 : Version::v2013; }

bool same_peer(const Peer& a, const Peer& b) { return std::memcmp(&a, &b, sizeof a) == 0; }

bool overlap(const Sent& a, std::uint16_t first, std::uint32_t parts) {
  return a.has(first) || static_cast<std::uint16_t>(a.first_serial - first) < parts;
}

constexpr std::string_view stopping_text = "the gateway stops";

}  // namespace

CommandOptions command_options(const config::Settings& settings) {
  return {.timeout_ns = settings.duration_ns("jt808.command_timeout"),
          .retries = static_cast<std::uint32_t>(settings.integer("jt808.command_retries")),
          .window = static_cast<std::uint32_t>(settings.integer("jt808.command_window")),
          .queue = static_cast<std::uint32_t>(settings.integer("jt808.command_queue"))};
}

CommandCounters::CommandCounters(observe::CounterGroup& group)
    : outcomes(group.family<CommandStatus>(jt808::outcomes)),
      retransmissions(group.counter(jt808::retransmissions)), strays(group.counter(jt808::strays)),
      in_flight(group.gauge(jt808::in_flight)), queued(group.gauge(jt808::queued)),
      latency(group.histogram(jt808::latency)) {}

Commands::Commands(net::Links& links, log::Writer& log, device::DeviceTable& devices,
                   Downlink& downlink, observe::CounterGroup& counters,
                   const CommandOptions& options)
    : links_(links), log_(log), devices_(devices), downlink_(downlink), counters_(counters),
      options_(options) {
  links_.shard().add_hook(*this);
  links_.shard().watermark().listen(*this);
}

Commands::~Commands() {
  for (auto& [slot, queue] : queues_) links_.shard().cancel(queue->timer);
  links_.budget().release(std::uint64_t{total_} * sizeof(Command));
}

// ---- Submission

void Commands::send(const DeviceKey& device, std::shared_ptr<const event::PreparedCommand> command,
                    MonoNs wait_ns, std::unique_ptr<event::CommandWaiter> waiter) {
  const auto message = std::dynamic_pointer_cast<const PreparedMessage>(command);
  RG_CHECK(message != nullptr && waiter != nullptr);
  ++total_;
  links_.budget().charge(sizeof(Command));
  const device::DeviceSlot slot = devices_.find(device);
  const auto [status, detail] = admission(slot, *message);
  if (status != CommandStatus::count) {
    Ended ended;
    ended.device = device;
    ended.waiter = std::move(waiter);
    ended.outcome.status = status;
    ended.outcome.detail = detail;
    ended.message = message->id;
    return finish(std::move(ended));
  }
  auto& queue = queues_[slot];
  if (queue == nullptr) {
    queue = std::make_unique<Queue>(*this, slot);
    devices_.at(slot).has_commands = true;
  }
  auto made = std::make_unique<Command>();
  const MonoNs now = links_.shard().now();
  made->message = message;
  made->waiter = std::move(waiter);
  made->submitted_ns = now;
  // Without a wait it may still stand behind others for the time that one of them is given.
  made->deadline_ns = now + (wait_ns <= 0 ? options_.timeout_ns
                                          : std::min(wait_ns, command_wait_max));
  made->waits = wait_ns > 0;
  made->wants_answer = made->waits && message->answer.rule != Rule::none;
  queue->commands.push_back(std::move(made));
  ++queued_;
  advance(*queue);
}

// Whether a command may join the queue of its device; CommandStatus::count: yes.
std::pair<CommandStatus, std::string> Commands::admission(device::DeviceSlot slot,
                                                          const PreparedMessage& message) {
  if (slot == device::no_device) return {CommandStatus::unknown, "no such device was seen here"};
  if (stopping_) return {CommandStatus::offline, std::string(stopping_text)};
  net::Link* link = link_of(slot);
  if (link == nullptr) return {CommandStatus::offline, "the device has no link"};
  const auto& encoding = message.encoding(version_of(link->session<TerminalState>().peer));
  if (encoding.body == nullptr) return {CommandStatus::unsupported, encoding.why_not};
  if (links_.shard().watermark().state() != flow::LogState::accepting) {
    return {CommandStatus::not_stored, "the log takes nothing now"};
  }
  const Queue* queue = find(slot);
  if (queue != nullptr && queue->commands.size() >= options_.queue) {
    return {CommandStatus::busy,
            fmt::format("{} commands wait for this device", queue->commands.size())};
  }
  if (total_ > commands_max || links_.memory_level() >= flow::MemoryLevel::shed) {
    return {CommandStatus::busy, "too many commands wait, or memory is short"};
  }
  return {CommandStatus::count, {}};
}

// Its link, while the device speaks on it.
net::Link* Commands::link_of(device::DeviceSlot slot) {
  const device::Device& device = devices_.at(slot);
  net::Link* link = device.link.valid() ? links_.find(device.link) : nullptr;
  return link != nullptr && link->state == net::LinkState::open ? link : nullptr;
}

Commands::Queue* Commands::find(device::DeviceSlot slot) {
  const auto at = queues_.find(slot);
  return at == queues_.end() ? nullptr : at->second.get();
}

// Does what can be done now for the commands of one device. May end the queue.
void Commands::advance(Queue& queue) {
  net::Link* link = link_of(queue.slot);
  const MonoNs now = links_.shard().now();
  bool blocked = link == nullptr;
  for (std::size_t i = 0; i < queue.commands.size();) {
    const std::size_t before = queue.commands.size();
    Command& command = *queue.commands[i];
    // Its timer may be some milliseconds late, and nothing leaves after its time.
    if (link != nullptr && command.deadline_ns <= now) {
      deadline_passed(queue, i, link);
      continue;
    }
    if (link != nullptr && command.again) retransmit(command, *link);
    // One that has to wait holds back those behind it: commands leave in the order in which they
    // came.
    if (command.stage == Stage::queued && !blocked) blocked = !submit(queue, i, *link);
    if (queue.commands.size() == before) ++i;
  }
  settle(queue);
}

// One unanswered command of a message at a time: a terminal's reply without our serial belongs to
// it, and weak terminals keep the latest only.
bool Commands::window_open(const Queue& queue, const Command& command,
                           const net::Link& link) const {
  std::uint32_t outstanding = 0;
  for (const auto& other : queue.commands) {
    if (other->stage == Stage::queued) continue;
    ++outstanding;
    if (other->message->id == command.message->id) return false;
  }
  return outstanding < options_.window &&
         net::Links::unsent_bytes(link) < downlink_window_bytes;
}

// Intent, then the frame behind it. False: not now.
bool Commands::submit(Queue& queue, std::size_t index, net::Link& link) {
  Command& command = *queue.commands[index];
  if (!window_open(queue, command, link)) return false;
  TerminalState& state = link.session<TerminalState>();
  const PreparedMessage& message = *command.message;
  const PreparedMessage::Encoding& encoding = message.encoding(version_of(state.peer));
  if (encoding.body == nullptr) {
    end(queue, index, CommandStatus::unsupported, encoding.why_not);
    return true;
  }
  const std::uint32_t parts = parts_of(encoding.body->size());
  skip_used_serials(queue, state, parts);
  const std::uint16_t serial = state.next_serial;
  FrameWriter frame = parts == 1
                          ? FrameWriter(state.peer, message.id, serial)
                          : FrameWriter(state.peer, message.id, serial,
                                        static_cast<std::uint16_t>(parts), 1);
  frame.bytes(Bytes(*encoding.body).first(std::min(encoding.body->size(), body_size_max)));
  const Bytes intent = frame.unescaped();
  const DeviceKey& device = devices_.at(queue.slot).key;
  const log::RecordInfo info{.kind = log::Kind::command,
                             .ns = Namespace::phone,
                             .message = message.id,
                             .serial = serial,
                             .link = link.id().packed(),
                             .device = device.id()};
  const Position position = log_.append(info, intent);
  if (position == 0) {
    if (links_.shard().watermark().state() == flow::LogState::accepting) {
      stall(queue);
      return false;
    }
    end(queue, index, CommandStatus::not_stored, "the log takes nothing now");
    return true;
  }
  command.intent = position - log::padded_size(log::record_header_size + device.size +
                                               intent.size());
  command.durable_at = position;
  command.peer = state.peer;
  links_.logged(link, position);
  if (message.id == id::request_attachments) expect_upload(device, *encoding.body);
  command.sent = downlink_.write(link, state, device, message.id, encoding.body);
  if (!command.sent.ok()) {
    command.sent.first_serial = serial;
    end(queue, index, CommandStatus::busy, "too many long messages are being sent");
    return true;
  }
  RG_CHECK(command.sent.first_serial == serial && command.sent.parts == parts);
  held_.push_back({position, queue.slot});
  ++command.transmissions;
  command.attempt = 1;
  command.backoff_ns = options_.timeout_ns;
  command.resend_ns = 0;
  command.heard = {};
  command.stage = Stage::held;
  --queued_;
  ++in_flight_;
  return true;
}

// The alarm number stands before the last 16 bytes, whatever the province's sign before it is.
// T/JSATL 12-2017.
void Commands::expect_upload(const DeviceKey& device, Bytes body) {
  constexpr std::size_t number_size = 32;
  constexpr std::size_t reserved_size = 16;
  if (expectations_ == nullptr || body.size() < number_size + reserved_size) return;
  const Bytes number = body.last(number_size + reserved_size).first(number_size);
  const WallUs until = links_.shard().wall_now() + upload_expected_for / ns_per_us;
  expectations_->expect(as_text(number), device, until);
}

// Serials begin anew on every link; those of commands that came along from the last one are taken.
// Where long messages have used up all serials there is none to find; then the one after the last
// of them is taken, which is the longest unanswered.
void Commands::skip_used_serials(const Queue& queue, TerminalState& state, std::uint32_t parts) {
  bool moved = true;
  for (std::size_t round = 0; moved && round <= queue.commands.size(); ++round) {
    moved = false;
    for (const auto& other : queue.commands) {
      if (other->stage == Stage::queued || !overlap(other->sent, state.next_serial, parts)) {
        continue;
      }
      state.next_serial = static_cast<std::uint16_t>(other->sent.last_serial() + 1);
      moved = true;
    }
  }
}

// The same bytes once more, whether time has passed or the terminal came on another link.
void Commands::retransmit(Command& command, net::Link& link) {
  TerminalState& state = link.session<TerminalState>();
  command.again = false;
  if (!same_peer(command.peer, state.peer)) {
    // It speaks another version now: other bytes, and so another intent.
    command.stage = Stage::queued;
    command.resend_ns = 0;
    --in_flight_;
    ++queued_;
    return;
  }
  if (command.stage == Stage::waiting) {
    command.resend_ns = links_.shard().now() + command.backoff_ns;
  }
  // What it has not taken of the last time is on its way still.
  if (net::Links::unsent_bytes(link) >= downlink_window_bytes) return;
  if (command.durable_at > link.last_position) links_.logged(link, command.durable_at);
  const PreparedMessage& message = *command.message;
  const SharedBody& body = message.encoding(version_of(state.peer)).body;
  if (!downlink_.write_again(link, state, devices_.at(state.device).key, message.id, body,
                             command.sent)) {
    return;
  }
  ++command.transmissions;
  counters_.retransmissions.add();
}

// ---- From the session

void Commands::on_attached(device::DeviceSlot slot) {
  Queue* queue = find(slot);
  if (queue == nullptr) return;
  for (const auto& command : queue->commands) {
    // One that was heard is not repeated: the terminal has it.
    command->again = command->stage != Stage::queued && !command->heard.ok;
  }
  make_ready(*queue);  // not at once: the answer to 0x0102 goes first
}

void Commands::on_detached(device::DeviceSlot slot) {
  Queue* queue = find(slot);
  if (queue == nullptr) return;
  for (std::size_t i = queue->commands.size(); i-- > 0;) {
    Command& command = *queue->commands[i];
    command.again = false;
    command.resend_ns = 0;
    if (command.waits) continue;
    const bool written = command.stage != Stage::queued;
    end(*queue, i, written ? CommandStatus::link_lost : CommandStatus::offline,
        written ? "the link ended before it was known to be sent" : "the device has no link");
  }
  make_ready(*queue);
}

bool Commands::on_message(device::DeviceSlot slot, const Header& header, Bytes body, Bytes frame) {
  Queue* queue = find(slot);
  bool awaited = header.message_id == id::terminal_reply;
  for (std::size_t i = 0; queue != nullptr && i < queue->commands.size(); ++i) {
    const Command& command = *queue->commands[i];
    if (command.stage != Stage::waiting || !command.wants_answer) continue;
    const PreparedMessage& message = *command.message;
    const Judgement judgement =
        judge({message.answer, message.id, command.sent, command.heard}, header, body);
    if (judgement.verdict != Judgement::Verdict::foreign) {
      heard(*queue, i, judgement, header.message_id, frame);
      return true;
    }
    awaited |= message.answer.rule != Rule::general && header.message_id == message.answer.id;
  }
  if (awaited) counters_.strays.add();
  return awaited;
}

void Commands::heard(Queue& queue, std::size_t index, const Judgement& judgement,
                     std::uint16_t message, Bytes frame) {
  Command& command = *queue.commands[index];
  if (judgement.verdict == Judgement::Verdict::noted) {
    command.heard = judgement.heard;
    // The terminal has it; only its own answer is missing, and the caller says for how long.
    if (command.heard.ok) command.resend_ns = 0;
    return;
  }
  const bool answered = judgement.verdict == Judgement::Verdict::answered;
  end(queue, index, answered ? CommandStatus::answered : CommandStatus::refused, judgement.detail,
      message, frame);
  make_ready(queue);
}

// ---- Time

void Commands::on_timer(Queue& queue) {
  net::Link* link = link_of(queue.slot);
  const MonoNs now = links_.shard().now();
  for (std::size_t i = 0; i < queue.commands.size();) {
    const std::size_t before = queue.commands.size();
    const Command& command = *queue.commands[i];
    if (command.deadline_ns <= now) {
      deadline_passed(queue, i, link);
    } else if (link != nullptr && command.resend_ns != 0 && command.resend_ns <= now) {
      time_passed(queue, i, *link);
    }
    if (queue.commands.size() == before) ++i;
  }
  advance(queue);
}

// The terminal has not answered in T(n).
void Commands::time_passed(Queue& queue, std::size_t index, net::Link& link) {
  Command& command = *queue.commands[index];
  const MonoNs now = links_.shard().now();
  if (downlink_.in_progress(devices_.at(queue.slot).key, command.sent)) {
    // Parts still leave: its time has not begun.
    command.resend_ns = now + (command.wants_answer ? command.backoff_ns : command_retry_every);
    return;
  }
  if (!command.wants_answer) return end(queue, index, CommandStatus::sent, "");
  if (command.heard.part) {
    // Nothing followed the answer to one part: it stood for all.
    command.heard = {.ok = true, .part = false};
    command.resend_ns = 0;
    const Rule rule = command.message->answer.rule;
    if (rule == Rule::own || rule == Rule::both) return;
    return end(queue, index, CommandStatus::answered, "terminal answered 0x0001 for a part: ok",
               id::terminal_reply);
  }
  if (command.attempt > options_.retries) {
    return end(queue, index, CommandStatus::timed_out,
               fmt::format("no answer to {} transmissions", command.transmissions));
  }
  ++command.attempt;
  command.backoff_ns *= command.attempt;  // T(n+1) = T(n) * (n+1)
  retransmit(command, link);
}

// The caller waits no longer.
void Commands::deadline_passed(Queue& queue, std::size_t index, const net::Link* link) {
  const Command& command = *queue.commands[index];
  const Answer& answer = command.message->answer;
  const bool was_sent = command.transmissions > 0 && command.stage != Stage::held;
  if (command.stage == Stage::waiting && !command.wants_answer && link != nullptr) {
    return end(queue, index, CommandStatus::timed_out, "the terminal does not take all of it");
  }
  if (command.heard.ok && answer.rule == Rule::both) {
    return end(queue, index, CommandStatus::answered,
               fmt::format("terminal answered 0x0001: ok; 0x{:04X} did not come", answer.id),
               id::terminal_reply);
  }
  if (command.stage == Stage::held) {
    return end(queue, index, CommandStatus::expired,
               "its intent was not durable in time; it leaves when it is");
  }
  if (link == nullptr) {
    return was_sent ? end(queue, index, CommandStatus::link_lost,
                          "the terminal did not come back in time")
                    : end(queue, index, CommandStatus::offline, "the device has no link");
  }
  if (!was_sent) {
    return end(queue, index, CommandStatus::expired, "others of this device came first");
  }
  end(queue, index, CommandStatus::timed_out,
      command.heard.ok
          ? fmt::format("terminal answered 0x0001: ok, but 0x{:04X} did not come", answer.id)
          : fmt::format("no answer to {} transmissions", command.transmissions));
}

// ---- Ends

void Commands::end(Queue& queue, std::size_t index, CommandStatus status, std::string detail,
                   std::uint16_t answer, Bytes frame) {
  const std::unique_ptr<Command> command = std::move(queue.commands[index]);
  queue.commands.erase(queue.commands.begin() + static_cast<std::ptrdiff_t>(index));
  command->stage == Stage::queued ? --queued_ : --in_flight_;
  Ended ended;
  ended.device = devices_.at(queue.slot).key;
  ended.waiter = std::move(command->waiter);
  ended.message = command->message->id;
  ended.serial = command->sent.first_serial;
  event::CommandOutcome& outcome = ended.outcome;
  outcome.status = status;
  outcome.detail = std::move(detail);
  outcome.answer_message = answer;
  outcome.answer.assign(frame.begin(), frame.end());
  outcome.intent = command->intent;
  outcome.transmissions = command->transmissions;
  outcome.elapsed_ns = links_.shard().now() - command->submitted_ns;
  if (answer != 0) counters_.latency.record(outcome.elapsed_ns);
  finish(std::move(ended));
}

// What had an intent gets a record of its outcome, and nobody is told of what may be lost.
void Commands::finish(Ended ended) {
  counters_.outcomes.add(ended.outcome.status);
  if (ended.outcome.intent == 0) return told_.push_back(std::move(ended));
  if (unrecorded_.empty() && record(ended)) return ended_.push_back(std::move(ended));
  if (links_.shard().watermark().state() != flow::LogState::accepting) {
    return told_.push_back(std::move(ended));
  }
  unrecorded_.push_back(std::move(ended));
}

// False: the log takes nothing now.
bool Commands::record(Ended& ended) {
  const event::CommandOutcome& outcome = ended.outcome;
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  json.key("status").text(event::name_of(outcome.status));
  json.key("intent").unsigned_integer(outcome.intent);
  if (outcome.answer_message != 0) {
    json.key("answer").text(fmt::format("0x{:04X}", outcome.answer_message));
    Header header;
    if (parse_stored(outcome.answer, header) == BadReason::none) {
      json.key("answer_serial").unsigned_integer(header.serial);
    }
  }
  json.key("transmissions").unsigned_integer(outcome.transmissions);
  json.key("elapsed_ms").integer(outcome.elapsed_ns / ns_per_ms);
  if (!outcome.detail.empty()) json.key("detail").text(outcome.detail);
  json.end_object();
  const log::RecordInfo info{.kind = log::Kind::command,
                             .ns = Namespace::phone,
                             .flags = log::flag_outcome,
                             .message = ended.message,
                             .serial = ended.serial,
                             .device = ended.device.id()};
  ended.durable_at = log_.append(info, as_bytes(text));
  return ended.durable_at != 0;
}

void Commands::tell(std::uint32_t most) {
  while (!told_.empty() && most-- > 0) {
    Ended ended = std::move(told_.front());
    told_.pop_front();
    --total_;
    links_.budget().release(sizeof(Command));
    ended.waiter->on_outcome(ended.device, std::move(ended.outcome));
  }
}

void Commands::end_all() {
  for (auto& [slot, queue] : queues_) {
    while (!queue->commands.empty()) {
      const Command& command = *queue->commands.front();
      const bool both = command.heard.ok && command.message->answer.rule == Rule::both;
      const CommandStatus status = both                            ? CommandStatus::answered
                                   : command.stage == Stage::queued ? CommandStatus::expired
                                                                    : CommandStatus::link_lost;
      end(*queue, 0, status, std::string(stopping_text), both ? id::terminal_reply : 0);
    }
    links_.shard().cancel(queue->timer);
    devices_.at(slot).has_commands = false;
  }
  queues_.clear();
  update_gauges();
}

// ---- The loop

void Commands::make_ready(Queue& queue) {
  if (queue.ready) return;
  queue.ready = true;
  ready_.push_back(queue.slot);
}

void Commands::stall(Queue& queue) {
  if (queue.stalled) return;
  queue.stalled = true;
  stalled_.push_back(queue.slot);
}

void Commands::wake_stalled() {
  for (const device::DeviceSlot slot : stalled_) {
    Queue* queue = find(slot);
    if (queue == nullptr) continue;
    queue->stalled = false;
    make_ready(*queue);
  }
  stalled_.clear();
}

// After anything that changed the queue: the next moment at which time matters, or its end.
void Commands::settle(Queue& queue) {
  update_gauges();
  if (queue.commands.empty()) {
    links_.shard().cancel(queue.timer);
    devices_.at(queue.slot).has_commands = false;
    queues_.erase(queue.slot);
    return;
  }
  const net::Link* link = link_of(queue.slot);
  const MonoNs now = links_.shard().now();
  MonoNs due = queue.commands.front()->deadline_ns;
  for (const auto& command : queue.commands) {
    due = std::min(due, command->deadline_ns);
    if (link != nullptr && command->resend_ns != 0) due = std::min(due, command->resend_ns);
  }
  const bool backlog =
      link != nullptr && net::Links::unsent_bytes(*link) >= downlink_window_bytes;
  if (backlog) due = std::min(due, now + command_retry_every);
  links_.shard().arm(queue.timer, std::max<MonoNs>(due - now, 0));
}

void Commands::update_gauges() {
  counters_.in_flight.set(in_flight_);
  counters_.queued.set(queued_);
}

void Commands::before_wait() {
  for (std::uint32_t i = 0; i < commands_per_turn && !ready_.empty(); ++i) {
    Queue* queue = find(ready_.front());
    ready_.pop_front();
    if (queue == nullptr) continue;
    queue->ready = false;
    advance(*queue);
  }
  tell(commands_per_turn);
}

void Commands::on_commit(Position committed) {
  while (!unrecorded_.empty() && record(unrecorded_.front())) {
    ended_.push_back(std::move(unrecorded_.front()));
    unrecorded_.pop_front();
  }
  while (!ended_.empty() && ended_.front().durable_at <= committed) {
    told_.push_back(std::move(ended_.front()));
    ended_.pop_front();
  }
  while (!held_.empty() && held_.front().position <= committed) {
    Queue* queue = find(held_.front().slot);
    held_.pop_front();
    if (queue != nullptr) release(*queue, committed);
  }
  wake_stalled();
}

// Intents are durable: their frames leave now.
void Commands::release(Queue& queue, Position committed) {
  const MonoNs now = links_.shard().now();
  for (std::size_t i = 0; i < queue.commands.size();) {
    Command& command = *queue.commands[i];
    if (command.stage != Stage::held || command.durable_at > committed) {
      ++i;
      continue;
    }
    command.stage = Stage::waiting;
    command.resend_ns = now + (command.wants_answer ? command.backoff_ns : 1);
    // One whose link ended meanwhile has not left; the terminal may come back for it.
    if (!command.wants_answer && command.sent.parts == 1 && link_of(queue.slot) != nullptr) {
      end(queue, i, CommandStatus::sent, "");
    } else {
      ++i;
    }
  }
  make_ready(queue);
}

void Commands::on_log_state(flow::LogState state) {
  wake_stalled();
  if (state == flow::LogState::accepting) return;
  // Nobody knows for how long: the outcomes are true all the same.
  for (std::deque<Ended>* waiting : {&ended_, &unrecorded_}) {
    std::move(waiting->begin(), waiting->end(), std::back_inserter(told_));
    waiting->clear();
  }
}

void Commands::start_drain() {
  stopping_ = true;
  end_all();
}

void Commands::start_stop() {
  stopping_ = true;
  end_all();
  for (std::deque<Ended>* waiting : {&ended_, &unrecorded_}) {
    std::move(waiting->begin(), waiting->end(), std::back_inserter(told_));
    waiting->clear();
  }
  tell(total_);
}

void Commands::describe(device::DeviceSlot slot, JsonWriter& out) const {
  const auto at = queues_.find(slot);
  if (at == queues_.end()) return;
  const auto& commands = at->second->commands;
  const auto waiting = std::count_if(commands.begin(), commands.end(), [](const auto& command) {
    return command->stage == Stage::queued;
  });
  out.key("commands_queued").integer(waiting);
  out.key("commands_in_flight").integer(static_cast<std::int64_t>(commands.size()) - waiting);
}

}  // namespace ringgate::jt808
