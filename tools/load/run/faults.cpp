#include "tools/load/run/faults.hpp"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

namespace ringgate::load {
namespace {

std::string with_enabled(const std::string& rule, bool enabled) {
  nlohmann::json json = nlohmann::json::parse(rule, nullptr, false);
  if (!json.is_object()) json = nlohmann::json::object();
  json["enabled"] = enabled;
  return json.dump();
}

}  // namespace

Faults::Faults(const Scenario& scenario, tool::HttpCalls& calls)
    : scenario_(scenario), calls_(calls), items_(scenario.faults.size()) {
  for (const Fault& fault : scenario.faults) {
    marks_.push_back({fault.name, fault.proxy, fault.rule, -1, -1, {}});
  }
}

tool::HttpRequest Faults::rule_request(const Fault& fault, const char* method,
                                       std::string body) const {
  tool::HttpRequest request;
  request.method = method;
  request.address = scenario_.target.chaos;
  request.path = fmt::format("/proxies/{}/rules/{}", fault.proxy, fault.rule);
  request.body = std::move(body);
  return request;
}

Result<void> Faults::check() {
  for (std::size_t i = 0; i < items_.size(); ++i) {
    const Fault& fault = scenario_.faults[i];
    tool::HttpRequest request = rule_request(fault, "GET", {});
    if (!fault.rule_json.empty()) request.path = fmt::format("/proxies/{}", fault.proxy);
    const tool::HttpAnswer answer = calls_.call(request);
    if (!answer.well()) {
      return Error{0, fmt::format("fault \"{}\": ringgate-chaos at {}{}: {}", fault.name,
                                  scenario_.target.chaos, request.path, answer.text())};
    }
    items_[i].kept = fault.rule_json.empty() ? answer.body : std::string{};
  }
  return {};
}

void Faults::turn(MonoNs since_start, const std::vector<StageSpan>& spans) {
  now_ = since_start;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    const Fault& fault = scenario_.faults[i];
    Item& item = items_[i];
    if (item.state == State::waiting) {
      MonoNs begin = fault.stage < 0 ? 0 : -1;
      for (const StageSpan& span : spans) {
        if (static_cast<std::int32_t>(span.stage) == fault.stage) begin = span.from_ns;
      }
      if (begin >= 0 && since_start >= begin + fault.at_ns) start(i, since_start);
    } else if (item.state == State::on && since_start >= item.began_ns + fault.for_ns) {
      finish(i);
    }
  }
}

void Faults::start(std::size_t index, MonoNs now) {
  const Fault& fault = scenario_.faults[index];
  Item& item = items_[index];
  item.state = State::starting;
  item.began_ns = now;
  const std::string rule =
      fault.rule_json.empty() ? with_enabled(item.kept, true) : fault.rule_json;
  calls_.begin(rule_request(fault, "PUT", rule), [this, index](const tool::HttpAnswer& answer) {
    Item& is = items_[index];
    if (answer.well()) {
      marks_[index].from_ns = now_;
      is.state = State::on;
    } else {
      marks_[index].problem = fmt::format("it did not come: {}", answer.text());
      is.state = State::over;
    }
  });
}

void Faults::finish(std::size_t index) {
  const Fault& fault = scenario_.faults[index];
  items_[index].state = State::ending;
  const tool::HttpRequest request =
      fault.rule_json.empty()
          ? rule_request(fault, "PUT", with_enabled(items_[index].kept, false))
          : rule_request(fault, "DELETE", {});
  calls_.begin(request, [this, index](const tool::HttpAnswer& answer) {
    marks_[index].until_ns = now_;
    items_[index].state = State::over;
    if (!answer.well()) {
      marks_[index].problem = fmt::format("it did not go: {}", answer.text());
    }
  });
}

void Faults::end(MonoNs since_start) {
  now_ = since_start;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (items_[i].state == State::on) finish(i);
  }
}

std::vector<std::string> Faults::active() const {
  std::vector<std::string> names;
  for (std::size_t i = 0; i < items_.size(); ++i) {
    if (items_[i].state == State::on) names.push_back(scenario_.faults[i].name);
  }
  return names;
}

}  // namespace ringgate::load
