// The registry of items that may follow a position. Any thread.
//
// Vendors number their own items from 0xe1 up, and use others' numbers too: an item whose value has
// another size than the table says is shown as hex, never as something else. Items 0xf1 and 0xf2
// are Guangdong's where they have four bytes.
#pragma once

#include "protocols/jt808/codec/schema.hpp"
#include "protocols/jt808/codec/tables/jsatl12_alarms.hpp"
#include "protocols/jt808/codec/tables/names.hpp"

namespace ringgate::jt808::tables {

// JT/T 808-2019 tables 27 to 33, 2013 tables 27 to 32.
inline constexpr Field item_odometer[] = {u32("odometer_km").tenths()};
// Some terminals set the top bit and send percent (seen in the field).
inline constexpr Name fuel_units[] = {{0, "l"}, {1, "percent"}};
inline constexpr Part fuel_parts[] = {{0, 15, "fuel", 1}, {15, 1, "fuel_unit", 0, fuel_units}};
inline constexpr Field item_fuel[] = {bits("", 2, {}).with_parts(fuel_parts)};
inline constexpr Field item_recorder_speed[] = {u16("recorder_speed_kmh").tenths()};
inline constexpr Field item_manual_alarm[] = {u16("event_id")};
// One BYTE per wheel, from the front left one; 2019 gives Pa as the unit.
inline constexpr Field tyre_pressure[] = {u8("").invalid(0xff)};
inline constexpr Field item_tyre_pressure[] = {list_of("tyre_pressure_pa", 30, tyre_pressure)};
// The text says "top bit 1: negative", which is read as sign and magnitude; some read it as two's
// complement.
inline constexpr Field item_cabin_temperature[] = {sign16("cabin_temperature_c")};
inline constexpr Field item_overspeed[] = {
    u8("area_type").named(area_types),
    u32("area_id").if_not("area_type", 0).in(in_2013),
    u32("area_id").in(in_odd),  // terminals that send it for "none" too
};
inline constexpr Name directions[] = {{0, "in"}, {1, "out"}};
inline constexpr Field item_area[] = {
    u8("area_type").named(area_types),
    u32("area_id"),
    u8("direction").named(directions),
};
inline constexpr Name segment_results[] = {{0, "too-short"}, {1, "too-long"}};
inline constexpr Field item_segment[] = {
    u32("segment_id"),
    u16("driving_time_s"),
    u8("result").named(segment_results),
};
inline constexpr Name signal_bits[] = {
    {0, "low-beam"},   {1, "high-beam"},        {2, "right-turn"}, {3, "left-turn"},
    {4, "brake"},      {5, "reverse"},          {6, "fog-light"},  {7, "marker-light"},
    {8, "horn"},       {9, "air-conditioning"}, {10, "neutral"},   {11, "retarder"},
    {12, "abs"},       {13, "heater"},          {14, "clutch"},
};
inline constexpr Field item_signals[] = {bits("vehicle_signals", 4, signal_bits)};
inline constexpr Name io_bits[] = {{0, "deep-sleep"}, {1, "sleep"}};
inline constexpr Field item_io[] = {bits("io_status", 2, io_bits)};
// AD0 is bits 0 to 15 of a DWORD, so AD1 stands first.
inline constexpr Field item_analog[] = {u16("analog_1"), u16("analog_0")};
inline constexpr Field item_signal_strength[] = {u8("signal_strength")};
inline constexpr Field item_satellites[] = {u8("satellites")};
inline constexpr Field item_custom[] = {bytes_rest("custom")};

// JT/T 1078-2016 tables 13 to 15. Table 13 gives 0x18 two bytes, table 15 describes three.
inline constexpr Name channel_bits[] = {
    {0, "channel-1"},   {1, "channel-2"},   {2, "channel-3"},   {3, "channel-4"},
    {4, "channel-5"},   {5, "channel-6"},   {6, "channel-7"},   {7, "channel-8"},
    {8, "channel-9"},   {9, "channel-10"},  {10, "channel-11"}, {11, "channel-12"},
    {12, "channel-13"}, {13, "channel-14"}, {14, "channel-15"}, {15, "channel-16"},
    {16, "channel-17"}, {17, "channel-18"}, {18, "channel-19"}, {19, "channel-20"},
    {20, "channel-21"}, {21, "channel-22"}, {22, "channel-23"}, {23, "channel-24"},
    {24, "channel-25"}, {25, "channel-26"}, {26, "channel-27"}, {27, "channel-28"},
    {28, "channel-29"}, {29, "channel-30"}, {30, "channel-31"}, {31, "channel-32"},
};
inline constexpr Name storage_bits[] = {
    {0, "main-1"},    {1, "main-2"},    {2, "main-3"},    {3, "main-4"},
    {4, "main-5"},    {5, "main-6"},    {6, "main-7"},    {7, "main-8"},
    {8, "main-9"},    {9, "main-10"},   {10, "main-11"},  {11, "main-12"},
    {12, "backup-1"}, {13, "backup-2"}, {14, "backup-3"}, {15, "backup-4"},
};
inline constexpr Name abnormal_driving_bits[] = {{0, "fatigue"}, {1, "phone-call"}, {2, "smoking"}};
inline constexpr Field item_video_alarms[] = {bits("video_alarms", 4, video_alarm_bits)};
inline constexpr Field item_signal_lost[] = {bits("channels", 4, channel_bits)};
inline constexpr Field item_occluded[] = {bits("channels", 4, channel_bits)};
inline constexpr Field item_storage_fault[] = {bits("storage_units", 2, storage_bits)};
inline constexpr Field item_abnormal_driving[] = {
    bits("abnormal_driving", 2, abnormal_driving_bits),
    u8("fatigue_level").optional(),
};

// T/GDRTA 002-2020: installation and algorithm faults; what the bits mean is left to the maker.
inline constexpr Field item_installation_fault[] = {u32("installation_fault").hex()};
inline constexpr Field item_algorithm_fault[] = {u32("algorithm_fault").hex()};

// What many trackers nest in item 0xeb: {WORD length of the rest, WORD id, value}. In no standard.
inline constexpr Field eb_voltage[] = {u16("voltage_v").scaled(3)};
inline constexpr Field eb_extended_status[] = {
    u32("extended_status").hex().noted("bits are active when 0")};
inline constexpr Field eb_iccid[] = {digits("iccid", 10)};
inline constexpr Field eb_extended_alarms[] = {u32("extended_alarms").hex()};
inline constexpr ItemSpec eb_item_specs[] = {
    {0x002d, "voltage", "seen in the field", eb_voltage},
    {0x0089, "extended-status", "seen in the field", eb_extended_status},
    {0x00b2, "iccid", "seen in the field", eb_iccid},
    {0x00c5, "extended-alarms", "seen in the field", eb_extended_alarms},
};
inline constexpr Registry eb_items = {.name = "items nested in item 0xeb",
                                      .id_size = 2,
                                      .length_size = 2,
                                      .length_first = true,
                                      .items = eb_item_specs};
inline constexpr Field item_eb[] = {items("nested", eb_items)};

inline constexpr ItemSpec location_item_specs[] = {
    {0x01, "odometer", "JT/T 808-2013 table 27", item_odometer},
    {0x02, "fuel", "JT/T 808-2013 table 27", item_fuel},
    {0x03, "recorder-speed", "JT/T 808-2013 table 27", item_recorder_speed},
    {0x04, "manual-alarm", "JT/T 808-2013 table 27", item_manual_alarm},
    {0x05, "tyre-pressure", "JT/T 808-2019 table 27", item_tyre_pressure},
    {0x06, "cabin-temperature", "JT/T 808-2019 table 27", item_cabin_temperature},
    {0x11, "overspeed", "JT/T 808-2013 table 28", item_overspeed, in_2013 | in_odd},
    {0x12, "area", "JT/T 808-2013 table 29", item_area},
    {0x13, "segment", "JT/T 808-2013 table 30", item_segment},
    {0x14, "video-alarms", "JT/T 1078-2016 table 14", item_video_alarms},
    {0x15, "video-signal-lost", "JT/T 1078-2016 table 13", item_signal_lost},
    {0x16, "video-signal-occluded", "JT/T 1078-2016 table 13", item_occluded},
    {0x17, "storage-fault", "JT/T 1078-2016 table 13", item_storage_fault},
    {0x18, "abnormal-driving", "JT/T 1078-2016 table 15", item_abnormal_driving},
    {0x25, "vehicle-signals", "JT/T 808-2013 table 31", item_signals},
    {0x2a, "io-status", "JT/T 808-2013 table 32", item_io},
    {0x2b, "analog", "JT/T 808-2013 table 27", item_analog},
    {0x30, "signal-strength", "JT/T 808-2013 table 27", item_signal_strength},
    {0x31, "satellites", "JT/T 808-2013 table 27", item_satellites},
    {0x64, "adas-alarm", "T/JSATL 12-2017 table 4-15", adas_alarm, sign_layouts},
    {0x65, "dsm-alarm", "T/JSATL 12-2017 table 4-17", dsm_alarm, sign_layouts},
    {0x66, "tpms-alarm", "T/JSATL 12-2017 table 4-18", tpms_alarm, sign_layouts | in_odd},
    {0x67, "bsd-alarm", "T/JSATL 12-2017 table 4-21", bsd_alarm, sign_layouts},
    {0xe0, "custom", "JT/T 808-2013 table 27", item_custom},
    {0xeb, "nested-items", "seen in the field", item_eb},
    {0xf1, "installation-fault", "T/GDRTA 002-2020", item_installation_fault},
    {0xf2, "algorithm-fault", "T/GDRTA 002-2020", item_algorithm_fault},
};
inline constexpr Registry location_items = {.name = "location items",
                                            .id_size = 1,
                                            .length_size = 1,
                                            .items = location_item_specs};

}  // namespace ringgate::jt808::tables
