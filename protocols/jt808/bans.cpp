#include "protocols/jt808/bans.hpp"

#include "engine/base/utf8.hpp"

namespace ringgate::jt808 {

std::string_view cut_reason(std::string_view text) {
  if (text.size() <= ban_reason_max) return text;
  std::size_t at = 0;
  while (at < ban_reason_max) {
    const std::size_t length = utf8_length(text, at);
    const std::size_t step = length == 0 ? 1 : length;
    if (at + step > ban_reason_max) break;
    at += step;
  }
  return text.substr(0, at);
}

bool Bans::put(const DeviceKey& device, Ban ban, WallUs now_us) {
  ban.by.resize(cut_reason(ban.by).size());
  ban.why.resize(cut_reason(ban.why).size());
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
