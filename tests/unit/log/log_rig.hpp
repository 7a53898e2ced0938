// What the log's tests share: a scratch data directory, a shard on the real ring, sample records.
#pragma once

#include <stdlib.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "engine/io/ring.hpp"
#include "engine/io/sys.hpp"
#include "engine/shard/shard.hpp"
#include "storage/log/data_dir.hpp"
#include "storage/log/recovery.hpp"
#include "storage/log/supply.hpp"
#include "storage/log/writer.hpp"

namespace ringgate::log {

class ScratchDir {
 public:
  ScratchDir() {
    const char* base = ::getenv("TMPDIR");
    std::string name = std::string(base != nullptr ? base : "/tmp") + "/ringgate-log-XXXXXX";
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  ~ScratchDir() { std::filesystem::remove_all(path_); }
  ScratchDir(const ScratchDir&) = delete;
  ScratchDir& operator=(const ScratchDir&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline LogOptions small_options(const std::string& data_dir) {
  LogOptions options;
  options.data_dir = data_dir;
  options.segment_size = 256 * 1024;
  options.batch_size = 64 * 1024;
  return options;
}

inline std::unique_ptr<io::Ring> open_real_ring() {
  io::RingOptions options;
  options.sq_entries = 64;
  options.cq_entries = 256;
  auto ring = io::Ring::open(io::make_uring_backend(), options);
  REQUIRE_MESSAGE(ring.ok(), (ring.ok() ? std::string() : ring.error().message));
  return std::move(*ring);
}

// A gateway's log without the gateway: directory, recovery, supply, one shard, its writer.
struct Rig {
  explicit Rig(const LogOptions& log_options, io::Sys& sys = io::real_sys(),
               std::unique_ptr<io::Ring> ring = open_real_ring(),
               SegmentSupply::Mode mode = SegmentSupply::Mode::inline_now)
      : options(log_options) {
    auto opened = DataDir::open(sys, options.data_dir);
    REQUIRE_MESSAGE(opened.ok(), (opened.ok() ? std::string() : opened.error().message));
    dir = std::move(*opened);
    auto recovered = recover(sys, *dir);
    REQUIRE_MESSAGE(recovered.ok(), (recovered.ok() ? std::string() : recovered.error().message));
    report = std::move(*recovered);
    supply = std::make_unique<SegmentSupply>(sys, options, dir->log_path(), dir->node(), dir->run(),
                                             mode);
    shard = std::make_unique<shard::Shard>(shard::ShardOptions{}, std::move(ring), sys);
    auto made = Writer::open(*shard, options, *supply);
    REQUIRE_MESSAGE(made.ok(), (made.ok() ? std::string() : made.error().message));
    writer = std::move(*made);
  }
  ~Rig() { stop(); }

  void stop() {
    if (stopped) return;
    stopped = true;
    shard->request_stop();
    while (shard->turn(ns_per_ms)) {
    }
    writer.reset();
  }
  // Ends without a word to the files, as a kill would.
  void kill() {
    while (!writer->all_committed()) shard->turn(ns_per_ms);
    stopped = true;
    writer->abandon();
    supply->abandon();
    writer.reset();
  }
  void commit() {
    while (!writer->all_committed()) shard->turn(10 * ns_per_ms);
  }

  LogOptions options;
  std::unique_ptr<DataDir> dir;
  RecoveryReport report;
  std::unique_ptr<SegmentSupply> supply;
  std::unique_ptr<shard::Shard> shard;
  std::unique_ptr<Writer> writer;
  bool stopped = false;
};

inline std::vector<std::uint8_t> sample_payload(std::uint64_t number, std::size_t size) {
  std::vector<std::uint8_t> payload(size);
  for (std::size_t i = 0; i < size; ++i) payload[i] = static_cast<std::uint8_t>(number * 31 + i);
  return payload;
}

inline Position append_sample(Writer& writer, std::uint64_t number, std::size_t size = 52) {
  RecordInfo info;
  info.ns = Namespace::phone;
  info.message = 0x0200;
  info.serial = static_cast<std::uint16_t>(number);
  info.link = number;
  const std::string device = std::to_string(13800000000ULL + number % 7);
  info.device = device;
  return writer.append(info, sample_payload(number, size));
}

}  // namespace ringgate::log
