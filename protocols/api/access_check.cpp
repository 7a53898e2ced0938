// What a request may do: the rules of README.md, in their order.
#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>
#include <memory>

#include "protocols/api/access.hpp"
#include "protocols/api/login.hpp"
#include "protocols/api/origin.hpp"

namespace ringgate::api {

namespace {

constexpr observe::MetricSpec requests_refused{
    .name = "ringgate_http_access_refused_total",
    .help = "HTTP requests that were not allowed, by reason.",
    .label = "reason",
    .values = access_refusal_names};

// A place that many requests write is written seldom.
constexpr WallUs token_use_step_us = 60 * us_per_s;
constexpr MonoNs login_use_step_ns = 10 * ns_per_s;

std::string text_of(const net::PeerAddress& address) {
  char text[INET6_ADDRSTRLEN] = "?";
  if (address.family != 0) inet_ntop(address.family, address.ip, text, sizeof text);
  return text;
}

bool is_loopback(const net::PeerAddress& address) {
  if (address.family == AF_INET) return address.ip[0] == 127;
  if (address.family != AF_INET6) return false;
  static constexpr std::uint8_t one[16] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};
  static constexpr std::uint8_t mapped[13] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127};
  return std::equal(std::begin(one), std::end(one), address.ip) ||
         std::equal(std::begin(mapped), std::end(mapped), address.ip);
}

bool changes(http::Method method) {
  return method != http::Method::get && method != http::Method::head &&
         method != http::Method::options;
}

std::uint64_t seconds_up(MonoNs wait_ns) {
  return static_cast<std::uint64_t>((wait_ns + ns_per_s - 1) / ns_per_s);
}

}  // namespace

std::string_view Principal::name() const {
  if (token != nullptr) return token->name;
  return how == How::local ? "local" : "nobody";
}

std::string Principal::text() const {
  if (token == nullptr) return fmt::format("{} by HTTP", text_of(address));
  return fmt::format("token {} from {}", token->name, text_of(address));
}

// The fields that count, in one walk over all of them.
struct AccessCheck::Asked {
  explicit Asked(const http::Head& head);
  std::string_view authorization;
  std::string_view cookie;
  std::string_view csrf;
  std::string_view content_type;
  std::string_view origin;
  unsigned authorizations = 0;
  unsigned cookies = 0;
  unsigned origins = 0;
  bool cross_site = false;  // a browser says so
  bool forwarded = false;   // a proxy says so
};

AccessCheck::Asked::Asked(const http::Head& head) {
  for (std::size_t i = 0; i < head.field_count; ++i) {
    const std::string_view name = head.fields[i].name;
    const std::string_view value = head.fields[i].value;
    if (http::same_word(name, "authorization")) {
      ++authorizations;
      authorization = value;
    } else if (http::same_word(name, "cookie")) {
      const std::string_view found = find_cookie(value, login_cookie, cookies);
      if (!found.empty()) cookie = found;
    } else if (http::same_word(name, csrf_field)) {
      csrf = value;
    } else if (http::same_word(name, "content-type")) {
      content_type = value;
    } else if (http::same_word(name, "origin")) {
      ++origins;
      origin = value;
    } else if (http::same_word(name, "sec-fetch-site")) {
      cross_site |= !http::same_word(value, "same-origin") && !http::same_word(value, "none");
    } else {
      static constexpr std::string_view of_proxies[] = {
          "forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
          "x-real-ip", "x-client-ip",     "via"};
      forwarded |= std::ranges::any_of(
          of_proxies, [&](std::string_view one) { return http::same_word(name, one); });
    }
  }
}

AccessCheck::AccessCheck(Access& access, observe::CounterGroup& counters, observe::LogSource& logs)
    : access_(access), refused_(counters.family<AccessRefusal>(requests_refused)), logs_(logs) {}

AccessCheck::~AccessCheck() {
  {
    std::lock_guard lock(access_.mutex_);
    std::erase(access_.checks_, this);
  }
  delete next_.load(std::memory_order_acquire);
}

void AccessCheck::refresh() {
  if (next_.load(std::memory_order_relaxed) == nullptr) return;
  const std::unique_ptr<Access::TablePtr> next(next_.exchange(nullptr, std::memory_order_acq_rel));
  if (next != nullptr) table_ = std::move(*next);
}

// Answers -----------------------------------------------------------------------------------------

void AccessCheck::refuse(Verdict& verdict, AccessRefusal why, std::uint16_t status,
                         std::string detail) {
  refused_.add(why);
  verdict.status = status;
  verdict.detail = std::move(detail);
}

