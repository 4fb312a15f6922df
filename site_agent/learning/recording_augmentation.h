#pragma once

#include <span>

#include "common/base/random.h"
#include "datasets/dataset.h"

namespace consilium::learning {

// Changes a spectrogram as another recording of the same patient might: begun at another time (a
// circular shift), by a microphone of another colour (up to 0.5 deviations more or less at either
// end of the bands, evenly between) and gain (0.8 to 1.2), with noise of 0.1 deviations; and blots
// out one stretch of bands and one of time, up to an eighth of each (Park et al. 2019), so that no
// single band decides. The same random stream gives the same values.
//
// `image`: shape.ImageElements(), changed in place; `scratch` has as many elements.
void AugmentRecording(const datasets::InputShape& shape, std::span<float> image,
                      std::span<float> scratch, SeededRandom& random);

}  // namespace consilium::learning
