// The operation `sink` of the control socket: list, pause, resume, seek.
#include <fmt/core.h>

#include "tools/ringgate/control_client.hpp"
#include "tools/ringgate/sinks.hpp"

namespace ringgate::server {

namespace {

std::string row_of(const sink::Worker& worker) {
  const sink::Status status = worker.status();
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("sink").begin_object();
  json.key("name").text(worker.name());
  json.key("state").text(sink::state_names[static_cast<std::size_t>(status.state)]);
  json.key("records").unsigned_integer(status.records);
  json.key("batches").unsigned_integer(status.batches);
  json.key("skipped").unsigned_integer(status.skipped);
  json.key("lag_bytes").unsigned_integer(status.lag_bytes);
  json.key("lag_s").number(status.lag_s, 3);
  json.key("last_confirmed_us").integer(status.last_confirmed_us);
  json.key("error").text(status.last_error);
  json.key("cursor").text(status.cursor);
  json.end_object().end_object();
  return text;
}

class SinkOp final : public ControlOp {
 public:
  using ControlOp::ControlOp;
  void start(const Json& request) override {
    const Sinks* sinks = control_.sinks();
    const std::string action = request.value("action", std::string("list"));
    if (action == "list") return list(sinks);
    if (action != "pause" && action != "resume" && action != "seek") {
      return fail("bad-request", "\"action\" is list, pause, resume or seek");
    }
    const std::string name = request.value("name", std::string());
    sink::Worker* worker = sinks == nullptr ? nullptr : sinks->find(name);
    if (worker == nullptr) {
      return fail("unknown-sink", fmt::format("no sink '{}' is on; 'sink list' names them", name));
    }
    std::string to;
    if (action == "seek") {
      to = request.value("to", std::string());
      const auto place = sinks->place(to);
      if (!place) return fail("bad-place", place.error().message);
      worker->seek(*place);
    } else if (action == "pause") {
      worker->pause();
    } else {
      worker->resume();
    }
    control_.logs().info("sink commanded",
                         {{"sink", name}, {"action", action}, {"to", to}, {"by", client_.who()}});
    state::Deed deed{.action = "sink " + action, .by = client_.who(), .details = {{"sink", name}}};
    if (!to.empty()) deed.details.emplace_back("to", to);
    control_.note(std::move(deed));
    end(R"({"ok":true})");
  }

 private:
  void list(const Sinks* sinks) {
    std::size_t count = 0;
    if (sinks != nullptr) {
      for (const auto& worker : sinks->workers()) line(row_of(*worker));
      count = sinks->workers().size();
    }
    end(fmt::format(R"({{"ok":true,"sinks":{}}})", count));
  }
};

}  // namespace

std::shared_ptr<ControlOp> make_sink_op(Control& control, ControlClient& client) {
  return std::make_shared<SinkOp>(control, client);
}

}  // namespace ringgate::server
