#include "engine/device/talkers.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <map>
#include <random>
#include <vector>

namespace {

using namespace ringgate;
using device::DeviceSlot;
using device::Talk;
using device::Talkers;

struct Sent {
  MonoNs at;
  DeviceSlot device;
  std::uint32_t bytes;
};

struct Sum {
  double frames = 0;
  double bytes = 0;
};

// What the sample says, and what was sent, of the time that it covers.
struct Bench {
  Talkers talkers;
  std::deque<Sent> sent;

  void note(MonoNs at, DeviceSlot device, std::uint32_t bytes) {
    talkers.note(device, bytes, at);
    sent.push_back({at, device, bytes});
    while (sent.front().at < at - Talkers::window_ns) sent.pop_front();
  }
  std::map<DeviceSlot, Sum> sampled(MonoNs now) const {
    std::map<DeviceSlot, Sum> sums;
    talkers.for_each(now, [&](const Talk& one) {
      const double weight = one.weight;
      Sum& sum = sums[one.device];
      sum.frames += weight;
      sum.bytes += weight * one.bytes;
    });
    return sums;
  }
  std::map<DeviceSlot, Sum> counted(MonoNs now) const {
    std::map<DeviceSlot, Sum> sums;
    const MonoNs from = now - talkers.covered_ns(now);
    for (const Sent& one : sent) {
      if (one.at < from) continue;
      ++sums[one.device].frames;
      sums[one.device].bytes += one.bytes;
    }
    return sums;
  }
};

// Devices of which number n sends as often as 1 / (n + 1) says.
class Skewed {
 public:
  explicit Skewed(std::size_t devices) {
    std::vector<double> weights;
    for (std::size_t i = 0; i < devices; ++i) weights.push_back(1.0 / static_cast<double>(i + 1));
    pick_ = std::discrete_distribution<DeviceSlot>(weights.begin(), weights.end());
  }
  template <class Random>
  DeviceSlot operator()(Random& random) {
    return pick_(random);
  }

 private:
  std::discrete_distribution<DeviceSlot> pick_;
};

TEST_CASE("who sends most: few frames are counted one by one") {
  Bench bench;
  std::mt19937_64 random(3);
  Skewed pick(500);
  MonoNs now = 5 * ns_per_s;
  // 100 a second: 6,000 a minute, for four minutes.
  for (int i = 0; i < 24'000; ++i) {
    now += static_cast<MonoNs>(random() % (20 * ns_per_ms));
    bench.note(now, pick(random), 30 + static_cast<std::uint32_t>(random() % 100));
    if (i % 1000 != 999) continue;
    const auto truth = bench.counted(now);
    const auto said = bench.sampled(now);
    CHECK(bench.talkers.covered_ns(now) == Talkers::window_ns);
    REQUIRE(said.size() == truth.size());
    for (const auto& [device, sum] : truth) {
      CHECK(said.at(device).frames == sum.frames);
      CHECK(said.at(device).bytes == sum.bytes);
    }
  }
  // And nothing is left of them a minute later.
  CHECK(bench.sampled(now + Talkers::window_ns + 1).empty());
}

// Rates that change a thousandfold, devices that are skewed: what the sample says is within what it
// claims, and the first of all are found.
TEST_CASE("who sends most: a sample agrees with counts within its bounds") {
  Bench bench;
  std::mt19937_64 random(7);
  Skewed pick(20'000);
  MonoNs now = 0;
  int looked = 0;
  double worst = 0;
  double squares = 0;
  int figures = 0;
  for (const int per_s : {200, 20'000, 20'000, 2'000, 50, 50, 10'000}) {
    for (int second = 0; second < 90; ++second) {
      for (int i = 0; i < per_s; ++i) {
        now += ns_per_s / per_s;
        bench.note(now, pick(random), 40);
      }
      if (second % 15 != 14) continue;
      const auto truth = bench.counted(now);
      const auto said = bench.sampled(now);
      // Long enough after the rate has changed it covers the whole minute.
      if (second > 75) CHECK(bench.talkers.covered_ns(now) == Talkers::window_ns);
      double all = 0;
      double all_said = 0;
      double variance = 0;
      double weight_max = 1;
      std::size_t taken = 0;
      for (const auto& [device, sum] : truth) all += sum.frames;
      bench.talkers.for_each(now, [&](const Talk& one) {
        const double weight = one.weight;
        all_said += weight;
        variance += weight * (weight - 1);
        weight_max = std::max(weight_max, weight);
        ++taken;
      });
      CHECK(std::abs(all_said - all) <= 4.5 * std::sqrt(variance) + weight_max);
      for (DeviceSlot device = 0; device < 5; ++device) {
        const double frames = truth.contains(device) ? truth.at(device).frames : 0;
        if (weight_max > 1 && frames < 20 * weight_max) continue;  // not a bell curve yet
        const Sum& of = said.at(device);
        CHECK(of.bytes == of.frames * 40);
        if (weight_max == 1) CHECK(of.frames == frames);
        if (weight_max == 1) continue;
        const double deviations = (of.frames - frames) / std::sqrt(frames * weight_max);
        worst = std::max(worst, std::abs(deviations));
        squares += deviations * deviations;
        ++figures;
      }
      if (taken < 1000) continue;
      const auto first = std::ranges::max_element(
          said, {}, [](const auto& entry) { return entry.second.frames; });
      CHECK(first->first == 0);
      ++looked;
    }
  }
  CHECK(looked > 25);  // of 42
  REQUIRE(figures > 50);
  CHECK(worst < 4.5);  // of some hundred figures
  CHECK(squares / figures < 2);
}

TEST_CASE("who sends most: devices that report in step are sampled alike") {
  Bench bench;
  MonoNs now = 0;
  // 64 devices, each 500 times a second, always in the same order: a step of a power of two would
  // meet the same ones each time.
  for (int round = 0; round < 60'000; ++round) {
    now += 2 * ns_per_ms;
    for (DeviceSlot device = 0; device < 64; ++device) bench.talkers.note(device, 40, now);
  }
  const auto said = bench.sampled(now);
  REQUIRE(said.size() == 64);
  for (const auto& [device, sum] : said) {
    CHECK(sum.frames > 30'000 * 0.5);
    CHECK(sum.frames < 30'000 * 1.5);
  }
}

}  // namespace
