// Reads old log for subscribers that go on from a place: on a thread of its own, some at a time,
// each with a tail of its own, in small steps. A reader that has given a chunk waits until the hub
// lets it go on, so that a slow socket costs a chunk and no more.
//
// begin(), go_on() and cancel() are called on one thread (the Feed's), the rest happens on this
// one's.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <thread>
#include <utility>

#include "engine/shard/inbox.hpp"
#include "protocols/api/stream_events.hpp"
#include "protocols/api/stream_hub.hpp"
#include "storage/query/tail.hpp"

namespace ringgate::api {

// One subscription's way through old log.
class LogReader final : public EventTaker {
 public:
  LogReader(std::uint64_t job, std::shared_ptr<const Subscription> wanted,
            const CatchUps::Start& start, const StreamPlace& until);

  // Reads a piece. `source`: of the thread.
  CaughtUp step(const query::Scan::Parts& parts, EventSource& source);
  // Gives back what reading costs; the next step takes it again.
  void rest() { tail_.reset(); }

  void read_until(const StreamPlace& until) {
    // What was passed over, since it was behind the place before, may be wanted now.
    if (std::exchange(passed_over_, false)) rest();
    until_ = until;
  }
  // Whether the last step found nothing at all.
  bool at_end() const { return at_end_; }

  bool wants(const DeviceKey& device) override { return wanted_->wants_device(device); }
  void take(Event& event) override;

 private:
  bool open(const query::Scan::Parts& parts, CaughtUp& out);
  void read(const query::Found& found, EventSource& source, CaughtUp& out);
  bool beyond(const query::Found& found) const;
  bool has_reached(const StreamPlace& until) const;
  void cut(const log::NodeId& node, CaughtUp& out);

  std::uint64_t job_;
  std::shared_ptr<const Subscription> wanted_;
  std::string id_json_;
  StreamPlace place_;
  bool skips_first_;
  StreamPlace until_;
  bool passed_over_ = false;
  std::unique_ptr<query::Tail> tail_;
  std::uint64_t lost_seen_ = 0;
  std::string events_;
  std::uint32_t count_ = 0;
  std::size_t bytes_ = 0;            // of messages in this step
  std::uint32_t silent_steps_ = 0;   // without a message
  bool at_end_ = false;
};

class CatchUpThread final : public CatchUps {
 public:
  // `tell` is called on this thread and must hand the chunk on.
  CatchUpThread(const query::Scan::Parts& parts, Namespace ns, const log::NodeId& node,
                std::function<void(CaughtUp)> tell);
  ~CatchUpThread() override;

  void serve();  // starts the thread
  // One turn without a thread, for tests. False: nothing was to be done.
  bool turn();

  void begin(std::uint64_t job, std::shared_ptr<const Subscription> wanted,
             const Start& start, const StreamPlace& until) override;
  void go_on(std::uint64_t job, const StreamPlace& until) override;
  void cancel(std::uint64_t job) override;

 private:
  struct Job {
    std::unique_ptr<LogReader> reader;
    bool runs = true;    // else it waits to be told to go on
    bool active = false;  // has a tail
    std::uint32_t steps = 0;  // since it became active
    MonoNs looked_ns = 0;
  };
  template <class Work>
  void post(Work work);
  void run();
  void make_room();

  query::Scan::Parts parts_;
  EventSource source_;
  std::function<void(CaughtUp)> tell_;
  shard::Inbox inbox_;
  std::map<std::uint64_t, Job> jobs_;
  std::uint64_t last_ = 0;  // job that had its turn
  std::uint32_t active_ = 0;
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace ringgate::api
