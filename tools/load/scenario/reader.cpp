// A scenario from its text. The table of keys (keys.cpp) says what each value may be; here is what
// they must be together. See scenario.hpp.
#include <fmt/format.h>

#include <algorithm>
#include <arpa/inet.h>
#include <cmath>
#include <nlohmann/json.hpp>
#include <set>

#include "engine/config/schema.hpp"
#include "tools/load/scenario/reading.hpp"
#include "tools/load/scenario/sets.hpp"
#include "tools/load/scenario/shorten.hpp"

namespace ringgate::load {

namespace {

using config::TomlEntry;
using config::toml_quoted;
using Kind = config::TomlEntry::Kind;

// Where the file's place says nothing, the message is about the whole.
constexpr unsigned top_line = 1;

std::string bare_name(const std::string& name) {
  std::string bare = name.substr(name.rfind('/') + 1);
  if (bare.ends_with(".toml")) bare.resize(bare.size() - 5);
  return bare;
}

// "FILE:12:5" of the configuration's parser.
void take_syntax_error(const config::ConfigError& error, Complaints& complaints) {
  unsigned numbers[2] = {1, 1};
  std::string_view where = error.where;
  for (const int i : {1, 0}) {
    const std::size_t colon = where.rfind(':');
    if (colon == std::string_view::npos) break;
    numbers[i] = static_cast<unsigned>(
        std::strtoul(std::string(where.substr(colon + 1)).c_str(), nullptr, 10));
    where = where.substr(0, colon);
  }
  complaints.add(numbers[0], numbers[1],
                 error.message + "; mend this first: nothing else of the file could be looked at");
}

// Numbers are JSON's, dates their text.
nlohmann::json json_of(const TomlEntry& entry) {
  switch (entry.kind) {
    case Kind::boolean: return entry.boolean;
    case Kind::integer: return entry.integer;
    case Kind::number: return entry.number;
    case Kind::text: return entry.text;
    case Kind::time: return nullptr;
    case Kind::list: {
      nlohmann::json list = nlohmann::json::array();
      for (const TomlEntry& child : entry.children) list.push_back(json_of(child));
      return list;
    }
    case Kind::table: break;
  }
  nlohmann::json table = nlohmann::json::object();
  for (const TomlEntry& child : entry.children) {
    table[std::string(config::name_in(child, entry.path))] = json_of(child);
  }
  return table;
}

class Reader {
 public:
  Reader(Scenario& scenario, Complaints& complaints)
      : scenario_(scenario), complaints_(complaints) {}

  void read(const TomlEntry& top) {
    const Fields fields(top, "", "", "the scenario", complaints_);
    scenario_.description = fields["description"].text;
    scenario_.seed = static_cast<std::uint64_t>(fields["seed"].number);
    target(fields);
    tables(fields, "class", [&](const TomlEntry& table, std::size_t index) {
      bool counted = false;
      scenario_.classes.push_back(read_class(table, index, complaints_, counted));
      class_tables_.push_back(&table);
      users_known_ &= counted;
    });
    tables(fields, "stage", [&](const TomlEntry& table, std::size_t index) {
      const Stage* before = scenario_.stages.empty() ? nullptr : &scenario_.stages.back();
      const std::size_t told = complaints_.count();
      scenario_.stages.push_back(read_stage(table, index, before, complaints_));
      stage_tables_.push_back(&table);
      users_known_ &= told == complaints_.count();
    });
    users_known_ &= !scenario_.classes.empty() && !scenario_.stages.empty();
    collect_names();
    tables(fields, "fault", [&](const TomlEntry& table, std::size_t) { fault(table); });
    if (fields.has("thresholds")) thresholds(fields);
    if (fields.has("verify")) verify(fields);
    unique_names(fields);
    together(fields);
  }

 private:
  static bool is_no_table(const Fields& fields, std::string_view key) {
    return fields.has(key) && fields[key].entry->kind != Kind::table;
  }

