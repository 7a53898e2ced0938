// Operations on the tokens of the HTTP interface: made, listed, revoked here and nowhere else.
#include <fmt/core.h>

#include <cerrno>

#include "engine/base/time_text.hpp"
#include "engine/config/units.hpp"
#include "protocols/api/token_store.hpp"
#include "tools/ringgate/control_client.hpp"
#include "tools/ringgate/control_fields.hpp"

namespace ringgate::server {

namespace {

// Longer is for good.
constexpr std::int64_t expires_max_ns = 3650LL * 24 * 3600 * ns_per_s;

void write_time(JsonWriter& json, std::string_view key, WallUs time_us) {
  if (time_us != 0) json.key(key).text(time_text(time_us));
}

std::string row_of(const api::Token& token, WallUs now_us) {
  std::string text;
  JsonWriter json(text);
  json.begin_object().key("name").text(token.name);
  json.key("scopes").text(token.scopes.text());
  json.key("expired").boolean(!token.good(now_us));
  write_time(json, "created", token.created_us);
  write_time(json, "expires", token.expires_us);
  write_time(json, "used", token.used_us.load(std::memory_order_relaxed));
  json.key("by").text(token.by).end_object();
  return text;
}

class TokenOp : public ControlOp {
 public:
  using ControlOp::ControlOp;
  void start(const Json& request) final {
    if (control_.tokens() == nullptr) return fail("unknown-op", "no token is kept here");
    act(request, *control_.tokens());
  }

 protected:
  virtual void act(const Json& request, api::TokenStore& store) = 0;

  // "" where it is no text, or none: then this has ended.
  std::string name_in(const Json& request) {
    const auto found = request.find("name");
    if (found != request.end() && found->is_string()) {
      std::string name = found->get<std::string>();
      if (api::is_token_name(name)) return name;
    }
    fail("bad-request", fmt::format("\"name\" is 1 to {} letters, digits, '-', '_' and '.'",
                                    api::token_name_max));
    return {};
  }
  void note(std::string_view action, std::string_view name, std::string_view result) {
    control_.logs().info("control", {{"action", action}, {"token", name}, {"result", result},
                                     {"by", client_.who()}});
  }
};

class CreateOp final : public TokenOp {
 public:
  using TokenOp::TokenOp;

 private:
  void act(const Json& request, api::TokenStore& store) override {
    const std::string name = name_in(request);
    if (name.empty()) return;
    const auto scopes = api::ScopeSet::parse(text_in(request, "scopes", "read"));
    if (!scopes) {
      return fail("bad-request", "\"scopes\" is some of read,command,admin, joined by commas");
    }
    WallUs expires_us = 0;
    if (const std::string span = text_in(request, "expires", ""); !span.empty()) {
      const auto parsed = config::parse_duration(span);
      if (!parsed || *parsed <= 0 || *parsed > expires_max_ns) {
        return fail("bad-request", "\"expires\" is a time like 90d, of at most 3650d");
      }
      expires_us = wall_now_us() + *parsed / ns_per_us;
    }
    const auto made = store.create(name, *scopes, expires_us, client_.who());
    note("token create", name, made ? scopes->text() : made.error().message);
    if (!made) {
      return fail(made.error().code == EEXIST ? "token-exists" : "not-stored",
                  made.error().message);
    }
    state::Deed deed{.action = "token create",
                     .by = client_.who(),
                     .details = {{"token", name}, {"scopes", scopes->text()}}};
    if (expires_us != 0) deed.details.emplace_back("expires", time_text(expires_us));
    control_.note(std::move(deed));
    std::string text;
    JsonWriter json(text);
    json.begin_object().key("ok").boolean(true).key("name").text(name);
    json.key("token").text(*made).key("scopes").text(scopes->text());
    write_time(json, "expires", expires_us);
    json.end_object();
    end(text);
  }

  static std::string text_in(const Json& request, const char* key, const char* otherwise) {
    const auto found = request.find(key);
    if (found == request.end()) return otherwise;
    return found->is_string() ? found->get<std::string>() : "?";
  }
};

class RevokeOp final : public TokenOp {
 public:
  using TokenOp::TokenOp;

 private:
  void act(const Json& request, api::TokenStore& store) override {
    const std::string name = name_in(request);
    if (name.empty()) return;
    const auto revoked = store.revoke(name);
    note("token revoke", name, !revoked ? revoked.error().message : *revoked ? "done" : "unknown");
    if (!revoked) return fail("not-stored", revoked.error().message);
    if (!*revoked) return fail("unknown-token", fmt::format("there is no token '{}'", name));
    control_.note({.action = "token revoke", .by = client_.who(), .details = {{"token", name}}});
    end(R"({"ok":true})");
  }
};

class ListOp final : public TokenOp {
 public:
  using TokenOp::TokenOp;

 private:
  void act(const Json&, api::TokenStore& store) override {
    store.save_uses();
    const std::vector<api::TokenPtr> tokens = store.tokens();
    const WallUs now_us = wall_now_us();
    for (const api::TokenPtr& token : tokens) {
      line(R"({"token":)" + row_of(*token, now_us) + "}");
    }
    end(fmt::format(R"({{"ok":true,"tokens":{}}})", tokens.size()));
  }
};

}  // namespace

std::shared_ptr<ControlOp> make_token_op(std::string_view name, Control& control,
                                         ControlClient& client) {
  if (name == "token_create") return std::make_shared<CreateOp>(control, client);
  if (name == "token_list") return std::make_shared<ListOp>(control, client);
  if (name == "token_revoke") return std::make_shared<RevokeOp>(control, client);
  return nullptr;
}

}  // namespace ringgate::server
