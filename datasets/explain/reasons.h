#pragma once

#include <string>
#include <string_view>

#include "common/plan/plan.h"

namespace consilium::datasets::explain {

// Why the pipeline has the step of this name (pipeline.h) with these settings;
// docs/preprocessing.md says it at length, with sources. Empty where there is nothing to choose.
std::string Reason(std::string_view step, const plan::Preprocessing& preprocessing);

}  // namespace consilium::datasets::explain
