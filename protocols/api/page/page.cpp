#include "protocols/api/page/page.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "engine/base/json_writer.hpp"
#include "protocols/api/page/files.hpp"
#include "protocols/http/codec/target.hpp"

namespace ringgate::api {

namespace {

constexpr std::string_view config_path = "/page/config.json";

// One copy for all shards, made when the first of them is wired.
struct Bodies {
  std::shared_ptr<const std::string> plain;
  std::shared_ptr<const std::string> gzip;
};
const std::vector<Bodies>& bodies() {
  static const std::vector<Bodies> made = [] {
    std::vector<Bodies> all;
    for (const PageFile& file : page_files()) {
      Bodies& one = all.emplace_back();
      one.plain = std::make_shared<const std::string>(file.plain);
      if (!file.gzip.empty()) one.gzip = std::make_shared<const std::string>(file.gzip);
    }
    return all;
  }();
  return made;
}

// "https://*.example.org" of "https://{s}.example.org/{z}/{x}/{y}.png": what CSP calls a source.
std::string source_of(std::string_view url) {
  if (url.empty()) return {};
  const std::size_t host = url.find("://") + 3;
  const std::string_view source = url.substr(0, std::min(url.find('/', host), url.size()));
  const std::size_t varying = source.find("{s}");
  if (varying == std::string_view::npos) return std::string(source);
  return fmt::format("{}*{}", source.substr(0, varying), source.substr(varying + 3));
}

// What the page may do: its own files, pictures of the tiles' server, requests to where it came
// from. No script and no style that is not one of the files.
std::string policy(const PageOptions& options) {
  const std::string tiles = source_of(options.tile_url);
  return fmt::format(
      "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; "
      "img-src 'self' data: blob:{}{}; media-src 'self' blob:; connect-src 'self'; "
      "base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n"
      "X-Content-Type-Options: nosniff\r\nReferrer-Policy: no-referrer\r\n"
      "X-Frame-Options: DENY\r\n",
      tiles.empty() ? "" : " ", tiles);
}

std::string config_json(const PageOptions& options) {
  std::string text;
  JsonWriter json(text);
  json.begin_object();
  json.key("tile_url").text(options.tile_url);
  json.key("tile_attribution").text(options.tile_attribution);
  json.key("tile_gcj02").boolean(options.tile_gcj02);
  json.end_object();
  return text;
}

// Browsers take it from origins they trust only, and complain of it elsewhere: with TLS.
constexpr std::string_view opener_policy = "Cross-Origin-Opener-Policy: same-origin\r\n";

}  // namespace

PageOptions page_options(const config::Settings& settings) {
  return {.tile_url = settings.text("http.tile_url"),
          .tile_attribution = settings.text("http.tile_attribution"),
          .tile_gcj02 = settings.boolean("http.tile_gcj02")};
}

Result<void> check_tile_url(std::string_view url) {
  if (url.empty()) return {};
  if (!url.starts_with("https://") && !url.starts_with("http://")) {
    return Error{0, "is no URL of http or https"};
  }
  for (const std::string_view part : {"{z}", "{x}", "{y}"}) {
    if (url.find(part) == std::string_view::npos) {
      return Error{0, fmt::format("does not say where {} goes", part)};
    }
  }
  const std::size_t host = url.find("://") + 3;
  const std::string_view name =
      url.substr(host, std::min(url.find('/', host), url.size()) - host);
  const auto in_host = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           c == '.' || c == '-' || c == ':' || c == '[' || c == ']';
  };
  if (name.empty() || !std::ranges::all_of(name.starts_with("{s}.") ? name.substr(4) : name,
                                           in_host)) {
    return Error{0, "has no host name that can be one"};
  }
  if (!std::ranges::all_of(url, [](char c) { return c > ' ' && c < '\x7f'; })) {
    return Error{0, "has characters that no URL has"};
  }
  return {};
}

Page::Page(const PageOptions& options) {
  const std::string safe = policy(options);
  const auto add = [&](const PageFile& file, const Bodies& body) {
    const std::string common = fmt::format(
        "Cache-Control: {}\r\nVary: Accept-Encoding\r\n{}",
        file.named_by_content ? "public, max-age=31536000, immutable" : "no-cache", safe);
    const auto form = [&](const std::shared_ptr<const std::string>& bytes, std::string_view suffix,
                          std::string_view coding) {
      Form made{.body = bytes, .tag = fmt::format("\"{}{}\"", file.hash, suffix), .fields = {}};
      made.fields = fmt::format("ETag: {}\r\n{}{}", made.tag, coding, common);
      return made;
    };
    files_.push_back({.path = file.path,
                      .type = file.type,
                      .plain = form(body.plain, "", ""),
                      .gzip = form(body.gzip, "-gzip", "Content-Encoding: gzip\r\n")});
  };
  const std::span<const PageFile> files = page_files();
  for (std::size_t i = 0; i < files.size(); ++i) add(files[i], bodies()[i]);
  // A few settings, told by a file that is made here.
  const auto settings = std::make_shared<const std::string>(config_json(options));
  files_.push_back({.path = config_path,
                    .type = "application/json",
                    .plain = {.body = settings,
                              .tag = {},
                              .fields = fmt::format("Cache-Control: no-store\r\n{}", safe)},
                    .gzip = {}});
}

bool Page::answer(http::Session& session, const http::Request& request) const {
  const std::string_view path = request.head.path;
  if (path != "/" && !path.starts_with("/page/")) return false;
  const auto file = std::ranges::find(files_, path, &File::path);
  if (file == files_.end()) return false;
  if (request.head.method != http::Method::get && request.head.method != http::Method::head) {
    session.problem(request.id, 405, "a file can only be fetched", "Allow: GET, HEAD\r\n");
    return true;
  }
  const bool packed =
      file->gzip.body != nullptr && http::takes_gzip(request.head.value("Accept-Encoding"));
  const Form& form = packed ? file->gzip : file->plain;
  http::Answer answer{.status = 200, .type = file->type, .fields = form.fields, .body = {},
                      .shared = form.body};
  std::string fields;
  if (request.secure) answer.fields = fields = form.fields + std::string(opener_policy);
  if (!form.tag.empty() && http::names_tag(request.head.value("If-None-Match"), form.tag)) {
    answer.status = 304;
    answer.type = {};
    answer.shared = {};
  }
  session.answer(request.id, answer);
  return true;
}

}  // namespace ringgate::api
