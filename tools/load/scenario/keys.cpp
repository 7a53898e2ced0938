// Every key of a scenario: what the reader takes, and what the reference in README.md tells.
#include <deque>

#include "tools/load/scenario/fields.hpp"

namespace ringgate::load {

namespace {

constexpr std::string_view user_kinds[] = {"terminal", "api",      "subscriber",
                                           "silent",   "flapping", "hostile"};
constexpr std::string_view stage_kinds[] = {"constant", "ramp", "step",      "spike",
                                            "wave",     "day",  "sustained", "stress"};
constexpr std::string_view versions[] = {"2013", "2019"};
constexpr std::string_view transports[] = {"tcp", "udp", "tls"};
constexpr std::string_view profiles[] = {"parked", "drive", "alarms"};
constexpr std::string_view feeds[] = {"websocket", "sse"};
constexpr std::string_view silences[] = {"connect", "half_frame", "sign_in"};
constexpr std::string_view leaves[] = {"soft", "hard", "either"};
constexpr std::string_view attacks[] = {"garbage", "bad_check", "giant_frame", "bad_http",
                                        "slow_bytes"};
constexpr std::string_view varies[] = {"users", "rate"};
constexpr std::string_view methods[] = {"GET", "POST", "PUT", "DELETE"};

constexpr std::string_view device_like = "terminal, silent, flapping, hostile";
constexpr double users_max = scenario_users_max;
constexpr double day_s = 86400;
constexpr double year_s = 366 * day_s;
constexpr double name_max = 100;  // bytes: it stands in tables and plots
constexpr double text_max = 1000;
constexpr double path_max = 4096;  // what the kernel takes
constexpr double body_max = 65536;

using enum FieldType;
const FieldRule rules[] = {
    {{"", "description", "text", "\"\"", "", "A sentence for lists and reports."},
     text, 0, text_max},
    {{"", "seed", "whole number", "1", "",
      "What all chance begins with: the same seed gives the same users, pauses and routes again."},
     integer, 1, 9e15},
    {{"", "target", "table", "", "", "Where the gateway is."}, raw},
    {{"", "class", "tables", "required", "", "`[[class]]`: users of one kind that behave alike."},
     raw},
    {{"", "stage", "tables", "required", "", "`[[stage]]`: how much load when, one after another."},
     raw},
    {{"", "fault", "tables", "", "", "`[[fault]]`: rules of ringgate-chaos that come and go."},
     raw},
    {{"", "thresholds", "table", "", "", "What must hold for the run to pass."}, raw},
    {{"", "verify", "table", "", "", "Where acknowledged messages are looked up after the run."},
     raw},

    {{"target", "jt808", "HOST:PORT", "\"127.0.0.1:7808\"", "", "Terminals connect here."},
     address},
    {{"target", "jt808_udp", "HOST:PORT", "", "",
      "Terminals of transport udp send here; as `jt808` where not given."}, address},
    {{"target", "jt808_tls", "HOST:PORT", "", "",
      "Terminals of transport tls connect here; such a class needs it."}, address},
    {{"target", "http", "HOST:PORT", "\"127.0.0.1:7880\"", "",
      "The API: of kinds api and subscriber, and for what a run asks itself."}, address},
    {{"target", "chaos", "HOST:PORT", "", "", "ringgate-chaos' HTTP; faults need it."}, address},
    {{"target", "token_file", "path", "\"\"", "", "A file whose first line is a token of the API."},
     text, 0, path_max},
    {{"target", "server_pid", "\"auto\", \"none\" or a number", "", "",
      "Whose CPU time, memory and switches to watch; auto: who listens there, on this host."}, raw},

    {{"class", "name", "text", "required", "", "For tables and thresholds; each its own."},
     text, 1, name_max},
    {{"class", "kind", "", "required", "", "What these users are."}, choice, 0, 0, user_kinds},
    {{"class", "weight", "number", "1", "",
      "A stage's users are shared out by the classes' weights."}, number, 0, 1e9},
    {{"class", "users", "whole number", "0", "",
      "Above 0: this many all the time, beside the stages' users; `weight` means nothing then."},
     integer, 0, users_max},
    {{"class", "version", "", "2013", device_like, "Of JT/T 808."}, choice, 0, 0, versions},
    {{"class", "transport", "", "\"tcp\"", device_like, "How its frames travel."},
     choice, 0, 0, transports},
    {{"class", "interval", "duration", "\"10s\"", "terminal, api, flapping",
      "Between two reports or requests of a user, whatever the server does (open model); 0s: it "
      "only holds its link."}, duration, 0, day_s},
    {{"class", "in_flight", "whole number", "0", "terminal",
      "Above 0: no interval, but this many unanswered reports of each user (closed model)."},
     integer, 0, 4096},
    {{"class", "think", "pause", "\"0s\"", "terminal, api",
      "Between an answer and the next report or request; a terminal needs `in_flight` for it, and "
      "an api user that has it goes by it instead of by `interval`."}, pause},
    {{"class", "profile", "", "\"parked\"", "terminal",
      "One fixed position, a vehicle that drives, or one that also raises alarms of driver "
      "assistants."}, choice, 0, 0, profiles},
    {{"class", "alarms_per_hour", "number", "60", "terminal",
      "Of each user; for profile alarms."}, number, 0, 36000},
    {{"class", "loss", "number", "0", "terminal",
      "Chance of a datagram, a part of a message or a block of an attachment to get lost."},
     number, 0, 0.5},
    {{"class", "phone_base", "whole number", "", device_like,
      "Phone number of the first user, the others follow; by itself 13800000000 and ten million "
      "more for each class."}, integer, 1, 999'999'999'999.0},
    {{"class", "reconnect", "boolean", "true", "terminal, api, subscriber, silent",
      "Comes back after a loss."}, boolean},
    {{"class", "sources", "list of addresses", "[]", "",
      "IPv4 addresses to connect from in turn, \"127.0.1.1\" or \"127.0.1.1..127.0.1.16\": a host "
      "has some 28,000 ports for each. Empty: the tool chooses."}, texts},
    {{"class", "route", "tables", "", "api",
      "`[[class.route]]`: requests, drawn by weight; by itself the lists of devices and alarms."},
     raw},
    {{"class", "feed", "", "\"websocket\"", "subscriber",
      "/api/v1/stream by WebSocket, or /api/v1/events by SSE."}, choice, 0, 0, feeds},
    {{"class", "filter", "text", "\"\"", "subscriber",
      "Query of the subscription, as in the API; empty: everything."}, text, 0, text_max},
    {{"class", "slow", "boolean", "false", "subscriber", "Reads as slowly as it can."}, boolean},
    {{"class", "silence", "", "\"connect\"", "silent",
      "Says nothing once connected, or only half a frame, or signs in and then falls silent."},
     choice, 0, 0, silences},
    {{"class", "stay", "pause", "\"5s..30s\"", "flapping", "How long it stays."}, pause},
    {{"class", "away", "pause", "\"1s..5s\"", "flapping", "How long it is away."}, pause},
    {{"class", "leave", "", "\"either\"", "flapping",
      "It closes its connection, resets it, or either."}, choice, 0, 0, leaves},
    {{"class", "attacks", "list", "[\"garbage\", \"bad_check\", \"giant_frame\", \"bad_http\", "
      "\"slow_bytes\"]", "hostile", "What it does, in turn."}, choices, 0, 0, attacks},

    {{"class.route", "method", "", "\"GET\"", "", "Of the request."}, choice, 0, 0, methods},
    {{"class.route", "path", "text", "required", "",
      "With its query; {phone} stands for the phone number of some terminal of the run."},
     text, 1, path_max},
    {{"class.route", "body", "text", "\"\"", "", "JSON."}, text, 0, body_max},
    {{"class.route", "weight", "number", "1", "", "Of this route among the class's."},
     number, 0, 1e9},

    {{"stage", "name", "text", "", "",
      "For the time line and thresholds; each its own. By itself the kind, numbered."},
     text, 1, name_max},
    {{"stage", "kind", "", "required", "", "The shape of its load."}, choice, 0, 0, stage_kinds},
    {{"stage", "duration", "duration", "required", "",
      "How long; a stress stage may end earlier, and a day may give `speed` instead."},
     duration, 0.1, year_s},
    {{"stage", "vary", "", "\"users\"", "",
      "What the shape changes: how many users there are, or how often each reports (1: as its "
      "class says). `from`, `to` and `increment` are users or such factors."},
     choice, 0, 0, varies},
    {{"stage", "users", "whole number", "", "",
      "Of a constant stage; of any other one with vary rate, all the time."},
     integer, 0, users_max},
    {{"stage", "rate", "number", "1", "",
      "Factor of all intervals' rates, all the time; of a constant stage with vary rate, the "
      "level."}, number, 0, 1e6},
    {{"stage", "connect_rate", "number", "0", "",
      "At most so many new users per second; 0: as fast as the shape says."}, number, 0, 1e7},
    {{"stage", "warmup", "boolean", "false", "", "Thresholds of the whole run leave it out."},
     boolean},
    {{"stage", "from", "number", "", "ramp, step, spike, wave, sustained, stress",
      "First or lowest level; by itself the last level of the stage before (spike and wave too)."},
     number, 0, users_max},
    {{"stage", "to", "number", "required", "ramp, step, spike, wave, day, sustained, stress",
      "Last or highest level; day: the level at share 1; sustained, stress: not beyond."},
     number, 0, users_max},
    {{"stage", "steps", "whole number", "5", "step",
      "How many levels, `from` and `to` among them."},
     integer, 2, 10000},
    {{"stage", "at", "duration", "", "spike",
      "When the rise begins; by itself so that the spike is in the middle."}, duration, 0, year_s},
    {{"stage", "rise", "duration", "\"0s\"", "spike", "From the lowest to the highest level."},
     duration, 0, year_s},
    {{"stage", "hold", "duration", "required", "spike", "At the highest level."},
     duration, 0, year_s},
    {{"stage", "fall", "duration", "\"0s\"", "spike", "Back to the lowest."}, duration, 0, year_s},
    {{"stage", "period", "duration", "required", "wave", "From one lowest point to the next."},
     duration, 0.1, year_s},
    {{"stage", "day", "table or \"working\"", "\"working\"", "day",
      "Times of the day and the load's share (0 to 1) at each, { \"08:00\" = 0.9, ... }, straight "
      "lines between; working: morning peak, noon pause, evening peak, closing."}, raw},
    {{"stage", "day_from", "time of day", "\"00:00\"", "day", "Where the day begins."},
     time_of_day},
    {{"stage", "day_until", "time of day", "\"24:00\"", "day",
      "Where it ends; not after `day_from`: on the next day."}, time_of_day},
    {{"stage", "speed", "number", "", "day",
      "So many times faster than the clock, instead of `duration`."}, number, 0.01, 1e6},
    {{"stage", "goal", "text", "required", "sustained",
      "What is held by changing the level: \"acked_rate 900/s\" or \"server_cpu 60%\" (100 % is "
      "one CPU)."}, condition},
    {{"stage", "growth", "number", "1.25", "stress", "Each level is so many times the one before."},
     number, 1.001, 100},
    {{"stage", "increment", "number", "0", "stress", "Above 0: so much is added instead."},
     number, 0, users_max},
    {{"stage", "every", "duration", "\"10s\"", "stress", "How long a level is watched."},
     duration, 1, year_s},
    {{"stage", "patience", "duration", "\"3s\"", "stress",
      "A level is not borne when a bound stays broken for so long."}, duration, 0, year_s},
    {{"stage", "recover", "duration", "\"30s\"", "stress",
      "How long the last good level is watched afterwards for all bounds to hold again."},
     duration, 0, year_s},
    {{"stage", "bounds", "list of conditions", "required", "stress",
      "What a borne level keeps, such as [\"p99 < 50ms\", \"errors < 1%\"]."}, conditions},

    {{"fault", "name", "text", "", "", "For the time line; by itself the proxy and the rule."},
     text, 1, name_max},
    {{"fault", "stage", "text", "", "", "`at` counts from its start; by itself from the run's."},
     text, 1, name_max},
    {{"fault", "at", "duration", "required", "", "When it begins."}, duration, 0, year_s},
    {{"fault", "for", "duration", "required", "", "How long it lasts."}, duration, 0.001, year_s},
    {{"fault", "proxy", "text", "required", "", "Name of ringgate-chaos' proxy."},
     text, 1, name_max},
    {{"fault", "rule", "text or table", "required", "",
      "Name of one of its rules, switched on meanwhile; or a rule as in its file, put there and "
      "taken away again."}, raw},

    {{"thresholds", "all", "list of conditions", "", "",
      "Of all classes over all stages but warm-ups."}, conditions},
    {{"thresholds", "class", "table", "", "", "Conditions of each class: { drivers = [...] }."},
     raw},
    {{"thresholds", "stage", "table", "", "", "Conditions of each stage: { peak = [...] }."}, raw},
    {{"thresholds", "abort", "boolean", "false", "", "A broken one ends the run early."}, boolean},
    {{"thresholds", "abort_after", "duration", "\"10s\"", "", "... when it stays broken for this "
      "long."}, duration, 0, year_s},

    {{"verify", "log", "path", "\"\"", "", "The gateway's log directory."}, text, 0, path_max},
    {{"verify", "api", "HOST:PORT", "", "", "The gateway's API."}, address},
};

}  // namespace

std::span<const FieldRule> field_rules() { return rules; }

const FieldRule& rule_of(std::string_view table, std::string_view key) {
  for (const FieldRule& rule : rules) {
    if (rule.key.table == table && rule.key.name == key) return rule;
  }
  check_failed("no such key of a scenario", __FILE__, __LINE__);
}

std::span<const ScenarioKey> scenario_keys() {
  static std::deque<std::string> texts;
  static const std::vector<ScenarioKey> keys = [] {
    std::vector<ScenarioKey> made;
    for (const FieldRule& rule : rules) {
      made.push_back(rule.key);
      if (!rule.key.type.empty()) continue;
      std::string& choices = texts.emplace_back();
      for (const std::string_view choice : rule.choices) {
        choices.append(choices.empty() ? "" : ", ").append(choice);
      }
      made.back().type = choices;
    }
    return made;
  }();
  return keys;
}

std::string_view name_of(UserKind kind) { return user_kinds[static_cast<std::size_t>(kind)]; }
std::string_view name_of(StageKind kind) { return stage_kinds[static_cast<std::size_t>(kind)]; }

}  // namespace ringgate::load
