#include "storage/sink/redis_servers.hpp"

#include <fmt/format.h>
#include <hiredis/hiredis.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>

namespace ringgate::sink {

namespace {

// A cluster that moves slots again and again answers sooner or later; a worker that waits longer
// than this should back off instead.
constexpr int rounds_max = 8;

// CRC-16/XMODEM, as Redis Cluster uses it.
constexpr std::array<std::uint16_t, 256> crc_table = [] {
  std::array<std::uint16_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte << 8;
    for (int bit = 0; bit < 8; ++bit) crc = (crc << 1) ^ ((crc & 0x8000) != 0 ? 0x1021 : 0);
    table[byte] = static_cast<std::uint16_t>(crc);
  }
  return table;
}();

std::string_view text_of(const redisReply& reply) {
  return {reply.str, static_cast<std::size_t>(reply.len)};
}

bool is_array(const redisReply& reply, std::size_t least) {
  return reply.type == REDIS_REPLY_ARRAY && reply.elements >= least;
}

struct Slots {
  std::uint16_t first = 0;
  std::uint16_t last = 0;
  std::string host;
  std::string port;
};

// One entry of CLUSTER SLOTS: first, last, master {host, port, ...}, replicas.
std::optional<Slots> slots_of(const redisReply& reply) {
  if (!is_array(reply, 3) || !is_array(*reply.element[2], 2)) return {};
  const redisReply& master = *reply.element[2];
  const long long first = reply.element[0]->integer;
  const long long last = reply.element[1]->integer;
  if (first < 0 || last < first || last >= redis_slots) return {};
  Slots slots{static_cast<std::uint16_t>(first), static_cast<std::uint16_t>(last), {},
              fmt::format("{}", master.element[1]->integer)};
  // An empty host is the one that was asked.
  if (master.element[0]->type == REDIS_REPLY_STRING) slots.host = text_of(*master.element[0]);
  return slots;
}

}  // namespace

std::uint16_t redis_slot(std::string_view key) {
  const std::size_t open = key.find('{');
  if (open != std::string_view::npos) {
    const std::size_t close = key.find('}', open + 1);
    if (close != std::string_view::npos && close > open + 1) {
      key = key.substr(open + 1, close - open - 1);
    }
  }
  std::uint32_t crc = 0;
  for (const char letter : key) {
    crc = (crc << 8 ^ crc_table[(crc >> 8 ^ static_cast<std::uint8_t>(letter)) & 0xff]) & 0xffff;
  }
  return static_cast<std::uint16_t>(crc % redis_slots);
}

RedisCommands& RedisBatch::command(std::string_view key, std::size_t arguments) {
  commands_.push_back({redis_slot(key), all_.bytes().size()});
  return all_.command(arguments);
}

void RedisBatch::clear() {
  all_.clear();
  commands_.clear();
}

std::string_view RedisBatch::bytes_of(std::size_t index) const {
  const std::string_view all = all_.bytes();
  const std::size_t end =
      index + 1 < commands_.size() ? commands_[index + 1].begin : all.size();
  return all.substr(commands_[index].begin, end - commands_[index].begin);
}

Result<std::unique_ptr<RedisServers>, Trouble> RedisServers::connect(
    const RedisUrl& url, const RedisLinkOptions& options, std::vector<std::string> scripts,
    const StopSignal& stop) {
  std::optional<Trouble> trouble;
  for (std::size_t i = 0; i <= url.others.size() && !stop.stopped(); ++i) {
    RedisUrl one = url;
    one.others.clear();
    if (i > 0) {
      one.host = url.others[i - 1].host;
      one.port = url.others[i - 1].port;
    }
    std::unique_ptr<RedisServers> servers(new RedisServers(one, options, stop));
    servers->scripts_ = scripts;
    servers->digests_.resize(scripts.size());
    auto link = RedisLink::connect(one, options, stop);
    Result<void, Trouble> begun =
        link ? servers->begin(std::move(*link)) : Result<void, Trouble>(link.error());
    if (begun) return servers;
    // What the operator can mend is told before what mends itself.
    if (!trouble || trouble->failure == Failure::unreachable) trouble = begun.error();
  }
  return trouble.value_or(Trouble{Failure::unreachable, "stopped", 0});
}

