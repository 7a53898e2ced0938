// What a terminal does when it is told to: media, JT/T 1078 and T/JSATL 12. Clauses without a name
// are those of JT/T 808-2019.
#include <algorithm>
#include <cstdio>

#include "tools/load/terminal/limits.hpp"
#include "tools/load/terminal/terminal.hpp"

namespace ringgate::load {
namespace {

constexpr std::uint8_t adas_item = 0x64;
constexpr std::uint8_t dsm_item = 0x65;

// Cameras: four on the vehicle, one that looks ahead and one at the driver (T/JSATL 12-2017 4.3;
// some read its 64 and 65 as hexadecimal).
bool has_camera(std::uint8_t channel) {
  return (channel >= 1 && channel <= 4) || channel == 64 || channel == 65 || channel == 0x64 ||
         channel == 0x65;
}

std::string hex_text(Bytes bytes) {
  std::string out;
  char digits[4];
  for (const std::uint8_t byte : bytes) {
    std::snprintf(digits, sizeof digits, "%02x", unsigned{byte});
    out += digits;
  }
  return out;
}

}  // namespace

// 8.56: 0x0001 at once, 0x0805 when all pictures are taken; then they are uploaded.
void Terminal::photograph(const Command& command) {
  BodyReader in(command.body);
  const std::uint8_t channel = in.u8();
  const std::uint16_t what = in.u16();
  const std::uint16_t interval_s = in.u16();
  const std::uint8_t keeps = in.u8();
  const std::uint8_t resolution = in.u8();
  in.take(5);  // quality, brightness, contrast, saturation, chroma
  if (!in.ended()) return answer(command, 2);
  if (what != 0 && shooting_.left > 0) return answer(command, 1);  // busy
  answer(command, 0);
  if (what == 0) {  // stop: what was taken counts
    if (shooting_.left > 0) end_shooting();
    BodyWriter body;
    body.u16(command.serial).u8(0).u16(0);
    return send(0x0805, body.body());
  }
  if (what == 0xffff || !has_camera(channel)) {  // no such camera, and none takes video
    BodyWriter body;
    body.u16(command.serial).u8(2);
    return send(0x0805, body.body());
  }
  const auto count = std::min<std::uint16_t>(what, MediaStore::items_max);
  shooting_ = {command.serial, channel, count, interval_s * ns_per_s, moment_->now, keeps != 0,
               picture_size(resolution, options_.version), {}};
  while (shooting_.left > 0 && shooting_.due_ns <= moment_->now) shoot();
}

void Terminal::shoot() {
  keep({.type = MediaType::image, .format = MediaFormat::jpeg, .channel = shooting_.channel,
        .content = make_jpeg(shooting_.size.width, shooting_.size.height, chance_)});
  shooting_.ids.push_back(media_.items().back().id);
  shooting_.due_ns += shooting_.interval_ns;
  if (--shooting_.left == 0) end_shooting();
}

void Terminal::end_shooting() {
  BodyWriter body;
  body.u16(shooting_.serial).u8(0).u16(shooting_.ids.size());
  for (const std::uint32_t id : shooting_.ids) body.u32(id);
  send(0x0805, body.body());
  if (!shooting_.keeps) {
    for (const std::uint32_t id : shooting_.ids) want_upload(id, true);
  }
  shooting_ = {};
}

void Terminal::keep(MediaItem item) {
  item.position = position_bytes(here());
  item.time = bcd_time(moment_->wall);
  const MediaItem& kept = media_.add(std::move(item));
  std::string name = phone_ + "-" + std::to_string(kept.id) + ".";
  name += extension_of(kept.format);
  note("media").number("media_id", kept.id).number("bytes", kept.content.size())
      .number("channel", kept.channel).text("file", name);
  out_->files.push_back({name, kept.content});
}

// 8.58
void Terminal::list_media(const Command& command) {
  BodyReader in(command.body);
  const MediaSearch search = read_search(in);
  if (!in.ended()) return answer(command, 2);
  note("command").text("message_id", "0x8802").number("serial", command.serial);
  send(0x0802, search_body(command.serial, search, media_));
}

// 8.60
void Terminal::upload_media(const Command& command) {
  BodyReader in(command.body);
  const MediaSearch search = read_search(in);
  const bool removes = in.u8() != 0;
  if (!in.ended()) return answer(command, 2);
  answer(command, 0);
  for (const MediaItem& item : media_.items()) {
    if (search.fits(item)) want_upload(item.id, removes);
  }
}

// 8.62
void Terminal::upload_one(const Command& command) {
  BodyReader in(command.body);
  const std::uint32_t id = in.u32();
  const bool removes = in.u8() != 0;
  if (!in.ended()) return answer(command, 2);
  if (media_.find(id) == nullptr) return answer(command, 1);
  answer(command, 0);
  want_upload(id, removes);
}

// 8.61
void Terminal::record_sound(const Command& command) {
  BodyReader in(command.body);
  const bool starts = in.u8() != 0;
  const std::uint16_t length_s = in.u16();  // 0: until it is stopped
  const bool keeps = in.u8() != 0;
  const std::uint8_t rate = in.u8();
  constexpr std::uint32_t rates[] = {8'000, 11'025, 23'000, 32'000};
  if (!in.ended() || rate >= std::size(rates)) return answer(command, 2);
  answer(command, 0);
  if (listening_.due_ns > 0) end_sound();
  if (!starts) return;
  const MonoNs length_ns = length_s > 0 ? std::min<MonoNs>(length_s * ns_per_s, sound_ns_max)
                                        : sound_ns_max;
  listening_ = {moment_->now, moment_->now + length_ns, keeps, rates[rate]};
}

void Terminal::end_sound() {
  const MonoNs length_ns = std::min(moment_->now - listening_.from_ns, sound_ns_max);
  const auto samples = static_cast<std::uint32_t>(length_ns / 1000 * listening_.samples_per_s /
                                                  1'000'000);
  const bool keeps = listening_.keeps;
  const std::uint32_t samples_per_s = listening_.samples_per_s;
  listening_ = {};
  keep({.type = MediaType::audio, .format = MediaFormat::wav,
        .content = make_wav(samples_per_s, samples, chance_)});
  if (!keeps) want_upload(media_.items().back().id, true);
}

// ---- uploads: one after the other --------------------------------------------------------------

void Terminal::want_upload(std::uint32_t media_id, bool removes) {
  const auto is_it = [&](const Upload& one) { return one.media_id == media_id; };
  if (std::any_of(uploads_.begin(), uploads_.end(), is_it)) return;
  uploads_.push_back({media_id, removes, 1});
  start_upload();
}

// 8.54, 8.55. 0x0800 tells of it, 0x0801 brings it.
void Terminal::start_upload() {
  if (uploading_) return;
  while (!uploads_.empty()) {
    const MediaItem* item = media_.find(uploads_.front().media_id);
    if (item == nullptr) {  // too old: it made room for others
      uploads_.pop_front();
      continue;
    }
    uploading_ = true;
    send(0x0800, event_body(*item));
    return send(0x0801, upload_body(*item), item->id);
  }
}

// 0x8800, 8.55: all has arrived, or these parts have not.
void Terminal::on_media_answer(const Command& command) {
  BodyReader in(command.body);
  const std::uint32_t id = in.u32();
  std::vector<std::uint16_t> numbers;
  if (in.left() > 0) {
    const std::uint8_t count = in.u8();
    for (int i = 0; i < count && in.ok(); ++i) numbers.push_back(in.u16());
  }
  if (!in.ended()) return answer(command, 2);
  const auto sent = std::find_if(sent_.begin(), sent_.end(),
                                 [id](const Sent& one) { return one.media_id == id; });
  if (sent == sent_.end()) return;  // said twice
  if (!numbers.empty()) return resend(*sent, numbers);
  sent_.erase(sent);
  end_upload(true);
}

void Terminal::end_upload(bool arrived) {
  if (!uploading_ || uploads_.empty()) return;
  const Upload upload = uploads_.front();
  uploads_.pop_front();
  uploading_ = false;
  note(arrived ? "uploaded" : "not-uploaded").number("media_id", upload.media_id);
  if (arrived && upload.removes) media_.remove(upload.media_id);
  start_upload();
}

// The word that all has arrived did not: the picture is sent again, as another message.
void Terminal::upload_anew() {
  if (!uploading_ || uploads_.empty()) return;
  if (++uploads_.front().tries > 1 + parameters_.number(options_.udp ? 5 : 3)) {
    return end_upload(false);
  }
  note("uploads-anew").number("media_id", uploads_.front().media_id);
  uploading_ = false;
  start_upload();
}

// ---- JT/T 1078-2016 ----------------------------------------------------------------------------

// 5.2.1, table 11: G.711A at 8 kHz and H.264.
void Terminal::tell_media_attributes(const Command& command) {
  BodyWriter body;
  body.u8(6).u8(1).u8(0).u8(1).u16(320).u8(1).u8(98).u8(4).u8(4);
  note("command").text("message_id", "0x9003").number("serial", command.serial);
  send(0x1003, body.body());
}

// The same ones whenever it is asked; not kept, as they are many.
Playback Terminal::playback() const { return {made_us_, Chance(options_.seed + number_)}; }

// 5.4.2, 5.4.3
void Terminal::tell_recordings(const Command& command) {
  BodyReader in(command.body);
  const RecordingSearch search = read_recording_search(in);
  if (!in.ended()) return answer(command, 2);
  note("command").text("message_id", "0x9205").number("serial", command.serial);
  send(0x1205, playback().list(command.serial, search));
}

// 5.4.4. The standard wants the list of what will be played; many terminals just say yes.
void Terminal::play_back(const Command& command) {
  BodyReader in(command.body);
  in.take(in.u8());  // the server
  in.take(4);        // its ports
  RecordingSearch search{.channel = in.u8(), .kind = in.u8(), .stream = in.u8(),
                         .storage = in.u8()};
  in.take(2);  // mode and speed
  const Bytes from = in.take(6), to = in.take(6);
  if (!in.ended()) return answer(command, 2);
  std::copy(from.begin(), from.end(), search.from.begin());
  std::copy(to.begin(), to.end(), search.to.begin());
  if (chance_.below(2) == 0) return answer(command, 0);
  note("command").text("message_id", "0x9201").number("serial", command.serial);
  send(0x1205, playback().list(command.serial, search));
}

// 5.4.6, 5.4.7: no FTP server is called; the result comes when an upload would have ended.
void Terminal::upload_recordings(const Command& command) {
  BodyReader in(command.body);
  in.take(in.u8());  // host
  in.u16();
  for (int i = 0; i < 3; ++i) in.take(in.u8());  // user, password, path
  in.take(1 + 6 + 6 + 8 + 1 + 1 + 1 + 1);
  if (!in.ended()) return answer(command, 2);
  answer(command, 0);
  BodyWriter body;
  body.u16(command.serial).u8(0);
  later(500, 2500, 0x1206, body.take(), command.serial);
}

// 5.4.8: pause, go on, cancel.
void Terminal::control_recording_upload(const Command& command) {
  BodyReader in(command.body);
  const std::uint16_t serial = in.u16();
  const std::uint8_t what = in.u8();
  if (!in.ended() || what > 2) return answer(command, 2);
  const auto is_it = [serial](const Later& one) {
    return one.message_id == 0x1206 && one.command_serial == serial;
  };
  const auto upload = std::find_if(later_.begin(), later_.end(), is_it);
  if (upload == later_.end()) return answer(command, 1);
  if (what == 0) upload->due_ns = INT64_MAX;
  if (what == 1) upload->due_ns = std::min(upload->due_ns, moment_->now + ns_per_s);
  if (what == 2) later_.erase(upload);
  answer(command, 0);
}

// ---- T/JSATL 12-2017 ---------------------------------------------------------------------------

// 4.5.1: an alarm with a sign, by which the platform may ask for its attachments.
void Terminal::raise_alarm(const Moment& moment, Outbox& out) {
  const Scope scope(*this, moment, out);
  const bool wide = options_.version == Version::v2019;
  const std::uint8_t item_id = chance_.below(2) == 0 ? adas_item : dsm_item;
  const auto type = static_cast<std::uint8_t>(1 + chance_.below(item_id == adas_item ? 7 : 5));
  const Position position = here();
  const BcdTime time = bcd_time(moment.wall);

  BodyWriter sign;
  sign.fixed(terminal_id_, wide ? 30 : 7).bytes(time);
  sign.u8(alarm_place_++).u8(1 + chance_.below(3)).fixed({}, wide ? 2 : 1);
  if (alarm_kinds_.size() == alarm_kinds_max) alarm_kinds_.clear();
  alarm_kinds_[std::string(as_text(sign.body()))] = static_cast<std::uint16_t>(item_id << 8 | type);

  BodyWriter item;
  item.u32(next_alarm_++).u8(0).u8(type).u8(1 + chance_.below(2));
  if (item_id == adas_item) {
    item.u8(position.speed_dkmh / 10U).u8(10 + chance_.below(40)).u8(type == 2 ? 1 : 0).u8(0).u8(0);
  } else {
    item.u8(type == 1 ? 1 + chance_.below(10) : 0).u32(0);
  }
  item.u8(position.speed_dkmh / 10U).u16(position.altitude_m).u32(position.latitude_udeg);
  item.u32(position.longitude_udeg).bytes(time).u16(0x0401).bytes(sign.body());

  BodyWriter items;
  items.u8(item_id).u8(item.body().size()).bytes(item.body());
  note("alarm").number("item", item_id).number("type", type).text("sign", hex_text(sign.body()));
  report(0, items.body());
}

// 4.5.2 (0x9208): files go over a connection of their own.
void Terminal::attach(const Command& command) {
  AttachmentOrder order;
  if (!read_order(command.body, order)) return answer(command, 2);
  answer(command, 0);
  const auto alarm = alarm_kinds_.find(std::string(as_text(order.sign)));
  const std::uint16_t kind = alarm != alarm_kinds_.end() ? alarm->second : 0x6501;
  std::vector<AttachmentFile> files = make_attachments(order, kind, chance_);
  note("attaches").number("files", files.size()).text("host", order.host)
      .number("port", order.tcp_port);
  for (const AttachmentFile& file : files) {
    out_->files.push_back({phone_ + "-" + file.name, file.content});
  }
  out_->uploads.push_back(std::make_unique<AttachmentUpload>(
      packer_, terminal_id_, std::move(order), std::move(files), options_.loss,
      Chance(chance_.next())));
}

void Terminal::on_upload_end(const AttachmentUpload& upload, std::string_view problem,
                             const Moment& moment, Outbox& out) {
  const Scope scope(*this, moment, out);
  const AttachmentUpload::Tally& tally = upload.tally();
  note(problem.empty() ? "attached" : "not-attached").text("problem", problem)
      .number("files", upload.files().size()).number("blocks", tally.blocks)
      .number("lost", tally.lost).number("doubled", tally.doubled)
      .number("asked_again", tally.asked_again).number("cuts", tally.cuts);
}

}  // namespace ringgate::load
