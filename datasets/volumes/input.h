#pragma once

// From a series to the input of a plan of volumes ([preprocessing] slices above 0).

#include <optional>
#include <span>
#include <vector>

#include "common/base/file.h"
#include "common/plan/plan.h"
#include "datasets/refusal.h"
#include "datasets/volumes/series.h"
#include "datasets/volumes/stack.h"

namespace consilium::datasets::volumes {

// A series' only volume, its pixels not read yet, and where the input lies on it.
struct PlacedVolume {
  Series series;
  Stack stack;
  Grid input;

  // Millimetres from voxel to voxel of the input: within a slice (the geometric mean where rows and
  // columns differ) and from slice to slice.
  double SpacingMm() const;
  double SliceSpacingMm() const { return input.spacing_mm[2]; }
};

// Slices x image_size x image_size voxels about the volume's middle, along its rows, columns and
// slices (of a tilted stack: their normal): `spacing_mm` and `slice_spacing_mm` apart, or as the
// volume's are where the plan says 0. Where they are the volume's own, voxel meets voxel.
Grid InputGrid(const Grid& volume, const plan::Preprocessing& preprocessing);

// `files` are of one series. Refuses what FindStacks does, and a series of several volumes.
OrRefused<PlacedVolume> Place(InstanceReader& reader, std::span<const fs::path> files,
                              const plan::Preprocessing& preprocessing);

// All voxels of the series, on its own grid, as brightness in [0, 1]: the volume in the plan's
// units, brightness by the plan's intensity over all its voxels (padding too: files say it slice by
// slice). Reads the slices.
OrRefused<Volume> LoadBrightness(const PlacedVolume& placed,
                                 const plan::Preprocessing& preprocessing);

// slices * image_size^2 values of LoadBrightness, slice by slice, row by row: linear between
// voxels; 0 beside the volume. Nothing is averaged where the input is coarser.
OrRefused<std::vector<float>> MakeInput(const PlacedVolume& placed, const Volume& brightness);
// Both.
OrRefused<std::vector<float>> MakeInput(const PlacedVolume& placed,
                                        const plan::Preprocessing& preprocessing);

}  // namespace consilium::datasets::volumes
