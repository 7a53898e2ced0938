// Every bound of the engine in one place, with the reason for its number. Storage and protocols
// have a header of the same name for theirs.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ringgate::limits {

// Shards of one process. Mail columns grow with the square; 64 covers the largest single-socket
// boxes.
constexpr std::uint32_t shards_max = 64;

// Completions handled between two entries of the ring. Large enough that an entry's fixed cost
// vanishes (256 * ~0.5 us of work), small enough that a reply waits at most some 200 us for the
// rest.
constexpr std::uint32_t completions_per_turn = 256;

// Timers fired in one turn. 10^6 links with one idle timer each that all expire at once are spread
// over turns instead of stalling one.
constexpr std::uint32_t timers_per_turn = 256;

// Mails taken from one column in one turn, for the same reason.
constexpr std::uint32_t mails_per_turn = 128;

// A loop that has nothing to do still looks at its clock this often: status lines and drains need
// it.
constexpr std::int64_t idle_turn_ms = 250;

// One column of a mailbox. Holds some 60 of the largest forwarded frames or 600 link moves, so that
// a burst of reconnecting devices does not wait for the receiver's next turn. Touched lazily.
constexpr std::uint32_t mail_column_bytes = 128 * 1024;
// The largest mail: a forwarded jsonl line of 16 KiB and its header.
constexpr std::uint32_t mail_bytes_max = 20 * 1024;

// Errands that one control thread may have on shards. A column holds 8,192 of their mails; half of
// that leaves room for wake-ups, and bounds what a control plane makes a shard keep.
constexpr std::uint32_t errands_max = 4096;

// Receive buffers: 4 KiB with bundles (measured best for device frames), 16 KiB where one
// completion fills only one buffer. 4 MiB a shard either way: 1,000 links can deliver 4 KiB in one
// turn, and the hot part still fits a large L2.
constexpr std::uint32_t recv_buffer_bytes_bundle = 4 * 1024;
constexpr std::uint32_t recv_buffer_count_bundle = 1024;
constexpr std::uint32_t recv_buffer_bytes_single = 16 * 1024;
constexpr std::uint32_t recv_buffer_count_single = 256;

// A link may have this many received bytes that are not durable yet; then we stop reading from it.
// Covers 16 frames in flight of the largest JT/T 808 frame twice over.
constexpr std::uint32_t link_credit_bytes = 64 * 1024;
// The same under memory level 1.
constexpr std::uint32_t link_credit_bytes_level1 = 16 * 1024;
// Reply bytes that a link may have waiting; a peer that sends but never reads is paused there.
constexpr std::uint32_t link_out_bytes_max = 64 * 1024;
// Bytes that may wait for a frame's rest in a link's spill. A link that is over is broken: no
// protocol has frames that long. (What waits for credit is bounded by the receive buffers.)
constexpr std::uint32_t link_spill_bytes_max = 1024 * 1024;

// Datagrams. A buffer holds the largest one that is taken, behind 84 bytes that tell its sender:
// the longest JT/T 808 frame (2,092 bytes) and as much again, or some 60 position reports. 1 MiB a
// shard: as many as one turn handles; more wait in the socket.
constexpr std::uint32_t datagram_buffer_bytes = 4 * 1024;
constexpr std::uint32_t datagram_buffer_count = 256;
// Asked for as SO_RCVBUF, which net.core.rmem_max caps: all devices of a shard share one socket,
// and a second's worth of 10,000 of them should fit while the shard is busy.
constexpr int datagram_socket_bytes = 8 * 1024 * 1024;
// Datagrams that a shard has handed to the kernel and not seen sent. Nearly always they are sent at
// once; beyond this number replies wait in their links.
constexpr std::uint32_t datagram_sends_max = 256;
// Forwarded datagrams leave this much of a mail column to link moves and frames, which are not
// dropped.
constexpr std::uint32_t datagram_mail_keep_bytes = mail_column_bytes / 2;
// Links of one shard that nobody has authenticated on. A terminal is one for two round trips; with
// 1 s of those, 16,384 are more new terminals a second than a shard authenticates. 4 MiB.
constexpr std::uint32_t datagram_strangers_max = 16'384;
// What strangers may send, of one source (an IPv4 address, an IPv6 /64) and of all, per shard. A
// terminal registers and authenticates with some 150 bytes: 64 KiB are 400 terminals a second
// behind one NAT, 4 MiB are 28,000 in all, far less than a link of 100 Mbit/s brings.
constexpr std::uint64_t stranger_source_bytes_per_s = 64 * 1024;
constexpr std::uint64_t stranger_bytes_per_s = 4 * 1024 * 1024;
// So long a silence saves up for: after an outage everybody comes at once.
constexpr std::int64_t stranger_burst_ms = 4'000;
// Sources with an account of their own. 64 KiB.
constexpr std::uint32_t stranger_sources_max = 4096;

