#include "storage/state/table.hpp"

#include <algorithm>
#include <cstring>

#include "engine/base/bytes.hpp"

namespace ringgate::state {

namespace {

// An allocation of so many bytes, with what the allocator adds.
std::uint64_t allocated(std::size_t bytes) {
  return align_up(bytes, 16);
}

std::uint64_t cost(const Ban& ban) { return sizeof(Ban) + 64 + ban.by.size() + ban.why.size(); }
std::uint64_t cost(const PendingCommand& command) {
  // And its place in Pending's order.
  return sizeof command + 64 + 128 + command.by.size() + command.json.size();
}

}  // namespace

Table::Table(flow::Budget& budget) : budget_(&budget), index_(1024) {
  charge(index_.size() * sizeof(Place));
}

Table::~Table() { budget_->release(charged_); }

void Table::charge_to(flow::Budget& budget) {
  budget_->release(charged_);
  budget_ = &budget;
  budget_->charge(charged_);
}

void Table::charge(std::uint64_t bytes) {
  charged_ += bytes;
  budget_->charge(bytes);
}

void Table::release(std::uint64_t bytes) {
  charged_ -= bytes;
  budget_->release(bytes);
}

std::uint32_t Table::first_place(std::uint32_t tag) const {
  return static_cast<std::uint32_t>((tag * 0x9e3779b97f4a7c15ULL) >> 32) &
         static_cast<std::uint32_t>(index_.size() - 1);
}

// The index place that holds `device`, or the empty one where it would go.
std::uint32_t Table::probe(const DeviceKey& device) const {
  const auto mask = static_cast<std::uint32_t>(index_.size() - 1);
  const auto tag = static_cast<std::uint32_t>(hash(device) >> 32);
  for (std::uint32_t place = first_place(tag);; place = (place + 1) & mask) {
    const Place& found = index_[place];
    if (found.slot_plus_1 == 0) return place;
    if (found.tag != tag) continue;
    const Slot& slot = at(found.slot_plus_1 - 1);
    if (slot.ns == device.ns && slot.id() == device.id()) return place;
  }
}

std::uint32_t Table::find(const DeviceKey& device) const {
  return index_[probe(device)].slot_plus_1 - 1;  // 0 - 1 is no_slot
}

std::uint32_t Table::find_or_add(const DeviceKey& device) {
  std::uint32_t place = probe(device);
  if (index_[place].slot_plus_1 != 0) return index_[place].slot_plus_1 - 1;
  if (used_ >= entries_max) return no_slot;
  if ((used_ + 1) * 2 > index_.size()) {
    grow();
    place = probe(device);
  }
  std::uint32_t slot = 0;
  if (!free_.empty()) {
    slot = free_.back();
    free_.pop_back();
  } else {
    if (slots_ == chunks_.size() * slots_per_chunk) {
      chunks_.push_back(std::make_unique<Slot[]>(slots_per_chunk));
      charge(slots_per_chunk * sizeof(Slot));
    }
    slot = slots_++;
  }
  Slot& made = at(slot);
  made = Slot{};
  auto bytes = std::make_unique_for_overwrite<char[]>(device.size);
  std::memcpy(bytes.get(), device.text, device.size);
  set_bytes(made, std::move(bytes), 0, device.size);
  made.ns = device.ns;
  made.id_size = device.size;
  index_[place] = {static_cast<std::uint32_t>(hash(device) >> 32), slot + 1};
  ++used_;
  return slot;
}

void Table::set_bytes(Slot& slot, std::unique_ptr<char[]> bytes, std::size_t before,
                      std::size_t after) {
  release(allocated(before));
  charge(allocated(after));
  slot.bytes = std::move(bytes);
}

void Table::drop_if_empty(std::uint32_t slot) {
  Slot& one = at(slot);
  if (!one.empty()) return;
  erase_place(probe(key_of(one)));
  set_bytes(one, nullptr, one.size(), 0);
  one = Slot{};
  free_.push_back(slot);
  --used_;
}

// Closes the gap: entries behind it that were pushed on by it move up.
void Table::erase_place(std::uint32_t place) {
  const auto mask = static_cast<std::uint32_t>(index_.size() - 1);
  std::uint32_t gap = place;
  for (std::uint32_t next = (gap + 1) & mask; index_[next].slot_plus_1 != 0;
       next = (next + 1) & mask) {
    const std::uint32_t wanted = first_place(index_[next].tag);
    if (((next - wanted) & mask) < ((next - gap) & mask)) continue;
    index_[gap] = index_[next];
    gap = next;
  }
  index_[gap] = {};
}

void Table::grow() {
  std::vector<Place> old(index_.size() * 2);
  charge(index_.size() * sizeof(Place));
  old.swap(index_);
  const auto mask = static_cast<std::uint32_t>(index_.size() - 1);
  for (const Place& entry : old) {
    if (entry.slot_plus_1 == 0) continue;
    std::uint32_t place = first_place(entry.tag);
    while (index_[place].slot_plus_1 != 0) place = (place + 1) & mask;
    index_[place] = entry;
  }
}

bool Table::put_registration(const DeviceKey& device, const RegistrationView& registration) {
  const std::uint32_t slot = find_or_add(device);
  if (slot == no_slot) return false;
  Slot& one = at(slot);
  const RegistrationView bounded = cut(registration);
  const std::string_view parts[texts] = {bounded.plate, bounded.terminal_id, bounded.maker,
                                         bounded.model, bounded.note};
  std::size_t size = device.size;
  for (const std::string_view text : parts) size += text.size();
  auto bytes = std::make_unique_for_overwrite<char[]>(size);
  char* to = bytes.get();
  std::memcpy(to, device.text, device.size);
  to += device.size;
  const std::size_t before = one.size();
  for (std::size_t i = 0; i < texts; ++i) {
    if (!parts[i].empty()) std::memcpy(to, parts[i].data(), parts[i].size());
    to += parts[i].size();
    one.text_size[i] = static_cast<std::uint8_t>(parts[i].size());
  }
  set_bytes(one, std::move(bytes), before, size);
  one.plate_colour = registration.plate_colour;
  one.enabled = registration.enabled;
  registrations_ += one.registered ? 0 : 1;
  one.registered = true;
  return true;
}

bool Table::remove_registration(const DeviceKey& device) {
  const std::uint32_t slot = find(device);
  if (slot == no_slot || !at(slot).registered) return false;
  Slot& one = at(slot);
  const std::size_t before = one.size();
  auto bytes = std::make_unique_for_overwrite<char[]>(device.size);
  std::memcpy(bytes.get(), device.text, device.size);
  for (std::uint8_t& size : one.text_size) size = 0;
  set_bytes(one, std::move(bytes), before, device.size);
  one.registered = one.enabled = false;
  one.plate_colour = 0;
  --registrations_;
  drop_if_empty(slot);
  return true;
}

bool Table::put_ban(const DeviceKey& device, Ban ban) {
  const std::uint32_t slot = find_or_add(device);
  if (slot == no_slot) return false;
  cut(ban);
  const auto found = bans_.find(slot);
  if (found != bans_.end()) release(cost(found->second));
  charge(cost(ban));
  bans_[slot] = std::move(ban);
  at(slot).banned = true;
  return true;
}

bool Table::remove_ban(const DeviceKey& device) {
  const std::uint32_t slot = find(device);
  if (slot == no_slot || !at(slot).banned) return false;
  const auto found = bans_.find(slot);
  release(cost(found->second));
  bans_.erase(found);
  at(slot).banned = false;
  drop_if_empty(slot);
  return true;
}

void Table::forget_bans(WallUs now_us) {
  std::vector<DeviceKey> over;
  for (const auto& [slot, ban] : bans_) {
    if (ban.over(now_us)) over.push_back(key_of(at(slot)));
  }
  for (const DeviceKey& device : over) remove_ban(device);
}

bool Table::set_generation(const DeviceKey& device, std::uint32_t generation) {
  const std::uint32_t slot = find_or_add(device);
  if (slot == no_slot) return false;
  at(slot).generation = static_cast<std::uint16_t>(generation);
  drop_if_empty(slot);
  return true;
}

bool Table::put_pending(const DeviceKey& device, PendingCommand command) {
  const std::uint32_t slot = find_or_add(device);
  if (slot == no_slot) return false;
  std::vector<PendingCommand>& waiting = pending_[slot];
  at(slot).waits = true;
  charge(cost(command));
  const auto same = std::ranges::find(waiting, command.id, &PendingCommand::id);
  if (same != waiting.end()) {
    release(cost(*same));
    *same = std::move(command);
    return true;
  }
  waiting.push_back(std::move(command));
  ++pending_count_;
  return true;
}

void Table::set_tries(const DeviceKey& device, std::uint64_t id, std::uint32_t tries) {
  const std::uint32_t slot = find(device);
  if (slot == no_slot || !at(slot).waits) return;
  std::vector<PendingCommand>& waiting = pending_[slot];
  const auto found = std::ranges::find(waiting, id, &PendingCommand::id);
  if (found != waiting.end()) found->tries = tries;
}

bool Table::remove_pending(const DeviceKey& device, std::uint64_t id) {
  const std::uint32_t slot = find(device);
  if (slot == no_slot || !at(slot).waits) return false;
  std::vector<PendingCommand>& waiting = pending_[slot];
  const auto found = std::ranges::find(waiting, id, &PendingCommand::id);
  if (found == waiting.end()) return false;
  release(cost(*found));
  waiting.erase(found);
  --pending_count_;
  if (waiting.empty()) {
    pending_.erase(slot);
    at(slot).waits = false;
    drop_if_empty(slot);
  }
  return true;
}

RegistrationView Table::view_of(const Slot& slot) {
  const char* from = slot.bytes.get() + slot.id_size;
  std::string_view text[texts];
  for (std::size_t i = 0; i < texts; ++i) {
    text[i] = {from, slot.text_size[i]};
    from += slot.text_size[i];
  }
  return {text[0], slot.plate_colour, text[1], text[2], text[3], text[4], slot.enabled};
}

std::optional<RegistrationView> Table::registration(const DeviceKey& device) const {
  const std::uint32_t slot = find(device);
  if (slot == no_slot || !at(slot).registered) return {};
  return view_of(at(slot));
}

const Ban* Table::ban(const DeviceKey& device) const {
  if (bans_.empty()) return nullptr;
  const std::uint32_t slot = find(device);
  return slot == no_slot || !at(slot).banned ? nullptr : &bans_.at(slot);
}

std::uint32_t Table::generation(const DeviceKey& device) const {
  const std::uint32_t slot = find(device);
  return slot == no_slot ? 0 : at(slot).generation;
}

const std::vector<PendingCommand>* Table::pending(const DeviceKey& device) const {
  if (pending_.empty()) return nullptr;
  const std::uint32_t slot = find(device);
  return slot == no_slot || !at(slot).waits ? nullptr : &pending_.at(slot);
}

std::uint64_t Table::list(std::uint64_t cursor, std::uint32_t limit, const Visit& visit) const {
  const std::uint64_t end = std::min<std::uint64_t>(slots_, cursor + limit);
  for (std::uint64_t i = cursor; i < end; ++i) {
    const auto slot = static_cast<std::uint32_t>(i);
    const Slot& one = at(slot);
    if (one.bytes == nullptr) continue;
    Entry entry;
    entry.device = key_of(one);
    if (one.registered) entry.registration = view_of(one);
    if (one.banned) entry.ban = &bans_.at(slot);
    if (one.waits) entry.pending = &pending_.at(slot);
    entry.generation = one.generation;
    visit(entry);
  }
  return end == slots_ ? 0 : end;
}

void Table::for_each_ban(
    const std::function<void(const DeviceKey&, const Ban&)>& visit) const {
  for (const auto& [slot, ban] : bans_) visit(key_of(at(slot)), ban);
}

void Table::for_each_pending(
    const std::function<void(const DeviceKey&, const PendingCommand&)>& visit) const {
  for (const auto& [slot, waiting] : pending_) {
    const DeviceKey device = key_of(at(slot));
    for (const PendingCommand& command : waiting) visit(device, command);
  }
}

}  // namespace ringgate::state
