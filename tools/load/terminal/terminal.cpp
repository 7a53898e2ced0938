#include "tools/load/terminal/terminal.hpp"

#include <algorithm>
#include <cstdio>

#include "tools/load/terminal/limits.hpp"

namespace ringgate::load {
namespace {

constexpr std::uint16_t general_answer = 0x0001;
constexpr std::uint16_t location = 0x0200;
constexpr std::uint32_t standing_alarms = 3U << 20;  // borders of areas and routes

std::string with_last_six(const char* before, std::uint64_t number) {
  char text[16];
  std::snprintf(text, sizeof text, "%.4s%06u", before, static_cast<unsigned>(number % 1'000'000));
  return text;
}

std::string id_text(std::uint16_t message_id) {
  char text[8];
  std::snprintf(text, sizeof text, "0x%04x", unsigned{message_id});
  return text;
}

// What asks for something to be sent again: to be obeyed every time it comes.
bool asks_again(std::uint16_t message_id) { return message_id == 0x8003 || message_id == 0x8800; }

}  // namespace

// Sorted by message. What is not here is answered with "unsupported".
const Terminal::Handler Terminal::handlers[] = {
    {0x8003, &Terminal::resend_parts},
    {0x8004, &Terminal::ignore},  // an answer
    {0x8103, &Terminal::set_parameters},
    {0x8104, &Terminal::tell_parameters},
    {0x8105, &Terminal::control},
    {0x8106, &Terminal::tell_parameters},
    {0x8107, &Terminal::tell_attributes},
    {0x8108, &Terminal::upgrade},
    {0x8109, &Terminal::ignore},  // an answer
    {0x8201, &Terminal::tell_position},
    {0x8202, &Terminal::start_tracking},
    {0x8203, &Terminal::confirm_alarm},
    {0x8204, &Terminal::probe},
    {0x8300, &Terminal::show_text},
    {0x8301, &Terminal::set_menu},
    {0x8302, &Terminal::ask_driver},
    {0x8303, &Terminal::set_demands},
    {0x8304, &Terminal::accept},
    {0x8400, &Terminal::accept},
    {0x8401, &Terminal::accept},
    {0x8500, &Terminal::control_vehicle},
    {0x8600, &Terminal::set_area},
    {0x8601, &Terminal::remove_area},
    {0x8602, &Terminal::set_area},
    {0x8603, &Terminal::remove_area},
    {0x8604, &Terminal::set_area},
    {0x8605, &Terminal::remove_area},
    {0x8606, &Terminal::set_area},
    {0x8607, &Terminal::remove_area},
    {0x8608, &Terminal::tell_areas},
    {0x8700, &Terminal::read_recorder},
    {0x8701, &Terminal::accept},
    {0x8702, &Terminal::tell_driver},
    {0x8800, &Terminal::on_media_answer},
    {0x8801, &Terminal::photograph},
    {0x8802, &Terminal::list_media},
    {0x8803, &Terminal::upload_media},
    {0x8804, &Terminal::record_sound},
    {0x8805, &Terminal::upload_one},
    {0x8900, &Terminal::pass_through},
    {0x8a00, &Terminal::exchange_keys},
    {0x9003, &Terminal::tell_media_attributes},
    {0x9101, &Terminal::accept},
    {0x9102, &Terminal::accept},
    {0x9105, &Terminal::accept},
    {0x9201, &Terminal::play_back},
    {0x9202, &Terminal::accept},
    {0x9205, &Terminal::tell_recordings},
    {0x9206, &Terminal::upload_recordings},
    {0x9207, &Terminal::control_recording_upload},
    {0x9208, &Terminal::attach},
    {0x9212, &Terminal::ignore},  // belongs to an upload's own connection
    {0x9301, &Terminal::accept},
    {0x9302, &Terminal::accept},
    {0x9303, &Terminal::accept},
    {0x9304, &Terminal::accept},
    {0x9305, &Terminal::accept},
    {0x9306, &Terminal::accept},
};

Terminal::Terminal(const TerminalOptions& options, std::uint64_t phone_number, WallUs wall)
    : options_(options), made_us_(wall), number_(phone_number),
      phone_(std::to_string(phone_number)),
      plate_(with_last_six("TEST", phone_number)), terminal_id_(with_last_six("T", phone_number)),
      chance_(options.seed ^ phone_number * 0x9e3779b97f4a7c15),
      packer_(options.version, phone_from_number(phone_number)),
      parameters_(options.version, plate_), areas_(options.version) {}

Terminal::Scope::Scope(Terminal& of, const Moment& moment, Outbox& out) : terminal(of) {
  terminal.moment_ = &moment;
  terminal.out_ = &out;
}

Terminal::Scope::~Scope() {
  terminal.moment_ = nullptr;
  terminal.out_ = nullptr;
  terminal.answering_ = nullptr;
}

EventLine Terminal::note(std::string_view name) {
  return {options_.has_events ? &out_->events : nullptr, moment_->wall, phone_, name};
}

// ---- in ----------------------------------------------------------------------------------------

void Terminal::on_downlink(const Downlink& frame, const Moment& moment, Outbox& out) {
  const Scope scope(*this, moment, out);
  if (const std::optional<Command> command = assembly_.add(frame, moment.now)) obey(*command);
}

void Terminal::obey(const Command& command) {
  const auto is_it = [&](const Done& done) {
    return done.message_id == command.message_id && done.serial == command.serial &&
           done.body == command.body;
  };
  const auto before = std::find_if(done_.begin(), done_.end(), is_it);
  if (before != done_.end() && !asks_again(command.message_id)) {
    note("repeated").text("message_id", id_text(command.message_id));
    // Not lost again: a platform does not ask often.
    out_->frames.insert(out_->frames.end(), before->answers.begin(), before->answers.end());
    return;
  }
  if (done_.size() == done_max) done_.pop_front();
  // clang 14 has no parentheses for aggregates, which emplace_back() would need.
  done_.push_back({command.message_id, command.serial, command.body, {}});
  answering_ = &done_.back();
  const auto at = std::lower_bound(
      std::begin(handlers), std::end(handlers), command.message_id,
      [](const Handler& one, std::uint16_t id) { return one.message_id < id; });
  if (command.encrypted) {
    answer(command, 2);  // no key to read it with
  } else if (at == std::end(handlers) || at->message_id != command.message_id) {
    answer(command, 3);
  } else {
    (this->*at->act)(command);
  }
  answering_ = nullptr;
}

bool Terminal::on_answer(std::uint16_t answered_id, std::uint16_t serial, std::uint8_t result,
                         const Moment& moment, Outbox& out) {
  const Scope scope(*this, moment, out);
  const std::uint32_t key = std::uint32_t{answered_id} << 16 | serial;
  for (auto sent = sent_.begin(); sent != sent_.end(); ++sent) {
    if (sent->message_id != answered_id) continue;
    const auto place = static_cast<std::uint16_t>(serial - sent->parts.front().serial);
    if (place >= sent->parts.size()) continue;
    sent->answered[place] = true;
    sent->due_ns = moment.now + sent->wait_ns;
    if (answered_.size() == answered_max) answered_.pop_front();
    answered_.push_back(key);
    if (result != 0) {
      note("refused").text("message_id", id_text(answered_id)).number("result", result);
    }
    const bool all = std::find(sent->answered.begin(), sent->answered.end(), false) ==
                     sent->answered.end();
    if (all && sent->media_id == 0) sent_.erase(sent);
    return true;
  }
  return std::find(answered_.begin(), answered_.end(), key) != answered_.end();
}

void Terminal::on_time(const Moment& moment, Outbox& out) {
  const Scope scope(*this, moment, out);
  if (!online_) return;
  ask_missing();
  for (std::size_t i = 0; i < later_.size();) {
    if (later_[i].due_ns > moment.now) {
      ++i;
      continue;
    }
    const Later one = std::move(later_[i]);
    later_.erase(later_.begin() + static_cast<std::ptrdiff_t>(i));
    note("later").text("message_id", id_text(one.message_id));
    send(one.message_id, one.body);
  }
  track();
  if (drive_due_ns_ <= moment.now) drive();
  while (shooting_.left > 0 && shooting_.due_ns <= moment.now) shoot();
  if (listening_.due_ns > 0 && listening_.due_ns <= moment.now) end_sound();
  resend_overdue();
}

MonoNs Terminal::next_due() const {
  if (!online_) return INT64_MAX;
  MonoNs due = std::min(drive_due_ns_, assembly_.next_due());
  for (const Later& one : later_) due = std::min(due, one.due_ns);
  for (const Sent& one : sent_) due = std::min(due, one.due_ns);
  if (tracking_.interval_s > 0) due = std::min(due, tracking_.due_ns);
  if (shooting_.left > 0) due = std::min(due, shooting_.due_ns);
  if (listening_.due_ns > 0) due = std::min(due, listening_.due_ns);
  return due;
}

void Terminal::on_link_down() {
  online_ = false;
  uploading_ = false;
  assembly_.clear();
  sent_.clear();
  done_.clear();
  answered_.clear();
}

void Terminal::on_online(const Moment& moment, Outbox& out) {
  const Scope scope(*this, moment, out);
  online_ = true;
  note("online");
  start_upload();
}

// ---- out ---------------------------------------------------------------------------------------

void Terminal::answer(const Command& command, std::uint8_t result) {
  note("command").text("message_id", id_text(command.message_id)).number("serial", command.serial)
      .number("result", result);
  BodyWriter body;
  body.u16(command.serial).u16(command.message_id).u8(result);
  send(general_answer, body.body());
}

void Terminal::send(std::uint16_t message_id, Bytes body, std::uint32_t media_id) {
  std::vector<Uplink> parts = packer_.pack(message_id, body, *moment_->next_serial);
  const bool may_be_lost = options_.udp || parts.size() > 1;
  Sent sent{.message_id = message_id, .media_id = media_id};
  sent.answered.resize(parts.size());
  sent.lost.resize(parts.size());
  std::size_t lost = 0;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (!emit(parts[i], sent.lost[i], may_be_lost)) ++lost;
  }
  if (lost > 0) note("lost").text("message_id", id_text(message_id)).number("parts", lost);
  if (answering_ != nullptr && media_id == 0) {
    answering_->answers.insert(answering_->answers.end(), parts.begin(), parts.end());
  }
  if (message_id == general_answer) return;  // nobody answers an answer
  sent.parts = std::move(parts);
  sent.wait_ns = std::max<MonoNs>(parameters_.number(options_.udp ? 4 : 2), 1) * ns_per_s;
  sent.due_ns = moment_->now + sent.wait_ns;
  if (sent_.size() == sent_max) sent_.pop_front();
  sent_.push_back(std::move(sent));
}

