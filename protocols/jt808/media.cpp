#include "protocols/jt808/media.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "engine/base/crc32c.hpp"
#include "engine/base/json_writer.hpp"
#include "protocols/jt808/codec/location.hpp"
#include "protocols/jt808/codec/writer.hpp"
#include "protocols/jt808/last_state.hpp"
#include "protocols/jt808/terminal_state.hpp"

namespace ringgate::jt808 {

namespace {

using blob::Content;

constexpr std::string_view outcome_names[] = {"stored",  "repeated", "malformed",
                                              "refused", "failed",   "logged"};
constexpr observe::MetricSpec media_received{.name = "ringgate_jt808_media_total",
                                             .help = "Media uploads (0x0801), by what became of "
                                                     "them.",
                                             .label = "outcome",
                                             .values = outcome_names};

constexpr std::size_t fields_size = 8;  // id, type, format, event, channel

Content declared(std::uint8_t format) {
  constexpr Content formats[] = {Content::jpeg, Content::tiff, Content::mp3, Content::wav,
                                 Content::asf};
  return format < std::size(formats) ? formats[format] : Content::unknown;
}

Content found_at(Bytes body, std::size_t at) {
  if (at >= body.size()) return Content::unknown;
  return blob::recognise(body.subspan(at).first(std::min(body.size() - at, blob::magic_bytes)));
}

// Magic that is long enough not to come about in a position by chance.
bool is_sure(Content content) {
  return content == Content::jpeg || content == Content::png || content == Content::tiff ||
         content == Content::wav || content == Content::asf || content == Content::mp4;
}

// Where the data begins. The standard's place wins where a file begins there; else the first place
// where one surely does; else the standard's place, if the body is long enough to have it.
std::size_t data_offset(Bytes body, std::uint8_t format) {
  constexpr std::size_t standard = fields_size + location_base_size;
  const Content there = found_at(body, standard);
  if (there != Content::unknown && there != Content::text) return standard;
  for (std::size_t at = fields_size; at < standard && at < body.size(); ++at) {
    const Content content = found_at(body, at);
    if (is_sure(content)) return at;
    if (at == fields_size && content != Content::unknown && content == declared(format)) return at;
  }
  return body.size() >= standard ? standard : fields_size;
}

std::string number(std::uint64_t value) { return fmt::format("{}", value); }

}  // namespace

bool decode_media(Bytes body, MediaBody& out) {
  if (body.size() < fields_size) return false;
  out.id = load_be32(body.data());
  out.type = body[4];
  out.format = body[5];
  out.event = body[6];
  out.channel = body[7];
  const std::size_t at = data_offset(body, out.format);
  const bool standard = at == fields_size + location_base_size;
  out.position = standard ? body.subspan(fields_size, location_base_size) : Bytes{};
  out.data = body.subspan(at);
  return true;
}

Media::Media(net::Links& links, device::DeviceTable& devices, observe::CounterGroup& counters,
             observe::LogSource& logs)
    : links_(links), devices_(devices), logs_(logs),
      outcomes_(counters.family<MediaOutcome>(media_received)) {}

Media::~Media() {
  for (const Pending& pending : pending_) {
    uploads_->discard(pending.upload);
    links_.budget().release(pending.bytes);
  }
}

blob::UploadInfo Media::describe(net::Link& link, device::DeviceSlot slot,
                                 const MediaBody& media) {
  blob::UploadInfo info;
  info.device = devices_.at(slot).key;
  info.link = link.id().packed();
  info.message = id::media_upload;
  info.size_bytes = media.data.size();
  info.declared = declared(media.format);
  info.facts = {{"multimedia_id", number(media.id)},
                {"type", number(media.type)},
                {"format", number(media.format)},
                {"event", number(media.event)},
                {"channel", number(media.channel)}};
  Location location;
  if (!media.position.empty() && decode_location(media.position, location)) {
    std::string text;
    JsonWriter json(text);
    json.begin_object();
    json.key("latitude_deg").number(location.latitude_deg_x1e6 / 1e6, 6);
    json.key("longitude_deg").number(location.longitude_deg_x1e6 / 1e6, 6);
    json.key("time_unix_s");
    location.time_unix_s == time_invalid ? json.null() : json.integer(location.time_unix_s);
    json.key("raw").hex(media.position);
    json.end_object();
    info.facts.emplace_back("location", text);
  }
  // Ids begin anew when a terminal does: only the same bytes are the same upload.
  info.resume_key = fmt::format("jt808 media {} {} {:08x}", info.device.id(), media.id,
                                crc32c(media.id, media.data));
  return info;
}

void Media::take(net::Link& link, device::DeviceSlot slot, Bytes body, std::uint16_t serial) {
  MediaBody media;
  if (!decode_media(body, media) || media.data.empty()) {
    outcomes_.add(MediaOutcome::malformed);
    return refuse(slot, serial);
  }
  if (uploads_ == nullptr) {
    outcomes_.add(MediaOutcome::logged);
    return answer(slot, media.id, serial);
  }
  if (pending_.size() >= media_pending_max ||
      pending_bytes_ + media.data.size() > media_pending_bytes_max) {
    outcomes_.add(MediaOutcome::refused);
    return refuse(slot, serial);
  }
  const blob::Uploads::Begun begun =
      uploads_->put(describe(link, slot, media), {media.data.begin(), media.data.end()}, *this);
  if (!begun.id.valid()) {
    outcomes_.add(MediaOutcome::refused);
    logs_.warn("media refused", {{"device", devices_.at(slot).key.id()},
                                 {"multimedia_id", media.id},
                                 {"bytes", media.data.size()},
                                 {"why", blob::name_of(begun.failure)}});
    return refuse(slot, serial);
  }
  pending_.push_back({begun.id, slot, media.id, serial, media.data.size(), begun.already});
  pending_bytes_ += media.data.size();
  links_.budget().charge(media.data.size());
}

std::vector<Media::Pending>::iterator Media::find(blob::UploadId id) {
  return std::find_if(pending_.begin(), pending_.end(),
                      [&](const Pending& pending) { return pending.upload == id; });
}

Media::Pending Media::end(std::vector<Pending>::iterator at) {
  RG_CHECK(at != pending_.end());
  const Pending pending = *at;
  pending_bytes_ -= pending.bytes;
  links_.budget().release(pending.bytes);
  pending_.erase(at);
  return pending;
}

void Media::on_stored(blob::UploadId id, const blob::Stored& stored) {
  const Pending pending = end(find(id));
  outcomes_.add(pending.repeated ? MediaOutcome::repeated : MediaOutcome::stored);
  if (stored.mismatch && logs_.enabled(observe::Level::debug)) {
    logs_.debug("media is not what it is declared as",
                {{"device", devices_.at(pending.device).key.id()}, {"blob", stored.id}});
  }
  answered_[answered_at_++ % answered_.size()] = {pending.device, pending.media_id,
                                                  pending.serial};
  answer(pending.device, pending.media_id, pending.serial);
}

void Media::on_repeated_part(device::DeviceSlot slot, const Header& header) {
  if (header.packet_number != header.packet_total) return;
  const auto first = static_cast<std::uint16_t>(header.serial - (header.packet_number - 1));
  for (const Answered& at : answered_) {
    const auto part = static_cast<std::uint16_t>(at.serial - first);
    if (at.device != slot || part >= header.packet_total) continue;
    return answer(slot, at.media_id, at.serial);
  }
}

void Media::on_failed(blob::UploadId id, blob::Failure why) {
  const Pending pending = end(find(id));
  outcomes_.add(MediaOutcome::failed);
  logs_.warn("media not stored", {{"device", devices_.at(pending.device).key.id()},
                                  {"multimedia_id", pending.media_id},
                                  {"bytes", pending.bytes},
                                  {"why", blob::name_of(why)}});
  refuse(pending.device, pending.serial);
}

// On whatever link the terminal has now; one that is offline sends again, and is answered then.
void Media::answer(device::DeviceSlot slot, std::uint32_t media_id, std::uint16_t serial) {
  device::Device& device = devices_.at(slot);
  net::Link* link = links_.find(device.link);
  if (link == nullptr || link->state != net::LinkState::open) return;
  auto& state = link->session<TerminalState>();
  std::uint8_t* room = links_.reply_room(*link, 128);
  const std::size_t size = write_media_reply({room, 128}, state.peer, state.next_serial++,
                                             {.media_id = media_id,
                                              .layout_2011 = is_2011(device),
                                              .reply_serial = serial});
  links_.reply_done(*link, static_cast<std::uint32_t>(size));
  if (tracer_ != nullptr) tracer_->sent_wire(*link, devices_.at(slot).key, {room, size});
  links_.push(*link);
}

void Media::refuse(device::DeviceSlot slot, std::uint16_t serial) {
  net::Link* link = links_.find(devices_.at(slot).link);
  if (link == nullptr || link->state != net::LinkState::open) return;
  auto& state = link->session<TerminalState>();
  std::uint8_t* room = links_.reply_room(*link, ack_size_max);
  const std::size_t size = write_ack({room, ack_size_max}, state.peer, state.next_serial++, serial,
                                     id::media_upload, AckResult::failed);
  links_.reply_done(*link, static_cast<std::uint32_t>(size));
  if (tracer_ != nullptr) tracer_->sent_wire(*link, devices_.at(slot).key, {room, size});
  links_.push(*link);
}

}  // namespace ringgate::jt808
