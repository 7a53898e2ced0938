// Shows the frames of watched terminals, both ways, to whoever watches. One per shard; used only
// there. While nobody watches, a frame costs one branch.
//
// What is answered within a frame's handling is found in the link's own output, so that no answer
// needs a line of its own for it; what is sent at other times (commands) is told by sent().
#pragma once

#include <array>
#include <vector>

#include "engine/net/links.hpp"
#include "protocols/jt808/codec/header.hpp"
#include "protocols/jt808/limits.hpp"
#include "storage/event/device_gate.hpp"

namespace ringgate::jt808 {

class Tracer {
 public:
  explicit Tracer(net::Links& links) : links_(links) {}

  bool watching() const { return count_ != 0; }

  // Null ends it. False: somebody else watches, or too many are watched.
  bool watch(const DeviceKey& device, event::TraceWatcher* watcher);

  // Around the handling of a frame, in pairs. `taken`: the frame was handled; otherwise it is
  // shown again later.
  void frame_begins(const net::Link& link, const Header& header);
  void frame_ends(const net::Link& link, Bytes frame, bool taken);

  // A frame (as stored) that leaves for `device` on `link`. Within a frame's handling on that link
  // it says nothing: that finds it.
  void sent(const net::Link& link, const DeviceKey& device, Bytes frame);
  // The same as it goes on the wire; free while nobody watches.
  void sent_wire(const net::Link& link, const DeviceKey& device, Bytes wire) {
    if (watching()) show_wire(link, device, wire);
  }

 private:
  struct Watched {
    DeviceKey device;
    event::TraceWatcher* watcher = nullptr;
  };
  void show_wire(const net::Link& link, const DeviceKey& device, Bytes wire);
  void show_down(event::TraceWatcher& watcher, Bytes wire);
  event::TraceWatcher* watcher_of(std::string_view phone) const;
  WallUs now() const { return links_.shard().wall_now(); }

  net::Links& links_;
  std::array<Watched, watched_max> watched_;
  std::size_t count_ = 0;
  // The frame being handled.
  event::TraceWatcher* current_ = nullptr;
  const net::Link* current_link_ = nullptr;
  std::uint32_t out_before_ = 0;
  std::vector<std::uint8_t> wire_;
  std::vector<std::uint8_t> scratch_;
};

}  // namespace ringgate::jt808
