#include "storage/log/holds.hpp"

namespace ringgate::log {

void Holds::set(std::string_view name, const Cursor& cursor) {
  const std::lock_guard lock(mutex_);
  holds_.insert_or_assign(std::string(name), cursor);
}

void Holds::release(std::string_view name) {
  const std::lock_guard lock(mutex_);
  const auto found = holds_.find(name);
  if (found != holds_.end()) holds_.erase(found);
}

std::vector<std::string> Holds::holders(const StreamId& stream, Position end) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string> out;
  for (const auto& [name, cursor] : holds_) {
    const auto start = cursor.start_of(stream);
    if (start && *start < end) out.push_back(name);
  }
  return out;
}

}  // namespace ringgate::log
