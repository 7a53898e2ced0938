// Photographs and recordings, the driving recorder, the driver's card, pass-through, RSA keys.
// Any thread.
#pragma once

#include "protocols/jt808/codec/schema.hpp"
#include "protocols/jt808/codec/tables/location_fields.hpp"
#include "protocols/jt808/codec/tables/terminal.hpp"

namespace ringgate::jt808::tables {

inline constexpr Field media_event[] = {
    u32("media_id"),
    u8("type").named(media_types),
    u8("format").named(media_formats),
    u8("event").named(media_events),
    u8("channel"),
};

// 2011 has no position here, and some terminals leave it out still (odd): only bytes that have a
// time where a position has one are taken for one. An OCR of 2011 gives two DWORDs, packets and
// packet, before the data; nobody is known to send them.
inline constexpr Field media_location[] = {
    inline_group(location_place), time("time").proving_layout()};
inline constexpr Field media_upload[] = {
    inline_group(media_event),
    group("location", media_location).in(since_2013),
    bytes_rest("data"),
};

inline constexpr Field media_found[] = {
    u32("media_id"),
    u8("type").named(media_types),
    u8("channel"),
    u8("event").named(media_events),
    group("location", location_base),
};
// 2019 does not say how long a position is here; it is read as 28 bytes, like in 2013.
inline constexpr Field media_list[] = {
    u16("reply_serial"),
    list2("media", media_found),
};

inline constexpr Field media_id[] = {u32("")};
inline constexpr Name camera_results[] = {{0, "ok"}, {1, "failed"}, {2, "channel-not-supported"}};
inline constexpr Field camera_reply[] = {
    u16("reply_serial"),
    u8("result").named(camera_results),
    list2("media_ids", media_id).if_is("result", 0).in(in_2013),
    list2("media_ids", media_id).in(in_odd),  // terminals that send it after failures too
};

inline constexpr Field media_reply[] = {
    u16("reply_serial").in(in_2011),
    u32("media_id"),
    list1("packets", packet_number).in(in_2011),
    list1("packets", packet_number).in(in_2013).optional().noted("missing: nothing is missing"),
};

inline constexpr Name shots[] = {{0, "stop"}, {0xffff, "video"}};
inline constexpr Name save_or_upload[] = {{0, "upload"}, {1, "store"}};
inline constexpr Name resolutions[] = {
    {0x00, "lowest", in_2019}, {0x01, "320x240"}, {0x02, "640x480"}, {0x03, "800x600"},
    {0x04, "1024x768"},        {0x05, "qcif"},    {0x06, "cif"},     {0x07, "hd1"},
    {0x08, "d1"},              {0xff, "highest", in_2019},
};
inline constexpr Field camera[] = {
    u8("channel").noted("T/JSATL 12: 0x64 road, 0x65 driver"),
    u16("command").named(shots).or_else(1).noted("others: so many photographs"),
    u16("interval_s").or_else(0).noted("of photographs; or how long to record, 0: on and on"),
    u8("save").named(save_or_upload).or_else(0),
    u8("resolution").named(resolutions).or_else(2),
    u8("quality").or_else(5).noted("1 best to 10 smallest"),
    u8("brightness").or_else(128),
    u8("contrast").or_else(64).noted("0 to 127"),
    u8("saturation").or_else(64).noted("0 to 127"),
    u8("chroma").or_else(128),
};

inline constexpr Field search_media[] = {
    u8("type").named(media_types),
    u8("channel").noted("0: all"),
    u8("event").named(media_events),
    time("start"),
    time("end"),
};
inline constexpr Name keep_or_delete[] = {{0, "keep"}, {1, "delete"}};
inline constexpr Field upload_media[] = {
    inline_group(search_media),
    u8("after").named(keep_or_delete),
};
inline constexpr Name audio_rates[] = {{0, "8-khz"}, {1, "11-khz"}, {2, "23-khz"}, {3, "32-khz"}};
inline constexpr Field record_audio[] = {
    u8("command").named(start_stop),
    u16("duration_s").or_else(0).noted("0: on and on"),
    u8("save").named(save_or_upload).or_else(0),
    u8("rate").named(audio_rates).or_else(0),
};
inline constexpr Field upload_one[] = {u32("media_id"), u8("after").named(keep_or_delete)};

// --- recorder, card, waybill ---

inline constexpr Field recorder_command[] = {
    u8("command").named(recorder_commands),
    bytes_rest("block").or_else(0).noted("GB/T 19056 or 19056-2012 data block"),
};
inline constexpr Field recorder_reply[] = {
    u16("reply_serial"),
    inline_group(recorder_command),
};
inline constexpr Field waybill[] = {bytes4("waybill")};

inline constexpr Name card_states[] = {{1, "inserted"}, {2, "removed"}};
inline constexpr Name card_results[] = {
    {0, "ok"},           {1, "not-authenticated"}, {2, "locked"},
    {3, "card-removed"}, {4, "data-corrupt"},
};
inline constexpr Field driver_2013[] = {
    text1("driver"),
    text("certificate", 20),
    text1("issuer"),
    date("valid_until"),
    text("identity_card", 20).in(in_2019),
    text("identity_card", 20).in(in_odd).optional(),
};
inline constexpr Field card_read[] = {
    u8("card_result").named(card_results),
    inline_group(driver_2013).if_is("card_result", 0),
};
inline constexpr Field driver_2011[] = {
    text1("driver"),
    text("identity_card", 20),
    text("certificate", 40),
    text1("issuer"),
};
inline constexpr Field driver_identity[] = {
    inline_group(driver_2011).in(in_2011),
    u8("status").named(card_states).in(since_2013 | in_odd),
    time("time").in(since_2013 | in_odd),
    inline_group(card_read).in(since_2013).if_is("status", 1),
    inline_group(card_read).in(in_odd).if_not("status", 1),  // it is read from a removed card too
};

// --- pass-through ---

inline constexpr Name passthrough_types[] = {
    {0x00, "gnss-detail"}, {0x0b, "ic-card"},           {0x41, "serial-1"},
    {0x42, "serial-2"},    {0xf7, "peripheral-status"}, {0xf8, "peripheral-information"},
};
inline constexpr Field peripheral_id[] = {u8("").named(peripherals)};
inline constexpr Field no_peripherals_asked[] = {bytes_rest("data").if_not("type", 0xf8)};
// The types of T/JSATL 12 lie among those that 808 leaves to users: what does not look like the
// Jiangsu form is bytes (odd).
inline constexpr Field passthrough_down[] = {
    u8("type").named(passthrough_types),
    list1("peripherals", peripheral_id).if_is("type", 0xf7).in(in_2013),
    list1("peripherals", peripheral_id).if_is("type", 0xf8).in(in_2013),
    inline_group(no_peripherals_asked).if_not("type", 0xf7).in(in_2013),
    bytes_rest("data").in(in_odd),
};

inline constexpr Name work_states[] = {{1, "normal"}, {2, "standby"}, {3, "upgrading"},
                                       {4, "abnormal"}, {0x10, "offline"}};
inline constexpr Name peripheral_fault_bits[] = {
    {0, "camera"},      {1, "main-memory"}, {2, "backup-memory"}, {3, "infrared-light"},
    {4, "loudspeaker"}, {5, "battery"},     {10, "communication"}, {11, "gnss"},
};
inline constexpr Field peripheral_status[] = {
    u8("state").named(work_states),
    bits("faults", 4, peripheral_fault_bits),
};
inline constexpr ItemSpec peripheral_status_specs[] = {
    {0x64, "adas", "T/JSATL 12-2017", peripheral_status},
    {0x65, "dsm", "T/JSATL 12-2017", peripheral_status},
    {0x66, "tpms", "T/JSATL 12-2017", peripheral_status},
    {0x67, "bsd", "T/JSATL 12-2017", peripheral_status},
};
inline constexpr Registry peripheral_states = {.name = "states of external systems",
                                               .id_size = 1,
                                               .length_size = 1,
                                               .items = peripheral_status_specs};
inline constexpr Field peripheral_information[] = {
    text1("company"),          text1("model"),     text1("hardware_version"),
    text1("software_version"), text1("device_id"), text1("customer"),
};
inline constexpr ItemSpec peripheral_information_specs[] = {
    {0x64, "adas", "T/JSATL 12-2017", peripheral_information},
    {0x65, "dsm", "T/JSATL 12-2017", peripheral_information},
    {0x66, "tpms", "T/JSATL 12-2017", peripheral_information},
    {0x67, "bsd", "T/JSATL 12-2017", peripheral_information},
};
inline constexpr Registry peripheral_facts = {.name = "facts on external systems",
                                              .id_size = 1,
                                              .length_size = 1,
                                              .items = peripheral_information_specs};
inline constexpr Field passthrough_up[] = {
    u8("type").named(passthrough_types),
    items("states", peripheral_states, Extent::prefix1).if_is("type", 0xf7).in(in_2013),
    items("facts", peripheral_facts, Extent::prefix1).if_is("type", 0xf8).in(in_2013),
    inline_group(no_peripherals_asked).if_not("type", 0xf7).in(in_2013),
    bytes_rest("data").in(in_odd),
};

// What the inflated content is (a body, or a header with one) is not said: it stays as it is.
inline constexpr Field compressed[] = {bytes4("gzip")};
inline constexpr Field rsa_key[] = {u32("exponent"), bytes("modulus", 128)};

inline constexpr MessageSpec media_messages[] = {
    {.id = 0x0800,
     .name = "media-event",
     .source = "JT/T 808-2013 8.51",
     .from_device = true,
     .fields = media_event},
    {.id = 0x0801,
     .name = "media-upload",
     .source = "JT/T 808-2013 8.52",
     .from_device = true,
     .fields = media_upload,
     .layouts = in_2013 | in_2019 | in_odd},
    {.id = 0x0802,
     .name = "media-list",
     .source = "JT/T 808-2013 8.57",
     .from_device = true,
     .fields = media_list,
     .layouts = since_2013},
    {.id = 0x0805,
     .name = "camera-reply",
     .source = "JT/T 808-2013 8.55",
     .from_device = true,
     .fields = camera_reply,
     .layouts = in_2013 | in_odd,
     .versions = since_2013},
    {.id = 0x8800,
     .name = "media-upload-reply",
     .source = "JT/T 808-2013 8.53",
     .from_device = false,
     .fields = media_reply,
     .layouts = in_2011 | in_2013,
     .answer = no_answer},
    {.id = 0x8801,
     .name = "camera",
     .source = "JT/T 808-2013 8.54",
     .from_device = false,
     .fields = camera,
     .layouts = since_2013,
     .answer = {Answer::Rule::both, 0x0805}},
    {.id = 0x8802,
     .name = "search-media",
     .source = "JT/T 808-2013 8.56",
     .from_device = false,
     .fields = search_media,
     .answer = answered_by(0x0802)},
    {.id = 0x8803,
     .name = "upload-media",
     .source = "JT/T 808-2013 8.58",
     .from_device = false,
     .fields = upload_media},
    {.id = 0x8804,
     .name = "record-audio",
     .source = "JT/T 808-2013 8.59",
     .from_device = false,
     .fields = record_audio},
    {.id = 0x8805,
     .name = "upload-one-medium",
     .source = "JT/T 808-2013 8.60",
     .from_device = false,
     .fields = upload_one,
     .versions = since_2013},
};

inline constexpr MessageSpec data_messages[] = {
    {.id = 0x0700,
     .name = "recorder-data",
     .source = "JT/T 808-2013 8.44",
     .from_device = true,
     .fields = recorder_reply},
    {.id = 0x0701,
     .name = "waybill",
     .source = "JT/T 808-2013 8.46",
     .from_device = true,
     .fields = waybill},
    {.id = 0x0702,
     .name = "driver-identity",
     .source = "JT/T 808-2013 8.48",
     .from_device = true,
     .fields = driver_identity,
     .layouts = in_2011 | in_2013 | in_2019 | in_odd},
    {.id = 0x0900,
     .name = "passthrough-up",
     .source = "JT/T 808-2013 8.62",
     .from_device = true,
     .fields = passthrough_up,
     .layouts = in_2013 | in_odd},
    {.id = 0x0901,
     .name = "compressed-data",
     .source = "JT/T 808-2013 8.63",
     .from_device = true,
     .fields = compressed},
    {.id = 0x0a00,
     .name = "terminal-rsa-key",
     .source = "JT/T 808-2013 8.65",
     .from_device = true,
     .fields = rsa_key},
    {.id = 0x8700,
     .name = "query-recorder",
     .source = "JT/T 808-2013 8.43",
     .from_device = false,
     .fields = recorder_command,
     .answer = answered_by(0x0700)},
    {.id = 0x8701,
     .name = "set-recorder",
     .source = "JT/T 808-2013 8.45",
     .from_device = false,
     .fields = recorder_command},
    {.id = 0x8702,
     .name = "query-driver-identity",
     .source = "JT/T 808-2013 8.47",
     .from_device = false,
     .versions = since_2013,
     .answer = answered_without_serial(0x0702)},
    {.id = 0x8900,
     .name = "passthrough-down",
     .source = "JT/T 808-2013 8.61",
     .from_device = false,
     .fields = passthrough_down,
     .layouts = in_2013 | in_odd},
    {.id = 0x8a00,
     .name = "platform-rsa-key",
     .source = "JT/T 808-2013 8.64",
     .from_device = false,
     .fields = rsa_key},
};

}  // namespace ringgate::jt808::tables
