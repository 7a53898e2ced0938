// A browser's log-in: a token for a cookie, and back; and who somebody is here.
#include "protocols/api/login.hpp"

#include <fmt/format.h>

#include "engine/base/json_writer.hpp"
#include "protocols/api/plane.hpp"
#include "protocols/api/routes.hpp"

namespace ringgate::api {

namespace {

std::string describe(const Principal& who) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("name").text(who.name());
  constexpr std::string_view how_names[] = {"nobody", "local", "token", "cookie"};
  json.key("how").text(how_names[static_cast<std::size_t>(who.how)]);
  json.key("scopes").begin_array();
  for (std::size_t i = 0; i < std::size(scope_names); ++i) {
    if (who.scopes.has(static_cast<Scope>(i))) json.text(scope_names[i]);
  }
  json.end_array();
  if (who.login != nullptr) json.key("csrf").text(who.login->csrf);
  json.key("credentials_needed").boolean(who.how == Principal::How::nobody);
  json.end_object();
  return text;
}

// A proxy that ends TLS says so; whoever says so falsely keeps the cookie from himself.
bool is_secure(const Call& call) {
  return call.data().secure || call.field("x-forwarded-proto") == "https";
}

std::string cookie_line(bool secure, std::string_view value, MonoNs lifetime_ns) {
  return fmt::format("Set-Cookie: {}={}; Path=/; Max-Age={}; HttpOnly; SameSite=Strict{}\r\n",
                     login_cookie, value, lifetime_ns / ns_per_s, secure ? "; Secure" : "");
}

// Nobody's cache keeps them.
constexpr std::string_view no_store = "Cache-Control: no-store\r\n";

void log_in(Plane& plane, const CallPtr& call) {
  const auto json = call->json();
  if (!json) return;
  const auto token = json->find("token");
  if (token == json->end() || !token->is_string()) {
    return call->problem(400, "\"token\" must be the text of a token");
  }
  auto done = plane.parts().access.log_in(token->get_ref<const std::string&>());
  if (!done) {
    plane.parts().logs.warn("http: a log-in is refused",
                            {{"from", call->who()}, {"why", done.error().message}});
    return call->problem(401, done.error().message,
                         "WWW-Authenticate: Bearer realm=\"ringgate\"\r\n");
  }
  Principal& who = call->set_who(done->login);
  plane.note_deed(*call, "login");
  std::string fields = cookie_line(is_secure(*call), done->cookie,
                                   plane.parts().access.options().login_lifetime_ns);
  fields += no_store;
  call->answer(describe(who), 200, "application/json", fields);
}

void log_out(Plane& plane, const CallPtr& call) {
  const Principal& who = call->data().who;
  if (who.login != nullptr) {
    plane.parts().access.log_out(who.login);
    plane.note_deed(*call, "logout");
  }
  call->answer("{}", 200, "application/json", cookie_line(is_secure(*call), "", 0));
}

void who_am_i(Plane&, const CallPtr& call) {
  call->answer(describe(call->data().who), 200, "application/json", no_store);
}

constexpr std::string_view who_schema =
    R"({"type":"object","required":["name","how","scopes","credentials_needed"],"properties":{)"
    R"("name":{"type":"string"},"how":{"enum":["nobody","local","token","cookie"]},)"
    R"("scopes":{"type":"array","items":{"enum":["read","command","admin"]}},)"
    R"("csrf":{"type":"string"},"credentials_needed":{"type":"boolean"}},)"
    R"("additionalProperties":false})";

constexpr Route routes[] = {
    {.method = http::Method::post,
     .path = "/api/v1/login",
     .entry = Entry::login,
     .summary = "Gives a browser a cookie for a token; the answer is that of whoami.",
     .request_schema = R"({"type":"object","required":["token"],)"
                       R"("properties":{"token":{"type":"string"}}})",
     .response_schema = who_schema,
     .body_bytes_max = 4096,
     .run = log_in},
    {.method = http::Method::post,
     .path = "/api/v1/logout",
     .entry = Entry::open,
     .summary = "Ends the cookie's log-in.",
     .response_schema = R"({"type":"object"})",
     .body_bytes_max = 4096,
     .run = log_out},
    {.path = "/api/v1/whoami",
     .entry = Entry::open,
     .summary = "Who one is here, with what scopes, and the value of X-Ringgate-CSRF.",
     .response_schema = who_schema,
     .run = who_am_i},
};

}  // namespace

const std::span<const Route> login_routes = routes;

}  // namespace ringgate::api
