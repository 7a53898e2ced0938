// The dashboard at "/": files out of the executable, and the few settings that the page asks for.
// One per shard; lives on it, every call on its thread. Answers are ready strings.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "engine/base/result.hpp"
#include "engine/config/settings.hpp"
#include "protocols/http/session.hpp"

namespace ringgate::api {

// Of section `http`: where the map's tiles come from. Nothing: from nowhere, and the page shows the
// outline that is packed with it.
struct PageOptions {
  std::string tile_url;          // "https://tile.example.org/{z}/{x}/{y}.png"; {s}: a, b or c
  std::string tile_attribution;  // text that the tiles' owner wants to be shown
  bool tile_gcj02 = false;       // the tiles are shifted as maps of China are
};
PageOptions page_options(const config::Settings& settings);
// Of key http.tile_url: empty, or a URL of http or https with {z}, {x} and {y}.
Result<void> check_tile_url(std::string_view url);

class Page {
 public:
  explicit Page(const PageOptions& options);

  // False: the path is none of the page's.
  bool answer(http::Session& session, const http::Request& request) const;

 private:
  // A body with the fields of its answers. Bodies are shared by all shards.
  struct Form {
    std::shared_ptr<const std::string> body;
    std::string tag;     // with its quotes
    std::string fields;  // whole lines
  };
  struct File {
    std::string_view path;
    std::string_view type;
    Form plain;
    Form gzip;  // null body: there is none
  };

  std::vector<File> files_;
};

}  // namespace ringgate::api
