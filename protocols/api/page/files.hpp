// The dashboard's files as the build embeds them: made by embed.py, which bundles, packs and names
// them. Constants; any thread.
#pragma once

#include <span>
#include <string_view>

namespace ringgate::api {

struct PageFile {
  std::string_view path;   // "/", "/page/app-0123456789ab.js"
  std::string_view type;
  std::string_view hash;   // of the content: part of its entity tags
  std::string_view plain;
  std::string_view gzip;   // the same, packed; empty where that gains nothing
  bool named_by_content = false;  // the path names this content for ever
};

// The first is "/". Where the build had no esbuild it is all there is, and says what to install.
std::span<const PageFile> page_files();

}  // namespace ringgate::api
