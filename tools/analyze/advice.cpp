#include "tools/analyze/advice.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "engine/base/check.hpp"
#include "engine/config/units.hpp"

namespace ringgate::analyze {

namespace {

// Every key that is proposed goes through here, so that the list below is all of them.
constexpr std::string_view keys[] = {
    "server.shards",    "server.pin",           "server.data_dir",      "server.max_links",
    "memory.limit",     "log.compress",         "log.retention_bytes",  "jt808.backlog",
    "jt808.send_buffer", "jt808.log_heartbeats", "http.send_buffer",
    "http.query_threads", "sink.redis.batch",   "sink.nats.batch",      "sink.postgres.batch",
    "sink.redis.url",   "sink.nats.url",        "sink.postgres.url"};

class Advisor {
 public:
  explicit Advisor(const Case& subject) : subject_(subject) {}

  std::string present(std::string_view key) const {
    const std::string* value = subject_.setting(key);
    return value == nullptr ? std::string() : *value;
  }
  std::int64_t number(std::string_view key, std::int64_t otherwise) const {
    const std::string text = present(key);
    std::int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    return error == std::errc() && end == text.data() + text.size() ? value : otherwise;
  }
  std::int64_t size(std::string_view key, std::int64_t otherwise) const {
    const auto value = config::parse_size(present(key));
    return value ? *value : otherwise;
  }
  bool is(std::string_view key, std::string_view value) const { return present(key) == value; }

  void set(std::string_view key, std::string proposed, std::string why) {
    RG_CHECK(std::find(std::begin(keys), std::end(keys), key) != std::end(keys));
    out_.push_back({std::string(key), present(key), std::move(proposed), std::move(why)});
  }
  void say(std::string why) { out_.push_back({{}, {}, {}, std::move(why)}); }
  std::vector<Advice> take() { return std::move(out_); }
  const Case& subject() const { return subject_; }

