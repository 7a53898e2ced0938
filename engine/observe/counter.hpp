// Counters, gauges and histograms: written by one thread without locks, read by any.
//
// A room describes what it counts in static specs and takes handles at start:
//
//   inline constexpr std::string_view close_reasons[] = {"peer", "idle", "bad_frames"};
//   inline constexpr MetricSpec links_closed{.name = "ringgate_links_closed_total",
//       .help = "Links closed, by reason.", .label = "reason", .values = close_reasons};
//   struct NetCounters {
//     explicit NetCounters(observe::CounterGroup& group) : closed(group.family<Why>(links_closed))
//     {} observe::Family<Why> closed;      // closed.add(Why::idle);
//   };
//
// Threads: a CounterGroup and all handles taken from it belong to one writer (a shard). Reading
// through the Registry is safe from any thread at any time, also while the writer registers and
// counts. Writing costs a load, an add and a store (no lock prefix). Handles live as long as their
// group. Names follow Prometheus: ringgate_ prefix, base units, _total behind counters.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/check.hpp"
#include "engine/observe/histogram.hpp"

namespace ringgate::observe {

enum class MetricKind : std::uint8_t { counter, gauge, histogram };

// Static: groups keep a pointer. Two specs of one name must be equal.
struct MetricSpec {
  std::string_view name;
  std::string_view help;  // one sentence
  MetricKind kind = MetricKind::counter;
  std::string_view label = {};                      // families: name of the label
  std::span<const std::string_view> values =
      {};  // families: one value for each enumerator, in order
};

using Cell = std::atomic<std::uint64_t>;

class Counter {
 public:
  explicit Counter(Cell& cell) : cell_(&cell) {}
  void add(std::uint64_t n = 1) {
    cell_->store(cell_->load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  std::uint64_t value() const { return cell_->load(std::memory_order_relaxed); }

 private:
  Cell* cell_;
};

class Gauge {
 public:
  explicit Gauge(Cell& cell) : cell_(&cell) {}
  void set(std::int64_t value) {
    cell_->store(static_cast<std::uint64_t>(value), std::memory_order_relaxed);
  }
  void add(std::int64_t n = 1) { set(value() + n); }
  void sub(std::int64_t n = 1) { set(value() - n); }
  std::int64_t value() const {
    return static_cast<std::int64_t>(cell_->load(std::memory_order_relaxed));
  }

 private:
  Cell* cell_;
};

// Counters of one name, told apart by an enum whose enumerators count from 0.
template <class Enum>
class Family {
 public:
  explicit Family(std::span<Cell> cells) : cells_(cells) {}
  void add(Enum which, std::uint64_t n = 1) { Counter(cell(which)).add(n); }
  std::uint64_t value(Enum which) const { return cell(which).load(std::memory_order_relaxed); }

 private:
  Cell& cell(Enum which) const {
    const auto index = static_cast<std::size_t>(which);
    RG_CHECK(index < cells_.size());
    return cells_[index];
  }
  std::span<Cell> cells_;
};

// What one writer counts. Registering a name again hands out the same cells, so that several users
// on one shard add to one figure.
class CounterGroup {
 public:
  // Bounds, so that readers may walk while the writer registers: no table ever moves.
  static constexpr std::size_t cells_max = 512;
  static constexpr std::size_t metrics_max = 256;

  // `label="value"` is on every line of this group: ("shard", "0"), ("thread", "main").
  CounterGroup(std::string label, std::string value);
  CounterGroup(const CounterGroup&) = delete;
  CounterGroup& operator=(const CounterGroup&) = delete;

  Counter counter(const MetricSpec& spec);
  Gauge gauge(const MetricSpec& spec);
  // Records nanoseconds; published in seconds, so its name ends in _seconds.
  Histogram& histogram(const MetricSpec& spec);
  template <class Enum>
  Family<Enum> family(const MetricSpec& spec) {
    return Family<Enum>(family_cells(spec));
  }
  // A temporary would not outlive the group.
  Counter counter(const MetricSpec&&) = delete;
  Gauge gauge(const MetricSpec&&) = delete;
  Histogram& histogram(const MetricSpec&&) = delete;

  const std::string& label() const { return label_; }
  const std::string& value() const { return value_; }

 private:
  friend class Registry;
  struct Entry {
    const MetricSpec* spec = nullptr;
    std::size_t first_cell = 0;
    std::size_t cell_count = 0;
    std::unique_ptr<Histogram> histogram;
  };
  struct alignas(64) CellBlock {
    Cell cells[cells_max] = {};
  };

  std::span<Cell> family_cells(const MetricSpec& spec);
  Entry& entry(const MetricSpec& spec, MetricKind kind, std::size_t cell_count);
  std::span<const Entry> entries() const {
    return {entries_.get(), entry_count_.load(std::memory_order_acquire)};
  }

  std::string label_;
  std::string value_;
  std::unique_ptr<CellBlock> block_;
  std::unique_ptr<Entry[]> entries_;
  std::size_t cells_used_ = 0;                // writer only
  std::atomic<std::size_t> entry_count_{0};  // release after the entry is complete
};

// One figure at one moment.
struct Sample {
  const MetricSpec* spec;
  std::string_view group_label;
  std::string_view group_value;
  std::string_view label_value;  // empty outside families
  std::int64_t value;
};

// All groups of the process. Owned by main and handed down by reference; every method may be called
// from any thread. Cold: methods allocate and take a lock that no writer ever takes.
class Registry {
 public:
  CounterGroup& add_shard(unsigned shard) { return add_group("shard", std::to_string(shard)); }
  CounterGroup& add_group(std::string label, std::string value);

  // Counters and gauges of all groups; views point into groups and specs, which outlive the
  // registry.
  std::vector<Sample> snapshot() const;
  // Sum over all groups, and over all labels of a family. 0 where nobody registered it.
  std::int64_t total(const MetricSpec& spec) const;
  // The same for one label of a family.
  std::int64_t total(const MetricSpec& spec, std::string_view label_value) const;
  // One spec for each name that some group has a histogram of.
  std::vector<const MetricSpec*> histograms() const;
  // All groups' histograms of this name, merged.
  HistogramSnapshot merged(const MetricSpec& spec) const;

  // The Prometheus text format 0.0.4: HELP, TYPE, then `ringgate_x_total{shard="0",reason="idle"}
  // 12`. Histograms have the same 21 buckets each, in seconds, from 10 us to a minute.
  void print(std::string& out) const;

 private:
  mutable std::mutex mutex_;  // guards the list, not the cells
  std::vector<std::unique_ptr<CounterGroup>> groups_;
};

}  // namespace ringgate::observe
