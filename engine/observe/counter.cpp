#include "engine/observe/counter.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace ringgate::observe {

namespace {

bool same(const MetricSpec& a, const MetricSpec& b) {
  return a.name == b.name && a.help == b.help && a.kind == b.kind && a.label == b.label &&
         std::equal(a.values.begin(), a.values.end(), b.values.begin(), b.values.end());
}

std::int64_t as_signed(const Cell& cell) {
  return static_cast<std::int64_t>(cell.load(std::memory_order_relaxed));
}

std::string escaped_label(std::string_view value) {
  std::string out;
  for (const char c : value) {
    if (c == '\n') {
      out += "\\n";
    } else {
      if (c == '\\' || c == '"') out += '\\';
      out += c;
    }
  }
  return out;
}

std::string_view kind_name(MetricKind kind) {
  switch (kind) {
    case MetricKind::counter: return "counter";
    case MetricKind::gauge: return "gauge";
    case MetricKind::histogram: return "histogram";
  }
  return "untyped";
}

// Upper ends of buckets, the same for all histograms: from a turn of a loop to a command's answer.
// Texts are the canonical numbers of OpenMetrics, so that both formats give the same series.
struct Bound {
  std::uint64_t ns;
  std::string_view text;
};
constexpr Bound bounds[] = {
    {10'000, "1e-05"},          {25'000, "2.5e-05"},     {50'000, "5e-05"},
    {100'000, "0.0001"},        {250'000, "0.00025"},    {500'000, "0.0005"},
    {1'000'000, "0.001"},       {2'500'000, "0.0025"},   {5'000'000, "0.005"},
    {10'000'000, "0.01"},       {25'000'000, "0.025"},   {50'000'000, "0.05"},
    {100'000'000, "0.1"},       {250'000'000, "0.25"},   {500'000'000, "0.5"},
    {1'000'000'000, "1.0"},     {2'500'000'000, "2.5"},  {5'000'000'000, "5.0"},
    {10'000'000'000, "10.0"},   {30'000'000'000, "30.0"}, {60'000'000'000, "60.0"},
};

void print_histogram(std::string& out, const MetricSpec& spec, std::string_view group,
                     const HistogramSnapshot& values) {
  const auto at = std::back_inserter(out);
  for (const Bound& bound : bounds) {
    fmt::format_to(at, "{}_bucket{{{},le=\"{}\"}} {}\n", spec.name, group, bound.text,
                   values.count() - values.count_above(bound.ns));
  }
  fmt::format_to(at, "{}_bucket{{{},le=\"+Inf\"}} {}\n", spec.name, group, values.count());
  fmt::format_to(at, "{}_sum{{{}}} {:.9f}\n", spec.name, group,
                 static_cast<double>(values.sum_ns()) / 1e9);
  fmt::format_to(at, "{}_count{{{}}} {}\n", spec.name, group, values.count());
}

}  // namespace

CounterGroup::CounterGroup(std::string label, std::string value)
    : label_(std::move(label)),
      value_(std::move(value)),
      block_(std::make_unique<CellBlock>()),
      entries_(std::make_unique<Entry[]>(metrics_max)) {}

CounterGroup::Entry& CounterGroup::entry(const MetricSpec& spec, MetricKind kind,
                                         std::size_t cell_count) {
  RG_CHECK(spec.kind == kind);
  const std::size_t count = entry_count_.load(std::memory_order_relaxed);
  for (std::size_t i = 0; i < count; ++i) {
    if (entries_[i].spec->name == spec.name) {
      RG_CHECK(same(*entries_[i].spec, spec));
      return entries_[i];
    }
  }
  RG_CHECK(count < metrics_max);
  RG_CHECK(cell_count <= cells_max - cells_used_);
  Entry& fresh = entries_[count];
  fresh.spec = &spec;
  fresh.first_cell = cells_used_;
  fresh.cell_count = cell_count;
  if (kind == MetricKind::histogram) fresh.histogram = std::make_unique<Histogram>();
  cells_used_ += cell_count;
  entry_count_.store(count + 1, std::memory_order_release);
  return fresh;
}

Counter CounterGroup::counter(const MetricSpec& spec) {
  RG_CHECK(spec.values.empty());
  return Counter(block_->cells[entry(spec, MetricKind::counter, 1).first_cell]);
}

Gauge CounterGroup::gauge(const MetricSpec& spec) {
  RG_CHECK(spec.values.empty());
  return Gauge(block_->cells[entry(spec, MetricKind::gauge, 1).first_cell]);
}

Histogram& CounterGroup::histogram(const MetricSpec& spec) {
  return *entry(spec, MetricKind::histogram, 0).histogram;
}

std::span<Cell> CounterGroup::family_cells(const MetricSpec& spec) {
  RG_CHECK(!spec.values.empty() && !spec.label.empty());
  const Entry& found = entry(spec, MetricKind::counter, spec.values.size());
  return {&block_->cells[found.first_cell], found.cell_count};
}

CounterGroup& Registry::add_group(std::string label, std::string value) {
  const std::lock_guard lock(mutex_);
  groups_.push_back(std::make_unique<CounterGroup>(std::move(label), std::move(value)));
  return *groups_.back();
}

std::vector<Sample> Registry::snapshot() const {
  std::vector<Sample> samples;
  const std::lock_guard lock(mutex_);
  for (const auto& group : groups_) {
    for (const auto& entry : group->entries()) {
      for (std::size_t i = 0; i < entry.cell_count; ++i) {
        const auto label_value =
            entry.spec->values.empty() ? std::string_view{} : entry.spec->values[i];
        samples.push_back({entry.spec, group->label(), group->value(), label_value,
                           as_signed(group->block_->cells[entry.first_cell + i])});
      }
    }
  }
  return samples;
}

std::int64_t Registry::total(const MetricSpec& spec) const {
  std::int64_t sum = 0;
  for (const Sample& sample : snapshot()) {
    if (sample.spec->name == spec.name) sum += sample.value;
  }
  return sum;
}

std::int64_t Registry::total(const MetricSpec& spec, std::string_view label_value) const {
  std::int64_t sum = 0;
  for (const Sample& sample : snapshot()) {
    if (sample.spec->name == spec.name && sample.label_value == label_value) sum += sample.value;
  }
  return sum;
}

HistogramSnapshot Registry::merged(const MetricSpec& spec) const {
  HistogramSnapshot all;
  const std::lock_guard lock(mutex_);
  for (const auto& group : groups_) {
    for (const auto& entry : group->entries()) {
      if (entry.histogram && entry.spec->name == spec.name) all.merge(entry.histogram->snapshot());
    }
  }
  return all;
}

std::vector<const MetricSpec*> Registry::histograms() const {
  std::vector<const MetricSpec*> specs;
  const std::lock_guard lock(mutex_);
  for (const auto& group : groups_) {
    for (const auto& entry : group->entries()) {
      const bool known = std::any_of(specs.begin(), specs.end(), [&](const MetricSpec* spec) {
        return spec->name == entry.spec->name;
      });
      if (entry.histogram && !known) specs.push_back(entry.spec);
    }
  }
  return specs;
}

void Registry::print(std::string& out) const {
  const std::lock_guard lock(mutex_);
  // All lines of one name stand together, whichever group registered it first.
  std::vector<const MetricSpec*> specs;
  for (const auto& group : groups_) {
    for (const auto& entry : group->entries()) {
      const bool known = std::any_of(specs.begin(), specs.end(), [&](const MetricSpec* spec) {
        return spec->name == entry.spec->name;
      });
      if (!known) specs.push_back(entry.spec);
    }
  }
  const auto at = std::back_inserter(out);
  for (const MetricSpec* spec : specs) {
    fmt::format_to(at, "# HELP {} {}\n# TYPE {} {}\n", spec->name, spec->help, spec->name,
                   kind_name(spec->kind));
    for (const auto& group : groups_) {
      const std::string label =
          fmt::format("{}=\"{}\"", group->label(), escaped_label(group->value()));
      for (const auto& entry : group->entries()) {
        if (entry.spec->name != spec->name) continue;
        if (entry.histogram) print_histogram(out, *spec, label, entry.histogram->snapshot());
        for (std::size_t i = 0; i < entry.cell_count; ++i) {
          fmt::format_to(at, "{}{{{}", spec->name, label);
          if (!spec->values.empty()) {
            fmt::format_to(at, ",{}=\"{}\"", spec->label, escaped_label(spec->values[i]));
          }
          fmt::format_to(at, "}} {}\n", as_signed(group->block_->cells[entry.first_cell + i]));
        }
      }
    }
  }
}

}  // namespace ringgate::observe
