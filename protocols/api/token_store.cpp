#include "protocols/api/token_store.hpp"

#include <fcntl.h>
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <nlohmann/json.hpp>

#include "engine/base/hex.hpp"
#include "engine/base/json_writer.hpp"

namespace ringgate::api {

namespace {

using Json = nlohmann::json;

// Of tokens_max tokens with the longest names: 400 bytes each.
constexpr std::int64_t file_bytes_max = 1 << 20;
constexpr WallUs use_step_us = 3600 * us_per_s;

const std::string* text_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  return found == object.end() ? nullptr : found->get_ptr<const std::string*>();
}

// 0 where it is not there; less where it is no time.
WallUs time_of(const Json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return 0;
  return found->is_number_integer() ? found->get<WallUs>() : -1;
}

std::shared_ptr<Token> token_of(const Json& row) {
  if (!row.is_object()) return nullptr;
  const std::string* const name = text_of(row, "name");
  const std::string* const digest = text_of(row, "sha256");
  const std::string* const scopes = text_of(row, "scopes");
  if (name == nullptr || digest == nullptr || scopes == nullptr) return nullptr;
  const auto bytes = from_hex(*digest);
  const auto set = ScopeSet::parse(*scopes);
  auto token = std::make_shared<Token>();
  if (!is_token_name(*name) || !bytes || bytes->size() != token->digest.size() || !set) {
    return nullptr;
  }
  token->name = *name;
  std::ranges::copy(*bytes, token->digest.begin());
  token->scopes = *set;
  token->created_us = time_of(row, "created_us");
  token->expires_us = time_of(row, "expires_us");
  const WallUs used_us = time_of(row, "used_us");
  token->used_us.store(used_us, std::memory_order_relaxed);
  if (const std::string* const by = text_of(row, "by")) token->by = *by;
  const bool times = token->created_us >= 0 && token->expires_us >= 0 && used_us >= 0;
  return times ? token : nullptr;
}

}  // namespace

std::string tokens_to_text(const std::vector<TokenPtr>& tokens) {
  std::string text = "{\"tokens\":[\n";
  for (const TokenPtr& token : tokens) {
    if (token != tokens.front()) text += ",\n";
    JsonWriter json(text);
    json.begin_object().key("name").text(token->name);
    json.key("sha256").text(to_hex(token->digest));
    json.key("scopes").text(token->scopes.text());
    json.key("created_us").integer(token->created_us);
    json.key("expires_us").integer(token->expires_us);
    json.key("used_us").integer(token->used_us.load(std::memory_order_relaxed));
    json.key("by").text(token->by).end_object();
  }
  return text.append("\n]}\n");
}

Result<std::vector<std::shared_ptr<Token>>> tokens_from_text(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  const auto rows = json.is_object() ? json.find("tokens") : json.end();
  if (!json.is_object() || rows == json.end() || !rows->is_array()) {
    return Error{0, "is not {\"tokens\":[...]}"};
  }
  std::vector<std::shared_ptr<Token>> tokens;
  for (const Json& row : *rows) {
    auto token = token_of(row);
    if (token == nullptr) {
      return Error{0, fmt::format("token {} is not as it should be", tokens.size() + 1)};
    }
    const bool twice = std::ranges::any_of(
        tokens, [&](const auto& other) { return other->name == token->name; });
    if (twice) return Error{0, fmt::format("the name {} is there twice", token->name)};
    tokens.push_back(std::move(token));
  }
  if (tokens.size() > tokens_max) return Error{0, fmt::format("more than {} tokens", tokens_max)};
  return tokens;
}

