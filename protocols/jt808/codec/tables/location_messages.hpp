// Positions that are asked for, tracking, alarms confirmed by hand, CAN data. (0x0200 and 0x0704
// are among the basics.) Any thread.
#pragma once

#include "protocols/jt808/codec/schema.hpp"
#include "protocols/jt808/codec/tables/location_fields.hpp"
#include "protocols/jt808/codec/tables/terminal.hpp"

namespace ringgate::jt808::tables {

inline constexpr Field location_reply[] = {
    u16("reply_serial"),
    inline_group(location_with_items),
};

inline constexpr Field track[] = {
    u16("interval_s").noted("0: stop"),
    u32("validity_s").if_not("interval_s", 0).in(in_2013),
    u32("validity_s").in(in_odd),  // platforms that send it with an interval of 0 too
};

inline constexpr Field confirm_alarms[] = {
    u16("alarm_serial").or_else(0).noted("0: all of these kinds"),
    bits("alarms", 4, alarm_bits),
};

inline constexpr Field can_frame[] = {
    bits("flags", 4, can_bits).with_parts(can_parts),
    bytes("data", 8),
};
// The 2013 table prints the frames at offset 8; they stand at 7.
inline constexpr Field can_data[] = {
    u16("count").counting("frames"),
    clock_ms("time"),
    list_by("frames", "count", can_frame),
};

inline constexpr MessageSpec location_messages[] = {
    {.id = 0x0201,
     .name = "location-reply",
     .source = "JT/T 808-2013 8.20",
     .from_device = true,
     .fields = location_reply,
     .layouts = since_2013},
    {.id = 0x0500,
     .name = "vehicle-control-reply",
     .source = "JT/T 808-2013 8.34",
     .from_device = true,
     .fields = location_reply,
     .layouts = since_2013},
    {.id = 0x0705,
     .name = "can-data",
     .source = "JT/T 808-2013 8.50",
     .from_device = true,
     .fields = can_data,
     .versions = since_2013},
    {.id = 0x8201,
     .name = "query-location",
     .source = "JT/T 808-2013 8.19",
     .from_device = false,
     .answer = answered_by(0x0201)},
    {.id = 0x8202,
     .name = "track",
     .source = "JT/T 808-2013 8.21",
     .from_device = false,
     .fields = track,
     .layouts = in_2013 | in_odd},
    {.id = 0x8203,
     .name = "confirm-alarms",
     .source = "JT/T 808-2013 8.22",
     .from_device = false,
     .fields = confirm_alarms,
     .layouts = since_2013,
     .versions = since_2013},
};

}  // namespace ringgate::jt808::tables
