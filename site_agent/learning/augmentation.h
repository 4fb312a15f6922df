#pragma once

#include <cstdint>
#include <span>

#include "common/base/random.h"

namespace consilium::learning {

// Changes a square radiograph as another exposure of the same patient might: rotation up to 7
// degrees, shift up to 5 % of a side, zoom 0.92 to 1.08, contrast 0.85 to 1.15, brightness up to
// 0.15 and noise up to 0.05 of the image's own standard deviation. Never mirrored: the heart stays
// on its side. What moves in from beyond the edge repeats the edge.
//
// `pixels` (size x size, row-major) is changed in place; `scratch` has as many elements. The same
// random stream gives the same pixels.
void AugmentRadiograph(std::span<float> pixels, std::span<float> scratch, std::uint32_t size,
                       SeededRandom& random);

}  // namespace consilium::learning
