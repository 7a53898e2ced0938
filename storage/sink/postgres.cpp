#include "storage/sink/postgres.hpp"

#include <fmt/format.h>
#include <libpq-fe.h>

#include <algorithm>
#include <set>
#include <thread>
#include <vector>

#include "engine/io/sys.hpp"
#include "storage/sink/postgres_lane.hpp"

namespace ringgate::sink {

namespace {

constexpr std::int64_t day_us = 86'400LL * us_per_s;
// A lane that was not needed for so long is closed: its place is somebody else's meanwhile.
constexpr MonoNs lane_idle_ns = 60 * ns_per_s;
// After a lane could not be opened, or a table for tomorrow could not be made.
constexpr MonoNs again_ns = 30 * ns_per_s;

MonoNs now_ns() { return io::real_sys().mono_now(); }

// What both have passed.
log::Cursor least(const log::Cursor& one, const log::Cursor& other) {
  log::Cursor out;
  out.finish_runs_below(std::min(one.done_runs_below(), other.done_runs_below()));
  const auto take = [&](const log::Cursor& from, const log::Cursor& against) {
    for (const auto& [stream, position] : from.positions()) {
      const auto there = against.start_of(stream);
      const Position both = there ? std::min(*there, position) : position;
      if (both > 0) out.set(stream, both);
    }
  };
  take(one, other);
  take(other, one);
  return out;
}

class PostgresTarget final : public Target {
 public:
  PostgresTarget(const PostgresOptions& options, observe::LogSource& logs)
      : options_(options), logs_(logs), node_(log::to_text(options.node)) {
    for (std::size_t i = 0; i < std::max<std::size_t>(options.connections, 1); ++i) {
      lanes_.push_back(std::make_unique<PostgresLane>(options_, stop_));
    }
    rows_.resize(lanes_.size());
  }

  bool keeps_cursor() const override { return true; }
  Result<std::optional<log::Cursor>, Trouble> open() override;
  Result<void, Trouble> write(const Batch& batch) override;
  std::uint64_t rows_written() const override { return rows_written_; }
  Result<void, Trouble> idle() override;
  void close() override {
    for (const auto& lane : lanes_) lane->close();
    days_.clear();
    half_.reset();
  }
  void stop() override { stop_.stop(); }

 private:
  using Done = PostgresLane::Done;
  // A batch that was not written whole.
  struct Half {
    log::Cursor cursor;
    std::size_t items = 0;
    std::vector<std::uint8_t> done;  // by part
  };

  PostgresLane& first() { return *lanes_.front(); }
  Result<std::optional<log::Cursor>, Trouble> kept_cursor();
  Done ready(PostgresLane& lane);
  void close_idle(MonoNs now);
  std::size_t widen(std::size_t wanted);
  Done partitions();
  Done write_parts(const Batch& batch, std::size_t lanes);
  void say_slow();

