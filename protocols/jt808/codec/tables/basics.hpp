// What every terminal and every platform says: answers, heartbeat, registration, authentication,
// time, positions. Any thread.
#pragma once

#include "protocols/jt808/codec/ids.hpp"
#include "protocols/jt808/codec/schema.hpp"
#include "protocols/jt808/codec/tables/location_fields.hpp"

namespace ringgate::jt808::tables {

inline constexpr Name reply_results[] = {
    {0, "ok"}, {1, "failed"}, {2, "bad-message"}, {3, "unsupported"}, {4, "alarm-handled"}};
inline constexpr Field general_reply[] = {
    u16("reply_serial"),
    id16("reply_message_id"),
    u8("result").named(reply_results),
};

// The 2011 table prints the colour four bytes too early. A 2011 terminal that sends a VIN of 17
// characters can't be told from 2013.
inline constexpr Field registration[] = {
    u16("province").noted("first two digits of the GB/T 2260 code"),
    u16("city").noted("last four digits of the GB/T 2260 code"),
    text("maker", 5).in(before_2019),
    text("maker", 11).in(in_2019),
    text("model", 8).padded_with_spaces().in(in_2011),
    text("model", 20).in(in_2013),
    text("model", 30).padded_in_front().in(in_2019),
    text("terminal_id", 7).in(before_2019),
    text("terminal_id", 30).padded_in_front().in(in_2019),
    u8("plate_color").named(plate_colors),
    text_rest("vin").if_is("plate_color", 0),
    text_rest("plate").if_not("plate_color", 0),
};

inline constexpr Name registration_results[] = {{0, "ok"},
                                                {1, "vehicle-already-registered"},
                                                {2, "no-such-vehicle"},
                                                {3, "terminal-already-registered"},
                                                {4, "no-such-terminal"}};
inline constexpr Field registration_reply[] = {
    u16("reply_serial"),
    u8("result").named(registration_results),
    text_rest("auth_code").secret().optional().noted("only when the result is ok"),
};

// The 2019 table prints IMEI and version at other offsets than their sizes add up to. Terminals
// that leave them out are known.
inline constexpr Field authentication[] = {
    text_rest("auth_code").secret().in(before_2019),
    text1("auth_code").secret().in(in_2019),
    text("imei", 15).in(in_2019).optional(),
    text("software_version", 20).in(in_2019).optional(),
};

inline constexpr Field time_answer[] = {time_utc("time")};

inline constexpr Name batch_types[] = {{0, "normal"}, {1, "stored-out-of-coverage"}};
// Both standards print type and items one byte too early. The count is known to disagree.
inline constexpr Field location_batch[] = {
    u16("count").counting("locations"),
    u8("type").named(batch_types),
    list_rest("locations", location_with_items).sized_elements(2),
};

inline constexpr LayoutMask location_layouts = in_2013 | in_2019;

inline constexpr MessageSpec basics[] = {
    {id::terminal_reply, "terminal-reply", "JT/T 808-2019 8.1", true, general_reply},
    {id::heartbeat, "heartbeat", "JT/T 808-2019 8.3", true},
    {id::logout, "logout", "JT/T 808-2019 8.10", true},
    {.id = id::time_query, .name = "time-query", .source = "JT/T 808-2019 8.4",
     .from_device = true, .versions = in_2019},
    {id::registration, "register", "JT/T 808-2019 8.8", true, registration, before_2019 | in_2019},
    {id::authentication, "authenticate", "JT/T 808-2019 8.11", true, authentication,
     in_2013 | in_2019},
    {id::location, "location-report", "JT/T 808-2013 8.18", true, location_with_items,
     location_layouts},
    {id::location_batch, "location-batch", "JT/T 808-2013 8.49", true, location_batch,
     location_layouts, in_2013 | in_2019},
    {.id = id::platform_reply, .name = "platform-reply", .source = "JT/T 808-2019 8.2",
     .from_device = false, .fields = general_reply, .answer = {Answer::Rule::none}},
    {.id = id::time_reply, .name = "time-reply", .source = "JT/T 808-2019 8.5",
     .from_device = false, .fields = time_answer, .versions = in_2019,
     .answer = {Answer::Rule::none}},
    {.id = id::registration_reply, .name = "register-reply", .source = "JT/T 808-2019 8.9",
     .from_device = false, .fields = registration_reply, .answer = {Answer::Rule::none}},
};

}  // namespace ringgate::jt808::tables
