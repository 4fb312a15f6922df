#pragma once

// A picture as a Secondary Capture image (PS3.3 A.8.1): derived, with burned-in annotation.

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "datasets/results/picture.h"
#include "datasets/results/result_object.h"
#include "datasets/results/source_image.h"

namespace consilium::datasets::results {

// `shown`: the frames that the picture shows, of the source or of others of its series. Errors as
// WriteSegmentation.
absl::Status WriteSecondaryCapture(const fs::path& path, const SourceImage& source,
                                   const ModelDescription& model, const ResultName& name,
                                   const Picture& picture, const std::vector<FrameReference>& shown,
                                   Time now);

}  // namespace consilium::datasets::results
