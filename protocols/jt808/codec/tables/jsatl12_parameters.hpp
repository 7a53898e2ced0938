// Parameters of T/JSATL 12-2017 (tables 4-10 to 4-13) and what T/GDRTA 002-2020 adds: how the
// systems that watch the road, the driver, the tyres and the blind spots raise alarms. A value of
// all ones, "leave it as it is", is null. Any thread.
#pragma once

#include "protocols/jt808/codec/schema.hpp"

namespace ringgate::jt808::tables {

constexpr Field u8_or_keep(std::string_view key) { return u8(key).invalid(0xff); }
constexpr Field u16_or_keep(std::string_view key) { return u16(key).invalid(0xffff); }
// Photographs are taken in steps of 100 ms.
constexpr Field tenths_or_keep(std::string_view key) { return u8_or_keep(key).tenths(); }

inline constexpr Name photo_strategies[] = {
    {0, "off"}, {1, "timer"}, {2, "distance"}, {3, "reserved"}, {0xff, "unchanged"}};
inline constexpr Name photo_resolutions[] = {
    {1, "352x288"},  {2, "704x288"},   {3, "704x576"},      {4, "640x480"},
    {5, "1280x720"}, {6, "1920x1080"}, {0xff, "unchanged"},
};
inline constexpr Name video_resolutions[] = {
    {1, "cif"}, {2, "hd1"},  {3, "d1"},    {4, "wd1"},
    {5, "vga"}, {6, "720p"}, {7, "1080p"}, {0xff, "unchanged"},
};

// What both systems with a camera begin with.
inline constexpr Field camera_settings[] = {
    u8_or_keep("alarm_speed_kmh"),
    u8_or_keep("volume").noted("0 to 8"),
    u8("photo_strategy").named(photo_strategies),
    u16_or_keep("photo_interval_s"),
    u16_or_keep("photo_distance_m"),
    u8_or_keep("photos"),
    tenths_or_keep("photo_gap_s"),
    u8("photo_resolution").named(photo_resolutions),
    u8("video_resolution").named(video_resolutions),
};

// How an alarm is recorded. "speed_kmh": from there on the alarm is of the second level.
inline constexpr Field alarm_recording[] = {
    u8_or_keep("speed_kmh"),
    u8_or_keep("video_s").noted("before and after the alarm"),
    u8_or_keep("photos"),
    tenths_or_keep("photo_gap_s"),
};
inline constexpr Field timed_alarm_recording[] = {
    tenths_or_keep("threshold_s"),
    inline_group(alarm_recording),
};
inline constexpr Field lane_change_recording[] = {
    u8_or_keep("window_s"),
    u8_or_keep("times"),
    inline_group(alarm_recording),
};
inline constexpr Field photo_recording[] = {u8_or_keep("photos"), tenths_or_keep("photo_gap_s")};

inline constexpr Name adas_alarm_switches[] = {
    {0, "obstacle-1"},
    {1, "obstacle-2"},
    {2, "frequent-lane-changes-1"},
    {3, "frequent-lane-changes-2"},
    {4, "lane-departure-1"},
    {5, "lane-departure-2"},
    {6, "forward-collision-1"},
    {7, "forward-collision-2"},
    {8, "pedestrian-collision-1"},
    {9, "pedestrian-collision-2"},
    {10, "headway-too-short-1"},
    {11, "headway-too-short-2"},
    {16, "traffic-sign-exceeded"},
    {17, "solid-line-crossed-1", in_gd},
    {18, "solid-line-crossed-2", in_gd},
    {19, "pedestrian-in-aisle", in_gd},
};
inline constexpr Name adas_event_switches[] = {{0, "traffic-sign-recognized"}, {1, "snapshot"}};

// 0xf364: 56 bytes; 64 in Guangdong, where the reserved bytes are not counted on.
inline constexpr Field adas_parameters[] = {
    inline_group(camera_settings),
    bits("alarms_enabled", 4, adas_alarm_switches),
    bits("events_enabled", 4, adas_event_switches),
    bytes("reserved", 1).or_else(0),
    group("obstacle", timed_alarm_recording),
    group("frequent_lane_changes", lane_change_recording),
    group("lane_departure", alarm_recording),
    group("forward_collision", timed_alarm_recording),
    group("pedestrian_collision", timed_alarm_recording),
    group("headway", timed_alarm_recording),
    group("traffic_sign", photo_recording),
    group("solid_line", alarm_recording).in(in_gd),
    group("pedestrian_in_aisle", alarm_recording).in(in_gd),
    bytes("reserved_2", 4).in(in_js).or_else(0),
    bytes_rest("reserved_2").in(in_gd).or_else(0),
};

inline constexpr Name dsm_alarm_switches[] = {
    {0, "fatigue-1"},
    {1, "fatigue-2"},
    {2, "phone-call-1"},
    {3, "phone-call-2"},
    {4, "smoking-1"},
    {5, "smoking-2"},
    {6, "distraction-1"},
    {7, "distraction-2"},
    {8, "driver-abnormal-1"},
    {9, "driver-abnormal-2"},
    {10, "camera-covered-1", in_gd},
    {11, "camera-covered-2", in_gd},
    {12, "seat-belt-off-1", in_gd},
    {13, "seat-belt-off-2", in_gd},
    {14, "infrared-blocking-sunglasses-1", in_gd},
    {15, "infrared-blocking-sunglasses-2", in_gd},
    {16, "both-hands-off-1", in_gd},
    {17, "both-hands-off-2", in_gd},
    {18, "playing-with-phone-1", in_gd},
    {19, "playing-with-phone-2", in_gd},
};
inline constexpr Name dsm_event_switches[] = {{0, "driver-changed"}, {1, "snapshot"}};
inline constexpr Name identification_triggers[] = {
    {0, "off"}, {1, "timer"}, {2, "distance"}, {3, "card"}, {4, "reserved"}, {0xff, "unchanged"}};

// 0xf365: 49 bytes. Public readings of the Guangdong table disagree on how many bytes are reserved
// at its end (one or two): all there are.
inline constexpr Field dsm_parameters[] = {
    inline_group(camera_settings),
    bits("alarms_enabled", 4, dsm_alarm_switches),
    bits("events_enabled", 4, dsm_event_switches),
    u16_or_keep("smoking_interval_s"),
    u16_or_keep("phone_call_interval_s"),
    bytes("reserved", 3).or_else(0),
    group("fatigue", alarm_recording),
    group("phone_call", alarm_recording),
    group("smoking", alarm_recording),
    group("distraction", alarm_recording),
    group("driver_abnormal", alarm_recording),
    u8("driver_identification").named(identification_triggers),
    u8_or_keep("camera_covered_speed_kmh").in(in_gd),
    group("seat_belt", alarm_recording).in(in_gd),
    group("infrared_blocking_sunglasses", alarm_recording).in(in_gd),
    group("both_hands_off", alarm_recording).in(in_gd),
    group("playing_with_phone", alarm_recording).in(in_gd),
    bytes("reserved_2", 2).in(in_js).or_else(0),
    bytes_rest("reserved_2").in(in_gd).or_else(0),
};

inline constexpr Name pressure_units[] = {{0, "kg/cm2"}, {1, "bar"}, {2, "kpa"}, {3, "psi"}};

// 0xf366: 36 bytes. Pressures are in the unit that the table itself sets.
inline constexpr Field tpms_parameters[] = {
    text("tyre_model", 12),
    u16("pressure_unit").named(pressure_units),
    u16_or_keep("normal_pressure"),
    u16_or_keep("imbalance_percent"),
    u16_or_keep("slow_leak_percent"),
    u16_or_keep("low_pressure"),
    u16_or_keep("high_pressure"),
    u16_or_keep("high_temperature_c"),
    u16_or_keep("low_battery_percent"),
    u16_or_keep("report_interval_s"),
    bytes("reserved", 6).or_else(0),
};

// 0xf367: 2 bytes.
inline constexpr Field bsd_parameters[] = {
    u8_or_keep("rear_approach_s"),
    u8_or_keep("side_rear_approach_s"),
};

// 0xf370: in Guangdong only.
inline constexpr Field smart_video_version[] = {u8("protocol_version")};

}  // namespace ringgate::jt808::tables
