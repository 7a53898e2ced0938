#include "storage/state/campaign.hpp"

#include "engine/io/sys.hpp"
#include "storage/event/device_gates.hpp"
#include "storage/event/json_fields.hpp"

namespace ringgate::state {

namespace {

// Devices that one errand looks at: some 100 us of their shard.
constexpr std::uint32_t looked_at_per_errand = 64;

}  // namespace

void Campaign::to_all(event::DeviceFilter filter) {
  filter_ = std::move(filter);
  gathering_ = true;
}

Campaign::State Campaign::pump(const std::function<bool()>& room) {
  if (gathering_) {
    if (const auto state = gather()) return *state;
  }
  while (!cancelled_ && next_ < targets_.size() && outstanding_ < parts_.parallel && room()) {
    if (const auto state = send_next()) return *state;
  }
  const bool all_sent = cancelled_ || next_ == targets_.size();
  return all_sent && outstanding_ == 0 ? State::done : State::going;
}

void Campaign::cancel() {
  cancelled_ = true;
  gathering_ = false;
}

// All devices that the filter names, page by page. Nothing: they are there.
std::optional<Campaign::State> Campaign::gather() {
  struct Found {
    std::uint32_t cursor = 0;
    std::vector<std::string> rows;
  };
  if (stopped_) return State::stopped;
  if (too_many_) return State::too_many;
  if (shard_ == parts_.post.shards()) {
    gathering_ = false;
    return {};
  }
  if (asked_) return State::going;
  auto found = std::make_shared<Found>();
  auto errand = shard::make_errand(
      [found, cursor = cursor_, ns = parts_.devices.ns()](shard::ErrandHost& host,
                                                          shard::ErrandTicket ticket) {
        event::DeviceGate* const gate = event::DeviceGates::of(host).find(ns);
        if (gate != nullptr) found->cursor = gate->list(cursor, looked_at_per_errand, found->rows);
        ticket.done();
      },
      [found, weak = weak_from_this()](bool ran) {
        const auto self = weak.lock();
        if (self == nullptr) return;
        self->asked_ = false;
        self->stopped_ = !ran;
        if (ran) self->take(found->rows, found->cursor);
        self->wake_();
      });
  switch (parts_.post.send(shard_, errand)) {
    case shard::Posted::ok: break;
    case shard::Posted::busy: return State::busy;
    case shard::Posted::stopped: return State::stopped;
  }
  asked_ = true;
  return State::going;
}

void Campaign::take(const std::vector<std::string>& rows, std::uint32_t cursor) {
  const WallUs now = io::real_sys().wall_now();
  for (const std::string& row : rows) {
    const event::JsonFields fields(row);
    if (!filter_->matches(fields, now)) continue;
    const event::FieldValue id = fields.field(parts_.devices.id_key());
    const std::string* const text = std::get_if<std::string>(&id);
    if (text == nullptr) continue;
    too_many_ = targets_.size() == parts_.devices_max;
    if (too_many_) return;
    targets_.emplace_back(parts_.devices.ns(), *text);
  }
  cursor_ = cursor;
  if (cursor_ == 0) ++shard_;
}

std::optional<Campaign::State> Campaign::send_next() {
  const DeviceKey& device = targets_[next_];
  std::unique_ptr<shard::Errand> errand = std::make_unique<SendErrand>(
      device, parts_.command,
      [weak = weak_from_this()](const DeviceKey& key, const event::CommandOutcome* outcome) {
        const auto self = weak.lock();
        if (self == nullptr) return;
        self->came_home(key, outcome);
        self->wake_();
      });
  const shard::Posted posted =
      parts_.post.send(home_shard(device, parts_.post.shards()), errand);
  if (posted == shard::Posted::busy) return State::busy;
  ++next_;
  ++outstanding_;
  if (posted == shard::Posted::stopped) came_home(device, nullptr);
  return {};
}

void Campaign::came_home(const DeviceKey& device, const event::CommandOutcome* outcome) {
  --outstanding_;
  ++done_;
  if (outcome == nullptr) {
    ++stopping_;
  } else {
    ++by_status_[static_cast<std::size_t>(outcome->status)];
  }
  told_(device, outcome);
}

void Campaign::by_status_json(JsonWriter& json) const {
  json.begin_object();
  for (std::size_t i = 0; i < by_status_.size(); ++i) {
    if (by_status_[i] == 0) continue;
    json.key(event::name_of(static_cast<event::CommandStatus>(i)));
    json.unsigned_integer(by_status_[i]);
  }
  if (stopping_ != 0) json.key("stopping").unsigned_integer(stopping_);
  json.end_object();
}

}  // namespace ringgate::state