bool Terminal::emit(const Uplink& part, std::uint8_t& lost, bool may_be_lost) {
  if (may_be_lost && lost < part_lost_max && chance_.hits(options_.loss)) {
    ++lost;
    return false;
  }
  out_->frames.push_back(part);
  return true;
}

void Terminal::resend(Sent& sent, const std::vector<std::uint16_t>& numbers) {
  note("resent").text("message_id", id_text(sent.message_id)).number("parts", numbers.size());
  for (const std::uint16_t number : numbers) {
    if (number == 0 || number > sent.parts.size()) continue;
    emit(sent.parts[number - 1U], sent.lost[number - 1U], true);
  }
  sent.due_ns = moment_->now + sent.wait_ns;
}

// T(n+1) = T(n) * (n+1), JT/T 808-2019 4.3.2.
void Terminal::resend_overdue() {
  const std::uint32_t tries_max = 1 + parameters_.number(options_.udp ? 5 : 3);
  bool media_failed = false, media_anew = false;
  for (std::size_t i = 0; i < sent_.size();) {
    Sent& sent = sent_[i];
    if (sent.due_ns > moment_->now) {
      ++i;
      continue;
    }
    if (++sent.tries > tries_max) {
      note("unanswered").text("message_id", id_text(sent.message_id));
      media_failed |= sent.media_id != 0;
      sent_.erase(sent_.begin() + static_cast<std::ptrdiff_t>(i));
      continue;
    }
    std::vector<std::uint16_t> numbers;
    for (std::size_t part = 0; part < sent.parts.size(); ++part) {
      if (!sent.answered[part]) numbers.push_back(static_cast<std::uint16_t>(part + 1));
    }
    if (numbers.empty()) {  // every part is there, but no word that the whole is
      media_anew = true;
      sent_.erase(sent_.begin() + static_cast<std::ptrdiff_t>(i));
      continue;
    }
    sent.wait_ns *= sent.tries;
    resend(sent, numbers);
    ++i;
  }
  if (media_failed) end_upload(false);
  if (media_anew) upload_anew();
}

