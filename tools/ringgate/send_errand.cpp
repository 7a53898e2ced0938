#include "tools/ringgate/send_errand.hpp"

#include "storage/event/device_gates.hpp"
#include "tools/ringgate/plugs.hpp"

namespace ringgate::server {

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

void SendErrand::run(shard::ErrandHost& host, shard::ErrandTicket ticket) {
  event::DeviceGate* gate = event::DeviceGates::of(host).find(device_.ns);
  if (gate == nullptr) return;
  gate->audit(device_, action_, {who_, {}});
  gate->send(device_, command_, wait_ns_, std::make_unique<Waiter>(std::move(ticket)));
}

namespace {

void json_answer(const event::CommandOutcome& outcome, JsonWriter& json) {
  if (outcome.answer_message == 0) return;
  const event::MessageCatalog& catalog = *device_plug().catalog;
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

void json_outcome(const event::CommandOutcome* outcome, JsonWriter& json) {
  if (outcome == nullptr) {
    json.key("status").text("stopping").key("detail").text("the gateway is stopping");
    return;
  }
  json.key("status").text(event::name_of(outcome->status));
  if (!outcome->detail.empty()) json.key("detail").text(outcome->detail);
  json.key("transmissions").unsigned_integer(outcome->transmissions);
  json.key("elapsed_ms").number(static_cast<double>(outcome->elapsed_ns) / ns_per_ms, 3);
  json_answer(*outcome, json);
}

}  // namespace ringgate::server
