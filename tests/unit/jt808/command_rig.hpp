// Commands for the session's tests: a command as bytes, somebody who waits, and what the terminal
// must see of it.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "protocols/jt808/codec/ids.hpp"
#include "protocols/jt808/prepared.hpp"
#include "tests/unit/jt808/terminal.hpp"

namespace ringgate::jt808::test {

using event::CommandOutcome;
using event::CommandStatus;

// What a waiter was told, and how often.
struct Told {
  int times = 0;
  DeviceKey device;
  CommandOutcome outcome;
};

class Waiter final : public event::CommandWaiter {
 public:
  explicit Waiter(std::shared_ptr<Told> told) : told_(std::move(told)) {}
  void on_outcome(const DeviceKey& device, CommandOutcome outcome) override {
    ++told_->times;
    told_->device = device;
    told_->outcome = std::move(outcome);
  }

 private:
  std::shared_ptr<Told> told_;
};

using Prepared = std::shared_ptr<const PreparedMessage>;

inline Prepared command(std::uint16_t id, const Raw& body, const Answer& answer = {}) {
  auto made = std::make_shared<PreparedMessage>();
  made->id = id;
  made->answer = answer;
  for (auto& encoding : made->encodings) {
    encoding.body = std::make_shared<const std::vector<std::uint8_t>>(body);
  }
  return made;
}

// A gateway with one terminal that is online.
struct Commanded {
  explicit Commanded(const GatewayOptions& options = {}, Version version = Version::v2013)
      : gateway(options), terminal(gateway, gateway.jt808(), "13800138000", version) {
    REQUIRE(terminal.goes_online());
  }

  Commands& commands() { return gateway.rooms[0].jt808->commands(); }
  std::shared_ptr<Told> send(const Prepared& what, MonoNs wait_ns = 60 * ns_per_s,
                             std::string_view phone = "13800138000") {
    auto told = std::make_shared<Told>();
    commands().send(DeviceKey(Namespace::phone, phone), what, wait_ns,
                    std::make_unique<Waiter>(told));
    return told;
  }
  // The frame of a short command as it goes on the wire.
  Raw frame(const Prepared& what, std::uint16_t serial) const {
    FrameWriter writer(terminal.peer, what->id, serial);
    writer.bytes(*what->encoding(version()).body);
    return written([&](MutableBytes out) { return writer.finish(out); });
  }
  Version version() const { return terminal.peer.size == 11 ? Version::v2019 : Version::v2013; }
  // The terminal sees the command with the next serial. Returns that.
  std::uint16_t sees(const Prepared& what) {
    const std::uint16_t serial = terminal.reply_serial++;
    CHECK(terminal.hears(frame(what, serial)));
    // What it has taken the gateway knows to be durable a turn later.
    gateway.settle();
    return serial;
  }
  void says(std::uint16_t id, const Raw& body) {
    terminal.link->send(terminal.message(id, body));
    if (id != id::terminal_reply) terminal.ack(id, AckResult::ok);
  }
  void replies(std::uint16_t serial, std::uint16_t id, std::uint8_t result = 0) {
    says(id::terminal_reply, reply_body(serial, id, result));
  }
  static Raw reply_body(std::uint16_t serial, std::uint16_t id, std::uint8_t result) {
    Raw body(5);
    store_be16(body.data(), serial);
    store_be16(&body[2], id);
    body[4] = result;
    return body;
  }
  bool ends(const std::shared_ptr<Told>& told, CommandStatus status) {
    CHECK(gateway.until([&] { return told->times > 0; }));
    CHECK(told->times == 1);
    CHECK(event::name_of(told->outcome.status) == event::name_of(status));
    CHECK(told->device.id() == terminal.phone);
    return told->outcome.status == status;
  }
  // Lets `seconds` pass in small steps; returns what came meanwhile.
  Raw passes(double seconds) {
    const auto end = gateway.sys.mono_now() + static_cast<MonoNs>(seconds * 1e9);
    while (gateway.sys.mono_now() < end) gateway.advance(std::min<MonoNs>(
        50 * ns_per_ms, end - gateway.sys.mono_now()));
    gateway.settle();
    for (int i = 0; i < 3; ++i) gateway.turn();
    Raw got;
    got.swap(terminal.link->in);
    return got;
  }
  std::uint64_t strays() {
    return CommandCounters(*gateway.rooms[0].counters).strays.value();
  }

  Gateway gateway;
  Terminal terminal;
};

}  // namespace ringgate::jt808::test
