// What the handshakes of all listeners begin with: OpenSSL's contexts, one per listener section and
// certificate, made together from files and never changed. New files mean a new object; links that
// have begun keep the old one. Made on the main thread; shards read it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/net/tls/certificate.hpp"

namespace ringgate::net::tls {

enum class ClientCertificates : std::uint8_t { no, optional, required };

// How the listeners of one section speak TLS.
struct Policy {
  std::string section;
  ClientCertificates client_certificates = ClientCertificates::no;
  bool http = false;  // says so by ALPN, and answers plain HTTP with 400
};

// What all sections share.
struct Suite {
  int min_version = TLS1_2_VERSION;
  std::string ciphers;      // of TLS 1.2, as OpenSSL writes them
  std::string client_ca;    // PEM text of those who may issue client certificates; empty: none
};

// Encrypts session tickets, so that any shard resumes what another began and no session is kept.
struct TicketKey {
  std::array<unsigned char, 16> name{};
  std::array<unsigned char, 32> cipher{};
  std::array<unsigned char, 32> mac{};
};

class Contexts {
 public:
  // Certificates in the order of the configuration: the first is for who names no host, or one
  // that no certificate has. `tickets`: the first encrypts, all decrypt. Error: what OpenSSL
  // refused, with the file or key to mend.
  static Result<std::shared_ptr<const Contexts>> make(std::span<const Certificate> certificates,
                                                      const Suite& suite,
                                                      std::span<const Policy> policies,
                                                      std::vector<TicketKey> tickets);

  // Of the policy with this index.
  SSL_CTX* of(std::size_t policy) const { return sets_[policy].contexts[0].get(); }
  const Policy& policy(std::size_t index) const { return sets_[index].policy; }
  std::span<const TicketKey> tickets() const { return tickets_; }

 private:
  struct Named {
    std::vector<std::string> names;
    bool has_rsa = false;
    bool has_other = false;
  };
  // All certificates of one section.
  struct Set {
    const Contexts* owner = nullptr;
    Policy policy;
    std::vector<ContextPtr> contexts;  // by Named
    SSL_CTX* for_host(std::string_view host) const;
  };

  Contexts() = default;
  Result<void> make_set(Set& set, std::span<const Certificate> certificates, const Suite& suite);
  Result<void> trust_clients(const Set& set, SSL_CTX* context, const Suite& suite);
  static int on_server_name(SSL* ssl, int* alert, void* set);
  static int on_protocols(SSL* ssl, const unsigned char** out, unsigned char* out_size,
                          const unsigned char* in, unsigned in_size, void* set);
  static int on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                       EVP_MAC_CTX* mac, int encrypt);

  std::vector<Named> named_;
  std::vector<std::size_t> context_of_;  // by certificate
  std::vector<Set> sets_;                // by policy
  std::vector<TicketKey> tickets_;
};

}  // namespace ringgate::net::tls
