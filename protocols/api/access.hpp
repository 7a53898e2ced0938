// Who may do what over HTTP. One Access for the process holds the tokens and logins; each thread
// that asks has an AccessCheck of its own, which never waits for anybody. README.md has the rules.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "engine/base/clock.hpp"
#include "engine/base/result.hpp"
#include "engine/config/settings.hpp"
#include "engine/flow/rates.hpp"
#include "engine/io/sys.hpp"
#include "engine/net/link.hpp"
#include "engine/net/strangers.hpp"
#include "engine/observe/counter.hpp"
#include "engine/observe/logger.hpp"
#include "protocols/api/token.hpp"
#include "protocols/http/exchange.hpp"

namespace ringgate::api {

namespace access_limits {
// Cookies at a time: a browser has one, whatever it opens. The one that was used least recently
// ends where there are more.
constexpr std::size_t logins_max = 1000;
// Accounts of addresses and of tokens: 64 KiB each table. More addresses than that at a time share
// what one has.
constexpr std::uint32_t rate_places = 8192;
// Log-ins of one address, and credentials of it that were wrong: a person mistypes; a program that
// goes on with a token that was revoked is slowed down.
constexpr flow::Rate attempts{6 * ns_per_s, 60 * ns_per_s};  // one in 6 s, 10 at once
}  // namespace access_limits

// Tokens and logins: immutable but for when they were used and that they ended. -------------------

struct Token {
  std::string name;
  Digest digest{};
  ScopeSet scopes;
  WallUs created_us = 0;
  WallUs expires_us = 0;  // 0: never
  std::string by;         // who made it
  mutable std::atomic<WallUs> used_us{0};  // to the minute
  mutable std::atomic<bool> ended{false};  // revoked, or another has its name

  bool good(WallUs now_us) const {
    return !ended.load(std::memory_order_acquire) && (expires_us == 0 || now_us < expires_us);
  }
};
using TokenPtr = std::shared_ptr<const Token>;

// Of a browser: an opaque cookie that stands for a token. In memory only: a restart ends it.
struct Login {
  Digest digest{};   // of the cookie
  std::string csrf;  // what changes made with the cookie must carry
  TokenPtr token;
  MonoNs until_ns = 0;
  MonoNs idle_ns = 0;
  mutable std::atomic<MonoNs> used_ns{0};
  mutable std::atomic<bool> ended{false};

  bool good(MonoNs now, WallUs now_us) const {
    return !ended.load(std::memory_order_acquire) && now < until_ns &&
           now - used_ns.load(std::memory_order_relaxed) < idle_ns && token->good(now_us);
  }
};
using LoginPtr = std::shared_ptr<const Login>;

// Who asks. A value; may travel between threads.
struct Principal {
  enum class How : std::uint8_t {
    nobody,  // no credentials, and some are needed
    local,   // a program of this machine: may do everything
    token,
    cookie,
  };
  How how = How::nobody;
  ScopeSet scopes;
  net::PeerAddress address;
  TokenPtr token;  // null: nobody, local
  LoginPtr login;  // only of a cookie

  // "ops", "local", "nobody".
  std::string_view name() const;
  // For audit records: "token ops from 10.0.0.1", "127.0.0.1 by HTTP".
  std::string text() const;
};

// What a check says: who asks, or what to answer.
struct Verdict {
  Principal who;
  std::uint16_t status = 0;  // 0: go on
  std::string detail;        // for people
  std::string fields;        // whole lines: WWW-Authenticate, Retry-After

  bool allowed() const { return status == 0; }
};

enum class AccessRefusal : std::uint8_t {
  no_credentials,
  bad_credentials,
  scope,
  csrf,
  origin,
  host,
  content_type,
  rate_of_token,
  rate_of_address,
  rate_of_attempts,
  count,
};
inline constexpr std::string_view access_refusal_names[] = {
    "no_credentials", "bad_credentials", "scope",         "csrf",            "origin",
    "host",           "content_type",    "rate_of_token", "rate_of_address", "rate_of_attempts"};
static_assert(std::size(access_refusal_names) == static_cast<std::size_t>(AccessRefusal::count));

struct AccessOptions {
  // Whether a program of this machine needs no credentials.
  bool trust_loopback = true;
  // By net::Link::listener: whether it is one that only this machine reaches.
  std::vector<bool> loopback_listeners;
  std::vector<std::string> hosts;  // further names of this gateway, as Host and Origin have them
  flow::Rate of_token;
  flow::Rate of_address;
  MonoNs login_lifetime_ns = 12 * 3600 * ns_per_s;
  MonoNs login_idle_ns = 3600 * ns_per_s;
};
// Of section `http`; the listeners are the caller's to say.
AccessOptions access_options(const config::Settings& settings);

class AccessCheck;

class Access {
 public:
  Access(io::Sys& sys, AccessOptions options);
  // After its checks.
  ~Access();
  Access(const Access&) = delete;
  Access& operator=(const Access&) = delete;

