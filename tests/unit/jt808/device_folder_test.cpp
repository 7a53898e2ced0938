// What the folder makes of a log is what the session had when it wrote it.
#include "protocols/jt808/device_folder.hpp"

#include <fmt/format.h>

#include "storage/log/reader.hpp"
#include "tests/unit/jt808/terminal.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;
using namespace ringgate::jt808::test;
using device::Device;

constexpr std::int64_t now_s = RigSys::start_unix_s + 1000;

std::string text_of(Device device) {
  const LastState& last = device.last_state<LastState>();
  std::string text = fmt::format(
      "frames {} heard {} online {} at {} came {} lat {} version {} 2011 {} odometer {} recent",
      device.frames, device.last_heard_us, device.online_since_us, last.time_unix_s,
      last.received_us, last.latitude_deg_x1e6, last.version, last.layout_2011,
      last.odometer_km_x10);
  device.for_each_recent([&](std::uint32_t one) { text += fmt::format(" {:x}", one); });
  return text;
}

// Everything of the log, into a new table.
void fold_all(Gateway& gateway, device::DeviceTable& table) {
  DeviceFolder folder;
  folder.next_run();
  auto reader = log::Reader::open(gateway.sys, gateway.data_dir(), {});
  REQUIRE(reader.ok());
  using Sight = DeviceFolder::Sight;
  for (log::Entry entry; (*reader)->next(entry);) {
    const event::RecordView record = entry.record.view();
    const Sight sight = folder.look(record);
    if (sight == Sight::nothing) continue;
    const DeviceKey key(record.ns, record.device);
    const device::DeviceSlot slot =
        sight == Sight::makes_known ? table.find_or_add(key) : table.find(key);
    if (slot != device::no_device) folder.fold(record, table.at(slot));
  }
}

Raw register_2011(Terminal& terminal) {
  FrameWriter writer(terminal.peer, id::registration, terminal.serial++);
  writer.u16(44).u16(300).fixed("ABCDE", 5).fixed("M1", 8).fixed("T1", 7).u8(1).text("A88888");
  return written([&](MutableBytes out) { return writer.finish(out); });
}

// A position in two parts: each counts, the whole moves the device.
void report_in_parts(Terminal& terminal, std::uint32_t latitude) {
  FrameWriter whole(make_peer(Version::v2013, "1"), id::location, 0);
  whole.u32(0).u32(3).u32(latitude).u32(114'000'000).u16(0).u16(0).u16(0).time_gmt8(now_s + 90);
  const Raw body(whole.unescaped().begin() + 12, whole.unescaped().end());
  for (std::uint16_t number = 1; number <= 2; ++number) {
    FrameWriter part(terminal.peer, id::location, terminal.serial++, 2, number);
    part.bytes(Bytes(body).subspan(number == 1 ? 0 : 14, 14));
    CHECK(terminal.says(written([&](MutableBytes out) { return part.finish(out); }), id::location,
                        AckResult::ok));
  }
}

// All that a terminal may do to its last state.
void live(Gateway& gateway, Terminal& terminal) {
  const auto report = [&](std::int64_t time_s, std::uint32_t latitude) {
    CHECK(terminal.says(terminal.location(time_s, latitude), id::location, AckResult::ok));
    gateway.sys.advance(3 * ns_per_s);
  };
  report(now_s, 1);
  report(now_s - 500, 2);  // late
  const Raw again = terminal.location(now_s + 5, 3);
  CHECK(terminal.says(again, id::location, AckResult::ok));
  CHECK(terminal.says(again, id::location, AckResult::ok));  // a retransmission
  const LocationFields positions[] = {{.latitude_deg_x1e6 = 5, .time_unix_s = now_s + 60},
                                      {.latitude_deg_x1e6 = 4, .time_unix_s = now_s + 30}};
  CHECK(terminal.says(written([&](MutableBytes out) {
                        return write_location_batch(out, terminal.peer, terminal.serial++, 1,
                                                    positions);
                      }),
                      id::location_batch, AckResult::ok));
  report_in_parts(terminal, 6);
  CHECK(terminal.says(terminal.message(id::location, Raw(27)), id::location,
                      AckResult::bad_message));
  CHECK(terminal.says(terminal.message(0x0f01, Raw(3)), 0x0f01, AckResult::unsupported));
}

}  // namespace

TEST_CASE("what is folded from the log is what the session had") {
  for (const bool of_2011 : {false, true}) {
    for (const Version version : {Version::v2013, Version::v2019}) {
      if (of_2011 && version == Version::v2019) continue;
      Gateway gateway;
      Terminal terminal(gateway, gateway.jt808(), "13800138000", version);
      terminal.link->send(of_2011 ? register_2011(terminal) : terminal.registration());
      terminal.reply_serial = 1;
      gateway.until([&] { return !terminal.link->in.empty(); });
      terminal.link->in.clear();
      REQUIRE(terminal.goes_online());
      live(gateway, terminal);
      // Registers, and never proves who it is: nobody knows it.
      Terminal stranger(gateway, gateway.jt808(), "13800138001", version);
      stranger.link->send(stranger.registration());
      gateway.until([&] { return !stranger.link->in.empty(); });
      const Device had = *gateway.device("13800138000");
      CHECK(gateway.device("13800138001") == nullptr);
      gateway.stop();
      flow::Budget budget(0);
      device::DeviceTable table(budget);
      fold_all(gateway, table);
      REQUIRE(table.size() == 1);
      CHECK(text_of(table.at(0)) == text_of(had));
      Device folded = table.at(0);
      CHECK(folded.last_state<LastState>().latitude_deg_x1e6 == 6);
      CHECK(folded.last_state<LastState>().layout_2011 == (of_2011 ? 1 : 0));
      CHECK(folded.frames == 9);
    }
  }
}

TEST_CASE("every bit of the last state that the folder makes is the session's") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  live(gateway, terminal);
  const Device had = *gateway.device("13800138000");
  gateway.stop();
  flow::Budget budget(0);
  device::DeviceTable table(budget);
  fold_all(gateway, table);
  REQUIRE(table.size() == 1);
  CHECK(to_hex({table.at(0).last_state_storage, sizeof(LastState)}) ==
        to_hex({had.last_state_storage, sizeof(LastState)}));
}

TEST_CASE("records that no terminal's session wrote harm nobody") {
  DeviceFolder folder;
  Device device;
  for (std::size_t size = 0; size < 40; ++size) {
    const Raw payload(size, 0x7f);
    for (const std::uint16_t message : {id::location, id::registration, id::authentication}) {
      const event::RecordView record{.kind = event::RecordKind::frame_up,
                                     .ns = Namespace::phone,
                                     .message = message,
                                     .device = "1",
                                     .payload = payload};
      CHECK(folder.look(record) != DeviceFolder::Sight::nothing);
      folder.fold(record, device);
    }
  }
  CHECK(device.frames == 0);
}
