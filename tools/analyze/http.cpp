#include "tools/analyze/http.hpp"

#include <fmt/core.h>

#include <algorithm>
#include <cerrno>

#include "tools/common/http_calls.hpp"

namespace ringgate::analyze {

bool Url::loopback() const {
  return host == "localhost" || host == "::1" || host.rfind("127.", 0) == 0;
}

Result<Url> parse_url(std::string_view text) {
  constexpr std::string_view plain = "http://";
  if (text.rfind("https://", 0) == 0) {
    return Error{0, "https is not spoken here: use the plain listener on the gateway's machine "
                    "(http.listen), or a tunnel (ssh -L 7880:127.0.0.1:7880 HOST)"};
  }
  if (text.rfind(plain, 0) != 0) {
    return Error{0, fmt::format("'{}' is no URL such as http://127.0.0.1:7880", text)};
  }
  text.remove_prefix(plain.size());
  Url out;
  const std::size_t slash = std::min(text.find('/'), text.size());
  out.path = std::string(text.substr(slash));
  while (!out.path.empty() && out.path.back() == '/') out.path.pop_back();
  std::string_view where = text.substr(0, slash);
  const bool six = !where.empty() && where.front() == '[';
  const std::size_t closing = six ? where.find(']') : 0;
  if (closing == std::string_view::npos) return Error{0, "the URL has a [ without ]"};
  const std::size_t colon = where.find(':', closing);
  out.host = std::string(six ? where.substr(1, closing - 1) : where.substr(0, colon));
  out.port = colon == std::string_view::npos ? "80" : std::string(where.substr(colon + 1));
  if (out.host.empty() || out.port.empty()) return Error{0, "the URL names no host or no port"};
  return out;
}

Result<std::string> http_get(const Url& url, std::string_view path, std::string_view token,
                             MonoNs patience_ns) {
  const bool six = url.host.find(':') != std::string::npos;
  tool::HttpCalls calls;
  tool::HttpAnswer answer = calls.call({
      .address = fmt::format("{}{}{}:{}", six ? "[" : "", url.host, six ? "]" : "", url.port),
      .path = url.path + std::string(path),
      .token = std::string(token),
      .patience_ns = patience_ns,
  });
  if (answer.status == 0) return Error{answer.taken ? EPROTO : 0, answer.error};
  if (answer.status == 401 || answer.status == 403) {
    return Error{0, fmt::format("{} wants a token with the scope for it: --token-file FILE "
                                "(ringgate-ctl token create)", path)};
  }
  if (answer.status != 200) {
    return Error{0, fmt::format("{} is answered with {}", path, answer.text())};
  }
  return std::move(answer.body);
}

}  // namespace ringgate::analyze