  // The sub-table of a key, or null where there is none; what is no table is told.
  const TomlEntry* section(const Fields& fields, std::string_view key) {
    if (!fields.has(key)) return nullptr;
    const TomlEntry* entry = fields[key].entry;
    if (entry->kind == Kind::table) return entry;
    complaints_.at_key(*entry, fmt::format("{} is a section: write [{}] and its keys below, not {}",
                                           key, key, config::described(*entry)));
    return nullptr;
  }

  template <class Each>
  void tables(const Fields& fields, std::string_view key, Each each) {
    if (!fields.has(key)) {
      if (fields[key].rule->key.initial == "required") {
        complaints_.add(top_line, 1, fmt::format("there is no {}: write at least one [[{}]]", key,
                                                 key));
      }
      return;
    }
    const TomlEntry& list = *fields[key].entry;
    if (list.kind != Kind::list) {
      return complaints_.at_key(list, fmt::format("there may be several of it: write [[{}]] "
                                                  "instead of {}", key,
                                                  list.kind == Kind::table
                                                      ? fmt::format("[{}]", key)
                                                      : config::described(list)));
    }
    if (list.children.empty() && fields[key].rule->key.initial == "required") {
      complaints_.at_value(list, fmt::format("there is no {}: write at least one [[{}]]", key,
                                             key));
    }
    for (std::size_t i = 0; i < list.children.size(); ++i) {
      if (list.children[i].kind == Kind::table) {
        each(list.children[i], i);
      } else {
        complaints_.at_value(list.children[i], fmt::format("a {} is a table: [[{}]]", key, key));
      }
    }
  }

  void target(const Fields& top) {
    const TomlEntry* entry = section(top, "target");
    static const TomlEntry nothing;
    const Fields fields(entry != nullptr ? *entry : nothing, "target", "", "target", complaints_);
    Target& to = scenario_.target;
    const auto tries = [&](std::string_view key) {
      return is_no_table(top, "target") ||
             (fields.has(key) && !(fields.sound(key) && fields[key].text.empty()));
    };
    has_tls_ = tries("jt808_tls");
    has_chaos_ = tries("chaos");
    to.jt808 = fields["jt808"].text;
    to.jt808_udp = fields.has("jt808_udp") ? fields["jt808_udp"].text : to.jt808;
    to.jt808_tls = fields["jt808_tls"].text;
    to.http = fields["http"].text;
    to.chaos = fields["chaos"].text;
    to.token_file = fields["token_file"].text;
    if (!fields.has("server_pid")) return;
    const TomlEntry& pid = *fields["server_pid"].entry;
    const bool number = pid.kind == Kind::integer && pid.integer > 0 && pid.integer <= INT32_MAX;
    if (number) {
      to.server_pid = static_cast<std::int32_t>(pid.integer);
    } else if (pid.kind == Kind::text && pid.text == "none") {
      to.server_pid = Target::server_none;
    } else if (pid.kind != Kind::text || pid.text != "auto") {
      complaints_.at_value(pid, fmt::format("server_pid must be \"auto\", \"none\" or a process' "
                                            "number, not {}", config::described(pid)));
    }
  }

  // Names of classes and stages are each one's own; a stage without one gets its kind.
  void collect_names() {
    std::set<std::string> taken;
    for (const Stage& stage : scenario_.stages) taken.insert(stage.name);
    std::uint32_t number = 0;
    for (Stage& stage : scenario_.stages) {
      ++number;
      if (!stage.name.empty()) continue;
      stage.name = fmt::format("{} {}", name_of(stage.kind), number);
      while (!taken.insert(stage.name).second) stage.name += '\'';
    }
    for (const UserClass& one : scenario_.classes) class_names_.push_back(one.name);
    for (const Stage& one : scenario_.stages) stage_names_.push_back(one.name);
  }

  static std::int32_t index_in(const std::vector<std::string>& names, std::string_view name) {
    const auto found = std::find(names.begin(), names.end(), name);
    return found == names.end() ? -1 : static_cast<std::int32_t>(found - names.begin());
  }
  static std::string unknown(std::string_view what, std::string_view name,
                             const std::vector<std::string>& names) {
    const std::vector<std::string_view> known(names.begin(), names.end());
    return fmt::format("there is no {} {}{}", what, toml_quoted(name),
                       config::meant(config::nearest(name, known)));
  }

