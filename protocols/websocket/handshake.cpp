#include "protocols/websocket/handshake.hpp"

#include <openssl/evp.h>

#include "engine/base/check.hpp"

namespace ringgate::websocket {

namespace {

// 16 bytes in base64.
bool is_key(std::string_view key) {
  constexpr std::string_view digits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  return key.size() == 24 && key.ends_with("==") &&
         key.substr(0, 22).find_first_not_of(digits) == std::string_view::npos;
}

bool has_member(std::string_view list, std::string_view wanted) {
  std::string_view member;
  while (http::next_member(list, member)) {
    if (http::same_word(member, wanted)) return true;
  }
  return false;
}

}  // namespace

std::string accept_value(std::string_view key) {
  std::string text(key);
  text += "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
  std::uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned size = 0;
  RG_CHECK(EVP_Digest(text.data(), text.size(), digest, &size, EVP_sha1(), nullptr) == 1);
  std::uint8_t encoded[64];
  const int length = EVP_EncodeBlock(encoded, digest, static_cast<int>(size));
  return {reinterpret_cast<const char*>(encoded), static_cast<std::size_t>(length)};
}

Handshake check_handshake(const http::Head& head) {
  if (head.method != http::Method::get || head.minor == 0) {
    return {400, "a WebSocket begins with GET and HTTP/1.1", {}};
  }
  if (!head.upgrades || !has_member(head.value("upgrade"), "websocket")) {
    return {426, "this path speaks WebSocket: Connection: upgrade, Upgrade: websocket", {}};
  }
  if (head.value("sec-websocket-version") != "13") {
    return {426, "Sec-WebSocket-Version must be 13", {}};
  }
  const std::string_view key = head.value("sec-websocket-key");
  if (!is_key(key)) return {400, "Sec-WebSocket-Key must be 16 bytes in base64", {}};
  return {101, {}, key};
}

}  // namespace ringgate::websocket
