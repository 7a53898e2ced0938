#include "tools/chaos/proxies.hpp"

#include <algorithm>

#include "engine/base/check.hpp"
#include "engine/config/listen_address.hpp"

namespace ringgate::chaos {

const NamedRule* Proxy::find(std::string_view rule) const {
  const auto found = std::ranges::find(plan.rules, rule, &NamedRule::name);
  return found == plan.rules.end() ? nullptr : &*found;
}

Proxies::Proxies(Desk& desk, std::uint64_t seed)
    : desk_(desk), seed_(seed), started_ns_(desk.sys().mono_now()) {
  desk.shard().add_hook(*this);
}

Proxies::~Proxies() = default;

Proxy* Proxies::find(std::string_view name) {
  const auto found = all_.find(name);
  return found == all_.end() ? nullptr : found->second.get();
}

bool Proxies::settled() const {
  std::size_t relays = 0;
  for (const auto& [name, proxy] : all_) {
    if (proxy->tcp && !proxy->tcp->settled()) return false;
    relays += (proxy->tcp ? 1U : 0U) + (proxy->udp ? 1U : 0U);
  }
  return desk_.listening() == relays;
}

std::shared_ptr<const ArmedRule> Proxies::arm(std::string_view proxy, std::string_view name,
                                              const Rule& rule) const {
  auto armed = std::make_shared<ArmedRule>();
  armed->name = name;
  armed->rule = rule;
  armed->base_ns = rule.schedule.since == Since::start ? started_ns_ : now();
  armed->seed = rule.seed ? *rule.seed : seed_of(seed_of(seed_, proxy), name);
  return armed;
}

void Proxies::adopt(Proxy& proxy) {
  if (proxy.tcp) proxy.tcp->adopt();
  if (proxy.udp) proxy.udp->adopt();
}

// ---- Proxies

void Proxies::configure(Proxy& proxy, const ProxyPlan& plan) {
  proxy.plan = plan;
  ProxyState& state = proxy.state;
  const auto target = config::parse_listen_address(plan.target);
  RG_CHECK(target.ok());  // the plan was read
  state.target.storage = target->storage;
  state.target.size = target->size;
  state.buffer_bytes = static_cast<std::size_t>(plan.buffer_bytes);
  state.connections_max = static_cast<std::size_t>(plan.connections_max);
  state.udp_idle_ns = plan.udp_idle_ns;
  state.rules.clear();
  for (const NamedRule& named : plan.rules) {
    state.rules.push_back(arm(plan.name, named.name, named.rule));
  }
}

// What is wanted and not there is opened; only then what is there and not wanted is closed.
Result<void> Proxies::open(Proxy& proxy, const ProxyPlan& plan, bool anew) {
  auto address = config::parse_listen_address(plan.listen);
  RG_CHECK(address.ok());
  std::unique_ptr<TcpRelay> tcp;
  std::unique_ptr<UdpRelay> udp;
  const auto give_up = [&](const Error& error) {
    if (tcp) {
      tcp->close();
      desk_.bury(std::move(tcp));
    }
    return error;
  };
  if (has_tcp(plan.transport) && (anew || !proxy.tcp)) {
    auto opened = TcpRelay::open(desk_, proxy.state, *address);
    if (!opened) return opened.error();
    tcp = std::move(*opened);
  }
  if (has_udp(plan.transport) && (anew || !proxy.udp)) {
    // The port that TCP has, where the kernel chose it.
    const TcpRelay* const named = tcp ? tcp.get() : anew ? nullptr : proxy.tcp.get();
    if (named != nullptr) {
      const auto same = config::parse_listen_address(named->address());
      if (same && !address->all_addresses) address = same;
    }
    auto opened = UdpRelay::open(desk_, proxy.state, *address);
    if (!opened) return give_up(opened.error());
    udp = std::move(*opened);
  }
  close(proxy, anew || !has_tcp(plan.transport), anew || !has_udp(plan.transport));
  if (tcp) proxy.tcp = std::move(tcp);
  if (udp) proxy.udp = std::move(udp);
  return {};
}

void Proxies::close(Proxy& proxy, bool tcp, bool udp) {
  if (tcp && proxy.tcp) {
    proxy.tcp->close();
    desk_.bury(std::move(proxy.tcp));
  }
  if (udp && proxy.udp) {
    proxy.udp->close();
    desk_.bury(std::move(proxy.udp));
  }
}

Result<Proxies::Put> Proxies::put(const ProxyPlan& plan) {
  Proxy* const there = find(plan.name);
  std::unique_ptr<Proxy> made;
  if (there == nullptr) made = std::make_unique<Proxy>();
  Proxy& proxy = there != nullptr ? *there : *made;
  // A port that was chosen may be named.
  const bool anew = there != nullptr && there->plan.listen != plan.listen &&
                    there->address() != plan.listen;
  const bool had_tcp = proxy.tcp != nullptr && !anew;
  const bool had_udp = proxy.udp != nullptr && !anew;
  if (const auto opened = open(proxy, plan, anew); !opened) {
    if (made) end(std::move(made));
    return opened.error();
  }
  configure(proxy, plan);
  if (proxy.tcp && !had_tcp) proxy.tcp->begin();
  if (proxy.udp && !had_udp) proxy.udp->begin();
  if (!made) {
    adopt(proxy);
    return Put::changed;
  }
  all_.emplace(plan.name, std::move(made));
  return Put::made;
}

void Proxies::end(std::unique_ptr<Proxy> proxy) {
  if (desk_.all_dead()) ended_.clear();
  close(*proxy, true, true);
  ended_.push_back(std::move(proxy));
}

bool Proxies::remove(std::string_view name) {
  const auto found = all_.find(name);
  if (found == all_.end()) return false;
  std::unique_ptr<Proxy> proxy = std::move(found->second);
  all_.erase(found);
  end(std::move(proxy));
  return true;
}

void Proxies::start_stop() {
  while (!all_.empty()) remove(std::string(all_.begin()->first));
}

// ---- Rules

Proxies::Put Proxies::put_rule(Proxy& proxy, std::string_view name, const Rule& rule) {
  const auto plan = std::ranges::find(proxy.plan.rules, name, &NamedRule::name);
  const bool there = plan != proxy.plan.rules.end();
  auto armed = arm(proxy.plan.name, name, rule);
  if (there) {
    plan->rule = rule;
    std::ranges::replace_if(
        proxy.state.rules, [&](const auto& one) { return one->name == name; }, armed);
  } else {
    proxy.plan.rules.push_back({std::string(name), rule});
    proxy.state.rules.push_back(std::move(armed));
  }
  adopt(proxy);
  return there ? Put::changed : Put::made;
}

bool Proxies::remove_rule(Proxy& proxy, std::string_view name) {
  const auto gone =
      std::erase_if(proxy.plan.rules, [&](const NamedRule& one) { return one.name == name; });
  std::erase_if(proxy.state.rules, [&](const auto& one) { return one->name == name; });
  if (gone > 0) adopt(proxy);
  return gone > 0;
}

void Proxies::remove_rules(Proxy& proxy) {
  proxy.plan.rules.clear();
  proxy.state.rules.clear();
  adopt(proxy);
}

}  // namespace ringgate::chaos