  void fault(const TomlEntry& table) {
    const Fields fields(table, "fault", "", "this fault", complaints_);
    Fault made;
    if (!required(fields, {"at", "for", "proxy", "rule"})) return;
    made.at_ns = fields["at"].time_ns;
    made.for_ns = fields["for"].time_ns;
    made.proxy = fields["proxy"].text;
    if (fields.sound("stage")) {
      made.stage = index_in(stage_names_, fields["stage"].text);
      if (made.stage < 0) {
        fields.complain("stage", unknown("stage", fields["stage"].text, stage_names_));
      } else if (made.at_ns >= scenario_.stages[static_cast<std::size_t>(made.stage)].duration_ns) {
        fields.complain("at", "the stage is over by then");
      }
    }
    rule(*fields["rule"].entry, made);
    made.name = fields["name"].text;
    if (made.name.empty()) made.name = fmt::format("{} {}", made.proxy, made.rule);
    scenario_.faults.push_back(std::move(made));
  }

  void rule(const TomlEntry& entry, Fault& made) {
    if (entry.kind == Kind::text && !entry.text.empty()) {
      made.rule = entry.text;
      return;
    }
    if (entry.kind != Kind::table) {
      return complaints_.at_value(entry, fmt::format("rule must be the name of a rule of the "
                                                     "proxy, or a rule as a table, not {}",
                                                     config::described(entry)));
    }
    nlohmann::json json = json_of(entry);
    const auto name = json.find("name");
    made.rule = name != json.end() && name->is_string() ? name->get<std::string>()
                                                        : fmt::format("load-{}",
                                                                      scenario_.faults.size() + 1);
    made.rule_json = json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
  }

  void thresholds(const Fields& top) {
    const TomlEntry* entry = section(top, "thresholds");
    if (entry == nullptr) return;
    const Fields fields(*entry, "thresholds", "", "thresholds", complaints_);
    Thresholds& to = scenario_.thresholds;
    to.abort = fields["abort"].boolean;
    to.abort_after_ns = fields["abort_after"].time_ns;
    if (fields.has("all")) add_thresholds(*fields["all"].entry, {}, false);
    scoped(fields, "class", class_names_, [](Scope& scope, std::int32_t i) {
      scope.class_index = i;
    });
    scoped(fields, "stage", stage_names_, [](Scope& scope, std::int32_t i) {
      scope.stage_index = i;
    });
  }

  template <class Put>
  void scoped(const Fields& fields, std::string_view key, const std::vector<std::string>& names,
              Put put) {
    if (!fields.has(key)) return;
    const TomlEntry& table = *fields[key].entry;
    if (table.kind != Kind::table) {
      return complaints_.at_value(table, fmt::format("thresholds.{} is a table: write "
                                                     "[thresholds.{}] and NAME = [...] below",
                                                     key, key));
    }
    for (const TomlEntry& child : table.children) {
      const std::string_view name = config::name_in(child, table.path);
      Scope scope;
      const std::int32_t index = index_in(names, name);
      if (index < 0) complaints_.at_key(child, unknown(key, name, names));
      put(scope, index);
      if (index >= 0) add_thresholds(child, scope, true);
    }
  }

  // What users of a kind never do can't be measured: the condition would never hold.
  bool measurable(Metric metric, const Scope& scope) const {
    const bool of_subscribers = metric == Metric::delivery || metric == Metric::delivered_rate;
    const bool of_answers = metric == Metric::response || metric == Metric::service ||
                            metric == Metric::lag || metric == Metric::acked_rate;
    if (!of_subscribers && !of_answers) return true;
    const auto does = [&](const UserClass& one) {
      const bool answered = one.kind == UserKind::terminal || one.kind == UserKind::api ||
                            one.kind == UserKind::flapping;
      return of_subscribers ? one.kind == UserKind::subscriber : answered;
    };
    const std::vector<UserClass>& classes = scenario_.classes;
    if (scope.class_index >= 0) return does(classes[static_cast<std::size_t>(scope.class_index)]);
    return std::any_of(classes.begin(), classes.end(), does);
  }

