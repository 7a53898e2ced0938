// TLS on links: handshakes good and bad, moves, resumption, names, client certificates.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "engine/net/tls/filter.hpp"
#include "tests/unit/net/scenes.hpp"
#include "tests/unit/net/tls_peer.hpp"

using namespace ringgate;
using namespace ringgate::unit;
using net::FilterFault;
using net::HandshakeResult;
using net::tls::ClientCertificates;

namespace {

struct Made {
  Folder folder;
  MadePair authority = make_pair({.names = {"authority"}, .authority = true});
  MadePair server = make_pair({.names = {"one.example", "*.one.example"}});
  MadePair other = make_pair({.names = {"two.example"}, .rsa = true});
  MadePair client = make_pair({.names = {"reader"}, .issuer = &authority});
  MadePair stranger = make_pair({.names = {"stranger"}});
  MadePair expired = make_pair(
      {.names = {"late"}, .issuer = &authority, .from_s = -7200, .to_s = -3600});

  net::tls::Certificate load(const MadePair& pair) const {
    auto loaded = net::tls::load_certificate(
        {folder.write("c.pem", pair.certificate), folder.write("k.pem", pair.key)});
    REQUIRE(loaded.ok());
    return std::move(*loaded);
  }
  std::shared_ptr<const net::tls::Contexts> contexts(ClientCertificates clients,
                                                     int min_version = TLS1_2_VERSION) const {
    std::vector<net::tls::Certificate> certificates;
    certificates.push_back(load(server));
    certificates.push_back(load(other));
    const std::vector<net::tls::Policy> policies = {{"lines", clients, false}};
    auto made = net::tls::Contexts::make(
        certificates,
        {.min_version = min_version, .ciphers = "ECDHE+AESGCM", .client_ca = authority.certificate},
        policies, {net::tls::TicketKey{}});
    REQUIRE(made.ok());
    return *made;
  }
};

const Made& made() {
  static const Made all;
  return all;
}

net::FilterCounters counters(Stage& stage, ShardIndex shard = 0) {
  return net::FilterCounters(stage.group(shard));
}

bool all_gone(Stage& stage) {
  return stage.until([&] { return stage.live() == 0; });
}

}  // namespace

