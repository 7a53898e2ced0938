// What a terminal does when it is told to: everything but media. The clauses are those of
// JT/T 808-2019; 2013 differs where it says so.
#include <algorithm>
#include <cstdio>

#include "tools/load/terminal/limits.hpp"
#include "tools/load/terminal/terminal.hpp"

namespace ringgate::load {
namespace {

constexpr std::uint32_t status_locked = 1U << 12;
constexpr std::uint32_t status_front_door_open = 1U << 13;
// Alarms that stand until 0x8203 confirms them: bits 0, 3, 20, 21, 22, 27, 28.
constexpr std::uint32_t confirmable = 0x18700009;

AreaType area_type(std::uint16_t message_id) {
  return static_cast<AreaType>((message_id - 0x8600) / 2 + 1);
}

// The least a body has, for messages that are only accepted.
std::size_t least_bytes(std::uint16_t message_id) {
  switch (message_id) {
    case 0x8304: return 3;
    case 0x8400: return 1;
    case 0x8401: return 2;
    case 0x8701: return 1;
    case 0x9101: return 8;
    case 0x9102: return 4;
    case 0x9202: return 9;
    case 0x9301: return 3;
    default: return 2;
  }
}

}  // namespace

void Terminal::accept(const Command& command) {
  answer(command, command.body.size() < least_bytes(command.message_id) ? 2 : 0);
}

// 8.9
void Terminal::set_parameters(const Command& command) {
  answer(command, parameters_.set(command.body));
}

// 8.10-8.12
void Terminal::tell_parameters(const Command& command) {
  Body body;
  if (command.message_id == 0x8104) {
    body = parameters_.all(command.serial);
  } else if (!parameters_.some(command.serial, command.body, body)) {
    return answer(command, 2);
  }
  note("parameters-told").number("serial", command.serial).number("bytes", body.size());
  send(0x0104, body);
}

// 8.13. What breaks the link does so once the answer is out.
void Terminal::control(const Command& command) {
  BodyReader in(command.body);
  const std::uint8_t what = in.u8();
  const bool is_2013 = options_.version == Version::v2013;
  if (!in.ok()) return answer(command, 2);
  switch (what) {
    case 1:  // upgrade over the air
      if (!is_2013) return answer(command, 3);
      answer(command, 0);
      return later(200, 1500, 0x0108, {0, 0});
    case 2: return answer(command, 1);  // another server: it stays with this one
    case 5:
      parameters_.reset();
      areas_.clear();
      break;
    case 4: break;
    case 3:  // off; its owner turns it on again
    case 6:  // the data link, or all radio: its watchdog brings it back
    case 7:
      if (!is_2013) return answer(command, 3);
      break;
    default: return answer(command, 3);
  }
  answer(command, 0);
  note("leaves").number("why", what);
  out_->away_ns = restart_ns;
}

// 8.15
void Terminal::tell_attributes(const Command& command) {
  const bool wide = options_.version == Version::v2019;
  constexpr std::uint8_t iccid[10] = {0x89, 0x86, 0x04, 0x12, 0x34, 0x56, 0x78, 0x90, 0x12, 0x34};
  BodyWriter body;
  body.u16(0x0004).fixed("RGSIM", 5).fixed("RG-LOAD", wide ? 30 : 20);
  body.fixed(terminal_id_, wide ? 30 : 7).bytes(iccid).text1("H1.0").text1("F1.0");
  body.u8(0x03).u8(0x20);  // GPS and BeiDou; LTE
  note("command").text("message_id", "0x8107").number("serial", command.serial);
  send(0x0107, body.body());
}

// 8.16, 8.17
void Terminal::upgrade(const Command& command) {
  BodyReader in(command.body);
  const std::uint8_t type = in.u8();
  in.take(5);  // maker
  const Bytes version = in.take(in.u8());
  const std::uint32_t size = in.u32();
  if (!in.ok() || in.left() != size) return answer(command, 2);
  answer(command, 0);
  note("upgrade").number("type", type).text("version", as_text(version)).number("bytes", size);
  later(200, 1500, 0x0108, {type, 0});
}

// 8.18
void Terminal::tell_position(const Command& command) {
  BodyWriter body;
  body.u16(command.serial).bytes(position_bytes(here()));
  body.u8(0x01).u8(4).u32(here().odometer_hm);
  note("command").text("message_id", "0x8201").number("serial", command.serial);
  send(0x0201, body.body());
}

// 8.19
void Terminal::start_tracking(const Command& command) {
  BodyReader in(command.body);
  const std::uint16_t interval_s = in.u16();
  const std::uint32_t validity_s = interval_s > 0 ? in.u32() : 0;
  if (!in.ok()) return answer(command, 2);
  answer(command, 0);
  tracking_ = {interval_s, moment_->now + interval_s * ns_per_s,
               moment_->now + validity_s * ns_per_s};
  note("tracking").number("interval_s", interval_s).number("validity_s", validity_s);
}

// 8.20
void Terminal::confirm_alarm(const Command& command) {
  BodyReader in(command.body);
  in.u16();  // serial of the report; 0: all of these kinds
  const std::uint32_t bits = in.u32();
  if (!in.ended()) return answer(command, 2);
  alarm_bits_ &= ~(bits & confirmable);
  answer(command, 0);
}

// 8.21, since 2019
void Terminal::probe(const Command& command) {
  answer(command, options_.version == Version::v2019 ? 0 : 3);
}

// 8.22. The driver confirms what was urgent or says emergency: nothing of that is simulated.
void Terminal::show_text(const Command& command) {
  BodyReader in(command.body);
  const std::uint8_t flags = in.u8();
  const std::uint8_t type = options_.version == Version::v2019 ? in.u8() : 0;
  const Bytes text = in.rest();
  if (!in.ok()) return answer(command, 2);
  answer(command, 0);
  note("text").number("flags", flags).number("type", type).hex("gbk", text);
}

// JT/T 808-2013 8.24, 8.25: what the driver may choose to tell.
void Terminal::set_menu(const Command& command) {
  BodyReader in(command.body);
  const std::uint8_t way = in.u8();
  std::map<std::uint8_t, Body> given;
  if (way != 0) {
    const std::uint8_t count = in.u8();
    for (int i = 0; i < count && in.ok(); ++i) {
      const std::uint8_t id = in.u8();
      const Bytes text = in.left() > 0 ? in.take(in.u8()) : Bytes{};
      given[id] = {text.begin(), text.end()};
    }
  }
  if (!in.ok() || way > 4) return answer(command, 2);
  if (way <= 1) menu_.clear();  // none, or these instead
  for (auto& [id, text] : given) {
    if (way == 4) menu_.erase(id);
    else menu_[id] = std::move(text);
  }
  answer(command, 0);
  note("menu").number("entries", menu_.size());
  if (!menu_.empty() && chance_.below(2) == 0) {
    later(500, 3000, 0x0301, {std::next(menu_.begin(), chance_.below(
                                            static_cast<std::uint32_t>(menu_.size())))->first});
  }
}

// JT/T 808-2013 8.26, 8.27
void Terminal::ask_driver(const Command& command) {
  BodyReader in(command.body);
  const std::uint8_t flags = in.u8();
  const Bytes question = in.take(in.u8());
  std::vector<std::uint8_t> ids;
  while (in.ok() && in.left() > 0) {
    ids.push_back(in.u8());
    in.take(in.u16());
  }
  if (!in.ok()) return answer(command, 2);
  answer(command, 0);
  const std::uint8_t chosen =
      ids.empty() ? 0 : ids[chance_.below(static_cast<std::uint32_t>(ids.size()))];
  note("question").number("flags", flags).hex("gbk", question).number("chosen", chosen);
  BodyWriter body;
  body.u16(command.serial).u8(chosen);
  later(100, 900, 0x0302, body.take());  // the driver thinks
}

// JT/T 808-2013 8.28, 8.29
void Terminal::set_demands(const Command& command) {
  BodyReader in(command.body);
  const std::uint8_t way = in.u8();
  std::vector<std::uint8_t> types;
  if (way != 0) {
    const std::uint8_t count = in.u8();
    for (int i = 0; i < count && in.ok(); ++i) {
      types.push_back(in.u8());
      in.take(in.u16());
    }
  }
  if (!in.ok() || way > 3) return answer(command, 2);
  answer(command, 0);
  if (!types.empty() && chance_.below(2) == 0) later(500, 3000, 0x0303, {types.front(), 1});
}

// 8.32. In 2013 a byte of flags: bit 0 locks the doors.
void Terminal::control_vehicle_2013(const Command& command, Bytes body) {
  if (body.size() != 1) return answer(command, 2);
  const bool locks = (body[0] & 1) != 0;
  status_on_ = locks ? status_on_ | status_locked : status_on_ & ~status_locked;
  status_off_ = locks ? status_off_ & ~status_locked : status_off_ | status_locked;
  answer(command, 0);
}

// In 2019 a list; control 1, the doors, is the other way round: 0 locks, 1 opens.
void Terminal::control_vehicle(const Command& command) {
  if (options_.version == Version::v2013) {
    control_vehicle_2013(command, command.body);
    if (command.body.size() != 1) return;
  } else {
    BodyReader in(command.body);
    const std::uint16_t count = in.u16();
    for (int i = 0; i < count; ++i) {
      if (in.u16() != 1) return answer(command, in.ok() ? 3 : 2);
      const bool opens = in.u8() != 0;
      constexpr std::uint32_t both = status_locked | status_front_door_open;
      status_on_ = (status_on_ & ~both) | (opens ? status_front_door_open : status_locked);
      status_off_ = (status_off_ & ~both) | (opens ? status_locked : status_front_door_open);
    }
    if (!in.ended()) return answer(command, 2);
    answer(command, 0);
  }
  BodyWriter body;
  body.u16(command.serial).bytes(position_bytes(here()));
  note("vehicle").number("status_bits", here().status);
  send(0x0500, body.body());
}

// 8.35-8.42
void Terminal::set_area(const Command& command) {
  const std::uint8_t result = areas_.set(area_type(command.message_id), command.body);
  answer(command, result);
  if (areas_.count() > 0 && drive_due_ns_ == INT64_MAX) {
    drive_due_ns_ = moment_->now + drive_period_ns;
  }
}

void Terminal::remove_area(const Command& command) {
  answer(command, areas_.remove(area_type(command.message_id), command.body));
}

// 8.43, 8.44, since 2019
void Terminal::tell_areas(const Command& command) {
  if (options_.version == Version::v2013) return answer(command, 3);
  Body body;
  if (!areas_.query(command.body, body)) return answer(command, 2);
  note("command").text("message_id", "0x8608").number("serial", command.serial);
  send(0x0608, body);
}

namespace {

// The data that a recorder of GB/T 19056-2012 keeps for a command, of its length. Times are `now`.
Body recorder_data(std::uint8_t what, const BcdTime& now, Chance& chance) {
  BodyWriter out;
  switch (what) {
    case 0x00: out.u8(0x12).u8(0); break;                // of the year 2012
    case 0x01: out.fixed("310101199001011234", 18); break;  // the driver's licence
    case 0x02: out.bytes(now); break;
    case 0x03: out.bytes(now).bytes(now).u32(0).u32(0x00123456); break;
    case 0x04: out.bytes(now).u16(600); break;  // pulses
    case 0x05: out.fixed("LSVTEST0000000001", 17).fixed("TEST", 12).fixed("TRUCK", 12); break;
    case 0x06: out.bytes(now).u8(10).fixed({}, 80); break;
    case 0x07: out.fixed("RGSIM", 7).fixed("RG-LOAD", 16).fixed({}, 12); break;
    case 0x08:  // one minute of speeds and states
      out.bytes(now);
      for (int second = 0; second < 60; ++second) out.u8(50 + chance.below(20)).u8(0);
      break;
    default: out.bytes(now); break;
  }
  return out.take();
}

}  // namespace

// 8.45, 8.46; the block is GB/T 19056-2012 A.4: 55 7A | command | length | reserved | data | XOR.
void Terminal::read_recorder(const Command& command) {
  BodyReader in(command.body);
  const std::uint8_t what = in.u8();
  if (!in.ok()) return answer(command, 2);
  const Body data = recorder_data(what, bcd_time(moment_->wall), chance_);
  BodyWriter block;
  block.u16(0x557a).u8(what).u16(data.size()).u8(0).bytes(data);
  std::uint8_t check = 0;
  for (const std::uint8_t byte : block.body()) check = static_cast<std::uint8_t>(check ^ byte);
  block.u8(check);
  BodyWriter body;
  body.u16(command.serial).u8(what).bytes(block.body());
  note("command").text("message_id", "0x8700").number("serial", command.serial);
  send(0x0700, body.body());
}

// 8.47 (0x8702): who drives, read from the card.
void Terminal::tell_driver(const Command& command) {
  BodyWriter body;
  body.u8(1).bytes(bcd_time(moment_->wall)).u8(0);
  body.text1("\xd5\xc5\xc8\xfd").fixed("31010119900101123X", 20);  // GBK
  body.text1("RGSIM").u32(0x20301231);
  if (options_.version == Version::v2019) body.fixed("310101199001011234", 20);
  note("command").text("message_id", "0x8702").number("serial", command.serial);
  send(0x0702, body.body());
}

namespace {

// T/JSATL 12-2017 tables 31-34: what a driver assistant's part says of itself.
Body part_state() {
  BodyWriter out;
  out.u8(1).u32(0);  // works; no alarms
  return out.take();
}

Body part_info(std::uint8_t part, std::string_view terminal_id) {
  BodyWriter out;
  char device[24];
  std::snprintf(device, sizeof device, "%.*s-%02x", static_cast<int>(terminal_id.size()),
                terminal_id.data(), unsigned{part});
  out.text1("RGSIM").text1("RG-LOAD").text1("H1.0").text1("F1.0").text1(device).text1("RG");
  return out.take();
}

}  // namespace

// 8.62, 8.63; types F7 and F8 are T/JSATL 12-2017 4.4.
void Terminal::pass_through(const Command& command) {
  BodyReader in(command.body);
  const std::uint8_t type = in.u8();
  if (!in.ok()) return answer(command, 2);
  BodyWriter body;
  body.u8(type);
  if (type == 0xf7 || type == 0xf8) {
    const Bytes parts = in.take(in.u8());
    if (!in.ended()) return answer(command, 2);
    body.u8(parts.size());
    for (const std::uint8_t part : parts) {
      const Body told = type == 0xf7 ? part_state() : part_info(part, terminal_id_);
      body.u8(part).u8(told.size()).bytes(told);
    }
  } else if (type == 0x00) {
    body.text("$GNGGA,080000.00,3113.8250,N,12128.4220,E,1,14,0.8,12.0,M,0.0,M,,*5D");
  } else if (type == 0x0b) {
    body.fixed({}, 64);  // an IC card without anything on it
  } else if (type == 0x41 || type == 0x42 || type >= 0xf0) {
    body.bytes(in.rest());  // what hangs on the serial port is a plug that sends back
  } else {
    return answer(command, 3);
  }
  answer(command, 0);
  send(0x0900, body.body());
}

// 8.65, 8.66: a key that nobody has the other half of.
void Terminal::exchange_keys(const Command& command) {
  if (command.body.size() != 4 + 128) return answer(command, 2);
  BodyWriter body;
  body.u32(65'537).u8(0x80 | chance_.byte());
  for (int i = 1; i < 127; ++i) body.u8(chance_.byte());
  body.u8(1 | chance_.byte());
  answer(command, 0);
  send(0x0a00, body.body());
}

}  // namespace ringgate::load
