// Plans of ringgate-chaos, of any bytes: read or refused with a place; what was read and written is
// read again and says the same; and a connection under such rules delivers nothing that did not
// come, in order. By hand as jt808_framing_fuzz.cpp says.
#include <algorithm>
#include <memory>
#include <string>
#include <string_view>

#include "tools/chaos/conversation.hpp"
#include "tools/chaos/correspondence.hpp"
#include "tools/chaos/plan.hpp"

using namespace ringgate;
using namespace ringgate::chaos;

namespace {

void require(bool condition) {
  if (!condition) __builtin_trap();
}

template <class Value>
std::string json_of(const Value& value) {
  std::string out;
  JsonWriter json(out);
  write(json, value);
  return out;
}

void told(const Problems& problems) {
  require(!problems.empty());
  for (const Problem& one : problems) require(!one.message.empty());
}

// Bytes come in for a while, in both directions, and time goes on in uneven steps.
void talk(const ArmedRules& rules, bool exact, std::string_view text) {
  Traffic traffic;
  Conversation talk(rules, 3, 4096, traffic, 0);
  std::string sent, got;
  MonoNs now = 0;
  for (std::size_t at = 0; at < std::min<std::size_t>(text.size(), 2000); at += 97) {
    const std::string_view chunk = text.substr(at, 97);
    if (talk.wants(Direction::up)) {
      talk.take(Direction::up, now, as_bytes(chunk));
      sent += chunk;
    }
    for (int writes = 0; writes < 50; ++writes) {
      const Bytes bytes = talk.ready(Direction::up, now);
      if (bytes.empty()) break;
      got.append(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      talk.written(Direction::up, now, bytes.size());
    }
    static_cast<void>(talk.verdict(now));
    const MonoNs next = talk.wake_at(now, at % 2 == 0);
    require(next >= now || next == Schedule::never || next >= 0);
    now += 7 * ns_per_ms * static_cast<MonoNs>(at % 5);
  }
  talk.end(Direction::up, now, End::fin);
  static_cast<void>(talk.end_due(Direction::up, now));
  require(got.size() <= sent.size());
  require(!exact || sent.starts_with(got));
  talk.adopt({}, now);
}

void mail(const ArmedRules& rules, std::string_view text) {
  Traffic traffic;
  Correspondence mail(rules, 3, 65536, traffic, 0);
  std::vector<std::uint8_t> datagram;
  MonoNs now = 0;
  for (std::size_t at = 0; at < std::min<std::size_t>(text.size(), 1000); at += 53) {
    mail.take(Direction::up, now, as_bytes(text.substr(at, 53)));
    while (mail.next(Direction::up, now, datagram)) require(datagram.size() <= 53);
    now += 3 * ns_per_ms;
  }
}

void run(const std::vector<NamedRule>& named, std::string_view text) {
  ArmedRules armed;
  bool exact = true;
  for (const NamedRule& one : named) {
    auto rule = std::make_shared<ArmedRule>();
    rule->name = one.name;
    rule->rule = one.rule;
    rule->seed = one.rule.seed.value_or(1);
    exact = exact && one.rule.kind != Kind::corrupt;
    armed.push_back(std::move(rule));
  }
  talk(armed, exact, text);
  mail(armed, text);
}

void check(const ProxyPlan& proxy, std::string_view text) {
  const std::string json = json_of(proxy);
  const auto again = read_proxy(json, proxy.name);
  require(again.ok());
  require(json_of(*again) == json);
  run(proxy.rules, text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto plan = read_plan(text)) {
    for (const ProxyPlan& proxy : plan->proxies) check(proxy, text);
  } else {
    told(plan.error());
    for (const Problem& one : plan.error()) require(one.line > 0);
  }
  if (const auto proxy = read_proxy(text, "it")) {
    check(*proxy, text);
  } else {
    told(proxy.error());
  }
  for (const Transport transport : {Transport::tcp, Transport::udp, Transport::both}) {
    const auto rule = read_rule(text, transport);
    if (!rule) {
      told(rule.error());
      continue;
    }
    const std::string json = json_of(*rule);
    const auto again = read_rule(json, transport);
    require(again.ok());
    require(json_of(*again) == json);
    run({{"rule", *rule}}, text);
  }
  return 0;
}