TEST_CASE("both versions, in pieces of one byte, with everybody's last words") {
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    CAPTURE(version);
    net::tls::Acceptor acceptor(made().contexts(ClientCertificates::no), 0);
    on_every_scene({.filter = &acceptor, .auto_commit = true}, [&](Stage& stage) {
      for (const std::size_t slice : {std::size_t{1}, std::size_t{7}, std::size_t{100'000}}) {
        TlsFar far(stage, {.version = version, .host = "one.example", .slice = slice});
        REQUIRE(far.shake_hands());
        far.say("H1\nL2\n");
        far.say("H3\n");
        const std::string text = far.hear(16);
        CHECK(text.starts_with("-H1\n=0,"));
        CHECK(text.ends_with(" L2\n-H3\n"));
        CHECK(counters(stage).live.value() == 1);
        far.leave();
        CHECK(far.sees_close_notify());
        CHECK(all_gone(stage));
      }
      CHECK(counters(stage).handshakes.value(HandshakeResult::full) == 3);
      CHECK(counters(stage).live.value() == 0);
      const auto which =
          version == TLS1_2_VERSION ? net::TlsVersion::tls12 : net::TlsVersion::tls13;
      CHECK(counters(stage).versions.value(which) == 3);
      CHECK(stage.lines().closed ==
            std::vector<net::CloseReason>(3, net::CloseReason::peer_closed));
    });
  }
}

TEST_CASE("much data both ways, and a peer that reads nothing costs a bounded amount") {
  net::tls::Acceptor acceptor(made().contexts(ClientCertificates::no), 0);
  on_every_scene({.filter = &acceptor, .auto_commit = true}, [](Stage& stage) {
    TlsFar far(stage, {});
    REQUIRE(far.shake_hands());
    std::string sent;
    std::string answers;
    for (int i = 0; i < 20'000; ++i) {
      sent += numbered("H", i);
      answers += numbered("-H", i);
    }
    for (int round = 0; round < 3; ++round) {
      far.say(sent);
      CHECK(far.hear(answers.size()) == answers);
    }
    const std::string many = sent + sent + sent + sent + sent + sent + sent + sent;
    const std::uint64_t before = stage.links().memory_bytes();
    far.far().pause_reading(true);
    std::size_t size = 0;
    REQUIRE(SSL_write_ex(far.ssl(), many.data(), many.size(), &size) == 1);
    char* data = nullptr;
    const long wire = BIO_get_mem_data(SSL_get_wbio(far.ssl()), &data);
    far.far().send({data, static_cast<std::size_t>(wire)});
    static_cast<void>(BIO_reset(SSL_get_wbio(far.ssl())));
    std::uint64_t most = 0;
    for (int i = 0; i < 200; ++i) {
      stage.turn();
      most = std::max(most, stage.links().memory_bytes());
    }
    // The receive buffers of a shard, replies of one link on both sides of the filter.
    CHECK(most - before < 8 * 1024 * 1024);
    far.far().pause_reading(false);
    CHECK(far.hear(answers.size() * 8).size() == answers.size() * 8);
    far.leave();
    CHECK(all_gone(stage));
  });
}

TEST_CASE("what is no TLS, or breaks it, ends its own link and is counted") {
  net::tls::Acceptor acceptor(made().contexts(ClientCertificates::no), 0);
  on_every_scene({.filter = &acceptor, .auto_commit = true}, [](Stage& stage) {
    TlsFar witness(stage, {});
    REQUIRE(witness.shake_hands());
    const std::string long_header("\x16\x03\x01\xff\xff", 5);
    const std::vector<std::pair<std::string, FilterFault>> cases = {
        {"GET / HTTP/1.1\r\nHost: x\r\n\r\n", FilterFault::not_tls},
        {"H1\nH2\nH3\nH4\nH5\n", FilterFault::not_tls},
        {std::string(100, '\0'), FilterFault::not_tls},
        {long_header + std::string(70'000, 'x'), FilterFault::protocol},
        {std::string("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", 10), FilterFault::protocol},
    };
    for (const auto& [bytes, fault] : cases) {
      CAPTURE(static_cast<int>(fault));
      const std::uint64_t faults = counters(stage).faults.value(fault);
      const std::uint64_t failed = counters(stage).handshakes.value(HandshakeResult::failed);
      auto far = stage.connect();
      far->send(bytes);
      CHECK(stage.until([&] {
        static_cast<void>(far->take());
        return far->ended() || far->was_reset();
      }));
      CHECK(counters(stage).faults.value(fault) == faults + 1);
      CHECK(counters(stage).handshakes.value(HandshakeResult::failed) == failed + 1);
      far->shut();
    }
    // Gone in the middle of the handshake.
    auto short_one = stage.connect();
    short_one->send(std::string_view("\x16\x03\x01\x00\x80", 5));
    stage.turns(5);
    short_one->shut();
    CHECK(stage.until([&] { return counters(stage).faults.value(FilterFault::abandoned) == 1; }));
    // A good link that sends a record no key of its made.
    TlsFar liar(stage, {});
    REQUIRE(liar.shake_hands());
    liar.far().send(std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x'));
    CHECK_FALSE(liar.sees_close_notify());
    CHECK(liar.alert() == SSL_AD_BAD_RECORD_MAC);
    liar.far().shut();
    witness.say("H1\n");
    CHECK(witness.hear(4) == "-H1\n");
    witness.leave();
    CHECK(all_gone(stage));
    CHECK(counters(stage).live.value() == 0);
  });
}

TEST_CASE("renegotiation is refused, and the link goes on") {
  net::tls::Acceptor acceptor(made().contexts(ClientCertificates::no), 0);
  on_every_scene({.filter = &acceptor, .auto_commit = true}, [](Stage& stage) {
    TlsFar far(stage, {.version = TLS1_2_VERSION});
    REQUIRE(far.shake_hands());
    REQUIRE(SSL_renegotiate(far.ssl()) == 1);
    SSL_do_handshake(far.ssl());
    far.pump();
    CHECK(stage.until([&] {
      far.pump();
      char piece[64];
      std::size_t got = 0;
      static_cast<void>(SSL_read_ex(far.ssl(), piece, sizeof piece, &got));
      return far.alert() == SSL_AD_NO_RENEGOTIATION;
    }));
    CHECK(counters(stage).handshakes.value(HandshakeResult::full) == 1);
    far.far().shut();
    CHECK(all_gone(stage));
  });
}

TEST_CASE("a TLS link moves to another shard, with what it has half received") {
  net::tls::Acceptor acceptor(made().contexts(ClientCertificates::no), 0);
  on_every_scene({.shards = 2, .filter = &acceptor, .auto_commit = true}, [](Stage& stage) {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      for (const std::size_t slice : {std::size_t{3}, std::size_t{100'000}}) {
        const std::uint64_t adopted = stage.lines(1).adopted;
        TlsFar far(stage, {.version = version, .slice = slice});
        REQUIRE(far.shake_hands());
        far.say("H1\nM2\n");
        far.say("H3\n");
        far.say("H4\n");
        std::string text = far.hear(20);
        CHECK(text.starts_with("-H1\n=1,"));
        CHECK(text.ends_with(" M2\n-H3\n-H4\n"));
        CHECK(stage.lines(1).adopted == adopted + 1);
        CHECK(counters(stage, 0).live.value() == 0);
        CHECK(counters(stage, 1).live.value() == 1);
        far.leave();
        CHECK(far.sees_close_notify());
        CHECK(all_gone(stage));
      }
    }
  });
}

TEST_CASE("a session that one shard began is resumed by another") {
  net::tls::Acceptor acceptor(made().contexts(ClientCertificates::no), 0);
  on_every_scene({.shards = 2, .filter = &acceptor, .auto_commit = true}, [](Stage& stage) {
    for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
      TlsFar first(stage, {.version = version, .host = "one.example"}, 0);
      REQUIRE(first.shake_hands());
      SSL_SESSION* session = first.session();
      TlsFar second(stage, {.version = version, .host = "one.example", .session = session}, 1);
      REQUIRE(second.shake_hands());
      SSL_SESSION_free(session);
      CHECK_FALSE(first.resumed());
      CHECK(second.resumed());
      second.say("H1\n");
      CHECK(second.hear(4) == "-H1\n");
      first.leave();
      second.leave();
      CHECK(all_gone(stage));
    }
    CHECK(counters(stage, 1).handshakes.value(HandshakeResult::resumed) == 2);
  });
}

TEST_CASE("the certificate is that of the host that was asked for; links keep theirs") {
  net::tls::Acceptor acceptor(made().contexts(ClientCertificates::no), 0);
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"one.example", "one.example"},   {"a.one.example", "one.example"},
      {"TWO.example", "two.example"},   {"a.b.one.example", "one.example"},
      {"", "one.example"},              {"elsewhere", "one.example"},
  };
  on_every_scene({.filter = &acceptor, .auto_commit = true}, [&](Stage& stage) {
    for (const auto& [host, name] : cases) {
      CAPTURE(host);
      TlsFar far(stage, {.host = host});
      REQUIRE(far.shake_hands());
      CHECK(far.server_name() == name);
      // Contexts are exchanged while the link is open.
      acceptor.use(made().contexts(ClientCertificates::no));
      far.say("H1\n");
      CHECK(far.hear(4) == "-H1\n");
      far.leave();
      CHECK(all_gone(stage));
    }
  });
}

TEST_CASE("client certificates: asked for, wanted, and what they say reaches the protocol") {
  net::tls::Acceptor may(made().contexts(ClientCertificates::optional), 0);
  net::tls::Acceptor must(made().contexts(ClientCertificates::required), 0);
  for (const bool required : {false, true}) {
    CAPTURE(required);
    on_every_scene({.filter = required ? &must : &may, .auto_commit = true}, [&](Stage& stage) {
      for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
        LinkId id{};
        stage.lines().opened = [&](net::Link& link) { id = link.id(); };
        TlsFar known(stage, {.version = version, .pair = &made().client});
        REQUIRE(known.shake_hands());
        known.say("H1\n");
        CHECK(known.hear(4) == "-H1\n");
        const net::SecurePeer* peer = stage.links().secure_peer(*stage.links().find(id));
        REQUIRE(peer != nullptr);
        CHECK(peer->verified);
        CHECK(peer->common_name == "reader");
        CHECK(peer->subject == "CN=reader,O=fleet");
        // Resumed, it is known still.
        SSL_SESSION* session = known.session();
        TlsFar again(stage, {.version = version, .session = session});
        REQUIRE(again.shake_hands());
        SSL_SESSION_free(session);
        CHECK(again.resumed());
        again.say("H1\n");
        CHECK(again.hear(4) == "-H1\n");
        CHECK(stage.links().secure_peer(*stage.links().find(id))->common_name == "reader");
        TlsFar nobody(stage, {.version = version});
        const bool shaken = nobody.shake_hands();  // TLS 1.3 refuses behind the client's end of it
        if (required) {
          CHECK_FALSE(nobody.sees_close_notify());
          nobody.far().shut();
        } else {
          REQUIRE(shaken);
          nobody.say("H1\n");
          CHECK(nobody.hear(4) == "-H1\n");
          CHECK_FALSE(stage.links().secure_peer(*stage.links().find(id))->verified);
          nobody.leave();
        }
        for (const MadePair* pair : {&made().stranger, &made().expired}) {
          const std::uint64_t bad =
              counters(stage).faults.value(FilterFault::bad_client_certificate);
          TlsFar false_one(stage, {.version = version, .pair = pair});
          static_cast<void>(false_one.shake_hands());
          CHECK_FALSE(false_one.sees_close_notify());
          CHECK(counters(stage).faults.value(FilterFault::bad_client_certificate) == bad + 1);
          false_one.far().shut();
        }
        known.leave();
        again.leave();
        CHECK(all_gone(stage));
      }
      CHECK(counters(stage).faults.value(FilterFault::no_client_certificate) ==
            (required ? 2 : 0));
    });
  }
}

TEST_CASE("more handshakes than may be under way wait to be accepted; none is lost") {
  net::tls::Acceptor acceptor(made().contexts(ClientCertificates::no), 0);
  on_every_scene({.links = {.handshakes_max = 2},
                  .frame_timeout_ms = 1'000,
                  .filter = &acceptor,
                  .auto_commit = true},
                 [](Stage& stage) {
    TlsFar first(stage, {});
    REQUIRE(first.shake_hands());  // one that has ended takes no place
    CHECK(stage.until([&] { return counters(stage).under_way.value() == 0; }));
    auto silent = stage.connect();
    auto slow = stage.connect();
    CHECK(stage.until([&] { return counters(stage).under_way.value() == 2; }));
    TlsFar later(stage, {});
    TlsFar last(stage, {});
    for (int i = 0; i < 20; ++i) {
      later.pump();
      last.pump();
      stage.turn();
    }
    // An accept that was under way may bring one more.
    CHECK(counters(stage).under_way.value() <= 3);
    CHECK(counters(stage).waits.value() >= 1);
    CHECK(stage.live() <= 4);
    first.say("H1\n");  // those that are there go on
    CHECK(first.hear(4) == "-H1\n");
    // No longer than that: the time of those that come next runs, too.
    for (int i = 0; i < 60 && counters(stage).faults.value(FilterFault::timeout) < 2; ++i) {
      stage.pass(50 * ns_per_ms);
    }
    CHECK(later.shake_hands());
    CHECK(last.shake_hands());
    CHECK(counters(stage).faults.value(FilterFault::timeout) == 2);
    CHECK(stage.until([&] { return counters(stage).under_way.value() == 0; }));
    CHECK(counters(stage).handshakes.value(HandshakeResult::full) == 3);
    silent->reset();
    slow->reset();
    first.leave();
    later.leave();
    last.leave();
    CHECK(all_gone(stage));
  });
}

TEST_CASE("who keeps all handshakes and says little gives way to others") {
  net::tls::Acceptor acceptor(made().contexts(ClientCertificates::no), 0);
  on_every_scene({.links = {.handshakes_max = 4},
                  .frame_timeout_ms = 600'000,
                  .filter = &acceptor,
                  .auto_commit = true},
                 [](Stage& stage) {
    std::vector<decltype(stage.connect())> silent;
    for (int i = 0; i < 12; ++i) {
      silent.push_back(stage.connect());
      silent.back()->send("\x16\x03\x01");
    }
    CHECK(stage.until([&] { return counters(stage).under_way.value() >= 4; }));
    stage.pass(500 * ns_per_ms);
    CHECK(counters(stage).faults.value(FilterFault::timeout) == 0);
    // They come before it, and are three times as many as there are places.
    TlsFar later(stage, {});
    for (int i = 0; i < 100 && counters(stage).faults.value(FilterFault::timeout) < 9; ++i) {
      silent.back()->send("\x02");  // of one a byte comes time and again
      stage.pass(100 * ns_per_ms);
    }
    CHECK(later.shake_hands());
    later.say("H1\n");
    CHECK(later.hear(4) == "-H1\n");
    // Where there is room nobody is hurried.
    const std::uint64_t gone = counters(stage).faults.value(FilterFault::timeout);
    stage.pass(8'000 * ns_per_ms);
    CHECK(counters(stage).faults.value(FilterFault::timeout) == gone);
    for (auto& one : silent) one->reset();
    later.leave();
    CHECK(all_gone(stage));
  });
}

TEST_CASE("a handshake that takes too long ends at the frame time-out, one record later, too") {
  net::tls::Acceptor acceptor(made().contexts(ClientCertificates::no), 0);
  on_every_scene({.frame_timeout_ms = 1'000, .filter = &acceptor, .auto_commit = true},
                 [](Stage& stage) {
    auto silent = stage.connect();
    auto slow = stage.connect();
    TlsFar good(stage, {});
    REQUIRE(good.shake_hands());
    for (int i = 0; i < 4; ++i) {
      slow->send(i == 0 ? std::string_view("\x16\x03\x01\x01\x00", 5) : std::string_view("x"));
      stage.pass(400 * ns_per_ms);
    }
    CHECK(stage.until([&] { return silent->ended() && slow->ended(); }));
    CHECK(counters(stage).faults.value(FilterFault::timeout) == 2);
    stage.pass(5 * ns_per_s);
    good.say("H1\n");  // idle is no fault
    CHECK(good.hear(4) == "-H1\n");
    good.far().send(std::string("\x17\x03\x03\x00\x50", 5) + std::string(20, 'x'));
    stage.turns(3);
    stage.pass(2 * ns_per_s);
    CHECK(good.sees_close_notify());
    CHECK(stage.lines().closed ==
          std::vector<net::CloseReason>(3, net::CloseReason::frame_timeout));
    silent->shut();
    slow->shut();
    good.far().shut();
    CHECK(all_gone(stage));
  });
}

TEST_CASE("no version or cipher in common is said by an alert") {
  net::tls::Acceptor modern(made().contexts(ClientCertificates::no, TLS1_3_VERSION), 0);
  on_every_scene({.filter = &modern, .auto_commit = true}, [](Stage& stage) {
    TlsFar old(stage, {.version = TLS1_2_VERSION});
    CHECK_FALSE(old.shake_hands());
    CHECK(old.alert() == SSL_AD_PROTOCOL_VERSION);
    CHECK(counters(stage).faults.value(FilterFault::version) == 1);
    old.far().shut();
    CHECK(all_gone(stage));
  });
  net::tls::Acceptor strict(made().contexts(ClientCertificates::no), 0);
  on_every_scene({.filter = &strict, .auto_commit = true}, [](Stage& stage) {
    TlsFar weak(stage, {.version = TLS1_2_VERSION, .ciphers = "AES128-SHA"});
    CHECK_FALSE(weak.shake_hands());
    CHECK(weak.alert() == SSL_AD_HANDSHAKE_FAILURE);
    CHECK(counters(stage).faults.value(FilterFault::nothing_in_common) == 1);
    weak.far().shut();
    CHECK(all_gone(stage));
  });
}
