#include "protocols/jt808/device_folder.hpp"

#include "protocols/jt808/codec/ids.hpp"
#include "protocols/jt808/codec/messages.hpp"
#include "protocols/jt808/codec/whole.hpp"
#include "protocols/jt808/session_events.hpp"

namespace ringgate::jt808 {

namespace {

bool has_positions(std::uint16_t message) {
  return message == id::location || message == id::location_batch;
}

void take_positions(const Header& header, Bytes body, WallUs now_us, LastState& last) {
  if (header.message_id == id::location) {
    Location location;
    if (decode_location(body, location)) take_position(last, location, now_us);
  } else if (header.message_id == id::location_batch) {
    for_each_location(body, [&](const Location& location, Bytes, std::size_t) {
      take_position(last, location, now_us);
    });
  }
}

}  // namespace

DeviceFolder::Sight DeviceFolder::look(const event::RecordView& record) {
  if (record.kind == event::RecordKind::session) {
    if (record.message == event_offline) registered_2011_.erase(record.link);
    return record.message == event_online ? Sight::changes : Sight::nothing;
  }
  if (record.kind != event::RecordKind::frame_up) return Sight::nothing;
  if (record.whole()) return has_positions(record.message) ? Sight::changes : Sight::nothing;
  // Anybody may register; every other frame that is logged is of a terminal that has authenticated.
  if (record.message != id::registration) return Sight::makes_known;
  note_registration(record);
  return Sight::changes;
}

void DeviceFolder::note_registration(const event::RecordView& record) {
  Header header;
  Registration fields;
  if (parse_stored(record.payload, header) != BadReason::none ||
      !decode_registration(header, body_of(record.payload, header), fields)) {
    return;
  }
  if (registered_2011_.size() >= registered_max) registered_2011_.clear();
  registered_2011_[record.link] = fields.layout == Registration::Layout::v2011;
}

void DeviceFolder::fold(const event::RecordView& record, device::Device& device) {
  if (record.kind == event::RecordKind::session) {
    device.online_since_us = static_cast<std::uint64_t>(record.wall_us);
    return;
  }
  fold_frame(record, device);
}

// As Session::registration, authentication, handle_known, take_part and take_whole do.
void DeviceFolder::fold_frame(const event::RecordView& record, device::Device& device) {
  Header header;
  if (parse_stored(record.payload, header) != BadReason::none) return;
  const Bytes body = body_of(record.payload, header);
  LastState& last = device.last_state<LastState>();
  if (record.whole()) return take_positions(header, body, record.wall_us, last);
  device.heard_before(fingerprint(header, body));
  if (header.message_id == id::registration) return;
  device.last_heard_us = static_cast<std::uint64_t>(record.wall_us);
  if (header.message_id == id::authentication) {
    last.version = header.version == Version::v2019 ? LastState::v2019 : LastState::v2013;
    const auto registered = registered_2011_.find(record.link);
    if (registered != registered_2011_.end()) last.layout_2011 = registered->second ? 1 : 0;
    return;
  }
  ++device.frames;
  if (!header.fragment() && !header.encrypted()) {
    take_positions(header, body, record.wall_us, last);
  }
}

}  // namespace ringgate::jt808
