// Errands between real threads: shards on simulated rings, so that -Db_sanitize=thread sees every
// order, and control threads that send while the shards stop.
#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <random>
#include <string_view>
#include <thread>
#include <vector>

#include "tests/unit/shard/errand_rig.hpp"

namespace {

using namespace ringgate;
using shard::ErrandHost;
using shard::ErrandTicket;
using shard::Posted;

std::uint64_t errands() {
  const char* text = std::getenv("RG_TEST_LONG");
  return text != nullptr && std::string_view(text) == "1" ? 200'000 : 20'000;
}

struct Tally {
  std::uint64_t sent = 0;
  std::uint64_t ran = 0;
  std::uint64_t not_run = 0;
  std::uint64_t refused = 0;
  std::uint64_t wrong = 0;
};

// What an errand carries to the shard and home again: plain memory, ordered by nothing but the
// mail and the inbox.
struct Load {
  std::uint64_t question = 0;
  std::uint64_t answer = 0;
};

// Sends until all are out or its shards have stopped, then waits for the last to come home.
void control(shard::ErrandPost& post, Tally& tally, std::uint64_t count) {
  std::mt19937_64 random(post.shards() + count);
  std::uint64_t stopped = 0;
  for (std::uint64_t i = 0; i < count && stopped < 1'000;) {
    auto load = std::make_shared<Load>();
    load->question = i;
    const bool keep = random() % 4 == 0;
    auto errand = shard::make_errand(
        [load, keep](ErrandHost& host, ErrandTicket ticket) {
          load->answer = load->question + 1;
          auto& keeper = static_cast<unit::KeepingHost&>(host);
          ++keeper.ran;
          if (keep) return keeper.keep(std::move(ticket));
          ticket.done();
        },
        [load, &tally](bool ran) {
          ++(ran ? tally.ran : tally.not_run);
          if (ran && load->answer != load->question + 1) ++tally.wrong;
        });
    load.reset();  // the errand's own from here on
    const Posted posted = post.send(static_cast<ShardIndex>(random() % post.shards()), errand);
    if (posted == Posted::ok) {
      ++tally.sent;
      ++i;
    } else {
      ++tally.refused;
      stopped += posted == Posted::stopped ? 1 : 0;
      std::this_thread::yield();
    }
    if (random() % 8 == 0) post.poll();
  }
  while (post.outstanding() > 0) {
    if (post.poll() == 0) std::this_thread::yield();
  }
}

Tally run(bool stop_early) {
  constexpr ShardIndex shards = 2;
  constexpr std::uint32_t controls = 2;
  shard::MailHub mail(shards, controls);
  shard::ErrandHub hub(mail);
  std::vector<std::unique_ptr<shard::ErrandPost>> posts;
  for (std::uint32_t i = 0; i < controls; ++i) {
    posts.push_back(std::make_unique<shard::ErrandPost>(hub, mail.control_producer(i)));
  }
  std::atomic<bool> stop{false};
  std::vector<std::thread> threads;
  for (ShardIndex i = 0; i < shards; ++i) {
    threads.emplace_back([&, i] {
      unit::ErrandShard place(mail, hub, i);
      for (std::uint64_t turns = 0; place.turn(); ++turns) {
        const bool enough = stop_early && place.host->ran >= errands() / 4;
        if (enough || stop.load(std::memory_order_relaxed)) place.shard->request_stop();
      }
    });
  }
  std::vector<Tally> tallies(controls);
  std::vector<std::thread> senders;
  for (std::uint32_t i = 0; i < controls; ++i) {
    senders.emplace_back([&, i] { control(*posts[i], tallies[i], errands()); });
  }
  for (std::thread& sender : senders) sender.join();
  stop.store(true, std::memory_order_relaxed);
  for (std::thread& thread : threads) thread.join();
  Tally all;
  for (const Tally& one : tallies) {
    all.sent += one.sent;
    all.ran += one.ran;
    all.not_run += one.not_run;
    all.refused += one.refused;
    all.wrong += one.wrong;
  }
  return all;
}

TEST_CASE("every errand comes home once, from shards that go on") {
  const Tally tally = run(false);
  CHECK(tally.sent == 2 * errands());
  CHECK(tally.ran + tally.not_run == tally.sent);
  CHECK(tally.not_run > 0);  // tickets that fell
  CHECK(tally.not_run <= tally.sent / 16);
  CHECK(tally.wrong == 0);
}

TEST_CASE("every errand comes home once, from shards that stop meanwhile") {
  const Tally tally = run(true);
  CHECK(tally.sent < 2 * errands());
  CHECK(tally.ran + tally.not_run == tally.sent);
  CHECK(tally.not_run > 0);
  CHECK(tally.refused > 0);
  CHECK(tally.wrong == 0);
}

}  // namespace
