// Messages to terminals, whatever their size. A body of more than 1023 bytes leaves in parts with
// consecutive serials (JT/T 808-2013 4.4.3, 7.12), as fast as the terminal takes them, and is kept
// for a while, so that parts can be sent again byte for byte when the terminal asks (0x0005,
// JT/T 808-2019 8.6) or does not answer. One per shard; used only there.
//
// Every part is a frame-down record of its own and leaves after that record is durable. A message
// that fits one frame is written at once and is not logged here: its sender logs what it intends.
#pragma once

#include <list>
#include <memory>
#include <vector>

#include "engine/net/links.hpp"
#include "engine/observe/counter.hpp"
#include "protocols/jt808/codec/writer.hpp"
#include "protocols/jt808/limits.hpp"
#include "protocols/jt808/terminal_state.hpp"
#include "protocols/jt808/tracer.hpp"
#include "storage/log/writer.hpp"

namespace ringgate::jt808 {

using SharedBody = std::shared_ptr<const std::vector<std::uint8_t>>;

// Frames that a body of so many bytes needs.
constexpr std::uint32_t parts_of(std::size_t body_size) {
  return body_size <= body_size_max
             ? 1
             : static_cast<std::uint32_t>((body_size + body_size_max - 1) / body_size_max);
}
static_assert(parts_of(downlink_body_max) <= 0xffff);

// How a message went out: all its frames have serials from first_serial on (mod 65536). A terminal
// answers with the serial of the last part or of the first: last_serial() and first_serial are both
// seen.
struct Sent {
  std::uint16_t first_serial = 0;
  std::uint16_t parts = 0;  // frames; 0: nothing was written (too long, or too much is being sent)

  bool ok() const { return parts != 0; }
  std::uint16_t last_serial() const {
    return static_cast<std::uint16_t>(first_serial + parts - 1);
  }
  bool has(std::uint16_t serial) const {
    return static_cast<std::uint16_t>(serial - first_serial) < parts;
  }
};

class Downlink final : public shard::TimerHandler {
 public:
  Downlink(net::Links& links, log::Writer& log, observe::CounterGroup& counters);
  ~Downlink() override;

  // Is shown every frame that is written here.
  void set_tracer(Tracer& tracer) { tracer_ = &tracer; }

  // Sends to the terminal that is authenticated on `link` (its peer; serials are reserved in its
  // state). Call links.logged() with the intent's position before: nothing leaves above it. Also
  // outside of on_bytes.
  Sent write(net::Link& link, TerminalState& state, const DeviceKey& device,
             std::uint16_t message_id, const SharedBody& body);
  // The same bytes once more, for a terminal that did not answer. `sent`, `body`: of write().
  // False: nothing was written.
  bool write_again(net::Link& link, TerminalState& state, const DeviceKey& device,
                   std::uint16_t message_id, const SharedBody& body, Sent sent);
  // Whether parts of the message still wait for the terminal to take others: the time for its
  // answer has not begun.
  bool in_progress(const DeviceKey& device, Sent sent) const;

  // 0x0005: writes the parts that `body` asks for. False: they are not kept (any more), or the body
  // makes no sense.
  bool on_resend_request(net::Link& link, const DeviceKey& device, Bytes body);

  void on_timer() override;

  std::size_t kept_count() const { return kept_.size(); }

 private:
  // A long message.
  struct Kept {
    DeviceKey device;
    LinkId link;
    Peer peer;
    std::uint16_t message_id = 0;
    Sent sent;
    std::uint32_t next = 0;    // part (from 0) that is written next; sent.parts: none
    std::uint32_t logged = 0;  // parts that have a record
    std::vector<std::uint16_t> again;  // part numbers (from 1) that were asked for
    std::vector<bool> asked;           // by part number; empty: none. What is in `again`, found
                                       // at once however often a terminal asks for the same
    std::uint32_t resent = 0;
    SharedBody body;
    MonoNs expires_ns = 0;

    bool idle() const { return next == sent.parts && again.empty(); }
  };
  using List = std::list<Kept>;

  void write_frame_of(net::Link& link, const Peer& peer, const DeviceKey& device,
                      std::uint16_t message_id, std::uint16_t serial, Bytes body);
  void finish(net::Link& link, const DeviceKey& device, FrameWriter& frame);
  bool write_part(net::Link& link, Kept& kept, std::uint32_t part);
  void pump(Kept& kept);
  Kept* keep(net::Link& link, const Peer& peer, const DeviceKey& device,
             std::uint16_t message_id, const SharedBody& body, Sent sent);
  List::iterator drop(List::iterator at);
  bool make_room(std::size_t bytes);
  void arm();

  net::Links& links_;
  log::Writer& log_;
  Tracer* tracer_ = nullptr;
  shard::Timer timer_{*this};
  List kept_;  // the oldest first
  std::uint64_t bytes_ = 0;
  observe::Counter parts_;
  observe::Counter resent_;
};

}  // namespace ringgate::jt808
