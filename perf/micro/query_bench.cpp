// How long one device-hour takes in a log of some gigabytes that spans a day, and how fast a tail
// reads the log.
// query-bench [--dir DIR] [--gb N] [--devices N] [--queries N] [--compress 0|1] [--keep 0|1]
//
// Makes sealed segments of two streams with the log's own code (reports of a fleet, at the pace
// that fills a day), and their indexes. Then asks for random hours of random devices, by received
// time and by device time: cold (page cache dropped, where that is allowed, nothing known of the
// segments) and warm (the same question again, with what the first answer taught). The tail reads
// some segments from the beginning, as a sink that catches up.
#include <fcntl.h>
#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string>
#include <type_traits>
#include <vector>

#include "engine/base/json_writer.hpp"
#include "engine/io/sys.hpp"
#include "perf/micro/vehicle.hpp"
#include "protocols/jt808/catalog.hpp"
#include "storage/log/compressor.hpp"
#include "storage/log/index_maker.hpp"
#include "storage/log/record.hpp"
#include "storage/log/segment.hpp"
#include "storage/log/segment_file.hpp"
#include "storage/log/segment_times.hpp"
#include "storage/query/scan.hpp"
#include "storage/query/tail.hpp"

namespace {

using namespace ringgate;

constexpr std::int64_t day_begin_s = 1'790'000'000;
constexpr std::int64_t day_s = 86'400;
constexpr ShardIndex streams = 2;

struct Options {
  std::string directory = ".";
  double gigabytes = 4;
  std::uint32_t devices = 2000;
  std::uint32_t queries = 200;
  bool compress = false;
  bool keep = false;  // the log is left there, and one that is there is used
};

[[noreturn]] void fail(const std::string& message) {
  fmt::print(stderr, "query-bench: {}\n", message);
  std::exit(1);
}

template <class T>
T need(Result<T> result) {
  if (!result) fail(result.error().message);
  return std::move(*result);
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i + 1 < argc; i += 2) {
    const std::string name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--dir") options.directory = value;
    if (name == "--gb") options.gigabytes = std::atof(value);
    if (name == "--devices") options.devices = static_cast<std::uint32_t>(std::atoi(value));
    if (name == "--queries") options.queries = static_cast<std::uint32_t>(std::atoi(value));
    if (name == "--compress") options.compress = std::atoi(value) != 0;
    if (name == "--keep") options.keep = std::atoi(value) != 0;
  }
  return options;
}

// One stream, written a full segment at a time.
class StreamWriter {
 public:
  StreamWriter(const std::string& directory, ShardIndex shard)
      : directory_(directory), memory_(log::aligned_memory(log::segment_size_default)) {
    header_.node[0] = 1;
    header_.stream = {1, shard};
    header_.size_bytes = log::segment_size_default;
    begin(0);
  }

  void append(const event::RecordView& view) {
    const std::uint64_t size = log::record_header_size + view.device.size() + view.payload.size();
    const std::uint64_t next = at_ + log::padded_size(size);
    if (header_.offset_of(next) + log::record_header_size > header_.size_bytes) finish(true);
    put(view, static_cast<std::uint32_t>(size));
    if (records_++ == 0) first_us_ = view.received_us;
    last_us_ = view.received_us;
  }
  void finish(bool full) {
    if (full)
      put({.kind = event::RecordKind::state, .message = log::end_mark, .received_us = last_us_},
          log::record_header_size);
    log::encode_header(header_, {memory_.get(), log::block_size});
    const log::Seal seal{
        full ? log::SealKind::full : log::SealKind::stopped, at_, records_, first_us_, last_us_, 0};
    log::encode_seal(seal, header_.epoch, {memory_.get() + log::seal_offset, log::block_size});
    const std::string path =
        directory_ + "/" + log::segment_file_name(header_.stream, header_.base);
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_DIRECT, 0640);
    if (fd < 0) fail("cannot make " + path);
    for (std::uint64_t offset = 0; offset < header_.size_bytes; offset += 1 << 20) {
      if (::pwrite(fd, memory_.get() + offset, 1 << 20, static_cast<off_t>(offset)) != 1 << 20) {
        fail("cannot write " + path);
      }
    }
    ::close(fd);
    bytes_ += header_.size_bytes;
    begin(header_.next_base());
  }
  std::uint64_t bytes() const { return bytes_; }

 private:
  void begin(Position base) {
    std::memset(memory_.get(), 0, log::segment_size_default);
    header_.base = at_ = base;
    header_.committed = base;
    header_.epoch = 77 + header_.stream.shard + base;
    seed_ = log::crc_seed(header_.epoch);
    records_ = 0;
  }
  void put(const event::RecordView& view, std::uint32_t size) {
    log::RecordHeader header{};
    header.size_bytes = size;
    header.position = at_;
    header.received_us = view.received_us;
    header.link = view.link;
    header.kind = static_cast<std::uint8_t>(view.kind);
    header.ns = static_cast<std::uint8_t>(view.ns);
    header.device_size = static_cast<std::uint8_t>(view.device.size());
    header.message = view.message;
    header.serial = view.serial;
    log::put_record(memory_.get() + header_.offset_of(at_), header, view.device, view.payload,
                    seed_);
    at_ += log::padded_size(size);
  }

  std::string directory_;
  log::AlignedMemory memory_;
  log::SegmentHeader header_;
  std::uint32_t seed_ = 0;
  Position at_ = 0;
  std::uint64_t records_ = 0;
  std::uint64_t bytes_ = 0;
  WallUs first_us_ = 0;
  WallUs last_us_ = 0;
};

