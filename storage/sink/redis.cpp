#include "storage/sink/redis.hpp"

#include <fmt/format.h>
#include <hiredis/hiredis.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <unordered_set>

#include "engine/io/sys.hpp"

namespace ringgate::sink {

namespace {

// KEYS[1]: the hash. ARGV: the field with the time of what is known, the time of what is told,
// seconds to live, the node that must have the device ('' any), then fields and values.
constexpr const char* update_script = R"(
local have = redis.call('HGET', KEYS[1], ARGV[1])
if have and tonumber(have) > tonumber(ARGV[2]) then return 0 end
if ARGV[4] ~= '' then
  local node = redis.call('HGET', KEYS[1], 'node')
  if node and node ~= ARGV[4] then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], unpack(ARGV, 5))
if ARGV[3] ~= '0' then redis.call('EXPIRE', KEYS[1], ARGV[3]) end
return 1
)";
// EVALSHA digest 1 key, four of the script, node and protocol.
constexpr std::size_t fixed_arguments = 12;

// News of this node that are no older than this are written without asking what is known: nobody
// else can have later ones of a device whose link is here. The script costs the server's thread
// five times as much.
constexpr WallUs fresh_us = 2 * us_per_s;
// Devices that the script was run for since the connection was made; beyond it all are forgotten.
constexpr std::size_t known_max = 4U << 20;

// Members of one GEOADD or ZADD: some 100 us of the server's thread.
constexpr std::size_t members_max = 256;
// Devices that were not heard of are looked for so often, and so many at a time.
constexpr MonoNs sweep_interval = 60 * ns_per_s;
constexpr std::int64_t sweep_max = 1000;

class RedisTarget final : public Target {
 public:
  explicit RedisTarget(const RedisOptions& options)
      : options_(options),
        device_prefix_(options.prefix + "device:"),
        geo_key_(options.prefix + "geo"),
        seen_key_(options.prefix + "seen"),
        events_key_(options.prefix + "events"),
        state_(options.events) {}

  Result<std::optional<log::Cursor>, Trouble> open() override {
    auto servers = RedisServers::connect(options_.url, options_.link, {update_script}, stop_);
    if (!servers) return servers.error();
    servers_ = std::move(*servers);
    known_.clear();
    return std::optional<log::Cursor>();
  }

  Result<void, Trouble> write(const Batch& batch) override {
    state_.collect(batch);
    if (auto done = update_devices(batch.node_name); !done) return done;
    if (auto done = update_indexes(); !done) return done;
    return sweep_if_due();
  }

  Result<void, Trouble> idle() override {
    commands_.clear();
    commands_.command(geo_key_, 2).argument("EXISTS").argument(geo_key_);
    if (auto ran = run(); !ran) return ran;
    return sweep_if_due();
  }

  void close() override { servers_.reset(); }
  void stop() override { stop_.stop(); }

 private:
  Result<void, Trouble> run() {
    return servers_->run(commands_, [](std::size_t, const redisReply&) {});
  }

  const std::string& key_of(const DeviceUpdate& update) {
    key_.assign(device_prefix_).append(update.protocol).append(1, ':').append(update.device);
    return key_;
  }
  static std::size_t count_fields(const DeviceUpdate& update) {
    std::size_t count = 0;
    for_each_field(update, [&](std::string_view, double, int) { ++count; },
                   [&](std::string_view, std::string_view) { ++count; });
    return count;
  }
  static void put_fields(const DeviceUpdate& update, RedisCommands& out) {
    for_each_field(update,
                   [&](std::string_view name, double value, int decimals) {
                     out.argument(name).real(value, decimals);
                   },
                   [&](std::string_view name, std::string_view value) {
                     out.argument(name).argument(value);
                   });
  }

  // By the script, up to the fields.
  RedisCommands& ask(const DeviceUpdate& update, std::string_view guard, WallUs at_us,
                     std::string_view node_only, std::string_view node, std::size_t fields) {
    const std::string& key = key_of(update);
    RedisCommands& out = commands_.command(key, fixed_arguments + 2 * fields);
    out.argument("EVALSHA").argument(servers_->script(0)).argument("1").argument(key);
    out.argument(guard).integer(at_us).integer(static_cast<std::int64_t>(options_.expire_s));
    return out.argument(node_only).argument("node").argument(node).argument("protocol").argument(
        update.protocol);
  }
  void ask_state(const DeviceUpdate& update, std::string_view node) {
    put_fields(update,
               ask(update, "received_us", update.received_us, "", node, count_fields(update)));
  }
  void ask_session(const DeviceUpdate& update, std::string_view node) {
    ask(update, "session_us", update.session_us, update.offline ? node : "", node, 2)
        .argument("online")
        .argument(update.offline ? "0" : "1")
        .argument("session")
        .argument(update.session);
  }

