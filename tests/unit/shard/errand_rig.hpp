// A shard for errands: keeps some tickets for a while, lets some fall.
#pragma once

#include <deque>
#include <optional>

#include "engine/io/sim.hpp"
#include "engine/shard/errand.hpp"
#include "engine/shard/shard.hpp"

namespace ringgate::unit {

class KeepingHost final : public shard::ErrandHost {
 public:
  void keep(shard::ErrandTicket ticket) { kept_.push_back(std::move(ticket)); }
  std::size_t kept() const { return kept_.size(); }
  // Answers the oldest, and drops every eighth.
  void answer_one() {
    if (kept_.empty()) return;
    if (++answered_ % 8 != 0) kept_.front().done();
    kept_.pop_front();
  }

  std::uint64_t ran = 0;

 private:
  std::deque<shard::ErrandTicket> kept_;
  std::uint64_t answered_ = 0;
};

// A shard on a simulated ring of its own, so that any thread can run it.
struct ErrandShard {
  ErrandShard(shard::MailHub& mail, shard::ErrandHub& errands, ShardIndex index)
      : world(io::SimOptions{.seed = index + 1U}) {
    auto ring = io::Ring::open(world.make_backend(), {.sq_entries = 64, .cq_entries = 256});
    RG_CHECK(ring.ok());
    shard.emplace(shard::ShardOptions{.index = index, .count = mail.shards()}, std::move(*ring),
                  world.sys());
    room.emplace(*shard, mail);
    errand_room.emplace(*shard, *room, errands, host.emplace());
  }
  // The host's tickets go before the room, as gates do.
  ~ErrandShard() {
    host.reset();
    errand_room.reset();
  }
  // One turn; false once stopped.
  bool turn() {
    host->answer_one();
    return shard->turn(0);
  }

  io::World world;
  std::optional<shard::Shard> shard;
  std::optional<shard::MailRoom> room;
  std::optional<KeepingHost> host;
  std::optional<shard::ErrandRoom> errand_room;
};

}  // namespace ringgate::unit