void make_log(const Options& options, const std::string& data_dir) {
  std::filesystem::create_directories(data_dir + "/log");
  std::FILE* node = std::fopen((data_dir + "/node").c_str(), "w");
  if (node == nullptr) fail("cannot write to " + data_dir);
  std::fputs("01000000-0000-0000-0000-000000000000\n", node);
  std::fclose(node);
  // A report takes some 136 bytes of log: this many seconds between two of a device fill the day.
  const double reports = options.gigabytes * 1e9 / 136;
  const double interval = static_cast<double>(day_s) * options.devices / reports;
  const auto interval_s = static_cast<std::uint32_t>(std::max(1.0, interval));
  perf::Fleet fleet(options.devices, day_begin_s, interval_s);
  StreamWriter writers[streams] = {{data_dir + "/log", 0}, {data_dir + "/log", 1}};
  const auto total = static_cast<std::uint64_t>(reports);
  for (std::uint64_t i = 0; i < total; ++i) {
    const event::RecordView view = fleet.next();
    writers[(view.link - 1) % streams].append(view);
  }
  for (StreamWriter& writer : writers) writer.finish(false);
}

void make_side_files(const Options& options, const std::string& directory,
                     const event::CatalogSet& catalogs) {
  const auto go_on = [] { return true; };
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory)) {
    names.push_back(entry.path().filename().string());
  }
  log::TimesTable times;
  for (const std::string& name : names) {
    const auto indexed = need(log::make_index(io::real_sys(), directory, name, catalogs, go_on));
    if (!indexed.made) fail("no index of " + name);
    const auto id = log::parse_segment_file_name(name);
    times[{id->stream, id->base}] = indexed.times;
    if (options.compress) {
      const auto made =
          need(log::compress_segment(io::real_sys(), directory, name, catalogs, {.pause = go_on}));
      if (!made.made) fail(made.why);
      std::filesystem::remove(directory + "/" + name);
      std::filesystem::remove(directory + "/" + log::index_name_of(name));
    }
  }
  if (auto put = log::write_times(io::real_sys(), directory, times); !put) {
    fail(put.error().message);
  }
}

// Whether the page cache could be dropped; reads are direct where the file system has it.
bool drop_caches() {
  ::sync();
  const int fd = ::open("/proc/sys/vm/drop_caches", O_WRONLY);
  if (fd < 0) return false;
  const bool dropped = ::write(fd, "3", 1) == 1;
  ::close(fd);
  return dropped;
}

double milliseconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - began)
      .count();
}

struct Figures {
  std::vector<double> cold_ms, warm_ms;
  std::uint64_t records = 0;
  double worst_share = 0;  // of the log's bytes that one cold query read
};

double percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const auto at = static_cast<std::size_t>(share * static_cast<double>(values.size()));
  return values[std::min(at, values.size() - 1)];
}

class Bench {
 public:
  Bench(const Options& options, std::string data_dir, const event::CatalogSet& catalogs)
      : options_(options), data_dir_(std::move(data_dir)), catalogs_(catalogs) {}

