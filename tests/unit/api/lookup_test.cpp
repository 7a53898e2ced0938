// Searching and ordering the mirror against sorting a plain list of its devices.
#include <doctest/doctest.h>
#include <fmt/format.h>
#include <time.h>

#include <algorithm>
#include <map>
#include <optional>
#include <random>
#include <set>

#include "protocols/api/lookup.hpp"

namespace {

using namespace ringgate;
using api::Lookup;
using api::Mark;
using api::Mirror;
using event::DeviceSnapshot;

struct Plain {
  std::string plate;
  WallUs last_heard_us = 0;
  std::int64_t position_time_s = 0;
  unsigned speed = 0;
  bool online = false, alarm = false;
  friend bool operator==(const Plain&, const Plain&) = default;
};

DeviceSnapshot snapshot_of(const std::string& id, const Plain& plain, WallUs taken_us) {
  DeviceSnapshot taken;
  taken.key = DeviceKey(Namespace::phone, id);
  taken.taken_us = taken_us;
  taken.last_heard_us = plain.last_heard_us;
  taken.position_time_s = plain.position_time_s;
  taken.speed_kmh_x10 = static_cast<std::uint16_t>(plain.speed);
  taken.alarm_bits = plain.alarm ? 1 : 0;
  taken.online = plain.online;
  taken.plate_size = static_cast<std::uint8_t>(plain.plate.size());
  std::ranges::copy(plain.plate, taken.plate);
  return taken;
}

constexpr std::string_view provinces[] = {"京", "粤", "沪"};

class World {
 public:
  explicit World(unsigned seed) : random_(seed) {}

  unsigned some(unsigned lowest, unsigned highest) {
    return std::uniform_int_distribution<unsigned>(lowest, highest)(random_);
  }
  std::string some_id() { return fmt::format("1380013{}", some(0, 600)); }
  std::string some_plate() {
    if (some(0, 3) == 0) return {};
    return fmt::format("{}{}{}", provinces[some(0, 2)], some(0, 1) == 0 ? "A" : "Bx",
                       some(0, 400));
  }
  // Values are few, so that many are equal; what is heard only grows (as the mirror has it).
  void change(const std::string& id) {
    Plain& plain = devices[id];
    plain.plate = some_plate();
    if (some(0, 2) == 0) plain.last_heard_us += some(0, 3);
    plain.position_time_s = some(0, 3) == 0 ? 0 : some(1, 5);
    plain.speed = plain.position_time_s == 0 ? 0 : some(0, 12);
    plain.online = some(0, 1) == 1;
    plain.alarm = some(0, 4) == 0;
    mirror.apply(snapshot_of(id, plain, ++now_us_));
  }

  Mirror mirror;
  std::map<std::string, Plain> devices;

