#include "tools/load/run/gateway_watch.hpp"

#include <fmt/core.h>

#include <charconv>
#include <limits>

#include "tools/common/gateway.hpp"

namespace ringgate::load {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();
constexpr std::string_view prefix = "ringgate_";

// "key value" -> both; labels may have blanks, values have none.
bool split(std::string_view line, std::string_view& key, double& value) {
  if (!line.starts_with(prefix)) return false;
  const std::size_t blank = line.rfind(' ');
  if (blank == std::string_view::npos) return false;
  key = line.substr(0, blank);
  const std::string_view number = line.substr(blank + 1);
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  return error == std::errc{} && end == number.data() + number.size();
}

}  // namespace

void GatewayMetrics::add(double at_s, std::string_view exposition) {
  const std::size_t before = times_s.size();
  times_s.push_back(at_s);
  while (!exposition.empty()) {
    const std::size_t end = exposition.find('\n');
    std::string_view key;
    double value = 0;
    const bool is_metric = split(exposition.substr(0, end), key, value);
    exposition.remove_prefix(end == std::string_view::npos ? exposition.size() : end + 1);
    if (!is_metric) continue;
    auto found = series.find(key);
    if (found == series.end()) {
      if (series.size() >= GatewayWatch::series_max) continue;
      found = series.emplace(key, std::vector<double>(before, nan)).first;
    }
    if (found->second.size() == before) found->second.push_back(value);
  }
  for (auto& [key, values] : series) values.resize(times_s.size(), nan);
}

void GatewayMetrics::halve() {
  const auto thin = [](std::vector<double>& values) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < values.size(); i += 2) values[kept++] = values[i];
    values.resize(kept);
  };
  thin(times_s);
  for (auto& [key, values] : series) thin(values);
}

tool::HttpRequest GatewayWatch::request(std::string path) const {
  tool::HttpRequest out;
  out.address = address_;
  out.path = std::move(path);
  out.token = token_;
  return out;
}

// Only for the values that advice starts from; who may not read it has none.
void GatewayWatch::ask_config() {
  calls_.begin(request("/api/v1/config"), [this](const tool::HttpAnswer& answer) {
    if (answer.well()) metrics_.config = tool::settings_of(answer.body);
  });
}

void GatewayWatch::turn(MonoNs since_start) {
  if (over_ || asking_ || since_start < next_ns_) return;
  next_ns_ = since_start + pause_ns_;
  asking_ = true;
  calls_.begin(request("/metrics"), [this, since_start](const tool::HttpAnswer& answer) {
    asking_ = false;
    took(since_start, answer);
  });
}

void GatewayWatch::took(MonoNs at_ns, const tool::HttpAnswer& answer) {
  const bool first = metrics_.times_s.empty();
  if (!answer.well()) {
    metrics_.problem = fmt::format("http://{}/metrics: {}", address_, answer.text());
    // One that was there may come back; one that says no says it again.
    over_ = first || answer.status != 0;
    return;
  }
  metrics_.problem.clear();
  if (first) ask_config();
  metrics_.add(static_cast<double>(at_ns) / 1e9, answer.body);
  if (metrics_.times_s.size() < samples_max) return;
  metrics_.halve();
  pause_ns_ *= 2;
}

}  // namespace ringgate::load