 private:
  const Case& subject_;
  std::vector<Advice> out_;
};

std::string size_text(std::int64_t bytes) {
  return fmt::format("\"{}\"", config::format_size(bytes));
}

// Shards in effect: 0 is one per CPU.
std::int64_t shards_of(const Advisor& advisor) {
  const std::int64_t set = advisor.number("server.shards", 0);
  return set != 0 ? set : static_cast<std::int64_t>(advisor.subject().usable_cpus);
}

void on_generator(Advisor& advisor) {
  advisor.say("nothing about the gateway can be concluded: give the generator more workers "
              "(--workers), more CPUs or other machines (ringgate-load worker --listen), and run "
              "again");
}

void on_cpu(Advisor& advisor, const Signal& main) {
  const auto cpus = static_cast<std::int64_t>(advisor.subject().usable_cpus);
  const std::int64_t shards = shards_of(advisor);
  if (main.spec->id == "cpu.wait") {
    advisor.say("others use the CPUs of the shards: give the service CPUs of its own "
                "(CPUAffinity=, isolcpus) or more weight (CPUWeight=, Nice=), and look at its "
                "quota with ringgate-doctor --only cpu_limit,isolation,interrupts");
    if (cpus > 0 && shards > cpus) {
      advisor.set("server.shards", fmt::format("{}", cpus),
                  fmt::format("{} shards take turns on {} CPUs", shards, cpus));
    }
    if (advisor.is("server.pin", "false")) {
      advisor.set("server.pin", "true", "shards that move between CPUs wait for each other's");
    }
    return;
  }
  if (cpus > 0 && shards > 0 && shards < cpus) {
    advisor.set("server.shards", "0",
                fmt::format("{} of {} CPUs have a shard; 0 gives one to each", shards, cpus));
  } else {
    advisor.say("every usable CPU has a shard: the machine needs more or faster CPUs, or devices "
                "move to another gateway");
  }
  if (advisor.is("jt808.log_heartbeats", "true")) {
    advisor.set("jt808.log_heartbeats", "false", "heartbeats are written like reports");
  }
  const std::int64_t threads = advisor.number("http.query_threads", 0);
  if (threads > 2) {
    advisor.set("http.query_threads", "2", "queries of the log compete with shards for CPUs");
  }
}

void on_loop_turn(Advisor& advisor) {
  const auto cpus = static_cast<std::int64_t>(advisor.subject().usable_cpus);
  const std::int64_t shards = shards_of(advisor);
  if (cpus > 0 && shards > 0 && shards < cpus) {
    advisor.set("server.shards", "0", "the same work in more loops makes each turn shorter");
  }
  advisor.say("look for what holds a loop up: memory that comes from swap or in huge pages, a "
              "hypervisor that takes the CPU (ringgate-doctor --only swap,huge_pages,cpu_limit)");
}

void on_commit(Advisor& advisor, const Signal& main) {
  if (main.spec->id == "commit.refused") {
    const std::int64_t kept = advisor.size("log.retention_bytes", 0);
    if (kept == 0) {
      advisor.set("log.retention_bytes", "\"100GiB\"",
                  "nothing is ever removed: where the disk is full, data is refused. Choose less "
                  "than the disk has");
    }
    advisor.say("the gateway's log names the write that failed and its errno");
    return;
  }
  advisor.set("server.data_dir", "\"(a directory on a faster disk)\"",
              "ringgate-doctor --only filesystem,disk_speed --data DIR measures one: NVMe, or a "
              "write cache that outlives a power cut");
  if (!advisor.is("log.compress", "off")) {
    advisor.set("log.compress", "\"off\"",
                "compression reads and writes old segments on the same disk; worth a try where the "
                "trouble comes and goes");
  }
  const std::int64_t shards = shards_of(advisor);
  if (shards > 1) {
    advisor.set("server.shards", fmt::format("{}", std::max<std::int64_t>(1, shards / 2)),
                "every shard writes for itself: where the disk counts writes (IOPS), fewer shards "
                "gather more records in each. Only if their CPUs are not busy");
  }
}

void on_network(Advisor& advisor, const Signal& main) {
  const std::string_view id = main.spec->id;
  if (id == "network.unread") {
    const std::int64_t now = advisor.size("jt808.send_buffer", 0);
    advisor.set("jt808.send_buffer", size_text(std::max<std::int64_t>(now * 2, 64 * 1024)),
                "the kernel then takes replies for peers that read late");
  } else if (id == "network.accept" || id == "network.listen_drops") {
    const std::int64_t now = advisor.number("jt808.backlog", 4096);
    advisor.set("jt808.backlog", fmt::format("{}", std::min<std::int64_t>(65535, now * 4)),
                "more connections may wait to be accepted; net.core.somaxconn must allow it");
    if (advisor.number("server.max_links", 0) != 0) {
      advisor.set("server.max_links", "0", "as many links as the limit of open files allows");
    }
    advisor.say("ringgate-doctor --only nofile,backlog says what the machine allows");
  } else if (id == "network.datagrams") {
    advisor.say("a UDP socket of a shard overflows or its links are full: ringgate-doctor --only "
                "socket_buffers; terminals that can should come over TCP");
  } else if (id == "network.buffers") {
    const auto cpus = static_cast<std::int64_t>(advisor.subject().usable_cpus);
    if (cpus > 0 && shards_of(advisor) < cpus) {
      advisor.set("server.shards", "0", "receive buffers belong to a shard: more shards, more of "
                                        "them");
    } else {
      advisor.say("more arrives at once than a shard takes: look at cpu and commit first");
    }
  } else {
    advisor.say("segments get lost on the way: look at the interface (ip -s link), its queue "
                "(ethtool -S) and the path");
  }
}

void on_memory(Advisor& advisor, const Signal& main) {
  const std::int64_t limit = advisor.size("memory.limit", 0);
  double highest = 0;
  for (const double value : main.values) highest = std::isnan(value) ? highest
                                                                     : std::max(highest, value);
  if (limit > 0) {
    // So that the highest seen is half of it.
    const double wanted = static_cast<double>(limit) * std::max(2.0, highest * 2);
    const auto mib = static_cast<std::int64_t>(std::ceil(wanted / (1 << 20)));
    advisor.set("memory.limit", size_text(mib << 20),
                fmt::format("then the {:.0f} % that were in use are half of it; give the machine "
                            "twice that", highest * 100));
  } else {
    advisor.say("memory.limit is half of the machine's memory (or could not be asked): the machine "
                "needs more, or devices move to another gateway");
  }
}

void on_subscriber(Advisor& advisor, const Signal& main) {
  advisor.say(fmt::format("{} reads too slowly: let it subscribe to less (area, devices, types), "
                          "or read in a thread of its own; /api/v1/consumers tells of each",
                          main.where.empty() ? "a subscriber" : main.where));
  const std::int64_t now = advisor.size("http.send_buffer", 0);
  advisor.set("http.send_buffer", size_text(std::max<std::int64_t>(now * 2, 1 << 20)),
              "bridges pauses of a client that is fast enough on the whole");
}

void on_sink(Advisor& advisor, const Signal& main) {
  const std::string name = main.where.substr(0, main.where.find(' '));
  const auto known = [&](const std::string& key) {
    return std::find(std::begin(keys), std::end(keys), key) != std::end(keys);
  };
  const std::string batch = fmt::format("sink.{}.batch", name);
  if (!known(batch)) {
    advisor.say("look at its server");
    return;
  }
  const Signal* down = advisor.subject().find("sink.down");
  const bool away = main.spec->id == "sink.down" ||
                    (down != nullptr && std::any_of(down->values.begin(), down->values.end(),
                                                    [](double value) { return value > 0; }));
  if (away) {
    advisor.set(fmt::format("sink.{}.url", name), "\"(where its server answers)\"",
                "its server is away or refuses: ringgate-ctl sink list says why. Nothing is lost "
                "while the log is kept");
    return;
  }
  const std::int64_t now = advisor.number(batch, 4096);
  advisor.set(batch, fmt::format("{}", std::min<std::int64_t>(100'000, now * 2)),
              "it works, and more comes than it delivers: larger batches cost fewer round trips");
}

}  // namespace

std::vector<Advice> advice_on(const Case& subject, Cause cause, const Signal& main) {
  Advisor advisor(subject);
  switch (cause) {
    case Cause::generator: on_generator(advisor); break;
    case Cause::cpu: on_cpu(advisor, main); break;
    case Cause::loop_turn: on_loop_turn(advisor); break;
    case Cause::commit: on_commit(advisor, main); break;
    case Cause::network: on_network(advisor, main); break;
    case Cause::memory: on_memory(advisor, main); break;
    case Cause::subscriber: on_subscriber(advisor, main); break;
    case Cause::sink: on_sink(advisor, main); break;
    case Cause::replies:
      advisor.say("watch the gateway during such a run: ringgate-analyze live URL");
      break;
  }
  return advisor.take();
}

std::vector<std::string_view> advised_keys() { return {std::begin(keys), std::end(keys)}; }

}  // namespace ringgate::analyze
