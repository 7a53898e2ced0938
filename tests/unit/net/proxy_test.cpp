// Lists of networks, the PROXY header, and links of listeners that have either.
#include <arpa/inet.h>
#include <doctest/doctest.h>
#include <sys/socket.h>

#include <string>
#include <vector>

#include "engine/base/crc32c.hpp"
#include "engine/net/proxy_header.hpp"
#include "engine/net/tls/filter.hpp"
#include "tests/unit/net/scenes.hpp"
#include "tests/unit/net/tls_peer.hpp"

using namespace ringgate;
using namespace ringgate::unit;
using net::Networks;
using net::PeerAddress;
using net::ProxyState;
using net::Refusal;

namespace {

PeerAddress address(const std::string& text, std::uint16_t port = 0) {
  PeerAddress out;
  out.port = port;
  out.family = text.find(':') == std::string::npos ? AF_INET : AF_INET6;
  REQUIRE(inet_pton(out.family, text.c_str(), out.ip) == 1);
  return out;
}

Networks networks(const std::vector<std::string>& texts) {
  auto parsed = Networks::parse(texts);
  REQUIRE(parsed.ok());
  return *parsed;
}

std::string raw(const PeerAddress& from) {
  return {reinterpret_cast<const char*>(from.ip), from.family == AF_INET ? 4UL : 16UL};
}

std::string big16(std::size_t value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value)};
}

std::string tlv(int type, const std::string& value) {
  return static_cast<char>(type) + big16(value.size()) + value;
}

// Version and command, family, what follows.
std::string header(int command, int family, const std::string& rest) {
  return std::string(net::proxy_signature) + static_cast<char>(command) +
         static_cast<char>(family) + big16(rest.size()) + rest;
}

std::string of(const std::string& from, const std::string& tlvs = "") {
  const PeerAddress peer = address(from, 4711);
  const std::string ip = raw(peer);
  return header(0x21, peer.family == AF_INET ? 0x11 : 0x21,
                ip + ip + big16(4711) + big16(443) + tlvs);
}

// The same with a checksum behind everything else.
std::string with_checksum(const std::string& from, const std::string& tlvs, std::uint32_t wrong) {
  std::string text = of(from, tlvs + tlv(3, std::string(4, '\0')));
  const std::uint32_t crc = crc32c(0, as_bytes(text)) ^ wrong;
  text.resize(text.size() - 4);
  return text + big16(crc >> 16) + big16(crc & 0xffff);
}

ProxyState state_of(const std::string& text) {
  return net::parse_proxy_header(as_bytes(text)).state;
}

}  // namespace

TEST_CASE("networks hold what they name, in both families") {
  const Networks some = networks({"10.0.0.0/8", "10.1.0.0/16", "192.0.2.7", "2001:db8::/32", "::1",
                                  "172.16.0.0/12"});
  for (const char* in : {"10.0.0.0", "10.255.255.255", "10.1.2.3", "192.0.2.7", "2001:db8::5",
                         "2001:db8:ffff::", "::1", "::ffff:10.9.9.9", "172.31.0.1"}) {
    CAPTURE(in);
    CHECK(some.contains(address(in)));
  }
  for (const char* out : {"11.0.0.0", "9.255.255.255", "192.0.2.8", "192.0.2.6", "2001:db9::",
                          "::2", "::", "::ffff:11.0.0.1", "172.32.0.0", "172.15.255.255"}) {
    CAPTURE(out);
    CHECK_FALSE(some.contains(address(out)));
  }
  CHECK(networks({"0.0.0.0/0"}).contains(address("255.255.255.255")));
  CHECK_FALSE(networks({"0.0.0.0/0"}).contains(address("::1")));
  CHECK_FALSE(networks({"::/0"}).contains(address("::ffff:1.2.3.4")));
  CHECK_FALSE(networks({"0.0.0.0/0", "::/0"}).contains(PeerAddress{}));  // nobody knows
  CHECK(networks({}).empty());
  for (const char* bad : {"", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/-1", "10.0.0.1/8", "::/129",
                          "host", "10.0.0/8", "10.0.0.0/8x", "[::1]", "2001:db8::1/32"}) {
    CAPTURE(bad);
    CHECK_FALSE(net::check_network(bad).ok());
  }
}

