#include "storage/sink/postgres_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <functional>

#include "engine/base/utf8.hpp"

namespace ringgate::sink {

namespace {

constexpr std::string_view copy_signature{"PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19};
constexpr WallUs epoch_2000_us = 946'684'800LL * us_per_s;
constexpr WallUs day_us = 86'400LL * us_per_s;
// What a timestamp of PostgreSQL holds, and no device means: years 1 to 9999 or so.
constexpr WallUs time_least = -62'000'000'000LL * us_per_s;
constexpr WallUs time_most = 250'000'000'000LL * us_per_s;

template <class Number>
void put_big(std::string& out, Number value) {
  for (int shift = 8 * static_cast<int>(sizeof value) - 8; shift >= 0; shift -= 8) {
    out.push_back(static_cast<char>(static_cast<std::uint64_t>(value) >> shift));
  }
}

std::int64_t day_of(WallUs at) { return at / day_us - (at % day_us < 0 ? 1 : 0); }

}  // namespace

void append_clean(std::string& out, std::string_view text) {
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t length = text[at] == 0 ? 0 : utf8_length(text, at);
    if (length == 0) {
      out += "\xef\xbf\xbd";
    } else {
      out += text.substr(at, length);
    }
    at += length == 0 ? 1 : length;
  }
}

// Writes the rows of one record.
class PostgresVisitor final : public event::RowVisitor {
 public:
  PostgresVisitor(PostgresRows& rows, const Batch& batch, const Item& item, bool split_other)
      : rows_(rows), batch_(batch), item_(item), split_other_(split_other) {}

  void position(const event::PositionRow& row) override {
    const WallUs at = time_of(row.device_time_us);
    const std::int64_t day = day_of(at);
    const std::int64_t received = day_of(item_.view.received_us);
    const bool other = split_other_ && (day < received - postgres_limits::days_back ||
                                        day > received + postgres_limits::days_ahead);
    begin(other ? Table::positions_other : Table::positions, 19, row.sub);
    time(at);
    number(row.latitude_deg);
    number(row.longitude_deg);
    number(row.altitude_m);
    number(row.speed_kmh);
    number(row.heading_deg);
    number(row.odometer_km);
    big(row.alarm_bits);
    big(row.status_bits);
    flag(row.fixed);
    flag(row.late);
    if (!other) rows_.days_.insert(day);
  }
  void alarm(const event::AlarmRow& row) override {
    begin(Table::alarms, 17, row.sub);
    time(time_of(row.device_time_us));
    text(row.type);
    text(row.source);
    big(row.alarm_id);
    small(row.level);
    number(row.latitude_deg);
    number(row.longitude_deg);
    number(row.speed_kmh);
    text(row.phase);
  }
  void session(const event::SessionRow& row) override {
    begin(Table::sessions, 10, 0);
    text(event::name_of(row.what));
    text(row.detail);
  }
  void device(const event::DeviceRow& row) override {
    begin(Table::devices, 14, 0);
    rows_.device_order_.emplace_back(
        fmt::format("{:05} {}", static_cast<int>(item_.view.ns), item_.view.device),
        rows_.at(Table::devices).starts.back());
    text(row.plate);
    small(row.plate_colour);
    text(row.terminal_id);
    text(row.maker);
    text(row.model);
    text(row.version);
  }
  void media(const event::MediaRow& row) override {
    begin(Table::media, 14, 0);
    time(time_of(row.device_time_us));
    text(row.blob);
    text(row.name);
    text(row.type);
    big(static_cast<std::int64_t>(row.size_bytes));
    text(row.json);
  }

 private:
  // The eight columns that all tables begin with.
  void begin(Table table, std::int16_t columns, std::uint32_t sub) {
    PostgresRows::Buffer& buffer = rows_.at(table);
    buffer.starts.push_back(static_cast<std::uint32_t>(buffer.bytes.size()));
    out_ = &buffer.bytes;
    put_big(*out_, columns);
    put_big(*out_, std::int32_t{16});
    out_->append(reinterpret_cast<const char*>(batch_.node.data()), batch_.node.size());
    whole(item_.stream.run);
    small(static_cast<std::int16_t>(item_.stream.shard));
    big(static_cast<std::int64_t>(item_.position));
    whole(sub);
    small(static_cast<std::int16_t>(item_.view.ns));
    text(item_.view.device);
    time(item_.view.received_us);
  }
  WallUs time_of(WallUs device_us) const {
    const bool none = device_us == 0 || device_us < time_least || device_us > time_most;
    return none ? item_.view.received_us : device_us;
  }
  void time(WallUs at) { big(at - epoch_2000_us); }
  void big(std::int64_t value) {
    put_big(*out_, std::int32_t{8});
    put_big(*out_, value);
  }
  void whole(std::uint32_t value) {
    put_big(*out_, std::int32_t{4});
    put_big(*out_, value);
  }
  void small(std::int16_t value) {
    put_big(*out_, std::int32_t{2});
    put_big(*out_, value);
  }
  void flag(bool value) {
    put_big(*out_, std::int32_t{1});
    out_->push_back(value ? 1 : 0);
  }
  void number(double value) {
    if (std::isnan(value)) return put_big(*out_, std::int32_t{-1});
    big(std::bit_cast<std::int64_t>(value));
  }
  void text(std::string_view value) {
    const std::size_t at = out_->size();
    put_big(*out_, std::int32_t{0});
    append_clean(*out_, value);
    std::string size;
    put_big(size, static_cast<std::int32_t>(out_->size() - at - 4));
    out_->replace(at, 4, size);
  }

  PostgresRows& rows_;
  const Batch& batch_;
  const Item& item_;
  const bool split_other_;
  std::string* out_ = nullptr;
};

void PostgresRows::fill(const Batch& batch, std::size_t part, std::size_t parts,
                        bool split_other) {
  days_.clear();
  device_order_.clear();
  for (Buffer& buffer : buffers_) {
    buffer.bytes.assign(copy_signature);
    buffer.starts.clear();
  }
  for (const Item& item : batch.items) {
    if (item.catalog == nullptr) continue;
    if (parts > 1 && std::hash<std::string_view>()(item.view.device) % parts != part) continue;
    PostgresVisitor visitor(*this, batch, item, split_other);
    item.catalog->rows(item.view, visitor);
  }
  std::stable_sort(device_order_.begin(), device_order_.end(),
                   [](const auto& one, const auto& other) { return one.first < other.first; });
  for (Buffer& buffer : buffers_) put_big(buffer.bytes, std::int16_t{-1});
}

std::string_view PostgresRows::tuple(Table table, std::size_t row) const {
  const Buffer& buffer = at(table);
  std::uint32_t start = buffer.starts[row];
  if (table == Table::devices) start = device_order_[row].second;
  const auto next = std::upper_bound(buffer.starts.begin(), buffer.starts.end(), start);
  const std::size_t end = next == buffer.starts.end() ? buffer.bytes.size() - 2 : *next;
  return std::string_view(buffer.bytes).substr(start, end - start);
}

std::uint64_t PostgresRows::rows() const {
  std::uint64_t sum = 0;
  for (const Buffer& buffer : buffers_) sum += buffer.starts.size();
  return sum;
}

}  // namespace ringgate::sink
