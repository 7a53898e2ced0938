// Encrypted and compressed messages: keys, padding, bounds, and what a session makes of them.
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <zlib.h>

#include <cstdio>

#include "engine/base/json_writer.hpp"
#include "protocols/jt808/allowance.hpp"
#include "protocols/jt808/catalog.hpp"
#include "protocols/jt808/inflate.hpp"
#include "protocols/jt808/rsa.hpp"
#include "tests/unit/jt808/terminal.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;
using namespace ringgate::jt808::test;

// A key pair in a PEM file, and what a terminal encrypts with its public half.
struct Keys {
  explicit Keys(unsigned bits = 1024) : pair(EVP_RSA_gen(bits)) {
    std::FILE* file = std::fopen(path.c_str(), "w");
    REQUIRE(file != nullptr);
    REQUIRE(PEM_write_PrivateKey(file, pair, nullptr, nullptr, 0, nullptr, nullptr) == 1);
    std::fclose(file);
  }
  ~Keys() { EVP_PKEY_free(pair); }
  Raw encrypt(Bytes plain, int padding, std::size_t piece) const {
    Raw out;
    for (std::size_t at = 0; at < plain.size(); at += piece) {
      EVP_PKEY_CTX* context = EVP_PKEY_CTX_new(pair, nullptr);
      REQUIRE(EVP_PKEY_encrypt_init(context) == 1);
      REQUIRE(EVP_PKEY_CTX_set_rsa_padding(context, padding) == 1);
      std::uint8_t block[256];
      std::size_t size = sizeof block;
      const Bytes part = plain.subspan(at, std::min(piece, plain.size() - at));
      REQUIRE(EVP_PKEY_encrypt(context, block, &size, part.data(), part.size()) == 1);
      EVP_PKEY_CTX_free(context);
      out.insert(out.end(), block, block + size);
    }
    return out;
  }

  log::ScratchDir dir;
  std::string path = dir.path() + "/key.pem";
  EVP_PKEY* pair;
};

