// T/JSATL 12-2017: how the files of an alarm reach a server of their own. The platform names the
// server with 0x9208; the rest goes over the new connection. Any thread.
#pragma once

#include "protocols/jt808/codec/schema.hpp"
#include "protocols/jt808/codec/tables/jsatl12_alarms.hpp"
#include "protocols/jt808/codec/tables/terminal.hpp"

namespace ringgate::jt808::tables {

inline constexpr Field request_attachments[] = {
    text1("address"),
    u16("tcp_port"),
    u16("udp_port").or_else(0),
    group("alarm_sign", alarm_sign),
    text("alarm_number", 32),
    bytes("reserved", 16).or_else(0),
};

inline constexpr Name attachment_reasons[] = {{0, "normal"}, {1, "resend"}};
inline constexpr Field attachment[] = {text1("file"), u32("size_bytes")};
// Terminals of Heilongjiang send no id before the sign, those of Sichuan one of 30 bytes.
inline constexpr Field attachments[] = {
    text("terminal_id", 7).in(in_js),
    text("terminal_id", 30).in(in_gd | in_sc),
    group("alarm_sign", alarm_sign),
    text("alarm_number", 32),
    u8("reason").named(attachment_reasons),
    list1("files", attachment),
};

inline constexpr Name file_types[] = {
    {0, "image"},          {1, "audio"}, {2, "video"}, {3, "text"}, {4, "other", in_js},
    {4, "face-image", in_gd}, {5, "other", in_gd},
};
inline constexpr Field file[] = {
    text1("file"),
    u8("type").named(file_types),
    u32("size_bytes"),
};
inline constexpr Name file_results[] = {{0, "complete"}, {1, "resend"}};
inline constexpr Field gap[] = {u32("offset"), u32("size_bytes")};
inline constexpr Field file_reply[] = {
    text1("file"),
    u8("type").named(file_types),
    u8("result").named(file_results),
    list1("gaps", gap),
};

inline constexpr LayoutMask file_layouts = in_js | in_gd;

inline constexpr MessageSpec jsatl12_messages[] = {
    {.id = 0x1210,
     .name = "alarm-attachments",
     .source = "T/JSATL 12-2017",
     .from_device = true,
     .fields = attachments,
     .layouts = sign_layouts},
    {.id = 0x1211,
     .name = "file",
     .source = "T/JSATL 12-2017",
     .from_device = true,
     .fields = file,
     .layouts = file_layouts},
    {.id = 0x1212,
     .name = "file-complete",
     .source = "T/JSATL 12-2017",
     .from_device = true,
     .fields = file,
     .layouts = file_layouts},
    {.id = 0x9208,
     .name = "request-attachments",
     .source = "T/JSATL 12-2017",
     .from_device = false,
     .fields = request_attachments,
     .layouts = sign_layouts},
    {.id = 0x9212,
     .name = "file-complete-reply",
     .source = "T/JSATL 12-2017",
     .from_device = false,
     .fields = file_reply,
     .layouts = file_layouts,
     .answer = no_answer},
};

}  // namespace ringgate::jt808::tables
