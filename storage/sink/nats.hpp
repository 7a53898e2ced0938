// The NATS sink: every record is published to JetStream, as one JSON object, and is confirmed when
// the stream has it on its servers' disks. NATS.md names subjects, payloads and the stream.
//
// Publishing goes ahead of the acknowledgements by a bounded window; a batch is confirmed when all
// of its acknowledgements have come. After a failure the worker brings the whole batch again: the
// header Nats-Msg-Id (the record's id) makes the stream drop what it has already.
#pragma once

#include <memory>
#include <string>

#include "engine/config/settings.hpp"
#include "storage/event/record_json.hpp"
#include "storage/sink/nats_link.hpp"
#include "storage/sink/target.hpp"

namespace ringgate::sink {

namespace nats_limits {
// Published and not acknowledged. JetStream wants some thousands in flight to fill its writes; with
// 1 KiB each that is less than what two socket buffers hold.
constexpr std::size_t window_records_max = 4096;
// Of them, in bytes: a few large media records do not become hundreds of MiB in the server.
constexpr std::size_t window_bytes_max = 8U << 20;
// Handed to libnats and not yet to the socket. Beyond it we wait for the socket.
constexpr std::size_t unsent_bytes_max = 256U << 10;
// No acknowledgement for so long, while some are due: the server is stuck, or the stream has no
// leader.
constexpr int ack_timeout_ms = 10'000;
// An answer of JetStream's API.
constexpr int api_timeout_ms = 5'000;
}  // namespace nats_limits

struct NatsStreamOptions {
  std::string name = "RINGGATE";
  std::uint64_t bytes_max = 0;  // 0: as many as the server has room for
  int replicas = 1;
  MonoNs duplicates_ns = 120 * ns_per_s;
  bool drop_oldest = false;  // where it is full; else it refuses what is new
};

struct NatsOptions {
  NatsLinkOptions link;
  NatsStreamOptions stream;
  event::RecordJsonOptions payload;
};

Result<void> check_nats_url(std::string_view text);
Result<void> check_stream_name(std::string_view text);

inline constexpr std::string_view nats_payloads[] = {"json", "frame", "both"};
inline constexpr std::string_view nats_full[] = {"refuse", "drop-oldest"};

inline constexpr config::KeySpec nats_keys[] = {
    {.name = "sink.nats.payload",
     .type = config::KeyType::choice,
     .default_text = "json",
     .doc = "What a message says of a frame: its content decoded, the frame in hex, or both.",
     .choices = nats_payloads},
    {.name = "sink.nats.stream",
     .type = config::KeyType::text,
     .default_text = "RINGGATE",
     .doc = "JetStream stream; made where it is not there, never made smaller where it is.",
     .min = 1,
     .max = 128,
     .check = &check_stream_name},
    {.name = "sink.nats.stream_max_bytes",
     .type = config::KeyType::size,
     .default_text = "0B",
     .doc = "What the stream may keep; 0 is no limit of its own."},
    {.name = "sink.nats.stream_full",
     .type = config::KeyType::choice,
     .default_text = "refuse",
     .doc = "A full stream refuses (the sink waits, the log keeps all) or drops its oldest.",
     .choices = nats_full},
    {.name = "sink.nats.replicas",
     .type = config::KeyType::integer,
     .default_text = "1",
     .doc = "Servers of the cluster that hold the stream.",
     .min = 1,
     .max = 5,
     .unit = "servers"},
    {.name = "sink.nats.duplicate_window",
     .type = config::KeyType::duration,
     .default_text = "2m",
     .doc = "How long the stream remembers record ids, to drop what comes again.",
     .min = ns_per_s,
     .max = 24 * 3600 * ns_per_s},
    {.name = "sink.nats.credentials",
     .type = config::KeyType::text,
     .doc = "Credentials file (JWT and seed) for servers that want one; empty: none.",
     .max = 3000},
    {.name = "sink.nats.ca_file",
     .type = config::KeyType::text,
     .doc = "Certificates (PEM) that tls:// trusts; empty: the system's.",
     .max = 3000},
    {.name = "sink.nats.certificate_file",
     .type = config::KeyType::text,
     .doc = "Our own certificate (PEM), for servers that ask for one; empty: none.",
     .max = 3000},
    {.name = "sink.nats.key_file",
     .type = config::KeyType::text,
     .doc = "The private key (PEM) of sink.nats.certificate_file.",
     .max = 3000},
};
// `url`: as the check has passed it.
NatsOptions nats_options(const config::Settings& settings, const std::string& url,
                         const std::string& node_name);

std::unique_ptr<Target> make_nats_target(const NatsOptions& options);

// ---- subjects -----------------------------------------------------------------------------------

// As one token of a subject: bytes that NATS gives a meaning (". * >", blanks, control signs), '%'
// and what is no ASCII become %XX; nothing at all becomes "%".
std::string subject_token(std::string_view text);
// Back; nothing where it is no token that subject_token() made.
std::string from_subject_token(std::string_view token);

// All record subjects: ringgate.<node>.<protocol>.<message>.<device>. Commands and presence have
// three tokens, so no stream of records takes them.
inline constexpr std::string_view record_subjects = "ringgate.*.*.*.*";

// ---- the stream ---------------------------------------------------------------------------------

// Makes the stream, or checks and widens what is there. Trouble: bad_config where it can't serve.
Result<void, Trouble> prepare_stream(NatsLink& link, const NatsStreamOptions& options,
                                     const StopSignal& stop);
// What an error of JetStream means for us.
Failure failure_of_stream(int error_code);
// Whether a subject pattern takes all that `wanted` takes, or some of it.
bool subject_covers(std::string_view pattern, std::string_view wanted);
bool subjects_overlap(std::string_view one, std::string_view other);

}  // namespace ringgate::sink
