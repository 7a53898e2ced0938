// What bodies carry inside: gzip in 0x0901, files in 0x0801, RSA in encrypted frames, and whole
// messages as the log stores them. Input: a byte that chooses, then the bytes.
// What must hold: a stream that is checked and one that is inflated are judged alike, within the
// bound; what was compressed or encrypted comes out as it went in; a file's bytes are the body's
// end; a stored whole is read as it was written; all of it can be shown as JSON.
// By hand as jt808_framing_fuzz.cpp says.
#include <openssl/bn.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "engine/base/json_scan.hpp"
#include "protocols/jt808/catalog.hpp"
#include "protocols/jt808/codec/whole.hpp"
#include "protocols/jt808/codec/writer.hpp"
#include "protocols/jt808/inflate.hpp"
#include "protocols/jt808/limits.hpp"
#include "protocols/jt808/media.hpp"
#include "protocols/jt808/rsa.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::jt808;
using Raw = std::vector<std::uint8_t>;

void require(bool condition) {
  if (!condition) __builtin_trap();
}

bool is_object(const std::string& text) {
  return scan_json_object(text, "x").error == JsonScan::Error::none;
}

Raw gzip(Bytes content) {
  z_stream stream{};
  require(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  Raw out(deflateBound(&stream, content.size()));
  stream.next_in = const_cast<Bytef*>(content.data());
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  require(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

void check_inflate(Bytes body) {
  const Bytes stream = gzip_of(body);
  require(stream.size() <= body.size());
  Raw out;
  const Inflated verdict = inflate_gzip(stream, out);
  require(verdict == check_gzip(stream));
  require(out.size() <= inflated_max);
  require(out.size() <= std::max<std::uint64_t>(inflated_free, stream.size() * inflated_ratio_max));
  std::string text;
  JsonWriter json(text);
  inflated_json(body, true, json);
  require(is_object(text));
}

// `times`: of the content, so that it compresses by any ratio.
void check_gzip_round(Bytes content, std::size_t times) {
  Raw all;
  for (std::size_t i = 0; i < times; ++i) all.insert(all.end(), content.begin(), content.end());
  const Raw packed = gzip(all);
  Raw body(4);
  store_be32(body.data(), static_cast<std::uint32_t>(packed.size()));
  body.insert(body.end(), packed.begin(), packed.end());
  const bool too_much = all.size() > inflated_max ||
                        (all.size() > inflated_free && all.size() > packed.size() *
                                                                        inflated_ratio_max);
  Raw out;
  const Inflated verdict = inflate_gzip(gzip_of(body), out);
  require(verdict == (too_much ? Inflated::bomb : Inflated::ok));
  require(too_much || out == all);
}

void check_media(Bytes body) {
  MediaBody media;
  if (!decode_media(body, media)) {
    require(body.size() < 8);
    return;
  }
  require(media.position.empty() || media.position.size() == 28);
  require(media.data.size() + media.position.size() + 8 <= body.size());
  require(media.data.data() + media.data.size() == body.data() + body.size());
}

// One for the process; no two are the same, and nothing below depends on which it is.
struct Secrets {
  Secrets() {
    key = EVP_RSA_gen(1024);
    char path[] = "/tmp/ringgate-fuzz-XXXXXX";
    const int fd = mkstemp(path);
    FILE* file = fdopen(fd, "w");
    require(PEM_write_PrivateKey(file, key, nullptr, nullptr, 0, nullptr, nullptr) == 1);
    fclose(file);
    for (const RsaPadding padding : {RsaPadding::pkcs1, RsaPadding::oaep, RsaPadding::none}) {
      auto opened = RsaKey::open(path, padding);
      require(opened.ok());
      ours[static_cast<std::size_t>(padding)] = std::move(*opened);
    }
    unlink(path);
  }
  EVP_PKEY* key;
  std::unique_ptr<RsaKey> ours[3];
};

void check_rsa(Bytes body) {
  static const Secrets secrets;
  for (const auto& key : secrets.ours) {
    const auto opened = key->decrypt(body);
    require(!opened || (body.size() % RsaKey::block_size == 0 && opened->size() <= body.size()));
  }
  // Cut as a terminal cuts: 117 bytes a block leave room for the padding.
  Raw sent;
  for (std::size_t at = 0; at < body.size(); at += 117) {
    const Bytes piece = body.subspan(at).first(std::min<std::size_t>(117, body.size() - at));
    EVP_PKEY_CTX* context = EVP_PKEY_CTX_new(secrets.key, nullptr);
    std::uint8_t block[RsaKey::block_size];
    std::size_t size = sizeof block;
    require(EVP_PKEY_encrypt_init(context) > 0);
    require(EVP_PKEY_encrypt(context, block, &size, piece.data(), piece.size()) > 0);
    EVP_PKEY_CTX_free(context);
    sent.insert(sent.end(), block, block + size);
  }
  if (sent.empty()) return;
  const auto opened = secrets.ours[0]->decrypt(sent);
  require(opened && std::ranges::equal(*opened, body));
}

void show(Bytes stored) {
  std::string text;
  JsonWriter json(text);
  Catalog().json(stored, json);
  require(is_object(text));
  require(Catalog().redact(stored).size() == stored.size());
}

void check_whole(Bytes bytes, std::size_t times) {
  Header header;
  if (parse_stored(bytes, header) == BadReason::none) {
    require(header.size <= bytes.size());
    require(is_long(header) || header.body_size() == bytes.size() - header.size);
  }
  show(bytes);
  // The header of a part, and what stands for the whole of it.
  if (bytes.size() < 4) return;
  const Version version = (bytes[0] & 1) != 0 ? Version::v2019 : Version::v2013;
  FrameWriter part(make_peer(version, "13800138000"), load_be16(&bytes[1]), 7, 3, 2);
  require(parse_header(part.unescaped(), header) == BadReason::none);
  header.attributes |= static_cast<std::uint16_t>((bytes[3] & 7U) << 10);
  Raw whole(whole_header_max);
  Raw body;
  for (std::size_t i = 0; i < times; ++i) body.insert(body.end(), bytes.begin(), bytes.end());
  Header expected;
  whole.resize(write_whole_header(whole.data(), header, 6, body.size(), expected));
  whole.insert(whole.end(), body.begin(), body.end());
  Header again;
  require(parse_stored(whole, again) == BadReason::none);
  require(again.message_id == header.message_id && again.serial == 6 && !again.fragment());
  require(again.attributes == expected.attributes && again.size == expected.size);
  require(again.phone.text() == "13800138000" && again.encrypted() == header.encrypted());
  require(std::ranges::equal(body_of(whole, again), body));
  show(whole);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const Bytes bytes{data + 2, size - 2};
  const std::size_t times = 1U << (data[1] % 8);
  switch (data[0] % 5) {
    case 0: check_inflate(bytes); break;
    case 1: check_gzip_round(bytes, times * times); break;
    case 2: check_media(bytes); break;
    case 3: check_rsa(bytes); break;
    default: check_whole(bytes, times); break;
  }
  return 0;
}