Result<void, Trouble> RedisServers::begin(std::unique_ptr<RedisLink> link) {
  RedisLink& first = *link;
  first_ = &first;
  links_.emplace(url_.place(), std::move(link));
  RedisCommands ask;
  ask.command(2).argument("INFO").argument("cluster");
  ask.command(2).argument("INFO").argument("replication");
  std::optional<Trouble> trouble;
  bool replica = false;
  auto asked = first.exchange(ask, [&](std::size_t index, const redisReply& reply) {
    if (reply.type == REDIS_REPLY_ERROR) {
      trouble = redis_trouble(first.place(), text_of(reply));
    } else if (index == 0) {
      cluster_ = text_of(reply).find("cluster_enabled:1") != std::string_view::npos;
    } else {
      replica = text_of(reply).find("role:slave") != std::string_view::npos;
    }
  });
  if (!asked) return asked;
  if (trouble) return *trouble;
  if (replica && !cluster_) {
    return Trouble{Failure::bad_config,
                   fmt::format("Redis at {} is a replica, which takes nothing; name its master in "
                               "sink.redis.url, or all of them by commas", first.place()), 0};
  }
  if (auto loaded = load_scripts(first); !loaded) return loaded;
  return cluster_ ? learn_slots(first) : Result<void, Trouble>();
}

Result<void, Trouble> RedisServers::load_scripts(RedisLink& link) {
  RedisCommands commands;
  for (const std::string& script : scripts_) {
    commands.command(3).argument("SCRIPT").argument("LOAD").argument(script);
  }
  std::optional<Trouble> trouble;
  auto loaded = link.exchange(commands, [&](std::size_t index, const redisReply& reply) {
    if (reply.type == REDIS_REPLY_ERROR) {
      trouble = redis_trouble(link.place(), text_of(reply));
    } else {
      digests_[index] = text_of(reply);
    }
  });
  if (!loaded) return loaded;
  if (trouble) return *trouble;
  return {};
}

Result<RedisLink*, Trouble> RedisServers::link_to(const std::string& host,
                                                  const std::string& port) {
  RedisUrl url = url_;
  if (!host.empty()) url.host = host;
  url.port = port;
  url.database = 0;
  auto& link = links_[url.place()];
  if (link == nullptr) {
    auto connected = RedisLink::connect(url, options_, stop_);
    if (!connected) {
      links_.erase(url.place());
      return connected.error();
    }
    link = std::move(*connected);
    if (auto loaded = load_scripts(*link); !loaded) return loaded.error();
  }
  return link.get();
}

Result<void, Trouble> RedisServers::learn_slots(RedisLink& link) {
  RedisCommands ask;
  ask.command(2).argument("CLUSTER").argument("SLOTS");
  std::vector<Slots> ranges;
  std::optional<Trouble> trouble;
  auto asked = link.exchange(ask, [&](std::size_t, const redisReply& reply) {
    if (reply.type == REDIS_REPLY_ERROR) trouble = redis_trouble(link.place(), text_of(reply));
    for (std::size_t i = 0; is_array(reply, i + 1); ++i) {
      if (auto range = slots_of(*reply.element[i])) ranges.push_back(std::move(*range));
    }
  });
  if (!asked) return asked;
  if (trouble) return *trouble;
  slots_.assign(redis_slots, nullptr);
  for (const Slots& range : ranges) {
    auto to = link_to(range.host, range.port);
    if (!to) return to.error();
    std::fill(slots_.begin() + range.first, slots_.begin() + range.last + 1, *to);
  }
  if (std::find(slots_.begin(), slots_.end(), nullptr) == slots_.end()) return {};
  return Trouble{Failure::overloaded,
                 fmt::format("Redis Cluster at {}: some slots have no master now", link.place())};
}