TEST_CASE("a PROXY header is read to its end and no further, however it is cut") {
  for (const char* from : {"203.0.113.9", "2001:db8::9"}) {
    for (const std::string& tlvs : {std::string(), tlv(4, "noop"), tlv(0x20, std::string(300, 's')),
                                    tlv(4, "")}) {
      for (const std::string& text : {of(from, tlvs), with_checksum(from, tlvs, 0)}) {
        for (std::size_t size = 0; size < text.size(); ++size) {
          CHECK(state_of(text.substr(0, size)) == ProxyState::more);
        }
        const auto read = net::parse_proxy_header(as_bytes(text + "rest"));
        REQUIRE(read.state == ProxyState::done);
        CHECK(read.size_bytes == text.size());
        CHECK(read.has_peer);
        CHECK(read.peer.port == 4711);
        CHECK(raw(read.peer) == raw(address(from)));
      }
    }
  }
  // The proxy itself, and one that does not know: the socket's address stays.
  for (const std::string& text : {header(0x20, 0, ""), header(0x20, 0x11, "whatever"),
                                  header(0x21, 0, "whatever"), header(0x20, 0xff, "x")}) {
    const auto read = net::parse_proxy_header(as_bytes(text + "rest"));
    REQUIRE(read.state == ProxyState::done);
    CHECK(read.size_bytes == text.size());
    CHECK_FALSE(read.has_peer);
  }
}

TEST_CASE("what is no PROXY header is told as soon as it can be") {
  const std::string good = of("203.0.113.9");
  for (std::size_t at = 0; at < 12; ++at) {
    std::string text = good.substr(0, at + 1);
    text[at] = static_cast<char>(text[at] ^ 1);
    CHECK(state_of(text) == ProxyState::bad);
  }
  const auto with = [&](std::size_t at, int value) {
    std::string text = good;
    text[at] = static_cast<char>(value);
    return text;
  };
  CHECK(state_of(with(12, 0x11).substr(0, 13)) == ProxyState::bad);  // version 1 in binary
  CHECK(state_of(with(12, 0x22).substr(0, 13)) == ProxyState::bad);  // no such command
  for (const int family : {0x12, 0x22, 0x31, 0x32, 0x10, 0x13, 0x41}) {
    CHECK(state_of(with(13, family).substr(0, 16)) == ProxyState::bad);
  }
  CHECK(state_of(with(15, 11)) == ProxyState::bad);    // no room for the addresses
  CHECK(state_of(with(14, 0x20)) == ProxyState::bad);  // 8 KiB: longer than any
  CHECK(state_of("PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n") == ProxyState::bad);
  CHECK(state_of(of("203.0.113.9", "\4")) == ProxyState::bad);
  CHECK(state_of(of("203.0.113.9", std::string("\4\0\5abcd", 7))) == ProxyState::bad);
  CHECK(state_of(of("203.0.113.9", tlv(3, "abc"))) == ProxyState::bad);
  for (int bit = 0; bit < 32; ++bit) {
    CHECK(state_of(with_checksum("203.0.113.9", tlv(4, "x"), 1U << bit)) == ProxyState::bad);
  }
}

namespace {

std::shared_ptr<const net::AccessRules> rules(const std::vector<std::string>& allow,
                                              const std::vector<std::string>& deny,
                                              const std::vector<std::string>& proxies) {
  return std::make_shared<net::AccessRules>(
      net::AccessRules{networks(allow), networks(deny), networks(proxies)});
}

// What simulated and real far ends have for addresses.
const std::vector<std::string> everybody = {"0.0.0.0/0"};

std::uint64_t refused(Stage& stage, Refusal why) {
  return stage.links().counters().refused.value(why);
}

void expect_end(Stage& stage, Far& far) {
  CHECK(stage.until([&] {
    static_cast<void>(far.take());
    return far.ended() || far.was_reset();
  }));
  far.shut();
}

}  // namespace

