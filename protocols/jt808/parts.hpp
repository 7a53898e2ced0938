// Messages that come in parts, as the session of one shard handles them: reassembly with its clock,
// requests for what is missing, the record of the whole. Lives on its shard.
//
// Each part is logged and acknowledged as it comes. When the last one is there the whole is logged
// too (flag_whole), before that part's acknowledgement may leave: a terminal whose parts were all
// acknowledged has its whole message in the log.
#pragma once

#include <vector>

#include "engine/net/links.hpp"
#include "engine/observe/logger.hpp"
#include "protocols/jt808/codec/whole.hpp"
#include "protocols/jt808/reassembly.hpp"
#include "protocols/jt808/terminal_state.hpp"
#include "protocols/jt808/tracer.hpp"
#include "storage/log/writer.hpp"

namespace ringgate::jt808 {

// A message as it stands for its parts (codec/whole.hpp).
struct Whole {
  Header header{};
  std::vector<std::uint8_t> frame;  // header and body; empty: not whole
  std::uint16_t last_serial = 0;    // of the part that completed it

  Bytes body() const { return body_of(frame, header); }
};

// The whole of one frame: what an encrypted one says.
Whole whole_of(const Header& header, Bytes body);

class Parts final : public Reassembly::Listener, public shard::TimerHandler {
 public:
  Parts(net::Links& links, log::Writer& log, device::DeviceTable& devices,
        observe::CounterGroup& counters, observe::LogSource& logs);
  ~Parts() override;
  // Is shown what is written here.
  void set_tracer(Tracer& tracer) { tracer_ = &tracer; }

  // jt808.part_timeout, jt808.part_requests.
  void set_options(MonoNs timeout_ns, std::uint32_t requests);

  // Bytes beside the part itself that log.has_room() must find before take() and store_whole().
  std::size_t log_room(device::DeviceSlot slot, const Header& header, Bytes body) const;
  // `header.fragment()` must hold.
  PartVerdict take(device::DeviceSlot slot, const Header& header, Bytes body, Whole& whole);

  // Logs a whole message; returns the position to wait for, or 0 where nothing was written. One
  // that is longer than a record leaves a note of its size and parts.
  Position store_whole(LinkId link, device::DeviceSlot slot, const Whole& whole,
                       std::uint16_t parts);

  void on_given_up(const Reassembly::Message& message, GiveUp why) override;
  void on_timer() override;

  const Reassembly& reassembly() const { return reassembly_; }

 private:
  std::size_t whole_max() const;  // bytes of a frame that fits a record
  void ask(const Reassembly::Message& message);
  void arm();
  Position note(LinkId link, const DeviceKey& device, std::uint16_t message_id,
                std::uint16_t serial, std::string_view text);

  net::Links& links_;
  log::Writer& log_;
  device::DeviceTable& devices_;
  observe::LogSource& logs_;
  Tracer* tracer_ = nullptr;
  observe::Family<PartVerdict> parts_;
  observe::Family<GiveUp> given_up_;
  observe::Counter requests_;
  observe::Counter wholes_;
  observe::Counter too_long_;
  observe::Gauge held_bytes_;
  ReassemblyOptions options_;
  Reassembly reassembly_;
  shard::Timer timer_{*this};
};

}  // namespace ringgate::jt808
