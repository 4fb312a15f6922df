#pragma once

// What a plan of volumes does with one series, shown by a few of its slices.

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "common/base/file.h"
#include "common/plan/plan.h"
#include "datasets/dicom/header.h"
#include "datasets/explain/explanation.h"

namespace consilium::datasets::worker {
class WorkerPool;
}

namespace consilium::datasets::explain {

struct SeriesFiles {
  std::vector<fs::path> files;  // by path
  dicom::Header header;         // of the first
};

// The images of a folder tree, or one file, that the plan wants; others, such as segmentations, are
// passed over. kNotFound: none; kInvalidArgument: of several series, one of which is to be named.
absl::StatusOr<SeriesFiles> FindSeries(worker::WorkerPool& pool, const fs::path& path,
                                       const plan::Plan& plan);

struct VolumeExplanation {
  // "brightness": slices of the series on its own voxels; "input": slices of what the network gets.
  // Least, most and mean are of all voxels, not of those that are shown.
  Explanation explanation;
  // Structures at the pixels of the last step; empty without outlines.
  std::vector<std::uint8_t> structures;
};

// `outlines`: segmentations and structure sets of the series, for the plan's structures; may be
// none. What is shown are slices that have structures, else of the middle half of the stack.
// Outlines that cannot be read refuse it, after all steps.
VolumeExplanation ExplainVolume(worker::WorkerPool& pool, std::span<const fs::path> files,
                                std::span<const fs::path> outlines, const plan::Plan& plan);

}  // namespace consilium::datasets::explain
