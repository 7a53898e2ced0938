// Terminals that may not register or authenticate. One per shard, for the terminals at home there;
// used only there. Asked only when a terminal registers or authenticates.
#pragma once

#include <string>
#include <string_view>
#include <unordered_map>

#include "engine/base/clock.hpp"
#include "engine/base/ids.hpp"
#include "protocols/jt808/limits.hpp"

namespace ringgate::jt808 {

// At most ban_reason_max bytes of what somebody gave as a reason, cut at a whole character.
std::string_view cut_reason(std::string_view text);

struct Ban {
  WallUs since_us = 0;
  WallUs until_us = 0;  // 0: for good
  std::string by;
  std::string why;

  bool over(WallUs now_us) const { return until_us != 0 && until_us <= now_us; }
};

class Bans {
 public:
  // False: the table is full of bans that are not over. Replaces an older ban.
  bool put(const DeviceKey& device, Ban ban, WallUs now_us);
  // False: it was not banned.
  bool remove(const DeviceKey& device, WallUs now_us);
  // Null: not banned (any more).
  const Ban* find(const DeviceKey& device, WallUs now_us) const;
  std::size_t size() const { return bans_.size(); }

  // visit(phone, ban) for bans that are not over.
  template <class Visit>
  void for_each(WallUs now_us, Visit&& visit) const {
    for (const auto& [phone, ban] : bans_) {
      if (!ban.over(now_us)) visit(std::string_view(phone), ban);
    }
  }

 private:
  std::unordered_map<std::string, Ban> bans_;  // by phone
};

}  // namespace ringgate::jt808
