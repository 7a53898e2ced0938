// JT/T 808 over TCP and UDP as the platform speaks it: registration, authentication, reports, and
// the answer to each. One per shard; lives on it. A terminal's link moves to the shard that is its
// home before it registers or authenticates; from then on its frames are handled, logged and
// answered there.
//
// Life: built after the shard's log writer and device table, before its first turn.
#pragma once

#include <memory>
#include <optional>
#include <type_traits>

#include "engine/config/settings.hpp"
#include "engine/device/device_table.hpp"
#include "engine/device/talkers.hpp"
#include "engine/net/links.hpp"
#include "engine/observe/logger.hpp"
#include "protocols/jt808/allowance.hpp"
#include "protocols/jt808/authenticator.hpp"
#include "protocols/jt808/codec/header.hpp"
#include "protocols/jt808/codec/location.hpp"
#include "protocols/jt808/codec/writer.hpp"
#include "protocols/jt808/commands.hpp"
#include "protocols/jt808/counters.hpp"
#include "protocols/jt808/downlink.hpp"
#include "protocols/jt808/last_state.hpp"
#include "protocols/jt808/media.hpp"
#include "protocols/jt808/oversight.hpp"
#include "protocols/jt808/parts.hpp"
#include "protocols/jt808/rsa.hpp"
#include "protocols/jt808/terminal_state.hpp"
#include "storage/log/writer.hpp"

namespace ringgate::jt808 {

// Who may register and authenticate (jt808.admission).
enum class Admission : std::uint8_t {
  open,      // whoever asks
  registry,  // whose phone is registered and enabled
};

struct SessionOptions {
  Admission admission = Admission::open;
  bool commit = true;  // jt808.durability
  bool log_heartbeats = false;
  std::uint32_t idle_timeout_ms = 0;
  std::uint32_t auth_timeout_ms = 0;
  std::uint32_t max_bad_frames = 0;
  MonoNs bad_frame_window_ns = 0;
  CommandOptions commands = {};
  MonoNs part_timeout_ns = 5 * ns_per_s;
  std::uint32_t part_requests = 5;
  std::string rsa_key_file = {};  // empty: none
  RsaPadding rsa_padding = RsaPadding::pkcs1;
};
SessionOptions session_options(const config::Settings& settings);

class Session final : public net::Protocol {
 public:
  Session(net::Links& links, log::Writer& log, device::DeviceTable& devices,
          const Authenticator& authenticator, observe::CounterGroup& counters,
          observe::LogSource& logs, const SessionOptions& options);

  std::string_view name() const override { return "jt808"; }
  void on_settings(const config::Settings& settings) override;
  void on_open(net::Link& link) override;
  std::size_t on_bytes(net::Link& link, Bytes bytes) override;
  bool is_partial_frame(Bytes left) const override { return jt808::is_partial_frame(left); }
  void on_close(net::Link& link, net::CloseReason reason) override;
  ShardIndex datagram_home(Bytes datagram) override;
  void on_datagram_rest(net::Link& link, Bytes rest) override;
  std::size_t datagram_size(Bytes replies) const override;

  const Parts& parts() const { return parts_; }
  // Where media goes; wiring, before the first turn.
  void use_uploads(blob::Uploads& uploads) { media_.use(uploads); }
  // Who else is told which terminals come and go; wiring, before the first turn.
  void use_presence(event::PresenceWatcher& watcher) { presence_.push_back(&watcher); }
  // Bans and registrations that outlive the process; wiring, before the first turn.
  void use_state(state::Store& state) { oversight_.use(state); }
  bool wants_registration() const { return options_.admission == Admission::registry; }
  // Writes to terminals, in parts where a message is long.
  Downlink& downlink() { return downlink_; }
  Commands& commands() { return commands_; }
  const device::Talkers& talkers() const { return talkers_; }
  // Bans, watchers, bad frames.
  Oversight& oversight() { return oversight_; }

 private:
  using State = TerminalState;
  // Whether a frame may be taken off the link.
  enum class Taken : bool { no, yes };
  // A frame with its header, on its way through the session.
  struct Incoming {
    Bytes frame;
    Header header;
    Bytes body() const { return body_of(frame, header); }
  };

  Taken handle(net::Link& link, Bytes frame);
  Taken handle_frame(net::Link& link, const Incoming& in);
  Taken handle_watched(net::Link& link, const Incoming& in);
  Taken handle_known(net::Link& link, State& state, const Incoming& in);
  Taken handle_stranger(net::Link& link, State& state, const Incoming& in);
  Taken registration(net::Link& link, State& state, const Incoming& in);
  Taken authentication(net::Link& link, State& state, const Incoming& in);
  bool is_late_copy(net::Link& link, const device::Device& device);
  bool at_home(net::Link& link, State& state, const DeviceKey& key);
  void attach(net::Link& link, State& state, device::DeviceSlot slot, const Incoming& in);
  void detach(net::Link& link, State& state, std::string_view why);
  Taken take_part(net::Link& link, State& state, const Incoming& in);
  std::optional<AckResult> take_whole(net::Link& link, State& state, const Whole& whole);
  bool opens(const Incoming& in) const;
  bool decrypt(State& state, Incoming& in, std::vector<std::uint8_t>& plain);
  Encrypted encrypted_outcome(const Header& came, const Header& opened) const;
  void reply_key(net::Link& link, State& state);
  AckResult resend(net::Link& link, const device::Device& device, Bytes body);
  AckResult take_message(State& state, const Incoming& in);
  AckResult take_compressed(State& state, Bytes body);
  bool take_answer(device::DeviceSlot slot, const Incoming& in);
  void take_position(device::Device& device, const Location& location);

  // Logs the frame; replies after it wait for its position. False: the log takes nothing now.
  bool store(net::Link& link, std::string_view device, const Incoming& in, bool duplicate);
  void store_session(net::Link& link, std::string_view device, std::uint16_t event,
                     std::string_view text);
  Taken not_stored(net::Link& link, State& state, const Incoming& in);
  void reply_time(net::Link& link, State& state, const Peer& peer);
  void ack(net::Link& link, State& state, const Peer& peer, const Header& header, AckResult result);
  void refuse(net::Link& link, State& state, const Incoming& in, Refusal why, AckResult result);
  Taken refuse_entry(net::Link& link, State& state, const Incoming& in, Refusal why);
  std::optional<Refusal> barred(const DeviceKey& key) const;
  bool is_other_terminal(const DeviceKey& key, Bytes terminal_id) const;
  void bad(net::Link& link, BadReason reason);
  void bad_body(const net::Link& link, const Incoming& in);
  void count_bad(net::Link& link);

  net::Links& links_;
  log::Writer& log_;
  device::DeviceTable& devices_;
  device::Talkers talkers_;
  const Authenticator& authenticator_;
  Counters counters_;
  observe::LogSource& logs_;
  SessionOptions options_;
  std::unique_ptr<std::uint8_t[]> scratch_;
  Oversight oversight_;
  Downlink downlink_;
  Commands commands_;
  std::vector<event::PresenceWatcher*> presence_;
  Parts parts_;
  Media media_;
  std::unique_ptr<RsaKey> rsa_;  // null: none is configured
  Allowance dear_;
};

}  // namespace ringgate::jt808
