// Certificates from files: what is wrong with them, and what happens when they change.
#include <doctest/doctest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "engine/net/tls/keeper.hpp"
#include "tests/unit/net/tls_peer.hpp"

using namespace ringgate;
using namespace ringgate::unit;
using namespace ringgate::net::tls;

namespace {

constexpr WallUs day_us = 24LL * 3600 * 1'000'000;

class Rig {
 public:
  std::string output;
  observe::Registry registry;
  Folder folder;
  KeeperOptions options{{}, {}, {.ciphers = "ECDHE+AESGCM", .client_ca = {}}};
  WallUs now = static_cast<WallUs>(::time(nullptr)) * 1'000'000;

  void write(const MadePair& pair) {
    const std::string certificate = folder.write("server.pem", pair.certificate);
    const std::string key = folder.write("server.key", pair.key);
    ::chmod(key.c_str(), 0600);
    options.pairs = {{certificate, key}};
  }
  Result<std::unique_ptr<Keeper>> open(ClientCertificates clients = ClientCertificates::no) {
    return Keeper::open(options, {{"http", clients, true}}, registry, logs_, now);
  }
  // Twice, so that files have settled.
  Look look(Keeper& keeper) {
    const Look first = keeper.look(now, false);
    return first == Look::same ? keeper.look(now, false) : first;
  }
  std::string said() {
    logger_.drain();
    return std::exchange(output, {});
  }
  std::int64_t expiry() {
    for (const observe::Sample& sample : registry.snapshot()) {
      if (sample.spec->name == "ringgate_tls_certificate_expiry_timestamp_seconds") {
        return sample.value;
      }
    }
    return 0;
  }

