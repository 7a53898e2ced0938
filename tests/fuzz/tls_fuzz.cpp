// The TLS filter against a client whose bytes are bent: the input says where, and how the rest is
// cut. Whatever comes, the filter answers little, gives out no plain text but what was sent, and
// says at most once that it is broken.
#include <openssl/err.h>
#include <openssl/pem.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>

#include "engine/net/tls/filter.hpp"

using namespace ringgate;
using namespace ringgate::net;

namespace {

constexpr std::string_view secret = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

std::shared_ptr<const tls::Contexts> make_contexts() {
  char folder[] = "/tmp/ringgate-fuzz-XXXXXX";
  if (::mkdtemp(folder) == nullptr) __builtin_trap();
  const std::string base = folder;
  const tls::KeyPtr key(EVP_EC_gen("P-256"));
  const tls::X509Ptr made(X509_new());
  X509_set_version(made.get(), 2);
  X509_gmtime_adj(X509_getm_notBefore(made.get()), 0);
  X509_gmtime_adj(X509_getm_notAfter(made.get()), 3600);
  X509_set_pubkey(made.get(), key.get());
  X509_NAME_add_entry_by_txt(X509_get_subject_name(made.get()), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>("a"), -1, -1, 0);
  X509_set_issuer_name(made.get(), X509_get_subject_name(made.get()));
  X509_sign(made.get(), key.get(), EVP_sha256());
  const auto write = [&](const char* name, auto&& put) {
    const std::string path = base + name;
    const tls::BioPtr bio(BIO_new_file(path.c_str(), "w"));
    put(bio.get());
    return path;
  };
  const tls::PairFiles files = {
      write("/c.pem", [&](BIO* bio) { PEM_write_bio_X509(bio, made.get()); }),
      write("/k.pem", [&](BIO* bio) {
        PEM_write_bio_PrivateKey(bio, key.get(), nullptr, nullptr, 0, nullptr, nullptr);
      })};
  auto loaded = tls::load_certificate(files);
  std::filesystem::remove_all(base);
  if (!loaded) __builtin_trap();
  const tls::Policy policy{"http", tls::ClientCertificates::no, true};
  auto contexts = tls::Contexts::make({&*loaded, 1}, {.ciphers = "ECDHE+AESGCM", .client_ca = {}},
                                      {&policy, 1}, {tls::TicketKey{}});
  if (!contexts) __builtin_trap();
  return *contexts;
}

class Sink final : public FilterSink {
 public:
  std::string plain_text;
  std::string to_client;
  int faults = 0;
  void plain(Bytes bytes) override { plain_text += as_text(bytes); }
  void wire(Bytes bytes) override { to_client += as_text(bytes); }
  void broken(FilterFault) override { ++faults; }
};

// Three input bytes a change: which byte of the client's, and what it becomes.
class Bent {
 public:
  explicit Bent(Bytes changes) : changes_(changes) {}
  std::string bend(std::string text) {
    for (char& c : text) {
      if (changes_.size() >= 3 && at_ == (changes_[0] | changes_[1] << 8)) {
        c = static_cast<char>(c ^ changes_[2]);
        changed_ |= changes_[2] != 0;
        changes_ = changes_.subspan(3);
        at_ = 0;
      } else {
        ++at_;
      }
    }
    return text;
  }
  bool changed() const { return changed_; }

 private:
  Bytes changes_;
  int at_ = 0;
  bool changed_ = false;
};

void play_bent(tls::Acceptor& acceptor, std::uint8_t how, Bytes changes) {
  static SSL_CTX* const context = SSL_CTX_new(TLS_client_method());
  SSL_CTX_set_max_proto_version(context, (how & 1) != 0 ? TLS1_2_VERSION : TLS1_3_VERSION);
  const tls::SslPtr client(SSL_new(context));
  SSL_set_bio(client.get(), BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
  SSL_set_connect_state(client.get());
  const std::unique_ptr<Filter> filter = acceptor.make();
  const std::size_t slice = how >= 0x80 ? 1 + (how & 0x7f) : 1 << 16;
  Sink sink;
  Bent bent(changes);
  bool alive = true;
  bool said = false;
  for (int round = 0; round < 8 && alive; ++round) {
    ERR_clear_error();
    if (SSL_do_handshake(client.get()) == 1 && !said) {
      said = true;
      SSL_write(client.get(), secret.data(), static_cast<int>(secret.size()));
      SSL_shutdown(client.get());
    }
    char* data = nullptr;
    const long size = BIO_get_mem_data(SSL_get_wbio(client.get()), &data);
    const std::string wire = bent.bend({data, static_cast<std::size_t>(size)});
    static_cast<void>(BIO_reset(SSL_get_wbio(client.get())));
    for (std::size_t at = 0; at < wire.size() && alive; at += slice) {
      const std::string_view piece = std::string_view(wire).substr(at, slice);
      alive = filter->received(as_bytes(piece), sink);
    }
    if (filter->established() && alive) alive = filter->sending(as_bytes("answer"), sink);
    BIO_write(SSL_get_rbio(client.get()), sink.to_client.data(),
              static_cast<int>(sink.to_client.size()));
    sink.to_client.clear();
  }
  if (!secret.starts_with(sink.plain_text)) __builtin_trap();
  if (!bent.changed() && sink.plain_text != secret) __builtin_trap();
  if (sink.faults > 1 || (sink.faults == 0) != alive) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static tls::Acceptor acceptor(make_contexts(), 0);
  if (size == 0) return 0;
  const Bytes rest{data + 1, size - 1};
  if (data[0] % 4 != 0) {
    play_bent(acceptor, data[0], rest);
    return 0;
  }
  const std::unique_ptr<Filter> filter = acceptor.make();
  Sink sink;
  bool alive = true;
  const std::size_t slice = data[0] == 0 ? rest.size() + 1 : data[0];
  for (std::size_t at = 0; at < rest.size() && alive; at += slice) {
    alive = filter->received(rest.subspan(at, std::min(slice, rest.size() - at)), sink);
  }
  if (!sink.plain_text.empty() || sink.faults > 1 || (sink.faults == 0) != alive) __builtin_trap();
  if (sink.to_client.size() > 64 * 1024) __builtin_trap();
  return 0;
}
