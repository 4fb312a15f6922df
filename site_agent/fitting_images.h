#pragma once

// Which files a prediction may score: their headers are read in workers and held against the plan.

#include <functional>
#include <span>

#include "absl/status/status.h"
#include "common/base/file.h"
#include "common/base/progress.h"
#include "common/plan/plan.h"
#include "datasets/dicom/header.h"
#include "datasets/worker/worker_pool.h"
#include "site_agent/prediction.h"

namespace consilium::site_agent {

// Calls `take` for each file that fits the plan, in their order; counts all of them, and the others
// by the reason of their refusal. Ends with the first error of `take`, or kCancelled.
using TakeImage = std::function<absl::Status(const fs::path&, const datasets::dicom::Header&)>;
absl::Status ForEachFitting(std::span<const fs::path> files, const plan::Plan& plan,
                            datasets::worker::WorkerPool& pool, PredictionReport* report,
                            Progress& progress, const TakeImage& take);

}  // namespace consilium::site_agent