  // `tell`: what is wrong with a condition itself has not been told yet.
  void add_thresholds(const TomlEntry& entry, const Scope& scope, bool tell) {
    const std::span<const TomlEntry> each =
        entry.kind == Kind::list ? std::span<const TomlEntry>(entry.children)
                                 : std::span<const TomlEntry>(&entry, 1);
    for (const TomlEntry& one : each) {
      if (one.kind != Kind::text) {
        if (!tell) continue;
        complaints_.at_value(one, fmt::format("a condition is a text such as \"p99 < 20ms\", not "
                                              "{}", config::described(one)));
        continue;
      }
      auto parsed = parse_condition(one.text);
      if (!parsed) {
        if (tell) complaints_.inside(one, parsed.error().offset, parsed.error().message);
      } else if (!measurable(parsed->metric, scope)) {
        complaints_.inside(one, 0, "no such user is ever measured by it, so it would never hold: "
                                   "answers are of kinds terminal, api and flapping, delivery is "
                                   "of kind subscriber");
      } else {
        scenario_.thresholds.all.push_back({scope, std::move(parsed).value()});
      }
    }
  }

  void verify(const Fields& top) {
    const TomlEntry* entry = section(top, "verify");
    if (entry == nullptr) return;
    const Fields fields(*entry, "verify", "", "verify", complaints_);
    scenario_.verify.log_dir = fields["log"].text;
    scenario_.verify.api = fields["api"].text;
  }

  // What only holds of the whole: told wherever the values it is about could be read.
  void together(const Fields& top) {
    if (has_faults(top) && !has_chaos_) {
      complaints_.at_value(top["fault"].entry->children[0],
                           "a fault needs ringgate-chaos: add chaos = \"HOST:PORT\" to [target]");
    }
    for (std::size_t i = 0; i < scenario_.classes.size(); ++i) {
      if (scenario_.classes[i].transport != Transport::tls || has_tls_) continue;
      complaints_.at_value(*class_tables_[i],
                           fmt::format("{} has transport tls: add jt808_tls = \"HOST:PORT\" to "
                                       "[target]", toml_quoted(scenario_.classes[i].name)));
    }
    if (!users_known_) return;
    users_together();
    phones_together();
  }

  // Whether there is a [[fault]] at all.
  static bool has_faults(const Fields& top) {
    if (!top.has("fault")) return false;
    const TomlEntry& list = *top["fault"].entry;
    return list.kind == Kind::list && !list.children.empty() &&
           list.children[0].kind == Kind::table;
  }

  void users_together() {
    const bool weighed = std::any_of(scenario_.classes.begin(), scenario_.classes.end(),
                                     [](const UserClass& one) {
                                       return one.users == 0 && one.weight > 0;
                                     });
    for (std::size_t i = 0; i < scenario_.stages.size(); ++i) {
      const Stage& stage = scenario_.stages[i];
      const double most = stage.vary == Vary::users ? std::max(stage.from, stage.to) : stage.users;
      if (!weighed && most > 0) {
        complaints_.at_value(*stage_tables_[i], "no class takes this stage's users: give one of "
                                                "them a weight above 0");
      }
    }
  }

  void unique_names(const Fields& top) {
    const auto look = [&](std::string_view list, const std::vector<std::string>& names) {
      std::set<std::string_view> seen;
      for (std::size_t i = 0; i < names.size(); ++i) {
        // What has no name is told already, and so is a list of anything but tables.
        if (names.size() != top[list].entry->children.size() || names[i].empty()) continue;
        const TomlEntry& table = top[list].entry->children[i];
        if (!seen.insert(names[i]).second) {
          complaints_.at_value(table, fmt::format("there is another {} {}: names tell them apart",
                                                  list, toml_quoted(names[i])));
        }
      }
    };
    look("class", class_names_);
    look("stage", stage_names_);
  }

