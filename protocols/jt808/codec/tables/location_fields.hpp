// The 28 bytes that every position begins with, and the position with its items: the body of
// 0x0200, and a part of 0x0201, 0x0500, 0x0704, 0x0801 and 0x0802. Any thread.
// JT/T 808-2019 8.21 and tables 23 to 25; the 2013 table prints the time one byte too early.
#pragma once

#include "protocols/jt808/codec/tables/location_items.hpp"
#include "protocols/jt808/codec/tables/names.hpp"

namespace ringgate::jt808::tables {

// Hemispheres come from the status alone. Altitudes are unsigned in the standard; terminals below
// the sea send two's complement.
inline constexpr Field location_place[] = {
    bits("alarms", 4, alarm_bits).or_else(0),
    bits("status", 4, status_bits).with_parts(status_parts),
    u32("latitude_deg").scaled(6).negative_if_bit("status", 2),
    u32("longitude_deg").scaled(6).negative_if_bit("status", 3),
    s16("altitude_m"),
    u16("speed_kmh").tenths(),
    u16("heading_deg"),
};
inline constexpr Field location_base[] = {inline_group(location_place), time("time")};

inline constexpr Field location_with_items[] = {
    inline_group(location_base),
    items("items", location_items).or_else(0),
};

}  // namespace ringgate::jt808::tables
