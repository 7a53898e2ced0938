// What simulated logs are made by: a gateway's log with two shards on a simulated machine.
#pragma once

#include <doctest/doctest.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/io/sim.hpp"
#include "engine/io/sim_disk.hpp"
#include "engine/shard/shard.hpp"
#include "storage/log/commit_board.hpp"
#include "storage/log/data_dir.hpp"
#include "storage/log/recovery.hpp"
#include "storage/log/supply.hpp"
#include "storage/log/writer.hpp"

namespace ringgate::sim {

constexpr ShardIndex shards = 2;

// One shard's way into the log.
struct Place {
  std::unique_ptr<shard::Shard> shard;
  std::unique_ptr<log::Writer> writer;
  std::unique_ptr<log::BoardWriter> on_board;
  Position committed() const { return shard->watermark().committed(); }
};

// One run of a gateway's log.
struct Life {
  Life(io::World& world, const log::LogOptions& options) : sys(world.sys()) {
    auto opened = log::DataDir::open(sys, options.data_dir);
    REQUIRE_MESSAGE(opened.ok(), (opened.ok() ? std::string() : opened.error().message));
    dir = std::move(*opened);
    auto recovered = log::recover(sys, *dir);
    REQUIRE_MESSAGE(recovered.ok(), (recovered.ok() ? std::string() : recovered.error().message));
    board = std::make_unique<log::CommitBoard>(dir->run());
    supply = std::make_unique<log::SegmentSupply>(sys, options, dir->log_path(), dir->node(),
                                                  dir->run(), log::SegmentSupply::Mode::inline_now);
    for (ShardIndex i = 0; i < shards; ++i) {
      Place& place = places[i];
      auto ring = io::Ring::open(world.make_backend(), {.sq_entries = 64, .cq_entries = 128});
      REQUIRE(ring.ok());
      const shard::ShardOptions shard_options{.index = i, .count = shards};
      place.shard = std::make_unique<shard::Shard>(shard_options, std::move(*ring), sys);
      auto made = log::Writer::open(*place.shard, options, *supply);
      REQUIRE_MESSAGE(made.ok(), (made.ok() ? std::string() : made.error().message));
      place.writer = std::move(*made);
      place.on_board = std::make_unique<log::BoardWriter>(*board, i, place.shard->watermark());
    }
  }
  void abandon() {
    for (Place& place : places) place.writer->abandon();
    supply->abandon();
  }

  io::Sys& sys;
  std::unique_ptr<log::DataDir> dir;
  std::unique_ptr<log::CommitBoard> board;
  std::unique_ptr<log::SegmentSupply> supply;
  Place places[shards];
};

}  // namespace ringgate::sim
