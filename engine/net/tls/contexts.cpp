#include "engine/net/tls/contexts.hpp"

#include <fmt/core.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>

#include <algorithm>
#include <cstring>

#include "engine/base/limits.hpp"

namespace ringgate::net::tls {

namespace {

// Where a context finds its set; OpenSSL's callback for tickets has no argument of its own.
int set_index() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

Error refused(std::string_view what) {
  const std::string why = take_error();
  return Error{0, fmt::format("{}: {}", what, why.empty() ? "OpenSSL refused it" : why)};
}

// What both sides of a resumed session must have had in common: the policy, and who vouches for
// clients. A session that another authority let in is no session here.
void set_session_scope(SSL_CTX* context, const Policy& policy, const Suite& suite) {
  std::string scope = policy.section;
  scope += static_cast<char>('0' + static_cast<int>(policy.client_certificates));
  if (policy.client_certificates != ClientCertificates::no) scope += suite.client_ca;
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const unsigned char*>(scope.data()), scope.size(), digest);
  SSL_CTX_set_session_id_context(context, digest, sizeof digest);
}

Result<void> set_protocol(SSL_CTX* context, const Suite& suite) {
  SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                   SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
  // An idle link owns no buffers; a record is gathered in one.
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_timeout(context, limits::tls_session_s);
  SSL_CTX_set_min_proto_version(context, suite.min_version);
  if (SSL_CTX_set_cipher_list(context, suite.ciphers.c_str()) != 1) {
    return refused("tls.ciphers: OpenSSL knows no such cipher; see `openssl ciphers -v`");
  }
  if (SSL_CTX_set1_groups_list(context, "X25519:P-256:P-384") != 1) return refused("groups");
  return {};
}

Result<void> add_certificate(SSL_CTX* context, const Certificate& one) {
  STACK_OF(X509)* chain = sk_X509_new_null();
  for (const X509Ptr& issuer : one.chain) sk_X509_push(chain, issuer.get());
  const int ok = SSL_CTX_use_cert_and_key(context, one.leaf.get(), one.key.get(), chain, 0);
  sk_X509_free(chain);
  if (ok == 1) return {};
  // Too short a key, or a signature nobody takes any more.
  return refused(fmt::format("{}: not fit for TLS (a key of at least 2048 bits of RSA or 256 of an "
                             "elliptic curve, signed with SHA-256 or better, is)",
                             one.files.certificate));
}

}  // namespace

Result<std::shared_ptr<const Contexts>> Contexts::make(std::span<const Certificate> certificates,
                                                       const Suite& suite,
                                                       std::span<const Policy> policies,
                                                       std::vector<TicketKey> tickets) {
  std::shared_ptr<Contexts> out(new Contexts);
  out->tickets_ = std::move(tickets);
  // The same names with RSA and with an elliptic curve: the peer takes the one it knows.
  for (const Certificate& one : certificates) {
    const bool rsa = EVP_PKEY_base_id(one.key.get()) == EVP_PKEY_RSA;
    const auto same = std::ranges::find_if(out->named_, [&](const Named& named) {
      return named.names == one.names && !(rsa ? named.has_rsa : named.has_other);
    });
    out->context_of_.push_back(static_cast<std::size_t>(same - out->named_.begin()));
    if (same == out->named_.end()) {
      out->named_.push_back({one.names, rsa, !rsa});
    } else {
      (rsa ? same->has_rsa : same->has_other) = true;
    }
  }
  out->sets_.resize(policies.size());  // never moves: callbacks point into it
  for (std::size_t i = 0; i < policies.size(); ++i) {
    out->sets_[i].owner = out.get();
    out->sets_[i].policy = policies[i];
    if (auto made = out->make_set(out->sets_[i], certificates, suite); !made) return made.error();
  }
  return std::shared_ptr<const Contexts>(std::move(out));
}

Result<void> Contexts::make_set(Set& set, std::span<const Certificate> certificates,
                                const Suite& suite) {
  for (std::size_t i = 0; i < named_.size(); ++i) {
    ContextPtr context(SSL_CTX_new(TLS_server_method()));
    if (context == nullptr) return refused("a context for TLS");
    if (auto done = set_protocol(context.get(), suite); !done) return done.error();
    set_session_scope(context.get(), set.policy, suite);
    if (auto done = trust_clients(set, context.get(), suite); !done) return done.error();
    SSL_CTX_set_ex_data(context.get(), set_index(), &set);
    // What the macro of that name does, without its cast.
    SSL_CTX_callback_ctrl(context.get(), SSL_CTRL_SET_TLSEXT_SERVERNAME_CB,
                          reinterpret_cast<void (*)()>(&on_server_name));
    SSL_CTX_set_tlsext_servername_arg(context.get(), &set);
    SSL_CTX_set_tlsext_ticket_key_evp_cb(context.get(), &on_ticket);
    if (set.policy.http) SSL_CTX_set_alpn_select_cb(context.get(), &on_protocols, &set);
    set.contexts.push_back(std::move(context));
  }
  for (std::size_t i = 0; i < certificates.size(); ++i) {
    SSL_CTX* context = set.contexts[context_of_[i]].get();
    if (auto done = add_certificate(context, certificates[i]); !done) return done.error();
  }
  return {};
}