  // Field `node` stays: whoever has the session has set it.
  void put_fresh(const DeviceUpdate& update) {
    const std::string& key = key_of(update);
    RedisCommands& out = commands_.command(key, 4 + 2 * count_fields(update));
    out.argument("HSET").argument(key).argument("received_us").integer(update.received_us);
    put_fields(update, out);
    whose_.push_back(nobody);
    if (options_.expire_s == 0) return;
    commands_.command(key, 3).argument("EXPIRE").argument(key).integer(
        static_cast<std::int64_t>(options_.expire_s));
    whose_.push_back(nobody);
  }

  bool is_known(const DeviceUpdate& update) {
    if (known_.size() >= known_max) known_.clear();
    return !known_.insert(std::hash<std::string>()(member(update))).second;
  }

  // Which devices took the news: only their places go to the index.
  Result<void, Trouble> update_devices(std::string_view node) {
    commands_.clear();
    whose_.clear();
    const auto& updates = state_.updates();
    taken_.assign(updates.size(), false);
    const WallUs now = io::real_sys().wall_now();
    for (std::size_t i = 0; i < updates.size(); ++i) {
      const DeviceUpdate& update = updates[i];
      if (update.received_us != 0 && is_known(update) && now - update.received_us < fresh_us) {
        put_fresh(update);
        taken_[i] = true;
      } else if (update.received_us != 0) {
        ask_state(update, node);
        whose_.push_back(i);
      }
      if (update.session_us != 0) {
        ask_session(update, node);
        whose_.push_back(i);
      }
    }
    return servers_->run(commands_, [&](std::size_t index, const redisReply& reply) {
      const std::size_t whose = whose_[index];
      if (whose != nobody && reply.integer == 1) taken_[whose] = true;
    });
  }

  Result<void, Trouble> update_indexes() {
    commands_.clear();
    std::vector<const DeviceUpdate*> placed;
    std::vector<const DeviceUpdate*> seen;
    const auto& updates = state_.updates();
    for (std::size_t i = 0; i < updates.size(); ++i) {
      if (!taken_[i]) continue;
      seen.push_back(&updates[i]);
      if (fits_geo_index(updates[i])) placed.push_back(&updates[i]);
    }
    for_groups(placed, [&](std::span<const DeviceUpdate* const> group) {
      RedisCommands& out = commands_.command(geo_key_, 2 + 3 * group.size());
      out.argument("GEOADD").argument(geo_key_);
      for (const DeviceUpdate* update : group) {
        out.real(update->place.longitude_deg, 6).real(update->place.latitude_deg, 6);
        out.argument(member(*update));
      }
    });
    for_groups(seen, [&](std::span<const DeviceUpdate* const> group) {
      RedisCommands& out = commands_.command(seen_key_, 2 + 2 * group.size());
      out.argument("ZADD").argument(seen_key_);
      for (const DeviceUpdate* update : group) {
        out.integer(std::max(update->received_us, update->session_us) / us_per_s);
        out.argument(member(*update));
      }
    });
    add_events();
    return run();
  }

  void add_events() {
    if (options_.events_max == 0) return;
    for (const RedisEvent& event : state_.events()) {
      RedisCommands& out = commands_.command(events_key_, 6 + 2 * event.fields.size());
      out.argument("XADD").argument(events_key_).argument("MAXLEN").argument("~");
      out.integer(static_cast<std::int64_t>(options_.events_max)).argument("*");
      for (const auto& [name, value] : event.fields) out.argument(name).argument(value);
    }
  }

  // The geo index of Redis takes no places nearer to the poles. // EPSG:3857
  static bool fits_geo_index(const DeviceUpdate& update) {
    return update.has_place && std::abs(update.place.latitude_deg) <= 85.05112878 &&
           std::abs(update.place.longitude_deg) <= 180;
  }

