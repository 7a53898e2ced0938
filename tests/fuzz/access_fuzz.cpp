// The fields of a request that say who asks: any bytes. A gateway has one token and one login, the
// same in every run.
// What must hold: whoever shows neither is let in by nobody, from outside or behind a name that is
// not this machine's; who shows one is nobody else; hosts, origins and the file of tokens are read
// without harm. By hand as jt808_framing_fuzz.cpp says.
#include <arpa/inet.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "engine/io/sim.hpp"
#include "protocols/api/access.hpp"
#include "protocols/api/origin.hpp"
#include "protocols/api/token_store.hpp"

namespace {

using namespace ringgate;
using namespace ringgate::api;

void require(bool what) {
  if (!what) std::abort();
}

class Scene {
 public:
  Scene() {
    auto token = std::make_shared<Token>();
    token->name = "ops";
    token->scopes = ScopeSet::all();
    require(read_token(token_text, token->digest) == TokenText::good);
    access_.put(token);
    auto login = access_.log_in(token_text);
    require(login.ok());
    cookie_ = login->cookie;
  }

  void ask(std::string_view fields, bool outside) {
    // The corpus can't know the cookie: it says @ for it.
    std::string text = "GET /api/v1/devices HTTP/1.1\r\n";
    if (fields.find("Host:") == fields.npos) text += "Host: gateway.example.com\r\n";
    for (const char c : fields) {
      if (c == '@') {
        text += cookie_;
      } else {
        text += c;
      }
    }
    text += "\r\n\r\n";
    http::Head head;
    if (!http::parse_head(as_bytes(text), {}, head).complete()) return;
    net::PeerAddress peer;
    peer.family = AF_INET;
    require(inet_pton(AF_INET, outside ? "192.0.2.7" : "127.0.0.1", peer.ip) == 1);
    const http::Request request{{}, head, {}, peer, 0, false};
    const Verdict verdict = check_->check(request, Scope::read);
    if (verdict.allowed()) {
      require(check_->knows(request));
      const bool token = text.find(token_text) != text.npos;
      const bool cookie = text.find(cookie_) != text.npos;
      switch (verdict.who.how) {
        case Principal::How::nobody: require(false); break;
        case Principal::How::token: require(token); break;
        case Principal::How::cookie: require(cookie); break;
        case Principal::How::local:
          require(!outside && is_loopback_host(head.host));
          break;
      }
    } else {
      require(verdict.status >= 400 && !verdict.detail.empty());
      require(verdict.detail.find('\n') == verdict.detail.npos);
    }
  }

  // 32 bytes of 0x5a, and their checksum.
  static constexpr std::string_view token_text =
      "rg_5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a724e9405";

 private:
  static AccessOptions options() {
    AccessOptions options;
    options.loopback_listeners = {true};
    return options;
  }
  io::World world_{io::SimOptions{.seed = 7}};
  observe::Logger logger_{{.sink = [](std::string_view) {}}};
  observe::CounterGroup group_{"shard", "0"};
  Access access_{world_.sys(), options()};
  std::unique_ptr<AccessCheck> check_ = access_.make_check(group_, logger_.add_source("fuzz"));
  std::string cookie_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size > 4096) return 0;
  static Scene scene;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  scene.ask(text, true);
  scene.ask(text, false);

  Digest digest;
  if (read_token(text, digest) == TokenText::good) require(text.size() == token_size);
  HostPort parts;
  if (split_host(text, parts)) require(!parts.host.empty() && parts.port.size() <= 5);
  if (is_loopback_host(text)) require(split_host(text, parts));
  require(!is_same_origin(text, "") && !is_same_origin("null", text));
  unsigned count = 0;
  const std::string_view cookie = find_cookie(text, "ringgate", count);
  require(count > 0 || cookie.empty());
  static_cast<void>(is_listed_host({"gateway.example.com:80"}, text));
  if (const auto tokens = tokens_from_text(text)) {
    std::vector<TokenPtr> same(tokens->begin(), tokens->end());
    require(tokens_from_text(tokens_to_text(same)).ok());
  }
  return 0;
}
