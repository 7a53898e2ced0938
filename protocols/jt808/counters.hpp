// What the JT/T 808 session of one shard counts.
#pragma once

#include "engine/observe/counter.hpp"
#include "protocols/jt808/codec/reason.hpp"
#include "protocols/jt808/codec/writer.hpp"
#include "protocols/jt808/inflate.hpp"

namespace ringgate::jt808 {

inline constexpr std::string_view bad_reason_names[] = {
    name(BadReason::none),      name(BadReason::garbage),  name(BadReason::escape),
    name(BadReason::checksum),  name(BadReason::too_short), name(BadReason::oversize),
    name(BadReason::length),    name(BadReason::phone),    name(BadReason::header)};
static_assert(std::size(bad_reason_names) == bad_reason_count);
inline constexpr std::string_view result_names[] = {"ok", "failed", "bad_message", "unsupported"};

inline constexpr std::string_view inflated_names[] = {"ok", "broken", "bomb", "unchecked"};
// What became of encrypted frames.
enum class Encrypted : std::uint8_t { decrypted, failed, no_key, unknown_method };
inline constexpr std::string_view encrypted_names[] = {"decrypted", "failed", "no_key",
                                                       "unknown_method"};
inline constexpr observe::MetricSpec compressed_messages{
    .name = "ringgate_jt808_compressed_total",
    .help = "Compressed messages (0x0901), by whether they inflate.",
    .label = "content",
    .values = inflated_names};
inline constexpr observe::MetricSpec encrypted_frames{
    .name = "ringgate_jt808_encrypted_total",
    .help = "Encrypted frames, by what became of them; all are logged as they came.",
    .label = "outcome",
    .values = encrypted_names};

// Frames that were well-formed and still not taken.
enum class Refusal : std::uint8_t {
  unauthenticated,
  wrong_code,
  malformed,
  log,
  table_full,
  banned,
  late_copy,  // a repeated 0x0102 from an address that the terminal has left
  too_dear,   // encrypted, beyond its terminal's share of the shard's time
  unregistered,    // not in the registry, or disabled there
  other_terminal,  // the registry names another terminal for this phone
};
inline constexpr std::string_view refusal_names[] = {
    "unauthenticated", "wrong_code", "malformed", "log", "table_full", "banned", "late_copy",
    "too_dear",        "unregistered", "other_terminal"};

inline constexpr observe::MetricSpec frames_received{.name = "ringgate_jt808_frames_total",
                                                     .help = "Well-formed frames received."};
inline constexpr observe::MetricSpec bad_frames{.name = "ringgate_jt808_bad_frames_total",
                                                .help = "Bytes that were no frame, by reason.",
                                                .label = "reason",
                                                .values = bad_reason_names};
inline constexpr observe::MetricSpec acks{.name = "ringgate_jt808_acks_total",
                                          .help = "General replies (0x8001) written, by result.",
                                          .label = "result",
                                          .values = result_names};
inline constexpr observe::MetricSpec refusals{.name = "ringgate_jt808_refused_total",
                                              .help = "Frames that were not taken, by reason.",
                                              .label = "reason",
                                              .values = refusal_names};
inline constexpr observe::MetricSpec positions{.name = "ringgate_jt808_positions_total",
                                               .help = "Positions decoded (0x0200 and 0x0704)."};
inline constexpr observe::MetricSpec duplicates{.name = "ringgate_jt808_duplicates_total",
                                                .help = "Retransmissions, logged as such."};
inline constexpr observe::MetricSpec registrations{.name = "ringgate_jt808_registrations_total",
                                                   .help = "Authentication codes given."};
inline constexpr observe::MetricSpec authentications{
    .name = "ringgate_jt808_authentications_total", .help = "Terminals that authenticated."};
inline constexpr observe::MetricSpec replacements{
    .name = "ringgate_jt808_links_replaced_total",
    .help = "Links closed because their terminal authenticated on another."};
inline constexpr observe::MetricSpec devices_online{.name = "ringgate_jt808_devices_online",
                                                    .help = "Authenticated terminals with a link.",
                                                    .kind = observe::MetricKind::gauge};

struct Counters {
  explicit Counters(observe::CounterGroup& group)
      : frames(group.counter(frames_received)), bad(group.family<BadReason>(bad_frames)),
        acks(group.family<AckResult>(jt808::acks)),
        refused(group.family<Refusal>(refusals)), positions(group.counter(jt808::positions)),
        duplicates(group.counter(jt808::duplicates)),
        registrations(group.counter(jt808::registrations)),
        authentications(group.counter(jt808::authentications)),
        replaced(group.counter(replacements)),
        compressed(group.family<Inflated>(compressed_messages)),
        encrypted(group.family<Encrypted>(encrypted_frames)), online(group.gauge(devices_online)) {}

  observe::Counter frames;
  observe::Family<BadReason> bad;
  observe::Family<AckResult> acks;
  observe::Family<Refusal> refused;
  observe::Counter positions;
  observe::Counter duplicates;
  observe::Counter registrations;
  observe::Counter authentications;
  observe::Counter replaced;
  observe::Family<Inflated> compressed;
  observe::Family<Encrypted> encrypted;
  observe::Gauge online;
};

}  // namespace ringgate::jt808
