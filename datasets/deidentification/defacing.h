#pragma once

// Removes the face from a head volume (Clean Recognizable Visual Features, 113102), so that no
// portrait can be rendered from it.
//
// Simple on purpose: no atlas, no segmentation of the brain. The head is what is brighter than air;
// the vertex is its top. Below the brows (0.47 of the head's length from forehead to occiput below
// the vertex) everything in front of a plane that slopes 45 degrees backwards from the forehead,
// and no deeper than 0.27 of that length, is face: eyes, nose, cheeks, mouth, chin. On an adult
// head of 190 mm that starts 89 mm below the vertex and takes at most 51 mm.
//
// What it does not do: ears and hair stay; dental work and the shape of the skull stay; a head that
// is tilted by more than about 20 degrees against the patient's axes, or lies wrongly declared, is
// cut in the wrong place. Anything of the brain that lies within the wedge (a low frontal pole in a
// small or strongly flexed head) is lost too. Look at what comes out.

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "datasets/refusal.h"

namespace consilium::datasets::deidentification {

struct HeadVolume {
  std::size_t columns = 0, rows = 0, slices = 0;
  // Columns vary fastest, then rows. In any unit in which air is darkest.
  std::span<const std::int32_t> values;
  // Between the centres of neighbouring columns, rows and slices.
  std::array<double, 3> spacing_mm{};
  // The directions in which columns, rows and slices count up: unit vectors in the patient's
  // coordinates (PS3.3 C.7.6.2.1.1: x to the left, y to the back, z to the head).
  std::array<std::array<double, 3>, 3> axes{};
};

// One byte a voxel, in the order of the values: 1 where the face is. All 0 when the volume ends
// above the face. kRecognizableFace with the reason when the face cannot be found: the volume does
// not hold the vertex, or no head. Pure; takes a few bytes a voxel.
OrRefused<std::vector<std::uint8_t>> FaceMask(const HeadVolume& volume);

}  // namespace consilium::datasets::deidentification
