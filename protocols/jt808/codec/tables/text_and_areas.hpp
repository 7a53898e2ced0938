// Texts, questions, menus, calls, control of the vehicle, and areas and routes to watch.
// Any thread.
//
// 2019 dropped the text of 0x8301 to 0x8304 and 0x0301 to 0x0303 and kept their ids in annex B;
// they are read as in 2013 there. Fields of areas that their attributes switch off are absent, not
// zero.
#pragma once

#include "protocols/jt808/codec/schema.hpp"
#include "protocols/jt808/codec/tables/location_fields.hpp"
#include "protocols/jt808/codec/tables/terminal.hpp"

namespace ringgate::jt808::tables {

inline constexpr Name text_bits_2013[] = {
    {0, "urgent"}, {2, "display"}, {3, "tts"}, {4, "advertising-screen"}, {5, "can-fault"}};
inline constexpr Name text_bits_2019[] = {{2, "display"}, {3, "tts"}, {5, "can-fault"}};
inline constexpr Name text_levels[] = {{1, "service"}, {2, "urgent"}, {3, "notice"}};
inline constexpr Part text_parts[] = {{0, 2, "level", 0, text_levels}};
inline constexpr Name text_types[] = {{1, "notice"}, {2, "service"}};
inline constexpr Field text_message[] = {
    bits("flags", 1, text_bits_2013).in(in_2013),
    bits("flags", 1, text_bits_2019).with_parts(text_parts).in(in_2019),
    u8("type").named(text_types).in(in_2019).or_else(1),
    text_rest("text").noted("at most 1024 bytes in GBK"),
};

inline constexpr Name set_types[] = {
    {0, "delete-all"}, {1, "update"}, {2, "append"}, {3, "modify"}, {4, "delete-some"}};
inline constexpr Field event_entry[] = {u8("event_id"), text1("text")};
inline constexpr Field set_events[] = {
    u8("type").named(set_types),
    list1("events", event_entry).optional().noted("nothing follows delete-all"),
};
inline constexpr Field event_report[] = {u8("event_id")};

inline constexpr Name question_bits[] = {{0, "urgent"}, {3, "tts"}, {4, "advertising-screen"}};
inline constexpr Field answer_entry[] = {u8("answer_id"), text2("text")};
inline constexpr Field question[] = {
    bits("flags", 1, question_bits).or_else(0),
    text1("question"),
    list_rest("answers", answer_entry),
};
inline constexpr Field question_answer[] = {u16("reply_serial"), u8("answer_id")};

inline constexpr Field menu_entry[] = {u8("info_type"), text2("text")};
inline constexpr Field set_menu[] = {
    u8("type").named(set_types),
    list1("entries", menu_entry).optional().noted("nothing follows delete-all"),
};
inline constexpr Name subscriptions[] = {{0, "cancel"}, {1, "subscribe"}};
inline constexpr Field subscription[] = {u8("info_type"), u8("action").named(subscriptions)};
inline constexpr Field information[] = {u8("info_type"), text2("text")};

inline constexpr Name call_modes[] = {{0, "call"}, {1, "listen"}};
inline constexpr Field call_back[] = {
    u8("mode").named(call_modes).or_else(0),
    text_rest("phone").noted("at most 20 bytes"),
};
inline constexpr Name call_directions[] = {{1, "incoming"}, {2, "outgoing"}, {3, "both"}};
inline constexpr Field phone_entry[] = {
    u8("direction").named(call_directions), text1("phone"), text1("contact")};
inline constexpr Field set_phone_book[] = {
    u8("type").named(set_types),
    list1("entries", phone_entry).optional().noted("nothing follows delete-all"),
};

// The door's bit means lock in 2013, and its byte open in 2019. The 2019 table prints the controls
// at offset 1; they stand at 2, behind their count as a WORD. Some platforms send one control
// without a count (odd).
inline constexpr Name door_commands_2013[] = {{0, "unlock"}, {1, "lock"}};
inline constexpr Part door_parts[] = {{0, 1, "doors", 0, door_commands_2013}, {1, 7, "reserved"}};
inline constexpr Name vehicle_controls[] = {{1, "door"}};
inline constexpr Name door_commands_2019[] = {{0, "lock"}, {1, "open"}};
inline constexpr Field vehicle_control_entry[] = {
    u16("control").named(vehicle_controls),
    u8("doors").named(door_commands_2019).if_is("control", 1),
    bytes_rest("parameter").if_not("control", 1),
};
inline constexpr Field vehicle_control[] = {
    bits("", 1, {}).with_parts(door_parts).in(in_2013),
    list2("controls", vehicle_control_entry).in(in_2019),
    u16("control").named(vehicle_controls).in(in_odd),
    u8("value").in(in_odd),
};

// --- areas ---

inline constexpr Name area_operations[] = {{0, "update"}, {1, "append"}, {2, "modify"}};
inline constexpr Name area_bits[] = {
    {0, "time"},
    {1, "speed-limit"},
    {2, "entry-to-driver"},
    {3, "entry-to-platform"},
    {4, "exit-to-driver"},
    {5, "exit-to-platform"},
    {6, "south"},
    {7, "west"},
    {8, "doors-stay-shut"},
    {14, "communication-off", in_2013 | in_2019 | in_odd},
    {15, "detailed-gnss", in_2013 | in_2019 | in_odd},
};
// What 2019 brought, where 0x0608 nests whole messages (odd) too.
inline constexpr LayoutMask area_2019 = in_2019 | in_odd;

constexpr Field area_latitude(std::string_view key) {
  return u32(key).scaled(6).negative_if_bit("attributes", 6);
}
constexpr Field area_longitude(std::string_view key) {
  return u32(key).scaled(6).negative_if_bit("attributes", 7);
}

// Every day from hh:mm:ss to hh:mm:ss where the date is zero.
inline constexpr Field area_period[] = {time("start"), time("end")};
inline constexpr Field area_limit[] = {u16("speed_limit_kmh"), u8("overspeed_s")};
inline constexpr Field area_head[] = {u32("area_id"), bits("attributes", 2, area_bits).or_else(0)};
inline constexpr Field area_tail[] = {
    inline_group(area_period).if_bit("attributes", 0),
    inline_group(area_limit).if_bit("attributes", 1),
    u16("night_speed_limit_kmh").in(area_2019).if_bit("attributes", 1),
    text2("area_name").in(area_2019).or_else(0),
};
inline constexpr Field circle[] = {
    inline_group(area_head),
    area_latitude("latitude_deg"),
    area_longitude("longitude_deg"),
    u32("radius_m"),
    inline_group(area_tail),
};
inline constexpr Field rectangle[] = {
    inline_group(area_head),
    area_latitude("top_latitude_deg"),
    area_longitude("left_longitude_deg"),
    area_latitude("bottom_latitude_deg"),
    area_longitude("right_longitude_deg"),
    inline_group(area_tail),
};
inline constexpr Field vertex[] = {
    area_latitude("latitude_deg"),
    area_longitude("longitude_deg"),
};
// The limit at night stands behind the vertices, not beside the other one.
inline constexpr Field polygon[] = {
    inline_group(area_head),
    inline_group(area_period).if_bit("attributes", 0),
    inline_group(area_limit).if_bit("attributes", 1),
    list2("vertices", vertex),
    u16("night_speed_limit_kmh").in(area_2019).if_bit("attributes", 1),
    text2("area_name").in(area_2019).or_else(0),
};

inline constexpr Field set_circles[] = {
    u8("operation").named(area_operations),
    u8("total").in(in_2011).noted("areas in all packets of the message"),
    list1("areas", circle),
};
inline constexpr Field set_rectangles[] = {
    u8("operation").named(area_operations),
    u8("total").in(in_2011).noted("areas in all packets of the message"),
    list1("areas", rectangle),
};

inline constexpr Name route_bits[] = {
    {0, "time"},           {2, "entry-to-driver"},  {3, "entry-to-platform"},
    {4, "exit-to-driver"}, {5, "exit-to-platform"},
};
inline constexpr Name segment_bits[] = {{0, "time"}, {1, "speed-limit"}, {2, "south"}, {3, "west"}};
inline constexpr Field segment_time[] = {u16("driving_time_max_s"), u16("driving_time_min_s")};
// The attributes of a segment stand behind its coordinates: these are magnitudes.
inline constexpr Field route_point[] = {
    u32("point_id").in(since_2013 | in_odd),
    u32("segment_id"),
    u32("latitude_deg").scaled(6).noted("magnitude; segment_attributes says south"),
    u32("longitude_deg").scaled(6).noted("magnitude; segment_attributes says west"),
    u8("width_m"),
    bits("segment_attributes", 1, segment_bits).or_else(0),
    inline_group(segment_time).in(since_2013 | in_odd).if_bit("segment_attributes", 0),
    u16("driving_time_s").in(in_2011).if_bit("segment_attributes", 0),
    inline_group(area_limit).if_bit("segment_attributes", 1),
    u16("night_speed_limit_kmh").in(area_2019).if_bit("segment_attributes", 1),
};
inline constexpr Field route[] = {
    u32("route_id"),
    bits("attributes", 2, route_bits).or_else(0),
    inline_group(area_period).if_bit("attributes", 0),
    u16("total").in(in_2011).noted("points in all packets of the message"),
    list1("points", route_point).in(in_2011),
    list2("points", route_point).in(since_2013 | in_odd),
    text2("area_name").in(area_2019).or_else(0),
};

inline constexpr Field any_id[] = {u32("")};
inline constexpr Field delete_areas[] = {list1("area_ids", any_id).noted("none: all")};
inline constexpr Field delete_routes[] = {list1("route_ids", any_id).noted("none: all")};

inline constexpr Name stored_area_types[] = {
    {1, "circle"}, {2, "rectangle"}, {3, "polygon"}, {4, "route"}};
inline constexpr Field query_areas[] = {
    u8("type").named(stored_area_types),
    list4("ids", any_id).noted("none: all"),
};
// The text leaves open whether each entry repeats the operation and count that 0x8600 and 0x8602
// begin with. Both are read; entries without them are tried first.
inline constexpr Field stored_areas[] = {
    u8("type").named(stored_area_types),
    list4("circles", circle).if_is("type", 1).in(in_2019),
    list4("rectangles", rectangle).if_is("type", 2).in(in_2019),
    list4("circle_messages", set_circles).if_is("type", 1).in(in_odd),
    list4("rectangle_messages", set_rectangles).if_is("type", 2).in(in_odd),
    list4("polygons", polygon).if_is("type", 3),
    list4("routes", route).if_is("type", 4),
};

inline constexpr LayoutMask area_layouts = in_2011 | in_2013 | in_2019;

inline constexpr MessageSpec text_messages[] = {
    {.id = 0x0301,
     .name = "event-report",
     .source = "JT/T 808-2013 8.25",
     .from_device = true,
     .fields = event_report},
    {.id = 0x0302,
     .name = "question-answer",
     .source = "JT/T 808-2013 8.27",
     .from_device = true,
     .fields = question_answer},
    {.id = 0x0303,
     .name = "information-subscription",
     .source = "JT/T 808-2013 8.29",
     .from_device = true,
     .fields = subscription},
    {.id = 0x8300,
     .name = "text-message",
     .source = "JT/T 808-2013 8.23",
     .from_device = false,
     .fields = text_message,
     .layouts = since_2013},
    {.id = 0x8301,
     .name = "set-events",
     .source = "JT/T 808-2013 8.24",
     .from_device = false,
     .fields = set_events},
    {.id = 0x8302,
     .name = "question",
     .source = "JT/T 808-2013 8.26",
     .from_device = false,
     .fields = question,
     .answer = answered_by(0x0302)},
    {.id = 0x8303,
     .name = "set-information-menu",
     .source = "JT/T 808-2013 8.28",
     .from_device = false,
     .fields = set_menu},
    {.id = 0x8304,
     .name = "information",
     .source = "JT/T 808-2013 8.30",
     .from_device = false,
     .fields = information},
    {.id = 0x8400,
     .name = "call-back",
     .source = "JT/T 808-2013 8.31",
     .from_device = false,
     .fields = call_back},
    {.id = 0x8401,
     .name = "set-phone-book",
     .source = "JT/T 808-2013 8.32",
     .from_device = false,
     .fields = set_phone_book},
    {.id = 0x8500,
     .name = "vehicle-control",
     .source = "JT/T 808-2013 8.33",
     .from_device = false,
     .fields = vehicle_control,
     .layouts = in_2013 | in_2019 | in_odd,
     .answer = answered_by(0x0500)},
};

inline constexpr MessageSpec area_messages[] = {
    {.id = 0x0608,
     .name = "stored-areas",
     .source = "JT/T 808-2019 annex B",
     .from_device = true,
     .fields = stored_areas,
     .layouts = in_2019 | in_odd,
     .versions = in_2019},
    {.id = 0x8600,
     .name = "set-circles",
     .source = "JT/T 808-2013 8.35",
     .from_device = false,
     .fields = set_circles,
     .layouts = area_layouts},
    {.id = 0x8601,
     .name = "delete-circles",
     .source = "JT/T 808-2013 8.36",
     .from_device = false,
     .fields = delete_areas},
    {.id = 0x8602,
     .name = "set-rectangles",
     .source = "JT/T 808-2013 8.37",
     .from_device = false,
     .fields = set_rectangles,
     .layouts = area_layouts},
    {.id = 0x8603,
     .name = "delete-rectangles",
     .source = "JT/T 808-2013 8.38",
     .from_device = false,
     .fields = delete_areas},
    {.id = 0x8604,
     .name = "set-polygon",
     .source = "JT/T 808-2013 8.39",
     .from_device = false,
     .fields = polygon,
     .layouts = since_2013},
    {.id = 0x8605,
     .name = "delete-polygons",
     .source = "JT/T 808-2013 8.40",
     .from_device = false,
     .fields = delete_areas},
    {.id = 0x8606,
     .name = "set-route",
     .source = "JT/T 808-2013 8.41",
     .from_device = false,
     .fields = route,
     .layouts = area_layouts},
    {.id = 0x8607,
     .name = "delete-routes",
     .source = "JT/T 808-2013 8.42",
     .from_device = false,
     .fields = delete_routes},
    {.id = 0x8608,
     .name = "query-areas",
     .source = "JT/T 808-2019 annex B",
     .from_device = false,
     .fields = query_areas,
     .versions = in_2019,
     .answer = answered_without_serial(0x0608)},
};

}  // namespace ringgate::jt808::tables