void AccessCheck::refuse_later(Verdict& verdict, AccessRefusal why, MonoNs wait_ns,
                               std::string detail) {
  refuse(verdict, why, 429, std::move(detail));
  verdict.fields = fmt::format("Retry-After: {}\r\n", seconds_up(wait_ns));
}

void AccessCheck::refuse_credentials(const http::Request& request, Verdict& verdict,
                                     std::string detail) {
  const MonoNs wait = access_.attempt_rates_.take(
      access_.key_of(request.peer), access_limits::attempts, access_.sys_.mono_now());
  logs_.warn("http: credentials are refused",
             {{"from", text_of(request.peer)}, {"path", request.head.path}, {"why", detail}});
  if (wait > 0) {
    return refuse_later(verdict, AccessRefusal::rate_of_attempts, wait,
                        "too many wrong credentials came from this address");
  }
  refuse(verdict, AccessRefusal::bad_credentials, 401, std::move(detail));
  verdict.fields = "WWW-Authenticate: Bearer realm=\"ringgate\", error=\"invalid_token\"\r\n";
}

// Rules -------------------------------------------------------------------------------------------

bool AccessCheck::own_host(std::string_view host) const {
  return is_loopback_host(host) || is_listed_host(access_.options_.hosts, host);
}

bool AccessCheck::own_origin(const http::Request& request, const Asked& asked) const {
  if (asked.cross_site || asked.origins > 1) return false;
  return asked.origins == 0 || is_same_origin(asked.origin, request.head.host) ||
         is_listed_host(access_.options_.hosts, host_of_origin(asked.origin));
}

// A program of this machine. What comes through a proxy does not count: then the proxy is this
// machine's, and its client is anybody. Proxies that add no field speak HTTP/1.0 (nginx, unless it
// is told otherwise), and programs of today do not.
bool AccessCheck::is_local(const http::Request& request, const Asked& asked) const {
  const std::vector<bool>& listeners = access_.options_.loopback_listeners;
  return access_.options_.trust_loopback && !asked.forwarded && request.head.minor >= 1 &&
         request.listener < listeners.size() && listeners[request.listener] &&
         is_loopback(request.peer);
}

// Of an Authorization field. Null: it is no good token.
TokenPtr AccessCheck::find_token(std::string_view field, TokenText& kind) const {
  constexpr std::string_view scheme = "bearer ";
  kind = TokenText::malformed;
  if (field.size() <= scheme.size() || !http::same_word(field.substr(0, scheme.size()), scheme)) {
    return nullptr;
  }
  field.remove_prefix(scheme.size());
  field.remove_prefix(std::min(field.find_first_not_of(' '), field.size()));
  Digest digest;
  kind = read_token(field, digest);
  if (kind != TokenText::good) return nullptr;
  const auto found = table_->tokens.find(digest);
  const bool good =
      found != table_->tokens.end() && found->second->good(access_.sys_.wall_now());
  return good ? found->second : nullptr;
}

// Null: no cookie, or one that is none any more, or several: one of them was planted by somebody.
LoginPtr AccessCheck::find_login(const Asked& asked) const {
  if (asked.cookies != 1 || asked.cookie.size() != 2 * sizeof(Digest)) return nullptr;
  const auto found = table_->logins.find(sha256(asked.cookie));
  const bool good = found != table_->logins.end() &&
                    found->second->good(access_.sys_.mono_now(), access_.sys_.wall_now());
  return good ? found->second : nullptr;
}

bool AccessCheck::by_token(const http::Request& request, std::string_view value,
                           Verdict& verdict) {
  constexpr std::string_view why[] = {
      "the token is unknown, revoked or expired",
      "Authorization must be \"Bearer\" and a token, which begins with rg_",
      "the token is mistyped, or not whole"};
  TokenText kind;
  verdict.who.token = find_token(value, kind);
  if (verdict.who.token == nullptr) {
    refuse_credentials(request, verdict, std::string(why[static_cast<std::size_t>(kind)]));
    return false;
  }
  verdict.who.how = Principal::How::token;
  return true;
}

