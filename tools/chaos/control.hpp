// The HTTP interface: reads and changes proxies and rules. README.md has the table of requests. On
// the desk's thread.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "protocols/http/session.hpp"
#include "tools/chaos/plan.hpp"
#include "tools/chaos/proxies.hpp"

namespace ringgate::chaos {

class Control final : public http::Handler {
 public:
  // `hosts`: further names that may stand in Host.
  Control(http::Session& session, Proxies& proxies, std::vector<std::string> hosts)
      : session_(session), proxies_(proxies), hosts_(std::move(hosts)) {}

  std::uint64_t body_bytes_max(const http::Head& head) override;
  void on_request(const http::Request& request) override;
  // Each turn: answers what waited until its change had taken effect.
  void answer_settled();

 private:
  struct Reply {
    std::uint16_t status = 200;
    std::string body;
    std::string_view type = "application/json";
    std::string fields;
  };
  void send(http::ExchangeId id, const Reply& reply);
  Reply answer(const http::Request& request);
  Reply get(const std::vector<std::string_view>& path);
  Reply put(const std::vector<std::string_view>& path, const http::Request& request);
  Reply remove(const std::vector<std::string_view>& path);
  Reply put_proxy(std::string_view name, std::string_view body);
  Reply put_rule(std::string_view proxy, std::string_view name, std::string_view body);

  http::Session& session_;
  Proxies& proxies_;
  std::vector<std::string> hosts_;
  std::vector<std::pair<http::ExchangeId, Reply>> unsettled_;
};

// Whether a request may be what somebody here sent, and not a page of elsewhere in a browser: the
// reason why not, or empty. Pure.
std::string foreign(std::string_view host, const http::Field* origin,
                    const std::vector<std::string>& hosts);

}  // namespace ringgate::chaos
