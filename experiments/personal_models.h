#pragma once

// The sites' own models that a federation with [personalisation] leaves beside its published one.

#include <string>
#include <vector>

#include "experiments/baselines.h"
#include "experiments/federation.h"

namespace consilium::experiments {

// Waits until each site has made its own of the published model, then names their files in the
// sites' state folders. Of a run that published nothing: what its rounds left. The agents must
// run. kDeadlineExceeded names the first site that has none within `limit`, kNotFound that a run
// without a published model left it none.
absl::StatusOr<std::vector<ModelFile>> AwaitPersonalModels(Federation& federation,
                                                           const std::string& run, bool published,
                                                           const std::vector<SiteData>& sites,
                                                           Duration limit);

}  // namespace consilium::experiments
