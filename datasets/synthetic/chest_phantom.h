#pragma once

// Drawn chests: body, lungs, ribs, heart, spine, vessels, and for some an opacity in a lung. Every
// patient differs. They teach a network nothing about people; they let the whole path be tried with
// files that look and behave like radiographs.

#include <cstdint>
#include <optional>
#include <vector>

#include "common/base/random.h"

namespace consilium::datasets::synthetic {

// A round shadow: full in the centre, gone at the radius. Millimetres from the middle of the chest;
// y down.
struct Shadow {
  double x_mm = 0, y_mm = 0, radius_mm = 10;
  double density = 0.1;  // of the body's own, which is about 0.6
};

// What a patient looks like in every image of theirs.
struct ChestAnatomy {
  double body_width_mm, body_height_mm, body_density;
  double lung_width_mm, lung_height_mm, lung_gap_mm, lung_top_mm, lung_air;
  double heart_radius_mm, heart_shift_mm, heart_density;
  double spine_width_mm, spine_density;
  double rib_spacing_mm, rib_density, rib_slope, rib_phase;
  std::uint64_t texture_seed;
  std::vector<Shadow> vessels;  // in both lungs of everybody: what an opacity must be told from
  std::vector<Shadow> opacity;  // empty: the target is 0

  static ChestAnatomy Draw(SeededRandom& random, bool with_opacity);
};

// How the patient stands in one image.
struct Pose {
  double shift_x_mm = 0, shift_y_mm = 0, turn = 0, zoom = 1;  // turn in radians
  static Pose Draw(SeededRandom& random);
};

// Attenuation, 0 (air) to about 1, on a detector of rows x columns; higher is brighter.
std::vector<float> Project(const ChestAnatomy& chest, const Pose& pose, std::uint32_t rows,
                           std::uint32_t columns, double spacing_mm);

}  // namespace consilium::datasets::synthetic
