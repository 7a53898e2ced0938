// Faults of a scenario: puts rules into ringgate-chaos when their time has come, takes them away
// when it is over, and remembers when they took effect. One thread; nothing waits.
#pragma once

#include <string>
#include <vector>

#include "engine/base/clock.hpp"
#include "tools/common/http_calls.hpp"
#include "tools/load/scenario/scenario.hpp"
#include "tools/load/scenario/shape.hpp"

namespace ringgate::load {

// A place on the report's time line.
struct FaultMark {
  std::string name;
  std::string proxy;
  std::string rule;
  MonoNs from_ns = -1;   // since the run's start, when ringgate-chaos had answered; -1: never
  MonoNs until_ns = -1;  // -1: still on
  std::string problem;   // why it did not come or go; empty: all well
};

class Faults {
 public:
  Faults(const Scenario& scenario, tool::HttpCalls& calls);

  // Before the run: every proxy and rule that is named is there. Error: for people.
  Result<void> check();
  // With the spans of Shape: when stages began.
  void turn(MonoNs since_start, const std::vector<StageSpan>& spans);
  // The run is over: whatever is still on goes.
  void end(MonoNs since_start);
  const std::vector<FaultMark>& marks() const { return marks_; }
  std::vector<std::string> active() const;

 private:
  enum class State : std::uint8_t { waiting, starting, on, ending, over };
  struct Item {
    State state = State::waiting;
    MonoNs began_ns = 0;
    std::string kept;  // a rule that was there: what it was
  };
  void start(std::size_t index, MonoNs now);
  void finish(std::size_t index);
  tool::HttpRequest rule_request(const Fault& fault, const char* method, std::string body) const;

  const Scenario& scenario_;
  tool::HttpCalls& calls_;
  std::vector<Item> items_;
  std::vector<FaultMark> marks_;
  MonoNs now_ = 0;
};

}  // namespace ringgate::load
