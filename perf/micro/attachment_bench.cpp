// How fast files come in over T/JSATL 12 against the log's writer on the same disk.
// attachment-bench [--rounds N] [--seconds S] [--links N] [--dir DIR] [--json FILE|-]
//
// Terminals on loopback sockets send files of 4 MiB in blocks of 64 KiB, each file acknowledged
// when it is durable and listed, to a whole shard: links, the attachment server, the store, its
// log. The shard has a CPU of its own; the terminals share the others. It is measured with the
// space of expired files used again, as in a gateway that has run with retention for a while, and
// with new space for each file. The log's writer appends records of 64 KiB, grouped in writes of 1
// MiB as log-bench has it, and each in a write of its own: whose 64 KiB the blocks of a comparison
// are can be read either way. Bare files (bare_files.hpp) are what the kernel gives for the same
// files. All work in DIR (default: here), in alternating rounds; each figure is the median of the
// rounds, each ratio that of the pairs. `cpu` is the shard's time on its CPU for each MB, so that a
// disk slower than the code shows.
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "engine/base/json_writer.hpp"
#include "engine/io/ring.hpp"
#include "engine/io/sys.hpp"
#include "engine/net/links.hpp"
#include "engine/observe/logger.hpp"
#include "engine/shard/shard.hpp"
#include "perf/micro/bare_files.hpp"
#include "protocols/jt808/attachment/server.hpp"
#include "storage/blob/shard_store.hpp"
#include "storage/log/data_dir.hpp"
#include "storage/log/supply.hpp"
#include "storage/log/writer.hpp"

