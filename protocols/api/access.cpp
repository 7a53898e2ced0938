#include "protocols/api/access.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "engine/base/hex.hpp"

namespace ringgate::api {

namespace {

flow::Rate rate_of(std::int64_t per_second) {
  // What a page loads at once, and two seconds of the rate.
  constexpr std::uint64_t burst_least = 50;
  const auto count = static_cast<std::uint64_t>(per_second);
  return flow::Rate::per_second(count, std::max(burst_least, 2 * count));
}

std::array<std::uint64_t, 2> random_pair(io::Sys& sys) {
  std::uint8_t bytes[16];
  sys.random_bytes(bytes);
  return {load_be64(bytes), load_be64(bytes + 8)};
}

std::string random_text(io::Sys& sys) {
  std::uint8_t bytes[32];
  sys.random_bytes(bytes);
  return to_hex(bytes);
}

}  // namespace

AccessOptions access_options(const config::Settings& settings) {
  AccessOptions options;
  options.trust_loopback = settings.boolean("http.trust_loopback");
  options.hosts = settings.list("http.hosts");
  options.of_token = rate_of(settings.integer("http.rate_per_token"));
  options.of_address = rate_of(settings.integer("http.rate_per_address"));
  options.login_lifetime_ns = settings.duration_ns("http.login_lifetime");
  options.login_idle_ns = settings.duration_ns("http.login_idle");
  return options;
}

Access::Access(io::Sys& sys, AccessOptions options)
    : sys_(sys), options_(std::move(options)), hash_(random_pair(sys)) {}

Access::~Access() = default;

std::unique_ptr<AccessCheck> Access::make_check(observe::CounterGroup& counters,
                                                observe::LogSource& logs) {
  std::unique_ptr<AccessCheck> check(new AccessCheck(*this, counters, logs));
  std::lock_guard lock(mutex_);
  checks_.push_back(check.get());
  publish();
  return check;
}

void Access::publish() {
  auto table = std::make_shared<Table>();
  for (const auto& [name, token] : tokens_) table->tokens.emplace(token->digest, token);
  for (const LoginPtr& login : logins_) table->logins.emplace(login->digest, login);
  for (AccessCheck* check : checks_) {
    delete check->next_.exchange(new TablePtr(table), std::memory_order_acq_rel);
  }
}

bool Access::still_valid(const Principal& who) const {
  const WallUs now_us = sys_.wall_now();
  if (who.login != nullptr) {
    const MonoNs now = sys_.mono_now();
    if (!who.login->good(now, now_us)) return false;
    who.login->used_ns.store(now, std::memory_order_relaxed);
  }
  return who.token == nullptr || who.token->good(now_us);
}

// Tokens ------------------------------------------------------------------------------------------

void Access::put(std::shared_ptr<Token> token) {
  std::lock_guard lock(mutex_);
  TokenPtr& place = tokens_[token->name];
  if (place != nullptr) place->ended.store(true, std::memory_order_release);
  place = std::move(token);
  drop_old_logins();
  publish();
}

bool Access::remove(std::string_view name) {
  std::lock_guard lock(mutex_);
  const auto found = tokens_.find(name);
  if (found == tokens_.end()) return false;
  found->second->ended.store(true, std::memory_order_release);
  tokens_.erase(found);
  drop_old_logins();
  publish();
  return true;
}

std::vector<TokenPtr> Access::tokens() const {
  std::lock_guard lock(mutex_);
  std::vector<TokenPtr> all;
  for (const auto& [name, token] : tokens_) all.push_back(token);
  return all;
}

TokenPtr Access::find(std::string_view name) const {
  std::lock_guard lock(mutex_);
  const auto found = tokens_.find(name);
  return found == tokens_.end() ? nullptr : found->second;
}

// Logins ------------------------------------------------------------------------------------------

void Access::drop_old_logins() {
  const MonoNs now = sys_.mono_now();
  const WallUs now_us = sys_.wall_now();
  std::erase_if(logins_, [&](const LoginPtr& login) {
    if (login->good(now, now_us)) return false;
    login->ended.store(true, std::memory_order_release);
    return true;
  });
}

Result<Access::LoggedIn> Access::log_in(std::string_view token_text) {
  Digest digest;
  switch (read_token(token_text, digest)) {
    case TokenText::good: break;
    case TokenText::malformed: return Error{0, "that is no token: tokens begin with rg_"};
    case TokenText::mistyped: return Error{0, "the token is mistyped, or not whole"};
  }
  std::lock_guard lock(mutex_);
  const auto found = std::ranges::find_if(
      tokens_, [&](const auto& one) { return same_digest(one.second->digest, digest); });
  if (found == tokens_.end()) return Error{0, "the token is unknown, or was revoked"};
  if (!found->second->good(sys_.wall_now())) return Error{0, "the token has expired"};
  drop_old_logins();
  if (logins_.size() >= access_limits::logins_max) {
    const auto oldest = std::ranges::min_element(logins_, {}, [](const LoginPtr& login) {
      return login->used_ns.load(std::memory_order_relaxed);
    });
    (*oldest)->ended.store(true, std::memory_order_release);
    logins_.erase(oldest);
  }
  const auto login = std::make_shared<Login>();
  std::string cookie = random_text(sys_);
  login->digest = sha256(cookie);
  login->csrf = random_text(sys_);
  login->token = found->second;
  const MonoNs now = sys_.mono_now();
  login->until_ns = now + options_.login_lifetime_ns;
  login->idle_ns = options_.login_idle_ns;
  login->used_ns.store(now, std::memory_order_relaxed);
  logins_.push_back(login);
  publish();
  return LoggedIn{std::move(cookie), login};
}

void Access::log_out(const LoginPtr& login) {
  std::lock_guard lock(mutex_);
  login->ended.store(true, std::memory_order_release);
  drop_old_logins();
  publish();
}

std::size_t Access::logins() const {
  std::lock_guard lock(mutex_);
  return logins_.size();
}

// Rates -------------------------------------------------------------------------------------------

// An IPv4 address, or the network of an IPv6 one: a site has at least a /64 to itself.
std::uint64_t Access::key_of(const net::PeerAddress& address) const {
  if (address.family != AF_INET6) return hash_.of(load_be32(address.ip), 4, 0);
  static constexpr std::uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (std::equal(std::begin(mapped), std::end(mapped), address.ip)) {
    return hash_.of(load_be32(address.ip + sizeof mapped), 4, 0);
  }
  return hash_.of(load_be64(address.ip), 6, 0);
}

std::uint64_t Access::key_of(const Token& token) const {
  return hash_.of(load_be64(token.digest.data()), load_be64(token.digest.data() + 8), 1);
}

}  // namespace ringgate::api
