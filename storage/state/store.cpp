#include "storage/state/store.hpp"

#include "engine/base/json_scan.hpp"
#include "storage/state/records.hpp"

namespace ringgate::state {

Store::Store(log::Writer& log, flow::Budget& budget)
    : Store(log, budget, std::make_unique<Table>(budget)) {}

Store::Store(log::Writer& log, flow::Budget& budget, std::unique_ptr<Table> table)
    : log_(log), table_(std::move(table)) {
  table_->charge_to(budget);
}

Position Store::append(const DeviceKey& device, Change change, std::string_view payload) {
  full_ = false;
  const log::RecordInfo info{.kind = log::Kind::state,
                             .ns = device.ns,
                             .message = static_cast<std::uint16_t>(change),
                             .device = device.id()};
  const std::size_t size = device.size + payload.size();
  if (log::record_header_size + size > log_.record_max() || !log_.has_room(size)) return 0;
  const Position position = log_.append(info, as_bytes(payload));
  if (position != 0) ++changes_;
  return position;
}

Position Store::refuse_full() {
  full_ = true;
  return 0;
}

Position Store::put_registration(const DeviceKey& device, const RegistrationView& registration) {
  if (table_->size() >= entries_max) return refuse_full();
  const Position position =
      append(device, Change::registration_put, json_of(cut(registration)));
  if (position != 0) table_->put_registration(device, registration);
  return position;
}

Position Store::remove_registration(const DeviceKey& device) {
  const Position position = append(device, Change::registration_removed, "{}");
  if (position != 0) table_->remove_registration(device);
  return position;
}

Position Store::ban(const DeviceKey& device, Ban ban, WallUs now_us) {
  if (table_->bans() >= bans_max && table_->ban(device) == nullptr) {
    table_->forget_bans(now_us);
    if (table_->bans() >= bans_max) return refuse_full();
  }
  if (table_->size() >= entries_max) return refuse_full();
  cut(ban);
  const Position position = append(device, Change::banned, json_of(ban));
  if (position != 0) table_->put_ban(device, std::move(ban));
  return position;
}

Position Store::unban(const DeviceKey& device) {
  const Position position = append(device, Change::unbanned, "{}");
  if (position != 0) table_->remove_ban(device);
  return position;
}

Position Store::set_generation(const DeviceKey& device, std::uint32_t generation) {
  if (table_->size() >= entries_max) return refuse_full();
  const Position position = append(device, Change::generation, json_of_generation(generation));
  if (position != 0) table_->set_generation(device, generation);
  return position;
}

Position Store::put_pending(const DeviceKey& device, PendingCommand command) {
  const std::vector<PendingCommand>* const waiting = table_->pending(device);
  if (table_->size() >= entries_max || table_->pending_commands() >= pending_max ||
      (waiting != nullptr && waiting->size() >= pending_device_max)) {
    return refuse_full();
  }
  full_ = false;
  if (command.json.size() > pending_json_max ||
      scan_json_object(command.json, "").error != JsonScan::Error::none) {
    return 0;
  }
  const Position position = append(device, Change::command_pending, json_of(command));
  if (position != 0) table_->put_pending(device, std::move(command));
  return position;
}

Position Store::try_pending(const DeviceKey& device, std::uint64_t id, std::uint32_t tries) {
  const Position position = append(device, Change::command_tried, json_of_try(id, tries));
  if (position != 0) table_->set_tries(device, id, tries);
  return position;
}

Position Store::end_pending(const DeviceKey& device, std::uint64_t id, PendingEnd end) {
  end.detail = cut_utf8(end.detail, reason_size_max);
  const Position position = append(device, Change::command_ended, json_of_end(id, end));
  if (position != 0) table_->remove_pending(device, id);
  return position;
}

}  // namespace ringgate::state
