// Signalling of JT/T 1078-2016: live streams, recordings, uploads, pan and tilt. The streams
// themselves go over links of their own (protocols/jt1078). Any thread.
#pragma once

#include <array>
#include <cstddef>

#include "protocols/jt808/codec/schema.hpp"
#include "protocols/jt808/codec/tables/names.hpp"
#include "protocols/jt808/codec/tables/terminal.hpp"

namespace ringgate::jt808::tables {

// Table 12.
inline constexpr Name codecs[] = {
    {1, "g.721"},       {2, "g.722"},         {3, "g.723"},        {4, "g.728"},
    {5, "g.729"},       {6, "g.711a"},        {7, "g.711u"},       {8, "g.726"},
    {9, "g.729a"},      {10, "dvi4-3"},       {11, "dvi4-4"},      {12, "dvi4-8k"},
    {13, "dvi4-16k"},   {14, "lpc"},          {15, "s16be-stereo"}, {16, "s16be-mono"},
    {17, "mpeg-audio"}, {18, "lpcm"},         {19, "aac"},         {20, "wma9"},
    {21, "heaac"},      {22, "pcm-voice"},    {23, "pcm-audio"},   {24, "aac-lc"},
    {25, "mp3"},        {26, "adpcm-ima"},    {27, "mp4-audio"},   {28, "amr"},
    {91, "passthrough"}, {98, "h.264"},       {99, "h.265"},       {100, "avs"},
    {101, "svac"},
};
inline constexpr Name sample_rates[] = {
    {0, "8-khz"}, {1, "22.05-khz"}, {2, "44.1-khz"}, {3, "48-khz"}};
inline constexpr Name sample_sizes[] = {{0, "8-bit"}, {1, "16-bit"}, {2, "32-bit"}};
inline constexpr Field av_attributes[] = {
    u8("audio_codec").named(codecs),
    u8("audio_channels"),
    u8("sample_rate").named(sample_rates),
    u8("sample_size").named(sample_sizes),
    u16("audio_frame_bytes"),
    u8("audio_output").named(no_yes),
    u8("video_codec").named(codecs),
    u8("audio_channels_max"),
    u8("video_channels_max"),
};
inline constexpr Field passengers[] = {
    time("start"), time("end"), u16("boarded"), u16("alighted")};

// Bits 0 to 31 are those of a position, 32 to 63 those of item 0x14. As a big-endian number that
// puts the bits of the position into the last four bytes, which is how it is read here; terminals
// are known that send the words the other way round.
constexpr auto join_alarm_bits() {
  std::array<Name, std::size(alarm_bits) + std::size(video_alarm_bits)> joined{};
  std::size_t n = 0;
  for (const Name& name : alarm_bits) joined[n++] = name;
  for (const Name& name : video_alarm_bits) joined[n++] = {name.value + 32, name.name, in_all};
  return joined;
}
inline constexpr auto alarm_bits_64 = join_alarm_bits();

inline constexpr Name live_types[] = {
    {0, "audio-and-video"}, {1, "video"},     {2, "talk"},
    {3, "listen"},          {4, "broadcast"}, {5, "passthrough"},
};
inline constexpr Field media_server[] = {text1("address"), u16("tcp_port"),
                                        u16("udp_port").or_else(0)};
inline constexpr Field start_live[] = {
    inline_group(media_server),
    u8("channel"),
    u8("type").named(live_types).or_else(0),
    u8("stream").named(live_streams).or_else(0),
};
inline constexpr Name live_commands[] = {
    {0, "close"}, {1, "switch-stream"}, {2, "pause"}, {3, "resume"}, {4, "close-talk"}};
inline constexpr Name closed_parts[] = {{0, "all"}, {1, "audio"}, {2, "video"}};
inline constexpr Field control_live[] = {
    u8("channel"),
    u8("command").named(live_commands),
    u8("close").named(closed_parts).or_else(0),
    u8("stream").named(live_streams).or_else(0),
};
inline constexpr Field live_state[] = {u8("channel"), u8("loss_percent")};

inline constexpr Field recording_filter[] = {
    bits("alarms", 8, alarm_bits_64).or_else(0),
    u8("type").named(resource_types).or_else(0),
    u8("stream").named(stored_streams).or_else(0),
    u8("storage").named(storages).or_else(0),
};
inline constexpr Field search_recordings[] = {
    u8("channel").or_else(0).noted("0: all"),
    time("start").or_else(0).noted("null: from the first"),
    time("end").or_else(0).noted("null: to the last"),
    inline_group(recording_filter),
};
inline constexpr Field recording[] = {
    u8("channel"),
    time("start"),
    time("end"),
    inline_group(recording_filter),
    u32("size_bytes"),
};
inline constexpr Field recordings[] = {
    u16("reply_serial"),
    list4("recordings", recording),
};

inline constexpr Name playback_modes[] = {
    {0, "normal"}, {1, "fast-forward"}, {2, "rewind-key-frames"}, {3, "key-frames"},
    {4, "single-frame"},
};
inline constexpr Name playback_speeds[] = {{0, "none"}, {1, "1x"}, {2, "2x"},
                                           {3, "4x"},   {4, "8x"}, {5, "16x"}};
inline constexpr Field play[] = {
    inline_group(media_server),
    u8("channel"),
    u8("type").named(resource_types).or_else(0),
    u8("stream").named(stored_streams).or_else(0),
    u8("storage").named(storages).or_else(0),
    u8("mode").named(playback_modes).or_else(0),
    u8("speed").named(playback_speeds).or_else(0),
    time("start"),
    time("end").or_else(0).noted("null: to the end"),
};
inline constexpr Name playback_commands[] = {
    {0, "start"},        {1, "pause"},             {2, "stop"}, {3, "fast-forward"},
    {4, "rewind-key-frames"}, {5, "seek"},         {6, "key-frames"},
};
inline constexpr Field control_playback[] = {
    u8("channel"),
    u8("command").named(playback_commands),
    u8("speed").named(playback_speeds).or_else(0),
    time("position").or_else(0).noted("command seek"),
};

inline constexpr Name upload_condition_bits[] = {{0, "wifi"}, {1, "lan"}, {2, "mobile"}};
inline constexpr Field upload_recordings[] = {
    text1("address"),
    u16("port"),
    text1("user"),
    text1("password").secret(),
    text1("path"),
    u8("channel"),
    time("start"),
    time("end"),
    inline_group(recording_filter),
    bits("conditions", 1, upload_condition_bits).or_else(7),
};
inline constexpr Name upload_states[] = {{0, "ok"}, {1, "failed"}};
inline constexpr Field upload_done[] = {u16("reply_serial"), u8("result").named(upload_states)};
inline constexpr Name upload_commands[] = {{0, "pause"}, {1, "resume"}, {2, "cancel"}};
inline constexpr Field control_upload[] = {
    u16("upload_serial").noted("of the 0x9206"),
    u8("command").named(upload_commands),
};

inline constexpr Name tilt_directions[] = {
    {0, "stop"}, {1, "up"}, {2, "down"}, {3, "left"}, {4, "right"}};
inline constexpr Field tilt[] = {
    u8("channel"), u8("direction").named(tilt_directions), u8("speed")};
inline constexpr Name more_or_less[] = {{0, "increase"}, {1, "decrease"}};
inline constexpr Field adjust[] = {u8("channel"), u8("direction").named(more_or_less)};
inline constexpr Field switch_ptz[] = {u8("channel"), u8("command").named(start_stop)};

inline constexpr MessageSpec jt1078_messages[] = {
    {.id = 0x1003,
     .name = "av-attributes",
     .source = "JT/T 1078-2016 5.4.2",
     .from_device = true,
     .fields = av_attributes},
    {.id = 0x1005,
     .name = "passengers",
     .source = "JT/T 1078-2016 5.4.3",
     .from_device = true,
     .fields = passengers},
    {.id = 0x1205,
     .name = "recordings",
     .source = "JT/T 1078-2016 5.6.2",
     .from_device = true,
     .fields = recordings,
     .layouts = since_2013},
    {.id = 0x1206,
     .name = "upload-done",
     .source = "JT/T 1078-2016 5.6.6",
     .from_device = true,
     .fields = upload_done},
    {.id = 0x9003,
     .name = "query-av-attributes",
     .source = "JT/T 1078-2016 5.4.1",
     .from_device = false,
     .answer = answered_without_serial(0x1003)},
    {.id = 0x9101,
     .name = "start-live",
     .source = "JT/T 1078-2016 5.5.1",
     .from_device = false,
     .fields = start_live},
    {.id = 0x9102,
     .name = "control-live",
     .source = "JT/T 1078-2016 5.5.2",
     .from_device = false,
     .fields = control_live},
    {.id = 0x9105,
     .name = "live-state",
     .source = "JT/T 1078-2016 5.5.4",
     .from_device = false,
     .fields = live_state,
     .answer = no_answer},
    {.id = 0x9201,
     .name = "play-recordings",
     .source = "JT/T 1078-2016 5.6.3",
     .from_device = false,
     .fields = play,
     .answer = {Answer::Rule::either, 0x1205}},
    {.id = 0x9202,
     .name = "control-playback",
     .source = "JT/T 1078-2016 5.6.4",
     .from_device = false,
     .fields = control_playback},
    {.id = 0x9205,
     .name = "search-recordings",
     .source = "JT/T 1078-2016 5.6.1",
     .from_device = false,
     .fields = search_recordings,
     .layouts = since_2013,
     .answer = answered_by(0x1205)},
    {.id = 0x9206,
     .name = "upload-recordings",
     .source = "JT/T 1078-2016 5.6.5",
     .from_device = false,
     .fields = upload_recordings,
     .layouts = since_2013,
     .answer = {Answer::Rule::both, 0x1206}},
    {.id = 0x9207,
     .name = "control-upload",
     .source = "JT/T 1078-2016 5.6.7",
     .from_device = false,
     .fields = control_upload},
    {.id = 0x9301,
     .name = "pan-and-tilt",
     .source = "JT/T 1078-2016 5.7.1",
     .from_device = false,
     .fields = tilt},
    {.id = 0x9302,
     .name = "focus",
     .source = "JT/T 1078-2016 5.7.2",
     .from_device = false,
     .fields = adjust},
    {.id = 0x9303,
     .name = "iris",
     .source = "JT/T 1078-2016 5.7.3",
     .from_device = false,
     .fields = adjust},
    {.id = 0x9304,
     .name = "wiper",
     .source = "JT/T 1078-2016 5.7.4",
     .from_device = false,
     .fields = switch_ptz},
    {.id = 0x9305,
     .name = "infrared-light",
     .source = "JT/T 1078-2016 5.7.5",
     .from_device = false,
     .fields = switch_ptz},
    {.id = 0x9306,
     .name = "zoom",
     .source = "JT/T 1078-2016 5.7.6",
     .from_device = false,
     .fields = adjust},
};

}  // namespace ringgate::jt808::tables
