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
#include <vector>

#include "engine/base/bytes.hpp"

namespace ringgate::net {

// Where a filter puts what it made. Bytes are copied or used up during the call.
class FilterSink {
 public:
  virtual ~FilterSink() = default;
  virtual void plain(Bytes bytes) = 0;  // for the protocol
  virtual void wire(Bytes bytes) = 0;   // for the peer, in this order, before later replies
};

class Filter {
 public:
  virtual ~Filter() = default;
  // False: the peer broke the filter's protocol; what is in `wire` (an alert) still leaves, then
  // the link ends.
  virtual bool received(Bytes wire, FilterSink& sink) = 0;
  virtual bool sending(Bytes plain, FilterSink& sink) = 0;
};

// Makes the filter of a new link. Shared by all shards: must be safe to call from any of them.
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
  bool pending() const { return sent != sending.size() || !next.empty(); }
};

}  // namespace ringgate::net
