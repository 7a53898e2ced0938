// What every request that changes something must show, so that a page of somebody else's, opened in
// the browser of whoever may reach this port, changes nothing here: application/json, which a form
// can't send, and no foreign Origin. Pure; any thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "protocols/api/call.hpp"

namespace ringgate::api {

struct Refusal {
  std::uint16_t status = 0;
  std::string_view detail;
};

// Nothing: it may go on. 415: another Content-Type (DELETE without a body needs none); 403: its
// Origin is not the Host it asks.
std::optional<Refusal> refuse_change(const CallData& request);

}  // namespace ringgate::api