  const PostgresOptions options_;
  observe::LogSource& logs_;
  const std::string node_;
  StopSignal stop_;
  std::vector<std::unique_ptr<PostgresLane>> lanes_;  // the first has always a connection
  std::vector<PostgresRows> rows_;                    // by part
  PostgresLayout layout_;
  std::set<std::int64_t> days_;  // that have a partition, or can have none
  std::optional<Half> half_;
  std::string cursor_text_;  // what part 0 of the cursor is there
  MonoNs widen_at_ = 0;
  MonoNs ahead_at_ = 0;
  std::uint64_t rows_written_ = 0;
};

Result<std::optional<log::Cursor>, Trouble> PostgresTarget::open() {
  close();
  widen_at_ = ahead_at_ = 0;
  if (auto connected = first().connect(); !connected) return connected.error();
  auto migrated = migrate_schema(first().connection());
  if (!migrated) return migrated.error();
  layout_ = *migrated;
  if (auto prepared = first().prepare(layout_); !prepared) return prepared.error();
  auto cursor = kept_cursor();
  say_slow();
  return cursor;
}

// Each connection moves its own part of the cursor; a batch counts where all have passed it. What
// some had passed comes again and is left out by its key.
Result<std::optional<log::Cursor>, Trouble> PostgresTarget::kept_cursor() {
  std::vector<std::string> texts;
  PostgresConnection& connection = first().connection();
  if (auto done = connection.query(fmt::format("select cursor from ringgate_cursor where node = "
                                               "'{}' order by part", node_), texts); !done) {
    return done.error();
  }
  std::optional<log::Cursor> cursor;
  bool known = !texts.empty();
  for (const std::string& text : texts) {
    if (text.empty()) {
      known = false;
      continue;
    }
    auto part = log::cursor_from_text(text);
    if (!part) {
      return Trouble{Failure::bad_config,
                     fmt::format("PostgreSQL: ringgate_cursor holds no cursor: {}; delete the rows "
                                 "of node {}, and the sink begins anew", text, node_), 0};
    }
    if (!cursor) {
      cursor = part->cursor;
    } else if (text != texts.front()) {
      cursor = least(*cursor, part->cursor);
    }
  }
  if (!known) cursor.reset();
  const bool same = texts.size() == lanes_.size() &&
                    std::all_of(texts.begin(), texts.end(),
                                [&](const std::string& text) { return text == texts.front(); });
  cursor_text_ = cursor ? log::to_text(options_.node, *cursor) : std::string();
  if (same) return cursor;
  auto made = connection.query(fmt::format(
      "begin; delete from ringgate_cursor where node = '{0}';"
      "insert into ringgate_cursor (node, part, name, cursor) select '{0}', p, '', '{1}' "
      "from generate_series(0, {2}) p; commit", node_, cursor_text_, lanes_.size() - 1));
  if (!made) return made.error();
  return cursor;
}

// A connection more, or anew. Behind a name may be another server by now, that lacks what the last
// one had confirmed: then open() has to ask where it stands.
PostgresTarget::Done PostgresTarget::ready(PostgresLane& lane) {
  if (auto connected = lane.connect(); !connected) return connected;
  std::optional<std::string> text;
  auto asked = lane.connection().query(
      fmt::format("select cursor from ringgate_cursor where node = '{}' and part = 0", node_),
      &text);
  if (!asked) return asked;
  if (text != cursor_text_ && !half_) {
    return Trouble{Failure::unreachable,
                   "PostgreSQL: the server does not hold the cursor that was written last; it is "
                   "another one, or it was restored", 0};
  }
  return lane.prepare(layout_);
}

void PostgresTarget::close_idle(MonoNs now) {
  for (std::size_t i = 1; i < lanes_.size(); ++i) {
    PostgresLane& lane = *lanes_[i];
    if (lane.connection().is_open() && now - lane.used_at() > lane_idle_ns) lane.close();
  }
}

PostgresTarget::Done PostgresTarget::idle() {
  close_idle(now_ns());
  auto done = first().connection().query("select 1");
  say_slow();
  return done;
}

// So many lanes are usable after it, of those that are wanted; at least one.
std::size_t PostgresTarget::widen(std::size_t wanted) {
  const MonoNs now = now_ns();
  std::vector<std::thread> threads;
  std::vector<Done> results(wanted);
  for (std::size_t i = 1; i < wanted; ++i) {
    PostgresLane& lane = *lanes_[i];
    if (lane.usable() && !lane.expired(now)) continue;
    lane.close();
    if (now < widen_at_) continue;
    threads.emplace_back([this, &lane, &result = results[i]] {
      result = ready(lane);
      if (!result) lane.close();
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Done& result : results) {
    if (result || widen_at_ > now) continue;
    widen_at_ = now + again_ns;
    logs_.warn("fewer connections than allowed",
               {{"sink", "postgres"}, {"why", result.error().message}});
  }
  std::size_t usable = 1;
  for (std::size_t i = 1; i < wanted; ++i) {
    if (!lanes_[i]->usable()) continue;
    std::swap(lanes_[usable], lanes_[i]);
    ++usable;
  }
  return usable;
}

PostgresTarget::Done PostgresTarget::partitions() {
  if (layout_.hypertable) return {};
  const std::int64_t today = io::real_sys().wall_now() / day_us;
  std::vector<std::int64_t> wanted;
  for (std::size_t part = 0; part < half_->done.size(); ++part) {
    if (half_->done[part] != 0) continue;
    for (const std::int64_t day : rows_[part].days()) {
      if (day < today - postgres_limits::days_back || day > today + postgres_limits::days_ahead) {
        continue;  // they share the default partition
      }
      if (days_.insert(day).second) wanted.push_back(day);
    }
  }
  if (!wanted.empty()) {
    if (auto made = make_partitions(first().connection(), wanted); !made) {
      for (const std::int64_t day : wanted) days_.erase(day);
      return made;
    }
  }
  // Before their first row has to wait for them.
  if ((days_.contains(today) && days_.contains(today + 1)) || now_ns() < ahead_at_) return {};
  if (auto made = make_partitions(first().connection(), {today, today + 1}); made) {
    days_.insert({today, today + 1});
    return {};
  } else if (!first().usable()) {
    return made;
  }
  ahead_at_ = now_ns() + again_ns;
  return {};
}

PostgresTarget::Done PostgresTarget::write_parts(const Batch& batch, std::size_t lanes) {
  const std::string cursor = log::to_text(batch.node, batch.cursor);
  const std::size_t parts = half_->done.size();
  std::vector<Done> results(parts);
  const auto work = [&](std::size_t lane) {
    for (std::size_t part = lane; part < parts; part += lanes) {
      if (half_->done[part] != 0) continue;
      results[part] = lanes_[lane]->write(rows_[part], {.node = node_,
                                                        .name = batch.node_name,
                                                        .cursor = cursor,
                                                        .part = part,
                                                        .step = parts,
                                                        .parts = lanes_.size()});
      if (!results[part]) return;
      half_->done[part] = 1;
    }
  };
  std::vector<std::thread> threads;
  for (std::size_t lane = 1; lane < lanes; ++lane) threads.emplace_back(work, lane);
  work(0);
  for (std::thread& thread : threads) thread.join();
  for (std::size_t part = 0; part < parts; ++part) {
    if (!results[part]) return results[part];
  }
  cursor_text_ = cursor;
  return {};
}

void PostgresTarget::say_slow() {
  for (const auto& lane : lanes_) {
    for (const PostgresConnection::Slow& slow : lane->connection().take_slow()) {
      logs_.warn("slow statement", {{"sink", "postgres"},
                                    {"ms", static_cast<double>(slow.took_ns) / ns_per_ms},
                                    {"statement", slow.statement}});
    }
  }
}

PostgresTarget::Done PostgresTarget::write(const Batch& batch) {
  close_idle(now_ns());
  if (!half_ || half_->cursor != batch.cursor || half_->items != batch.items.size()) half_.reset();
  if (first().expired(now_ns())) {
    if (auto anew = ready(first()); !anew) return anew;
  }
  const std::size_t worth = batch.items.size() / postgres_limits::part_records_min;
  const std::size_t parts =
      half_ ? half_->done.size() : std::clamp<std::size_t>(worth, 1, lanes_.size());
  const std::size_t lanes = widen(parts);
  if (!half_) {
    half_ = Half{batch.cursor, batch.items.size(), std::vector<std::uint8_t>(parts)};
  }
  std::uint64_t rows = 0;
  for (std::size_t part = 0; part < parts; ++part) {
    if (half_->done[part] != 0) continue;
    rows_[part].fill(batch, part, parts, layout_.hypertable);
    rows += rows_[part].rows();
  }
  Done done = partitions();
  if (done) done = write_parts(batch, lanes);
  say_slow();
  if (!done) return done;
  half_.reset();
  rows_written_ += rows;
  return {};
}

}  // namespace

Result<void> check_postgres_url(std::string_view text) {
  if (text.empty()) return {};
  char* why = nullptr;
  PQconninfoOption* options = PQconninfoParse(std::string(text).c_str(), &why);
  PQconninfoFree(options);
  if (why != nullptr) PQfreemem(why);  // it may repeat the password
  if (options == nullptr) {
    return Error{0, "postgresql://user:password@host:5432/database is expected"};
  }
  return {};
}

PostgresOptions postgres_options(const config::Settings& settings, const std::string& url,
                                 const log::NodeId& node) {
  PostgresOptions options;
  options.url = url;
  options.node = node;
  options.connections = static_cast<std::size_t>(settings.integer("sink.postgres.connections"));
  options.slow_ns = settings.duration_ns("sink.postgres.slow");
  options.max_age_ns = settings.duration_ns("sink.postgres.max_age");
  options.max_uses = static_cast<std::uint64_t>(settings.integer("sink.postgres.max_uses"));
  options.timeout_ns = settings.duration_ns("sink.postgres.timeout");
  return options;
}

std::unique_ptr<Target> make_postgres_target(const PostgresOptions& options,
                                             observe::LogSource& logs) {
  return std::make_unique<PostgresTarget>(options, logs);
}

}  // namespace ringgate::sink
