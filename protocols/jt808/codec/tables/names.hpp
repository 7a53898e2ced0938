// Names of values and bits that several messages share. Constants only. Any thread.
#pragma once

#include "protocols/jt808/codec/schema.hpp"

namespace ringgate::jt808::tables {

// JT/T 808-2019 table 24, 2013 table 24. 2011 knows bits 0 to 11 and 18 to 28.
inline constexpr Name alarm_bits[] = {
    {0, "sos"},
    {1, "overspeed"},
    {2, "fatigue-driving"},
    {3, "danger-warning", before_2019},
    {3, "dangerous-driving", in_2019},
    {4, "gnss-fault"},
    {5, "gnss-antenna-disconnected"},
    {6, "gnss-antenna-short-circuit"},
    {7, "main-power-undervoltage"},
    {8, "main-power-lost"},
    {9, "display-fault"},
    {10, "tts-fault"},
    {11, "camera-fault"},
    {12, "ic-card-module-fault"},
    {13, "overspeed-warning"},
    {14, "fatigue-driving-warning"},
    {15, "driving-against-rules", in_2019},
    {16, "tyre-pressure-warning", in_2019},
    {17, "right-turn-blind-spot", in_2019},
    {18, "daily-driving-time-exceeded"},
    {19, "parking-time-exceeded"},
    {20, "area-crossed"},
    {21, "route-crossed"},
    {22, "segment-time-wrong"},
    {23, "off-route"},
    {24, "vss-fault"},
    {25, "fuel-abnormal"},
    {26, "theft"},
    {27, "illegal-ignition"},
    {28, "illegal-movement"},
    {29, "collision"},
    {30, "rollover"},
    {31, "illegal-door-opening", before_2019},
};

// JT/T 808-2019 table 25, 2013 table 25. Bits 8 and 9 are a number, the load.
inline constexpr Name status_bits[] = {
    {0, "acc-on"},
    {1, "fixed"},
    {2, "south"},
    {3, "west"},
    {4, "out-of-service"},
    {5, "coordinates-encrypted"},
    {6, "forward-collision-warning", in_2019},
    {7, "lane-departure-warning", in_2019},
    {10, "oil-circuit-cut"},
    {11, "power-circuit-cut"},
    {12, "doors-locked"},
    {13, "front-door-open"},
    {14, "middle-door-open"},
    {15, "rear-door-open"},
    {16, "driver-door-open"},
    {17, "custom-door-open"},
    {18, "gps"},
    {19, "beidou"},
    {20, "glonass"},
    {21, "galileo"},
    {22, "moving", in_2019},
};
inline constexpr Name loads[] = {{0, "empty"}, {1, "half"}, {2, "reserved"}, {3, "full"}};
inline constexpr Part status_parts[] = {{8, 2, "load", 0, loads}};

// JT/T 1078-2016 table 14: bits of item 0x14, bits 32 to 63 of 64-bit alarm masks.
inline constexpr Name video_alarm_bits[] = {
    {0, "video-signal-lost"},
    {1, "video-signal-occluded"},
    {2, "storage-fault"},
    {3, "other-video-device-fault"},
    {4, "passenger-overload"},
    {5, "abnormal-driving"},
    {6, "special-alarm-recording-full"},
};

inline constexpr Name off_on[] = {{0, "off"}, {1, "on"}};
inline constexpr Name no_yes[] = {{0, "no"}, {1, "yes"}};
inline constexpr Name start_stop[] = {{0, "stop"}, {1, "start"}};
inline constexpr Name area_types[] = {
    {0, "none"}, {1, "circle"}, {2, "rectangle"}, {3, "polygon"}, {4, "segment"}};

// JT/T 415-2006 5.4.12, JT/T 697.7-2014 5.6.
inline constexpr Name plate_colors[] = {{0, "none"},  {1, "blue"},  {2, "yellow"},
                                        {3, "black"}, {4, "white"}, {9, "other"}};

// 0x0800, 0x0801, 0x8802: JT/T 808-2013 tables 80 and 81. 2019 leaves 4 to 7 as they were.
inline constexpr Name media_types[] = {{0, "image"}, {1, "audio"}, {2, "video"}};
inline constexpr Name media_formats[] = {
    {0, "jpeg"}, {1, "tif"}, {2, "mp3"}, {3, "wav"}, {4, "wmv"}};
inline constexpr Name media_events[] = {
    {0, "platform-command"}, {1, "timer"},       {2, "robbery"},
    {3, "collision"},        {4, "door-opened"}, {5, "door-closed"},
    {6, "door-to-speed"},    {7, "distance"}};

// T/JSATL 12-2017: which external system a message is about.
inline constexpr Name peripherals[] = {
    {0x64, "adas"}, {0x65, "dsm"}, {0x66, "tpms"}, {0x67, "bsd"}};

// JT/T 1078-2016: what a stream carries, for stored recordings.
inline constexpr Name resource_types[] = {
    {0, "audio-and-video"}, {1, "audio"}, {2, "video"}, {3, "audio-or-video"}};
inline constexpr Name stored_streams[] = {{0, "all"}, {1, "main"}, {2, "sub"}};
inline constexpr Name storages[] = {{0, "all"}, {1, "main"}, {2, "backup"}};
inline constexpr Name live_streams[] = {{0, "main"}, {1, "sub"}};

// GB/T 19056-2012 tables of data blocks (0x8700, 0x0700, 0x8701).
inline constexpr Name recorder_commands[] = {
    {0x00, "standard-version"},
    {0x01, "driver"},
    {0x02, "clock"},
    {0x03, "mileage"},
    {0x04, "pulse-coefficient"},
    {0x05, "vehicle"},
    {0x06, "signal-configuration"},
    {0x07, "recorder-number"},
    {0x08, "speed-records"},
    {0x09, "position-records"},
    {0x10, "accident-records"},
    {0x11, "overtime-driving-records"},
    {0x12, "driver-login-records"},
    {0x13, "power-records"},
    {0x14, "parameter-change-records"},
    {0x15, "speed-status-records"},
    {0x82, "set-vehicle"},
    {0x83, "set-installation"},
    {0x84, "set-signal-configuration"},
    {0xc2, "set-clock"},
    {0xc3, "set-pulse-coefficient"},
    {0xc4, "set-mileage"},
};

}  // namespace ringgate::jt808::tables
