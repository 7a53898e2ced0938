#include "tools/ctl/token.hpp"

#include <fmt/core.h>
#include <unistd.h>

#include "tools/ctl/show.hpp"

namespace ringgate::ctl {

namespace {

constexpr int patience = 30'000;

void ignore(const Json&) {}

}  // namespace

int token_create(Client& client, const Options& options, const TokenOptions& token) {
  Json request = {{"op", "token_create"}, {"name", token.name}, {"scopes", token.scopes}};
  if (!token.expires.empty()) request["expires"] = token.expires;
  Json end;
  const int code = converse(client, options, request, patience, ignore, &end);
  if (code != 0) return code;
  if (options.json) {
    end.erase("ok");
    fmt::print("{}\n", end.dump());
    return 0;
  }
  // The token alone goes to standard output: so it can be put where it is needed.
  fmt::print("{}\n", plain(end, "token"));
  std::fflush(stdout);
  fmt::print(stderr, "Token {} may: {}. Expires: {}. It is shown this once; keep it.\n",
             plain(end, "name"), plain(end, "scopes"),
             end.contains("expires") ? plain(end, "expires") : "never");
  return 0;
}

int token_list(Client& client, const Options& options) {
  Table table({{"NAME", 20}, {"SCOPES", 18}, {"EXPIRES", 24}, {"USED", 24}, {"CREATED", 24},
               {"BY", 10}});
  return converse(client, options, {{"op", "token_list"}}, patience, [&](const Json& line) {
    if (!line.contains("token")) return;
    const Json& row = line["token"];
    if (options.json) return fmt::print("{}\n", row.dump());
    const auto time = [&](const char* key) {
      return row.contains(key) ? plain(row, key) : std::string("never");
    };
    const bool expired = row.value("expired", false);
    table.row({plain(row, "name"), plain(row, "scopes"), time("expires"), time("used"),
               time("created"), plain(row, "by")},
              expired ? Colour::bad : Colour::plain);
  });
}

int token_revoke(Client& client, const Options& options, const TokenOptions& token) {
  const Json request = {{"op", "token_revoke"}, {"name", token.name}};
  const int code = converse(client, options, request, patience, ignore);
  if (code != 0) return code;
  if (options.json) {
    fmt::print("{{\"ok\":true}}\n");
  } else {
    fmt::print("{} is revoked: its requests, log-ins and streams have ended\n", token.name);
  }
  return 0;
}

}  // namespace ringgate::ctl
