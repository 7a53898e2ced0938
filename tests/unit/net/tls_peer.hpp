// What tests of TLS need on the other side: certificates made on the spot, and a client by OpenSSL
// over the far end of a connection.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/net/tls/contexts.hpp"
#include "tests/unit/net/stage.hpp"

namespace ringgate::unit {

// PEM texts.
struct MadePair {
  std::string certificate;
  std::string key;
};

struct CertificateWish {
  std::vector<std::string> names;         // DNS names; the first is the common name, too
  bool authority = false;
  const MadePair* issuer = nullptr;       // null: signed by itself
  long from_s = -3600;                    // valid from and to, relative to now
  long to_s = 90L * 24 * 3600;
  bool rsa = false;
};
MadePair make_pair(const CertificateWish& wish);

// A directory that goes with the test, and files in it.
class Folder {
 public:
  Folder();
  ~Folder();
  std::string write(const std::string& name, const std::string& text) const;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

struct ClientWish {
  int version = TLS1_3_VERSION;
  std::string host;                       // SNI; empty: none
  const MadePair* pair = nullptr;         // a client certificate
  std::size_t slice = 1 << 20;            // bytes sent at once; a turn passes in between
  SSL_SESSION* session = nullptr;         // to resume
  std::string ciphers;
};

class TlsFar {
 public:
  TlsFar(Stage& stage, const ClientWish& wish, ShardIndex shard = 0);
  ~TlsFar();

  // Turns until the handshake has ended; false: it failed, or goes on forever.
  bool shake_hands();
  void say(std::string_view plain);
  // Turns until so many bytes have come or the link ended, and returns them.
  std::string hear(std::size_t size);
  // close_notify and FIN.
  void leave();
  // Turns until the server has closed; whether it said close_notify.
  bool sees_close_notify();
  bool resumed() const { return SSL_session_reused(ssl_.get()) == 1; }
  std::string server_name() const;  // common name of the server's certificate
  SSL_SESSION* session();           // for a later link; owned by the caller
  SSL* ssl() { return ssl_.get(); }
  Far& far() { return *far_; }
  int alert() const { return alert_; }  // what the server refused us with
  // What we have for the server goes on its way, and what has come to us.
  void pump();

 private:
  Stage& stage_;
  std::size_t slice_;
  net::tls::ContextPtr context_;
  net::tls::SslPtr ssl_;
  std::unique_ptr<Far> far_;
  int alert_ = 0;
};

}  // namespace ringgate::unit
