// Messages that manage the terminal: parameters, attributes, control, upgrades, lost packets.
// Any thread.
#pragma once

#include "protocols/jt808/codec/schema.hpp"
#include "protocols/jt808/codec/tables/names.hpp"
#include "protocols/jt808/codec/tables/parameters.hpp"

namespace ringgate::jt808::tables {

constexpr LayoutMask since_2013 = in_2013 | in_2019;

inline constexpr Field packet_number[] = {u16("")};
// The 2013 table prints the numbers at offset 4; their count is a BYTE there and a WORD in 2019.
inline constexpr Field resend_packets[] = {
    u16("first_serial"),
    list1("packets", packet_number).in(before_2019),
    list2("packets", packet_number).in(in_2019),
};
inline constexpr Field resend_packets_2019[] = {
    u16("first_serial"),
    list2("packets", packet_number),
};

inline constexpr Field parameters_reply[] = {
    u16("reply_serial"),
    items("parameters", parameters, Extent::prefix1),
};
inline constexpr Field set_parameters[] = {items("parameters", parameters, Extent::prefix1)};
inline constexpr Field parameter_id[] = {id32("")};
inline constexpr Field query_parameters[] = {list1("parameter_ids", parameter_id)};

inline constexpr Name terminal_type_bits[] = {
    {0, "passenger-vehicles"}, {1, "dangerous-goods-vehicles"}, {2, "freight-vehicles"},
    {3, "taxis"},              {6, "disk-recording"},           {7, "split"},
    {8, "trailers", in_2019 | in_odd},
};
inline constexpr Name communication_bits[] = {
    {0, "gprs"}, {1, "cdma"}, {2, "td-scdma"}, {3, "wcdma"}, {4, "cdma2000"},
    {5, "lte"}, {7, "other"},
};
// The 2013 table prints the ICCID at 42; it stands at 34. Some terminals of 2019 send the 11 bytes
// of a maker that only 0x0100 has: the layout that uses up the body tells.
inline constexpr Field attributes[] = {
    bits("type", 2, terminal_type_bits),
    text("maker", 5).in(in_2013 | in_2019),
    text("maker", 11).in(in_odd),
    text("model", 20).in(in_2013),
    text("model", 30).in(in_2019 | in_odd),
    text("terminal_id", 7).in(in_2013),
    text("terminal_id", 30).in(in_2019 | in_odd),
    digits("iccid", 10),
    text1("hardware_version"),
    text1("firmware_version"),
    bits("gnss", 1, gnss_mode_bits),
    bits("communication", 1, communication_bits),
};

// T/JSATL 12-2017 adds the external systems and the results from 0x10 on.
inline constexpr Name upgrade_types[] = {
    {0, "terminal"}, {12, "ic-card-reader"}, {52, "gnss-module"}, {0x64, "adas"},
    {0x65, "dsm"},   {0x66, "tpms"},         {0x67, "bsd"},
};
inline constexpr Name upgrade_results[] = {
    {0x00, "ok"},
    {0x01, "failed"},
    {0x02, "cancelled"},
    {0x10, "device-not-found"},
    {0x11, "hardware-not-supported"},
    {0x12, "same-version"},
    {0x13, "version-not-supported"},
};
inline constexpr Field upgrade[] = {
    u8("type").named(upgrade_types).or_else(0),
    text("maker", 5).or_else(0),
    text1("version"),
    bytes4("data"),
};
inline constexpr Field upgrade_result[] = {
    u8("type").named(upgrade_types),
    u8("result").named(upgrade_results),
};

// 2019 keeps 2, 4 and 5; Guangdong brings 1 back. Other numbers are the vendors'.
inline constexpr Name control_commands[] = {
    {1, "wireless-upgrade"}, {2, "connect-to-server"},
    {3, "power-off"},        {4, "reset"},
    {5, "factory-reset"},    {6, "close-data-connection"},
    {7, "close-all-radio"},
};
inline constexpr Field control[] = {
    u8("command").named(control_commands),
    text_rest("parameters")
        .or_else(0)
        .secret()
        .noted("separated by ';', holds passwords. Upgrade: url, apn, dial user, dial password, "
               "address, tcp port, udp port, maker, hardware, firmware, time limit in minutes. "
               "Connect: control, authentication code, apn, dial user, dial password, address, "
               "tcp port, udp port, time limit in minutes; nothing behind a control of 1"),
};

// How some vendors ask for the time instead of with 0x0004; UTC.
inline constexpr Field vendor_time[] = {
    u16("year"), u8("month"),  u8("day"),    u8("hour"),
    u8("minute"), u8("second"), u8("result"),
};

constexpr Answer no_answer = {Answer::Rule::none};
constexpr Answer answered_by(std::uint16_t id) { return {Answer::Rule::own, id}; }
constexpr Answer answered_without_serial(std::uint16_t id) {
  return {Answer::Rule::own, id, false};
}

inline constexpr MessageSpec terminal_messages[] = {
    {.id = 0x0005,
     .name = "packets-request",
     .source = "JT/T 808-2019 8.7",
     .from_device = true,
     .fields = resend_packets_2019,
     .versions = in_2019},
    {.id = 0x0104,
     .name = "parameters",
     .source = "JT/T 808-2019 8.15, 2013 8.11",
     .from_device = true,
     .fields = parameters_reply,
     .layouts = since_2013},
    {.id = 0x0107,
     .name = "attributes",
     .source = "JT/T 808-2019 8.18, 2013 8.15",
     .from_device = true,
     .fields = attributes,
     .layouts = in_2013 | in_2019 | in_odd,
     .versions = since_2013},
    {.id = 0x0108,
     .name = "upgrade-result",
     .source = "JT/T 808-2019 8.20, 2013 8.17",
     .from_device = true,
     .fields = upgrade_result,
     .versions = since_2013},
    {.id = 0x0109,
     .name = "vendor-time-query",
     .source = "seen in the field",
     .from_device = true},
    {.id = 0x8003,
     .name = "packets-request-to-terminal",
     .source = "JT/T 808-2019 8.6, 2013 8.4",
     .from_device = false,
     .fields = resend_packets,
     .layouts = since_2013,
     .versions = since_2013,
     .answer = no_answer},
    {.id = 0x8103,
     .name = "set-parameters",
     .source = "JT/T 808-2019 8.12, 2013 8.9",
     .from_device = false,
     .fields = set_parameters,
     .layouts = since_2013},
    {.id = 0x8104,
     .name = "query-parameters",
     .source = "JT/T 808-2019 8.13, 2013 8.10",
     .from_device = false,
     .answer = answered_by(0x0104)},
    {.id = 0x8105,
     .name = "control-terminal",
     .source = "JT/T 808-2019 8.16, 2013 8.12",
     .from_device = false,
     .fields = control},
    {.id = 0x8106,
     .name = "query-some-parameters",
     .source = "JT/T 808-2019 8.14, 2013 8.13",
     .from_device = false,
     .fields = query_parameters,
     .versions = since_2013,
     .answer = answered_by(0x0104)},
    {.id = 0x8107,
     .name = "query-attributes",
     .source = "JT/T 808-2019 8.17, 2013 8.14",
     .from_device = false,
     .versions = since_2013,
     .answer = answered_without_serial(0x0107)},
    {.id = 0x8108,
     .name = "upgrade",
     .source = "JT/T 808-2019 8.19, 2013 8.16",
     .from_device = false,
     .fields = upgrade,
     .versions = since_2013},
    {.id = 0x8109,
     .name = "vendor-time-reply",
     .source = "seen in the field",
     .from_device = false,
     .fields = vendor_time,
     .answer = no_answer},
    {.id = 0x8204,
     .name = "link-probe",
     .source = "JT/T 808-2019 annex B",
     .from_device = false,
     .versions = in_2019},
};

}  // namespace ringgate::jt808::tables
