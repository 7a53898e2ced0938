// Commands to terminals: intent, sending, retransmission, the matching answer, one outcome.
// One per shard, for the devices whose home it is; lives and is used only there.
//
// A command waits in its device's queue, in the order in which commands came, until the window lets
// it out. Then its intent is appended and its frame written behind it: the frame leaves the link
// when the intent is durable. From then on the terminal's answer is awaited, and the same bytes are
// sent again after T, then 2 T, then 6 T (JT/T 808-2019: T(n+1) = T(n) * (n+1)). A terminal that
// comes back on another link within the caller's time gets the frame there, same serial and bytes.
// Every command that had an intent gets an outcome record, and its waiter is told when that record
// is durable (at once where the log takes nothing).
//
// A device without commands costs one flag in the device table.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "engine/config/settings.hpp"
#include "engine/device/device_table.hpp"
#include "engine/net/links.hpp"
#include "engine/observe/counter.hpp"
#include "protocols/jt808/answers.hpp"
#include "protocols/jt808/attachment/expected.hpp"
#include "protocols/jt808/codec/header.hpp"
#include "protocols/jt808/downlink.hpp"
#include "protocols/jt808/prepared.hpp"
#include "protocols/jt808/terminal_state.hpp"
#include "storage/event/device_gate.hpp"
#include "storage/log/writer.hpp"

namespace ringgate::jt808 {

struct CommandOptions {
  MonoNs timeout_ns = 10 * ns_per_s;  // T(1)
  std::uint32_t retries = 2;          // transmissions after the first
  std::uint32_t window = 4;           // commands of one device that may be unanswered
  std::uint32_t queue = 32;           // commands of one device, those in the window included
};
CommandOptions command_options(const config::Settings& settings);

struct CommandCounters {
  explicit CommandCounters(observe::CounterGroup& group);

  observe::Family<event::CommandStatus> outcomes;
  observe::Counter retransmissions;
  observe::Counter strays;  // answers that nobody waits for
  observe::Gauge in_flight;
  observe::Gauge queued;
  observe::Histogram& latency;  // from submission to the answer
};

class Commands final : public shard::Hook, public flow::CommitListener {
 public:
  Commands(net::Links& links, log::Writer& log, device::DeviceTable& devices, Downlink& downlink,
           observe::CounterGroup& counters, const CommandOptions& options);
  // Waiters that were not told are dropped: only after a simulated crash, since a shard that stops
  // tells all.
  ~Commands() override;

  void set_options(const CommandOptions& options) { options_ = options; }
  // Before the first turn: 0x9208 tells the attachment server whose files to expect.
  void use_expectations(Expectations& expectations) { expectations_ = &expectations; }

  // As DeviceGate::send. The waiter is never called from inside.
  void send(const DeviceKey& device, std::shared_ptr<const event::PreparedCommand> command,
            MonoNs wait_ns, std::unique_ptr<event::CommandWaiter> waiter);
  // Whether the device speaks on a link.
  bool online(const DeviceKey& device) {
    const device::DeviceSlot slot = devices_.find(device);
    return slot != device::no_device && link_of(slot) != nullptr;
  }
  // Adds keys to the open object: the device's commands. For DeviceGate::describe.
  void describe(device::DeviceSlot slot, JsonWriter& out) const;

  // For the session -----------------------------------------------------------------------------

  // The terminal authenticated on a link that it did not have before; device.link is set.
  void on_attached(device::DeviceSlot slot);
  // Its link has gone, or speaks for it no longer.
  void on_detached(device::DeviceSlot slot);
  // A whole message of the terminal, after it was logged. `frame`: as logged, or of a message that
  // came in parts what stands for the whole. Called for every 0x0001, and where the device's flag
  // has_commands is set for everything but positions. True: a command waited for it.
  bool on_message(device::DeviceSlot slot, const Header& header, Bytes body, Bytes frame);

  // Called by the loop --------------------------------------------------------------------------

  void before_wait() override;
  bool has_work() const override { return !ready_.empty() || !told_.empty(); }
  void start_drain() override;
  bool drained() const override { return total_ == 0; }
  void start_stop() override;
  void on_commit(Position committed) override;
  void on_log_state(flow::LogState state) override;

  std::uint32_t count() const { return total_; }

