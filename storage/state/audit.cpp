#include "storage/state/audit.hpp"

#include "engine/base/json_writer.hpp"
#include "engine/base/utf8.hpp"
#include "storage/state/limits.hpp"
#include "storage/state/shard_host.hpp"

namespace ringgate::state {

bool record_deed(log::Writer& log, const Deed& deed) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("action").text(deed.action);
  json.key("by").text(cut_utf8(deed.by, reason_size_max));
  for (const auto& [key, value] : deed.details) {
    json.key(key).text(cut_utf8(value, reason_size_max));
  }
  json.end_object();
  const bool fits = log::record_header_size + text.size() <= log.record_max();
  return fits && log.has_room(text.size()) &&
         log.append({.kind = log::Kind::audit}, as_bytes(text)) != 0;
}

void log_lost_deed(observe::LogSource& logs, const Deed& deed) {
  logs.error("audit record lost: the log takes nothing now",
             {{"action", deed.action}, {"by", deed.by}});
}

void AuditTrail::note(Deed deed) {
  const auto one = std::make_shared<Deed>(std::move(deed));
  if (waiting_.size() >= deeds_waiting_max) return log_lost_deed(logs_, *one);
  if (!waiting_.empty() || !send(one)) waiting_.push_back(one);
}

bool AuditTrail::pump() {
  while (!waiting_.empty() && send(waiting_.front())) waiting_.pop_front();
  return waiting_.empty();
}

bool AuditTrail::send(const std::shared_ptr<Deed>& deed) {
  const auto recorded = std::make_shared<bool>(false);
  auto errand = shard::make_errand(
      [deed, recorded](shard::ErrandHost& host, shard::ErrandTicket ticket) {
        *recorded = record_deed(ShardHost::of(host).log(), *deed);
        ticket.done();
      },
      [deed, recorded, logs = &logs_](bool) {
        if (!*recorded) log_lost_deed(*logs, *deed);
      });
  switch (post_.send(0, errand)) {
    case shard::Posted::ok:
      return true;
    case shard::Posted::busy:
      return false;
    case shard::Posted::stopped:
      log_lost_deed(logs_, *deed);
      return true;
  }
  return true;
}

}  // namespace ringgate::state
