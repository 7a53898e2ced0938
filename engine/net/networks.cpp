#include "engine/net/networks.hpp"

#include <arpa/inet.h>
#include <fmt/core.h>
#include <sys/socket.h>

#include <algorithm>
#include <charconv>
#include <cstring>

#include "engine/base/check.hpp"

namespace ringgate::net {

namespace {

struct Network {
  std::array<std::uint8_t, 16> bits{};
  unsigned size_bits = 0;  // of an address of its family: 32, 128
  unsigned prefix = 0;
};

Error refuse(std::string_view text, std::string_view cure) {
  return Error{0, fmt::format("\"{}\" is no network: {}", text, cure)};
}

bool is_set(const Network& network, unsigned bit) {
  return (network.bits[bit / 8] & (0x80U >> (bit % 8))) != 0;
}

Result<Network> parse_one(std::string_view text) {
  const std::size_t slash = text.find('/');
  const std::string host(text.substr(0, slash));
  Network out;
  if (inet_pton(AF_INET, host.c_str(), out.bits.data()) == 1) {
    out.size_bits = 32;
  } else if (inet_pton(AF_INET6, host.c_str(), out.bits.data()) == 1) {
    out.size_bits = 128;
  } else {
    return refuse(text, "write an IP address, or one with its prefix, for example \"10.0.0.0/8\" "
                        "or \"2001:db8::/32\"");
  }
  out.prefix = out.size_bits;
  if (slash != std::string_view::npos) {
    const std::string_view digits = text.substr(slash + 1);
    const char* const end = digits.data() + digits.size();
    const auto parsed = std::from_chars(digits.data(), end, out.prefix);
    if (parsed.ec != std::errc{} || parsed.ptr != end || out.prefix > out.size_bits) {
      return refuse(text, fmt::format("the prefix is a number of bits from 0 to {}",
                                      out.size_bits));
    }
  }
  for (unsigned bit = out.prefix; bit < out.size_bits; ++bit) {
    if (!is_set(out, bit)) continue;
    return refuse(text, fmt::format("the address has bits behind its prefix of {}; write the "
                                    "network's own address, or a longer prefix", out.prefix));
  }
  return out;
}

// ::ffff:a.b.c.d, as sockets of both families report IPv4.
bool is_mapped(const PeerAddress& address) {
  static constexpr std::uint8_t before[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  return address.family == AF_INET6 && std::memcmp(address.ip, before, sizeof before) == 0;
}

}  // namespace

Result<Networks> Networks::parse(std::span<const std::string> texts) {
  Networks out;
  for (const std::string& text : texts) {
    const auto one = parse_one(text);
    if (!one) return one.error();
    Range range{one->bits, one->bits};
    for (unsigned bit = one->prefix; bit < one->size_bits; ++bit) {
      range.last[bit / 8] = static_cast<std::uint8_t>(range.last[bit / 8] | (0x80U >> (bit % 8)));
    }
    (one->size_bits == 32 ? out.v4_ : out.v6_).push_back(range);
  }
  merge(out.v4_);
  merge(out.v6_);
  return out;
}

// Networks nest or are apart: what begins within the one before is in it.
void Networks::merge(std::vector<Range>& ranges) {
  std::ranges::sort(ranges, [](const Range& a, const Range& b) {
    return a.first != b.first ? a.first < b.first : a.last > b.last;
  });
  std::vector<Range> merged;
  for (const Range& range : ranges) {
    if (merged.empty() || range.first > merged.back().last) merged.push_back(range);
  }
  ranges = std::move(merged);
}

bool Networks::within(const std::vector<Range>& ranges, const Key& key) {
  const auto after = std::ranges::upper_bound(ranges, key, {}, &Range::first);
  return after != ranges.begin() && key <= std::prev(after)->last;
}

bool Networks::contains(const PeerAddress& address) const {
  Key key{};
  if (address.family == AF_INET || is_mapped(address)) {
    std::memcpy(key.data(), address.family == AF_INET ? address.ip : address.ip + 12, 4);
    return within(v4_, key);
  }
  if (address.family != AF_INET6) return false;
  std::memcpy(key.data(), address.ip, 16);
  return within(v6_, key);
}

Result<void> check_network(std::string_view text) {
  auto parsed = parse_one(text);
  if (!parsed) return parsed.error();
  return {};
}

std::shared_ptr<const AccessRules> access_rules(const config::Settings& settings,
                                                const std::string& section) {
  const auto list = [&](const char* leaf) {
    auto parsed = Networks::parse(settings.list(section + leaf));
    RG_CHECK(parsed.ok());  // the key's check has seen each
    return std::move(*parsed);
  };
  auto rules = std::make_shared<AccessRules>(
      AccessRules{list(".allow"), list(".deny"), list(".proxy_from")});
  return rules->empty() ? nullptr : rules;
}

}  // namespace ringgate::net