  void phones_together() {
    const std::vector<std::uint32_t> most = scenario_.users_max_by_class();
    std::uint64_t sum = 0;
    for (std::size_t i = 0; i < most.size(); ++i) {
      UserClass& one = scenario_.classes[i];
      const TomlEntry& table = *class_tables_[i];
      sum += most[i];
      if (one.phone_base == 0) one.phone_base = phone_base_first + i * phone_base_step;
      if (one.phone_base + most[i] > phone_end) {
        complaints_.at_value(table, fmt::format("{} has {} users: from phone {} on there are not "
                                                "so many of twelve digits", toml_quoted(one.name),
                                                most[i], one.phone_base));
      }
      for (std::size_t j = 0; j < i; ++j) {
        const UserClass& other = scenario_.classes[j];
        if (one.phone_base < other.phone_base + most[j] &&
            other.phone_base < one.phone_base + most[i]) {
          complaints_.at_value(table, fmt::format("phones of {} are those of {}: give it another "
                                                  "phone_base", toml_quoted(one.name),
                                                  toml_quoted(other.name)));
        }
      }
    }
    if (sum > scenario_users_max) {
      complaints_.add(top_line, 1, fmt::format("{} users at once, {} are possible", sum,
                                               scenario_users_max));
    }
  }

  static constexpr std::uint64_t phone_base_first = 13'800'000'000;
  static constexpr std::uint64_t phone_base_step = scenario_users_max;
  static constexpr std::uint64_t phone_end = 1'000'000'000'000;

  Scenario& scenario_;
  Complaints& complaints_;
  std::vector<std::string> class_names_;
  std::vector<std::string> stage_names_;
  // Where each of the scenario's classes and stages stands.
  std::vector<const TomlEntry*> class_tables_;
  std::vector<const TomlEntry*> stage_tables_;
  bool users_known_ = true;  // how many users of each class there are, and which phones they have
  bool has_tls_ = false;     // a target, be it well written or not
  bool has_chaos_ = false;
};

}  // namespace

std::string Problem::text() const {
  if (line == 0) return fmt::format("{}: {}", name, message);
  return fmt::format("{}:{}:{}: {}", name, line, column, message);
}

bool required(const Fields& fields, std::initializer_list<std::string_view> keys) {
  bool all = true;
  for (const std::string_view key : keys) {
    if (!fields.has(key)) fields.complain(key, fmt::format("{} needs {}", fields.who(), key));
    all &= fields.has(key);
  }
  return all;
}

Result<Scenario, Problems> read_scenario(std::string_view text, const std::string& name,
                                         const ReadOptions& options) {
  std::vector<std::string> sets = options.sets;
  if (options.seed > 0) sets.push_back(fmt::format("seed={}", options.seed));
  if (!options.target.empty()) sets.push_back(fmt::format("target.jt808={}", options.target));
  Complaints complaints(text, name, set_keys(sets));
  Scenario scenario;
  scenario.name = bare_name(name);
  if (text.size() > scenario_bytes_max) {
    complaints.add(0, 0, "larger than 1 MiB; that is no scenario");
    return std::move(complaints).take();
  }
  auto top = config::parse_toml(text, name);
  if (!top) {
    take_syntax_error(top.error(), complaints);
    return std::move(complaints).take();
  }
  apply_sets(*top, sets, complaints);
  Reader(scenario, complaints).read(*top);
  if (!(options.shorten > 0 && options.shorten <= 1)) {
    complaints.add(0, 0, "--shorten must be above 0 and at most 1: 0.1 is a tenth of the users and "
                         "of the time");
  }
  if (!complaints.none()) return std::move(complaints).take();
  scenario.text = std::string(text);
  scenario.read_with = options;
  if (options.shorten < 1) shorten(scenario, options.shorten);
  return scenario;
}

std::vector<std::uint32_t> Scenario::users_max_by_class() const {
  double most = 0;
  for (const Stage& stage : stages) {
    const double top = stage.vary == Vary::users ? std::max(stage.from, stage.to) : stage.users;
    most = std::max(most, top);
  }
  return spread(classes, static_cast<std::uint32_t>(std::lround(most)));
}

std::uint32_t Scenario::users_max() const {
  std::uint32_t sum = 0;
  for (const std::uint32_t users : users_max_by_class()) sum += users;
  return sum;
}

MonoNs Scenario::duration_ns() const {
  MonoNs sum = 0;
  for (const Stage& stage : stages) sum += stage.duration_ns;
  return sum;
}

}  // namespace ringgate::load
