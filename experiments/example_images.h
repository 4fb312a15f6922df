#pragma once

#include <vector>

#include "common/plan/plan.h"
#include "experiments/baselines.h"
#include "experiments/results.h"

namespace consilium::experiments {

// The first image with and the first without the target of each site, windowed and cut as the
// plan's preprocessing does, but larger, so that people can see something. Reads the catalogs that
// the agents left; call when they have ended. A site whose catalog or images cannot be read has
// none.
//
// These are images of patients where the data is real: only for a report that stays where the
// images may be seen.
std::vector<ExampleImage> PickExampleImages(const std::vector<SiteData>& sites,
                                            const plan::Plan& plan);

// Grey, 8 bits, brightness in [0, 1], row by row.
absl::StatusOr<Bytes> EncodePng(const std::vector<float>& pixels, std::uint32_t width,
                                std::uint32_t height);

}  // namespace consilium::experiments
