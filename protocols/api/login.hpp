// What a browser's log-in is made of.
#pragma once

#include <openssl/crypto.h>

#include <string_view>

#include "protocols/http/codec/head.hpp"

namespace ringgate::api {

constexpr std::string_view login_cookie = "ringgate";
constexpr std::string_view csrf_field = "X-Ringgate-CSRF";

// "application/json", with parameters or not.
inline bool is_json(std::string_view content_type) {
  content_type = content_type.substr(0, content_type.find(';'));
  while (content_type.ends_with(' ') || content_type.ends_with('\t')) {
    content_type.remove_suffix(1);
  }
  return http::same_word(content_type, "application/json");
}

// In a time that does not tell where they differ.
inline bool same_text(std::string_view one, std::string_view other) {
  return one.size() == other.size() && CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

}  // namespace ringgate::api