Raw gzip(Bytes plain) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  Raw out(compressBound(plain.size()) + 64);
  stream.next_in = const_cast<Bytef*>(plain.data());
  stream.avail_in = static_cast<uInt>(plain.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

Raw compressed_body(const Raw& packed) {
  Raw body(4 + packed.size());
  store_be32(body.data(), static_cast<std::uint32_t>(packed.size()));
  std::copy(packed.begin(), packed.end(), body.begin() + 4);
  return body;
}

TEST_CASE("keys: what opens, in which padding, and what a file must be") {
  const Keys keys;
  Raw plain(500);
  for (std::size_t i = 0; i < plain.size(); ++i) plain[i] = static_cast<std::uint8_t>(i * 7);
  const auto key = RsaKey::open(keys.path, RsaPadding::pkcs1);
  REQUIRE(key.ok());
  CHECK((*key)->public_key().exponent == 65'537);
  const Raw sealed = keys.encrypt(plain, RSA_PKCS1_PADDING, 117);
  CHECK(sealed.size() == 5 * RsaKey::block_size);
  const auto opened = (*key)->decrypt(sealed);
  REQUIRE(opened.has_value());
  CHECK(*opened == plain);
  CHECK(!(*key)->decrypt(Bytes(sealed).first(200)).has_value());
  CHECK(!(*key)->decrypt({}).has_value());
  const auto oaep = RsaKey::open(keys.path, RsaPadding::oaep);
  REQUIRE(oaep.ok());
  CHECK(!(*oaep)->decrypt(sealed).has_value());
  const auto other = (*oaep)->decrypt(keys.encrypt(plain, RSA_PKCS1_OAEP_PADDING, 86));
  REQUIRE(other.has_value());
  CHECK(*other == plain);

  CHECK(check_rsa_key_file("").ok());
  CHECK(check_rsa_key_file(keys.path).ok());
  CHECK(!check_rsa_key_file(keys.path + ".none").ok());
  CHECK(!check_rsa_key_file("/dev/null").ok());
  const Keys large(2048);
  CHECK(!check_rsa_key_file(large.path).ok());
}

TEST_CASE("with a key: 0x8A00 tells it, and encrypted frames and parts are understood") {
  const Keys keys;
  GatewayOptions options;
  options.jt808.rsa_key_file = keys.path;
  Gateway gateway(options);
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  terminal.link->send(terminal.message(id::terminal_rsa_key, Raw(132, 7)));
  const auto key = RsaKey::open(keys.path, RsaPadding::pkcs1);
  REQUIRE(key.ok());
  CHECK(terminal.hears(written([&](MutableBytes out) {
    FrameWriter frame(terminal.peer, id::platform_rsa_key, terminal.reply_serial++);
    frame.u32((*key)->public_key().exponent).bytes((*key)->public_key().modulus);
    return frame.finish(out);
  })));

  // A position, encrypted: the attributes say so, the length is that of the encrypted body.
  const auto encrypted = [&](std::uint16_t id, Bytes body, std::uint16_t total = 0,
                             std::uint16_t number = 0) {
    const std::uint16_t serial = terminal.serial++;
    FrameWriter writer = total == 0 ? FrameWriter(terminal.peer, id, serial)
                                    : FrameWriter(terminal.peer, id, serial, total, number);
    writer.bytes(body);
    Raw frame(writer.unescaped().begin(), writer.unescaped().end());
    frame[2] |= 0x04;
    return written([&](MutableBytes out) { return write_frame(out, frame); });
  };
  FrameWriter place(terminal.peer, id::location, 0);
  place.u32(0).u32(3).u32(22'500'000).u32(114'000'000).u16(0).u16(0).u16(0);
  place.time_gmt8(RigSys::start_unix_s);
  const Raw position(place.unescaped().begin() + 12, place.unescaped().end());
  const Raw sealed = keys.encrypt(position, RSA_PKCS1_PADDING, 117);
  CHECK(terminal.says(encrypted(id::location, sealed), id::location, AckResult::ok));
  CHECK(gateway.counters().positions.value() == 1);
  // The same, in two parts that are encrypted each by itself.
  for (const std::uint16_t number : {std::uint16_t{1}, std::uint16_t{2}}) {
    const Bytes half = Bytes(position).subspan(number == 1 ? 0 : 14, 14);
    const Raw part = keys.encrypt(half, RSA_PKCS1_PADDING, 117);
    CHECK(terminal.says(encrypted(id::location, part, 2, number), id::location, AckResult::ok));
  }
  CHECK(gateway.counters().positions.value() == 2);
  // What does not open is kept as it came.
  CHECK(terminal.says(encrypted(id::location, Raw(128, 0x11)), id::location,
                      AckResult::unsupported));
  CHECK(gateway.counters().encrypted.value(Encrypted::decrypted) == 3);
  CHECK(gateway.counters().encrypted.value(Encrypted::failed) == 1);
  std::size_t wholes = 0;
  for (const unit::Stored& record : gateway.stored()) {
    if (!record.whole) continue;
    ++wholes;
    CHECK(record.payload.substr(12) == as_text(position));
  }
  CHECK(wholes == 2);
}

TEST_CASE("without a key an encrypted body is kept, counted, and shown as encrypted") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  FrameWriter writer(terminal.peer, id::location, terminal.serial++);
  writer.bytes(Raw(128, 0x22));
  Raw frame(writer.unescaped().begin(), writer.unescaped().end());
  frame[2] |= 0x04;
  CHECK(terminal.says(written([&](MutableBytes out) { return write_frame(out, frame); }),
                      id::location, AckResult::unsupported));
  CHECK(gateway.counters().encrypted.value(Encrypted::no_key) == 1);
  std::string text;
  JsonWriter json(text);
  Catalog().json(frame, json);
  CHECK(text.find("\"encryption\":1") != std::string::npos);
}

TEST_CASE("0x0901 is inflated within its bound: frames, header and body, bytes, bombs, rubbish") {
  Gateway gateway;
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  const Raw inner = terminal.location(RigSys::start_unix_s);
  --terminal.serial;
  const auto json_of = [&](const Raw& body) {
    FrameWriter writer(terminal.peer, id::compressed, 0);
    writer.bytes(body);
    std::string text;
    JsonWriter json(text);
    Catalog().json(writer.unescaped(), json);
    return text;
  };
  const Raw framed = compressed_body(gzip(inner));
  CHECK(json_of(framed).find("\"as\":\"frame\"") != std::string::npos);
  CHECK(json_of(framed).find("22.5") != std::string::npos);
  // Delimiters and check byte away.
  const Raw bare(inner.begin() + 1, inner.end() - 2);
  CHECK(json_of(compressed_body(gzip(bare))).find("\"as\":\"header-and-body\"") !=
        std::string::npos);
  const Raw text(as_bytes("abc").begin(), as_bytes("abc").end());
  CHECK(json_of(compressed_body(gzip(text))).find("\"hex\":\"616263\"") != std::string::npos);
  CHECK(json_of(gzip(text)).find("\"hex\":\"616263\"") != std::string::npos);  // without a length
  Raw cut = compressed_body(gzip(inner));
  cut.resize(cut.size() - 9);
  CHECK(json_of(cut).find("not a whole gzip stream") != std::string::npos);
  CHECK(json_of(Raw(3)).find("not a whole gzip stream") != std::string::npos);
  const Raw bomb = compressed_body(gzip(Raw(900'000)));
  REQUIRE(bomb.size() < 1000);
  CHECK(json_of(bomb).find("beyond the bound") != std::string::npos);
  CHECK(json_of(bomb).size() < 400'000);

  CHECK(terminal.says(terminal.message(id::compressed, framed), id::compressed, AckResult::ok));
  CHECK(terminal.says(terminal.message(id::compressed, cut), id::compressed,
                      AckResult::bad_message));
  CHECK(terminal.says(terminal.message(id::compressed, bomb), id::compressed,
                      AckResult::bad_message));
  CHECK(gateway.counters().compressed.value(Inflated::ok) == 1);
  CHECK(gateway.counters().compressed.value(Inflated::broken) == 1);
  CHECK(gateway.counters().compressed.value(Inflated::bomb) == 1);
}

TEST_CASE("what is dear to read has a share of the time: of a terminal, and of all") {
  Allowance dear;
  MonoNs one = 0;
  MonoNs other = 0;
  const MonoNs now = 1'000 * ns_per_s;
  const auto work = [&](MonoNs& own, MonoNs at) {
    MonoNs done = 0;
    for (; dear.open(own, at); done += ns_per_ms) dear.charge(ns_per_ms, own, at);
    return done;
  };
  CHECK(work(one, now) == dear_burst / dear_share_own + ns_per_ms);
  CHECK(work(one, now) == 0);
  CHECK(dear.open(other, now));
  CHECK(work(one, now + 60 * ns_per_s) == dear_burst / dear_share_own + ns_per_ms);
  // Many together.
  MonoNs all = 0;
  const MonoNs later = now + 120 * ns_per_s;
  for (int i = 0; i < 100; ++i) {
    MonoNs own = 0;
    all += work(own, later);
  }
  CHECK(all >= dear_burst / dear_share_all);
  CHECK(all <= dear_burst / dear_share_all + 2 * ns_per_ms);
}

TEST_CASE("beyond its share a terminal's 0x0901 is believed, an encrypted body is not opened") {
  const Keys keys;
  GatewayOptions options;
  options.jt808.rsa_key_file = keys.path;
  Gateway gateway(options);
  Terminal terminal(gateway, gateway.jt808(), "13800138000");
  REQUIRE(terminal.goes_online());
  const Raw bomb = compressed_body(gzip(Raw(900'000)));
  const Encrypted opened = Encrypted::failed;
  std::uint64_t made = 0;
  REQUIRE(check_gzip(gzip_of(bomb), &made) == Inflated::bomb);
  const MonoNs cost = inflate_cost + static_cast<MonoNs>(made) * inflated_byte_cost;
  // The clock of the test stands still.
  const MonoNs checked = dear_burst / (cost * dear_share_own) + 1;
  for (MonoNs i = 0; i < checked; ++i) {
    CHECK(terminal.says(terminal.message(id::compressed, bomb), id::compressed,
                        AckResult::bad_message));
  }
  CHECK(gateway.counters().compressed.value(Inflated::unchecked) == 0);
  CHECK(terminal.says(terminal.message(id::compressed, bomb), id::compressed, AckResult::ok));
  CHECK(gateway.counters().compressed.value(Inflated::unchecked) == 1);
  FrameWriter writer(terminal.peer, id::location, terminal.serial++);
  writer.bytes(Raw(128, 0x22));
  Raw frame(writer.unescaped().begin(), writer.unescaped().end());
  frame[2] |= 0x04;
  const Raw sealed = written([&](MutableBytes out) { return write_frame(out, frame); });
  CHECK(terminal.says(sealed, id::location, AckResult::failed));
  CHECK(gateway.counters().refused.value(Refusal::too_dear) == 1);
  CHECK(gateway.counters().encrypted.value(opened) == 0);
  gateway.advance(2 * ns_per_s);
  CHECK(terminal.says(sealed, id::location, AckResult::unsupported));
  CHECK(gateway.counters().encrypted.value(opened) == 1);
  CHECK(terminal.says(terminal.message(id::compressed, bomb), id::compressed,
                      AckResult::bad_message));
}

}  // namespace
