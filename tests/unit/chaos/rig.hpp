// Rules for tests of the faults: from JSON, armed at a time.
#pragma once

#include <doctest/doctest.h>

#include <initializer_list>
#include <memory>
#include <string>
#include <string_view>

#include "tools/chaos/armed_rule.hpp"
#include "tools/chaos/plan.hpp"

namespace ringgate::chaos {

constexpr MonoNs ms = ns_per_ms;

inline std::shared_ptr<const ArmedRule> armed(std::string_view json, MonoNs base_ns = 0,
                                              std::uint64_t seed = 1) {
  const auto rule = read_rule(json, Transport::both);
  REQUIRE_MESSAGE(rule.ok(), std::string(json));
  auto out = std::make_shared<ArmedRule>();
  out->name = "rule";
  out->rule = *rule;
  out->base_ns = base_ns;
  out->seed = rule->seed.value_or(seed);
  return out;
}

inline ArmedRules rules(std::initializer_list<std::string_view> texts) {
  ArmedRules out;
  for (const std::string_view text : texts) out.push_back(armed(text));
  return out;
}

inline Bytes bytes_of(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}
inline std::string text_of(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace ringgate::chaos