 private:
  observe::Logger logger_{{.delivery = observe::Delivery::manual,
                           .sink = [this](std::string_view line) { output += line; }}};
  observe::LogSource& logs_ = logger_.add_source("tls");
};

std::string error_of(const Result<std::unique_ptr<Keeper>>& opened) {
  return opened.ok() ? std::string() : opened.error().message;
}
bool has(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("files that are no pair are refused with file, reason and cure") {
  const MadePair good = make_pair({.names = {"a.example"}});
  const MadePair other = make_pair({.names = {"b.example"}});
  Rig rig;
  rig.write(good);
  CHECK(rig.open().ok());
  rig.write({good.certificate, other.key});
  CHECK(has(error_of(rig.open()), "server.key: the key is not that of the first certificate"));
  rig.write({"nothing", good.key});
  CHECK(has(error_of(rig.open()), "server.pem: there is no certificate in it"));
  rig.write({good.certificate.substr(0, good.certificate.size() / 2), good.key});
  CHECK(has(error_of(rig.open()), "server.pem: "));
  rig.write({good.certificate, "nothing"});
  CHECK(has(error_of(rig.open()), "server.key: there is no private key in it"));
  rig.write({good.certificate, "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n"
                               "-----END ENCRYPTED PRIVATE KEY-----\n"});
  CHECK(has(error_of(rig.open()), "passphrase"));
  rig.write(good);
  std::filesystem::remove(rig.options.pairs[0].key);
  CHECK(has(error_of(rig.open()), "there is no such file"));
  rig.write(good);
  CHECK(has(error_of(rig.open(ClientCertificates::required)), "tls.client_ca is empty"));
  rig.options.client_ca_file = rig.folder.write("ca.pem", "nothing");
  CHECK(has(error_of(rig.open(ClientCertificates::required)), "there is no certificate"));
  rig.options.suite.ciphers = "NONE-SUCH";
  CHECK(has(error_of(rig.open()), "tls.ciphers"));
}

TEST_CASE("new files are taken once they have settled; bad ones leave the old, said once") {
  Rig rig;
  rig.write(make_pair({.names = {"a.example"}}));
  auto opened = rig.open();
  REQUIRE(opened.ok());
  Keeper& keeper = **opened;
  const std::int64_t first_expiry = rig.expiry();
  CHECK(first_expiry > rig.now / 1'000'000 + 80 * 24 * 3600);
  auto before = keeper.contexts();
  CHECK(rig.look(keeper) == Look::same);
  CHECK(keeper.contexts() == before);
  CHECK(rig.said().empty());

  const MadePair longer = make_pair({.names = {"a.example"}, .to_s = 200L * 24 * 3600});
  rig.write(longer);
  CHECK(keeper.look(rig.now, false) == Look::same);  // it may be half written
  CHECK(keeper.look(rig.now, false) == Look::renewed);
  CHECK(keeper.contexts() != before);
  CHECK(rig.expiry() > first_expiry);
  CHECK(has(rig.said(), "certificates renewed"));

  before = keeper.contexts();
  rig.write({longer.certificate, make_pair({.names = {"x"}}).key});
  CHECK(rig.look(keeper) == Look::kept_old);
  const std::string said = rig.said();
  CHECK(has(said, "new certificates refused; the old ones stay in use"));
  CHECK(has(said, "server.key"));
  for (int i = 0; i < 5; ++i) CHECK(rig.look(keeper) == Look::same);
  CHECK(rig.said().empty());
  CHECK(keeper.look(rig.now, true) == Look::kept_old);  // who asks is told again
  CHECK(has(rig.said(), "refused"));
  CHECK(keeper.contexts() == before);

  rig.write(make_pair({.names = {"a.example"}, .from_s = -7200, .to_s = -3600}));
  CHECK(rig.look(keeper) == Look::kept_old);
  CHECK(has(rig.said(), "has expired; the one before is valid yet"));
  rig.write(longer);
  CHECK(keeper.look(rig.now, true) == Look::renewed);
}

TEST_CASE("expiry is warned of, once a day, and keys that all may read") {
  Rig rig;
  rig.write(make_pair({.names = {"a.example"}, .to_s = 10L * 24 * 3600}));
  ::chmod(rig.options.pairs[0].key.c_str(), 0644);
  auto opened = rig.open();
  REQUIRE(opened.ok());
  std::string said = rig.said();
  CHECK(has(said, "the certificate expires soon"));
  CHECK(has(said, "everybody on this machine may read the private key"));
  static_cast<void>((*opened)->look(rig.now + day_us / 2, false));
  CHECK(rig.said().empty());
  static_cast<void>((*opened)->look(rig.now + day_us + 1, false));
  CHECK(has(rig.said(), "expires soon"));
  static_cast<void>((*opened)->look(rig.now + 11 * day_us, false));
  CHECK(has(rig.said(), "has expired"));
  rig.write(make_pair({.names = {"late"}, .from_s = -7200, .to_s = -3600}));
  CHECK(rig.open().ok());  // clients refuse it, not we
  CHECK(has(rig.said(), "has expired"));
}

TEST_CASE("keys of tickets change, and the last one still opens") {
  Rig rig;
  rig.write(make_pair({.names = {"a.example"}}));
  auto opened = rig.open();
  REQUIRE(opened.ok());
  const TicketKey first = (*opened)->contexts()->tickets()[0];
  std::filesystem::remove(rig.options.pairs[0].key);  // nothing of it is read from files
  static_cast<void>((*opened)->look(rig.now + 5LL * 3600 * 1'000'000, false));
  const auto tickets = (*opened)->contexts()->tickets();
  REQUIRE(tickets.size() == 2);
  CHECK(tickets[0].name != first.name);
  CHECK(tickets[1].name == first.name);
}

TEST_CASE("hosts of wildcard names") {
  CHECK(names_host("a.example", "a.example"));
  CHECK(names_host("*.a.example", "x.a.example"));
  CHECK_FALSE(names_host("*.a.example", "a.example"));
  CHECK_FALSE(names_host("*.a.example", "x.y.a.example"));
  CHECK_FALSE(names_host("*.a.example", ".a.example"));
  CHECK_FALSE(names_host("*.example", "a.example"));
  CHECK_FALSE(names_host("*", "example"));
}
