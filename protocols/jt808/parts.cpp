#include "protocols/jt808/parts.hpp"

#include <fmt/core.h>

#include <algorithm>

#include "protocols/jt808/codec/writer.hpp"
#include "protocols/jt808/last_state.hpp"

namespace ringgate::jt808 {

namespace {

constexpr std::string_view verdict_names[] = {"kept", "complete", "duplicate", "mismatch",
                                              "refused"};
constexpr std::string_view give_up_names[] = {"timeout", "memory", "device", "replaced",
                                              "too_long"};
constexpr observe::MetricSpec parts_received{
    .name = "ringgate_jt808_parts_total",
    .help = "Parts of messages received, by what they were.",
    .label = "verdict",
    .values = verdict_names};
constexpr observe::MetricSpec messages_given_up{
    .name = "ringgate_jt808_messages_given_up_total",
    .help = "Messages in parts that will not become whole, by reason. Their parts are logged.",
    .label = "reason",
    .values = give_up_names};
constexpr observe::MetricSpec part_requests{
    .name = "ringgate_jt808_part_requests_total",
    .help = "Requests for missing parts (0x8003, 0x8800) sent to terminals."};
constexpr observe::MetricSpec wholes_stored{
    .name = "ringgate_jt808_wholes_total",
    .help = "Messages in parts, or decrypted, that were logged as a whole."};
constexpr observe::MetricSpec wholes_too_long{
    .name = "ringgate_jt808_wholes_too_long_total",
    .help = "Whole messages that no record holds; their parts are logged, and a note."};
constexpr observe::MetricSpec part_bytes{
    .name = "ringgate_jt808_part_bytes",
    .help = "Memory held by messages whose parts are coming.",
    .kind = observe::MetricKind::gauge};

// Text of the note that a message left no whole record.
constexpr std::size_t note_size_max = 256;
// Headers and padding of two records.
constexpr std::size_t record_extra = 2 * (log::record_header_size + 8);

ReassemblyOptions with_budget(const flow::Budget& budget) {
  ReassemblyOptions options;
  if (budget.limit_bytes() != 0) {
    options.shard_bytes_max = std::min(options.shard_bytes_max, budget.limit_bytes() / 4);
  }
  return options;
}

Whole make_whole(const Header& part, std::uint16_t serial, std::vector<std::uint8_t> frame) {
  Whole whole;
  std::uint8_t head[whole_header_max];
  const std::size_t size = write_whole_header(head, part, serial,
                                              frame.size() - whole_header_max, whole.header);
  // The header ends where the body begins; what is not used of its room goes.
  const std::size_t unused = whole_header_max - size;
  std::copy(head, head + size, frame.begin() + static_cast<std::ptrdiff_t>(unused));
  if (unused != 0) frame.erase(frame.begin(), frame.begin() + static_cast<std::ptrdiff_t>(unused));
  whole.frame = std::move(frame);
  whole.last_serial = part.serial;
  return whole;
}

}  // namespace

Whole whole_of(const Header& header, Bytes body) {
  std::vector<std::uint8_t> frame(whole_header_max);
  frame.insert(frame.end(), body.begin(), body.end());
  return make_whole(header, header.serial, std::move(frame));
}

Parts::Parts(net::Links& links, log::Writer& log, device::DeviceTable& devices,
             observe::CounterGroup& counters, observe::LogSource& logs)
    : links_(links), log_(log), devices_(devices), logs_(logs),
      parts_(counters.family<PartVerdict>(parts_received)),
      given_up_(counters.family<GiveUp>(messages_given_up)),
      requests_(counters.counter(part_requests)), wholes_(counters.counter(wholes_stored)),
      too_long_(counters.counter(wholes_too_long)), held_bytes_(counters.gauge(part_bytes)),
      options_(with_budget(links.budget())), reassembly_(links.budget(), *this, options_) {}

Parts::~Parts() { links_.shard().cancel(timer_); }

void Parts::set_options(MonoNs timeout_ns, std::uint32_t requests) {
  options_.timeout_ns = timeout_ns;
  options_.requests = requests;
  reassembly_.set_options(options_);
}

std::size_t Parts::whole_max() const {
  // Beside the part that completes it, of the longest frame and id, and the record of both.
  return log_.record_max() - 2 * record_extra - frame_size_max - 2 * DeviceKey::text_size_max;
}

std::size_t Parts::log_room(device::DeviceSlot slot, const Header& header, Bytes body) const {
  const auto whole = header.fragment() ? reassembly_.would_complete(slot, header, body)
                                       : std::optional<std::size_t>(body.size());
  const std::size_t frame_size = whole ? *whole + whole_header_max : 0;
  const std::size_t content = frame_size <= whole_max() ? std::max(frame_size, note_size_max)
                                                        : note_size_max;
  return content + record_extra + DeviceKey::text_size_max;
}

PartVerdict Parts::take(device::DeviceSlot slot, const Header& header, Bytes body, Whole& whole) {
  const MonoNs now = links_.shard().now();
  const PartVerdict verdict = reassembly_.take(slot, header, body, now);
  parts_.add(verdict);
  if (verdict == PartVerdict::complete) {
    const auto first = static_cast<std::uint16_t>(header.serial - (header.packet_number - 1));
    whole = make_whole(header, first, reassembly_.take_whole(slot, header, whole_header_max, now));
  }
  held_bytes_.set(static_cast<std::int64_t>(reassembly_.held_bytes()));
  if (!timer_.armed()) arm();
  return verdict;
}

Position Parts::store_whole(LinkId link, device::DeviceSlot slot, const Whole& whole,
                            std::uint16_t parts) {
  const DeviceKey& device = devices_.at(slot).key;
  if (whole.frame.size() > whole_max()) {
    too_long_.add();
    return note(link, device, whole.header.message_id, whole.header.serial,
                fmt::format("whole message longer than a record: parts={} bytes={} serials={}-{}",
                            parts, whole.body().size(), whole.header.serial,
                            static_cast<std::uint16_t>(whole.header.serial + parts - 1)));
  }
  wholes_.add();
  const log::RecordInfo info{.kind = log::Kind::frame_up,
                             .ns = device.ns,
                             .flags = log::flag_whole,
                             .message = whole.header.message_id,
                             .serial = whole.header.serial,
                             .link = link.packed(),
                             .device = device.id()};
  return log_.append(info, whole.frame);
}

Position Parts::note(LinkId link, const DeviceKey& device, std::uint16_t message_id,
                     std::uint16_t serial, std::string_view text) {
  const log::RecordInfo info{.kind = log::Kind::audit,
                             .ns = device.ns,
                             .message = message_id,
                             .serial = serial,
                             .link = link.packed(),
                             .device = device.id()};
  if (!log_.has_room(device.size + text.size())) return 0;
  return log_.append(info, as_bytes(text));
}

void Parts::on_given_up(const Reassembly::Message& message, GiveUp why) {
  given_up_.add(why);
  const DeviceKey& device = devices_.at(message.device).key;
  if (logs_.enabled(observe::Level::debug)) {
    logs_.debug("message in parts given up",
                {{"device", device.id()},
                 {"message", fmt::format("0x{:04x}", message.message_id)},
                 {"first_serial", message.first_serial},
                 {"parts", message.parts.size()},
                 {"total", message.total},
                 {"why", give_up_names[static_cast<std::size_t>(why)]}});
  }
  if (why != GiveUp::too_long) return;
  static_cast<void>(note({}, device, message.message_id, message.first_serial,
                         fmt::format("message too long to be put together: parts={} of {} "
                                     "bytes={} first_serial={}",
                                     message.parts.size(), message.total, message.body_bytes,
                                     message.first_serial)));
}

void Parts::on_timer() {
  reassembly_.expire(links_.shard().now(),
                     [this](const Reassembly::Message& message) { ask(message); });
  held_bytes_.set(static_cast<std::int64_t>(reassembly_.held_bytes()));
  arm();
}

void Parts::arm() {
  const auto due = reassembly_.next_due();
  if (!due) return links_.shard().cancel(timer_);
  links_.shard().arm(timer_, std::max<MonoNs>(*due - links_.shard().now(), 0));
}

// JT/T 808-2013 8.4. A terminal without a link is not asked; its message waits on as long.
void Parts::ask(const Reassembly::Message& message) {
  device::Device& device = devices_.at(message.device);
  net::Link* link = links_.find(device.link);
  if (link == nullptr || link->state != net::LinkState::open) return;
  // Who does not read is asked later.
  if (links_.unsent_bytes(*link) > downlink_window_bytes) return;
  auto& state = link->session<TerminalState>();
  const Bytes media = message.message_id == id::media_upload && message.encryption == 0
                          ? message.part(1)
                          : Bytes{};
  const bool known_2011 = is_2011(device);
  std::uint8_t* room = links_.reply_room(*link, wire_size_max);
  std::size_t size = 0;
  if (media.size() >= 4) {
    const auto missing = message.missing(media_request_max);
    size = write_media_reply({room, wire_size_max}, state.peer, state.next_serial,
                             {.media_id = load_be32(media.data()),
                              .missing = missing,
                              .layout_2011 = known_2011,
                              .reply_serial = message.first_serial});
  } else if (!known_2011) {
    const auto missing = message.missing(part_request_max);
    size = write_part_request({room, wire_size_max}, state.peer, state.next_serial,
                              message.first_serial, missing);
  }
  if (size == 0) return;
  ++state.next_serial;
  links_.reply_done(*link, static_cast<std::uint32_t>(size));
  if (tracer_ != nullptr) tracer_->sent_wire(*link, device.key, {room, size});
  links_.push(*link);
  requests_.add();
}

}  // namespace ringgate::jt808
