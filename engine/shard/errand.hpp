// Errands: a control thread (the control socket's, the API's) has something done on a shard and
// gets it back when it is done. The errand travels as a pointer in a mail, runs on the shard's
// thread, may stay there (a command that waits for its answer), and comes home through the thread's
// inbox. The shard takes no lock for it.
//
//   auto errand = make_errand(
//       [key](ErrandHost& host, ErrandTicket ticket) { ...; ticket.done(); },  // on the shard
//       [client](bool ran) { ... });                                           // back home
//   if (post.send(shard, errand) != Posted::ok) ...                            // still ours
//
// Every errand that was sent comes home exactly once: ran, or not, where its shard stopped before
// or its ticket was dropped. Bounded by limits::errands_max per control thread.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "engine/base/limits.hpp"
#include "engine/shard/inbox.hpp"
#include "engine/shard/mailbox.hpp"

namespace ringgate::shard {

// What a shard shows to errands; whoever wires the shard derives from it.
class ErrandHost {
 public:
  virtual ~ErrandHost() = default;
};

class ErrandTicket;
class ErrandPost;

class Errand : public Letter {
 public:
  // On the shard's thread. The errand lives as long as its ticket: keep the ticket to answer later.
  virtual void run(ErrandHost& host, ErrandTicket ticket) = 0;
  // Back on the control thread. `ran`: its ticket was done().
  virtual void home(bool ran) = 0;

  void arrive() final;

 private:
  friend class ErrandPost;
  friend class ErrandTicket;
  ErrandPost* post_ = nullptr;
  Errand* previous_ = nullptr;  // of those that its post waits for from one shard
  Errand* following_ = nullptr;
  ShardIndex shard_ = 0;
  bool ran_ = false;
};

// Ownership of an errand on its shard. done() sends it home; so does dropping the ticket, as not
// run.
class ErrandTicket {
 public:
  explicit ErrandTicket(Errand& errand) : errand_(&errand) {}
  ErrandTicket(ErrandTicket&& other) noexcept : errand_(std::exchange(other.errand_, nullptr)) {}
  ErrandTicket& operator=(ErrandTicket&&) = delete;
  ~ErrandTicket() { go_home(false); }

  Errand& errand() { return *errand_; }
  void done() { go_home(true); }

 private:
  void go_home(bool ran);
  Errand* errand_;
};

// The two ends find each other here. Built before the shards start, outlives them and the posts.
class ErrandHub {
 public:
  explicit ErrandHub(MailHub& mail);

 private:
  friend class ErrandPost;
  friend class ErrandRoom;
  MailHub& mail_;
  std::vector<std::unique_ptr<std::atomic<bool>>> closed_;     // by shard
  std::vector<std::unique_ptr<std::atomic<Inbox*>>> inboxes_;  // by control producer
};

enum class Posted : std::uint8_t {
  ok,
  busy,     // too many are under way, or the shard's column is full: try later
  stopped,  // the shard has stopped
};

// A control thread's end; used by that thread only. Must outlive the shards' threads.
class ErrandPost {
 public:
  // `producer`: MailHub::control_producer(n) of this thread alone.
  ErrandPost(ErrandHub& hub, std::uint32_t producer);
  // Errands that are still out must have come home (all shards closed, poll() called).
  ~ErrandPost();
  ErrandPost(const ErrandPost&) = delete;
  ErrandPost& operator=(const ErrandPost&) = delete;

  // Takes `errand` where it says ok.
  Posted send(ShardIndex to, std::unique_ptr<Errand>& errand);
  // Readable when poll() has something to do.
  int fd() const { return inbox_.fd(); }
  // Letters and errands that came home. Returns how many.
  std::size_t poll();
  // For letters that are no errands (frames of a trace): any thread.
  Inbox& inbox() { return inbox_; }

  std::uint32_t outstanding() const { return outstanding_; }
  ShardIndex shards() const { return hub_.mail_.shards(); }

 private:
  friend class Errand;
  void put(Errand& errand);
  void remove(Errand& errand);

  ErrandHub& hub_;
  std::uint32_t producer_;
  Inbox inbox_;
  std::vector<Errand*> out_;  // by shard: a list
  std::uint32_t outstanding_ = 0;
};

// A shard's end: runs what comes. Built after the MailRoom and ended before it, after everything
// that may hold tickets.
class ErrandRoom final : public MailHandler, public Hook {
 public:
  ErrandRoom(Shard& shard, MailRoom& mail, ErrandHub& hub, ErrandHost& host);
  ~ErrandRoom() override;

  void on_mail(MailKind kind, std::uint32_t producer, Bytes bytes) override;
  void start_stop() override { stopping_ = true; }

 private:
  ShardIndex index_;
  ErrandHub& hub_;
  ErrandHost& host_;
  bool stopping_ = false;
};

// An errand of two functions: run(ErrandHost&, ErrandTicket) and home(bool ran).
template <class Run, class Home>
std::unique_ptr<Errand> make_errand(Run run, Home home) {
  class Pair final : public Errand {
   public:
    Pair(Run&& run_it, Home&& at_home) : run_(std::move(run_it)), home_(std::move(at_home)) {}
    void run(ErrandHost& host, ErrandTicket ticket) override { run_(host, std::move(ticket)); }
    void home(bool ran) override { home_(ran); }

   private:
    Run run_;
    Home home_;
  };
  return std::make_unique<Pair>(std::move(run), std::move(home));
}

}  // namespace ringgate::shard
