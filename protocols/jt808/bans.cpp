#include "protocols/jt808/bans.hpp"

#include "engine/base/utf8.hpp"

namespace ringgate::jt808 {

namespace {

// Cut at a whole character.
void cut(std::string& text) {
  if (text.size() <= ban_reason_max) return;
  std::size_t at = 0;
  while (at < ban_reason_max) {
    const std::size_t length = utf8_length(text, at);
    const std::size_t step = length == 0 ? 1 : length;
    if (at + step > ban_reason_max) break;
    at += step;
  }
  text.resize(at);
}

}  // namespace

bool Bans::put(const DeviceKey& device, Ban ban, WallUs now_us) {
  cut(ban.by);
  cut(ban.why);
  const std::string phone(device.id());
  if (bans_.size() >= bans_max && !bans_.contains(phone)) {
    std::erase_if(bans_, [now_us](const auto& entry) { return entry.second.over(now_us); });
    if (bans_.size() >= bans_max) return false;
  }
  bans_[phone] = std::move(ban);
  return true;
}

bool Bans::remove(const DeviceKey& device, WallUs now_us) {
  const auto found = bans_.find(std::string(device.id()));
  if (found == bans_.end()) return false;
  const bool was_banned = !found->second.over(now_us);
  bans_.erase(found);
  return was_banned;
}

const Ban* Bans::find(const DeviceKey& device, WallUs now_us) const {
  if (bans_.empty()) return nullptr;
  const auto found = bans_.find(std::string(device.id()));
  return found == bans_.end() || found->second.over(now_us) ? nullptr : &found->second;
}

}  // namespace ringgate::jt808
