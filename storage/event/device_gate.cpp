#include "storage/event/device_gate.hpp"

#include <iterator>

#include "engine/base/check.hpp"

namespace ringgate::event {

std::string_view name_of(CommandStatus status) {
  static constexpr std::string_view names[] = {"answered",  "refused",    "sent",
                                               "timed-out", "offline",    "unknown",
                                               "link-lost", "busy",       "not-stored",
                                               "unsupported", "expired",    "pending"};
  static_assert(std::size(names) == static_cast<std::size_t>(CommandStatus::count));
  RG_CHECK(status < CommandStatus::count);
  return names[static_cast<std::size_t>(status)];
}

}  // namespace ringgate::event
