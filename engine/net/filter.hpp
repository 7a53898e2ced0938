// What stands between a socket's bytes and a protocol's bytes: TLS, for one. A link without a
// filter (the identity) passes bytes through uncopied and pays nothing; with one, received bytes go
// through received() before the protocol sees them, and replies through sending() when they are
// allowed to leave.
//
// Filters live on their link's shard and move with it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/bytes.hpp"

namespace ringgate::net {

// Why a filter gave its link up.
enum class FilterFault : std::uint8_t {
  not_tls,                 // the first bytes are something else, plain HTTP for one
  version,                 // no version of TLS that both sides take
  nothing_in_common,       // no cipher, group or application protocol that both sides take
  no_client_certificate,   // the listener wants one
  bad_client_certificate,  // expired, or of nobody we trust
  peer_alert,              // the peer refused us
  protocol,                // anything else that TLS does not allow
  flood,                   // it makes us answer and takes no answer
  timeout,                 // the handshake did not end in time
  abandoned,               // the peer went before its end
  count,
};
enum class HandshakeResult : std::uint8_t { full, resumed, failed, count };
enum class TlsVersion : std::uint8_t { tls12, tls13, count };

struct Handshake {
  TlsVersion version = TlsVersion::tls13;
  bool resumed = false;
};

// The peer of an encrypted link. Without a certificate that was verified the names are empty.
struct SecurePeer {
  bool verified = false;    // it has shown a certificate that tls.client_ca vouches for
  std::string subject;      // of that certificate, as RFC 2253 writes it: CN=reader,O=fleet
  std::string common_name;  // of the subject
};

// Where a filter puts what it made. Bytes are copied or used up during the call.
class FilterSink {
 public:
  virtual ~FilterSink() = default;
  virtual void plain(Bytes bytes) = 0;  // for the protocol
  virtual void wire(Bytes bytes) = 0;   // for the peer, in this order, before later replies
  // Filter::established() is true from now on.
  virtual void established(const Handshake& handshake) { static_cast<void>(handshake); }
  // The peer has said that it sends no more: as good as its FIN.
  virtual void ended() {}
  // Before received() or sending() returns false.
  virtual void broken(FilterFault why) { static_cast<void>(why); }
};

class Filter {
 public:
  virtual ~Filter() = default;
  // False: the peer broke the filter's protocol; what is in `wire` (an alert) still leaves, then
  // the link ends.
  virtual bool received(Bytes wire, FilterSink& sink) = 0;
  // All that may leave now, up to limits::filter_batch_bytes; only once established.
  virtual bool sending(Bytes plain, FilterSink& sink) = 0;
  // Nothing will be sent any more: last words. Called once, where established.
  virtual void ending(FilterSink& sink) { static_cast<void>(sink); }
  // Whether replies may leave. Until then the listener's frame time-out runs, from the accept on.
  virtual bool established() const { return true; }
  // Whether it holds the beginning of something whose rest must come: the frame time-out runs.
  virtual bool partial() const { return false; }
  // Null: not encrypted.
  virtual const SecurePeer* peer() const { return nullptr; }
  // What the link's memory budget is charged.
  virtual std::uint32_t memory_bytes() const { return 0; }
};

// Makes the filter of a new link, on its shard's thread.
class FilterFactory {
 public:
  virtual ~FilterFactory() = default;
  virtual std::unique_ptr<Filter> make() = 0;
};

// A link's filter, and what it has for the peer. The kernel reads `sending` while a send is in
// flight, so new bytes gather in `next`.
struct FilterState {
  std::unique_ptr<Filter> filter;
  std::vector<std::uint8_t> sending;
  std::vector<std::uint8_t> next;
  std::size_t sent = 0;
  std::uint64_t charged_bytes = 0;
  bool counted = false;  // the end of its handshake
  bool ended = false;    // its last words are said
  bool pending() const { return sent != sending.size() || !next.empty(); }
};

}  // namespace ringgate::net