void Terminal::later(std::uint32_t from_ms, std::uint32_t to_ms, std::uint16_t message_id,
                     Body body, std::uint16_t command_serial) {
  if (later_.size() == later_max) return;
  const MonoNs wait_ns = (from_ms + chance_.below(to_ms - from_ms)) * ns_per_ms;
  later_.push_back({moment_->now + wait_ns, message_id, std::move(body), command_serial});
}

// 0x0005, JT/T 808-2019 8.6. Terminals before 2019 wait until the platform sends all of it again.
void Terminal::ask_missing() {
  while (const std::optional<Assembly::Missing> missing = assembly_.overdue(moment_->now)) {
    if (missing->numbers.empty() || options_.version != Version::v2019) continue;
    BodyWriter body;
    body.u16(missing->first_serial).u16(missing->numbers.size());
    for (const std::uint16_t number : missing->numbers) body.u16(number);
    note("asked").number("parts", missing->numbers.size());
    send(0x0005, body.body());
  }
}

void Terminal::resend_parts(const Command& command) {
  BodyReader in(command.body);
  const std::uint16_t first = in.u16();
  // The count is a BYTE in 2013 and a WORD in 2019; what follows says which it is.
  const bool wide = in.left() % 2 == 0;
  const std::uint16_t count = wide ? in.u16() : in.u8();
  std::vector<std::uint16_t> numbers;
  for (int i = 0; i < count && in.ok(); ++i) numbers.push_back(in.u16());
  if (!in.ended()) return answer(command, 2);
  const auto sent = std::find_if(sent_.begin(), sent_.end(), [first](const Sent& one) {
    return one.parts.front().serial == first;
  });
  if (sent == sent_.end()) return answer(command, 1);
  resend(*sent, numbers);
}

