// A certificate with its chain and its key, read from two PEM files. Cold; any thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/net/tls/openssl.hpp"

namespace ringgate::net::tls {

// Tells whether a file is still what it was. All zero: it can't be looked at.
struct FileStamp {
  std::uint64_t device = 0;
  std::uint64_t inode = 0;
  std::int64_t modified_ns = 0;
  std::int64_t size_bytes = 0;
  bool operator==(const FileStamp&) const = default;
};
FileStamp stamp_of(const std::string& path);

struct PairFiles {
  std::string certificate;  // the server's own first, then those that issued it
  std::string key;
};

struct Certificate {
  PairFiles files;
  X509Ptr leaf;
  std::vector<X509Ptr> chain;
  KeyPtr key;
  std::vector<std::string> names;  // in lower case, wildcards with their star; no IP addresses
  std::int64_t begins_s = 0;       // since 1970; valid from here
  std::int64_t expires_s = 0;      // to there
  bool key_exposed = false;        // others than owner and group may read its file
};

// Error: names the file, what is wrong with it and the cure.
Result<Certificate> load_certificate(const PairFiles& files);

// Whether `host` (in lower case) is one that `name` stands for: itself, or one label for a star.
// RFC 6125 6.4.3.
bool names_host(std::string_view name, std::string_view host);

// PEM text of a file, at most 1 MiB. Error: names the file and the cure. `exposed`: whether others
// may read it.
Result<std::string> read_pem(const std::string& path, bool* exposed = nullptr);

}  // namespace ringgate::net::tls
