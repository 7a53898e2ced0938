// How fast the log's writer is against a bare ring that only overwrites initialised blocks
// (O_DIRECT | RWF_DSYNC) with writes of the same size, one in flight at a time.
// log-bench [--rounds N] [--seconds S] [--dir DIR] [--json FILE|-]: a table, and the same as JSON.
//
// Both work in DIR (default: here), on the same ring set-up, in alternating rounds; each figure is
// the median of the rounds, the ratio that of the pairs. The writer runs with retention, so that
// its segments are recycled as in a gateway that has run for a while. Its rate counts records with
// their headers and padding, the bare one's what it writes. `append` is the CPU time to ask for
// room, copy and check one record.
#include <fcntl.h>
#include <fmt/format.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/json_writer.hpp"
#include "engine/io/ring.hpp"
#include "engine/io/sys.hpp"
#include "engine/shard/shard.hpp"
#include "storage/log/data_dir.hpp"
#include "storage/log/recovery.hpp"
#include "storage/log/supply.hpp"
#include "storage/log/writer.hpp"

namespace {

using namespace ringgate;

struct Options {
  int rounds = 7;
  double seconds = 0.5;
  std::string directory = ".";
  const char* json_path = nullptr;
};

struct Shape {
  const char* name;
  std::size_t payload_bytes;
  std::uint32_t batch_bytes;
};
constexpr Shape shapes[] = {{"100 B records, 64 KiB batches", 100, 64 << 10},
                            {"64 KiB records, 1 MiB batches", 64 << 10, 1 << 20}};

[[noreturn]] void fail(const std::string& message) {
  fmt::print(stderr, "log-bench: {}\n", message);
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

std::unique_ptr<io::Ring> open_ring() {
  io::RingOptions options;
  options.sq_entries = 64;
  options.cq_entries = 256;
  return need(io::Ring::open(io::make_uring_backend(), options));
}

// A file of zeros, overwritten from front to back again and again.
class Bare {
 public:
  Bare(const std::string& directory, std::uint32_t write_bytes)
      : path_(directory + "/bare"),
        write_bytes_(write_bytes),
        ring_(open_ring()),
        buffer_(log::aligned_memory(write_bytes)) {
    std::memset(buffer_.get(), 0x5a, write_bytes);
    fd_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_DIRECT | O_CLOEXEC, 0600);
    if (fd_ < 0) fail(fmt::format("{}: {}", path_, std::strerror(errno)));
    for (std::uint64_t at = 0; at < file_bytes; at += write_bytes) {
      if (::pwrite(fd_, buffer_.get(), write_bytes, static_cast<off_t>(at)) < 0) {
        fail(fmt::format("{}: {}", path_, std::strerror(errno)));
      }
    }
    ::fsync(fd_);
  }
  ~Bare() {
    ::close(fd_);
    ::unlink(path_.c_str());
  }

  // Bytes per second.
  double run(double seconds) {
    const MonoNs start = io::real_sys().mono_now();
    const MonoNs end = start + static_cast<MonoNs>(seconds * 1e9);
    std::uint64_t bytes = 0;
    MonoNs now = start;
    for (; now < end; now = io::real_sys().mono_now()) {
      io_uring_sqe* sqe = ring_->next_sqe();
      io_uring_prep_write(sqe, fd_, buffer_.get(), write_bytes_, offset_);
      sqe->rw_flags = RWF_DSYNC;
      ring_->submit_and_wait(1, io::wait_forever);
      io_uring_cqe cqe{};
      if (ring_->drain(&cqe, 1) != 1 || cqe.res != static_cast<int>(write_bytes_)) {
        fail(fmt::format("{}: a write failed", path_));
      }
      bytes += write_bytes_;
      offset_ = (offset_ + write_bytes_) % file_bytes;
    }
    return static_cast<double>(bytes) / (static_cast<double>(now - start) / 1e9);
  }

 private:
  static constexpr std::uint64_t file_bytes = 256 << 20;
  std::string path_;
  std::uint32_t write_bytes_;
  std::unique_ptr<io::Ring> ring_;
  log::AlignedMemory buffer_;
  int fd_ = -1;
  std::uint64_t offset_ = 0;
};

class Log {
 public:
  Log(const std::string& directory, const Shape& shape) : payload_(shape.payload_bytes, 0x5a) {
    options_.data_dir = directory + "/log-bench-data";
    options_.batch_size = shape.batch_bytes;
    options_.retention_bytes = 4 * options_.segment_size;
    dir_ = need(log::DataDir::open(io::real_sys(), options_.data_dir));
    supply_ = std::make_unique<log::SegmentSupply>(io::real_sys(), options_, dir_->log_path(),
                                                   dir_->node(), dir_->run(),
                                                   log::SegmentSupply::Mode::thread);
    shard_ = std::make_unique<shard::Shard>(shard::ShardOptions{}, open_ring(), io::real_sys());
    writer_ = need(log::Writer::open(*shard_, options_, *supply_));
    while (supply_->counters().segments_recycled.load() < 3) run(0.05);
    records_ = append_ns_ = 0;
    base_ = writer_->stats();
  }
  ~Log() {
    shard_->request_stop();
    while (shard_->turn(ns_per_ms)) {
    }
    writer_.reset();
    supply_.reset();
    std::filesystem::remove_all(options_.data_dir);
  }

