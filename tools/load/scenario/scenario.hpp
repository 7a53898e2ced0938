// A scenario: who loads a gateway (classes of users), how much of them when (stages), what goes
// wrong meanwhile (faults), and what must hold (thresholds). Plain values, read from TOML; the
// keys are told in tools/load/README.md. Built by one thread, then constant and readable by any.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"
#include "tools/load/frames.hpp"
#include "tools/load/scenario/thresholds.hpp"

namespace ringgate::load {

// What is wrong with a scenario, and where. `line` and `column` count from 1; 0: not in the text
// (a --set, or the whole).
struct Problem {
  std::string name;  // of the file, or "--set class.drivers.weight"
  unsigned line = 0;
  unsigned column = 0;
  std::string message;  // names the thing and the cure
  std::string text() const;  // "peak.toml:12:5: ..."
};
using Problems = std::vector<Problem>;

// A time drawn anew each time. "2s": always that; "1s..3s": any between, all alike; "~2s":
// exponential with that mean, at most ten times of it.
struct Pause {
  MonoNs min_ns = 0;
  MonoNs max_ns = 0;
  MonoNs mean_ns = 0;  // exponential where above 0; min and max bound it then, too
  bool none() const { return max_ns == 0; }
  // `chance`: any 64 random bits; the same give the same.
  MonoNs draw(std::uint64_t chance) const;
};
// The error says what is wrong with the text and what would be right.
Result<Pause> parse_pause(std::string_view text);
std::string format_pause(const Pause& pause);

enum class UserKind : std::uint8_t { terminal, api, subscriber, silent, flapping, hostile };
std::string_view name_of(UserKind kind);
enum class Transport : std::uint8_t { tcp, udp, tls };
// What a terminal's days look like: one fixed position; a vehicle that drives (vehicle.hpp); one
// that drives and raises alarms.
enum class Profile : std::uint8_t { parked, drive, alarms };
// How a subscriber listens: GET /api/v1/stream by WebSocket, /api/v1/events by SSE.
enum class Feed : std::uint8_t { websocket, sse };
// What a silent one does once it is connected: nothing; half a frame; signs in and then says
// nothing more.
enum class Silence : std::uint8_t { connect, half_frame, sign_in };
// How a flapping one goes: it closes; it resets the connection; either.
enum class Leave : std::uint8_t { soft, hard, either };
enum class Attack : std::uint8_t { garbage, bad_check, giant_frame, bad_http, slow_bytes };

struct Route {
  std::string method = "GET";
  std::string path;  // begins with '/'; {phone} stands for the phone number of some terminal
  std::string body;  // JSON; empty: none
  double weight = 1;
};

// Users of one kind that behave alike. A key that means nothing to the kind keeps its default.
struct UserClass {
  std::string name;
  UserKind kind = UserKind::terminal;
  double weight = 1;         // of a stage's users it gets its part
  std::uint32_t users = 0;   // above 0: so many in each stage, beside the stage's users
  // Terminals, and those that behave like ones (flapping, silent, hostile).
  Version version = Version::v2013;
  Transport transport = Transport::tcp;
  MonoNs interval_ns = 10 * ns_per_s;  // between reports at rate 1, open model; 0: holds its link
  std::uint32_t in_flight = 0;         // above 0: closed model, so many unanswered reports
  Pause think;                         // closed model and api: between an answer and the next
  Profile profile = Profile::parked;
  double alarms_per_hour = 0;          // of driver assistants, each user; profile alarms
  double loss = 0;                     // chance of a datagram or part to get lost, 0 to 0.5
  std::uint64_t phone_base = 0;        // of its first user; 0: given by the reader, never shared
  bool reconnect = true;               // after a loss
  std::vector<std::string> sources;    // IPv4 addresses to connect from; empty: the kernel's
  // api
  std::vector<Route> routes;
  // subscriber
  Feed feed = Feed::websocket;
  std::string filter;                  // query string of the subscription; empty: everything
  bool slow = false;                   // reads as slowly as it can
  // silent
  Silence silence = Silence::connect;
  // flapping: how long it stays, and is away
  Pause stay;
  Pause away;
  Leave leave = Leave::either;
  // hostile
  std::vector<Attack> attacks;
};

enum class StageKind : std::uint8_t { constant, ramp, step, spike, wave, day, sustained, stress };
std::string_view name_of(StageKind kind);
// What a stage varies: how many users there are, or how fast each is (1: as its class says).
enum class Vary : std::uint8_t { users, rate };

// A point of the day and the load's share at it, 0 to 1.
struct DayPoint {
  MonoNs at_ns = 0;  // since midnight
  double share = 0;
};

// "Level" is users or a rate factor, as `vary` says.
struct Stage {
  std::string name;
  StageKind kind = StageKind::constant;
  MonoNs duration_ns = 0;      // planned; a stress stage may end earlier
  Vary vary = Vary::users;
  std::uint32_t users = 0;     // vary rate: all the time
  double rate = 1;             // vary users: all the time
  double connect_rate = 0;     // users per second that come at most; 0: no bound
  bool warmup = false;         // thresholds of the whole run leave it out
  double from = 0;             // ramp, step, stress, sustained: first level; spike, wave: lowest
  double to = 0;               // last, or highest; constant: the level; stress: not beyond
  std::uint32_t steps = 1;     // step
  MonoNs at_ns = 0;            // spike: the rise begins
  MonoNs rise_ns = 0;          // spike
  MonoNs hold_ns = 0;          // spike: at its top
  MonoNs fall_ns = 0;          // spike
  MonoNs period_ns = 0;        // wave
  std::vector<DayPoint> day;   // day: sorted; straight lines between, over midnight too
  MonoNs day_from_ns = 0;      // day: part of it that is played; until may be the next day's
  MonoNs day_until_ns = 0;
  Condition goal;              // sustained: its metric and limit; the comparison means nothing
  double growth = 1.25;        // stress: each level is so much higher than the one before ...
  double increment = 0;        // ... or so much, where above 0
  MonoNs every_ns = 0;         // stress: how long a level is watched
  MonoNs patience_ns = 0;      // stress: so long a bound must stay broken
  MonoNs recover_ns = 0;       // stress: how long the last good load is watched afterwards
  std::vector<Condition> bounds;  // stress
};

// A rule of ringgate-chaos that comes and goes.
struct Fault {
  std::string name;          // for the time line
  std::int32_t stage = -1;   // `at` counts from the start of this stage; -1: of the run
  MonoNs at_ns = 0;
  MonoNs for_ns = 0;
  std::string proxy;
  std::string rule;          // its name
  std::string rule_json;     // what to PUT; empty: the proxy has the rule and it is switched on
};

struct Target {
  std::string jt808;      // HOST:PORT each; empty: not given
  std::string jt808_udp;
  std::string jt808_tls;
  std::string http;
  std::string chaos;      // ringgate-chaos' HTTP
  std::string token_file;
  std::int32_t server_pid = server_auto;  // whose CPU to watch
  static constexpr std::int32_t server_auto = -1;  // who listens there, when it is this host
  static constexpr std::int32_t server_none = 0;
};

struct Verify {
  std::string log_dir;  // of the gateway; empty: not that way
  std::string api;      // HOST:PORT; empty: not that way
};


struct ReadOptions {
  std::vector<std::string> sets;  // "seed=7", "class.drivers.weight=2", "stage.0.users=10"
  double shorten = 1;             // 0 to 1: users and times are so much smaller
  std::uint64_t seed = 0;         // above 0: instead of the scenario's
  std::string target;             // HOST:PORT instead of target.jt808; empty: the scenario's
};

struct Scenario {
  std::string name;          // file name without folders and ending
  std::string description;
  std::uint64_t seed = 1;
  Target target;
  std::vector<UserClass> classes;  // at least one
  std::vector<Stage> stages;       // at least one
  std::vector<Fault> faults;       // in the order of the text
  Thresholds thresholds;
  Verify verify;

