// A scenario in small, for tests and first looks. See ReadOptions::shorten.
#pragma once

#include "tools/load/scenario/scenario.hpp"

namespace ringgate::load {

// Users and times become `factor` of what they are, 0 < factor <= 1. What would be too short to
// mean anything stays longer: an interval, half a second; a level of a search, one; a stage, 300
// ms. A stage keeps at least one user where it had any. Limits on rates become smaller as the
// load does; limits on times, shares and CPUs stay.
void shorten(Scenario& scenario, double factor);

}  // namespace ringgate::load
