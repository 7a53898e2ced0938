#include "engine/net/tls/filter.hpp"

#include <openssl/err.h>

#include <algorithm>
#include <cstring>
#include <string_view>

#include "engine/base/check.hpp"
#include "engine/base/limits.hpp"

namespace ringgate::net::tls {

namespace {

constexpr std::string_view not_tls_answer =
    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 42\r\n"
    "Connection: close\r\n\r\nThis port speaks TLS: write https:// here\n";

FilterFault fault_of(unsigned long error) {
  if (ERR_GET_LIB(error) != ERR_LIB_SSL) return FilterFault::protocol;
  const int reason = ERR_GET_REASON(error);
  if (reason >= SSL_AD_REASON_OFFSET) return FilterFault::peer_alert;
  switch (reason) {
    case SSL_R_HTTP_REQUEST:
    case SSL_R_HTTPS_PROXY_REQUEST:
    case SSL_R_WRONG_VERSION_NUMBER:  // of a record: the first bytes are no header of one
      return FilterFault::not_tls;
    case SSL_R_UNSUPPORTED_PROTOCOL:
    case SSL_R_VERSION_TOO_LOW:
    case SSL_R_VERSION_TOO_HIGH:
    case SSL_R_INAPPROPRIATE_FALLBACK:
      return FilterFault::version;
    case SSL_R_NO_SHARED_CIPHER:
    case SSL_R_NO_SHARED_GROUPS:
    case SSL_R_NO_SUITABLE_KEY_SHARE:
    case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
    case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
    case SSL_R_NO_APPLICATION_PROTOCOL:
      return FilterFault::nothing_in_common;
    case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
      return FilterFault::no_client_certificate;
    case SSL_R_CERTIFICATE_VERIFY_FAILED:
      return FilterFault::bad_client_certificate;
    default:
      return FilterFault::protocol;
  }
}

// Of the subject of a verified certificate; names that are longer than people's are cut.
SecurePeer peer_of(SSL* ssl) {
  SecurePeer peer;
  X509* certificate = SSL_get0_peer_certificate(ssl);
  if (certificate == nullptr || SSL_get_verify_result(ssl) != X509_V_OK) return peer;
  peer.verified = true;
  X509_NAME* subject = X509_get_subject_name(certificate);
  const BioPtr out(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(out.get(), subject, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
  char* text = nullptr;
  const long size = BIO_get_mem_data(out.get(), &text);
  peer.subject.assign(text, std::min(static_cast<std::size_t>(size), limits::tls_name_bytes_max));
  const int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);
  if (at < 0) return peer;
  unsigned char* name = nullptr;
  const ASN1_STRING* data = X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at));
  const int length = ASN1_STRING_to_UTF8(&name, data);
  if (length > 0) {
    peer.common_name.assign(reinterpret_cast<char*>(name),
                            std::min<std::size_t>(length, limits::tls_name_bytes_max));
  }
  OPENSSL_free(name);
  return peer;
}

class TlsFilter final : public Filter {
 public:
  TlsFilter(std::shared_ptr<const Contexts> contexts, std::size_t policy);
  explicit TlsFilter(SSL_CTX* client);

  bool received(Bytes wire, FilterSink& sink) override;
  bool sending(Bytes plain, FilterSink& sink) override;
  void ending(FilterSink& sink) override;
  bool established() const override { return established_; }
  bool partial() const override {
    return !broken_ && (!established_ || SSL_has_pending(ssl_.get()) == 1);
  }
  const SecurePeer* peer() const override { return &peer_; }
  std::uint32_t memory_bytes() const override {
    return established_ ? limits::tls_link_bytes : limits::tls_handshake_bytes;
  }

 private:
  // The BIO: `input_` to OpenSSL, what it makes to `sink_`. Both are there during a call only.
  static BIO_METHOD* method();
  static TlsFilter& self(BIO* bio) { return *static_cast<TlsFilter*>(BIO_get_data(bio)); }
  static int bio_read(BIO* bio, char* into, std::size_t size, std::size_t* taken);
  static int bio_write(BIO* bio, const char* from, std::size_t size, std::size_t* taken);
  static long bio_control(BIO* bio, int command, long number, void* pointer);

  void attach();
  bool shake_hands();
  bool read();
  bool fail(int result);