  // What it was read from, so that another process can read the same.
  std::string text;
  ReadOptions read_with;

  // That all classes together ever have; that each class ever has.
  std::uint32_t users_max() const;
  std::vector<std::uint32_t> users_max_by_class() const;
  MonoNs duration_ns() const;       // planned
};

// All that is wrong is told at once, in the order of the text. A scenario larger than
// scenario_bytes_max is refused.
Result<Scenario, Problems> read_scenario(std::string_view text, const std::string& name,
                                         const ReadOptions& options = {});
constexpr std::size_t scenario_bytes_max = 1 << 20;
// Users at once: a terminal's phone number is base + index, and a host has some 28,000 ports for
// each of its source addresses.
constexpr std::uint32_t scenario_users_max = 10'000'000;

// The scenarios that come with the program.
struct ShippedScenario {
  std::string_view name;  // "baseline"
  std::string_view text;
};
std::span<const ShippedScenario> shipped_scenarios();
// A file's name, or a shipped scenario's; a name that is neither is told with the nearest.
Result<std::string> scenario_text(const std::string& name_or_file);

// The same for the same user on any number of workers: what it leaves to chance begins here.
std::uint64_t user_seed(std::uint64_t seed, std::uint32_t class_index, std::uint32_t user);

// The keys of a scenario, for the reader and for the reference in README.md.
struct ScenarioKey {
  std::string_view table;    // "", "target", "class", "class.route", "stage", "fault", ...
  std::string_view name;
  std::string_view type;     // for people: "duration", "number", "list of texts", "tcp | udp"
  std::string_view initial;  // default as TOML has it; empty: none, "required"
  std::string_view of;       // the kinds of class or stage it means something to; empty: all
  std::string_view doc;      // one sentence
};
std::span<const ScenarioKey> scenario_keys();

}  // namespace ringgate::load