namespace {

using namespace ringgate;

constexpr std::uint32_t file_bytes = 4 << 20;
constexpr std::uint32_t block_bytes = 64 << 10;
// One record of 64 KiB with its header and the tail of the one before.
constexpr std::uint32_t small_batch_bytes = block_bytes + 2 * log::block_size;
constexpr std::uint64_t reuse_bytes = 2ULL << 30;
// Too little to keep spares of.
constexpr std::uint64_t no_spares_bytes = blob::spare_size_min * blob::spare_room_divisor - 1;

struct Options {
  int rounds = 7;
  double seconds = 1;
  int links = 8;
  std::string directory = ".";
  const char* json_path = nullptr;
};

[[noreturn]] void fail(const std::string& message) {
  fmt::print(stderr, "attachment-bench: {}\n", message);
  std::exit(1);
}

template <class T>
T need(Result<T> result) {
  if (!result) fail(result.error().message);
  return std::move(*result);
}

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

double cpu_seconds() {
  timespec time{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

// The shard's thread on the first usable CPU, everybody else on the others.
void keep_to(bool first) {
  static cpu_set_t usable = [] {
    cpu_set_t set;
    sched_getaffinity(0, sizeof set, &set);
    return set;
  }();
  cpu_set_t mine;
  CPU_ZERO(&mine);
  bool seen = false;
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; ++cpu) {
    if (!CPU_ISSET(cpu, &usable)) continue;
    if (!seen == first) CPU_SET(cpu, &mine);
    seen = true;
  }
  if (CPU_COUNT(&mine) > 0) sched_setaffinity(0, sizeof mine, &mine);
}

// A shard with a log.
struct Base {
  explicit Base(const std::string& path, std::uint32_t batch_bytes = log::batch_size_default) {
    options.data_dir = path;
    options.batch_size = batch_bytes;
    options.retention_bytes = 4 * options.segment_size;
    dir = need(log::DataDir::open(io::real_sys(), path));
    supply = std::make_unique<log::SegmentSupply>(io::real_sys(), options, dir->log_path(),
                                                  dir->node(), dir->run(),
                                                  log::SegmentSupply::Mode::thread);
    auto ring = need(io::Ring::open(io::make_uring_backend(), {}));
    shard = std::make_unique<shard::Shard>(shard::ShardOptions{}, std::move(ring),
                                           io::real_sys());
  }
  void open_writer() { writer = need(log::Writer::open(*shard, options, *supply)); }
  void stop() {
    shard->request_stop();
    while (shard->turn(ns_per_ms)) {
    }
  }

  log::LogOptions options;
  std::unique_ptr<log::DataDir> dir;
  std::unique_ptr<log::SegmentSupply> supply;
  std::unique_ptr<shard::Shard> shard;
  std::unique_ptr<log::Writer> writer;
};

struct Rate {
  double mb_per_s;
  double cpu_us_per_mb;
};

class Log {
 public:
  Log(const std::string& path, std::uint32_t batch_bytes)
      : base_(path, batch_bytes), payload_(block_bytes, 0x5a) {
    base_.open_writer();
    while (base_.supply->counters().segments_recycled.load() < 3) run(0.05);
  }
  ~Log() {
    base_.stop();
    base_.writer.reset();
    base_.supply.reset();
    std::filesystem::remove_all(base_.options.data_dir);
  }

  Rate run(double seconds) {
    const double cpu = cpu_seconds();
    const MonoNs start = io::real_sys().mono_now();
    const std::uint64_t before = base_.writer->stats().record_bytes;
    log::RecordInfo info;
    info.ns = Namespace::phone;
    info.device = "13800138000";
    MonoNs now = start;
    while (static_cast<double>(now - start) < seconds * 1e9) {
      base_.shard->turn(0);
      while (base_.writer->has_room(payload_.size() + info.device.size())) {
        base_.writer->append(info, payload_);
      }
      base_.shard->turn(ns_per_s);
      now = io::real_sys().mono_now();
    }
    while (!base_.writer->all_committed()) base_.shard->turn(ns_per_s);
    const auto took = static_cast<double>(io::real_sys().mono_now() - start) / 1e9;
    const double mb = static_cast<double>(base_.writer->stats().record_bytes - before) / 1e6;
    return {mb / took, (cpu_seconds() - cpu) * 1e6 / mb};
  }

 private:
  Base base_;
  std::vector<std::uint8_t> payload_;
};

// One terminal's link, in a thread of its own: blocking calls.
class Terminal {
 public:
  Terminal(std::uint16_t port, int number)
      : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)),
        peer_(jt808::make_peer(jt808::Version::v2013, fmt::format("1390000{:04}", number))) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) fail("connect");
    wire_.resize(std::size_t{file_bytes} / block_bytes * (jt808::block_header_size + block_bytes));
  }
  ~Terminal() { ::close(fd_); }
  Terminal(const Terminal&) = delete;
  Terminal& operator=(const Terminal&) = delete;

  void upload(std::uint64_t number) {
    const std::string name = fmt::format("02_65_6401_0_{}_{}.bin", peer_.check, number);
    prepare(name);
    notice(jt808::id::file_begin, name);
    answer();
    send({wire_.data(), wire_.size()});
    notice(jt808::id::file_end, name);
    const auto reply = answer();
    // Behind the header: name, type, result.
    if (reply.size() < 12 + 3 + name.size() || reply[12 + 2 + name.size()] != 0) {
      fail("a file was not taken");
    }
  }

 private:
  void prepare(const std::string& name) {
    std::uint8_t* at = wire_.data();
    for (std::uint32_t offset = 0; offset < file_bytes; offset += block_bytes) {
      std::memset(at, 0, jt808::block_header_size);
      store_be32(at, jt808::block_mark);
      std::memcpy(at + 4, name.data(), std::min<std::size_t>(name.size(), 50));
      store_be32(at + 54, offset);
      store_be32(at + 58, block_bytes);
      at += jt808::block_header_size + block_bytes;
    }
  }
  void notice(std::uint16_t id, const std::string& name) {
    std::uint8_t frame[jt808::wire_size_max];
    jt808::FrameWriter writer(peer_, id, serial_++);
    writer.u8(static_cast<std::uint8_t>(name.size())).text(name).u8(2).u32(file_bytes);
    send({frame, writer.finish(frame)});
  }
  void send(Bytes bytes) {
    while (!bytes.empty()) {
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) fail(fmt::format("send: {}", std::strerror(errno)));
      bytes = bytes.subspan(static_cast<std::size_t>(sent));
    }
  }
  std::vector<std::uint8_t> answer() {
    std::uint8_t scratch[jt808::scratch_size];
    for (;;) {
      const jt808::NextFrame next = jt808::next_frame(in_, scratch);
      if (next.kind == jt808::NextFrame::Kind::frame) {
        std::vector<std::uint8_t> frame(next.frame.begin(), next.frame.end());
        in_.erase(in_.begin(), in_.begin() + static_cast<std::ptrdiff_t>(next.consumed));
        return frame;
      }
      std::uint8_t more[4096];
      const ssize_t got = ::recv(fd_, more, sizeof more, 0);
      if (got <= 0) fail("the server closed a link");
      in_.insert(in_.end(), more, more + got);
    }
  }

  int fd_;
  jt808::Peer peer_;
  std::uint16_t serial_ = 0;
  std::vector<std::uint8_t> wire_;
  std::vector<std::uint8_t> in_;
};