TEST_CASE("links: who is denied, or not allowed, ends at the accept; lists change for new links") {
  on_every_scene({.auto_commit = true, .rules = rules({}, everybody, {})}, [](Stage& stage) {
    auto first = stage.connect();
    expect_end(stage, *first);
    CHECK(refused(stage, Refusal::denied) == 1);
    CHECK(stage.links().counters().accepted.value() == 0);
    stage.links().set_rules(stage.lines(), rules({"192.0.2.0/24"}, {}, {}));
    auto second = stage.connect();
    expect_end(stage, *second);
    CHECK(refused(stage, Refusal::not_allowed) == 1);
    stage.links().set_rules(stage.lines(), rules(everybody, {"192.0.2.0/24"}, {}));
    auto third = stage.connect();
    third->send("H1\n");
    stage.expect(*third, "-H1\n");
    stage.links().set_rules(stage.lines(), rules({}, everybody, {}));
    third->send("H2\n");  // open links stay
    stage.expect(*third, "-H2\n");
    stage.links().set_rules(stage.lines(), nullptr);
    auto fourth = stage.connect();
    fourth->send("H1\n");
    stage.expect(*fourth, "-H1\n");
    third->shut();
    fourth->shut();
    CHECK(stage.until([&] { return stage.live() == 0; }));
  });
}

TEST_CASE("links: a listed proxy says who comes, in pieces of any size") {
  on_every_scene({.shards = 2, .auto_commit = true, .rules = rules({}, {}, everybody)},
                 [](Stage& stage) {
    for (const char* from : {"203.0.113.9", "2001:db8::9"}) {
      for (const std::size_t slice : {std::size_t{1}, std::size_t{5}, std::size_t{1000}}) {
        PeerAddress seen;
        stage.lines().opened = [&](net::Link& link) { seen = link.peer; };
        auto far = stage.connect();
        const std::string text = with_checksum(from, tlv(4, "pad"), 0) + "H1\nM2\nH3\n";
        for (std::size_t at = 0; at < text.size(); at += slice) {
          far->send(text.substr(at, slice));
          stage.turn();
        }
        std::string got;
        CHECK(stage.until([&] {
          got += far->take();
          return got.ends_with("-H3\n");
        }));
        CHECK(got.starts_with("-H1\n=1,"));
        CHECK(raw(seen) == raw(address(from)));
        CHECK(seen.port == 4711);
        far->shut();
        CHECK(stage.until([&] { return stage.live() == 0; }));
      }
    }
  });
}

TEST_CASE("links: the lists are about whom the proxy names") {
  on_every_scene({.auto_commit = true,
                  .rules = rules({"203.0.113.0/24"}, {"203.0.113.66"}, everybody)},
                 [](Stage& stage) {
    auto good = stage.connect();
    good->send(of("203.0.113.9") + "H1\n");
    stage.expect(*good, "-H1\n");
    auto itself = stage.connect();
    itself->send(header(0x20, 0, "") + "H2\n");  // a health check of the proxy
    stage.expect(*itself, "-H2\n");
    auto denied = stage.connect();
    denied->send(of("203.0.113.66") + "H1\n");
    expect_end(stage, *denied);
    auto elsewhere = stage.connect();
    elsewhere->send(of("198.51.100.1") + "H1\n");
    expect_end(stage, *elsewhere);
    CHECK(refused(stage, Refusal::denied) == 1);
    CHECK(refused(stage, Refusal::not_allowed) == 1);
    CHECK(stage.links().counters().closed.value(net::CloseReason::refused) == 2);
    good->shut();
    itself->shut();
    CHECK(stage.until([&] { return stage.live() == 0; }));
  });
}