  Figures device_hours(bool by_device_time) {
    Figures figures;
    std::mt19937_64 random(4);
    for (std::uint32_t i = 0; i < options_.queries; ++i) {
      query::Selection selection;
      const std::string device = std::to_string(13'800'000'000ULL + random() % options_.devices);
      selection.devices.emplace_back(Namespace::phone, device);
      const auto hour = static_cast<std::int64_t>(random() % (day_s - 3600));
      const WallUs from = (day_begin_s + hour) * us_per_s;
      (by_device_time ? selection.device_from_us : selection.received_from_us) = from;
      (by_device_time ? selection.device_to_us : selection.received_to_us) = from + 3600 * us_per_s;
      drop_caches();
      query::Heads heads;
      figures.cold_ms.push_back(ask(selection, heads, figures));
      const std::uint64_t found = figures.records;
      figures.warm_ms.push_back(ask(selection, heads, figures));
      if (figures.records != 2 * found - before_) fail("two answers to one question");
      before_ = figures.records;
    }
    before_ = 0;
    return figures;
  }

  // Records per second of CPU, of the thread that reads.
  double tail(std::uint64_t& records) {
    auto tail = need(query::Tail::open({io::real_sys(), data_dir_, catalogs_}, {}, {}));
    query::Found found;
    timespec begin{}, end{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &begin);
    for (records = 0; records < 4'000'000 && tail->next(found); ++records) {
    }
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &end);
    const double seconds = static_cast<double>(end.tv_sec - begin.tv_sec) +
                           static_cast<double>(end.tv_nsec - begin.tv_nsec) / 1e9;
    return static_cast<double>(records) / seconds;
  }
  std::uint64_t log_bytes() const { return log_bytes_; }

 private:
  double ask(const query::Selection& selection, query::Heads& heads, Figures& figures) {
    const auto began = std::chrono::steady_clock::now();
    auto scan =
        need(query::Scan::open({io::real_sys(), data_dir_, catalogs_, nullptr, &heads}, selection));
    query::Found found;
    while (need(scan->next(found))) ++figures.records;
    const double took_ms = milliseconds_since(began);
    const query::ScanStats& stats = scan->stats();
    log_bytes_ = stats.log_bytes;
    const double share =
        static_cast<double>(stats.bytes_read) / static_cast<double>(stats.log_bytes);
    figures.worst_share = std::max(figures.worst_share, share);
    return took_ms;
  }

  const Options& options_;
  std::string data_dir_;
  const event::CatalogSet& catalogs_;
  std::uint64_t before_ = 0;
  std::uint64_t log_bytes_ = 0;
};

template <class T>
void field(JsonWriter& out, std::string_view name, T value) {
  out.key(name);
  if constexpr (std::is_same_v<T, bool>) {
    out.boolean(value);
  } else if constexpr (std::is_integral_v<T>) {
    out.unsigned_integer(value);
  } else {
    out.number(value, 4);
  }
}

void put(JsonWriter& out, const char* name, const Figures& figures, std::uint32_t queries) {
  out.key(name);
  out.begin_object();
  field(out, "records_per_query", static_cast<double>(figures.records) / (2.0 * queries));
  field(out, "cold_p50_ms", percentile(figures.cold_ms, 0.5));
  field(out, "cold_p99_ms", percentile(figures.cold_ms, 0.99));
  field(out, "warm_p50_ms", percentile(figures.warm_ms, 0.5));
  field(out, "warm_p99_ms", percentile(figures.warm_ms, 0.99));
  field(out, "worst_share_read", figures.worst_share);
  out.end_object();
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  const std::string data_dir = options.directory + "/query-bench-data";
  if (!options.keep) std::filesystem::remove_all(data_dir);
  const bool there = std::filesystem::exists(data_dir + "/made");
  const jt808::Catalog catalog;
  event::CatalogSet catalogs;
  catalogs.add(catalog);
  if (!there) make_log(options, data_dir);
  Bench bench(options, data_dir, catalogs);
  std::uint64_t records = 0;
  const double tail_rate = bench.tail(records);
  if (!there) make_side_files(options, data_dir + "/log", catalogs);
  if (options.keep) std::filesystem::create_directory(data_dir + "/made");
  const bool dropped = drop_caches();
  const Figures received = bench.device_hours(false);
  const Figures device = bench.device_hours(true);
  std::string text;
  JsonWriter out(text);
  out.begin_object();
  field(out, "log_bytes", bench.log_bytes());
  field(out, "compressed", options.compress);
  field(out, "caches_dropped", dropped);
  field(out, "tail_records", records);
  field(out, "tail_records_per_cpu_s", tail_rate);
  put(out, "by_received_time", received, options.queries);
  put(out, "by_device_time", device, options.queries);
  out.end_object();
  fmt::print("{}\n", text);
  if (!options.keep) std::filesystem::remove_all(data_dir);
  return 0;
}
