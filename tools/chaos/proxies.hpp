// All proxies by name, and every change to them: by the plan at the start, by HTTP later. A change
// happens as a whole or not at all. On the desk's thread.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "tools/chaos/desk.hpp"
#include "tools/chaos/plan.hpp"
#include "tools/chaos/proxy_state.hpp"
#include "tools/chaos/tcp_relay.hpp"
#include "tools/chaos/udp_relay.hpp"

namespace ringgate::chaos {

struct Proxy {
  ProxyPlan plan;
  ProxyState state;
  std::unique_ptr<TcpRelay> tcp;
  std::unique_ptr<UdpRelay> udp;

  const NamedRule* find(std::string_view rule) const;
  std::size_t connections() const {
    return (tcp ? tcp->connections() : 0) + (udp ? udp->sessions() : 0);
  }
  // "127.0.0.1:7908": where it listens.
  const std::string& address() const { return tcp ? tcp->address() : udp->address(); }
};

class Proxies final : public shard::Hook {
 public:
  Proxies(Desk& desk, std::uint64_t seed);
  ~Proxies() override;

  enum class Put : std::uint8_t { made, changed };
  // Error: it can't listen there; nothing has changed.
  Result<Put> put(const ProxyPlan& plan);
  bool remove(std::string_view name);
  // Of a proxy that is there. Arms the rule.
  Put put_rule(Proxy& proxy, std::string_view name, const Rule& rule);
  bool remove_rule(Proxy& proxy, std::string_view name);
  void remove_rules(Proxy& proxy);

  Proxy* find(std::string_view name);
  // Whether all that was changed has taken effect, and what was closed is closed.
  bool settled() const;
  const std::map<std::string, std::unique_ptr<Proxy>, std::less<>>& all() const { return all_; }
  MonoNs now() const { return desk_.shard().now(); }
  MonoNs uptime_ns() const { return now() - started_ns_; }

  // Called by the loop: everything ends.
  void start_stop() override;

 private:
  std::shared_ptr<const ArmedRule> arm(std::string_view proxy, std::string_view name,
                                       const Rule& rule) const;
  static void adopt(Proxy& proxy);
  void configure(Proxy& proxy, const ProxyPlan& plan);
  Result<void> open(Proxy& proxy, const ProxyPlan& plan, bool anew);
  void close(Proxy& proxy, bool tcp, bool udp);
  void end(std::unique_ptr<Proxy> proxy);

  Desk& desk_;
  std::uint64_t seed_;
  MonoNs started_ns_;
  std::map<std::string, std::unique_ptr<Proxy>, std::less<>> all_;
  // Their last operations may not be back; connections count into their state.
  std::vector<std::unique_ptr<Proxy>> ended_;
};

}  // namespace ringgate::chaos
