#include "protocols/jt808/authenticator.hpp"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cerrno>

#include "engine/base/hex.hpp"

namespace ringgate::jt808 {

namespace {

constexpr std::size_t key_file_size_max = 4096;
constexpr char hex_digits[] = "0123456789abcdef";

int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

Result<std::string> read_file(io::Sys& sys, const std::string& path) {
  const int fd = sys.open(path, O_RDONLY, 0);
  if (fd < 0) return errno_error(-fd, "cannot open " + path);
  std::string text(key_file_size_max + 1, '\0');
  const auto size = sys.pread(fd, {reinterpret_cast<std::uint8_t*>(text.data()), text.size()}, 0);
  sys.close(fd);
  if (size < 0) return errno_error(static_cast<int>(-size), "cannot read " + path);
  if (size == static_cast<std::int64_t>(text.size())) {
    return Error{0, path + ": is larger than " + std::to_string(key_file_size_max) +
                        " bytes, no key file"};
  }
  text.resize(static_cast<std::size_t>(size));
  return text;
}

// Whole and durable under its name, or not there at all.
Result<void> write_file(io::Sys& sys, const std::string& directory, const std::string& path,
                        const std::string& text) {
  const std::string temporary = path + ".new";
  const int fd = sys.open(temporary, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0) return errno_error(-fd, "cannot create " + temporary);
  const auto written = sys.pwrite(fd, as_bytes(text), 0);
  int error = written == static_cast<std::int64_t>(text.size()) ? 0
              : written < 0                                     ? static_cast<int>(-written)
                                                                : ENOSPC;
  if (error == 0) error = -sys.data_sync(fd);
  sys.close(fd);
  if (error == 0) error = -sys.rename(temporary, path);
  if (error == 0) error = -sys.sync_directory(directory);
  if (error != 0) return errno_error(error, "cannot write " + path);
  return {};
}

}  // namespace

Result<std::vector<Authenticator::Key>> Authenticator::parse(const std::string& text,
                                                             const std::string& path) {
  std::vector<Key> keys;
  std::size_t line_number = 0;
  for (std::size_t at = 0; at < text.size();) {
    std::size_t end = text.find('\n', at);
    if (end == std::string::npos) end = text.size();
    const std::string_view line = std::string_view(text).substr(at, end - at);
    at = end + 1;
    ++line_number;
    if (line.empty() || line[0] == '#') continue;
    Key key;
    const auto secret =
        line.size() == 66 && line[1] == ' ' ? from_hex(line.substr(2)) : std::nullopt;
    if (!secret || secret->size() != key.secret.size() || hex_value(line[0]) < 0) {
      return Error{0, path + ":" + std::to_string(line_number) +
                          ": must be a key id (one hex digit), a blank and 64 hex digits"};
    }
    key.id = static_cast<std::uint8_t>(hex_value(line[0]));
    if (std::ranges::find(keys, key.id, &Key::id) != keys.end()) {
      return Error{0, path + ":" + std::to_string(line_number) + ": key id " + line[0] +
                          " is used twice"};
    }
    std::copy(secret->begin(), secret->end(), key.secret.begin());
    keys.push_back(key);
  }
  if (keys.empty()) {
    return Error{0, path +
                        ": holds no key; remove the file to have a new one made "
                        "(every terminal must then register again)"};
  }
  return keys;
}

Result<std::unique_ptr<Authenticator>> Authenticator::open(io::Sys& sys,
                                                           const std::string& data_dir) {
  const std::string path = data_dir + "/jt808.key";
  auto text = read_file(sys, path);
  if (!text && text.error().code == ENOENT) {
    std::array<std::uint8_t, 32> secret;
    sys.random_bytes(secret);
    text = "1 " + to_hex(secret) + "\n";
    if (auto written = write_file(sys, data_dir, path, *text); !written) return written.error();
  }
  if (!text) return text.error();
  auto keys = parse(*text, path);
  if (!keys) return keys.error();
  auto out = std::make_unique<Authenticator>();
  out->keys_ = std::move(*keys);
  return out;
}

Authenticator::Code Authenticator::code_of(const Key& key, std::string_view phone,
                                           std::uint32_t generation) {
  const std::string message = "ringgate jt808 auth " + std::to_string(key.id) + " " +
                              std::to_string(generation) + " " + std::string(phone);
  std::uint8_t mac[EVP_MAX_MD_SIZE];
  unsigned mac_size = sizeof mac;
  RG_CHECK(HMAC(EVP_sha256(), key.secret.data(), static_cast<int>(key.secret.size()),
                reinterpret_cast<const std::uint8_t*>(message.data()), message.size(), mac,
                &mac_size) != nullptr);
  constexpr char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  Code code;
  code[0] = hex_digits[key.id & 15];
  code[1] = hex_digits[generation >> 8 & 15];
  code[2] = hex_digits[generation >> 4 & 15];
  code[3] = hex_digits[generation & 15];
  for (std::size_t i = 0; i < 4; ++i) {
    const std::uint8_t* at = mac + 3 * i;
    const std::uint32_t bits = std::uint32_t{at[0]} << 16 | std::uint32_t{at[1]} << 8 | at[2];
    for (std::size_t j = 0; j < 4; ++j) code[4 + 4 * i + j] = alphabet[bits >> (18 - 6 * j) & 63];
  }
  return code;
}

Authenticator::Code Authenticator::make_code(std::string_view phone,
                                             std::uint32_t generation) const {
  return code_of(keys_.back(), phone, generation & generation_max);
}

bool Authenticator::check(Bytes code, std::string_view phone, std::uint32_t generation) const {
  if (code.size() != code_size) return false;
  const int id = hex_value(static_cast<char>(code[0]));
  // An unknown id is compared with some key's code too: it fails on its first character, in the
  // same time as any other wrong code.
  const Key* key = &keys_.back();
  for (const Key& candidate : keys_) {
    if (candidate.id == id) key = &candidate;
  }
  const Code expected = code_of(*key, phone, generation & generation_max);
  return CRYPTO_memcmp(expected.data(), code.data(), code_size) == 0;
}

}  // namespace ringgate::jt808
