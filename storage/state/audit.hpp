// Audit records of what concerns no device: tokens, log-ins, settings, sinks. What is done to a
// device leaves its records through its gate (storage/event/device_gate.hpp).
//
// They are of namespace none, without a device, in the stream of shard 0. Best effort, as the
// gates' are: a log that takes nothing keeps nobody from revoking a token; then the gateway's own
// log has an error that says what is not in the records.
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "engine/observe/logger.hpp"
#include "engine/shard/errand.hpp"
#include "storage/log/writer.hpp"

namespace ringgate::state {

// Deeds that wait for their shard to take them: what people and their programs do in the moments in
// which it is busy.
constexpr std::size_t deeds_waiting_max = 1024;

struct Deed {
  std::string action;  // "token create"
  std::string by;      // who
  // What it was done to: {"token", "ops"}. Keys are not "action" or "by".
  std::vector<std::pair<std::string, std::string>> details = {};
};

// Appends its record, each text cut to reason_size_max bytes; on the shard. False: the log takes
// nothing now.
bool record_deed(log::Writer& log, const Deed& deed);
// The error in the gateway's own log where it could not be recorded.
void log_lost_deed(observe::LogSource& logs, const Deed& deed);

// A control thread's way to leave such records. Belongs to that thread, as its post does.
class AuditTrail {
 public:
  AuditTrail(shard::ErrandPost& post, observe::LogSource& logs) : post_(post), logs_(logs) {}

  // Sends it on its way; its order among others is kept.
  void note(Deed deed);
  // Sends what its shard had no room for. False: something waits still; call again in some
  // milliseconds.
  bool pump();

 private:
  // True: it is on its way, or will never be.
  bool send(const std::shared_ptr<Deed>& deed);

  shard::ErrandPost& post_;
  observe::LogSource& logs_;
  std::deque<std::shared_ptr<Deed>> waiting_;
};

}  // namespace ringgate::state
