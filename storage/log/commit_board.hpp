// How far each shard's stream of this run is durable, for readers in the same process: they need
// not wait for the log itself to prove it (FORMAT.md, "Reading a live log").
//
// Life: made before the shards, outlives readers. Written by each shard once per commit, read by
// any thread.
#pragma once

#include <atomic>
#include <array>
#include <memory>

#include "engine/base/limits.hpp"
#include "engine/flow/watermark.hpp"
#include "storage/log/segment.hpp"

namespace ringgate::log {

class CommitBoard {
 public:
  explicit CommitBoard(std::uint32_t run) : run_(run) {}

  std::uint32_t run() const { return run_; }
  // 0 for streams of other runs and shards that never committed.
  Position committed(const StreamId& stream) const {
    if (stream.run != run_ || stream.shard >= places_.size()) return 0;
    return places_[stream.shard].position.load(std::memory_order_acquire);
  }
  void advance(ShardIndex shard, Position committed) {
    places_[shard].position.store(committed, std::memory_order_release);
  }

 private:
  struct alignas(64) Place {  // a cache line each: shards do not disturb each other
    std::atomic<Position> position{0};
  };
  std::uint32_t run_;
  std::array<Place, limits::shards_max> places_;
};

// Puts one shard's commits on the board. Lives on that shard.
class BoardWriter final : public flow::CommitListener {
 public:
  BoardWriter(CommitBoard& board, ShardIndex shard, flow::Watermark& watermark)
      : board_(board), shard_(shard) {
    watermark.listen(*this);
  }
  void on_commit(Position committed) override { board_.advance(shard_, committed); }

 private:
  CommitBoard& board_;
  ShardIndex shard_;
};

}  // namespace ringgate::log