  static std::string member(const DeviceUpdate& update) {
    return fmt::format("{}:{}", update.protocol, update.device);
  }

  template <class Visit>
  static void for_groups(const std::vector<const DeviceUpdate*>& all, Visit&& visit) {
    for (std::size_t at = 0; at < all.size(); at += members_max) {
      visit(std::span(all).subspan(at, std::min(members_max, all.size() - at)));
    }
  }

  // Hashes expire by themselves; their members of the indexes do not.
  Result<void, Trouble> sweep_if_due() {
    if (options_.expire_s == 0) return {};
    const MonoNs now = io::real_sys().mono_now();
    if (swept_ns_ != 0 && now - swept_ns_ < sweep_interval) return {};
    const WallUs oldest_s =
        io::real_sys().wall_now() / us_per_s - static_cast<WallUs>(options_.expire_s);
    commands_.clear();
    commands_.command(seen_key_, 7)
        .argument("ZRANGEBYSCORE")
        .argument(seen_key_)
        .argument("-inf")
        .integer(oldest_s)
        .argument("LIMIT")
        .integer(0)
        .integer(sweep_max);
    std::vector<std::string> gone;
    auto ran = servers_->run(commands_, [&](std::size_t, const redisReply& reply) {
      for (std::size_t i = 0; reply.type == REDIS_REPLY_ARRAY && i < reply.elements; ++i) {
        gone.emplace_back(reply.element[i]->str, static_cast<std::size_t>(reply.element[i]->len));
      }
    });
    if (!ran) return ran;
    if (gone.size() < static_cast<std::size_t>(sweep_max)) swept_ns_ = now;
    if (gone.empty()) return {};
    commands_.clear();
    // The one that is asked comes last: a break between the two only repeats the first.
    for (const std::string* key : {&geo_key_, &seen_key_}) {
      RedisCommands& out = commands_.command(*key, 2 + gone.size());
      out.argument("ZREM").argument(*key);
      for (const std::string& name : gone) out.argument(name);
    }
    return run();
  }

  RedisOptions options_;
  std::string device_prefix_;
  std::string key_;
  std::string geo_key_;
  std::string seen_key_;
  std::string events_key_;
  StopSignal stop_;
  std::unique_ptr<RedisServers> servers_;
  RedisState state_;
  RedisBatch commands_;
  static constexpr std::size_t nobody = ~std::size_t{0};
  std::vector<std::size_t> whose_;  // update that each command asks about
  std::unordered_set<std::size_t> known_;  // hashes of devices
  std::vector<bool> taken_;
  MonoNs swept_ns_ = 0;
};

}  // namespace

Result<void> check_redis_url(std::string_view text) {
  if (text.empty()) return {};
  const auto url = parse_redis_url(text);
  if (!url) return url.error();
  return {};
}

Result<void> check_redis_event(std::string_view text) {
  for (const std::string_view known : {"alarm", "session", "media", "position"}) {
    if (text == known) return {};
  }
  return Error{0, "alarm, session, media or position is expected"};
}

RedisOptions redis_options(const config::Settings& settings, const std::string& url) {
  RedisOptions options;
  auto parsed = parse_redis_url(url);
  RG_CHECK(parsed.ok());  // the key's check has seen it
  options.url = std::move(*parsed);
  options.link.ca_file = settings.text("sink.redis.ca_file");
  options.link.certificate_file = settings.text("sink.redis.certificate_file");
  options.link.key_file = settings.text("sink.redis.key_file");
  options.prefix = settings.text("sink.redis.prefix");
  options.expire_s =
      static_cast<std::uint64_t>(settings.duration_ns("sink.redis.expire") / ns_per_s);
  options.events_max = static_cast<std::uint64_t>(settings.integer("sink.redis.events_max"));
  const auto& events = settings.list("sink.redis.events");
  const auto wants = [&](std::string_view kind) {
    return std::find(events.begin(), events.end(), kind) != events.end();
  };
  options.events = {wants("alarm"), wants("session"), wants("media"), wants("position")};
  return options;
}

std::unique_ptr<Target> make_redis_target(const RedisOptions& options) {
  return std::make_unique<RedisTarget>(options);
}

}  // namespace ringgate::sink
