#include "protocols/api/command_store.hpp"

#include <utility>

#include "engine/base/hex.hpp"
#include "engine/io/sys.hpp"
#include "storage/state/campaign.hpp"

namespace ringgate::api {

namespace {

std::string random_id() {
  std::uint8_t bytes[16];
  io::real_sys().random_bytes(bytes);
  return to_hex(bytes);
}

std::size_t bytes_of(const CommandEntry& entry) {
  std::size_t bytes = sizeof entry + entry.outcome.size() + entry.message.size() +
                      entry.by.size() + entry.outcomes_bytes +
                      entry.outcomes.capacity() * sizeof(std::string);
  if (entry.many != nullptr) bytes += entry.many->targets().size() * sizeof(DeviceKey);
  return bytes;
}

}  // namespace

CommandEntry* CommandStore::add(bool many, MonoNs now) {
  forget_old(now);
  const bool full = many ? many_ == command_limits::many_max
                         : single_ == command_limits::single_max;
  if (full) return nullptr;
  while (entries_.size() >= command_limits::entries_max && !old_.empty()) {
    forget(old_.front().id);
    old_.pop_front();
  }
  auto entry = std::make_unique<CommandEntry>();
  entry->id = random_id();
  CommandEntry* const out = entry.get();
  Kept kept{.entry = std::move(entry), .scope = {}, .many = many};
  entries_.emplace(out->id, std::move(kept));
  ++(many ? many_ : single_);
  return out;
}

void CommandStore::drop(std::string_view id) {
  const auto found = entries_.find(std::string(id));
  if (found == entries_.end() || found->second.entry->ended()) return;
  --(found->second.many ? many_ : single_);
  forget(std::string(id));
}

CommandEntry* CommandStore::find(std::string_view id) {
  const auto found = entries_.find(std::string(id));
  return found == entries_.end() ? nullptr : found->second.entry.get();
}

void CommandStore::end(CommandEntry& entry, WallUs wall_now, MonoNs now) {
  if (entry.ended()) return;
  entry.ended_us = wall_now;
  const auto found = entries_.find(entry.id);
  Kept& kept = found->second;
  --(kept.many ? many_ : single_);
  kept.bytes = bytes_of(entry);
  bytes_ += kept.bytes;
  old_.push_back({now + command_limits::kept_ns, entry.id});
  const std::vector<std::function<void()>> waiting = std::exchange(entry.waiting, {});
  for (const auto& tell : waiting) tell();
  while (bytes_ > command_limits::bytes_max && old_.size() > 1) {
    forget(old_.front().id);
    old_.pop_front();
  }
}

const CommandStore::Repeat* CommandStore::find_repeat(const std::string& scope) const {
  const auto found = repeats_.find(scope);
  return found == repeats_.end() ? nullptr : &found->second;
}

void CommandStore::note_repeat(std::string scope, const CommandEntry& entry,
                               std::uint64_t body_hash) {
  const auto found = entries_.find(entry.id);
  if (found == entries_.end()) return;
  repeats_[scope] = {entry.id, body_hash};
  found->second.scope = std::move(scope);
}

void CommandStore::forget_old(MonoNs now) {
  while (!old_.empty() && old_.front().until <= now) {
    forget(old_.front().id);
    old_.pop_front();
  }
}

void CommandStore::forget(const std::string& id) {
  const auto found = entries_.find(id);
  if (found == entries_.end()) return;
  bytes_ -= found->second.bytes;
  if (!found->second.scope.empty()) repeats_.erase(found->second.scope);
  entries_.erase(found);
}

void CommandStore::clear() {
  for (auto& [id, kept] : entries_) {
    kept.entry->waiting.clear();
    kept.entry->many = nullptr;
  }
}

}  // namespace ringgate::api