  double run(double seconds) {
    const MonoNs start = io::real_sys().mono_now();
    const MonoNs end = start + static_cast<MonoNs>(seconds * 1e9);
    const std::uint64_t before = writer_->stats().record_bytes;
    log::RecordInfo info;
    info.ns = Namespace::phone;
    info.device = "13800138000";
    info.message = 0x0200;
    MonoNs now = start;
    while (now < end) {
      shard_->turn(0);  // submits; what follows overlaps with the write
      const double cpu = cpu_seconds();
      while (writer_->has_room(payload_.size() + info.device.size())) {
        writer_->append(info, payload_);
        ++records_;
      }
      append_ns_ += (cpu_seconds() - cpu) * 1e9;
      shard_->turn(ns_per_s);
      now = io::real_sys().mono_now();
    }
    while (!writer_->all_committed()) shard_->turn(ns_per_s);
    now = io::real_sys().mono_now();
    return static_cast<double>(writer_->stats().record_bytes - before) /
           (static_cast<double>(now - start) / 1e9);
  }

  double append_ns() const { return append_ns_ / records_; }
  // Bytes written to the disk for each byte of records; recycled segments need no zeros.
  double amplification() const {
    const log::WriterStats& stats = writer_->stats();
    return static_cast<double>(stats.written_bytes - base_.written_bytes) /
           static_cast<double>(stats.record_bytes - base_.record_bytes);
  }
  // Bytes to the log's end for each byte of records with their headers, without padding.
  double overhead() const {
    const double raw = static_cast<double>(payload_.size() + 11 + log::record_header_size);
    const double positions =
        static_cast<double>(writer_->stats().record_bytes - base_.record_bytes);
    return positions / (raw * records_);
  }

 private:
  log::LogOptions options_;
  std::vector<std::uint8_t> payload_;
  std::unique_ptr<log::DataDir> dir_;
  std::unique_ptr<log::SegmentSupply> supply_;
  std::unique_ptr<shard::Shard> shard_;
  std::unique_ptr<log::Writer> writer_;
  log::WriterStats base_;
  double records_ = 0;
  double append_ns_ = 0;
};

struct Row {
  const char* name;
  double log_mb_s, bare_mb_s, ratio, append_ns, amplification, overhead;
};

Row measure(const Shape& shape, const Options& options) {
  Log log(options.directory, shape);
  Bare bare(options.directory, shape.batch_bytes);
  std::vector<double> log_rates;
  std::vector<double> bare_rates;
  std::vector<double> ratios;
  for (int round = 0; round < options.rounds; ++round) {
    bare_rates.push_back(bare.run(options.seconds) / 1e6);
    log_rates.push_back(log.run(options.seconds) / 1e6);
    ratios.push_back(log_rates.back() / bare_rates.back());
  }
  return {shape.name,      median(log_rates),   median(bare_rates), median(ratios),
          log.append_ns(), log.amplification(), log.overhead()};
}

std::string as_json(const std::vector<Row>& rows) {
  std::string out;
  JsonWriter json(out);
  json.begin_object().key("log").begin_array();
  for (const Row& row : rows) {
    json.begin_object().key("name").text(row.name);
    json.key("log_mb_per_s").number(row.log_mb_s, 1).key("bare_mb_per_s").number(row.bare_mb_s, 1);
    json.key("ratio").number(row.ratio, 3).key("append_ns").number(row.append_ns, 1);
    json.key("write_amplification").number(row.amplification, 3);
    json.key("bytes_to_end_per_record_byte").number(row.overhead, 3).end_object();
  }
  json.end_array().end_object();
  return out + "\n";
}

bool parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 >= argc) return false;
    const std::string_view name = argv[i];
    if (name == "--rounds") {
      options.rounds = std::atoi(argv[i + 1]);
    } else if (name == "--seconds") {
      options.seconds = std::atof(argv[i + 1]);
    } else if (name == "--dir") {
      options.directory = argv[i + 1];
    } else if (name == "--json") {
      options.json_path = argv[i + 1];
    } else {
      return false;
    }
  }
  return options.rounds > 0 && options.seconds > 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options options;
  if (!parse(argc, argv, options)) {
    fmt::print(stderr, "usage: {} [--rounds N] [--seconds S] [--dir DIR] [--json FILE|-]\n",
               argv[0]);
    return 2;
  }
  std::vector<Row> rows;
  for (const Shape& shape : shapes) rows.push_back(measure(shape, options));
  std::FILE* table =
      options.json_path != nullptr && std::strcmp(options.json_path, "-") == 0 ? stderr : stdout;
  fmt::print(table, "{:<32} {:>10} {:>10} {:>7} {:>11} {:>14} {:>9}\n", "shape", "log MB/s",
             "bare MB/s", "ratio", "append ns", "amplification", "to end");
  for (const Row& row : rows) {
    fmt::print(table, "{:<32} {:>10.1f} {:>10.1f} {:>7.3f} {:>11.1f} {:>14.3f} {:>9.3f}\n",
               row.name, row.log_mb_s, row.bare_mb_s, row.ratio, row.append_ns, row.amplification,
               row.overhead);
  }
  if (options.json_path == nullptr) return 0;
  const std::string json = as_json(rows);
  if (table == stderr) {
    std::fputs(json.c_str(), stdout);
    return 0;
  }
  std::FILE* file = std::fopen(options.json_path, "w");
  const bool written = file != nullptr && std::fputs(json.c_str(), file) >= 0;
  if (file == nullptr || std::fclose(file) != 0 || !written) {
    fail(fmt::format("can't write {}: {}", options.json_path, std::strerror(errno)));
  }
  return 0;
}
