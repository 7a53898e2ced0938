// The commit watermark of one shard: how far its log is durable, and whether it takes more. The log
// writer moves it; links, sinks and counters follow. Without a log (tools) it stays at `always`.
//
// Lives on one shard and is used only there.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/base/check.hpp"
#include "engine/base/ids.hpp"

namespace ringgate::flow {

enum class LogState : std::uint8_t {
  accepting,  // append works
  refusing,   // log.on_failure = refuse: append fails; sessions answer "failed", heartbeats go on
  holding,    // log.on_failure = hold: append fails; links stop reading until this ends
};

class CommitListener {
 public:
  virtual ~CommitListener() = default;
  // Everything up to `committed` is durable. Called once per finished write, on the shard.
  virtual void on_commit(Position committed) = 0;
  // Appending became possible or impossible.
  virtual void on_log_state(LogState state) { static_cast<void>(state); }
};

class Watermark {
 public:
  Position committed() const { return committed_; }
  LogState state() const { return state_; }
  void listen(CommitListener& listener) { listeners_.push_back(&listener); }

  void advance(Position committed) {
    RG_CHECK(committed >= committed_);
    committed_ = committed;
    for (CommitListener* listener : listeners_) listener->on_commit(committed);
  }
  void set_state(LogState state) {
    if (state == state_) return;
    state_ = state;
    for (CommitListener* listener : listeners_) listener->on_log_state(state);
  }

 private:
  Position committed_ = 0;
  LogState state_ = LogState::accepting;
  std::vector<CommitListener*> listeners_;
};

}  // namespace ringgate::flow
