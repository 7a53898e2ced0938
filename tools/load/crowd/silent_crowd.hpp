// Devices that connect and then say nothing, or half a frame, and hold their link for as long as
// the gateway lets them: what half of a fleet in a tunnel looks like. That it ends them is expected
// (note closed_by_server); that it refuses them is an error (connect_failed). Those that sign in
// before they fall silent are a TerminalCrowd.
#pragma once

#include <string>
#include <vector>

#include "tools/load/crowd/wire_crowd.hpp"

namespace ringgate::load {

class SilentCrowd final : public WireCrowd {
 public:
  SilentCrowd(const CrowdPlace& place, TargetAddress target, std::vector<in_addr> sources);

 private:
  void come(std::uint32_t user) override;
  MonoNs gone(std::uint32_t user, Wires::End end, int error) override;
  void act() override {}
  MonoNs next_act() const override { return INT64_MAX; }
  void on_open(std::uint32_t user) override;
  void on_bytes(std::uint32_t user, Bytes bytes) override;
  void on_sent(std::uint32_t) override {}

  TargetAddress target_;
  std::vector<bool> ready_;
};

}  // namespace ringgate::load
