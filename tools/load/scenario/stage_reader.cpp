// A stage from its table. See reading.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "engine/config/schema.hpp"
#include "engine/config/units.hpp"
#include "tools/load/scenario/reading.hpp"

namespace ringgate::load {

namespace {

using config::TomlEntry;
using Kind = config::TomlEntry::Kind;

constexpr MonoNs hour_ns = 3600 * ns_per_s;
constexpr MonoNs day_ns = 24 * hour_ns;

// A fleet that works: depots open at six, most are on the road by eight, noon pause, a second peak
// until evening, and by nine at night the yards are closed.
const DayPoint working_day[] = {
    {0 * hour_ns, 0.03},  {5 * hour_ns, 0.05},  {6 * hour_ns, 0.25},  {7 * hour_ns, 0.70},
    {8 * hour_ns, 1.00},  {9 * hour_ns, 0.95},  {11 * hour_ns, 0.85}, {12 * hour_ns, 0.50},
    {13 * hour_ns, 0.55}, {14 * hour_ns, 0.85}, {16 * hour_ns, 0.90}, {17 * hour_ns, 1.00},
    {18 * hour_ns, 0.80}, {19 * hour_ns, 0.40}, {21 * hour_ns, 0.08}, {23 * hour_ns, 0.03}};

// The level a stage leaves behind.
double last_level(const Stage& stage) {
  if (stage.kind == StageKind::sustained || stage.kind == StageKind::stress) return stage.from;
  return level_at(stage, stage.duration_ns);
}

// Where a stage begins by itself.
double first_level(const Stage& stage, const Stage* before) {
  const bool users = stage.vary == Vary::users;
  if (before == nullptr) return users ? 0 : 1;
  if (before->vary == stage.vary) {
    const double last = last_level(*before);
    return users ? std::round(last) : last;
  }
  return users ? before->users : before->rate;
}

void read_level(const Fields& fields, Stage& stage, const Stage* before) {
  stage.users = static_cast<std::uint32_t>(fields["users"].number);
  stage.rate = fields["rate"].number;
  const bool users_vary = stage.vary == Vary::users;
  const bool constant = stage.kind == StageKind::constant;
  if (constant ? !fields.has("users") : !users_vary && !fields.has("users")) {
    fields.complain("users", fmt::format("{} needs users: how many there are", fields.who()));
  }
  if (!constant && users_vary && fields.has("users")) {
    fields.complain("users", fmt::format("users of a {} stage are from and to; users itself goes "
                                         "with vary = \"rate\"", name_of(stage.kind)));
  }
  if (!constant && !users_vary && fields.has("rate")) {
    fields.complain("rate", "with vary = \"rate\" the factor goes from `from` to `to`");
  }
  if (constant) {
    stage.from = stage.to = users_vary ? stage.users : stage.rate;
    return;
  }
  if (stage.kind != StageKind::day) {
    stage.from = fields.has("from") ? fields["from"].number : first_level(stage, before);
  }
  stage.to = fields["to"].number;
  for (const std::string_view key : {"from", "to", "increment"}) {
    const double number = fields[key].number;
    if (users_vary && fields.sound(key) && number != std::floor(number)) {
      fields.complain(key, fmt::format("{} are users: a whole number, not {:g}", key, number));
    }
  }
}

void read_spike(const Fields& fields, Stage& stage) {
  required(fields, {"hold"});
  stage.rise_ns = fields["rise"].time_ns;
  stage.hold_ns = fields["hold"].time_ns;
  stage.fall_ns = fields["fall"].time_ns;
  const MonoNs length = stage.rise_ns + stage.hold_ns + stage.fall_ns;
  stage.at_ns = fields.has("at") ? fields["at"].time_ns : (stage.duration_ns - length) / 2;
  if (stage.duration_ns > 0 && fields.has("hold") &&
      (stage.at_ns < 0 || stage.at_ns + length > stage.duration_ns)) {
    fields.complain(fields.has("at") ? "at" : "hold",
                    fmt::format("the spike takes {} from {} on, and the stage only {}",
                                config::format_duration(length),
                                config::format_duration(std::max<MonoNs>(stage.at_ns, 0)),
                                config::format_duration(stage.duration_ns)));
  }
  if (fields.sound("to") && stage.to <= stage.from) {
    fields.complain("to", fmt::format("a spike rises: to must be above from ({:g})", stage.from));
  }
}

void read_day_table(const Fields& fields, Stage& stage, Complaints& complaints) {
  if (!fields.has("day")) {
    stage.day.assign(std::begin(working_day), std::end(working_day));
    return;
  }
  const TomlEntry& entry = *fields["day"].entry;
  if (entry.kind == Kind::text && entry.text == "working") {
    stage.day.assign(std::begin(working_day), std::end(working_day));
    return;
  }
  if (entry.kind != Kind::table) {
    return complaints.at_value(entry, fmt::format("day must be \"working\" or a table such as {{ "
                                                  "\"08:00\" = 0.9, \"20:00\" = 0.1 }}, not {}",
                                                  config::described(entry)));
  }
  if (entry.children.empty()) complaints.at_value(entry, "day has no time of the day");
  for (const TomlEntry& child : entry.children) {
    const std::string_view name = config::name_in(child, entry.path);
    const MonoNs at = parse_time_of_day(name);
    const bool whole = child.kind == Kind::integer;
    const double share = whole ? static_cast<double>(child.integer) : child.number;
    if (at < 0 || at >= day_ns) {
      complaints.at_key(child, fmt::format("{} is no time of the day such as \"06:30\"",
                                           config::toml_quoted(name)));
    } else if ((!whole && child.kind != Kind::number) || !(share >= 0 && share <= 1)) {
      complaints.at_value(child, fmt::format("the share at {} must be a number from 0 to 1", name));
    } else {
      stage.day.push_back({at, share});
    }
  }
  std::sort(stage.day.begin(), stage.day.end(), [](const DayPoint& a, const DayPoint& b) {
    return a.at_ns < b.at_ns;
  });
  const auto same = std::adjacent_find(stage.day.begin(), stage.day.end(),
                                       [](const DayPoint& a, const DayPoint& b) {
                                         return a.at_ns == b.at_ns;
                                       });
  if (same != stage.day.end()) complaints.at_value(entry, "day has one time twice");
  // Told of already; the next stage asks for the level that this one leaves behind.
  if (stage.day.empty()) stage.day.assign(std::begin(working_day), std::end(working_day));
}

void read_day(const Fields& fields, Stage& stage, Complaints& complaints) {
  read_day_table(fields, stage, complaints);
  stage.day_from_ns = fields["day_from"].time_ns;
  stage.day_until_ns = fields["day_until"].time_ns;
  if (stage.day_until_ns <= stage.day_from_ns) stage.day_until_ns += day_ns;
  const bool timed = fields.has("duration");
  if (timed && fields.has("speed")) {
    fields.complain("speed", "speed and duration say the same: leave one of them out");
  } else if (fields.sound("speed")) {
    const double length = static_cast<double>(stage.day_until_ns - stage.day_from_ns);
    stage.duration_ns = static_cast<MonoNs>(length / fields["speed"].number);
  } else if (!timed && !fields.has("speed")) {
    fields.complain("duration", fmt::format("{} needs a duration (how long the day takes) or a "
                                            "speed such as speed = 60", fields.who()));
  }
}

void read_search(const Fields& fields, Stage& stage) {
  stage.growth = fields["growth"].number;
  stage.increment = fields["increment"].number;
  stage.every_ns = fields["every"].time_ns;
  stage.patience_ns = fields["patience"].time_ns;
  stage.recover_ns = fields["recover"].time_ns;
  stage.bounds = fields["bounds"].conditions;
  if (fields.has("growth") && fields.has("increment")) {
    fields.complain("increment", "growth and increment are two ways of the same: leave one out");
  }
  if (fields.sound("bounds") && stage.bounds.empty()) {
    fields.complain("bounds", "a search needs at least one bound to break, such as \"p99 < 50ms\"");
  }
  required(fields, {"bounds"});
  for (const Condition& bound : stage.bounds) {
    if (bound.metric == Metric::lost || bound.metric == Metric::duplicated ||
        bound.metric == Metric::reordered) {
      fields.complain("bounds", fmt::format("\"{}\" is known after the run only", bound.text));
    }
  }
  if (fields.sound("to") && stage.to <= stage.from) {
    fields.complain("to", fmt::format("a search rises: to must be above from ({:g})", stage.from));
  }
}

void check_start(const Fields& fields, const Stage& stage) {
  const bool searches = stage.kind == StageKind::stress || stage.kind == StageKind::sustained;
  if (searches && stage.from <= 0) {
    fields.complain("from", fmt::format("{} begins with some load: from must be above 0",
                                        fields.who()));
  }
  if (stage.kind == StageKind::sustained && fields.sound("to") && stage.to < stage.from) {
    fields.complain("to", "to is the highest load: it must not be below from");
  }
}

}  // namespace

Stage read_stage(const TomlEntry& table, std::size_t index, const Stage* before,
                 Complaints& complaints) {
  std::string kind;
  for (const TomlEntry& child : table.children) {
    if (child.kind == Kind::text && config::name_in(child, table.path) == "kind") kind = child.text;
  }
  const auto kinds = rule_of("stage", "kind").choices;
  const bool known = std::find(kinds.begin(), kinds.end(), kind) != kinds.end();
  const Fields fields(table, "stage", known ? std::string_view(kind) : std::string_view{},
                      known ? fmt::format("this {} stage", kind)
                            : fmt::format("stage number {}", index + 1),
                      complaints);
  Stage made;
  required(fields, {"kind"});
  made.name = fields["name"].text;
  made.kind = static_cast<StageKind>(fields["kind"].choice);
  made.vary = static_cast<Vary>(fields["vary"].choice);
  made.connect_rate = fields["connect_rate"].number;
  made.warmup = fields["warmup"].boolean;
  made.duration_ns = fields["duration"].time_ns;
  if (!known) return made;
  if (made.kind != StageKind::day) required(fields, {"duration"});
  if (made.kind != StageKind::constant) required(fields, {"to"});
  read_level(fields, made, before);
  switch (made.kind) {
    case StageKind::step: made.steps = static_cast<std::uint32_t>(fields["steps"].number); break;
    case StageKind::spike: read_spike(fields, made); break;
    case StageKind::wave:
      required(fields, {"period"});
      made.period_ns = std::max<MonoNs>(fields["period"].time_ns, 1);
      break;
    case StageKind::day: read_day(fields, made, complaints); break;
    case StageKind::sustained:
      required(fields, {"goal"});
      if (!fields["goal"].conditions.empty()) made.goal = fields["goal"].conditions.front();
      break;
    case StageKind::stress: read_search(fields, made); break;
    case StageKind::constant:
    case StageKind::ramp: break;
  }
  check_start(fields, made);
  return made;
}

}  // namespace ringgate::load