// ---- where it is -------------------------------------------------------------------------------

void Terminal::adjust(Position& position) const {
  position.status = (position.status & ~status_off_) | status_on_;
  position.alarm |= alarm_bits_;
}

Position Terminal::here() const {
  Position position = moment_->position;
  adjust(position);
  return position;
}

PositionBytes Terminal::position_bytes(const Position& position) const {
  BodyWriter out;
  out.u32(position.alarm).u32(position.status);
  out.u32(position.latitude_udeg).u32(position.longitude_udeg);
  out.u16(position.altitude_m).u16(position.speed_dkmh).u16(position.heading_deg);
  out.bytes(bcd_time(moment_->wall));
  PositionBytes bytes;
  std::copy_n(out.body().begin(), bytes.size(), bytes.begin());
  return bytes;
}

void Terminal::report(std::uint32_t alarm_bits, Bytes items) {
  Position position = here();
  position.alarm |= alarm_bits;
  BodyWriter body;
  body.bytes(position_bytes(position));
  body.u8(0x01).u8(4).u32(position.odometer_hm);
  body.u8(0x03).u8(2).u16(position.speed_dkmh);
  body.u8(0x30).u8(1).u8(position.signal_strength);
  body.u8(0x31).u8(1).u8(position.satellites);
  body.bytes(items);
  send(location, body.body());
}

void Terminal::track() {
  while (tracking_.interval_s > 0 && tracking_.due_ns <= moment_->now) {
    if (tracking_.due_ns > tracking_.end_ns) {
      tracking_.interval_s = 0;
      note("tracking-ended");
      return;
    }
    report(0, {});
    // One that was late is not made up for.
    tracking_.due_ns = std::max(tracking_.due_ns, moment_->now - ns_per_s) +
                       tracking_.interval_s * ns_per_s;
  }
}

void Terminal::drive() {
  drive_due_ns_ = areas_.count() > 0 ? moment_->now + drive_period_ns : INT64_MAX;
  for (const AreaAlarm& alarm : areas_.drive(here(), moment_->now)) {
    BodyWriter items;
    items.u8(alarm.item_id).u8(alarm.item.size()).bytes(alarm.item);
    alarm_bits_ |= alarm.alarm_bits & standing_alarms;  // until a 0x8203
    note("area-alarm").number("alarm_bits", alarm.alarm_bits).hex("item", items.body());
    report(alarm.alarm_bits, items.body());
  }
}

}  // namespace ringgate::load