TEST_CASE("links: a header must come from a proxy, in time, and from nobody else") {
  on_every_scene({.frame_timeout_ms = 1'000, .auto_commit = true,
                  .rules = rules({}, {}, everybody)},
                 [](Stage& stage) {
    auto none = stage.connect();
    none->send("H1\n");
    expect_end(stage, *none);
    auto wrong = stage.connect();
    wrong->send(with_checksum("203.0.113.9", "", 1) + "H1\n");
    expect_end(stage, *wrong);
    CHECK(refused(stage, Refusal::proxy_header) == 2);
    auto silent = stage.connect();
    auto slow = stage.connect();
    const std::string text = of("203.0.113.9");
    for (std::size_t at = 0; at < 5; ++at) {
      slow->send(text.substr(at, 1));
      stage.pass(400 * ns_per_ms);
    }
    expect_end(stage, *silent);
    expect_end(stage, *slow);
    CHECK(refused(stage, Refusal::proxy_timeout) == 2);
    CHECK(stage.lines().closed.empty());  // the protocol has not heard of them
    // Others are taken without, and refused with one.
    stage.links().set_rules(stage.lines(), rules({}, {}, {"192.0.2.1"}));
    auto direct = stage.connect();
    direct->send("H1\n");
    stage.expect(*direct, "-H1\n");
    auto liar = stage.connect();
    liar->send(text + "H1\n");
    expect_end(stage, *liar);
    CHECK(refused(stage, Refusal::proxy_unlisted) == 1);
    auto patient = stage.connect();
    stage.pass(5 * ns_per_s);
    patient->send("H1\n");
    stage.expect(*patient, "-H1\n");
    direct->shut();
    patient->shut();
    CHECK(stage.until([&] { return stage.live() == 0; }));
  });
}

TEST_CASE("links: TLS begins behind the PROXY header") {
  Folder folder;
  const MadePair pair = make_pair({.names = {"a.example"}});
  auto loaded = net::tls::load_certificate(
      {folder.write("c.pem", pair.certificate), folder.write("k.pem", pair.key)});
  REQUIRE(loaded.ok());
  const std::vector<net::tls::Policy> policies = {{"lines"}};
  auto made = net::tls::Contexts::make({&*loaded, 1}, {.ciphers = "ECDHE+AESGCM", .client_ca = {}},
                                       policies, {net::tls::TicketKey{}});
  REQUIRE(made.ok());
  net::tls::Acceptor acceptor(*made, 0);
  for (const bool listed : {true, false}) {
    on_every_scene({.frame_timeout_ms = 1'000, .filter = &acceptor, .auto_commit = true,
                    .rules = rules({}, {}, listed ? everybody : std::vector<std::string>{"::1"})},
                   [&](Stage& stage) {
      for (const std::size_t slice : {std::size_t{1}, std::size_t{100'000}}) {
        TlsFar far(stage, {.slice = slice});
        if (listed && slice == 1) {
          for (const char c : of("203.0.113.9")) {
            far.far().send(std::string_view(&c, 1));
            stage.turn();
          }
        } else if (listed) {
          far.far().send(of("203.0.113.9"));
        }
        REQUIRE(far.shake_hands());
        far.say("H1\n");
        CHECK(far.hear(4) == "-H1\n");
        stage.pass(3 * ns_per_s);
        far.say("H1\n");
        CHECK(far.hear(4) == "-H1\n");
        far.leave();
        CHECK(stage.until([&] { return stage.live() == 0; }));
      }
      // The header, and then nothing: the handshake's time runs.
      auto half = stage.connect();
      half->send(listed ? of("203.0.113.9") : "\x16");
      stage.turns(5);
      stage.pass(3 * ns_per_s);
      expect_end(stage, *half);
      CHECK(stage.until([&] { return stage.live() == 0; }));
    });
  }
}

TEST_CASE("datagrams: lists are obeyed, at once also by addresses that are known") {
  on_every_scene({.datagrams = true, .auto_commit = true, .rules = rules({}, everybody, {})},
                 [](Stage& stage) {
    auto far = stage.open_datagrams();
    const auto dropped = [&] {
      return stage.links().datagrams()->counters().dropped.value(net::DatagramDrop::refused);
    };
    far->send("T01\n");
    CHECK(stage.until([&] { return dropped() == 1; }));
    CHECK(stage.live() == 0);
    stage.links().set_rules(stage.lines(), rules(everybody, {}, {"192.0.2.1"}));
    std::vector<std::string> answers;
    far->send("T02\n");
    CHECK(stage.until([&] {
      for (std::string& text : far->take()) answers.push_back(std::move(text));
      return !answers.empty();
    }));
    CHECK(answers == std::vector<std::string>{"-T02\n"});
    stage.links().set_rules(stage.lines(), rules({"192.0.2.0/24"}, {}, {}));
    far->send("H03\n");
    CHECK(stage.until([&] { return dropped() == 2; }));
  });
}
