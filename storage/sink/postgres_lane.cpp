#include "storage/sink/postgres_lane.hpp"

#include "engine/io/sys.hpp"

namespace ringgate::sink {

namespace {

MonoNs now_ns() { return io::real_sys().mono_now(); }

void put_value(std::string& out, std::string_view value) {
  for (int shift = 24; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(value.size() >> shift));
  }
  out += value;
}

std::string int4(std::size_t value) {
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) out.push_back(static_cast<char>(value >> shift));
  return out;
}

std::string uuid_bytes(std::string_view text) {
  const auto node = log::node_from_text(text);
  RG_CHECK(node.has_value());
  return {reinterpret_cast<const char*>(node->data()), node->size()};
}

}  // namespace

PostgresLane::Done PostgresLane::connect() {
  staging_ = false;
  staged_ = {};
  uses_ = 0;
  if (auto opened = connection_.open(); !opened) return opened;
  // Not all lanes in one moment: up to an eighth earlier.
  std::uint8_t random = 0;
  io::real_sys().random_bytes({&random, 1});
  used_at_ = now_ns();
  ends_at_ = used_at_ + options_.max_age_ns - options_.max_age_ns / 2048 * random;
  return {};
}

PostgresLane::Done PostgresLane::prepare(const PostgresLayout& layout) {
  return prepare_statements(connection_, layout);
}

bool PostgresLane::expired(MonoNs now) const {
  return now >= ends_at_ || (options_.max_uses != 0 && uses_ >= options_.max_uses);
}

PostgresLane::Done PostgresLane::call_rows(const PostgresRows& rows, Table table) {
  for (std::size_t row = 0; row < rows.rows(table); ++row) {
    if (auto sent = connection_.call(insert_name(table), rows.tuple(table, row)); !sent) {
      return sent;
    }
  }
  return {};
}

// Tables with many rows by COPY, each two ways to the server and back; everything else in one more.
PostgresLane::Done PostgresLane::transaction(const PostgresRows& rows,
                                             const PostgresCursorPart& cursor, bool staging) {
  std::string before = "begin; ";
  std::uint64_t unsure = 0;  // rows that may be there already
  const auto copied = [&](Table table) {
    return rows.rows(table) > postgres_limits::single_rows_max;
  };
  const auto staged = [&](Table table) { return staging || table == Table::devices; };
  for (std::size_t i = 0; i < table_count; ++i) {
    const auto table = static_cast<Table>(i);
    if (!copied(table)) continue;
    if (staged(table) && !staged_[i]) before += stage_sql(table) + "; ";
    if (auto done = connection_.copy(before + copy_sql(table, staged(table)), rows.copy(table));
        !done) {
      return done;
    }
    before.clear();
  }
  if (auto begun = connection_.begin_pipeline(); !begun) return begun;
  if (!before.empty()) {
    if (auto sent = connection_.send("begin"); !sent) return sent;
  }
  for (std::size_t i = 0; i < table_count; ++i) {
    const auto table = static_cast<Table>(i);
    if (!copied(table)) {
      if (auto called = call_rows(rows, table); !called) return called;
    } else if (staged(table)) {
      const bool counted = table != Table::devices;
      if (counted) unsure += rows.rows(table);
      if (auto sent = connection_.call(unstage_sql(table), counted); !sent) return sent;
    }
  }
  std::string values{"\0\6", 2};
  put_value(values, uuid_bytes(cursor.node));
  put_value(values, cursor.name);
  put_value(values, cursor.cursor);
  for (const std::size_t number : {cursor.parts, cursor.part, cursor.step}) {
    put_value(values, int4(number));
  }
  if (auto called = connection_.call(cursor_name, values); !called) return called;
  if (auto sent = connection_.send("commit"); !sent) return sent;
  if (auto ended = connection_.end_pipeline(); !ended) return ended;
  for (std::size_t i = 0; i < table_count; ++i) {
    const auto table = static_cast<Table>(i);
    if (copied(table) && staged(table)) staged_[i] = true;
  }
  if (unsure > 0) staging_ = connection_.affected() < unsure;
  return {};
}

PostgresLane::Done PostgresLane::write(const PostgresRows& rows,
                                       const PostgresCursorPart& cursor) {
  for (;;) {
    auto done = transaction(rows, cursor, staging_);
    if (done || !connection_.healthy()) {
      ++uses_;
      used_at_ = now_ns();
      return done;
    }
    const bool again = connection_.last_state() == "23505" && !staging_;
    if (auto back = connection_.query("rollback"); !back) return back;
    if (!again) return done;
    staging_ = true;  // rows are there already: a seek, or the answer to a commit was lost
  }
}

}  // namespace ringgate::sink