 private:
  enum class Stage : std::uint8_t {
    queued,   // no intent, or none for the terminal's present version
    held,     // written; the intent is not durable, so it has not left
    waiting,  // for the answer
  };
  struct Command {
    std::shared_ptr<const PreparedMessage> message;
    std::unique_ptr<event::CommandWaiter> waiter;
    MonoNs submitted_ns = 0;
    MonoNs deadline_ns = 0;  // the caller's time ends
    MonoNs resend_ns = 0;    // no answer by then: once more, or given up; 0: nothing due
    MonoNs backoff_ns = 0;   // T(attempt)
    Position intent = 0;     // its record begins here; 0: none
    Position durable_at = 0;  // committed up to here: the intent is durable
    Peer peer;               // for which it was written
    Sent sent;
    std::uint32_t transmissions = 0;
    std::uint32_t attempt = 0;
    Stage stage = Stage::queued;
    Heard heard;
    bool waits = false;  // the caller does
    bool wants_answer = false;  // and there is an answer to wait for
    bool again = false;  // another link: write it there
  };
  struct Queue final : shard::TimerHandler {
    Queue(Commands& of, device::DeviceSlot at) : owner(of), slot(at) {}
    void on_timer() override { owner.on_timer(*this); }

    Commands& owner;
    device::DeviceSlot slot;
    bool ready = false;    // in ready_
    bool stalled = false;  // in stalled_: waits for the log
    std::vector<std::unique_ptr<Command>> commands;  // oldest first
    shard::Timer timer{*this};
  };
  // An outcome on its way to its waiter.
  struct Ended {
    DeviceKey device;
    std::unique_ptr<event::CommandWaiter> waiter;
    event::CommandOutcome outcome;
    std::uint16_t message = 0;
    std::uint16_t serial = 0;
    Position durable_at = 0;  // of its record
  };

  std::pair<event::CommandStatus, std::string> admission(device::DeviceSlot slot,
                                                         const PreparedMessage& message);
  net::Link* link_of(device::DeviceSlot slot);
  Queue* find(device::DeviceSlot slot);
  void advance(Queue& queue);
  bool window_open(const Queue& queue, const Command& command, const net::Link& link) const;
  bool submit(Queue& queue, std::size_t index, net::Link& link);
  static void skip_used_serials(const Queue& queue, TerminalState& state, std::uint32_t parts);
  void retransmit(Command& command, net::Link& link);
  void heard(Queue& queue, std::size_t index, const Judgement& judgement, std::uint16_t message,
             Bytes frame);
  void on_timer(Queue& queue);
  void time_passed(Queue& queue, std::size_t index, net::Link& link);
  void deadline_passed(Queue& queue, std::size_t index, const net::Link* link);
  void release(Queue& queue, Position committed);
  void end(Queue& queue, std::size_t index, event::CommandStatus status, std::string detail,
           std::uint16_t answer = 0, Bytes frame = {});
  void end_all();
  void finish(Ended ended);
  bool record(Ended& ended);
  void tell(std::uint32_t most);
  void make_ready(Queue& queue);
  void stall(Queue& queue);
  void wake_stalled();
  void expect_upload(const DeviceKey& device, Bytes body);
  void settle(Queue& queue);
  void update_gauges();

  net::Links& links_;
  log::Writer& log_;
  device::DeviceTable& devices_;
  Downlink& downlink_;
  CommandCounters counters_;
  CommandOptions options_;
  Expectations* expectations_ = nullptr;
  std::unordered_map<device::DeviceSlot, std::unique_ptr<Queue>> queues_;
  std::deque<device::DeviceSlot> ready_;     // something can be done
  std::vector<device::DeviceSlot> stalled_;  // the log was full for a moment
  struct Held {
    Position position;
    device::DeviceSlot slot;
  };
  std::deque<Held> held_;         // intents that are not durable, in order
  std::deque<Ended> unrecorded_;  // the log was full for a moment
  std::deque<Ended> ended_;       // wait for their records, in order
  std::deque<Ended> told_;        // waiters to call
  std::uint32_t total_ = 0;       // commands whose waiters were not told
  std::uint32_t in_flight_ = 0;
  std::uint32_t queued_ = 0;
  bool stopping_ = false;
};

}  // namespace ringgate::jt808
