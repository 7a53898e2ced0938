#include "protocols/jt808/attachment/server.hpp"

#include <algorithm>

#include "protocols/jt808/codec/text.hpp"

namespace ringgate::jt808 {

namespace {

constexpr MonoNs tick = 100 * ns_per_ms;
// An upload that another shard still has is asked for so long: its link may be about to end.
constexpr MonoNs busy_longest = 5 * ns_per_s;
constexpr std::size_t name_size_max = 255;

// T/JSATL 12-2017 4.6.3, table 24; the name's end says it more exactly.
blob::Content content_of(const FileNotice& notice) {
  const blob::Content by_name = blob::content_from_name(as_text(notice.name));
  if (by_name != blob::Content::unknown) return by_name;
  switch (notice.type) {
    case 0:
      return blob::Content::jpeg;
    case 1:
      return blob::Content::wav;
    case 2:
      return blob::Content::h264;
    case 3:
      return blob::Content::text;
    default:
      return blob::Content::binary;
  }
}

// What the block's name of 50 bytes may hold of a longer one.
bool same_file(std::string_view file, Bytes block_name) {
  if (block_name.size() == block_name_size) file = file.substr(0, block_name_size);
  return file == as_text(block_name);
}

}  // namespace

AttachmentOptions attachment_options(const config::Settings& settings) {
  const auto number = [&](const char* key) {
    return static_cast<std::uint32_t>(settings.integer(key));
  };
  AttachmentOptions options;
  options.expected_only = settings.text("attachment.admission") == "expected";
  options.max_file_size =
      static_cast<std::uint32_t>(settings.size_bytes("attachment.max_file_size"));
  options.max_files = number("attachment.max_files");
  options.max_resends = number("attachment.max_resends");
  options.max_bad_frames = number("attachment.max_bad_frames");
  options.upload_timeout_ns = settings.duration_ns("attachment.upload_timeout");
  return options;
}

AttachmentServer::AttachmentServer(net::Links& links, log::Writer& log, blob::Uploads& blobs,
                                   const Expectations& expectations,
                                   observe::CounterGroup& counters, observe::LogSource& logs,
                                   const AttachmentOptions& options)
    : links_(links),
      log_(log),
      blobs_(blobs),
      expectations_(expectations),
      logs_(logs),
      options_(options),
      frames_(counters.counter(attachment_frames)),
      content_(counters.counter(attachment_bytes)),
      done_(counters.counter(attachment_done)),
      resends_(counters.counter(attachment_resends)),
      refused_(counters.family<AttachmentRefusal>(attachment_refused)),
      scratch_(std::make_unique<std::uint8_t[]>(scratch_size)) {}

AttachmentServer::~AttachmentServer() {
  if (timer_.armed()) links_.shard().cancel(timer_);
}

void AttachmentServer::on_open(net::Link& link) {
  if (free_visits_.empty()) {
    free_visits_.push_back(static_cast<std::uint32_t>(visits_.size()));
    visits_.emplace_back();
  }
  const std::uint32_t index = free_visits_.back();
  free_visits_.pop_back();
  visits_[index] = Visit{};
  visits_[index].used = true;
  visits_[index].link = link.id();
  link.session<State>().visit = index;
  if (live_++ == 0) links_.shard().arm(timer_, tick);
}

void AttachmentServer::on_close(net::Link& link, net::CloseReason) {
  Visit& visit = visit_of(link);
  leave_file(visit);
  visit = Visit{};
  free_visits_.push_back(link.session<State>().visit);
  --live_;
}

AttachmentServer::Visit* AttachmentServer::visit_of(blob::UploadId id) {
  if (id.slot >= by_upload_.size()) return nullptr;
  Visit& visit = visits_[by_upload_[id.slot]];
  return visit.used && visit.upload == id ? &visit : nullptr;
}

// The link goes on with something else, or ends: what there is can be gone on with later.
void AttachmentServer::leave_file(Visit& visit) {
  if (!visit.upload.valid()) return;
  blobs_.suspend(visit.upload);
  visit.upload = {};
  visit.ending = false;
}

std::size_t AttachmentServer::on_bytes(net::Link& link, Bytes bytes) {
  Visit& visit = visit_of(link);
  std::size_t used = 0;
  while (link.readable()) {
    const Bytes rest = bytes.subspan(used);
    if (visit.block_left > 0) {
      if (rest.empty()) break;
      used += take_content(link, visit, rest);
      continue;
    }
    const StreamItem item = next_in_stream(rest, {scratch_.get(), scratch_size});
    if (item.kind == StreamItem::Kind::frame && handle(link, visit, item.frame) == Taken::no) {
      return used;
    }
    used += item.consumed;
    if (item.kind == StreamItem::Kind::need_more) break;
    // No block is larger than any file may be: what follows would be swallowed as its content.
    const bool block = item.kind == StreamItem::Kind::block;
    const bool absurd = block && item.size_bytes > options_.max_file_size;
    if (block && !absurd) begin_block(visit, item);
    if (item.kind == StreamItem::Kind::bad) bad(link, visit);
    if (item.kind == StreamItem::Kind::lost || absurd) {
      refused_.add(AttachmentRefusal::out_of_step);
      logs_.warn("attachment stream out of step; link closed", {{"device", visit.device.id()}});
      links_.close(link, net::CloseReason::bad_frames);
    }
  }
  return used;
}

void AttachmentServer::begin_block(Visit& visit, const StreamItem& block) {
  visit.block_left = block.size_bytes;
  visit.block_at = block.offset;
  visit.block_wanted = visit.upload.valid() && same_file(visit.file, block.name);
  if (!visit.block_wanted) refused_.add(AttachmentRefusal::stray_block);
}

// Content goes to its upload as it comes, never waiting for the rest of its block.
std::size_t AttachmentServer::take_content(net::Link& link, Visit& visit, Bytes bytes) {
  const std::size_t size = std::min<std::size_t>(bytes.size(), visit.block_left);
  std::size_t taken = size;
  if (visit.block_wanted && visit.upload.valid()) {
    taken = blobs_.write(visit.upload, visit.block_at, bytes.first(size));
    if (taken < size) links_.hold(link);  // until on_room()
  }
  content_.add(taken);
  visit.block_at += taken;
  visit.block_left -= static_cast<std::uint32_t>(taken);
  return taken;
}

void AttachmentServer::on_room(blob::UploadId id) {
  Visit* visit = visit_of(id);
  net::Link* link = visit == nullptr ? nullptr : links_.find(visit->link);
  if (link != nullptr && !visit->ending) links_.release(*link);
}

// ---- Frames ----

AttachmentServer::Taken AttachmentServer::handle(net::Link& link, Visit& visit, Bytes frame) {
  Incoming in{frame, {}};
  if (parse_header(frame, in.header) != BadReason::none) {
    bad(link, visit);
    return Taken::yes;
  }
  const DeviceKey device(Namespace::phone, in.header.phone.text());
  if (!log_.has_room(device.size + frame.size())) return not_stored(link, visit, in);
  if (!(visit.device == device)) {
    leave_file(visit);
    visit.device = device;
    visit.alarm.clear();
    visit.expected = false;
  }
  visit.peer = peer_of(in.header);
  switch (in.header.message_id) {
    case id::attachment_list:
      take_list(link, visit, in);
      return Taken::yes;
    case id::file_begin:
    case id::file_end:
      return take_file(link, visit, in);
    default:
      store(link, visit, in);
      // Some terminals register or send heartbeats here too: nothing depends on it.
      if (in.header.message_id != id::terminal_reply) {
        const bool known = in.header.message_id == id::heartbeat ||
                           in.header.message_id == id::authentication;
        ack(link, visit, in, known ? AckResult::ok : AckResult::unsupported);
      }
      return Taken::yes;
  }
}

void AttachmentServer::take_list(net::Link& link, Visit& visit, const Incoming& in) {
  AttachmentList list;
  // A list that comes in parts: all that is needed of it lies in the first.
  const bool later_part = in.header.fragment() && in.header.packet_number > 1;
  store(link, visit, in);
  if (later_part) return ack(link, visit, in, AckResult::ok);
  if (!decode_attachment_list(in.body(), list, in.header.fragment())) {
    return ack(link, visit, in, AckResult::bad_message);
  }
  const std::string number(as_text(list.alarm_number));
  if (number != visit.alarm) {
    leave_file(visit);
    visit.files = 0;
  }
  visit.alarm = number;
  visit.expected = expectations_.expected(number, visit.device, links_.shard().wall_now());
  if (options_.expected_only && !visit.expected) {
    refused_.add(AttachmentRefusal::unexpected);
    return ack(link, visit, in, AckResult::failed);
  }
  ack(link, visit, in, AckResult::ok);
}

AttachmentServer::Taken AttachmentServer::take_file(net::Link& link, Visit& visit,
                                                    const Incoming& in) {
  FileNotice notice;
  if (in.header.fragment() || !decode_file_notice(in.body(), notice)) {
    store(link, visit, in);
    ack(link, visit, in, AckResult::bad_message);
    return Taken::yes;
  }
  bool open = false;
  if (open_file(link, visit, in, notice, open) == Taken::no) return Taken::no;
  store(link, visit, in);
  if (!open) {
    ack(link, visit, in, AckResult::failed);
  } else if (in.header.message_id == id::file_begin) {
    ack(link, visit, in, AckResult::ok);
  } else {
    end_file(link, visit);
  }
  return Taken::yes;
}

bool AttachmentServer::admits(Visit& visit, const FileNotice& notice) {
  if (options_.expected_only && !visit.expected) {
    refused_.add(AttachmentRefusal::unexpected);
  } else if (notice.size_bytes > options_.max_file_size) {
    refused_.add(AttachmentRefusal::too_large);
  } else if (visit.files >= options_.max_files) {
    refused_.add(AttachmentRefusal::too_many);
  } else {
    return true;
  }
  return false;
}

// Makes the file of a 0x1211 or 0x1212 the link's own. Taken::no: another shard has it; the frame
// is shown again.
AttachmentServer::Taken AttachmentServer::open_file(net::Link& link, Visit& visit,
                                                    const Incoming& in, const FileNotice& notice,
                                                    bool& open) {
  const bool same = visit.upload.valid() && as_text(notice.name) == visit.file;
  const bool ends = in.header.message_id == id::file_end;
  if (same && (ends || notice.size_bytes == visit.size_bytes)) {
    open = true;
    return Taken::yes;
  }
  leave_file(visit);
  if (!admits(visit, notice)) return Taken::yes;
  blob::UploadInfo info;
  info.device = visit.device;
  info.link = link.id().packed();
  info.message = id::file_begin;
  info.size_bytes = notice.size_bytes;
  info.declared = content_of(notice);
  info.name = utf8_from_gbk(notice.name.first(std::min(notice.name.size(), name_size_max)));
  info.alarm = utf8_from_gbk(as_bytes(visit.alarm));
  info.facts.emplace_back("file_type", std::to_string(notice.type));
  // Without an alarm the name tells too little: another file of that name and size must not be
  // taken for this one, or be mixed with it. Neither text has a NUL.
  if (!visit.alarm.empty()) {
    info.resume_key.append("attachment/").append(visit.device.id()).append("/");
    info.resume_key.append(visit.alarm).append(1, '\0').append(as_text(notice.name));
  }
  const blob::Uploads::Begun begun = blobs_.begin(info, *this);
  const MonoNs now = links_.shard().now();
  if (begun.failure == blob::Failure::busy) {
    if (visit.busy_since_ns == 0) visit.busy_since_ns = now;
    if (now - visit.busy_since_ns < busy_longest) {
      links_.hold(link);  // until on_timer()
      return Taken::no;
    }
  }
  visit.busy_since_ns = 0;
  if (!begun.id.valid()) {
    refused_.add(AttachmentRefusal::storage);
    logs_.warn("attachment refused", {{"device", visit.device.id()},
                                      {"alarm", info.alarm},
                                      {"why", blob::name_of(begun.failure)}});
    return Taken::yes;
  }
  ++visit.files;
  visit.upload = begun.id;
  visit.file = as_text(notice.name);
  visit.type = notice.type;
  visit.size_bytes = notice.size_bytes;
  visit.resends = 0;
  visit.since_ns = now;
  if (by_upload_.size() <= begun.id.slot) by_upload_.resize(begun.id.slot + 1);
  by_upload_[begun.id.slot] = link.session<State>().visit;
  open = true;
  return Taken::yes;
}

// T/JSATL 12-2017 4.6.6: what is missing is asked for, again and again, until nothing is.
void AttachmentServer::end_file(net::Link& link, Visit& visit) {
  const auto gaps = blobs_.missing(visit.upload, missing_pieces_max(visit.file.size()));
  if (gaps.empty()) {
    visit.ending = true;
    blobs_.commit(visit.upload);
    links_.hold(link);  // answers stay in order: until on_stored() or on_failed()
    return;
  }
  if (++visit.resends > options_.max_resends) {
    refused_.add(AttachmentRefusal::too_many);
    return links_.close(link, net::CloseReason::bad_frames);
  }
  std::vector<MissingPiece> missing;
  for (const blob::Gap& gap : gaps) {
    missing.push_back({static_cast<std::uint32_t>(gap.offset),
                       static_cast<std::uint32_t>(gap.size_bytes)});
  }
  resends_.add();
  answer_file(link, visit, missing);
}

void AttachmentServer::on_stored(blob::UploadId id, const blob::Stored&) {
  Visit* visit = visit_of(id);
  if (visit == nullptr) return;
  visit->upload = {};
  visit->ending = false;
  done_.add();
  net::Link* link = links_.find(visit->link);
  if (link == nullptr) return;
  answer_file(*link, *visit, {});
  links_.push(*link);
  links_.release(*link);
}

void AttachmentServer::on_failed(blob::UploadId id, blob::Failure why) {
  Visit* visit = visit_of(id);
  if (visit == nullptr) return;
  const bool ending = visit->ending;
  visit->upload = {};
  visit->ending = false;
  refused_.add(AttachmentRefusal::storage);
  net::Link* link = links_.find(visit->link);
  if (link == nullptr) return;
  if (why == blob::Failure::taken_over) return links_.close(*link, net::CloseReason::replaced);
  if (ending && ++visit->resends > options_.max_resends) {
    return links_.close(*link, net::CloseReason::bad_frames);
  }
  // All of it is wanted again; its next 0x1212 begins it anew. An empty file has no piece to ask
  // for: the terminal's own time-out repeats its 0x1212.
  if (ending && visit->size_bytes > 0) {
    const MissingPiece all{0, visit->size_bytes};
    answer_file(*link, *visit, {&all, 1});
    links_.push(*link);
  }
  links_.release(*link);
}

void AttachmentServer::on_timer() {
  const MonoNs now = links_.shard().now();
  for (Visit& visit : visits_) {
    if (!visit.used) continue;
    net::Link* link = links_.find(visit.link);
    if (link == nullptr) continue;
    if (visit.busy_since_ns != 0) links_.release(*link);
    const bool late = visit.upload.valid() && !visit.ending &&
                      now - visit.since_ns >= options_.upload_timeout_ns;
    if (!late) continue;
    logs_.warn("attachment takes too long; link closed", {{"device", visit.device.id()}});
    links_.close(*link, net::CloseReason::idle);
  }
  if (live_ > 0) links_.shard().arm(timer_, tick);
}

// ---- Answers ----

void AttachmentServer::store(net::Link& link, const Visit& visit, const Incoming& in) {
  const log::RecordInfo info{.kind = log::Kind::frame_up,
                             .ns = Namespace::phone,
                             .message = in.header.message_id,
                             .serial = in.header.serial,
                             .link = link.id().packed(),
                             .device = visit.device.id()};
  const Position position = log_.append(info, in.frame);
  RG_CHECK(position != 0);  // there was room, and nothing has been appended since
  links_.logged(link, position);
  frames_.add();
}

AttachmentServer::Taken AttachmentServer::not_stored(net::Link& link, Visit& visit,
                                                     const Incoming& in) {
  if (links_.shard().watermark().state() == flow::LogState::refusing) {
    visit.peer = peer_of(in.header);
    if (in.header.message_id != id::terminal_reply) ack(link, visit, in, AckResult::failed);
    return Taken::yes;
  }
  links_.wait_for_log(link);
  return Taken::no;
}

void AttachmentServer::ack(net::Link& link, Visit& visit, const Incoming& in, AckResult result) {
  std::uint8_t* room = links_.reply_room(link, ack_size_max);
  const std::size_t size = write_ack({room, ack_size_max}, visit.peer, visit.next_serial++,
                                     in.header.serial, in.header.message_id, result);
  links_.reply_done(link, static_cast<std::uint32_t>(size));
}

void AttachmentServer::answer_file(net::Link& link, Visit& visit,
                                   std::span<const MissingPiece> missing) {
  std::uint8_t* room = links_.reply_room(link, wire_size_max);
  const std::size_t size = write_file_end_reply({room, wire_size_max}, visit.peer,
                                                visit.next_serial++, visit.notice(), missing);
  links_.reply_done(link, static_cast<std::uint32_t>(size));
}

void AttachmentServer::bad(net::Link& link, Visit& visit) {
  refused_.add(AttachmentRefusal::bad_frame);
  if (++visit.bad_frames <= options_.max_bad_frames) return;
  logs_.warn("too many bad frames on an attachment link; closed",
             {{"device", visit.device.id()}});
  links_.close(link, net::CloseReason::bad_frames);
}

}  // namespace ringgate::jt808