class Ingest {
 public:
  Ingest(const std::string& path, int links, std::uint64_t retention_bytes)
      : base_(path), hub_(1, 1), counters_("shard", "0"),
        logger_({.sink = [](std::string_view line) {
          fmt::print(stderr, "{}", line);
        }}),
        logs_(logger_.add_source("shard-0")), expectations_(io::real_sys()) {
    blob::BlobOptions options;
    options.data_dir = path;
    options.retention_size = retention_bytes;
    keeper_ = need(blob::Keeper::open(io::real_sys(), options, base_.dir->run(),
                                      blob::Keeper::Mode::thread));
    mail_ = std::make_unique<shard::MailRoom>(*base_.shard, hub_);
    links_ = need(net::Links::create(*base_.shard, *mail_, counters_, {}));
    base_.open_writer();
    store_ = std::make_unique<blob::Store>(*base_.shard, *base_.writer, *keeper_, counters_,
                                           logs_);
    server_ = std::make_unique<jt808::AttachmentServer>(
        *links_, *base_.writer, *store_, expectations_, counters_, logs_,
        jt808::AttachmentOptions{.max_files = 1U << 30});
    listen();
    for (int i = 0; i < links; ++i) {
      terminals_.push_back(std::make_unique<Terminal>(port_, i));
    }
  }
  ~Ingest() {
    terminals_.clear();
    base_.stop();
    server_.reset();
    store_.reset();
    links_.reset();
    base_.writer.reset();
    base_.supply.reset();
    std::filesystem::remove_all(base_.options.data_dir);
  }

  // Until the space of expired files is used again, as in a gateway that has run for a while.
  void warm_up() {
    while (keeper_->counters().blobs_recycled.load() < 100) run(0.2);
  }
  Rate run(double seconds) {
    std::atomic<bool> enough{false};
    std::atomic<int> running{static_cast<int>(terminals_.size())};
    std::vector<std::thread> threads;
    const double cpu = cpu_seconds();
    const std::uint64_t before = blob::Counters(counters_).bytes.value();
    const MonoNs start = io::real_sys().mono_now();
    for (const auto& terminal : terminals_) {
      threads.emplace_back([&, &one = *terminal] {
        keep_to(false);
        while (!enough.load()) one.upload(next_.fetch_add(1));
        running.fetch_sub(1);
      });
    }
    while (running.load() > 0) {
      base_.shard->turn(ns_per_ms);
      const auto passed = static_cast<double>(io::real_sys().mono_now() - start);
      if (passed > seconds * 1e9) enough.store(true);
    }
    const auto took = static_cast<double>(io::real_sys().mono_now() - start) / 1e9;
    for (std::thread& thread : threads) thread.join();
    const double mb =
        static_cast<double>(blob::Counters(counters_).bytes.value() - before) / 1e6;
    return {mb / took, (cpu_seconds() - cpu) * 1e6 / mb};
  }

 private:
  void listen() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof at;
    const bool open = ::bind(fd, reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0 &&
                      ::listen(fd, 64) == 0 &&
                      ::getsockname(fd, reinterpret_cast<sockaddr*>(&at), &size) == 0;
    if (!open) fail(fmt::format("listen: {}", std::strerror(errno)));
    port_ = ntohs(at.sin_port);
    links_->add_listener({.fd = fd, .protocol = links_->add_protocol(*server_)});
  }

  Base base_;
  shard::MailHub hub_;
  observe::CounterGroup counters_;
  observe::Logger logger_;
  observe::LogSource& logs_;
  jt808::Expectations expectations_;
  std::unique_ptr<blob::Keeper> keeper_;
  std::unique_ptr<shard::MailRoom> mail_;
  std::unique_ptr<net::Links> links_;
  std::unique_ptr<blob::Store> store_;
  std::unique_ptr<jt808::AttachmentServer> server_;
  std::vector<std::unique_ptr<Terminal>> terminals_;
  std::atomic<std::uint64_t> next_{0};
  std::uint16_t port_ = 0;
};

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 >= argc) return false;
    const std::string_view name = argv[i];
    if (name == "--rounds") {
      options.rounds = std::atoi(argv[i + 1]);
    } else if (name == "--seconds") {
      options.seconds = std::atof(argv[i + 1]);
    } else if (name == "--links") {
      options.links = std::atoi(argv[i + 1]);
    } else if (name == "--dir") {
      options.directory = argv[i + 1];
    } else if (name == "--json") {
      options.json_path = argv[i + 1];
    } else {
      return false;
    }
  }
  return options.rounds > 0 && options.seconds > 0 && options.links > 0;
}

