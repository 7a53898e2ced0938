// What replay must know of a protocol: how a device signs in, how a stored frame goes on the wire,
// and which answer belongs to which frame. Pure; one thread.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/bytes.hpp"
#include "storage/event/record_view.hpp"

namespace ringgate::log_tool {

// By what a frame and its answer find each other. Without a serial: the oldest of that message.
struct AnswerKey {
  std::uint32_t message = 0;
  std::optional<std::uint32_t> serial;
  bool fits(const AnswerKey& frame) const {
    return message == frame.message && (!serial || serial == frame.serial);
  }
};
struct ReplayAnswer {
  AnswerKey key;
  bool ok = false;
};

// One device on one connection at a time.
class ReplayTerminal {
 public:
  virtual ~ReplayTerminal() = default;

  // A connection is up; `next` is the stored frame that will be sent first. What to say goes to
  // `out`.
  virtual void connected(Bytes next, std::string& out) = 0;
  // Whether frames may be sent now.
  virtual bool ready() const = 0;
  // Not empty: it was told that it may not sign in.
  virtual const std::string& refusal() const = 0;
  // Puts a stored frame on the wire. The key of its answer; nothing where it gets none.
  virtual std::optional<AnswerKey> send(Bytes frame, std::string& out) = 0;
  // Takes what has come from the front of `in`; says how much. May have more to say in `out`.
  virtual std::size_t receive(Bytes in, std::vector<ReplayAnswer>& answers, std::string& out) = 0;
};

class ReplayProtocol {
 public:
  virtual ~ReplayProtocol() = default;
  virtual std::string_view name() const = 0;
  virtual Namespace ns() const = 0;
  // Whether a frame of a device is sent again. Not so: what signs in and out, which a new gateway
  // has to be told anew.
  virtual bool replays(const event::RecordView& record) const = 0;
  virtual std::unique_ptr<ReplayTerminal> terminal(std::string_view device) const = 0;
};

const ReplayProtocol& replay_jt808();
const ReplayProtocol& replay_jsonl();
// All of them.
inline std::vector<const ReplayProtocol*> replay_protocols() {
  return {&replay_jt808(), &replay_jsonl()};
}

}  // namespace ringgate::log_tool