  std::shared_ptr<const Contexts> contexts_;  // outlived by no handshake's callbacks
  SslPtr ssl_;
  Bytes input_;
  FilterSink* sink_ = nullptr;
  SecurePeer peer_;
  bool http_ = false;
  bool established_ = false;
  bool started_ = false;  // some bytes came
  bool broken_ = false;
  bool peer_ended_ = false;
};

TlsFilter::TlsFilter(std::shared_ptr<const Contexts> contexts, std::size_t policy)
    : contexts_(std::move(contexts)), ssl_(SSL_new(contexts_->of(policy))),
      http_(contexts_->policy(policy).http) {
  attach();
  SSL_set_accept_state(ssl_.get());
}

TlsFilter::TlsFilter(SSL_CTX* client) : ssl_(SSL_new(client)) {
  attach();
  SSL_set_connect_state(ssl_.get());
}

void TlsFilter::attach() {
  BIO* bio = BIO_new(method());
  RG_CHECK(ssl_ != nullptr && bio != nullptr);  // no memory
  BIO_set_data(bio, this);
  BIO_set_init(bio, 1);
  SSL_set_bio(ssl_.get(), bio, bio);
}

BIO_METHOD* TlsFilter::method() {
  static BIO_METHOD* const made = [] {
    BIO_METHOD* m = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ringgate link");
    RG_CHECK(m != nullptr);
    BIO_meth_set_read_ex(m, &bio_read);
    BIO_meth_set_write_ex(m, &bio_write);
    BIO_meth_set_ctrl(m, &bio_control);
    return m;
  }();
  return made;
}

int TlsFilter::bio_read(BIO* bio, char* into, std::size_t size, std::size_t* taken) {
  TlsFilter& filter = self(bio);
  BIO_clear_retry_flags(bio);
  *taken = std::min(size, filter.input_.size());
  if (*taken == 0) {
    BIO_set_retry_read(bio);
    return 0;
  }
  std::memcpy(into, filter.input_.data(), *taken);
  filter.input_ = filter.input_.subspan(*taken);
  return 1;
}

int TlsFilter::bio_write(BIO* bio, const char* from, std::size_t size, std::size_t* taken) {
  BIO_clear_retry_flags(bio);
  self(bio).sink_->wire({reinterpret_cast<const std::uint8_t*>(from), size});
  *taken = size;
  return 1;
}

long TlsFilter::bio_control(BIO*, int command, long, void*) {
  return command == BIO_CTRL_FLUSH ? 1 : 0;
}

bool TlsFilter::received(Bytes wire, FilterSink& sink) {
  if (broken_ || peer_ended_) return true;  // nothing is read after the end
  sink_ = &sink;
  input_ = wire;
  ERR_clear_error();
  bool ok = established_ || shake_hands();
  // The handshake may have left bytes behind it with OpenSSL.
  if (ok && established_) ok = read();
  input_ = {};
  sink_ = nullptr;
  return ok;
}

bool TlsFilter::shake_hands() {
  const bool first = !started_;
  started_ = true;
  const std::uint8_t first_byte = input_.empty() ? 0 : input_[0];
  const int result = SSL_do_handshake(ssl_.get());
  if (result == 1) {
    established_ = true;
    peer_ = peer_of(ssl_.get());
    const bool old = SSL_version(ssl_.get()) == TLS1_2_VERSION;
    sink_->established({old ? TlsVersion::tls12 : TlsVersion::tls13,
                        SSL_session_reused(ssl_.get()) == 1});
    return true;
  }
  if (SSL_get_error(ssl_.get(), result) == SSL_ERROR_WANT_READ) return true;
  // A person's browser that was told http:// gets an answer it can show.
  if (first && http_ && first_byte >= 'A' && first_byte <= 'Z') {
    sink_->wire(as_bytes(not_tls_answer));
  }
  return fail(result);
}

bool TlsFilter::read() {
  std::uint8_t plain[limits::filter_batch_bytes];
  for (;;) {
    std::size_t size = 0;
    const int result = SSL_read_ex(ssl_.get(), plain, sizeof plain, &size);
    if (result == 1) {
      sink_->plain({plain, size});
      if (input_.empty() && SSL_has_pending(ssl_.get()) == 0) return true;
      continue;
    }
    switch (SSL_get_error(ssl_.get(), result)) {
      case SSL_ERROR_WANT_READ:
        return true;
      case SSL_ERROR_ZERO_RETURN:  // close_notify
        peer_ended_ = true;
        sink_->ended();
        return true;
      default:
        return fail(result);
    }
  }
}

bool TlsFilter::fail(int) {
  broken_ = true;
  sink_->broken(fault_of(ERR_peek_error()));
  ERR_clear_error();
  return false;
}

bool TlsFilter::sending(Bytes plain, FilterSink& sink) {
  if (broken_) return false;
  sink_ = &sink;
  ERR_clear_error();
  std::size_t size = 0;
  // The BIO takes everything, so all is written or nothing ever will be.
  const int result = SSL_write_ex(ssl_.get(), plain.data(), plain.size(), &size);
  const bool ok = result == 1 || fail(result);
  sink_ = nullptr;
  return ok;
}

void TlsFilter::ending(FilterSink& sink) {
  if (broken_ || !established_) return;
  sink_ = &sink;
  ERR_clear_error();
  SSL_shutdown(ssl_.get());  // close_notify; the peer's is not waited for
  ERR_clear_error();
  sink_ = nullptr;
}

}  // namespace

std::unique_ptr<Filter> Acceptor::make() {
  return std::make_unique<TlsFilter>(contexts_, policy_);
}

std::unique_ptr<Filter> make_client(SSL_CTX* context) {
  return std::make_unique<TlsFilter>(context);
}

}  // namespace ringgate::net::tls
