// T/JSATL 12-2017 (Jiangsu): alarms of driver assistance as items 0x64 to 0x67 of a position, and
// the sign that ties an alarm to its files. Provinces that took the standard over made the sign
// longer: T/GDRTA 002-2020 (Guangdong) prints it, the forms of Sichuan and Heilongjiang are known
// from terminals only. The size of an item tells which it is. Any thread.
#pragma once

#include "protocols/jt808/codec/schema.hpp"

namespace ringgate::jt808::tables {

// The layouts of everything that holds an alarm sign.
inline constexpr LayoutMask sign_layouts = in_js | in_gd | in_sc | in_hlj;

inline constexpr Field alarm_sign[] = {
    text("terminal_id", 7).in(in_js | in_odd),
    text("terminal_id", 30).in(in_gd | in_sc | in_hlj),
    time("time"),
    u8("sequence"),
    u8("attachments"),
    bytes("reserved", 1).in(in_js | in_odd | in_sc).or_else(0),
    bytes("reserved", 2).in(in_gd).or_else(0),
};

inline constexpr Name alarm_phases[] = {{0, "not-available"}, {1, "start"}, {2, "end"}};

inline constexpr Name adas_alarm_types[] = {
    {0x01, "forward-collision"},
    {0x02, "lane-departure"},
    {0x03, "headway-too-short"},
    {0x04, "pedestrian-collision"},
    {0x05, "frequent-lane-changes"},
    {0x06, "traffic-sign-exceeded"},
    {0x07, "obstacle"},
    {0x10, "traffic-sign-recognized"},
    {0x11, "snapshot"},
    {0x12, "solid-line-crossed", in_gd},
    {0x13, "pedestrian-in-aisle", in_gd},
};
inline constexpr Name dsm_alarm_types[] = {
    {0x01, "fatigue"},
    {0x02, "phone-call"},
    {0x03, "smoking"},
    {0x04, "distraction"},
    {0x05, "driver-abnormal"},
    {0x06, "camera-covered", in_gd},
    {0x08, "driving-overtime", in_gd},
    {0x0a, "seat-belt-off", in_gd},
    {0x0b, "infrared-blocking-sunglasses", in_gd},
    {0x0c, "both-hands-off", in_gd},
    {0x0d, "playing-with-phone", in_gd},
    {0x10, "snapshot"},
    {0x11, "driver-changed"},
};
inline constexpr Name bsd_alarm_types[] = {
    {0x01, "rear-approach"}, {0x02, "left-rear-approach"}, {0x03, "right-rear-approach"}};
inline constexpr Name deviations[] = {{0, "none"}, {1, "left"}, {2, "right"}};
inline constexpr Name road_signs[] = {
    {0, "none"},
    {1, "speed-limit"},
    {2, "height-limit"},
    {3, "weight-limit"},
    {4, "no-entry", in_gd},
    {5, "no-stopping", in_gd},
};
inline constexpr Name alarm_vehicle_bits[] = {
    {0, "acc-on"}, {1, "left-turn"},     {2, "right-turn"}, {3, "wiper"},
    {4, "brake"},  {5, "card-inserted"}, {10, "fixed"},
};
inline constexpr Name tyre_alarm_bits[] = {
    {0, "periodic-report"},  {1, "pressure-high"}, {2, "pressure-low"}, {3, "temperature-high"},
    {4, "sensor-abnormal"},  {5, "imbalance"},     {6, "slow-leak"},    {7, "battery-low"},
};

// What the four kinds have in common, from the speed on. Coordinates are magnitudes: the position
// that the item stands in says the hemispheres.
inline constexpr Field alarm_place[] = {
    u8("speed_kmh"),
    u16("altitude_m"),
    u32("latitude_deg").scaled(6),
    u32("longitude_deg").scaled(6),
    time("time"),
    bits("vehicle_status", 2, alarm_vehicle_bits),
    group("alarm_sign", alarm_sign),
};

inline constexpr Field adas_alarm[] = {
    u32("alarm_id"),
    u8("phase").named(alarm_phases),
    u8("type").named(adas_alarm_types),
    u8("level"),
    u8("front_speed_kmh").noted("types forward-collision and lane-departure"),
    u8("front_distance_s").tenths().noted("to the vehicle or pedestrian ahead"),
    u8("deviation").named(deviations).noted("type lane-departure"),
    u8("road_sign").named(road_signs),
    u8("road_sign_value"),
    inline_group(alarm_place),
};

inline constexpr Field dsm_alarm[] = {
    u32("alarm_id"),
    u8("phase").named(alarm_phases),
    u8("type").named(dsm_alarm_types),
    u8("level"),
    u8("fatigue_level").noted("1 to 10, type fatigue"),
    bytes("reserved", 4).or_else(0),
    inline_group(alarm_place),
};

// The Jiangsu table gives the position of a tyre a BYTE and then goes on two bytes later; terminals
// do either. Guangdong prints two bytes; a Guangdong terminal that sends one is shown as hex.
inline constexpr Field tyre[] = {
    u8("position").in(in_js | in_sc | in_hlj).noted("0: front left, then in a zigzag"),
    u16("position").in(in_gd | in_odd),
    bits("alarms", 2, tyre_alarm_bits),
    u16("pressure_kpa"),
    s16("temperature_c"),
    u16("battery_percent"),
};
inline constexpr Field tpms_alarm[] = {
    u32("alarm_id"),
    u8("phase").named(alarm_phases),
    inline_group(alarm_place),
    list1("tyres", tyre),
};

inline constexpr Field bsd_alarm[] = {
    u32("alarm_id"),
    u8("phase").named(alarm_phases),
    u8("type").named(bsd_alarm_types),
    inline_group(alarm_place),
};

}  // namespace ringgate::jt808::tables
