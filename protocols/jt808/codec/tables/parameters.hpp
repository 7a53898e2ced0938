// The registry of terminal parameters: 0x8103 sets them, 0x0104 lists them. Any thread.
//
// JT/T 808-2019 8.12, 2013 8.9 and table 12; JT/T 1078-2016 table 2 and those it names; T/JSATL 12.
// A parameter whose value has another size than the table says is shown as hex; 0xf000 to 0xffff
// belong to the vendors. Values are under "value" with their unit ("value_s") or "text".
#pragma once

#include "protocols/jt808/codec/schema.hpp"
#include "protocols/jt808/codec/tables/jsatl12_parameters.hpp"
#include "protocols/jt808/codec/tables/names.hpp"

namespace ringgate::jt808::tables {

inline constexpr Field parameter_u8[] = {u8("value")};
inline constexpr Field parameter_u16[] = {u16("value")};
inline constexpr Field parameter_u32[] = {u32("value")};
inline constexpr Field parameter_text[] = {text_rest("text")};
inline constexpr Field parameter_secret[] = {text_rest("text").secret()};
inline constexpr Field parameter_s[] = {u32("value_s")};
inline constexpr Field parameter_u16_s[] = {u16("value_s")};
inline constexpr Field parameter_ms[] = {u32("value_ms")};
inline constexpr Field parameter_m[] = {u32("value_m")};
inline constexpr Field parameter_u16_m[] = {u16("value_m")};
inline constexpr Field parameter_deg[] = {u32("value_deg")};
inline constexpr Field parameter_u16_deg[] = {u16("value_deg")};
inline constexpr Field parameter_kmh[] = {u32("value_kmh")};
inline constexpr Field parameter_u16_kmh_x10[] = {u16("value_kmh").tenths()};
inline constexpr Field parameter_km_x10[] = {u32("value_km").tenths()};
inline constexpr Field parameter_alarms[] = {bits("alarms", 4, alarm_bits)};

inline constexpr Name report_strategies[] = {{0, "time"}, {1, "distance"}, {2, "both"}};
inline constexpr Field parameter_report_strategy[] = {u32("value").named(report_strategies)};
inline constexpr Name report_schemes[] = {{0, "acc"}, {1, "login-and-acc"}};
inline constexpr Field parameter_report_scheme[] = {u32("value").named(report_schemes)};
inline constexpr Name answering_rules[] = {{0, "automatic"}, {1, "automatic-with-acc-on"}};
inline constexpr Field parameter_answering[] = {u32("value").named(answering_rules)};
inline constexpr Field parameter_plate_color[] = {u8("value").named(plate_colors)};

inline constexpr Field parameter_forbidden_window[] = {
    u8("start_hour"), u8("start_minute"), u8("end_hour"), u8("end_minute")};

// 0x005d. The time is in steps of 4 ms up to 2013, in ms from 2019 on.
inline constexpr Part collision_parts_2013[] = {{0, 8, "time_4ms"}, {8, 8, "acceleration_g", 1}};
inline constexpr Part collision_parts_2019[] = {{0, 8, "time_ms"}, {8, 8, "acceleration_g", 1}};
inline constexpr Field parameter_collision[] = {
    bits("", 2, {}).with_parts(collision_parts_2013).in(in_2013),
    bits("", 2, {}).with_parts(collision_parts_2019).in(in_2019),
};

// 0x0064, 0x0065: JT/T 808-2013 tables 13 and 14. A channel stores its photographs, or uploads them
// where its bit says so.
inline constexpr Name photo_bits[] = {
    {0, "channel-1"},         {1, "channel-2"},         {2, "channel-3"},
    {3, "channel-4"},         {4, "channel-5"},         {8, "upload-channel-1"},
    {9, "upload-channel-2"},  {10, "upload-channel-3"}, {11, "upload-channel-4"},
    {12, "upload-channel-5"},
};
inline constexpr Name time_units[] = {{0, "s"}, {1, "min"}};
inline constexpr Name distance_units[] = {{0, "m"}, {1, "km"}};
inline constexpr Part timed_photo_parts[] = {{16, 1, "unit", 0, time_units}, {17, 15, "interval"}};
inline constexpr Part distance_photo_parts[] = {{16, 1, "unit", 0, distance_units},
                                                {17, 15, "interval"}};
inline constexpr Field parameter_timed_photos[] = {
    bits("channels", 4, photo_bits).with_parts(timed_photo_parts)};
inline constexpr Field parameter_distance_photos[] = {
    bits("channels", 4, photo_bits).with_parts(distance_photo_parts)};

// GNSS module: JT/T 808-2013 table 12.
inline constexpr Name gnss_mode_bits[] = {
    {0, "gps"}, {1, "beidou"}, {2, "glonass"}, {3, "galileo"}};
inline constexpr Field parameter_gnss_modes[] = {
    bits("modes", 1, gnss_mode_bits).in(in_2013),
    bits("modes", 4, gnss_mode_bits).in(in_odd),  // several terminals send a DWORD
};
inline constexpr Name gnss_bauds[] = {{0, "4800-baud"},  {1, "9600-baud"},  {2, "19200-baud"},
                                      {3, "38400-baud"}, {4, "57600-baud"}, {5, "115200-baud"}};
inline constexpr Field parameter_gnss_baud[] = {u8("value").named(gnss_bauds)};
inline constexpr Name gnss_rates[] = {
    {0, "500-ms"}, {1, "1000-ms"}, {2, "2000-ms"}, {3, "3000-ms"}, {4, "4000-ms"}};
inline constexpr Field parameter_gnss_rate[] = {u8("value").named(gnss_rates)};
inline constexpr Name gnss_upload_modes[] = {
    {0x00, "store"},      {0x01, "time"},           {0x02, "distance"},
    {0x0b, "total-time"}, {0x0c, "total-distance"}, {0x0d, "total-count"}};
inline constexpr Field parameter_gnss_upload[] = {u8("value").named(gnss_upload_modes)};

// 0x0110 and those behind it: one CAN id each.
inline constexpr Name can_bits[] = {{29, "average"}, {30, "extended-id"}, {31, "channel-2"}};
inline constexpr Part can_parts[] = {{0, 29, "can_id"}};
inline constexpr Field parameter_can_id[] = {
    u32("interval_ms"), bits("flags", 4, can_bits).with_parts(can_parts)};

// JT/T 1078-2016 tables 3 to 9.
inline constexpr Name bitrate_modes[] = {{0, "constant"}, {1, "variable"}, {2, "average"}};
inline constexpr Name stream_resolutions[] = {{0, "qcif"}, {1, "cif"},  {2, "wcif"}, {3, "d1"},
                                              {4, "wd1"},  {5, "720p"}, {6, "1080p"}};
inline constexpr Name osd_bits[] = {
    {0, "time"},           {1, "plate"},      {2, "channel"},      {3, "position"},
    {4, "recorder-speed"}, {5, "gnss-speed"}, {6, "driving-time"},
};
inline constexpr Field stream_settings[] = {
    u8("mode").named(bitrate_modes),
    u8("resolution").named(stream_resolutions),
    u16("key_frame_interval_frames"),
    u8("frame_rate_fps"),
    u32("bit_rate_kbps"),
};
inline constexpr Field parameter_av[] = {
    group("live", stream_settings),
    group("stored", stream_settings),
    bits("osd", 2, osd_bits),
    u8("audio_output").named(no_yes),
};
inline constexpr Name channel_types[] = {{0, "audio-and-video"}, {1, "audio"}, {2, "video"}};
inline constexpr Field av_channel[] = {
    u8("physical_channel"),
    u8("channel"),
    u8("type").named(channel_types),
    u8("has_ptz").named(no_yes),
};
// Terminals send unused entries behind the counted ones: the list goes to the end.
inline constexpr Field parameter_av_channels[] = {
    u8("audio_and_video_channels"),
    u8("audio_channels"),
    u8("video_channels"),
    list_rest("channels", av_channel),
};
inline constexpr Field channel_stream[] = {
    u8("channel"),
    group("live", stream_settings),
    group("stored", stream_settings),
    bits("osd", 2, osd_bits),
};
inline constexpr Field parameter_channel_streams[] = {list1("channels", channel_stream)};
inline constexpr Field parameter_special_alarms[] = {
    u8("storage_percent"), u8("duration_min"), u8("before_min")};
inline constexpr Field parameter_video_alarms[] = {bits("alarms", 4, video_alarm_bits)};
inline constexpr Field parameter_video_analysis[] = {u8("passengers"), u8("fatigue_level")};
inline constexpr Name wake_mode_bits[] = {{0, "condition"}, {1, "timer"}, {2, "manual"}};
inline constexpr Name wake_condition_bits[] = {
    {0, "emergency-alarm"}, {1, "collision-or-rollover"}, {2, "door-opened"}};
inline constexpr Name weekday_bits[] = {
    {0, "monday"}, {1, "tuesday"},  {2, "wednesday"}, {3, "thursday"},
    {4, "friday"}, {5, "saturday"}, {6, "sunday"},
};
inline constexpr Name period_bits[] = {
    {0, "period-1"}, {1, "period-2"}, {2, "period-3"}, {3, "period-4"}};
inline constexpr Field wake_period[] = {digits("wake_hhmm", 2), digits("sleep_hhmm", 2)};
inline constexpr Field parameter_sleep[] = {
    bits("modes", 1, wake_mode_bits),
    bits("conditions", 1, wake_condition_bits),
    bits("weekdays", 1, weekday_bits),
    bits("periods_enabled", 1, period_bits),
    list_of("periods", 4, wake_period),
};

constexpr std::string_view source_2013 = "JT/T 808-2013 table 12";
constexpr std::string_view source_2019 = "JT/T 808-2019 8.12";
constexpr std::string_view source_1078 = "JT/T 1078-2016 table 2";

inline constexpr ItemSpec parameter_specs[] = {
    {0x0001, "heartbeat-interval", source_2013, parameter_s},
    {0x0002, "tcp-answer-timeout", source_2013, parameter_s},
    {0x0003, "tcp-retries", source_2013, parameter_u32},
    {0x0004, "udp-answer-timeout", source_2013, parameter_s},
    {0x0005, "udp-retries", source_2013, parameter_u32},
    {0x0006, "sms-answer-timeout", source_2013, parameter_s},
    {0x0007, "sms-retries", source_2013, parameter_u32},
    {0x0010, "main-server-apn", source_2013, parameter_text},
    {0x0011, "main-server-dial-user", source_2013, parameter_text},
    {0x0012, "main-server-dial-password", source_2013, parameter_secret},
    {0x0013, "main-server-address", source_2013, parameter_text},
    {0x0014, "backup-server-apn", source_2013, parameter_text},
    {0x0015, "backup-server-dial-user", source_2013, parameter_text},
    {0x0016, "backup-server-dial-password", source_2013, parameter_secret},
    {0x0017, "backup-server-address", source_2013, parameter_text},
    {0x0018, "server-tcp-port", source_2013, parameter_u32},
    {0x0019, "server-udp-port", source_2013, parameter_u32},
    {0x001a, "ic-card-server-address", source_2013, parameter_text},
    {0x001b, "ic-card-server-tcp-port", source_2013, parameter_u32},
    {0x001c, "ic-card-server-udp-port", source_2013, parameter_u32},
    {0x001d, "ic-card-backup-server-address", source_2013, parameter_text},
    {0x0020, "report-strategy", source_2013, parameter_report_strategy},
    {0x0021, "report-scheme", source_2013, parameter_report_scheme},
    {0x0022, "report-interval-not-logged-in", source_2013, parameter_s},
    {0x0023, "secondary-server-apn", source_2019, parameter_text},
    {0x0024, "secondary-server-dial-user", source_2019, parameter_text},
    {0x0025, "secondary-server-dial-password", source_2019, parameter_secret},
    {0x0026, "secondary-server-address", source_2019, parameter_text},
    {0x0027, "report-interval-asleep", source_2013, parameter_s},
    {0x0028, "report-interval-emergency", source_2013, parameter_s},
    {0x0029, "report-interval", source_2013, parameter_s},
    {0x002c, "report-distance", source_2013, parameter_m},
    {0x002d, "report-distance-not-logged-in", source_2013, parameter_m},
    {0x002e, "report-distance-asleep", source_2013, parameter_m},
    {0x002f, "report-distance-emergency", source_2013, parameter_m},
    {0x0030, "turn-angle", source_2013, parameter_deg},
    {0x0031, "fence-radius", source_2013, parameter_u16_m},
    {0x0032, "forbidden-driving-time", source_2019, parameter_forbidden_window},
    {0x0040, "platform-phone", source_2013, parameter_text},
    {0x0041, "reset-phone", source_2013, parameter_text},
    {0x0042, "factory-reset-phone", source_2013, parameter_text},
    {0x0043, "platform-sms-phone", source_2013, parameter_text},
    {0x0044, "alarm-sms-phone", source_2013, parameter_text},
    {0x0045, "call-answering", source_2013, parameter_answering},
    {0x0046, "call-time-limit", source_2013, parameter_s},
    {0x0047, "call-time-limit-monthly", source_2013, parameter_s},
    {0x0048, "monitoring-phone", source_2013, parameter_text},
    {0x0049, "privileged-sms-phone", source_2013, parameter_text},
    {0x0050, "alarms-masked", source_2013, parameter_alarms, in_2013 | in_2019},
    {0x0051, "alarms-sent-by-sms", source_2013, parameter_alarms, in_2013 | in_2019},
    {0x0052, "alarms-photographed", source_2013, parameter_alarms, in_2013 | in_2019},
    {0x0053, "alarm-photos-stored", source_2013, parameter_alarms, in_2013 | in_2019},
    {0x0054, "key-alarms", source_2013, parameter_alarms, in_2013 | in_2019},
    {0x0055, "speed-limit", source_2013, parameter_kmh},
    {0x0056, "overspeed-time", source_2013, parameter_s},
    {0x0057, "driving-time-limit", source_2013, parameter_s},
    {0x0058, "driving-time-limit-daily", source_2013, parameter_s},
    {0x0059, "rest-time-minimum", source_2013, parameter_s},
    {0x005a, "parking-time-limit", source_2013, parameter_s},
    {0x005b, "overspeed-warning-margin", source_2013, parameter_u16_kmh_x10},
    {0x005c, "fatigue-warning-margin", source_2013, parameter_u16_s},
    {0x005d, "collision-alarm", source_2013, parameter_collision, in_2013 | in_2019},
    {0x005e, "rollover-angle", source_2013, parameter_u16_deg},
    {0x0064, "timed-photos", source_2013, parameter_timed_photos},
    {0x0065, "distance-photos", source_2013, parameter_distance_photos},
    {0x0070, "image-quality", source_2013, parameter_u32},
    {0x0071, "brightness", source_2013, parameter_u32},
    {0x0072, "contrast", source_2013, parameter_u32},
    {0x0073, "saturation", source_2013, parameter_u32},
    {0x0074, "chroma", source_2013, parameter_u32},
    {0x0075, "audio-and-video", source_1078, parameter_av},
    {0x0076, "channels", source_1078, parameter_av_channels},
    {0x0077, "channel-streams", source_1078, parameter_channel_streams},
    {0x0079, "special-alarm-recording", source_1078, parameter_special_alarms},
    {0x007a, "video-alarms-masked", source_1078, parameter_video_alarms},
    {0x007b, "video-analysis", source_1078, parameter_video_analysis},
    {0x007c, "sleep-and-wake", source_1078, parameter_sleep},
    {0x0080, "odometer", source_2013, parameter_km_x10},
    {0x0081, "province", source_2013, parameter_u16},
    {0x0082, "city", source_2013, parameter_u16},
    {0x0083, "plate", source_2013, parameter_text},
    {0x0084, "plate-color", source_2013, parameter_plate_color},
    {0x0090, "gnss-modes", source_2013, parameter_gnss_modes, in_2013 | in_odd},
    {0x0091, "gnss-baud-rate", source_2013, parameter_gnss_baud},
    {0x0092, "gnss-output-interval", source_2013, parameter_gnss_rate},
    {0x0093, "gnss-sampling-interval", source_2013, parameter_s},
    {0x0094, "gnss-upload-mode", source_2013, parameter_gnss_upload},
    {0x0095, "gnss-upload-amount", source_2013, parameter_u32},
    {0x0100, "can-1-sampling-interval", source_2013, parameter_ms},
    {0x0101, "can-1-upload-interval", source_2013, parameter_u16_s},
    {0x0102, "can-2-sampling-interval", source_2013, parameter_ms},
    {0x0103, "can-2-upload-interval", source_2013, parameter_u16_s},
    {0x0110, "can-id", source_2013, parameter_can_id, in_2013, 0x01ff},
    {0xf364, "adas", "T/JSATL 12-2017 table 4-10", adas_parameters, in_js | in_gd},
    {0xf365, "dsm", "T/JSATL 12-2017 table 4-11", dsm_parameters, in_js | in_gd},
    {0xf366, "tpms", "T/JSATL 12-2017 table 4-12", tpms_parameters},
    {0xf367, "bsd", "T/JSATL 12-2017 table 4-13", bsd_parameters},
    {0xf370, "smart-video-version", "T/GDRTA 002-2020", smart_video_version},
};
inline constexpr Registry parameters = {
    .name = "terminal parameters", .id_size = 4, .length_size = 1, .items = parameter_specs};

}  // namespace ringgate::jt808::tables