// Who asks. False: not allowed. A cookie that is none any more is as no cookie: a page is told so
// by what it gets then.
bool AccessCheck::identify(const http::Request& request, const Asked& asked, Verdict& verdict) {
  Principal& who = verdict.who;
  if (asked.authorizations > 1) {
    refuse_credentials(request, verdict, "there are several Authorization fields");
    return false;
  }
  if (asked.authorizations == 1) {
    if (!by_token(request, asked.authorization, verdict)) return false;
  } else if (LoginPtr login = find_login(asked); login != nullptr) {
    const MonoNs now = access_.sys_.mono_now();
    if (now - login->used_ns.load(std::memory_order_relaxed) > login_use_step_ns) {
      login->used_ns.store(now, std::memory_order_relaxed);
    }
    who.how = Principal::How::cookie;
    who.token = login->token;
    who.login = std::move(login);
  }
  if (who.token != nullptr) {
    who.scopes = who.token->scopes;
    const WallUs now_us = access_.sys_.wall_now();
    if (now_us - who.token->used_us.load(std::memory_order_relaxed) > token_use_step_us) {
      who.token->used_us.store(now_us, std::memory_order_relaxed);
    }
  } else if (is_local(request, asked)) {
    // A page from elsewhere whose name was made to lead here (DNS rebinding) can only come with
    // that name.
    if (!own_host(request.head.host)) {
      refuse(verdict, AccessRefusal::host, 403,
             "the Host field does not name this gateway: http.hosts has its further names");
      return false;
    }
    who.how = Principal::How::local;
    who.scopes = ScopeSet::all();
  }
  return true;
}

bool AccessCheck::knows(const http::Request& request) {
  refresh();
  const Asked asked(request.head);
  if (!own_origin(request, asked)) return false;
  TokenText kind;
  if (asked.authorizations > 0) {
    return asked.authorizations == 1 && find_token(asked.authorization, kind) != nullptr;
  }
  return find_login(asked) != nullptr ||
         (is_local(request, asked) && own_host(request.head.host));
}

Verdict AccessCheck::look(const http::Request& request, const Asked& asked) {
  refresh();
  Verdict verdict;
  verdict.who.address = request.peer;
  if (!own_origin(request, asked)) {
    refuse(verdict, AccessRefusal::origin, 403, "pages of other origins may not ask here");
    return verdict;
  }
  const http::Method method = request.head.method;
  const bool with_body = request.head.has_body() || method != http::Method::del;
  if (changes(method) && with_body && !is_json(asked.content_type)) {
    refuse(verdict, AccessRefusal::content_type, 415, "Content-Type must be application/json");
    return verdict;
  }
  // An address has its bound before anything is computed for it; this machine has none.
  if (!is_local(request, asked)) {
    const MonoNs wait = access_.address_rates_.take(access_.key_of(request.peer),
                                                    access_.options_.of_address,
                                                    access_.sys_.mono_now());
    if (wait > 0) {
      refuse_later(verdict, AccessRefusal::rate_of_address, wait,
                   "too many requests came from this address");
      return verdict;
    }
  }
  if (!identify(request, asked, verdict)) return verdict;
  const Principal& who = verdict.who;
  if (who.token != nullptr) {
    const MonoNs wait = access_.token_rates_.take(
        access_.key_of(*who.token), access_.options_.of_token, access_.sys_.mono_now());
    if (wait > 0) {
      refuse_later(verdict, AccessRefusal::rate_of_token, wait,
                   "too many requests came with this token");
      return verdict;
    }
  }
  if (who.login != nullptr && changes(method) && !same_text(asked.csrf, who.login->csrf)) {
    refuse(verdict, AccessRefusal::csrf, 403,
           fmt::format("{} must have the value that whoami gives", csrf_field));
  }
  return verdict;
}

Verdict AccessCheck::check(const http::Request& request, Scope scope) {
  Verdict verdict = look(request, Asked(request.head));
  if (!verdict.allowed()) return verdict;
  if (verdict.who.how == Principal::How::nobody) {
    refuse(verdict, AccessRefusal::no_credentials, 401,
           "a token is needed: Authorization: Bearer, or a log-in; ringgate-ctl makes tokens");
    verdict.fields = "WWW-Authenticate: Bearer realm=\"ringgate\"\r\n";
  } else if (!verdict.who.scopes.has(scope)) {
    refuse(verdict, AccessRefusal::scope, 403,
           fmt::format("the token lacks the scope {}",
                       scope_names[static_cast<std::size_t>(scope)]));
  }
  return verdict;
}

Verdict AccessCheck::check_open(const http::Request& request) {
  return look(request, Asked(request.head));
}

Verdict AccessCheck::check_login(const http::Request& request) {
  Verdict verdict = look(request, Asked(request.head));
  if (!verdict.allowed()) return verdict;
  const MonoNs wait = access_.attempt_rates_.take(
      access_.key_of(request.peer), access_limits::attempts, access_.sys_.mono_now());
  if (wait > 0) {
    refuse_later(verdict, AccessRefusal::rate_of_attempts, wait,
                 "too many log-ins came from this address");
  }
  return verdict;
}

}  // namespace ringgate::api
