// The tokens on disk: DATA/tokens.json, of mode 0600, replaced as a whole and synced before anybody
// hears of a change. A file of its own and no records of the log: what is revoked must be so also
// where the log takes nothing, and hashes of secrets are nobody's record to read.
//
// Start-up and the control thread; only one of them at a time.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/io/sys.hpp"
#include "protocols/api/access.hpp"

namespace ringgate::api {

// The content of the file. Error: what is wrong with it, and where.
std::string tokens_to_text(const std::vector<TokenPtr>& tokens);
Result<std::vector<std::shared_ptr<Token>>> tokens_from_text(std::string_view text);

class TokenStore {
 public:
  // What it loads and changes is put into `access`.
  TokenStore(io::Sys& sys, std::string data_dir, Access& access)
      : sys_(sys), directory_(std::move(data_dir)), access_(access) {}

  // Error: the file is there and can't be taken; the cure.
  Result<void> load();

  // A token whose text is told this once. Error (code): EEXIST: a token has this name already;
  // ENOSPC: there are tokens_max; else the disk's.
  Result<std::string> create(std::string_view name, ScopeSet scopes, WallUs expires_us,
                             std::string_view by);
  // Ends it at once, even where an error follows: then it would be back after a restart. False:
  // there is none of that name.
  Result<bool> revoke(std::string_view name);
  // Keeps when tokens were used last, if that is another hour than the file has. Best effort.
  void save_uses();
  std::vector<TokenPtr> tokens() const { return access_.tokens(); }

 private:
  Result<void> save(const std::vector<TokenPtr>& tokens);
  std::string path() const { return directory_ + "/tokens.json"; }

  io::Sys& sys_;
  std::string directory_;
  Access& access_;
  WallUs saved_use_us_ = 0;  // the latest in the file
};

}  // namespace ringgate::api
