#pragma once

#include <vector>

#include "datasets/refusal.h"

namespace consilium::datasets::audio {

// The same sound at another rate: band-limited (libsamplerate's windowed sinc), so that nothing
// above half of the new rate comes back as something else. kLowSampleRate when `from_hz` is below
// half of `to_hz`; kUnsupportedSound when it is more than 256 times as high.
OrRefused<std::vector<float>> Resample(std::vector<float> samples, double from_hz, double to_hz);

}  // namespace consilium::datasets::audio
