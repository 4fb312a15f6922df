#pragma once

#include <string>

#include "experiments/results.h"

namespace consilium::report {

// An experiment's results as one HTML page that stands alone: no scripts, nothing fetched, light
// and dark, printable.
std::string RenderReport(const experiments::Results& results);

}  // namespace consilium::report
