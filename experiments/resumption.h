#pragma once

// What a quickstart that was cut off goes on with, in words.

#include <string>
#include <vector>

#include "common/plan/plan.h"
#include "experiments/baselines.h"
#include "experiments/checkpoint.h"
#include "experiments/federation.h"
#include "experiments/run_history.h"

namespace consilium::experiments {

// One sentence about all that is in OUT.
std::string WhatIsThere(const fs::path& out, const Checkpoint& checkpoint,
                        const std::vector<SiteData>& sites);

// "round 5 of at most 14; south had delivered": as the ledger has the run, and each site its part
// of the round. The agents need not run.
std::string WhereTheRunIs(const Federation& federation, const RunHistory& history,
                          const plan::Stop& stop, const std::vector<SiteData>& sites);

}  // namespace consilium::experiments
