#pragma once

#include <string>
#include <vector>

#include "tests/simulation/trace.h"

namespace consilium::simulation {

// What happened as a sequence diagram in Mermaid's language, which is also readable as it is. The
// participants stand in the order in which they first say something, the coordinator first.
std::string ToMermaid(const std::vector<TraceLine>& lines);

}  // namespace consilium::simulation
