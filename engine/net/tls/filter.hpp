// TLS 1.2 and 1.3 as a Filter of links, by OpenSSL. Its records come from and go to Links' buffers
// through a BIO of our own: nothing is queued in between.
#pragma once

#include <cstddef>
#include <memory>

#include "engine/net/filter.hpp"
#include "engine/net/tls/contexts.hpp"

namespace ringgate::net::tls {

// The filters of one section's listeners on one shard; used on its thread only.
class Acceptor final : public FilterFactory {
 public:
  Acceptor(std::shared_ptr<const Contexts> contexts, std::size_t policy)
      : contexts_(std::move(contexts)), policy_(policy) {}

  // For links from now on.
  void use(std::shared_ptr<const Contexts> contexts) { contexts_ = std::move(contexts); }
  std::unique_ptr<Filter> make() override;

 private:
  std::shared_ptr<const Contexts> contexts_;
  std::size_t policy_;
};

// The other side, for tools: begins its handshake at the first received(), which may be empty. The
// server's certificate is what `context` demands.
std::unique_ptr<Filter> make_client(SSL_CTX* context);

}  // namespace ringgate::net::tls