 private:
  std::mt19937 random_;
  WallUs now_us_ = 1;
};

// What stands in a column, by the names of the API; nothing: no value.
std::optional<std::int64_t> number_of(const std::string& name, const Plain& plain) {
  if (name == "last_heard") {
    return plain.last_heard_us > 0 ? std::optional(plain.last_heard_us) : std::nullopt;
  }
  const bool placed = plain.position_time_s > 0;
  if (name == "position_time") return placed ? std::optional(plain.position_time_s) : std::nullopt;
  if (name == "speed") return placed ? std::optional<std::int64_t>(plain.speed) : std::nullopt;
  return name == "online" ? plain.online : plain.alarm;
}

std::vector<std::string> sorted(const World& world, std::string name) {
  const bool turned = name.starts_with('-');
  if (turned) name.erase(0, 1);
  std::vector<std::string> out;
  for (const auto& [id, plain] : world.devices) out.push_back(id);
  const auto less = [&](const std::string& a, const std::string& b) {
    if (name == "phone") return turned ? b < a : a < b;
    const Plain& one = world.devices.at(a);
    const Plain& other = world.devices.at(b);
    if (name == "plate") {
      if (one.plate.empty() || other.plate.empty()) return other.plate < one.plate;
      return turned ? other.plate < one.plate : one.plate < other.plate;
    }
    const auto left = number_of(name, one);
    const auto right = number_of(name, other);
    if (!left || !right) return left.has_value() && !right;
    return turned ? *right < *left : *left < *right;
  };
  std::ranges::sort(out, [&](const std::string& a, const std::string& b) {
    return less(a, b) || (!less(b, a) && a < b);
  });
  return out;
}

Lookup parsed(std::string_view sort, std::string_view any = {}, std::string_view plate = {}) {
  auto lookup = Lookup::parse(sort, any, plate, "phone");
  REQUIRE(lookup);
  return std::move(*lookup);
}

std::vector<std::string> ids_of(const api::FoundPage& page) {
  std::vector<std::string> out;
  for (const api::Found& one : page.devices) out.emplace_back(one.key.id());
  return out;
}

// Page by page, through the cursor's text; `between` is done after each page.
template <class Between>
std::vector<std::string> walk(const Mirror& mirror, const Lookup& lookup, std::size_t count,
                              Between&& between) {
  std::vector<std::string> out;
  std::optional<Mark> after;
  for (;;) {
    const auto page = api::find_devices(mirror, lookup, after ? &*after : nullptr, count);
    CHECK(page.devices.size() <= count);
    for (const std::string& id : ids_of(page)) out.push_back(id);
    if (!page.more) return out;
    REQUIRE(page.devices.size() == count);
    after.emplace();
    REQUIRE(Mark::read(page.devices.back().mark(lookup).write(lookup), lookup, *after));
    between();
  }
}

const std::string columns[] = {"phone", "plate", "last_heard", "position_time",
                               "speed", "online", "alarm"};

TEST_CASE("pages of any size put together are the sorted list") {
  World world(1);
  for (int i = 0; i < 1500; ++i) world.change(world.some_id());
  for (const std::string& column : columns) {
    for (const std::string& sort : {column, "-" + column}) {
      CAPTURE(sort);
      const auto wanted = sorted(world, sort);
      for (const std::size_t count : {std::size_t{1}, std::size_t{7}, std::size_t{100},
                                      wanted.size(), wanted.size() + 1}) {
        CHECK(walk(world.mirror, parsed(sort), count, [] {}) == wanted);
      }
    }
  }
}

TEST_CASE("a device that stays as it is comes exactly once, whatever others do") {
  for (unsigned seed = 1; seed <= 12; ++seed) {
    World world(seed);
    for (int i = 0; i < 800; ++i) world.change(world.some_id());
    for (const std::string& column : columns) {
      const std::string sort = seed % 2 == 0 ? column : "-" + column;
      CAPTURE(sort);
      CAPTURE(seed);
      std::set<std::string> changed;
      const auto before = sorted(world, sort);
      const auto seen = walk(world.mirror, parsed(sort), world.some(1, 60), [&] {
        for (int i = 0; i < 8; ++i) {
          const std::string id = world.some_id();
          changed.insert(id);
          world.change(id);
        }
      });
      std::vector<std::string> wanted;
      std::vector<std::string> had;
      const auto stayed = [&](const std::string& id) { return !changed.contains(id); };
      std::ranges::copy_if(before, std::back_inserter(wanted), stayed);
      std::ranges::copy_if(seen, std::back_inserter(had), stayed);
      CHECK(had == wanted);
    }
  }
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(c >= 'A' && c <= 'Z' ? c + 32 : c);
  return text;
}

TEST_CASE("a search finds what a plain search finds, the best first") {
  World world(3);
  for (int i = 0; i < 1500; ++i) world.change(world.some_id());
  for (const std::string sought : {"京", "粤a", "粤A1", "bX1", "BX", "A12", "1380013", "13800132",
                                   "99", "x2", "沪Bx7", "nobody", "京A1", "3"}) {
    CAPTURE(sought);
    std::vector<std::tuple<int, std::string>> wanted;
    for (const auto& [id, plain] : world.devices) {
      int best = 3;
      for (const std::string& text : {lower(plain.plate), id}) {
        const auto at = text.find(lower(sought));
        if (at == std::string::npos) continue;
        best = std::min(best, at != 0 ? 2 : text == lower(sought) ? 0 : 1);
      }
      if (best < 3) wanted.emplace_back(best, id);
    }
    std::ranges::sort(wanted);
    std::vector<std::string> ids;
    for (const auto& [match, id] : wanted) ids.push_back(id);
    CHECK(walk(world.mirror, parsed("", sought), 5, [] {}) == ids);
    // In another order they are the same.
    auto other = walk(world.mirror, parsed("-speed", sought), 9, [] {});
    std::ranges::sort(other);
    std::ranges::sort(ids);
    CHECK(other == ids);
  }
}

void add(Mirror& mirror, const std::string& id, const std::string& plate) {
  mirror.apply(snapshot_of(id, {.plate = plate, .last_heard_us = 1}, 1));
}

std::vector<std::string> found(const Mirror& mirror, const Lookup& lookup) {
  return ids_of(api::find_devices(mirror, lookup, nullptr, 100));
}
using Ids = std::vector<std::string>;

TEST_CASE("plates whole and from their beginning; zeros before numbers") {
  Mirror mirror;
  add(mirror, "13800000001", "粤B12345");
  add(mirror, "13800000002", "粤B12345D");
  add(mirror, "13800000003", "京B12345");
  add(mirror, "13800000004", "");
  CHECK(found(mirror, parsed("", "", "粤b12345")) == Ids{"13800000001"});
  CHECK(found(mirror, parsed("", "", "粤B12345*")) == Ids{"13800000001", "13800000002"});
  CHECK(found(mirror, parsed("-phone", "", "粤*")) == Ids{"13800000002", "13800000001"});
  CHECK(found(mirror, parsed("", "", "*")).size() == 3);
  CHECK(found(mirror, parsed("", "", "B12345")).empty());
  CHECK(found(mirror, parsed("", "京", "粤*")).empty());
  CHECK(found(mirror, parsed("", "D", "粤*")) == Ids{"13800000002"});
  CHECK(found(mirror, parsed("", "013800000003")) == Ids{"13800000003"});
  CHECK(found(mirror, parsed("", "01380000")).size() == 4);
  CHECK(found(mirror, parsed("", "0003")) == Ids{"13800000003"});
  CHECK(found(mirror, parsed("", "0001")) == Ids{"13800000001"});  // not all that begin with 1
  CHECK(found(mirror, parsed("", "000")).size() == 4);
  // A plate that is taken off is found no more.
  mirror.apply(snapshot_of("13800000003", {.last_heard_us = 2}, 2));
  CHECK(found(mirror, parsed("", "京")).empty());
}

TEST_CASE("what is no lookup, and what is no cursor of it") {
  const auto bad = [](std::string_view sort, std::string_view any, std::string_view plate) {
    return !Lookup::parse(sort, any, plate, "phone").ok();
  };
  CHECK(bad("nothing", "", ""));
  CHECK(bad("--phone", "", ""));
  CHECK(bad("-", "", ""));
  CHECK(bad("", "\xe4\xba", ""));
  CHECK(bad("", "", "\xff"));
  CHECK(bad("", "", "a*b"));
  CHECK(bad("", std::string(65, 'a'), ""));
  CHECK(Lookup::parse("-id", "", "", "id").ok());

  const Lookup lookup = parsed("-plate");
  Mark mark;
  const Mark right{.has_value = true, .value = ~0ULL, .text = "京:A", .id = "138"};
  REQUIRE(Mark::read(right.write(lookup), lookup, mark));
  CHECK(mark.text == right.text);
  CHECK(mark.id == right.id);
  CHECK(mark.value == right.value);
  CHECK(mark.has_value);
  for (const char* text : {"", "-plate", "-plate:1:", "-plate:1::", "plate:1::31", "-plate:1:x:31",
                           "-plate:1:4:31", "-plate:a::31", "-plate:1::31:", "-speed:1::31",
                           "-plate:99999999999999999999::31", "-plate:-1::31", "0.5"}) {
    CAPTURE(text);
    CHECK_FALSE(Mark::read(text, lookup, mark));
  }
}

double thread_ms() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

// A figure, not a test: run with --no-skip.
TEST_CASE("time of a page of 100,000 devices" * doctest::skip()) {
  Mirror mirror;
  World random(1);
  for (unsigned i = 0; i < 100'000; ++i) {
    const char city = i % 2 == 0 ? 'A' : 'B';
    const Plain plain{.plate = fmt::format("{}{}{:05}", provinces[i % 3], city, i),
                      .last_heard_us = random.some(1, 1'000'000),
                      .position_time_s = random.some(1, 1000),
                      .speed = random.some(0, 1200),
                      .online = random.some(0, 1) == 1};
    const std::uint64_t number = 13'800'000'000 + std::uint64_t{i} * 7919 % 100'003;
    mirror.apply(snapshot_of(fmt::format("{}", number), plain, 1));
  }
  struct One {
    const char* sort;
    const char* any;
    std::size_t count;
  };
  for (const One& one : {One{"", "京A1", 50}, One{"", "123", 50}, One{"", "138", 50},
                         One{"", "nobody", 50}, One{"-speed", "", 50}, One{"plate", "", 50},
                         One{"phone", "", 50}, One{"-phone", "", 50},
                         One{"-last_heard", "", 2048}, One{"plate", "A", 2048},
                         One{"-phone", "", 2048}}) {
    const Lookup lookup = parsed(one.sort, one.any);
    std::vector<double> took_ms;  // of this thread, whatever else runs
    std::size_t size = 0;
    for (int i = 0; i < 51; ++i) {
      const double start = thread_ms();
      size = api::find_devices(mirror, lookup, nullptr, one.count).devices.size();
      took_ms.push_back(thread_ms() - start);
    }
    std::ranges::sort(took_ms);
    MESSAGE(fmt::format("sort={} q={} limit={}: {} found, {:.2f} ms, at most {:.2f} ms", one.sort,
                        one.any, one.count, size, took_ms[25], took_ms.back()));
  }
}

}  // namespace
