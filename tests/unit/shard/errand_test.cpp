// Errands in one thread: who gets what back, and when.
#include "engine/shard/errand.hpp"

#include <doctest/doctest.h>
#include <poll.h>

#include <map>
#include <string>

#include "tests/unit/shard/errand_rig.hpp"

namespace {

using namespace ringgate;
using shard::ErrandHost;
using shard::ErrandTicket;
using shard::Posted;
using unit::ErrandShard;
using unit::KeepingHost;

struct Rig {
  explicit Rig(ShardIndex shards)
      : mail(shards, 2), hub(mail), post(hub, mail.control_producer(0)) {
    for (ShardIndex i = 0; i < shards; ++i) {
      places.push_back(std::make_unique<ErrandShard>(mail, hub, i));
    }
  }
  ~Rig() {
    places.clear();
    post.poll();
  }
  // Sends an errand that says what became of it.
  Posted send(ShardIndex to, const std::string& name, bool keep = false) {
    auto errand = shard::make_errand(
        [keep](ErrandHost& host, ErrandTicket ticket) {
          auto& keeper = static_cast<KeepingHost&>(host);
          ++keeper.ran;
          if (keep) return keeper.keep(std::move(ticket));
          ticket.done();
        },
        [this, name](bool ran) { home[name] += ran ? "ran " : "not "; });
    const Posted posted = post.send(to, errand);
    CHECK((errand == nullptr) == (posted == Posted::ok));
    return posted;
  }
  bool readable() const {
    pollfd what{post.fd(), POLLIN, 0};
    return ::poll(&what, 1, 0) == 1;
  }

  shard::MailHub mail;
  shard::ErrandHub hub;
  shard::ErrandPost post;
  std::vector<std::unique_ptr<ErrandShard>> places;
  std::map<std::string, std::string> home;
};

TEST_CASE("an errand runs on its shard and comes home") {
  Rig rig(2);
  CHECK(rig.send(1, "a") == Posted::ok);
  CHECK(rig.post.outstanding() == 1);
  CHECK(!rig.readable());
  rig.places[0]->turn();
  rig.places[1]->turn();
  CHECK(rig.places[0]->host->ran == 0);
  CHECK(rig.places[1]->host->ran == 1);
  CHECK(rig.readable());
  CHECK(rig.home.empty());
  CHECK(rig.post.poll() == 1);
  CHECK(rig.home["a"] == "ran ");
  CHECK(rig.post.outstanding() == 0);
  CHECK(!rig.readable());
}

TEST_CASE("an errand may stay, and one whose ticket falls comes home as not run") {
  Rig rig(1);
  for (int i = 0; i < 8; ++i) CHECK(rig.send(0, std::to_string(i), true) == Posted::ok);
  rig.places[0]->turn();
  CHECK(rig.post.poll() == 0);
  CHECK(rig.places[0]->host->kept() == 8);
  for (int i = 0; i < 8; ++i) rig.places[0]->turn();
  CHECK(rig.post.poll() == 8);
  for (int i = 0; i < 7; ++i) CHECK(rig.home[std::to_string(i)] == "ran ");
  CHECK(rig.home["7"] == "not ");
}

TEST_CASE("a shard that stops gives back what it kept, what it refused and what it never read") {
  Rig rig(2);
  CHECK(rig.send(0, "kept", true) == Posted::ok);
  rig.places[0]->shard->turn(0);
  CHECK(rig.send(0, "other") == Posted::ok);
  rig.places[0]->shard->turn(0);
  rig.places[0]->shard->request_stop();
  rig.places[0]->shard->turn(0);  // it stops with the end of this turn
  CHECK(rig.send(0, "late") == Posted::ok);
  while (rig.places[0]->shard->turn(0)) {
  }
  CHECK(rig.send(0, "unread") == Posted::ok);
  CHECK(rig.post.poll() > 0);
  CHECK(rig.home["other"] == "ran ");
  CHECK(rig.home.count("unread") == 0);
  rig.places[0].reset();
  CHECK(rig.readable());  // the room wakes those who wait for it
  rig.post.poll();
  CHECK(rig.home["kept"] == "not ");
  CHECK(rig.home["late"] == "not ");
  CHECK(rig.home["unread"] == "not ");
  CHECK(rig.post.outstanding() == 0);
  CHECK(rig.send(0, "after") == Posted::stopped);
  CHECK(rig.send(1, "elsewhere") == Posted::ok);
}

TEST_CASE("too many errands, and a full column, say busy and leave the errand with the caller") {
  Rig rig(2);
  std::uint32_t sent = 0;
  while (rig.send(0, "many") == Posted::ok) ++sent;
  CHECK(sent == limits::errands_max);
  CHECK(rig.send(1, "more") == Posted::busy);
  while (rig.post.outstanding() > 0) {
    rig.places[0]->turn();
    rig.post.poll();
  }
  CHECK(rig.send(1, "more") == Posted::ok);
  // Wake-ups of the same thread fill the column.
  while (rig.mail.post_from_control(rig.mail.control_producer(0), 0, shard::MailKind::wake, {})) {
  }
  CHECK(rig.send(0, "full") == Posted::busy);
  CHECK(rig.post.outstanding() == 1);
}

TEST_CASE("letters that nobody took end with their inbox") {
  struct Note final : shard::Letter {
    explicit Note(int& count) : alive(count) { ++alive; }
    ~Note() override { --alive; }
    void arrive() override { ++arrived; }
    int& alive;
    int arrived = 0;
  };
  int alive = 0;
  {
    shard::Inbox inbox;
    inbox.push(std::make_unique<Note>(alive));
    CHECK(inbox.take() == 1);
    CHECK(alive == 0);
    inbox.push(std::make_unique<Note>(alive));
    inbox.push(std::make_unique<Note>(alive));
    CHECK(alive == 2);
  }
  CHECK(alive == 0);
}

}  // namespace
