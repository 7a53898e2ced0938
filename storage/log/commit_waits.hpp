// Calls somebody back once a position of this shard's log is durable: for changes that a person or
// program waits for. Not for messages: each wait allocates. Lives on one shard.
#pragma once

#include <deque>
#include <functional>
#include <utility>

#include "engine/flow/watermark.hpp"

namespace ringgate::log {

class CommitWaits final : public flow::CommitListener {
 public:
  explicit CommitWaits(flow::Watermark& watermark) : watermark_(watermark) {
    watermark.listen(*this);
  }
  CommitWaits(const CommitWaits&) = delete;
  CommitWaits& operator=(const CommitWaits&) = delete;

  // `then` runs in the turn in which everything below `position` is durable, or at once where it
  // is. Positions come in the order in which they were appended. Waits that are left when the shard
  // ends are dropped with what they hold.
  void wait(Position position, std::function<void()> then) {
    if (watermark_.committed() >= position && waits_.empty()) return then();
    waits_.emplace_back(position, std::move(then));
  }

  void on_commit(Position committed) override {
    while (!waits_.empty() && waits_.front().first <= committed) {
      const std::function<void()> then = std::move(waits_.front().second);
      waits_.pop_front();
      then();
    }
  }

 private:
  flow::Watermark& watermark_;
  std::deque<std::pair<Position, std::function<void()>>> waits_;
};

}  // namespace ringgate::log