Result<void, Trouble> RedisServers::run(const RedisBatch& batch, const Visit& visit) {
  if (batch.empty()) return {};
  if (!cluster_) {
    // The usual case: the bytes go as they are.
    std::vector<Again> again;
    std::optional<Trouble> trouble;
    auto ran = first_->exchange(batch.all_, [&](std::size_t index, const redisReply& reply) {
      if (reply.type != REDIS_REPLY_ERROR) return visit(index, reply);
      if (text_of(reply).starts_with("NOSCRIPT")) return again.push_back({index, first_, false});
      if (!trouble) trouble = redis_trouble(first_->place(), text_of(reply));
    });
    if (!ran) return ran;
    if (trouble) return *trouble;
    if (again.empty()) return {};
    if (auto loaded = load_scripts(*first_); !loaded) return loaded;
    std::vector<Again> left;
    if (auto repeated = run_once(batch, again, visit, left); !repeated) return repeated;
    if (left.empty()) return {};
    return Trouble{Failure::overloaded,
                   fmt::format("Redis at {} forgets its scripts", first_->place())};
  }
  std::vector<Again> wanted;
  for (std::size_t i = 0; i < batch.size(); ++i) {
    wanted.push_back({i, slots_[batch.commands_[i].slot], false});
  }
  for (int round = 0; round < rounds_max; ++round) {
    std::vector<Again> again;
    if (auto ran = run_once(batch, wanted, visit, again); !ran) return ran;
    if (again.empty()) return {};
    wanted = std::move(again);
  }
  return Trouble{Failure::overloaded,
                 fmt::format("Redis Cluster at {}: its slots do not settle", url_.place())};
}

// Sends `wanted`, each to its link; what has to be sent again, and where, goes to `again`.
Result<void, Trouble> RedisServers::run_once(const RedisBatch& batch,
                                             const std::vector<Again>& wanted, const Visit& visit,
                                             std::vector<Again>& again) {
  std::vector<RedisLink*> links;
  std::vector<RedisCommands> commands;
  std::vector<std::vector<const Again*>> sent;  // by link; null: an ASKING
  for (const Again& one : wanted) {
    const auto found = std::find(links.begin(), links.end(), one.link);
    const auto at = static_cast<std::size_t>(found - links.begin());
    if (found == links.end()) {
      links.push_back(one.link);
      commands.emplace_back();
      sent.emplace_back();
    }
    if (one.asking) {
      commands[at].command(1).argument("ASKING");
      sent[at].push_back(nullptr);
    }
    commands[at].raw(batch.bytes_of(one.index));
    sent[at].push_back(&one);
  }
  std::optional<Trouble> trouble;
  std::vector<std::pair<Again, std::string>> moved;
  auto ran = RedisLink::exchange_all(
      links, commands, [&](std::size_t at, std::size_t index, const redisReply& reply) {
        const Again* one = sent[at][index];
        if (one == nullptr) return;
        if (reply.type != REDIS_REPLY_ERROR) return visit(one->index, reply);
        const std::string_view text = text_of(reply);
        const bool again_later = text.starts_with("MOVED ") || text.starts_with("ASK ") ||
                                 text.starts_with("NOSCRIPT") || text.starts_with("TRYAGAIN");
        if (again_later) return moved.emplace_back(*one, text), void();
        if (!trouble) trouble = redis_trouble(links[at]->place(), text);
      });
  if (!ran) return ran;
  if (trouble) return *trouble;
  bool learn = false;
  for (auto& [one, text] : moved) {
    learn |= text.starts_with("MOVED ");
    if (auto followed = follow(text, one); !followed) return followed;
    again.push_back(one);
  }
  if (!learn) return {};
  if (auto learnt = learn_slots(*again.front().link); !learnt) return learnt;
  return {};
}

// Where a command has to go instead: "MOVED 3999 127.0.0.1:6381".
Result<void, Trouble> RedisServers::follow(std::string_view text, Again& again) {
  if (text.starts_with("TRYAGAIN")) return {};
  if (text.starts_with("NOSCRIPT")) return load_scripts(*again.link);
  again.asking = text.starts_with("ASK ");
  const std::string_view address = text.substr(text.rfind(' ') + 1);
  const std::size_t colon = address.rfind(':');
  if (colon == std::string_view::npos) {
    return Trouble{Failure::unreachable,
                   fmt::format("Redis Cluster at {}: {}", again.link->place(), text)};
  }
  auto to = link_to(std::string(address.substr(0, colon)), std::string(address.substr(colon + 1)));
  if (!to) return to.error();
  again.link = *to;
  return {};
}

}  // namespace ringgate::sink
