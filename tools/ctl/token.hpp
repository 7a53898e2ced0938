// ringgate-ctl token: what programs and people show to the HTTP interface. One thread.
#pragma once

#include <string>

#include "tools/ctl/commands.hpp"

namespace ringgate::ctl {

struct TokenOptions {
  std::string name;
  std::string scopes = "read";
  std::string expires;  // empty: never
};

int token_create(Client& client, const Options& options, const TokenOptions& token);
int token_list(Client& client, const Options& options);
int token_revoke(Client& client, const Options& options, const TokenOptions& token);

}  // namespace ringgate::ctl
