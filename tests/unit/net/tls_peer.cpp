#include "tests/unit/net/tls_peer.hpp"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace ringgate::unit {

namespace {

using net::tls::BioPtr;
using net::tls::KeyPtr;
using net::tls::X509Ptr;

BioPtr reading(const std::string& text) {
  return BioPtr(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
}

std::string written(const BioPtr& bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

void add_extension(X509* certificate, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx_nodb(&context);
  X509V3_set_ctx(&context, certificate, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  REQUIRE(extension != nullptr);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

X509Ptr read_certificate(const MadePair& pair) {
  return X509Ptr(PEM_read_bio_X509(reading(pair.certificate).get(), nullptr, nullptr, nullptr));
}
KeyPtr read_key(const MadePair& pair) {
  return KeyPtr(PEM_read_bio_PrivateKey(reading(pair.key).get(), nullptr, nullptr, nullptr));
}

}  // namespace

MadePair make_pair(const CertificateWish& wish) {
  static long serial = 1;
  const KeyPtr key(wish.rsa ? EVP_RSA_gen(2048) : EVP_EC_gen("P-256"));
  const X509Ptr made(X509_new());
  X509_set_version(made.get(), 2);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), serial++);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), wish.from_s);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), wish.to_s);
  X509_set_pubkey(made.get(), key.get());
  X509_NAME* subject = X509_get_subject_name(made.get());
  X509_NAME_add_entry_by_txt(subject, "O", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>("fleet"), -1, -1, 0);
  X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(wish.names[0].c_str()), -1, -1,
                             0);
  const X509Ptr issuer = wish.issuer == nullptr ? nullptr : read_certificate(*wish.issuer);
  const KeyPtr issuer_key = wish.issuer == nullptr ? nullptr : read_key(*wish.issuer);
  X509_set_issuer_name(made.get(),
                       issuer == nullptr ? subject : X509_get_subject_name(issuer.get()));
  if (wish.authority) add_extension(made.get(), NID_basic_constraints, "critical,CA:TRUE");
  std::string names;
  for (const std::string& name : wish.names) {
    names += names.empty() ? "DNS:" : ",DNS:";
    names += name;
  }
  if (!wish.authority) add_extension(made.get(), NID_subject_alt_name, names);
  REQUIRE(X509_sign(made.get(), issuer_key == nullptr ? key.get() : issuer_key.get(),
                    EVP_sha256()) > 0);
  const BioPtr certificate_text(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(certificate_text.get(), made.get());
  const BioPtr key_text(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(key_text.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
  return {written(certificate_text), written(key_text)};
}

Folder::Folder() {
  char path[] = "/tmp/ringgate-tls-XXXXXX";
  REQUIRE(::mkdtemp(path) != nullptr);
  path_ = path;
}

Folder::~Folder() { std::filesystem::remove_all(path_); }

std::string Folder::write(const std::string& name, const std::string& text) const {
  std::string path = path_;
  path += '/';
  path += name;
  std::string aside = path;
  aside += ".new";
  std::ofstream(aside) << text;
  std::filesystem::rename(aside, path);
  return path;
}

// ---- TlsFar

TlsFar::TlsFar(Stage& stage, const ClientWish& wish, ShardIndex shard)
    : stage_(stage), slice_(wish.slice), context_(SSL_CTX_new(TLS_client_method())),
      far_(stage.connect(shard)) {
  SSL_CTX_set_min_proto_version(context_.get(), wish.version);
  SSL_CTX_set_max_proto_version(context_.get(), wish.version);
  if (!wish.ciphers.empty()) SSL_CTX_set_cipher_list(context_.get(), wish.ciphers.c_str());
  if (wish.pair != nullptr) {
    SSL_CTX_use_certificate(context_.get(), read_certificate(*wish.pair).get());
    SSL_CTX_use_PrivateKey(context_.get(), read_key(*wish.pair).get());
  }
  ssl_.reset(SSL_new(context_.get()));
  SSL_set_bio(ssl_.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(ssl_.get());
  if (!wish.host.empty()) {  // what the macro SSL_set_tlsext_host_name does, without its cast
    SSL_ctrl(ssl_.get(), SSL_CTRL_SET_TLSEXT_HOSTNAME, TLSEXT_NAMETYPE_host_name,
             const_cast<char*>(wish.host.c_str()));
  }
  if (wish.session != nullptr) SSL_set_session(ssl_.get(), wish.session);
  SSL_set_app_data(ssl_.get(), this);
  SSL_set_info_callback(ssl_.get(), [](const SSL* ssl, int where, int value) {
    if ((where & SSL_CB_READ_ALERT) != SSL_CB_READ_ALERT) return;
    static_cast<TlsFar*>(SSL_get_app_data(ssl))->alert_ = value & 0xff;
  });
}

TlsFar::~TlsFar() = default;

void TlsFar::pump() {
  char* data = nullptr;
  const long size = BIO_get_mem_data(SSL_get_wbio(ssl_.get()), &data);
  std::string_view left(data, static_cast<std::size_t>(size));
  while (!left.empty()) {
    const std::size_t piece = std::min(slice_, left.size());
    far_->send(left.substr(0, piece));
    left.remove_prefix(piece);
    if (!left.empty()) stage_.turn();
  }
  static_cast<void>(BIO_reset(SSL_get_wbio(ssl_.get())));
  const std::string come = far_->take();
  if (!come.empty()) {
    BIO_write(SSL_get_rbio(ssl_.get()), come.data(), static_cast<int>(come.size()));
  }
}

bool TlsFar::shake_hands() {
  bool ended = false;
  const bool done = stage_.until([&] {
    const bool gone = far_->ended() || far_->was_reset();
    pump();
    ERR_clear_error();  // the server's, in the same thread
    const int result = SSL_do_handshake(ssl_.get());
    pump();
    if (result == 1) return true;
    ended = SSL_get_error(ssl_.get(), result) != SSL_ERROR_WANT_READ || gone;
    return ended;
  });
  return done && !ended;
}

void TlsFar::say(std::string_view plain) {
  std::size_t size = 0;
  REQUIRE(SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &size) == 1);
  pump();
}

std::string TlsFar::hear(std::size_t size) {
  std::string text;
  stage_.until([&] {
    const bool gone = far_->ended() || far_->was_reset();
    pump();
    char piece[4096];
    std::size_t got = 0;
    ERR_clear_error();
    while (SSL_read_ex(ssl_.get(), piece, sizeof piece, &got) == 1) text.append(piece, got);
    return text.size() >= size || gone;
  });
  return text;
}

void TlsFar::leave() {
  SSL_shutdown(ssl_.get());
  pump();
  far_->shut();
}

bool TlsFar::sees_close_notify() {
  CHECK(stage_.until([&] {
    pump();
    char piece[4096];
    std::size_t got = 0;
    while (SSL_read_ex(ssl_.get(), piece, sizeof piece, &got) == 1) {
    }
    return far_->ended() || far_->was_reset();
  }));
  return (SSL_get_shutdown(ssl_.get()) & SSL_RECEIVED_SHUTDOWN) != 0 && alert_ == 0;
}

std::string TlsFar::server_name() const {
  char name[128] = {};
  X509* certificate = SSL_get0_peer_certificate(ssl_.get());
  if (certificate == nullptr) return {};
  X509_NAME_get_text_by_NID(X509_get_subject_name(certificate), NID_commonName, name, sizeof name);
  return name;
}

SSL_SESSION* TlsFar::session() {
  // With TLS 1.3 the ticket comes behind the handshake.
  stage_.turns(5);
  static_cast<void>(hear(0));
  return SSL_get1_session(ssl_.get());
}

}  // namespace ringgate::unit
