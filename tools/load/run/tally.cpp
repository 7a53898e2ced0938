#include "tools/load/run/tally.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

namespace ringgate::load {
namespace {

using nlohmann::json;

struct CountField {
  const char* name;
  std::uint64_t Tally::*member;
};
constexpr std::array<CountField, 4> gauges{{{"users_wanted", &Tally::users_wanted},
                                            {"users", &Tally::users},
                                            {"ready", &Tally::ready},
                                            {"outstanding", &Tally::outstanding}}};
constexpr std::array<CountField, 10> counters{{{"connected", &Tally::connected},
                                               {"authenticated", &Tally::authenticated},
                                               {"left", &Tally::left},
                                               {"due", &Tally::due},
                                               {"sent", &Tally::sent},
                                               {"acknowledged", &Tally::acknowledged},
                                               {"delivered", &Tally::delivered},
                                               {"dropped", &Tally::dropped},
                                               {"sent_bytes", &Tally::sent_bytes},
                                               {"received_bytes", &Tally::received_bytes}}};
struct LatencyField {
  const char* name;
  Latency Tally::*member;
};
constexpr std::array<LatencyField, 5> latencies{{{"response", &Tally::response},
                                                 {"service", &Tally::service},
                                                 {"lag", &Tally::lag},
                                                 {"connect", &Tally::connect},
                                                 {"delivery", &Tally::delivery}}};

void add(NamedCounts& to, const NamedCounts& from) {
  for (const auto& [name, count] : from) to[name] += count;
}

Error wrong(std::string_view member, std::string_view expected) {
  return Error{0, fmt::format("{}: expected {}", member, expected)};
}

// The member as a count, 0 where it is absent.
template <class Number>
bool read_number(const json& object, const char* name, Number& out) {
  const auto found = object.find(name);
  if (found == object.end()) return true;
  if (!found->is_number_integer()) return false;
  out = found->template get<Number>();
  return true;
}

bool read_counts(const json& object, const char* name, NamedCounts& out) {
  const auto found = object.find(name);
  if (found == object.end()) return true;
  if (!found->is_object()) return false;
  for (const auto& [key, value] : found->items()) {
    if (!value.is_number_unsigned()) return false;
    out[key] = value.get<std::uint64_t>();
  }
  return true;
}

}  // namespace

std::uint64_t Tally::error_count() const {
  std::uint64_t sum = 0;
  for (const auto& [name, count] : errors) sum += count;
  return sum;
}

std::uint64_t Tally::count_of(std::string_view error) const {
  const auto found = errors.find(error);
  return found == errors.end() ? 0 : found->second;
}

double Tally::error_share() const {
  const auto bad = static_cast<double>(error_count());
  return bad == 0 ? 0.0 : bad / (bad + static_cast<double>(acknowledged));
}

void Tally::merge(const Tally& other) {
  for (const CountField& field : gauges) this->*field.member += other.*field.member;
  for (const CountField& field : counters) this->*field.member += other.*field.member;
  for (const LatencyField& field : latencies) (this->*field.member).merge(other.*field.member);
  add(errors, other.errors);
  add(notes, other.notes);
  if (!other.last_error.empty()) last_error = other.last_error;
}

void Tally::append(const Tally& later) {
  for (const CountField& field : gauges) this->*field.member = 0;
  merge(later);
}

json to_json(const Latency& latency) {
  json buckets = json::array();
  for (const Latency::Bucket& bucket : latency.buckets()) {
    buckets.push_back(bucket.step);
    buckets.push_back(bucket.count);
  }
  return {{"count", latency.count()},
          {"sum_ns", latency.sum_ns()},
          {"max_ns", latency.max_ns()},
          {"buckets", std::move(buckets)}};
}

json to_json(const Tally& tally) {
  json out = json::object();
  for (const CountField& field : gauges) {
    if (tally.*field.member != 0) out[field.name] = tally.*field.member;
  }
  for (const CountField& field : counters) {
    if (tally.*field.member != 0) out[field.name] = tally.*field.member;
  }
  if (!tally.errors.empty()) out["errors"] = tally.errors;
  if (!tally.notes.empty()) out["notes"] = tally.notes;
  if (!tally.last_error.empty()) out["last_error"] = tally.last_error;
  for (const LatencyField& field : latencies) {
    const Latency& latency = tally.*field.member;
    if (latency.count() != 0) out[field.name] = to_json(latency);
  }
  return out;
}

json to_json(const Interval& interval) {
  json classes = json::array();
  for (const Tally& tally : interval.classes) classes.push_back(to_json(tally));
  return {{"worker", interval.worker},     {"stage", interval.stage},
          {"from_ns", interval.from_ns},   {"to_ns", interval.to_ns},
          {"cpu_ns", interval.cpu_ns},     {"rss_bytes", interval.rss_bytes},
          {"loop_lag_ns", interval.loop_lag_ns}, {"classes", std::move(classes)}};
}

Result<Latency> latency_from(const json& object) {
  if (!object.is_object()) return wrong("histogram", "an object");
  std::uint64_t sum_ns = 0;
  std::uint64_t max_ns = 0;
  if (!read_number(object, "sum_ns", sum_ns)) return wrong("sum_ns", "a count");
  if (!read_number(object, "max_ns", max_ns)) return wrong("max_ns", "a count");
  std::vector<Latency::Bucket> buckets;
  const auto found = object.find("buckets");
  if (found != object.end()) {
    if (!found->is_array() || found->size() % 2 != 0) {
      return wrong("buckets", "[step, count, step, count, ...]");
    }
    for (std::size_t i = 0; i < found->size(); i += 2) {
      const json& step = (*found)[i];
      const json& count = (*found)[i + 1];
      if (!step.is_number_unsigned() || !count.is_number_unsigned()) {
        return wrong("buckets", "counts");
      }
      const auto number = std::min(step.get<std::uint64_t>(), std::uint64_t{UINT32_MAX});
      buckets.push_back({static_cast<std::uint32_t>(number), count.get<std::uint64_t>()});
    }
  }
  Latency latency;
  if (!latency.assign(std::move(buckets), sum_ns, max_ns)) {
    return wrong("buckets", "ascending steps");
  }
  return latency;
}

Result<Tally> tally_from(const json& object) {
  if (!object.is_object()) return wrong("tally", "an object");
  Tally tally;
  for (const CountField& field : gauges) {
    if (!read_number(object, field.name, tally.*field.member)) return wrong(field.name, "a count");
  }
  for (const CountField& field : counters) {
    if (!read_number(object, field.name, tally.*field.member)) return wrong(field.name, "a count");
  }
  if (!read_counts(object, "errors", tally.errors)) return wrong("errors", "counts by name");
  if (!read_counts(object, "notes", tally.notes)) return wrong("notes", "counts by name");
  if (const auto found = object.find("last_error"); found != object.end()) {
    if (!found->is_string()) return wrong("last_error", "text");
    tally.last_error = found->get<std::string>();
  }
  for (const LatencyField& field : latencies) {
    const auto found = object.find(field.name);
    if (found == object.end()) continue;
    Result<Latency> latency = latency_from(*found);
    if (!latency.ok()) {
      return Error{0, fmt::format("{}: {}", field.name, latency.error().message)};
    }
    tally.*field.member = std::move(*latency);
  }
  return tally;
}

Result<Interval> interval_from(const json& object) {
  if (!object.is_object()) return wrong("interval", "an object");
  Interval out;
  if (!read_number(object, "worker", out.worker) || !read_number(object, "stage", out.stage) ||
      !read_number(object, "from_ns", out.from_ns) || !read_number(object, "to_ns", out.to_ns) ||
      !read_number(object, "cpu_ns", out.cpu_ns) ||
      !read_number(object, "rss_bytes", out.rss_bytes) ||
      !read_number(object, "loop_lag_ns", out.loop_lag_ns)) {
    return wrong("interval", "integers");
  }
  const auto classes = object.find("classes");
  if (classes == object.end() || !classes->is_array()) return wrong("classes", "a list");
  for (const json& one : *classes) {
    Result<Tally> tally = tally_from(one);
    if (!tally.ok()) return tally.error();
    out.classes.push_back(std::move(*tally));
  }
  return out;
}

}  // namespace ringgate::load