  // For a thread that asks; ends before this one. Wiring: takes the lock.
  std::unique_ptr<AccessCheck> make_check(observe::CounterGroup& counters,
                                          observe::LogSource& logs);

  // Any thread, no lock. For what stays open (streams): ask every few seconds, and close where it
  // says false: the token was revoked or is over, or the login is. Counts as use of a login.
  bool still_valid(const Principal& who) const;

  // The rest takes a lock: never on a shard ------------------------------------------------------

  // What the state holds, at start and after a change. Replaces one of that name, which ends.
  void put(std::shared_ptr<Token> token);
  // Ends it at once, with its logins and streams. False: there is none of that name.
  bool remove(std::string_view name);
  std::vector<TokenPtr> tokens() const;  // by name
  TokenPtr find(std::string_view name) const;

  // Makes the cookie of a token; its text is given once. Error: what is wrong with the token.
  struct LoggedIn {
    std::string cookie;
    LoginPtr login;
  };
  Result<LoggedIn> log_in(std::string_view token_text);
  void log_out(const LoginPtr& login);
  std::size_t logins() const;

  const AccessOptions& options() const { return options_; }

 private:
  friend class AccessCheck;
  struct DigestHash {
    std::size_t operator()(const Digest& digest) const {
      return static_cast<std::size_t>(load_be64(digest.data()));
    }
  };
  struct DigestSame {
    bool operator()(const Digest& one, const Digest& other) const {
      return same_digest(one, other);
    }
  };
  template <class Value>
  using ByDigest = std::unordered_map<Digest, Value, DigestHash, DigestSame>;
  struct Table {
    ByDigest<TokenPtr> tokens;
    ByDigest<LoginPtr> logins;
  };
  using TablePtr = std::shared_ptr<const Table>;

  void publish();         // with the lock
  void drop_old_logins();  // with the lock
  std::uint64_t key_of(const net::PeerAddress& address) const;
  std::uint64_t key_of(const Token& token) const;

  io::Sys& sys_;
  const AccessOptions options_;
  net::AddressHash hash_;
  flow::RateTable token_rates_{access_limits::rate_places};
  flow::RateTable address_rates_{access_limits::rate_places};
  flow::RateTable attempt_rates_{access_limits::rate_places};
  mutable std::mutex mutex_;  // never taken on a shard once it is wired
  std::map<std::string, TokenPtr, std::less<>> tokens_;
  std::vector<LoginPtr> logins_;
  std::vector<AccessCheck*> checks_;
};

// One thread's eyes. New tables come to it through a place of its own: it takes no lock.
class AccessCheck {
 public:
  ~AccessCheck();
  AccessCheck(const AccessCheck&) = delete;
  AccessCheck& operator=(const AccessCheck&) = delete;

  // Whether the request may do what needs `scope`. Requests, upgrades and event streams alike;
  // what is not allowed is counted here, and answered by the caller.
  Verdict check(const http::Request& request, Scope scope);
  // The same for what needs nobody: who() may be nobody. Everything else is looked at.
  Verdict check_open(const http::Request& request);
  // For a log-in besides: whether its address may try again.
  Verdict check_login(const http::Request& request);
  // Whether it is worth while to read its body: somebody asks, and no foreign page does. Nothing is
  // counted.
  bool knows(const http::Request& request);

  const Access& access() const { return access_; }

 private:
  friend class Access;
  struct Asked;  // the fields that count
  AccessCheck(Access& access, observe::CounterGroup& counters, observe::LogSource& logs);

  void refresh();
  Verdict look(const http::Request& request, const Asked& asked);
  bool identify(const http::Request& request, const Asked& asked, Verdict& verdict);
  bool by_token(const http::Request& request, std::string_view value, Verdict& verdict);
  TokenPtr find_token(std::string_view text, TokenText& kind) const;
  LoginPtr find_login(const Asked& asked) const;
  bool is_local(const http::Request& request, const Asked& asked) const;
  bool own_origin(const http::Request& request, const Asked& asked) const;
  bool own_host(std::string_view host) const;
  void refuse(Verdict& verdict, AccessRefusal why, std::uint16_t status, std::string detail);
  void refuse_later(Verdict& verdict, AccessRefusal why, MonoNs wait_ns, std::string detail);
  void refuse_credentials(const http::Request& request, Verdict& verdict, std::string detail);

  Access& access_;
  observe::Family<AccessRefusal> refused_;
  observe::LogSource& logs_;
  Access::TablePtr table_;
  std::atomic<Access::TablePtr*> next_{nullptr};
};

}  // namespace ringgate::api
