// What a protocol implements to be plugged into listeners. One object per protocol and shard; all
// calls come on that shard's thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "engine/base/bytes.hpp"
#include "engine/base/ids.hpp"
#include "engine/config/settings.hpp"
#include "engine/net/link.hpp"

namespace ringgate::net {

// Of a datagram that begins with no frame.
constexpr ShardIndex no_home = 0xffff;

class Protocol {
 public:
  virtual ~Protocol() = default;
  virtual std::string_view name() const = 0;

  // Settings were reloaded; those whose keys are live or for new links may differ. Cold.
  virtual void on_settings(const config::Settings& settings) { static_cast<void>(settings); }

  // A new link; its session bytes are zero.
  virtual void on_open(Link& link) = 0;
  // A link that moved here from another shard with its session bytes.
  virtual void on_adopted(Link& link) { static_cast<void>(link); }

  // Bytes in order. Consumes whole frames, returns how many bytes; what is left is shown again in
  // front of what comes. Must stop after a frame once link.readable() is false, and consume
  // everything up to the beginning of an unfinished frame otherwise.
  virtual std::size_t on_bytes(Link& link, Bytes bytes) = 0;

  // Whether bytes that on_bytes left are the beginning of a frame, so that the frame time-out runs.
  virtual bool is_partial_frame(Bytes left) const { return !left.empty(); }

  // The link is no longer readable and goes; called exactly once per on_open / on_adopted unless it
  // moves. Replies held for it still leave where the reason allows.
  virtual void on_close(Link& link, CloseReason reason) = 0;

  // The peer has taken what was written as far as Links::ask_room says: write on, then push().
  virtual void on_writable(Link& link) { static_cast<void>(link); }

  // A frame that a link on another shard received for a device whose home is here: log it.
  // Returns the position to wait for, or 0 if it was not taken.
  virtual Position on_forwarded(LinkId origin, Bytes frame) {
    static_cast<void>(origin), static_cast<void>(frame);
    return 0;
  }
  // The answer to Links::forward or Links::defer, in frame order: write the reply. `taken`:
  // durable.
  virtual void on_ordered(Link& link, std::uint32_t cookie, bool taken) {
    static_cast<void>(link), static_cast<void>(cookie), static_cast<void>(taken);
  }

  // Datagrams, for listeners that have them -----------------------------------------------------

  // The shard that is home to the device whose frame a datagram begins with, or no_home.
  virtual ShardIndex datagram_home(Bytes datagram) {
    static_cast<void>(datagram);
    return no_home;
  }
  // What on_bytes has left of a datagram, though the link may be read: the beginning of a frame
  // whose rest will never come. It is not shown again.
  virtual void on_datagram_rest(Link& link, Bytes rest) {
    static_cast<void>(link), static_cast<void>(rest);
  }
  // How many of these reply bytes, which are whole replies, leave as the first datagram.
  virtual std::size_t datagram_size(Bytes replies) const { return replies.size(); }
};

}  // namespace ringgate::net
