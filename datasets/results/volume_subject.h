#pragma once

// All that a prediction needs of one series as a volume. Files are read in a pool's workers; the
// volume is built here of what they say.

#include <span>
#include <string>
#include <vector>

#include "common/base/file.h"
#include "common/plan/plan.h"
#include "datasets/refusal.h"
#include "datasets/results/segmentation_writer.h"
#include "datasets/results/source_image.h"
#include "datasets/volumes/input.h"

namespace consilium::datasets::worker {
class WorkerPool;
}

namespace consilium::datasets::results {

struct VolumeSubject {
  SourceImage source;            // of the first of the files
  volumes::PlacedVolume placed;  // its slices' pixels are not to be loaded again
  volumes::Volume brightness;    // on the series' own grid (volumes::LoadBrightness)
  std::vector<float> input;      // volumes::MakeInput

  // The planes of a segmentation of the whole series, which refers to each of its instances.
  SegmentedPlanes Planes() const;
};

// `files`: all of one series, one or more. Refuses what volumes::Place does, and a series that a
// segmentation cannot refer to: of several SOP classes, or without a frame of reference.
OrRefused<VolumeSubject> ReadVolumeSubject(worker::WorkerPool& pool,
                                           std::span<const fs::path> files,
                                           const plan::Preprocessing& preprocessing);

// The structure of each voxel of the series: that of the nearest of the input, 0 beside it.
// `mask`: of each voxel of the input.
OrRefused<std::vector<std::uint8_t>> OnSeries(const std::vector<std::uint8_t>& mask,
                                              const volumes::PlacedVolume& placed);
// How much of the series the input shows, 0 to 1.
OrRefused<double> ShareShown(const volumes::PlacedVolume& placed);
// Of one voxel of a grid, which may be sheared.
double VoxelMl(const volumes::Grid& grid);

}  // namespace consilium::datasets::results