Result<void> Contexts::trust_clients(const Set& set, SSL_CTX* context, const Suite& suite) {
  const ClientCertificates want = set.policy.client_certificates;
  if (want == ClientCertificates::no) return {};
  const BioPtr bio(BIO_new_mem_buf(suite.client_ca.data(),
                                   static_cast<int>(suite.client_ca.size())));
  X509_STORE* store = SSL_CTX_get_cert_store(context);
  int count = 0;
  while (X509* one = PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) {
    const X509Ptr authority(one);
    X509_STORE_add_cert(store, one);
    SSL_CTX_add_client_CA(context, one);
    ++count;
  }
  ERR_clear_error();
  if (count == 0) {
    return Error{0, "tls.client_ca: there is no certificate in the file; a PEM file with those "
                    "who issue client certificates is expected"};
  }
  const bool required = want == ClientCertificates::required;
  SSL_CTX_set_verify(context, SSL_VERIFY_PEER | (required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0),
                     nullptr);
  return {};
}

SSL_CTX* Contexts::Set::for_host(std::string_view host) const {
  // A name itself wins over a star, an earlier certificate over a later one.
  for (const bool star : {false, true}) {
    for (std::size_t i = 0; i < contexts.size(); ++i) {
      for (const std::string& name : owner->named_[i].names) {
        if (star ? names_host(name, host) : name == host) return contexts[i].get();
      }
    }
  }
  return contexts[0].get();
}

int Contexts::on_server_name(SSL* ssl, int*, void* argument) {
  const char* name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
  if (name == nullptr) return SSL_TLSEXT_ERR_NOACK;
  char host[256];
  std::size_t size = 0;
  for (; name[size] != '\0' && size < sizeof host; ++size) {
    const char c = name[size];
    host[size] = c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c;
  }
  if (size > 0 && host[size - 1] == '.') --size;
  SSL_CTX* context = static_cast<const Set*>(argument)->for_host({host, size});
  if (context != SSL_get_SSL_CTX(ssl)) SSL_set_SSL_CTX(ssl, context);
  return SSL_TLSEXT_ERR_OK;
}

// RFC 7301 3.2: who offers only what we do not speak is told so.
int Contexts::on_protocols(SSL*, const unsigned char** out, unsigned char* out_size,
                           const unsigned char* in, unsigned in_size, void*) {
  static constexpr unsigned char ours[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};
  unsigned char* chosen = nullptr;
  const int found = SSL_select_next_proto(&chosen, out_size, ours, sizeof ours, in, in_size);
  *out = chosen;
  return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

int Contexts::on_ticket(SSL* ssl, unsigned char* name, unsigned char* iv, EVP_CIPHER_CTX* cipher,
                        EVP_MAC_CTX* mac, int encrypt) {
  const auto* set = static_cast<const Set*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), set_index()));
  const std::span<const TicketKey> keys = set->owner->tickets();
  const TicketKey* key = keys.data();
  if (encrypt != 0) {
    std::memcpy(name, key->name.data(), key->name.size());
    if (RAND_bytes(iv, 16) != 1) return -1;
  } else {
    const auto found = std::ranges::find_if(keys, [&](const TicketKey& one) {
      return std::memcmp(one.name.data(), name, one.name.size()) == 0;
    });
    if (found == keys.end()) return 0;  // too old: a full handshake
    key = &*found;
  }
  char digest[] = "SHA256";
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY,
                                        const_cast<unsigned char*>(key->mac.data()),
                                        key->mac.size()),
      OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_end()};
  if (EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), nullptr, key->cipher.data(), iv, encrypt) != 1 ||
      EVP_MAC_CTX_set_params(mac, parameters) != 1) {
    return -1;
  }
  return key == keys.data() ? 1 : 2;  // 2: the peer gets a ticket of the new key
}

}  // namespace ringgate::net::tls