// Of one side over all rounds.
struct Line {
  const char* name;
  const char* key;
  std::vector<double> mb;
  std::vector<double> cpu;
  std::vector<double> ratios;  // of attachments to it
};

std::vector<Line> measure(const Options& options) {
  const std::string at = options.directory + "/attachment-bench-";
  const auto links = static_cast<std::size_t>(options.links);
  using Space = bench::BareFiles::Space;
  const auto ring = [] { return need(io::Ring::open(io::make_uring_backend(), {})); };
  Log grouped(at + "log", log::batch_size_default);
  Log single(at + "log-64", small_batch_bytes);
  Ingest again(at + "data", options.links, reuse_bytes);
  Ingest fresh(at + "data-new", options.links, no_spares_bytes);
  bench::BareFiles bare_again(at + "bare", ring(), file_bytes, links, Space::again);
  bench::BareFiles bare_fresh(at + "bare-new", ring(), file_bytes, links, Space::fresh);
  const auto bare = [](bench::BareFiles& files, double seconds) {
    const double cpu = cpu_seconds();
    const double rate = files.run(seconds);
    return Rate{rate, (cpu_seconds() - cpu) * 1e6 / (rate * seconds)};
  };
  std::vector<Line> lines = {
      {"attachments, over expired files", "ingest", {}, {}, {}},
      {"log, 64 KiB records in 1 MiB writes", "log", {}, {}, {}},
      {"log, 64 KiB records, a write each", "log_64k", {}, {}, {}},
      {"bare durable files over old ones, the best scheme", "bare", {}, {}, {}},
      {"attachments, in new space", "ingest_new", {}, {}, {}},
      {"bare durable files in new space", "bare_new", {}, {}, {}},
  };
  keep_to(true);
  again.warm_up();
  for (int round = 0; round < options.rounds; ++round) {
    const Rate rates[] = {again.run(options.seconds),      grouped.run(options.seconds),
                          single.run(options.seconds),     bare(bare_again, options.seconds),
                          fresh.run(options.seconds),      bare(bare_fresh, options.seconds)};
    for (std::size_t i = 0; i < lines.size(); ++i) {
      lines[i].mb.push_back(rates[i].mb_per_s);
      lines[i].cpu.push_back(rates[i].cpu_us_per_mb);
      lines[i].ratios.push_back(rates[0].mb_per_s / rates[i].mb_per_s);
    }
  }
  return lines;
}

bool write_json(const Options& options, bool to_stdout, const std::vector<Line>& lines) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().key("attachment").begin_object();
  for (const Line& line : lines) {
    const std::string key = line.key;
    json.key(key + "_mb_per_s").number(median(line.mb), 1);
    json.key(key + "_cpu_us_per_mb").number(median(line.cpu), 1);
    json.key("ratio_to_" + key).number(median(line.ratios), 3);
  }
  json.end_object().end_object();
  out += '\n';
  std::FILE* file = to_stdout ? stdout : std::fopen(options.json_path, "w");
  const bool written = file != nullptr && std::fputs(out.c_str(), file) >= 0;
  if (file != nullptr && written && (to_stdout || std::fclose(file) == 0)) return true;
  fmt::print(stderr, "attachment-bench: can't write {}: {}\n", options.json_path,
             std::strerror(errno));
  return false;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    fmt::print(stderr,
               "usage: {} [--rounds N] [--seconds S] [--links N] [--dir DIR] [--json FILE|-]\n",
               argv[0]);
    return 2;
  }
  keep_to(false);  // what the rooms' helper threads inherit
  const std::vector<Line> lines = measure(options);
  const bool to_stdout = options.json_path != nullptr && std::strcmp(options.json_path, "-") == 0;
  std::FILE* const table = to_stdout ? stderr : stdout;
  for (const Line& line : lines) {
    fmt::print(table, "{:<50}{:>8.0f} MB/s{:>8.3f}{:>8.0f} us/MB\n", line.name, median(line.mb),
               median(line.ratios), median(line.cpu));
  }
  fmt::print(table, "(the ratio is of attachments over expired files to this line)\n");
  return options.json_path == nullptr || write_json(options, to_stdout, lines) ? 0 : 1;
}
