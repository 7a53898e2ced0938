#include "protocols/api/runs.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/json_writer.hpp"
#include "engine/io/sys.hpp"
#include "protocols/api/body.hpp"
#include "protocols/api/gateway.hpp"
#include "protocols/api/plane.hpp"

namespace ringgate::api {

bool LoadRuns::good_id(std::string_view id) {
  return !id.empty() && id.size() <= run_id_bytes_max && std::ranges::all_of(id, [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           c == '.' || c == '_' || c == '-';
  });
}

void LoadRuns::forget_old(MonoNs now) {
  std::erase_if(runs_, [&](const auto& one) { return now - one.second.told_ns > run_kept_ns; });
}

bool LoadRuns::put(const std::string& id, LoadRun run, MonoNs now) {
  forget_old(now);
  if (runs_.size() >= runs_max && !runs_.contains(id)) return false;
  runs_[id] = {std::move(run), now};
  return true;
}

const std::map<std::string, LoadRuns::Kept>& LoadRuns::at(MonoNs now) {
  forget_old(now);
  return runs_;
}

namespace {

constexpr std::uint64_t count_max = 1'000'000'000'000;

struct TextField {
  const char* name;
  std::string LoadRun::*member;
};
constexpr TextField texts[] = {{"scenario", &LoadRun::scenario},
                               {"stage", &LoadRun::stage},
                               {"phase", &LoadRun::phase}};
struct NumberField {
  const char* name;
  double LoadRun::*member;
};
constexpr NumberField numbers[] = {{"elapsed_s", &LoadRun::elapsed_s},
                                   {"planned_s", &LoadRun::planned_s},
                                   {"sent_per_s", &LoadRun::sent_per_s},
                                   {"acknowledged_per_s", &LoadRun::acknowledged_per_s},
                                   {"p50_ms", &LoadRun::p50_ms},
                                   {"p99_ms", &LoadRun::p99_ms}};
struct CountField {
  const char* name;
  std::uint64_t LoadRun::*member;
};
constexpr CountField counts[] = {{"users", &LoadRun::users},
                                 {"users_wanted", &LoadRun::users_wanted},
                                 {"errors", &LoadRun::errors},
                                 {"workers", &LoadRun::workers},
                                 {"workers_lost", &LoadRun::workers_lost}};

void read_number(Members& members, const char* name, double& out) {
  const Json* const value = members.get(name);
  if (value == nullptr) return;
  const double number = value->is_number() ? value->get<double>() : -1;
  if (!(number >= 0 && number <= static_cast<double>(count_max))) {
    return members.wrong(name, "wants a number from 0 up");
  }
  out = number;
}

void read_faults(Members& members, std::vector<std::string>& out) {
  const Json* const value = members.get("faults");
  if (value == nullptr) return;
  if (!value->is_array() || value->size() > run_faults_max) {
    return members.wrong("faults", fmt::format("wants a list of at most {}", run_faults_max));
  }
  for (const Json& fault : *value) {
    if (!fault.is_string() || fault.get_ref<const std::string&>().size() > run_text_bytes_max) {
      return members.wrong("faults", "wants short texts");
    }
    out.push_back(fault.get<std::string>());
  }
}

void put_run(Plane& plane, const CallPtr& call) {
  if (!LoadRuns::good_id(call->value(0))) {
    return call->problem(400, fmt::format("the run's id: letters, digits, '.', '_', '-', at most "
                                          "{} of them", run_id_bytes_max));
  }
  const auto body = call->json();
  if (!body) return;
  Members members(*body);
  LoadRun run;
  for (const TextField& one : texts) members.text(one.name, run.*one.member, run_text_bytes_max);
  for (const NumberField& one : numbers) read_number(members, one.name, run.*one.member);
  for (const CountField& one : counts) members.number(one.name, run.*one.member, 0, count_max);
  read_faults(members, run.faults);
  if (!members.has("scenario")) members.wrong("scenario", "is missing");
  if (!members.error().empty()) return call->problem(400, members.error());
  if (!plane.load_runs().put(call->value(0), std::move(run), io::real_sys().mono_now())) {
    return call->problem(409, fmt::format("there are {} runs already", runs_max));
  }
  call->answer({}, 204);
}

void get_runs(Plane& plane, const CallPtr& call) {
  const MonoNs now = io::real_sys().mono_now();
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("runs").begin_array();
  for (const auto& [id, kept] : plane.load_runs().at(now)) {
    json.begin_object().key("id").text(id);
    for (const TextField& one : texts) json.key(one.name).text(kept.run.*one.member);
    for (const NumberField& one : numbers) json.key(one.name).number(kept.run.*one.member, 3);
    for (const CountField& one : counts) {
      json.key(one.name).unsigned_integer(kept.run.*one.member);
    }
    json.key("faults").begin_array();
    for (const std::string& fault : kept.run.faults) json.text(fault);
    json.end_array();
    json.key("silent_s").number(static_cast<double>(now - kept.told_ns) / 1e9, 3).end_object();
  }
  json.end_array().end_object();
  call->answer(std::move(text));
}

constexpr Parameter run_parameters[] = {
    {.name = "id",
     .in = Parameter::In::path,
     .doc = "The run's own name for itself.",
     .required = true},
};

#define RG_AMOUNT R"({"type":"number","minimum":0})"
#define RG_WHOLE R"({"type":"integer","minimum":0})"
#define RG_SHORT R"({"type":"string","maxLength":128})"
#define RG_RUN_MEMBERS                                                                         \
  R"("scenario":)" RG_SHORT R"(,"stage":)" RG_SHORT R"(,"phase":)" RG_SHORT                    \
  R"(,"elapsed_s":)" RG_AMOUNT R"(,"planned_s":)" RG_AMOUNT R"(,"sent_per_s":)" RG_AMOUNT      \
  R"(,"acknowledged_per_s":)" RG_AMOUNT R"(,"p50_ms":)" RG_AMOUNT R"(,"p99_ms":)" RG_AMOUNT    \
  R"(,"users":)" RG_WHOLE R"(,"users_wanted":)" RG_WHOLE R"(,"errors":)" RG_WHOLE              \
  R"(,"workers":)" RG_WHOLE R"(,"workers_lost":)" RG_WHOLE                                     \
  R"(,"faults":{"type":"array","maxItems":16,"items":)" RG_SHORT "}"

constexpr Route routes[] = {
    {.path = "/api/v1/runs",
     .summary = "Load runs in progress against this gateway, as they tell of themselves.",
     .response_schema =
         R"({"type":"object","required":["runs"],"properties":{"runs":{"type":"array","items":)"
         R"({"type":"object","required":["id","scenario","silent_s"],"properties":{"id":)" RG_SHORT
         R"(,"silent_s":)" RG_AMOUNT "," RG_RUN_MEMBERS
         R"(},"additionalProperties":false}}},"additionalProperties":false})",
     .run = get_runs},
    {.method = http::Method::put,
     .path = "/api/v1/runs/{id}",
     .scope = Scope::command,
     .summary = "Tells of a load run, each second; 30 s after the last time it is forgotten.",
     .parameters = run_parameters,
     .request_schema = R"({"type":"object","required":["scenario"],"properties":{)" RG_RUN_MEMBERS
                       R"(},"additionalProperties":false})",
     .success = 204,
     .body_bytes_max = run_body_bytes_max,
     .noted = false,
     .run = put_run},
};

}  // namespace

const std::span<const Route> run_routes = routes;

}  // namespace ringgate::api