Result<void> TokenStore::load() {
  const int fd = sys_.open(path(), O_RDONLY, 0);
  if (fd == -ENOENT) return {};
  if (fd < 0) return errno_error(-fd, fmt::format("{}: can't be opened", path()));
  const std::int64_t size = sys_.file_size(fd);
  std::string text(static_cast<std::size_t>(std::clamp<std::int64_t>(size, 0, file_bytes_max)), 0);
  std::int64_t got = size;
  for (std::size_t at = 0; at < text.size() && got > 0; at += static_cast<std::size_t>(got)) {
    got = sys_.pread(fd, {reinterpret_cast<std::uint8_t*>(text.data()) + at, text.size() - at}, at);
  }
  sys_.close(fd);
  if (got < 0) return errno_error(static_cast<int>(-got), fmt::format("{}: read", path()));
  auto tokens = tokens_from_text(text);
  if (!tokens) {
    return Error{0, fmt::format("{}: {}; without the file there are no tokens, and new ones can be "
                                "made", path(), tokens.error().message)};
  }
  for (std::shared_ptr<Token>& token : *tokens) {
    saved_use_us_ = std::max(saved_use_us_, token->used_us.load(std::memory_order_relaxed));
    access_.put(std::move(token));
  }
  return {};
}

Result<void> TokenStore::save(const std::vector<TokenPtr>& tokens) {
  const std::string text = tokens_to_text(tokens);
  const std::string beside = path() + ".new";
  const int fd = sys_.open(beside, O_WRONLY | O_CREAT | O_TRUNC, 0600);
  if (fd < 0) return errno_error(-fd, fmt::format("{}: can't be made", beside));
  const Bytes bytes = as_bytes(text);
  int error = 0;
  for (std::size_t at = 0; at < bytes.size() && error == 0;) {
    const std::int64_t put = sys_.pwrite(fd, bytes.subspan(at), at);
    if (put <= 0) {
      error = put < 0 ? static_cast<int>(-put) : ENOSPC;
    } else {
      at += static_cast<std::size_t>(put);
    }
  }
  if (error == 0) error = -sys_.data_sync(fd);
  sys_.close(fd);
  if (error == 0) error = -sys_.rename(beside, path());
  if (error == 0) error = -sys_.sync_directory(directory_);
  if (error != 0) return errno_error(error, fmt::format("{}: can't be written", path()));
  for (const TokenPtr& token : tokens) {
    saved_use_us_ = std::max(saved_use_us_, token->used_us.load(std::memory_order_relaxed));
  }
  return {};
}

Result<std::string> TokenStore::create(std::string_view name, ScopeSet scopes, WallUs expires_us,
                                       std::string_view by) {
  std::vector<TokenPtr> tokens = access_.tokens();
  if (access_.find(name) != nullptr) {
    return Error{EEXIST, fmt::format("there is a token '{}' already; revoke it first", name)};
  }
  if (tokens.size() >= tokens_max) {
    return Error{ENOSPC, fmt::format("there are {} tokens; revoke some", tokens_max)};
  }
  std::string text = make_token(sys_);
  auto token = std::make_shared<Token>();
  token->name = name;
  RG_CHECK(read_token(text, token->digest) == TokenText::good);
  token->scopes = scopes;
  token->created_us = sys_.wall_now();
  token->expires_us = expires_us;
  token->by = by;
  tokens.push_back(token);
  if (auto saved = save(tokens); !saved) return saved.error();
  access_.put(std::move(token));
  return text;
}

Result<bool> TokenStore::revoke(std::string_view name) {
  if (!access_.remove(name)) return false;
  if (auto saved = save(access_.tokens()); !saved) {
    return Error{saved.error().code,
                 fmt::format("{} is revoked, but would be back after a restart: {}", name,
                             saved.error().message)};
  }
  return true;
}

void TokenStore::save_uses() {
  const std::vector<TokenPtr> tokens = access_.tokens();
  const bool later = std::ranges::any_of(tokens, [&](const TokenPtr& token) {
    return token->used_us.load(std::memory_order_relaxed) >= saved_use_us_ + use_step_us;
  });
  if (later) static_cast<void>(save(tokens));
}

}  // namespace ringgate::api
