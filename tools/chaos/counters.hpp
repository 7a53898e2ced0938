// What the proxies have counted, for programs: as JSON and for Prometheus. Pure reading, on the
// desk's thread.
#pragma once

#include <string>

#include "tools/chaos/proxies.hpp"

namespace ringgate::chaos {

// One line, without its end; README.md shows it.
std::string status_json(const Proxies& proxies);
// Text exposition format 0.0.4.
std::string metrics_text(const Proxies& proxies);

}  // namespace ringgate::chaos
