// Columns and the sleep flag between real threads. Build with -Db_sanitize=thread to have the
// orders checked as well: the bytes in a column are plain memory, ordered by nothing but its two
// indices.
#include "engine/shard/mailbox.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstdlib>
#include <string_view>
#include <thread>
#include <vector>

namespace {

using namespace ringgate;
using shard::MailColumn;
using shard::MailKind;
using shard::SleepFlag;

std::uint64_t mails() {
  const char* text = std::getenv("RG_TEST_LONG");
  return text != nullptr && std::string_view(text) == "1" ? 2'000'000 : 100'000;
}

// Wakes are counted, and a sleeper blocks until one is there, as with an eventfd.
class Bell {
 public:
  void ring() {
    rings_.fetch_add(1, std::memory_order_release);
    rings_.notify_one();
  }
  void wait() {
    while (rings_.load(std::memory_order_acquire) == 0) rings_.wait(0, std::memory_order_acquire);
    rings_.fetch_sub(1, std::memory_order_acquire);
  }

 private:
  std::atomic<std::uint32_t> rings_{0};
};

struct Receiver {
  explicit Receiver(std::size_t producers) : columns(producers), next(producers, 0) {}
  std::vector<MailColumn> columns;
  std::vector<std::uint64_t> next;  // by producer: the number that must come
  SleepFlag sleep;
  Bell bell;
};

void produce(Receiver& to, std::size_t self, std::uint64_t count, std::uint32_t size_step) {
  std::uint8_t bytes[512] = {};
  for (std::uint64_t i = 0; i < count;) {
    const std::size_t size_bytes = 8 + i * size_step % (sizeof bytes - 8);
    store_native(bytes, i);
    bytes[size_bytes - 1] = size_bytes > 8 ? static_cast<std::uint8_t>(i) : bytes[size_bytes - 1];
    if (!to.columns[self].push(MailKind::frame, {bytes, size_bytes}, {})) {
      std::this_thread::yield();
      continue;
    }
    ++i;
    if (to.sleep.claim_wake()) to.bell.ring();
  }
}

bool all_empty(const Receiver& self) {
  for (const MailColumn& column : self.columns) {
    if (!column.empty()) return false;
  }
  return true;
}

// The loop of a shard: awake, take mail, announce sleep, look once more, sleep. A wake-up that got
// lost leaves it asleep, and the test with it. Returns how often it slept.
std::uint64_t consume(Receiver& self, std::uint64_t total) {
  std::uint64_t taken = 0;
  std::uint64_t slept = 0;
  while (taken < total) {
    self.sleep.clear();
    for (std::size_t from = 0; from < self.columns.size(); ++from) {
      taken += self.columns[from].drain(32, [&](MailKind kind, Bytes bytes) {
        RG_CHECK(kind == MailKind::frame);
        const std::uint64_t number = load_native<std::uint64_t>(bytes.data());
        RG_CHECK(number == self.next[from]);
        if (bytes.size() > 8) RG_CHECK(bytes.back() == static_cast<std::uint8_t>(number));
        ++self.next[from];
      });
    }
    if (taken == total) break;
    self.sleep.announce();
    if (!all_empty(self)) continue;
    self.bell.wait();
    ++slept;
  }
  return slept;
}

TEST_CASE("every mail arrives once and in order, and no wake-up is lost") {
  for (const std::size_t producers : {std::size_t{1}, std::size_t{3}}) {
    Receiver receiver(producers);
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < producers; ++i) {
      threads.emplace_back(produce, std::ref(receiver), i, mails(), 1 + 2 * i);
    }
    const std::uint64_t slept = consume(receiver, producers * mails());
    for (std::thread& thread : threads) thread.join();
    for (const std::uint64_t next : receiver.next) CHECK(next == mails());
    CHECK(all_empty(receiver));
    MESSAGE(producers << " producers: slept " << slept << " times");
  }
}

// One mail at a time to and fro: both sides sleep between any two, so each round needs its wake-up.
TEST_CASE("a round trip of two sleepers") {
  Receiver here(1);
  Receiver there(1);
  const std::uint64_t rounds = mails() / 10;
  const auto one = [](Receiver& self) {
    bool taken = false;
    while (!taken) {
      self.sleep.clear();
      self.columns[0].drain(1, [&](MailKind, Bytes bytes) {
        RG_CHECK(load_native<std::uint64_t>(bytes.data()) == self.next[0]);
        ++self.next[0];
        taken = true;
      });
      if (taken) return;
      self.sleep.announce();
      if (self.columns[0].empty()) self.bell.wait();
    }
  };
  const auto send = [](Receiver& to, std::uint64_t number) {
    RG_CHECK(to.columns[0].push(MailKind::reload, {reinterpret_cast<std::uint8_t*>(&number), 8},
                                {}));
    if (to.sleep.claim_wake()) to.bell.ring();
  };
  std::thread other([&] {
    for (std::uint64_t i = 0; i < rounds; ++i) {
      one(there);
      send(here, i);
    }
  });
  for (std::uint64_t i = 0; i < rounds; ++i) {
    send(there, i);
    one(here);
  }
  other.join();
  CHECK(here.next[0] == rounds);
  CHECK(there.next[0] == rounds);
}

// Exactly one producer is told to wake a sleeper.
TEST_CASE("a sleep is claimed once") {
  SleepFlag flag;
  CHECK(!flag.claim_wake());
  flag.announce();
  CHECK(flag.claim_wake());
  CHECK(!flag.claim_wake());
  flag.announce();
  flag.clear();
  CHECK(!flag.claim_wake());
}

}  // namespace
