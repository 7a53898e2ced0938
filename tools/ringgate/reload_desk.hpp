// Where others ask the main thread for a reload and hear how it went. A request is a number and a
// SIGHUP: one reload answers all that were asked before it began.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace ringgate::server {

struct ReloadOutcome {
  bool done = false;
  std::vector<std::string> lines;  // what changed; or why nothing did
};

class ReloadDesk {
 public:
  // Any thread: asks; the number is for outcome(). `by`: for the audit record.
  std::uint64_t ask(const std::string& by);
  // Any thread: none: it is not over.
  std::optional<ReloadOutcome> outcome(std::uint64_t number) const;

  // The main thread: what a reload that begins now will have answered, and who asked for it
  // ("SIGHUP" where nobody did here).
  struct Asked {
    std::uint64_t number = 0;
    std::string by;
  };
  Asked begin();
  void end(std::uint64_t number, ReloadOutcome outcome);

 private:
  mutable std::mutex mutex_;
  std::uint64_t asked_ = 0;
  std::uint64_t answered_ = 0;
  std::string by_;
  ReloadOutcome last_;
};

}  // namespace ringgate::server
