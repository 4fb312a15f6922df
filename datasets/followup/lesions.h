#pragma once

// Lesions of one time point: the connected parts of a mask, and how large each is.

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "datasets/targets/mask.h"
#include "datasets/volumes/geometry.h"

namespace consilium::datasets::followup {

using volumes::Grid;
using volumes::Vec3;

// A line in one slice, in its pixels: whole numbers at the centres, column and row from 0.
struct Line {
  std::array<double, 2> from = {0, 0}, to = {0, 0};
  double length_mm = 0;
};

struct Lesion {
  std::vector<std::uint32_t> voxels;                               // numbers on the grid, rising
  std::array<std::uint32_t, 3> low = {0, 0, 0}, high = {0, 0, 0};  // the box around them
  double volume_ml = 0;
  Vec3 centre{};  // of its voxels, in the patient
  // RECIST 1.1 (Eisenhauer et al. 2009): the longest diameter in any one slice, and in that slice
  // the longest one that is perpendicular to it. Between the voxels' edges, not their centres.
  std::uint32_t slice = 0;  // from 0
  Line longest, perpendicular;
  int source = 0;  // who found it: as FindLesions was told

  bool Holds(std::uint32_t voxel) const;
};

struct Lesions {
  Grid grid;
  std::vector<Lesion> lesions;  // the largest first
  std::uint32_t specks = 0;     // parts that are too small to count as lesions
};

// Below this volume a part is a speck: a sphere of 4.6 mm, half of what RECIST calls measurable.
inline constexpr double kSmallestLesion_ml = 0.05;

// The parts of a mask by their 26 neighbours, each at least `smallest_ml` large. Deterministic.
Lesions FindLesions(const targets::Mask& mask, double smallest_ml = kSmallestLesion_ml,
                    int source = 0);

// Adds the lesions of `more`, on the same grid, that share no voxel with one that is there, and
// sorts all by size. Returns how many it left out.
std::uint32_t AddDisjoint(Lesions more, Lesions* to);

// Both diameters of a set of pixels in one slice (column and row of each), whose spacing is
// {between columns, between rows} in mm. Requires a pixel.
std::pair<Line, Line> DiametersOf(const std::vector<std::array<std::uint32_t, 2>>& pixels,
                                  const std::array<double, 2>& spacing_mm);

}  // namespace consilium::datasets::followup