// A filter is given replies in batches: what one record of TLS holds.
constexpr std::uint32_t filter_batch_bytes = 16 * 1024;
// What such a record adds: header, explicit nonce, tag; with padding of old ciphers below this.
constexpr std::uint32_t filter_overhead_bytes = 64;
// Bytes that a filter may have waiting of its own accord: alerts, key updates, a handshake's flight
// with a long chain of certificates (100 KiB at most). A peer that asks for more and takes none is
// closed.
constexpr std::uint32_t filter_waiting_bytes_max = 256 * 1024;

// TLS. What an idle link costs besides its Link, and one in its handshake: measured with OpenSSL
// 3.0, for the memory budget.
constexpr std::uint32_t tls_link_bytes = 16 * 1024;
constexpr std::uint32_t tls_handshake_bytes = 64 * 1024;
// Handshakes that one shard has under way (tls.handshakes_max): 32 MiB, and some half a second of
// its CPU with a key of RSA. When all devices come back at once, more under way would make none of
// them faster and let the first ones time out; those that wait in the kernel cost nothing.
constexpr std::uint32_t tls_handshakes_default = 512;
// Where so many are under way, those of peers that say nothing give way to others after this long
// (what TCP loses comes again within it), and all that last longer than the other: somebody who
// opens connections and says little would keep all places for a frame time-out, for ever. Once
// through all handshakes an RSA key of 4,096 bits takes 3 s of a CPU.
constexpr std::int64_t tls_stalled_ms = 1'000;
constexpr std::int64_t tls_crowded_ms = 5'000;
// Handshakes that a turn looks at for it.
constexpr std::size_t tls_stalled_looks = 256;
// A session may be resumed for so long: devices that lose their network for hours come back all at
// once. Keys of tickets last twice that; a stolen one opens no older traffic than theirs.
constexpr std::int64_t tls_session_s = 4 * 3600;
// Certificates and keys are a few KiB; a bundle of authorities some 200 KiB.
constexpr std::int64_t pem_bytes_max = 1024 * 1024;
// Of a client certificate's name; X.520 has 64 for a common name.
constexpr std::size_t tls_name_bytes_max = 256;
// Files are looked at this often; a pair is taken when it has not changed in between, so that one
// whose key is not written yet is no error.
constexpr std::int64_t tls_look_interval_ms = 1'000;
// Certificates that end within so many days are warned of, once a day.
constexpr std::int64_t tls_expiry_warning_s = 30 * 24 * 3600;

// A PROXY header: 52 bytes with two IPv6 addresses, some hundred with what a proxy says of TLS, and
// up to 2 KiB where it passes a client's certificate on.
constexpr std::uint32_t proxy_header_bytes_max = 4 * 1024;

// Spilled bytes are shown to a protocol in pieces of this size, so that a link that must pause does
// so near its credit. Any frame that a device sends fits; a longer one is shown in a longer piece.
constexpr std::uint32_t spill_slice_bytes = 16 * 1024;

// Reply chunks. The small one holds the answers of 16 frames in flight (19 bytes each) and is what
// an active link owns between commit and send; the large one is for more.
constexpr std::uint32_t out_chunk_small_bytes = 512;
constexpr std::uint32_t out_chunk_large_bytes = 4096;
// Free chunks a shard keeps of each size; beyond that they go back to the allocator.
constexpr std::uint32_t out_chunks_kept = 1024;

// Session bytes inside a Link, copied when the link moves to another shard.
constexpr std::size_t session_state_bytes = 88;

// Links of one shard: slots are 32 bits, and 2^20 links cost 256 MiB of Link alone.
constexpr std::uint32_t links_per_shard_max = 1U << 20;

// Forwarded frames of one link whose home shard has not answered yet.
constexpr std::uint32_t link_remote_frames_max = 1024;

// A closing link waits this long for the peer's FIN after ours, so that unread input does not turn
// into a reset that destroys our last replies on the way.
constexpr std::int64_t linger_ms = 2'000;

// After "too many open files" accepting rests this long: descriptors come back when links close.
constexpr std::int64_t accept_pause_ms = 100;

// Devices one shard remembers. 2^21 * 256 B = 512 MiB; a process has shards * this.
constexpr std::uint32_t devices_per_shard_max = 1U << 21;
// Frames a device is compared with to recognise a retransmission.
constexpr std::uint32_t recent_frames = 16;

}  // namespace ringgate::limits
