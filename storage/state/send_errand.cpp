#include "storage/state/send_errand.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>

#include "engine/base/json_scan.hpp"
#include "engine/config/units.hpp"
#include "engine/observe/log_format.hpp"

namespace ringgate::state {

class SendErrand::Waiter final : public event::CommandWaiter {
 public:
  explicit Waiter(shard::ErrandTicket ticket) : ticket_(std::move(ticket)) {}
  void on_outcome(const DeviceKey&, event::CommandOutcome outcome) override {
    static_cast<SendErrand&>(ticket_.errand()).outcome_ = std::move(outcome);
    ticket_.done();
  }

 private:
  shard::ErrandTicket ticket_;
};

void SendErrand::run(shard::ErrandHost& at, shard::ErrandTicket ticket) {
  ShardHost& host = ShardHost::of(at);
  event::DeviceGate* gate = host.find(device_.ns);
  if (gate == nullptr) return;
  gate->audit(device_, command_.action, {command_.by, {}});
  auto waiter = std::make_unique<Waiter>(std::move(ticket));
  if (command_.json == nullptr) {
    return gate->send(device_, command_.prepared, command_.wait_ns, std::move(waiter));
  }
  host.pending().submit(device_,
                        {.json = *command_.json,
                         .by = command_.by,
                         .expires_us = command_.expires_us,
                         .wait_ns = command_.wait_ns},
                        std::move(waiter));
}

namespace {

// "24h", or a number of seconds. Nothing: it is neither, or out of bounds.
std::optional<MonoNs> read_span(const nlohmann::json& value) {
  MonoNs span = 0;
  if (value.is_number()) {
    const double seconds = value.get<double>();
    if (!(seconds >= 0) || seconds > static_cast<double>(pending_expires_max / ns_per_s)) {
      return {};
    }
    span = std::llround(seconds * static_cast<double>(ns_per_s));
  } else if (value.is_string()) {
    const auto parsed = config::parse_duration(value.get_ref<const std::string&>());
    if (!parsed) return {};
    span = *parsed;
  }
  if (span <= 0 || span > pending_expires_max) return {};
  return span;
}

}  // namespace

Result<DeliveryTerms> read_delivery(const nlohmann::json& request) {
  DeliveryTerms terms;
  if (const auto deliver = request.find("deliver"); deliver != request.end()) {
    terms.when_online = *deliver == "when_online";
    if (!terms.when_online && *deliver != "now") {
      return Error{0, "\"deliver\" is \"now\" or \"when_online\""};
    }
  }
  const auto expires = request.find("expires");
  if (expires == request.end()) {
    terms.expires_ns = pending_expires_default;
    return terms;
  }
  if (!terms.when_online) return Error{0, R"("expires" goes with "deliver":"when_online")"};
  const auto span = read_span(*expires);
  if (!span) {
    return Error{0, fmt::format("\"expires\" is a time like \"24h\", or a number of seconds, above "
                                "0 and at most {} days",
                                pending_expires_max / ns_per_s / 86'400)};
  }
  terms.expires_ns = *span;
  return terms;
}

Result<void> keep(Command& command, std::string json, const DeliveryTerms& terms) {
  if (json.size() > pending_json_max) {
    return Error{0, fmt::format("a command that waits for its device has at most {} bytes of JSON, "
                                "this one has {}",
                                pending_json_max, json.size())};
  }
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  command.json = std::make_shared<const std::string>(std::move(json));
  command.expires_us = std::chrono::duration_cast<std::chrono::microseconds>(now).count() +
                       terms.expires_ns / ns_per_us;
  return {};
}

namespace {

void json_answer(const event::CommandOutcome& outcome, const event::MessageCatalog& catalog,
                 JsonWriter& json) {
  if (outcome.answer_message == 0) return;
  json.key("answer").begin_object();
  json.key("message_id").text(catalog.message_id_text(outcome.answer_message));
  if (!outcome.answer.empty()) {
    const std::vector<std::uint8_t> frame = catalog.redact(outcome.answer);
    json.key("frame").hex(frame);
    json.key("body");
    catalog.json(frame, json);
  }
  json.end_object();
}

}  // namespace

std::string pending_row(std::string_view id_key, const Pending::Listed& one) {
  const PendingCommand& command = one.command;
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  json.key(id_key).text(one.device.id());
  json.key("id").unsigned_integer(command.id);
  const std::string_view message = scan_json_object(command.json, "message").member;
  if (!message.empty()) json.key("message").raw(message);
  json_time("submitted", command.submitted_us, json);
  json_time("expires", command.expires_us, json);
  json.key("tries").unsigned_integer(command.tries);
  json.key("under_way").boolean(one.under_way);
  json.key("by").text(command.by);
  json.key("command").raw(command.json);
  json.end_object();
  return text;
}

Pending::Cancelled cancel_pending(ShardHost& host, const DeviceKey& device, std::uint64_t id,
                                  const event::Act& act) {
  const std::string why = act.why.empty() ? fmt::format("by {}", act.by) : std::string(act.why);
  const Pending::Cancelled cancelled = host.pending().cancel(device, id, why);
  const bool done = cancelled == Pending::Cancelled::waiting ||
                    cancelled == Pending::Cancelled::sent;
  event::DeviceGate* const gate = host.find(device.ns);
  if (done && gate != nullptr) gate->audit(device, fmt::format("cancel {}", id), act);
  return cancelled;
}

void json_time(std::string_view key, WallUs time, JsonWriter& json) {
  char text[observe::time_text_size];
  observe::format_time(text, time);
  json.key(key).text({text, sizeof text});
}

void json_outcome(const event::CommandOutcome* outcome, const event::MessageCatalog& catalog,
                  JsonWriter& json) {
  if (outcome == nullptr) {
    json.key("status").text("stopping").key("detail").text("the gateway is stopping");
    return;
  }
  json.key("status").text(event::name_of(outcome->status));
  if (!outcome->detail.empty()) json.key("detail").text(outcome->detail);
  if (outcome->status == event::CommandStatus::pending) {
    json.key("id").unsigned_integer(outcome->pending);
    json_time("expires", outcome->expires_us, json);
  }
  json.key("transmissions").unsigned_integer(outcome->transmissions);
  json.key("elapsed_ms").number(static_cast<double>(outcome->elapsed_ns) / ns_per_ms, 3);
  json_answer(*outcome, catalog, json);
}

}  // namespace ringgate::state
