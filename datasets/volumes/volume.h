#pragma once

// Volumes: voxels on a grid in the patient's coordinate system, and moving them from one grid to
// another. Everything here is thread-safe and pure.

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/refusal.h"
#include "datasets/volumes/geometry.h"

namespace consilium::datasets::volumes {

struct Volume {
  Grid grid;
  std::vector<float> voxels;  // grid.VoxelCount(); column fastest, then row, then slice
  // What the coordinates are relative to; an opaque UID, never shown. Empty: not known.
  std::string frame_of_reference;

  float At(std::size_t column, std::size_t row, std::size_t slice) const {
    return voxels[(slice * grid.size[1] + row) * grid.size[0] + column];
  }
};

enum class Interpolation {
  kLinear,   // trilinear; exact where a voxel's centre meets a voxel's centre
  kNearest,  // for masks and labels: no value that was not there
};

// The values at the centres of the voxels of `target`. A voxel reaches half a voxel around its
// centre: there the outermost values hold, and what lies beyond gets `outside`. Nothing is averaged
// when the target is coarser. kTooLarge or kNoGeometry when `target` is not sound; kDamaged when
// the volume does not hold what its grid says.
OrRefused<Volume> Resample(const Volume& volume, const Grid& target, Interpolation interpolation,
                           float outside);

// Nearest, for masks: one byte a voxel, 0 outside.
OrRefused<std::vector<std::uint8_t>> ResampleMask(const std::vector<std::uint8_t>& mask,
                                                  const Grid& grid, const Grid& target);

// The moving volume (say, the CT) on the grid of the fixed one (the PET) of the same patient.
// kOtherFrameOfReference unless both have the same, known one: without it the coordinates of one
// say nothing about the other.
OrRefused<Volume> ResampleOnto(const Volume& moving, const Volume& fixed,
                               Interpolation interpolation, float outside);

}  // namespace consilium::datasets::volumes
