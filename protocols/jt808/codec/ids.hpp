// Message ids that the code names. JT/T 808-2019 annex B.
#pragma once

#include <cstdint>

namespace ringgate::jt808::id {

constexpr std::uint16_t terminal_reply = 0x0001;
constexpr std::uint16_t heartbeat = 0x0002;
constexpr std::uint16_t logout = 0x0003;
constexpr std::uint16_t time_query = 0x0004;
constexpr std::uint16_t resend_request = 0x0005;  // terminal asks for parts (2019)
constexpr std::uint16_t registration = 0x0100;
constexpr std::uint16_t authentication = 0x0102;
constexpr std::uint16_t attributes = 0x0107;
constexpr std::uint16_t location = 0x0200;
constexpr std::uint16_t location_reply = 0x0201;
constexpr std::uint16_t vehicle_control_reply = 0x0500;
constexpr std::uint16_t location_batch = 0x0704;
constexpr std::uint16_t media_event = 0x0800;
constexpr std::uint16_t media_upload = 0x0801;
constexpr std::uint16_t compressed = 0x0901;
constexpr std::uint16_t terminal_rsa_key = 0x0a00;

constexpr std::uint16_t request_attachments = 0x9208;
constexpr std::uint16_t platform_reply = 0x8001;
constexpr std::uint16_t part_request = 0x8003;  // platform asks for parts (2013)
constexpr std::uint16_t time_reply = 0x8004;
constexpr std::uint16_t registration_reply = 0x8100;
constexpr std::uint16_t media_reply = 0x8800;
constexpr std::uint16_t platform_rsa_key = 0x8a00;

}  // namespace ringgate::jt808::id
