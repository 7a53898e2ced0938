#include "tools/load/run/timeline.hpp"

#include <algorithm>
#include <utility>

namespace ringgate::load {
namespace {

constexpr MonoNs fragment_ns = 250 * ns_per_ms;
constexpr MonoNs sliver_ns = 20 * ns_per_ms;
constexpr MonoNs samples_kept_ns = 60 * ns_per_s;

// On the line through a and b, beyond them too, but never below 0.
template <class Number>
Number between(Number a, Number b, double share) {
  const double step = static_cast<double>(b) - static_cast<double>(a);
  return static_cast<Number>(std::max(0.0, static_cast<double>(a) + step * share));
}

}  // namespace

Tally Row::all() const {
  Tally sum;
  for (const Tally& tally : classes) sum.merge(tally);
  return sum;
}

void Row::append(const Row& later) {
  to_ns = later.to_ns;
  const double before_s = static_cast<double>(later.from_ns - from_ns) / 1e9;
  const double all_s = before_s + later.seconds();
  if (all_s > 0) own_cpu = (own_cpu * before_s + later.own_cpu * later.seconds()) / all_s;
  own_cpu_sum += later.own_cpu_sum;
  loop_lag_ns = std::max(loop_lag_ns, later.loop_lag_ns);
  workers = std::max(workers, later.workers);
  for (std::size_t i = 0; i < classes.size(); ++i) classes[i].append(later.classes[i]);
  if (server && later.server) {
    server->cpu_s += later.server->cpu_s;
    server->context_switches += later.server->context_switches;
    server->rss_bytes = std::max(server->rss_bytes, later.server->rss_bytes);
    const bool known = server->shard_wait_s >= 0 && later.server->shard_wait_s >= 0;
    server->shard_wait_s = known ? server->shard_wait_s + later.server->shard_wait_s : -1;
    server->shard_slices += later.server->shard_slices;
  } else {
    server.reset();
  }
}

Timeline::Timeline(std::vector<bool> warmup_stages, std::size_t classes, std::size_t workers)
    : warmup_(std::move(warmup_stages)), class_count_(classes), slivers_(workers),
      told_(workers), lost_(workers) {}

void Timeline::add(const Interval& interval) {
  if (interval.worker >= told_.size() || interval.classes.size() != class_count_) return;
  if (interval.to_ns <= interval.from_ns) return;
  // Clocks and aims of two workers differ by a fraction of a millisecond, so a stage that ends with
  // a second leaves a sliver of it in some of them: it goes with what comes next.
  std::optional<Interval>& sliver = slivers_[interval.worker];
  if (interval.to_ns - interval.from_ns < sliver_ns) {
    if (sliver) place(*std::exchange(sliver, std::nullopt));
    sliver = interval;
    return;
  }
  if (!sliver) return place(interval);
  Interval whole = *std::exchange(sliver, std::nullopt);
  append(whole, interval);
  place(whole);
}

void Timeline::append(Interval& to, const Interval& later) {
  for (std::size_t i = 0; i < to.classes.size(); ++i) to.classes[i].append(later.classes[i]);
  to.stage = later.stage;
  to.to_ns = later.to_ns;
  to.cpu_ns += later.cpu_ns;
  to.loop_lag_ns = std::max(to.loop_lag_ns, later.loop_lag_ns);
  to.rss_bytes = later.rss_bytes;
}

void Timeline::place(const Interval& interval) {
  // Its middle says which second it is of: ends lie a hair beside.
  const Key key{(interval.from_ns + interval.to_ns) / 2 / ns_per_s, interval.stage};
  std::optional<Key>& told = told_[interval.worker];
  if (!told || *told < key) told = key;
  // A late worker may tell of one second twice: its parts follow each other.
  const auto [at, first] = pending_[key].try_emplace(interval.worker, interval);
  if (!first) append(at->second, interval);
}

void Timeline::lose(std::uint32_t worker) {
  lost_[worker] = true;
  if (slivers_[worker]) place(*std::exchange(slivers_[worker], std::nullopt));
}

void Timeline::sample(const ServerSample& sample) {
  while (!samples_.empty() && samples_.front().at_ns + samples_kept_ns < sample.at_ns) {
    samples_.pop_front();
  }
  samples_.push_back(sample);
}

bool Timeline::complete(const Key& key) const {
  for (std::size_t worker = 0; worker < told_.size(); ++worker) {
    if (!lost_[worker] && (!told_[worker] || *told_[worker] < key)) return false;
  }
  return true;
}

std::vector<Row> Timeline::take_complete(bool flush) {
  for (std::optional<Interval>& sliver : slivers_) {
    if (flush && sliver) place(*std::exchange(sliver, std::nullopt));
  }
  while (!pending_.empty() && (flush || complete(pending_.begin()->first))) {
    const Pending first = std::move(pending_.begin()->second);
    pending_.erase(pending_.begin());
    finish(first);
  }
  return std::exchange(complete_, {});
}

Row Timeline::row_of(const Pending& pending) const {
  Row row;
  row.classes.resize(class_count_);
  row.workers = static_cast<std::uint32_t>(pending.size());
  for (const auto& [worker, interval] : pending) {
    const bool first = row.to_ns == 0;
    row.stage = interval.stage;
    row.from_ns = first ? interval.from_ns : std::min(row.from_ns, interval.from_ns);
    row.to_ns = std::max(row.to_ns, interval.to_ns);
    row.loop_lag_ns = std::max(row.loop_lag_ns, interval.loop_lag_ns);
    for (std::size_t i = 0; i < class_count_; ++i) row.classes[i].merge(interval.classes[i]);
    const double cpu_s = static_cast<double>(interval.cpu_ns) / 1e9;
    row.own_cpu_sum += cpu_s;
    if (interval.to_ns - interval.from_ns >= fragment_ns) {
      row.own_cpu = std::max(row.own_cpu, cpu_s / interval.seconds());
    }
  }
  return row;
}

void Timeline::finish(const Pending& pending) {
  Row row = row_of(pending);
  // Workers end a stage when they hear of it, within a millisecond of each other: rows that go by
  // the first of them and the last would overlap.
  row.from_ns = std::max(row.from_ns, std::min(row_end_ns_, row.to_ns - 1));
  row_end_ns_ = std::max(row_end_ns_, row.to_ns);
  row.server = server_between(row.from_ns, row.to_ns);
  count(row);
  keep(row);
  complete_.push_back(std::move(row));
}

void Timeline::count(const Row& row) {
  const auto stage = static_cast<std::int32_t>(row.stage);
  const bool warmup = row.stage < warmup_.size() && warmup_[row.stage];
  for (std::int32_t which = -1; which < static_cast<std::int32_t>(class_count_); ++which) {
    Measured part;
    part.seconds = row.seconds();
    part.tally = which < 0 ? row.all() : row.classes[static_cast<std::size_t>(which)];
    part.own_cpu = row.own_cpu;
    if (row.server) {
      part.server_cpu_s = row.server->cpu_s;
      part.server_rss_bytes = row.server->rss_bytes;
    }
    // append() leaves unknown what either side does not know: a first part is a copy.
    for (const std::int32_t scope_stage : {stage, -1}) {
      if (scope_stage < 0 && warmup) continue;
      const auto [at, first] = totals_.try_emplace({which, scope_stage}, part);
      if (!first) at->second.append(part);
    }
  }
}

const Measured* Timeline::measured(const Scope& scope) const {
  const auto found = totals_.find({scope.class_index, scope.stage_index});
  return found == totals_.end() ? nullptr : &found->second;
}

void Timeline::set_verified(std::uint64_t lost, std::uint64_t duplicated,
                            std::uint64_t reordered) {
  for (auto& [scope, measured] : totals_) {
    if (scope.first >= 0 || scope.second >= 0) continue;
    measured.lost = lost;
    measured.duplicated = duplicated;
    measured.reordered = reordered;
  }
}

// Cumulative figures between two samples lie on a straight line, and so do those after the last.
ServerSample Timeline::server_at(MonoNs when) const {
  std::size_t after = 1;
  while (after + 1 < samples_.size() && samples_[after].at_ns < when) ++after;
  const ServerSample& a = samples_[after - 1];
  const ServerSample& b = samples_[after];
  const double span = static_cast<double>(b.at_ns - a.at_ns);
  const double share = span <= 0 ? 1 : static_cast<double>(when - a.at_ns) / span;
  ServerSample out;
  out.at_ns = when;
  out.cpu_ns = between(a.cpu_ns, b.cpu_ns, share);
  out.context_switches = between(a.context_switches, b.context_switches, share);
  out.rss_bytes = share < 0.5 ? a.rss_bytes : b.rss_bytes;
  if (a.shards.size() != b.shards.size()) return out;
  for (std::size_t i = 0; i < a.shards.size(); ++i) {
    out.shards.push_back({between(a.shards[i].wait_ns, b.shards[i].wait_ns, share),
                          between(a.shards[i].slices, b.shards[i].slices, share)});
  }
  return out;
}

std::optional<ServerPart> Timeline::server_between(MonoNs from, MonoNs to) const {
  if (samples_.size() < 2) return std::nullopt;
  if (has_server_ended_ && from >= samples_.back().at_ns) return std::nullopt;
  const ServerSample begin = server_at(from);
  const ServerSample end = server_at(to);
  ServerPart out;
  out.cpu_s = std::max(0.0, static_cast<double>(end.cpu_ns - begin.cpu_ns) / 1e9);
  out.rss_bytes = end.rss_bytes;
  out.context_switches =
      end.context_switches - std::min(begin.context_switches, end.context_switches);
  if (begin.shards.size() != end.shards.size()) return out;
  for (std::size_t i = 0; i < end.shards.size(); ++i) {
    const tool::ShardWait& a = begin.shards[i];
    const tool::ShardWait& b = end.shards[i];
    const double waited = std::max(0.0, static_cast<double>(b.wait_ns - a.wait_ns) / 1e9);
    if (waited <= out.shard_wait_s) continue;
    out.shard_wait_s = waited;
    out.shard_slices = b.slices - std::min(a.slices, b.slices);
  }
  return out;
}

void Timeline::keep(const Row& row) {
  // What is left of a second where a stage ends in it makes no row of its own: rates over a few
  // milliseconds say nothing.
  if (!rows_.empty() && rows_.back().stage == row.stage &&
      (row.to_ns - row.from_ns < fragment_ns ||
       rows_.back().to_ns - rows_.back().from_ns < fragment_ns)) {
    rows_.back().append(row);
    return;
  }
  if (rows_.empty() || in_last_ >= rows_per_kept_ || rows_.back().stage != row.stage) {
    if (rows_.size() >= rows_max) halve();
  }
  if (rows_.empty() || in_last_ >= rows_per_kept_ || rows_.back().stage != row.stage) {
    rows_.push_back(row);
    in_last_ = 1;
  } else {
    rows_.back().append(row);
    ++in_last_;
  }
}

void Timeline::halve() {
  std::vector<Row> halved;
  halved.reserve(rows_max);
  bool open = false;  // the last of `halved` is one of a pair
  for (Row& row : rows_) {
    if (open && halved.back().stage == row.stage) {
      halved.back().append(row);
      open = false;
    } else {
      halved.push_back(std::move(row));
      open = true;
    }
  }
  rows_ = std::move(halved);
  rows_per_kept_ *= 2;
  in_last_ = rows_per_kept_;  // whatever comes next begins a row
}

}  // namespace ringgate::load
