#include "protocols/jt808/tracer.hpp"

#include "protocols/jt808/codec/framing.hpp"

namespace ringgate::jt808 {

bool Tracer::watch(const DeviceKey& device, event::TraceWatcher* watcher) {
  Watched* free_place = nullptr;
  for (Watched& one : watched_) {
    if (one.watcher == nullptr) {
      if (free_place == nullptr) free_place = &one;
      continue;
    }
    if (!(one.device == device)) continue;
    if (watcher != nullptr) return false;
    if (current_ == one.watcher) current_ = nullptr;
    one.watcher = nullptr;
    --count_;
    return true;
  }
  if (watcher == nullptr) return true;
  if (free_place == nullptr) return false;
  *free_place = {device, watcher};
  ++count_;
  return true;
}

event::TraceWatcher* Tracer::watcher_of(std::string_view phone) const {
  for (const Watched& one : watched_) {
    if (one.watcher != nullptr && one.device.id() == phone) return one.watcher;
  }
  return nullptr;
}

void Tracer::frame_begins(const net::Link& link, const Header& header) {
  current_ = watcher_of(header.phone.text());
  current_link_ = &link;
  out_before_ = link.out_end;
}

void Tracer::frame_ends(const net::Link& link, Bytes frame, bool taken) {
  event::TraceWatcher* const watcher = std::exchange(current_, nullptr);
  current_link_ = nullptr;
  if (watcher == nullptr) return;
  if (taken) watcher->on_frame(true, now(), frame);
  wire_.clear();
  net::Links::written_since(link, out_before_, wire_);
  show_down(*watcher, wire_);
}

void Tracer::show_down(event::TraceWatcher& watcher, Bytes wire) {
  scratch_.resize(scratch_size);
  while (!wire.empty()) {
    const NextFrame next = next_frame(wire, scratch_);
    wire = wire.subspan(next.consumed);
    if (next.kind == NextFrame::Kind::frame) watcher.on_frame(false, now(), next.frame);
    if (next.kind == NextFrame::Kind::need_more) break;
  }
}

void Tracer::show_wire(const net::Link& link, const DeviceKey& device, Bytes wire) {
  if (current_link_ == &link) return;
  event::TraceWatcher* const watcher = watcher_of(device.id());
  if (watcher != nullptr) show_down(*watcher, wire);
}

void Tracer::sent(const net::Link& link, const DeviceKey& device, Bytes frame) {
  if (current_link_ == &link) return;
  event::TraceWatcher* const watcher = watcher_of(device.id());
  if (watcher != nullptr) watcher->on_frame(false, now(), frame);
}

}  // namespace ringgate::jt808
